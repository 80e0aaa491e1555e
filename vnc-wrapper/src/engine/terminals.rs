//! What was typed into terminals and not read yet.
//!
//! In canonical mode (termios(3)) CRIU reads the lines that are finished and writes them back behind the one that is not,
//! and does not see that one. So it is all taken before CRIU looks, and typed again, without an echo, before anybody runs.

use std::collections::HashSet;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;

use serde::{Deserialize, Serialize};

use crate::container::processes::Process;
use crate::kernel::terminal::{self, Settings, Terminal};

/// The kernel holds no more of it (`N_TTY_BUF_SIZE`, drivers/tty/n_tty.c); a terminal with about that much is refused
/// ([`crate::objects`]).
const MOST: usize = 4096;
/// What was typed into a terminal.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Typed {
    /// A process that has the terminal open, as the session sees it.
    process: u32,
    /// Its descriptor.
    descriptor: i32,
    /// Lines that can be read, each with the character that ended it; the end of a file (VEOF) leaves none.
    lines: Vec<Vec<u8>>,
    /// The line that is not finished.
    rest: Vec<u8>,
}

impl Typed {
    fn is_empty(&self) -> bool {
        self.lines.is_empty() && self.rest.is_empty()
    }
}

/// What was taken; dropping it types it again.
#[derive(Debug, Default)]
pub(super) struct Taken(Vec<(Terminal, Typed)>);

impl Taken {
    /// Takes what was typed into the terminals of these processes, all of which have stopped. That the kernel lets us type it
    /// again was looked at before ([`crate::objects`]).
    ///
    /// # Errors
    /// When /proc cannot be read or a terminal does not obey.
    pub(super) fn all(processes: &[Process]) -> io::Result<Self> {
        let (mut all, mut seen) = (Self::default(), HashSet::new());
        for process in processes {
            for descriptor in descriptors(process, &mut seen)? {
                let Some((terminal, settings)) = canonical(process, descriptor)? else { continue };
                // Given to the guard before anything is taken, so that it is typed again whatever happens.
                all.0.push((terminal, Typed { process: process.inside, descriptor, ..Typed::default() }));
                if let Some((terminal, typed)) = all.0.last_mut() {
                    take(terminal, &settings, typed)?;
                }
                all.0.pop_if(|(_, typed)| typed.is_empty());
            }
        }
        Ok(all)
    }

    /// What was taken.
    pub(super) fn typed(&self) -> Vec<Typed> {
        self.0.iter().map(|(_, typed)| typed.clone()).collect()
    }

    /// Leaves the terminals empty: nobody reads them any more.
    pub(super) fn forget(mut self) {
        self.0.clear();
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        for (terminal, typed) in &self.0 {
            if let Err(error) = give(terminal, typed) {
                tracing::error!("what was typed into the terminal of process {} is lost: {error}", typed.process);
            }
        }
    }
}

/// Types `all` into the terminals of these processes, which were restored and do not run yet.
///
/// # Errors
/// When a terminal is not there.
pub(super) fn put_back(processes: &[Process], all: &[Typed]) -> io::Result<()> {
    for typed in all {
        let process = processes.iter().find(|p| p.inside == typed.process).ok_or(io::ErrorKind::NotFound)?;
        let (terminal, _) = canonical(process, typed.descriptor)?.ok_or(io::ErrorKind::NotFound)?;
        give(&terminal, typed)?;
    }
    Ok(())
}

/// Descriptors of terminals that were not seen before.
fn descriptors(process: &Process, seen: &mut HashSet<(u64, u64)>) -> io::Result<Vec<i32>> {
    let mut found = Vec::new();
    if process.state == 'Z' {
        return Ok(found);
    }
    for entry in fs::read_dir(process.proc("fd"))? {
        let entry = entry?;
        if !fs::read_link(entry.path()).is_ok_and(|link| link.starts_with("/dev")) {
            continue;
        }
        let Ok(metadata) = fs::metadata(entry.path()) else { continue };
        if terminal::MAJORS.contains(&rustix::fs::major(metadata.rdev()))
            && seen.insert((metadata.dev(), metadata.rdev()))
        {
            found.extend(entry.file_name().to_str().and_then(|n| n.parse::<i32>().ok()));
        }
    }
    Ok(found)
}

/// The terminal behind a descriptor, and its settings, if it is in canonical mode.
fn canonical(process: &Process, descriptor: i32) -> io::Result<Option<(Terminal, Settings)>> {
    let terminal = match Terminal::open(&process.proc("fd").join(descriptor.to_string())) {
        // Its other end is gone; it will be read as ended.
        Err(error) if error.raw_os_error() == Some(libc::EIO) => return Ok(None),
        other => other?,
    };
    let settings = terminal.settings()?;
    Ok(terminal.is_canonical()?.then_some((terminal, settings)))
}

/// Takes the lines, and then, in a mode without lines, what is left.
fn take(terminal: &Terminal, settings: &Settings, typed: &mut Typed) -> io::Result<()> {
    while let Some(line) = terminal.take(MOST)? {
        typed.lines.push(line);
        if typed.lines.len() > MOST {
            return Err(io::Error::other("a terminal reads as ended for ever"));
        }
    }
    // IXON and its characters stay: a master in packet mode is told of a change (TIOCPKT).
    let mut raw = *settings;
    raw.c_lflag &= !libc::ICANON;
    (raw.c_cc[libc::VMIN], raw.c_cc[libc::VTIME]) = (1, 0);
    terminal.set(&raw)?;
    let left = terminal.take(MOST);
    terminal.set(settings)?;
    typed.rest = left?.unwrap_or_default();
    Ok(())
}

/// Types everything in canonical mode, without an echo, and each byte with one before it that takes its meaning away
/// (VLNEXT), but for the ends of lines.
fn give(terminal: &Terminal, typed: &Typed) -> io::Result<()> {
    let settings = terminal.settings()?;
    let taken = [libc::VSTART, libc::VSTOP, libc::VEOL, libc::VEOL2].map(|n| settings.c_cc[n]);
    let mut free = (1..32).filter(|c| !taken.contains(c) && !b"\r\n".contains(c));
    let (Some(literal), Some(end)) = (free.next(), free.next()) else { return Err(io::ErrorKind::InvalidInput.into()) };
    let mut quiet = settings;
    quiet.c_iflag &=
        !(libc::ISTRIP | libc::IUCLC | libc::PARMRK | libc::INLCR | libc::IGNCR | libc::ICRNL | libc::IXANY);
    let echoes = libc::ECHO | libc::ECHOE | libc::ECHOK | libc::ECHONL | libc::ECHOCTL | libc::ECHOPRT | libc::ECHOKE;
    quiet.c_lflag = settings.c_lflag & !(echoes | libc::ISIG) | libc::ICANON | libc::IEXTEN;
    for number in [libc::VERASE, libc::VKILL, libc::VWERASE, libc::VREPRINT] {
        quiet.c_cc[number] = 0;
    }
    (quiet.c_cc[libc::VLNEXT], quiet.c_cc[libc::VEOF]) = (literal, end);
    terminal.set(&quiet)?;
    let outcome = keys(typed, taken[2..].try_into().unwrap_or_default(), literal, end)
        .into_iter()
        .try_for_each(|byte| terminal.type_byte(byte));
    terminal.set(&settings)?;
    outcome
}

/// The bytes to type: `ends` are the characters that end a line beside LF, 0 for none.
fn keys(typed: &Typed, ends: [u8; 2], literal: u8, end: u8) -> Vec<u8> {
    let quoted = |bytes: &[u8]| bytes.iter().flat_map(|b| [literal, *b]).collect::<Vec<u8>>();
    let mut keys = Vec::new();
    for line in &typed.lines {
        match line.split_last() {
            Some((last, text)) if *last == b'\n' || (*last != 0 && ends.contains(last)) => {
                keys.extend(quoted(text));
                keys.push(*last);
            }
            _ => {
                keys.extend(quoted(line));
                keys.push(end);
            }
        }
    }
    keys.extend(quoted(&typed.rest));
    keys
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What can be read, line by line; then all the rest.
    fn read(terminal: &Terminal) -> Typed {
        let mut typed = Typed::default();
        take(terminal, &terminal.settings().unwrap(), &mut typed).unwrap();
        typed
    }

    #[test]
    fn what_was_typed_is_there_again_and_nothing_is_shown() {
        let (master, terminal) = terminal::new().unwrap();
        let mut settings = terminal.settings().unwrap();
        settings.c_cc[libc::VEOL] = b';';
        terminal.set(&settings).unwrap();
        // A line, one ended by VEOL, one by the end of the file after a newline that means nothing, an empty one, a rest
        // with characters that mean something.
        rustix::io::write(&master, b"one\ntwo;thr\x16\nee\x04\x04ha\x16\x03\x16\x16\x16\x7flf").unwrap();
        let typed = read(&terminal);
        let lines: Vec<&[u8]> = typed.lines.iter().map(Vec::as_slice).collect();
        assert_eq!(lines, [&b"one\n"[..], b"two;", b"thr\nee", b""]);
        assert_eq!(typed.rest, b"ha\x03\x16\x7flf");
        assert_eq!(read(&terminal), Typed::default());
        let shown = rustix::io::ioctl_fionread(&master).unwrap();
        give(&terminal, &typed).unwrap();
        assert_eq!(rustix::io::ioctl_fionread(&master).unwrap(), shown);
        assert_eq!(terminal.settings().unwrap().c_cc, settings.c_cc);
        assert_eq!(terminal.settings().unwrap().c_lflag, settings.c_lflag);
        // It goes on as if nothing had been.
        rustix::io::write(&master, b"way\n").unwrap();
        let again = read(&terminal);
        assert_eq!(again.lines[..4], typed.lines[..]);
        assert_eq!(again.lines[4..], [b"ha\x03\x16\x7flfway\n"]);
    }

    #[test]
    fn an_unfinished_line_can_still_be_corrected() {
        let (master, terminal) = terminal::new().unwrap();
        rustix::io::write(&master, b"hald").unwrap();
        give(&terminal, &read(&terminal)).unwrap();
        rustix::io::write(&master, b"\x7ff\n").unwrap();
        assert_eq!(read(&terminal).lines, [b"half\n"]);
    }
}
