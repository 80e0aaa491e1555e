//! What a save would refuse, found while the session runs, by the same code that refuses it while all stands still.
//!
//! It reads what the kernel shows and copies of descriptors; no call is made in any process. So it does not see what only a thread
//! that stands still can be asked (what the ipc namespace holds), nor what is taken out of queues and put back (terminals, Unix sockets).

use std::collections::{BTreeMap, BTreeSet};
use std::os::fd::AsFd;

use libc::pid_t;

use super::collect::check;
use super::filters::Filters;
use super::share::Shared;
use super::space::{self, Objects};
use super::subject::{self, Subject};
use super::table::{self, Descriptions};
use super::view::View;
use super::watches::Index;
use super::{Error, Refused, Session, thread};
use crate::freeze;
use crate::objects::Seen;
use crate::process::stat;
use crate::process::tree::{Life, NoTree, Process};
use crate::sys::kcmp::{self, What};

/// Everything that a save of `session` would refuse and that shows while it runs, each once.
///
/// # Errors
/// When its processes cannot be listed, or its first process cannot be looked into.
pub fn look(mut session: Session<'_>) -> Result<Vec<Refused>, Error> {
    let root = session.root;
    let pids = session.source.list().map_err(freeze::Error::Source)?;
    let subjects: Vec<Subject> = pids.iter().filter_map(|pid| subject_of(*pid)).collect();
    let first = subjects.iter().find(|subject| subject.pid == root).ok_or(NoTree::NoRoot(root))?;
    let read = |what: &'static str| Error::read(root, root, what);
    let view = View::of(&first.directory(), &first.status).map_err(read("the namespaces"))?;
    let namespaces = subject::namespaces(&first.directory()).map_err(read("the namespaces"))?;
    let mut watches = Index::look(root, &pids);
    let mut found = Found::default();
    let mut filters = Filters::new(session.filters.as_ref());
    let (mut tids, mut groups) = (BTreeMap::new(), BTreeMap::new());
    for subject in &subjects {
        groups.insert(subject.stat.group, view.pid(&subject.status.process_groups));
        tids.insert(subject.pid, view.pid(&subject.status.tgids));
        found.note(check(subject, &namespaces, None));
        for tid in &subject.tids {
            if let Some(status) = found.note(thread::status(subject, *tid)) {
                tids.insert(*tid, view.pid(&status.pids));
                found.note(filters.look(subject.pid, *tid, &status, None));
            }
        }
    }
    let mut objects = Objects::default();
    let mut spaces = Shared::new(1);
    for subject in living(&subjects) {
        if let Some(id) = number(&mut spaces, subject, What::Memory) {
            let mapped = found.note(space::mapped(subject)).into_iter().flatten();
            for mapped in mapped.filter(|mapped| !space::is_system_v(mapped)) {
                let from = (&view, &mut watches);
                found.note(space::mapping(subject.pid, subject.tids[0], id, &mapped, &mut objects, from));
            }
        }
    }
    let mut descriptions = Descriptions::new(&view, &tids, &groups, &mut watches);
    let mut tables = Shared::new(1);
    for subject in living(&subjects) {
        if number(&mut tables, subject, What::Descriptors).is_some() {
            found.descriptors(subject, &mut descriptions, &mut objects);
        }
    }
    found.note(descriptions.finish_polls());
    Ok(found.refused)
}

/// A process with its threads that live: a first thread that has ended stays listed, and has nothing.
fn subject_of(pid: pid_t) -> Option<Subject> {
    let mut tids = freeze::threads(pid);
    tids.retain(|tid| {
        let stat = stat::read(format!("/proc/{pid}/task/{tid}").as_ref());
        stat.is_ok_and(|stat| matches!(Process::from(&stat).life, Life::Alive))
    });
    tids.sort_by_key(|tid| (*tid != pid, *tid));
    Subject::all([pid], &BTreeMap::from([(pid, tids)])).ok()?.pop()
}

fn living(subjects: &[Subject]) -> impl Iterator<Item = &Subject> {
    subjects.iter().filter(|subject| !subject.tids.is_empty() && !matches!(subject.life(), Life::Zombie(_)))
}

/// The number of what `subject` has of that kind, if nobody before it shares it.
fn number(shared: &mut Shared<pid_t>, subject: &Subject, what: What) -> Option<u32> {
    let numbered = shared.number(subject.tids[0], |one, other| kcmp::compare(*one, *other, what));
    numbered.ok().and_then(|(id, new)| new.then_some(id))
}

/// What was found.
#[derive(Default)]
struct Found {
    refused: Vec<Refused>,
    known: BTreeSet<(pid_t, String)>,
}

impl Found {
    /// Notes a refusal. Other errors are of what has ended or been closed meanwhile.
    fn note<T>(&mut self, result: Result<T, Error>) -> Option<T> {
        match result {
            Ok(value) => return Some(value),
            Err(Error::Refused(refused)) => {
                if self.known.insert((refused.process.pid, refused.what.clone())) {
                    self.refused.push(refused);
                }
            }
            Err(_) => {}
        }
        None
    }

    fn descriptors(&mut self, subject: &Subject, descriptions: &mut Descriptions<'_>, objects: &mut Objects) {
        let (pid, tid) = (subject.pid, subject.tids[0]);
        let (Ok(numbers), Ok(process)) = (table::numbers(&subject.task(tid)), table::open(pid, tid)) else { return };
        for number in numbers {
            let Ok((id, true)) = descriptions.known.number(tid, number) else { continue };
            let Ok(seen) = Seen::of(tid, process.as_fd(), number) else { continue };
            self.note(descriptions.describe(pid, seen, id, objects));
        }
    }
}
