//! What the session's ipc namespace holds. Only who is in it sees it: so the session's first process is asked.
//!
//! | module | what it holds |
//! | --- | --- |
//! | `segments` | System V shared memory |
//! | `semaphores` | System V semaphores, and what is done to them as processes end |
//! | `messages` | System V message queues |
//! | `posix` | POSIX message queues |
//! | `limits` | the namespace's limits |

mod limits;
mod messages;
pub(super) mod posix;
pub(super) mod segments;
mod semaphores;

use super::Error;
use super::inside::Questions;
use super::sockets::Inside;
use super::subject::Subject;
use super::view::View;
use crate::ipc::{self, Kind, NOBODY, Stat};
use crate::objects::Finding;
use crate::record::Record;
use crate::record::ipc::IpcObject;
use segments::Segments;

/// Questions of one list.
const BATCH: usize = 256;

/// A System V object that was found.
#[derive(Clone, Debug)]
struct Found {
    ipc: IpcObject,
    stat: Stat,
}

/// What an ipc namespace holds of System V.
pub(super) struct Ipc {
    /// Its number in the snapshot.
    namespace: u32,
    sets: Vec<Found>,
    queues: Vec<Found>,
    limits: Option<Record>,
    pub(super) findings: Vec<Finding>,
}

impl Ipc {
    /// Looks at the namespace of that number, and at its segments.
    pub(super) fn look(inside: &mut Inside<'_, '_>, namespace: u32, view: &View) -> Result<(Self, Segments), Error> {
        let pid = inside.pid;
        let mut counts = [0; 3];
        let mut highest = [0; 3];
        let mut informed = [const { Vec::new() }; 3];
        let kinds = [&ipc::SEGMENTS, &ipc::SEMAPHORES, &ipc::QUEUES];
        let mut questions = Questions::default();
        let asked = kinds.map(|kind| {
            let mut ask = |command, length| {
                let (arguments, place) = kind.arguments(0, command);
                questions.ask_into(kind.control, &arguments, place, length)
            };
            (ask(kind.info, kind.count.0), ask(ipc::LIMITS, kind.limits))
        });
        let answers = inside.ask(pid, inside.tid, |thread| questions.put(thread))?;
        for (at, (kind, (info, limits))) in kinds.into_iter().zip(asked).enumerate() {
            // A kernel without it has none.
            if answers.errno(info) == Some(libc::ENOSYS) {
                continue;
            }
            let refused = |question| Error::refused(pid, format!("its {}", kind.name), answers.failure(question));
            let count =
                answers.bytes(info).and_then(|bytes| bytes.get(kind.count.1..kind.count.1 + 4)?.try_into().ok());
            counts[at] = count.map(u32::from_ne_bytes).ok_or_else(|| refused(info))?;
            highest[at] = answers.result(info).unwrap_or(0);
            informed[at] = answers.bytes(limits).ok_or_else(|| refused(limits))?.to_vec();
        }
        let found = |inside: &mut Inside<'_, '_>, at: usize| {
            list(inside, kinds[at], namespace, (counts[at], highest[at]), view)
        };
        let segments = found(inside, 0)?;
        let (sets, queues) = (found(inside, 1)?, found(inside, 2)?);
        let mut findings = Vec::new();
        let limits = limits::take(inside, namespace, &informed, &mut findings)?;
        Ok((Self { namespace, sets, queues, limits, findings }, Segments::new(segments)))
    }

    /// Its records but for segments.
    pub(super) fn take(
        self,
        inside: &mut Inside<'_, '_>,
        subjects: &[Subject],
        queues: posix::Queues,
        view: &View,
    ) -> Result<(Vec<Record>, Vec<Finding>), Error> {
        let Self { namespace, sets, queues: of_system_v, limits, mut findings } = self;
        let mut records: Vec<Record> = limits.into_iter().collect();
        for queue in of_system_v {
            records.push(messages::take(inside, queue)?.into());
        }
        records.extend(semaphores::take(inside, subjects, sets)?.into_iter().map(Record::from));
        let queues = queues.take(inside, namespace, view, &mut findings)?;
        records.extend(queues.into_iter().map(Record::from));
        Ok((records, findings))
    }
}

/// All objects of a kind, of which there are that many, up to that index.
fn list(
    inside: &mut Inside<'_, '_>,
    kind: &Kind,
    namespace: u32,
    (count, highest): (u32, u64),
    view: &View,
) -> Result<Vec<Found>, Error> {
    let pid = inside.pid;
    let mut found = Vec::new();
    if count == 0 {
        return Ok(found);
    }
    let indices: Vec<u64> = (0..=highest).collect();
    for indices in indices.chunks(BATCH) {
        let mut questions = Questions::default();
        let asked: Vec<_> = indices
            .iter()
            .map(|index| {
                let (arguments, place) = kind.arguments(*index, kind.stat);
                questions.ask_into(kind.control, &arguments, place, kind.length)
            })
            .collect();
        let answers = inside.ask(pid, inside.tid, |thread| questions.put(thread))?;
        for question in asked {
            let Some(bytes) = answers.bytes(question) else {
                // Nothing is at that index.
                if answers.errno(question) == Some(libc::EINVAL) {
                    continue;
                }
                return Err(Error::refused(pid, format!("its {}", kind.name), answers.failure(question)));
            };
            let stat = Stat(bytes.to_vec());
            let ipc = stat.object(answers.result(question).unwrap_or(0) as i32, namespace);
            named(pid, kind, &ipc, view)?;
            found.push(Found { ipc, stat });
        }
    }
    if found.len() != count as usize {
        let why = format!("{} of {count} were found: somebody outside of the session changes them", found.len());
        return Err(Error::refused(pid, format!("its {}", kind.name), why));
    }
    Ok(found)
}

/// Refuses an object of somebody who has no number in the session.
fn named(pid: libc::pid_t, kind: &Kind, ipc: &IpcObject, view: &View) -> Result<(), Error> {
    let known = |user, group| {
        let [user, group] = [(user, true), (group, false)].map(|(id, is_user)| id != NOBODY || view.knows(id, is_user));
        user && group
    };
    if known(ipc.user, ipc.group) && known(ipc.creator_user, ipc.creator_group) {
        return Ok(());
    }
    let what = format!("{} {}", kind.name, ipc.identifier);
    Err(Error::refused(pid, what, "the session's user namespace has no name for its owner or creator"))
}
