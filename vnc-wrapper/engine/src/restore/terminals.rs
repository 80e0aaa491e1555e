//! Pseudo-terminals: the file systems that they are in, their owners, and whose controlling terminals they are.
//!
//! - A devpts is mounted by the first process, and its root is opened from there: so it belongs to the session's user namespace, and its
//!   slaves are shown by paths of the session.
//! - A session gets its terminal as soon as it is made, by its leader: only who is forked later has it too. Those that had none let it go.
//! - `/dev/tty` is opened by a helper, whose controlling terminal each is for a moment.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, Gid, Uid};

use crate::fault::Step;
use crate::objects::common;
use crate::objects::pty::give;
use crate::process::id_map::{self, Of};
use crate::record::Record;
use crate::record::objects::Common;
use crate::record::process::{Process, State};
use crate::record::terminals::{Devpts, Terminal, TerminalEnd, TerminalSide};
use crate::remote::Call;

use super::Plan;
use super::content::{Content, pid};
use super::descriptors::{Key, Open};
use super::error::{Error, Object, Result};
use super::made::Made;
use super::stub::Stub;
use super::tree::Forest;

/// How the file systems of pseudo-terminals (devpts) come to be.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Terminals {
    /// The first process mounts a new one wherever the content has one: it has to have a mount namespace that is not ours.
    #[default]
    Mount,
    /// They are mounted where the content has them, and nobody has a terminal there.
    There,
}

/// include/uapi/linux/mount.h.
const FSCONFIG_SET_STRING: u64 = 1;
const FSCONFIG_CMD_CREATE: u64 = 6;
const MOVE_MOUNT_F_EMPTY_PATH: u64 = 4;
const HERE: u64 = libc::AT_FDCWD as u64;
const DIRECTORY: u32 = (libc::O_PATH | libc::O_DIRECTORY) as u32;

/// The root directories of the content's devpts, by their numbers.
pub(super) fn roots(first: &Stub, content: &Content, plan: &Plan<'_>) -> Result<BTreeMap<u32, OwnedFd>> {
    let mut roots = BTreeMap::new();
    for devpts in content.devpts.values() {
        let who = || format!("the devpts at {}", devpts.path.escape_ascii());
        let root = match plan.terminals {
            Terminals::There => plan.files.open(&devpts.path, DIRECTORY).map_err(|error| Error::Object {
                what: who(),
                call: "open",
                error,
            })?,
            Terminals::Mount if plan.namespaces & libc::CLONE_NEWNS as u64 == 0 => {
                return Err(Error::unable(who(), "it can be mounted only in a new mount namespace"));
            }
            Terminals::Mount => mount(first, devpts)?,
        };
        roots.insert(devpts.id, root);
    }
    Ok(roots)
}

fn mount(first: &Stub, devpts: &Devpts) -> Result<OwnedFd> {
    let object = Object::Mount;
    let data = first.area().data();
    let text = |at: u64, text: &[u8]| -> Result<u64> {
        first.write(object, data + at, &[text, b"\0"].concat())?;
        Ok(data + at)
    };
    let kind = text(0, b"devpts")?;
    let made = first.call(object, &Call::new(libc::SYS_fsopen, [kind, 0, 0, 0, 0, 0]))?;
    let octal = |number: u32| Some(format!("{number:o}"));
    let decimal = |number: Option<u32>| number.map(|number| number.to_string());
    for (name, value) in [
        ("mode", octal(devpts.mode)),
        ("ptmxmode", octal(devpts.ptmx_mode)),
        ("uid", decimal(devpts.user)),
        ("gid", decimal(devpts.group)),
        ("max", decimal(devpts.most)),
    ] {
        let Some(value) = value else { continue };
        let (name, value) = (text(0, name.as_bytes())?, text(64, value.as_bytes())?);
        let arguments = [made, FSCONFIG_SET_STRING, name, value, 0, 0];
        first.call(object, &Call::new(libc::SYS_fsconfig, arguments))?;
    }
    first.call(object, &Call::new(libc::SYS_fsconfig, [made, FSCONFIG_CMD_CREATE, 0, 0, 0, 0]))?;
    let arguments = [made, 0, devpts.attributes.into(), 0, 0, 0];
    let mounted = first.call(object, &Call::new(libc::SYS_fsmount, arguments))?;
    let (empty, path) = (text(0, b"")?, text(64, &devpts.path)?);
    let arguments = [mounted, empty, HERE, path, MOVE_MOUNT_F_EMPTY_PATH, 0];
    first.call(object, &Call::new(libc::SYS_move_mount, arguments))?;
    for opened in [made, mounted] {
        first.call(object, &Call::new(libc::SYS_close, [opened, 0, 0, 0, 0, 0]))?;
    }
    let flags = (libc::O_PATH | libc::O_DIRECTORY | libc::O_CLOEXEC) as u64;
    let root = first.take_descriptor(object, &Call::new(libc::SYS_openat, [HERE, path, flags, 0, 0, 0]))?;
    first.point(object, Step::RestoreTerminals)?;
    Ok(root)
}

/// Makes the terminals of all devpts: descriptors by their keys.
pub(super) fn make(content: &Content, roots: &BTreeMap<u32, OwnedFd>) -> Result<Vec<(Key, OwnedFd)>> {
    let mut made = Vec::new();
    for (id, root) in roots {
        let terminals: Vec<(&Terminal, Vec<&TerminalEnd>)> = content
            .terminals
            .values()
            .filter(|terminal| terminal.devpts == *id)
            .map(|terminal| (terminal, ends(content, terminal.id).collect()))
            .collect();
        let given = give::give(root.as_fd(), &terminals)?;
        made.extend(given.ends.into_iter().map(|(id, end)| (Key::Description(id), end)));
        made.extend(given.slaves.into_iter().map(|(id, slave)| (Key::Slave(id), slave)));
        made.extend(given.files.into_iter().map(|(id, file)| (Key::SlaveFile(id), file)));
    }
    Ok(made)
}

fn ends(content: &Content, terminal: u32) -> impl Iterator<Item = &TerminalEnd> {
    content.descriptions.values().filter_map(move |record| match record {
        Record::TerminalEnd(end) if end.terminal == terminal => Some(&**end),
        _ => None,
    })
}

/// An id of the session as this process has it.
fn outside(first: &Stub, of: Of, id: u32) -> io::Result<u32> {
    let directory = PathBuf::from(format!("/proc/{}", first.tid));
    let namespace = |directory: &Path| std::fs::read_link(directory.join("ns/user"));
    // Within one user namespace the file shows that namespace's parent.
    if namespace(&directory)? == namespace(Path::new("/proc/self"))? {
        return Ok(id);
    }
    let unknown = || io::Error::other(format!("the session's user namespace has no id {id}"));
    id_map::read(&directory, of)?.outside(id).ok_or_else(unknown)
}

/// Gives the files of slaves their access and owners. It is done here: who opened the terminals made the files, and need not have
/// a name in the session's user namespace, whose root could not give them away then.
pub(super) fn own(first: &Stub, content: &Content, open: &Open) -> Result {
    let object = Object::Mount;
    for terminal in content.terminals.values() {
        let key = Key::SlaveFile(terminal.id);
        let Some(file) = open.descriptor(&key) else { continue };
        let path = format!("/proc/thread-self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&file));
        let mode = rustix::fs::Mode::from_raw_mode(terminal.mode);
        let failed = |error: rustix::io::Errno| first.failed(object, "chmod", error.into());
        rustix::fs::chmod(path, mode).map_err(failed)?;
        let failed = |error: io::Error| first.failed(object, "fchownat", error);
        let user = outside(first, Of::Users, terminal.user).map_err(failed)?;
        let group = outside(first, Of::Groups, terminal.group).map_err(failed)?;
        let (user, group) = (Some(Uid::from_raw(user)), Some(Gid::from_raw(group)));
        let owned = rustix::fs::chownat(file, c"", user, group, AtFlags::EMPTY_PATH);
        owned.map_err(|error| failed(error.into()))?;
    }
    first.point(object, Step::RestoreTerminals)
}

/// Opens `/dev/tty` for each description of it, by a helper with the pid `free` that `first` makes. Then those that were locked are.
pub(super) fn controlling(first: &Stub, free: u32, content: &Content, open: &mut Open, made: &mut Made) -> Result {
    let ends: Vec<(&Common, u32, &[u8])> = content
        .descriptions
        .values()
        .filter_map(|record| match record {
            Record::TerminalEnd(end) => match &end.side {
                TerminalSide::Controlling { path } => Some((&end.common, end.terminal, &path[..])),
                _ => None,
            },
            _ => None,
        })
        .collect();
    if ends.is_empty() {
        return shut(content, open);
    }
    let object = Object::Terminal;
    super::tree::with_helper(first, free, made, |helper| {
        helper.call(object, &Call::new(libc::SYS_setsid, [0; 6]))?;
        for (end, terminal, path) in ends {
            let slave = open.number(&Key::Slave(terminal))?;
            helper.call(object, &ioctl(slave, libc::TIOCSCTTY, 0))?;
            let data = helper.area().data();
            helper.write(object, data, &[path, b"\0"].concat())?;
            let flags = u64::from(end.flags & !libc::O_ASYNC.cast_unsigned()) | libc::O_NOCTTY as u64;
            let call = Call::new(libc::SYS_openat, [HERE, data, flags, 0, 0, 0]);
            let opened = helper.take_descriptor(object, &call)?;
            common::give(opened.as_fd(), end).map_err(|error| helper.failed(object, "F_SETFL", error))?;
            open.add(Key::Description(end.id), opened)?;
            helper.call(object, &ioctl(slave, libc::TIOCNOTTY, 0))?;
        }
        shut(content, open)
    })
}

/// Nothing opens a terminal any more.
fn shut(content: &Content, open: &Open) -> Result {
    for terminal in content.terminals.values() {
        let Some(master) = master(content, terminal.id) else { continue };
        let Some(master) = open.descriptor(&Key::Description(master.common.id)) else { continue };
        give::shut(terminal, master, open.descriptor(&Key::Slave(terminal.id)))?;
    }
    Ok(())
}

fn ioctl(descriptor: u64, request: libc::Ioctl, argument: u64) -> Call {
    Call::new(libc::SYS_ioctl, [descriptor, request, argument, 0, 0, 0])
}

/// The master of a terminal that was not hung up.
fn master(content: &Content, terminal: u32) -> Option<&TerminalEnd> {
    ends(content, terminal).find(|end| end.side == TerminalSide::Master)
}

/// The number of a terminal's master in all processes.
fn number(content: &Content, open: &Open, terminal: u32) -> Result<u64> {
    let end = master(content, terminal);
    let end = end.ok_or_else(|| Error::unable(format!("pseudo-terminal {terminal}"), "it has no master"))?;
    open.number(&Key::Description(end.common.id))
}

/// Gives a leader, which has just made its session, the terminal of that.
pub(super) fn lead(leader: &Stub, session: u32, content: &Content, open: &Open) -> Result {
    let Some(terminal) = content.terminals.values().find(|terminal| terminal.session == session) else {
        return Ok(());
    };
    let master = number(content, open, terminal.id)?;
    leader.call(Object::Terminal, &ioctl(master, libc::TIOCSCTTY, 0))?;
    leader.point(Object::Terminal, Step::RestoreTerminals)
}

/// When all are there: foreground groups, and processes without the terminal of their session.
pub(super) fn settle(forest: &Forest<'_>, content: &Content, open: &Open) -> Result {
    let object = Object::Terminal;
    for terminal in content.terminals.values().filter(|terminal| terminal.session != 0) {
        let leader = forest.stub(terminal.session.cast_signed())?;
        let data = leader.area().data();
        leader.write(object, data, &terminal.foreground.to_ne_bytes())?;
        // Its signals are blocked: nobody in the background is stopped for this.
        leader.call(object, &ioctl(number(content, open, terminal.id)?, libc::TIOCSPGRP, data))?;
        let without = |process: &&Process| {
            process.session == terminal.session
                && process.terminal.is_none()
                && !matches!(process.state, State::Ended { .. })
        };
        for process in content.processes.values().filter(without) {
            let stub = forest.stub(pid(process).cast_signed())?;
            let slave = open.number(&Key::Slave(terminal.id))?;
            stub.call(object, &ioctl(slave, libc::TIOCNOTTY, 0))?;
        }
    }
    Ok(())
}
