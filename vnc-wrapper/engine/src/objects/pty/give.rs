//! Pseudo-terminals made of their records.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{Mode, OFlags, openat};

use super::queue::{self, Ends, Queues};
use super::settings;
use crate::objects::{Error, common};
use crate::record::terminals::{Terminal, TerminalEnd, TerminalLife, TerminalSide};
use crate::sys::terminal;

/// What a slave is opened with.
const OPENED_WITH: u32 = (libc::O_ACCMODE | libc::O_NONBLOCK) as u32;

/// What was made of one devpts.
#[derive(Debug, Default)]
pub struct Given {
    /// Ends, by the numbers of their descriptions. Those of [`TerminalSide::Controlling`] are not among them: they have to be opened by a
    /// process whose controlling terminal it is.
    pub ends: Vec<(u32, OwnedFd)>,
    /// Slaves that were opened, by the numbers of their terminals: closed, when all of them are to be.
    pub slaves: Vec<(u32, OwnedFd)>,
    /// The files of slaves, opened by O_PATH; their owner is who made them.
    pub files: Vec<(u32, OwnedFd)>,
}

/// Makes all pseudo-terminals of a devpts, of which `root` is the root directory; nobody has any there. Each comes with its ends. They can be
/// opened until [`shut`].
///
/// # Errors
/// When the kernel does not make them, or gives other indices.
pub fn give(root: BorrowedFd<'_>, terminals: &[(&Terminal, Vec<&TerminalEnd>)]) -> Result<Given, Error> {
    let mut given = Given::default();
    let mut masters = Vec::new();
    let most = terminals.iter().map(|(terminal, _)| terminal.index).max();
    // The kernel gives the lowest free index: those in between are held until all are there.
    for index in 0..=most.unwrap_or(0) {
        let who = || format!("pseudo-terminal {index}");
        if terminals.is_empty() {
            break;
        }
        let master = openat(root, "ptmx", OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC, Mode::empty());
        let master = master.map_err(|error| Error::given(who(), "open ptmx")(error.into()))?;
        let got = terminal::index(master.as_fd()).map_err(Error::given(who(), "TIOCGPTN"))?;
        if got != index {
            let reason = format!("the kernel gives index {got}: there are others");
            return Err(Error::Refused { what: who(), reason });
        }
        masters.push(master);
    }
    for (record, ends) in terminals {
        let who = || format!("pseudo-terminal {}", record.index);
        let master = &masters[record.index as usize];
        let made = ends_of(root, master, (record, ends))?;
        given.ends.extend(made.ends);
        given.slaves.extend(made.slaves);
        given.files.extend(made.files);
        for end in ends.iter().filter(|end| end.side == TerminalSide::Master) {
            let copy = master.try_clone().map_err(Error::given(who(), "fcntl"))?;
            common::give(copy.as_fd(), &end.common).map_err(Error::given(who(), "F_SETFL"))?;
            given.ends.push((end.common.id, copy));
        }
    }
    // Now masters that nobody has are closed: their slaves are hung up.
    drop(masters);
    Ok(given)
}

/// Lets nobody open the slave who could not before.
///
/// # Errors
/// When the kernel does not.
pub fn shut(record: &Terminal, master: BorrowedFd<'_>, slave: Option<BorrowedFd<'_>>) -> Result<(), Error> {
    let given = |call| Error::given(format!("pseudo-terminal {}", record.index), call);
    if let Some(slave) = slave.filter(|_| record.exclusive) {
        terminal::set_exclusive(slave).map_err(given("TIOCEXCL"))?;
    }
    terminal::set_locked(master, record.locked).map_err(given("TIOCSPTLCK"))
}

fn ends_of(
    root: BorrowedFd<'_>,
    master: &OwnedFd,
    (record, ends): (&Terminal, &[&TerminalEnd]),
) -> Result<Given, Error> {
    let given = |call| Error::given(format!("pseudo-terminal {}", record.index), call);
    let mut made = Given::default();
    terminal::set_locked(master.as_fd(), false).map_err(given("TIOCSPTLCK"))?;
    // Not by TIOCGPTPEER: F_GETFL would show O_CLOEXEC.
    let open = |flags| {
        let opened = openat(root, record.index.to_string(), flags | OFlags::NOCTTY | OFlags::CLOEXEC, Mode::empty());
        opened.map_err(|error| given("open")(error.into()))
    };
    for end in ends.iter().filter(|end| end.side == TerminalSide::Slave) {
        let slave = open(OFlags::from_bits_retain(end.common.flags & OPENED_WITH))?;
        common::give(slave.as_fd(), &end.common).map_err(given("F_SETFL"))?;
        made.ends.push((end.common.id, slave));
    }
    if record.life == TerminalLife::HungUp {
        return Ok(made);
    }
    let settings = settings(&record.settings);
    if record.life == TerminalLife::Opened {
        let slave = open(OFlags::RDWR | OFlags::NONBLOCK)?;
        let queues = Queues {
            lines: record.lines.iter().map(|line| (line.bytes.to_vec(), line.end_of_file)).collect(),
            typed: record.typed.to_vec(),
            output: record.output.to_vec(),
            stopped: record.stopped,
        };
        let ends = Ends { master: master.as_fd(), slave: slave.as_fd() };
        queue::give(ends, &settings, &queues).map_err(given("put back what waits"))?;
        made.slaves.push((record.id, slave));
    } else {
        terminal::set_settings(master.as_fd(), &settings).map_err(given("TCSETS2"))?;
    }
    let window = <[u16; 4]>::try_from(&record.window[..]).unwrap_or_default();
    terminal::set_window(master.as_fd(), window).map_err(given("TIOCSWINSZ"))?;
    terminal::set_packet(master.as_fd(), record.packet).map_err(given("TIOCPKT"))?;
    made.files.push((record.id, open(OFlags::PATH)?));
    Ok(made)
}
