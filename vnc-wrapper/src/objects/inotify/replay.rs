//! Putting events back into the queues of a session that was restored and does not run yet.
//!
//! It is done by a process of its own (`vnc-wrapper replay`), which becomes root of the session's user namespace, so that
//! what it makes for a moment belongs to ids that the session's file systems know. All watches of the session are silent
//! meanwhile, and until CRIU has taken its own links to files away, but for the one whose event is being made; what is in its way is renamed and gets its name back.

use std::io::{self, Read, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::process::{Command, Stdio};

use nix::sched::CloneFlags;
use rustix::fs::{AtFlags, FileType, Mode, OFlags, Timestamps, utimensat};
use serde::{Deserialize, Serialize};

use super::entry::{Entry, read_some};
use super::group::{self, Group};
use super::plan::{self, Deed, Step};
use super::watch;
use super::{Event, Queue, overflow};
use crate::container::processes::{self, Process};
use crate::kernel::{namespaces, process, userns};

/// The other end of a rename whose other end nobody sees.
const ELSEWHERE: &[u8] = b".freezeframe.else";

/// What the process of its own is to do.
#[derive(Debug, Serialize, Deserialize)]
struct Request {
    init: u32,
    queues: Vec<Queue>,
}

/// Makes the queues of these processes, the first of which is the session's init, be as `queues` say, those that are not
/// named empty. All watches have to be silent ([`super::silence`]), and stay so.
///
/// # Errors
/// When an event cannot be made.
pub(crate) fn put_back(processes: &[Process], queues: Vec<Queue>) -> io::Result<()> {
    if queues.is_empty() && !anything_waits(processes)? {
        return Ok(());
    }
    let Some(init) = processes.first().map(|init| init.outside) else { return Ok(()) };
    let mut child = Command::new("/proc/self/exe")
        .arg("replay")
        .env_clear()
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()?;
    if let Some(mut to) = child.stdin.take() {
        to.write_all(&serde_json::to_vec(&Request { init, queues })?)?;
    }
    let output = child.wait_with_output()?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    Err(io::Error::other(format!("cannot put file events back: {said}")))
}

fn anything_waits(processes: &[Process]) -> io::Result<bool> {
    for process in processes {
        for number in watch::descriptors(process)? {
            if rustix::io::ioctl_fionread(process::descriptor(process.outside, number)?)? > 0 {
                return Ok(true);
            }
        }
    }
    Ok(false)
}

/// The verb `replay`. Returns the exit status.
pub fn run() -> i32 {
    let done = (|| {
        let mut text = Vec::new();
        io::stdin().read_to_end(&mut text)?;
        let request: Request = serde_json::from_slice(&text)?;
        replay(&request)
    })();
    match done {
        Ok(()) => 0,
        Err(error) => {
            let _ = writeln!(io::stderr(), "{error}");
            1
        }
    }
}

fn replay(request: &Request) -> io::Result<()> {
    let init = process::open(request.init)?;
    let groups = group::all(&processes::list(request.init)?)?;
    namespaces::join(&init, CloneFlags::CLONE_NEWUSER.bits())?;
    userns::become_namespace_root()?;
    let times = Times::of(&groups)?;
    // Whatever made these, no program did.
    groups.iter().try_for_each(Group::drain)?;
    let made = request.queues.iter().try_for_each(|queue| {
        let found = groups.iter().find(|g| g.process == queue.process && g.number == queue.descriptor);
        let group = found.ok_or_else(|| io::Error::other("an inotify descriptor is gone"))?;
        fill(group, queue)
    });
    times.give_back()?;
    made
}

/// Makes the events of `queue`.
fn fill(group: &Group, queue: &Queue) -> io::Result<()> {
    overflow::fits(queue)?;
    // Whether a first half is missing was looked at when they were kept.
    let steps = plan::steps(&queue.events, false).map_err(io::Error::other)?;
    let make = |steps: &[Step]| {
        steps
            .iter()
            .try_for_each(|step| take(group, step).map_err(|e| io::Error::new(e.kind(), format!("{step:?}: {e}"))))
    };
    match steps.split(|s| *s == Step::Overflow).collect::<Vec<_>>()[..] {
        [before, after] => {
            let events = queue.events.split(Event::is_overflow).next().unwrap_or_default();
            overflow::make(group, events, || make(before))?;
            make(after)?;
        }
        _ => make(&steps)?,
    }
    let wanted = queue.events.iter().map(Event::length).sum::<usize>() as u64;
    let got = group.waiting()?;
    if got == wanted { Ok(()) } else { Err(io::Error::other(format!("{got} bytes of events instead of {wanted}"))) }
}

/// Times of the watched objects, which making events changes.
struct Times(Vec<(OwnedFd, Timestamps)>);

impl Times {
    fn of(groups: &[Group]) -> io::Result<Self> {
        let mut all = Vec::new();
        for (_, object) in groups.iter().flat_map(|g| g.watches.values()) {
            let stat = rustix::fs::fstat(object)?;
            let time = |seconds, nanoseconds| rustix::fs::Timespec { tv_sec: seconds, tv_nsec: nanoseconds };
            let times = Timestamps {
                last_access: time(stat.st_atime, stat.st_atime_nsec as _),
                last_modification: time(stat.st_mtime, stat.st_mtime_nsec as _),
            };
            all.push((object.try_clone()?, times));
        }
        Ok(Self(all))
    }

    fn give_back(&self) -> io::Result<()> {
        for (object, times) in &self.0 {
            let now = rustix::fs::fstat(object)?;
            if (now.st_mtime, now.st_mtime_nsec as i64)
                != (times.last_modification.tv_sec, times.last_modification.tv_nsec)
            {
                utimensat(object, "", times, AtFlags::EMPTY_PATH)?;
            }
        }
        Ok(())
    }
}

fn take(group: &Group, step: &Step) -> io::Result<()> {
    match step {
        Step::Overflow => Err(io::ErrorKind::Unsupported.into()),
        Step::Own { wd, deed: Deed::MoveItself } => move_itself(group, *wd),
        Step::Own { wd, deed } => own(group, *wd, *deed),
        Step::Named { wd, deed, name, directory } => named(group, *wd, *deed, name, *directory),
        Step::Rename { from, to, directory } => {
            let (source, target) = (group.watch(from.0)?.1.as_fd(), group.watch(to.0)?.1.as_fd());
            let (a, b) = (Entry { at: source, name: &from.1 }, Entry { at: target, name: &to.1 });
            a.cleared(|| {
                b.cleared(|| {
                    a.make(*directory)?;
                    if from.0 == to.0 {
                        return group
                            .heard(from.0, libc::IN_MOVED_FROM | libc::IN_MOVED_TO, || a.rename(&b))
                            .and_then(|()| b.remove());
                    }
                    group
                        .heard(from.0, libc::IN_MOVED_FROM, || group.heard(to.0, libc::IN_MOVED_TO, || a.rename(&b)))?;
                    b.remove()
                })
            })
        }
    }
}

/// Does something to the watched object itself that leaves it as it was.
fn own(group: &Group, wd: i32, deed: Deed) -> io::Result<()> {
    let (_, object) = group.watch(wd)?;
    let path = format!("/proc/self/fd/{}", object.as_raw_fd());
    let stat = rustix::fs::fstat(object)?;
    let kind = FileType::from_raw_mode(stat.st_mode);
    // A FIFO is opened without waiting for somebody at its other end, which it takes both ends for to be written to (fifo(7)).
    let to_write = if kind == FileType::Fifo { OFlags::RDWR } else { OFlags::WRONLY };
    let open = |flags: OFlags| {
        let flags = flags | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
        Ok::<_, io::Error>(rustix::fs::open(&path, flags, Mode::empty())?)
    };
    let heard = |act: &mut dyn FnMut() -> io::Result<()>| group.heard(wd, deed.mask(), act);
    match deed {
        Deed::Open => {
            let mut opened = None;
            heard(&mut || open(OFlags::RDONLY).map(|file| opened = Some(file)))
        }
        Deed::CloseRead | Deed::CloseWritten => {
            let how = if deed == Deed::CloseRead { OFlags::RDONLY } else { to_write };
            let mut opened = Some(open(how)?);
            heard(&mut || {
                drop(opened.take());
                Ok(())
            })
        }
        Deed::Access => {
            let file = open(OFlags::RDONLY)?;
            heard(&mut || read_some(&file))
        }
        Deed::Attributes => heard(&mut || Ok(rustix::fs::chmod(&path, Mode::from_raw_mode(stat.st_mode))?)),
        // To the size that it has.
        Deed::Modify => {
            let file = open(OFlags::WRONLY)?;
            heard(&mut || Ok(rustix::fs::ftruncate(&file, stat.st_size.unsigned_abs())?))
        }
        Deed::MoveAway | Deed::MoveHere | Deed::Create | Deed::Delete | Deed::MoveItself => {
            Err(io::ErrorKind::Unsupported.into())
        }
    }
}

/// Renames the watched object and gives it its name back.
fn move_itself(group: &Group, wd: i32) -> io::Result<()> {
    let (directory, name) = group.place(wd)?;
    let own = Entry { at: directory.as_fd(), name: &name };
    own.rename_and_back(|act| group.heard(wd, libc::IN_MOVE_SELF, act))
}

/// Does something to the entry `name` of the watched directory.
fn named(group: &Group, wd: i32, deed: Deed, name: &[u8], directory: bool) -> io::Result<()> {
    let at = group.watch(wd)?.1.as_fd();
    let (entry, elsewhere) = (Entry { at, name }, Entry { at, name: ELSEWHERE });
    let heard = |act: &mut dyn FnMut() -> io::Result<()>| group.heard(wd, deed.mask(), act);
    // The thing itself, where that is harmless; else something that has its name for a moment.
    if matches!(deed, Deed::Open | Deed::CloseRead | Deed::Access) && entry.can_be_read(directory, deed) {
        return entry.read(deed, heard);
    }
    entry.cleared(|| {
        match deed {
            Deed::Create => heard(&mut || entry.make(directory))?,
            Deed::MoveHere => {
                elsewhere.make(directory)?;
                heard(&mut || elsewhere.rename(&entry))?;
            }
            Deed::MoveAway => {
                entry.make(directory)?;
                heard(&mut || entry.rename(&elsewhere))?;
                return elsewhere.remove();
            }
            Deed::Delete => {
                entry.make(directory)?;
                return heard(&mut || entry.remove());
            }
            Deed::MoveItself => return Err(io::ErrorKind::Unsupported.into()),
            Deed::Attributes => {
                entry.make(directory)?;
                heard(&mut || Ok(rustix::fs::chmodat(at, name, Mode::from_raw_mode(0o700), AtFlags::empty())?))?;
            }
            Deed::Modify => {
                entry.make(false)?;
                let file = entry.open(OFlags::WRONLY)?;
                heard(&mut || Ok(rustix::io::write(&file, b"x").map(drop)?))?;
            }
            Deed::CloseWritten => {
                entry.make(false)?;
                let mut file = Some(entry.open(OFlags::WRONLY)?);
                heard(&mut || {
                    drop(file.take());
                    Ok(())
                })?;
            }
            Deed::Open | Deed::CloseRead | Deed::Access => {
                entry.make(directory)?;
                if !directory {
                    rustix::io::write(&entry.open(OFlags::WRONLY)?, b"x")?;
                }
                entry.read(deed, heard)?;
            }
        }
        entry.remove()
    })
}
