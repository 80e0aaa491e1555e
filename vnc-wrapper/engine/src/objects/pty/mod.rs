//! Pseudo-terminals (pty(7)): both ends, settings, and what waits between them.
//!
//! | module | what it holds |
//! | --- | --- |
//! | [`queue`] | what was typed and not read, and shown and not read |
//! | [`mod@give`] | pseudo-terminals made of their records, all of a devpts together |
//!
//! All settings belong to the slave, and the master can ask for them. A slave that was never opened must not be opened to look at it: its master
//! would get a hang-up from then on. So nothing is known of what was typed there; and nothing of whether a closed slave could be
//! opened once more (TIOCEXCL), which then is to be opened by nobody. A slave whose master is closed answers nothing but end of file and EIO,
//! and keeps its index. Whose controlling terminal a slave is stands in the records of processes.

pub mod give;
pub mod queue;

use std::os::fd::AsFd;

use super::kind::Kind;
use super::{Error, Finding, Seen, common, fit};
use crate::record::Bytes;
use crate::record::terminals::{Terminal, TerminalEnd, TerminalLife, TerminalSettings, TerminalSide, TypedLine};
use crate::sys::descriptor;
use crate::sys::terminal::{self, Settings};

/// `TTYAUX_MAJOR` (include/uapi/linux/major.h): `/dev/tty` is its number 0, `ptmx` number 2.
const OTHERS: u32 = 5;
/// `UNIX98_PTY_SLAVE_MAJOR`: slaves, by their index.
const SLAVES: u32 = 136;

/// Which end of a pseudo-terminal it is, if any. `/dev/tty` may be of another terminal.
#[must_use]
pub fn side(seen: &Seen) -> Option<TerminalSide> {
    match Kind::of(seen) {
        Kind::Character(OTHERS, 2) => Some(TerminalSide::Master),
        Kind::Character(SLAVES, _) => Some(TerminalSide::Slave),
        Kind::Character(OTHERS, 0) => {
            Some(TerminalSide::Controlling { path: seen.link.clone().try_into().unwrap_or_default() })
        }
        _ => None,
    }
}

/// Whether it is the file of a master or slave.
#[must_use]
pub fn is_end(seen: &Seen) -> bool {
    matches!(side(seen), Some(TerminalSide::Master | TerminalSide::Slave))
}

/// Major and minor of a number that the kernel gives to programs (`new_encode_dev`, include/linux/kdev_t.h).
const fn number(device: u32) -> (u32, u32) {
    ((device & 0xf_ff00) >> 8, (device & 0xff) | ((device >> 12) & 0xf_ff00))
}

/// The index of the slave that a `tty_nr` of `/proc/PID/stat` means; none for other terminals.
#[must_use]
pub fn index_of(terminal: i32) -> Option<u32> {
    let (major, minor) = number(terminal.cast_unsigned());
    (major == SLAVES).then_some(minor)
}

/// Whether a file with this device number is the slave of that index.
#[must_use]
pub fn is_slave(device: u64, index: u32) -> bool {
    (rustix::fs::major(device), rustix::fs::minor(device)) == (SLAVES, index)
}

/// The index of the pseudo-terminal that an end is of, and whether it was hung up.
///
/// # Errors
/// When it is of another terminal, or was hung up and its index cannot be known.
pub fn index(seen: &Seen) -> Result<(u32, bool), Error> {
    let asked = match terminal::device(seen.copy()) {
        Err(error) if error.raw_os_error() == Some(libc::EIO) => None,
        device => Some(device.map_err(seen.failed("TIOCGDEV"))?),
    };
    match (Kind::of(seen), asked.map(number)) {
        (Kind::Character(OTHERS, 2), _) => Ok((terminal::index(seen.copy()).map_err(seen.failed("TIOCGPTN"))?, false)),
        (Kind::Character(SLAVES, index), asked) if asked.is_none_or(|asked| asked == (SLAVES, index)) => {
            Ok((index, asked.is_none()))
        }
        (Kind::Character(OTHERS, 0), Some((SLAVES, index))) => Ok((index, false)),
        (Kind::Character(OTHERS, 0), None) => {
            Err(seen.refused("its terminal was hung up, and which it was cannot be known"))
        }
        _ => Err(seen.refused("it is no pseudo-terminal")),
    }
}

/// The record of an end of the pseudo-terminal with the number `terminal`; its own number in the snapshot is `id`.
///
/// # Errors
/// When the kernel does not answer.
pub fn take_end(seen: &Seen, id: u32, terminal: u32, side: TerminalSide) -> Result<TerminalEnd, Error> {
    Ok(TerminalEnd { common: common::take(seen, id)?, terminal, side })
}

/// What would be lost: what the master was not told yet of its slave, and line disciplines.
///
/// # Errors
/// When the kernel does not answer.
pub fn look(master: &Seen, slave: Option<&Seen>) -> Result<Option<Finding>, Error> {
    let write = libc::O_ACCMODE.cast_unsigned() & master.info.flags == libc::O_RDWR.cast_unsigned();
    if !write {
        return Ok(Some(master.finding("a master that is not open for reading and writing")));
    }
    for end in [Some(master), slave].into_iter().flatten() {
        let discipline = terminal::discipline(end.copy()).map_err(end.failed("TIOCGETD"))?;
        if discipline != 0 {
            return Ok(Some(end.finding(format!("line discipline {discipline}"))));
        }
    }
    let events = descriptor::ready(master.copy(), libc::POLLPRI).map_err(master.failed("poll"))?;
    let news = events & libc::POLLPRI != 0;
    let lost = "in packet mode, it has not read what became of its slave";
    Ok(news.then(|| master.passing(lost)))
}

/// Whether the slave of this master was ever opened, of which nobody has a description: then it is closed.
///
/// # Errors
/// When the kernel does not answer.
pub fn was_opened(master: &Seen) -> Result<bool, Error> {
    let events = descriptor::ready(master.copy(), 0).map_err(master.failed("poll"))?;
    Ok(events & libc::POLLHUP != 0)
}

/// Takes what the master and the slave say; `slave` is a description that is not hung up. The rest of the record is `known`: its numbers,
/// owner, session and foreground group. What waits is read and put back: nothing may run that has an end of it.
///
/// # Errors
/// When it cannot be put back as it was, or the kernel does not answer.
pub fn take(master: &Seen, slave: Option<&Seen>, known: Terminal) -> Result<Terminal, Error> {
    let failed = |call| master.failed(call);
    let settings = terminal::settings(master.copy()).map_err(failed("TCGETS2"))?;
    let locked = terminal::locked(master.copy()).map_err(failed("TIOCGPTLCK"))?;
    let mut record = Terminal {
        settings: recorded(&settings),
        window: fit(master, "its window", terminal::window(master.copy()).map_err(failed("TIOCGWINSZ"))?.to_vec())?,
        packet: terminal::packet(master.copy()).map_err(failed("TIOCGPKT"))?,
        locked,
        ..known
    };
    let opened = match slave {
        Some(slave) => slave.copy().try_clone_to_owned().map(Some).map_err(slave.failed("fcntl"))?,
        None if !was_opened(master)? => {
            let waits = queue::unread(master.copy()).map_err(failed("FIONREAD"))?;
            if waits > 0 {
                return Err(master.refused("something waits for it, and its slave was never opened"));
            }
            None
        }
        None => {
            // It was closed, and is again behind this.
            let unlock = |on| terminal::set_locked(master.copy(), on).map_err(failed("TIOCSPTLCK"));
            unlock(false)?;
            let opened = terminal::peer(master.copy(), (libc::O_RDWR | libc::O_NONBLOCK).cast_unsigned());
            unlock(locked)?;
            Some(opened.map_err(failed("TIOCGPTPEER"))?)
        }
    };
    let Some(opened) = opened else {
        record.life = TerminalLife::Unopened;
        return Ok(record);
    };
    record.life = TerminalLife::Opened;
    record.exclusive = terminal::exclusive(opened.as_fd()).map_err(failed("TIOCGEXCL"))?;
    let ends = queue::Ends { master: master.copy(), slave: opened.as_fd() };
    if queue::unread(opened.as_fd()).map_err(failed("FIONREAD"))? >= queue::FULL {
        return Err(master.refused("more was typed than the terminal holds at once; this passes as it is read"));
    }
    let queues = queue::take(ends).map_err(failed("look at what waits"))?;
    let mut lines = Vec::new();
    for (bytes, end_of_file) in queues.lines {
        lines.push(TypedLine { bytes: fit(master, "a typed line", bytes)?, end_of_file });
    }
    record.lines = fit(master, "typed lines", lines)?;
    record.typed = fit(master, "what was typed", queues.typed)?;
    record.output = fit(master, "what was shown", queues.output)?;
    record.stopped = queues.stopped;
    Ok(record)
}

fn recorded(settings: &Settings) -> TerminalSettings {
    TerminalSettings {
        input: settings.input,
        output: settings.output,
        control: settings.control,
        local: settings.local,
        line: settings.line,
        characters: Bytes::try_from(settings.characters.to_vec()).unwrap_or_default(),
        input_speed: settings.input_speed,
        output_speed: settings.output_speed,
    }
}

/// The kernel's form of settings; missing characters are disabled.
fn settings(record: &TerminalSettings) -> Settings {
    let mut characters = [0; 19];
    characters.iter_mut().zip(record.characters.iter()).for_each(|(to, from)| *to = *from);
    Settings {
        input: record.input,
        output: record.output,
        control: record.control,
        local: record.local,
        line: record.line,
        characters,
        input_speed: record.input_speed,
        output_speed: record.output_speed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn issue_10_device_numbers_are_read_as_the_kernel_writes_them() {
        assert_eq!(index_of(0x8803), Some(3));
        assert_eq!(index_of(0x10_8801), Some(0x101));
        assert_eq!((index_of(0), index_of(0x0401)), (None, None));
    }
}
