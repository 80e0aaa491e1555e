//! What waits in a pseudo-terminal. There is no call that looks at it: it is read, and put back as it was.
//!
//! - In canonical mode a read takes one line, and what is not a whole line yet is read outside of that mode. The kernel forgets where
//!   lines end as the mode changes; so lines are read before.
//! - Typed bytes are put back through the master, with everything off that would act on them: echo, signals, translations. Each byte that
//!   ends a line, or acts otherwise, and does not here, is led in by LNEXT (Ctrl-V).
//! - A worker of the kernel takes typed bytes from the master to the slave, by the settings of that moment. The last byte is a STOP: once the
//!   output stands still, all have arrived.
//! - Output is put back through the slave, without OPOST. To a terminal that was stopped nothing can be written: it is let go, and stopped
//!   in the end. Echo that waited until then is shown: nobody can see it before.
//! - A master in packet mode would get a byte before each piece, and news of changed settings: the mode is off meanwhile.
//!
//! (drivers/tty/n_tty.c and drivers/tty/pty.c of Linux 6.18)

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use crate::sys::descriptor;
use crate::sys::terminal::{self, Settings};

/// What a terminal keeps of typed bytes is less than a page (`N_TTY_BUF_SIZE`); with more than this, some may wait where nobody can
/// look without their being acted upon.
pub const FULL: usize = 4000;
/// How long any one step may take: none of them waits for a program.
const PATIENCE: Duration = Duration::from_secs(5);
/// Bytes of one write.
const PIECE: usize = 512;

/// include/uapi/asm-generic/termbits.h.
const ICANON: u32 = libc::ICANON;
const IEXTEN: u32 = libc::IEXTEN;
const EXTPROC: u32 = libc::EXTPROC;
const IXON: u32 = libc::IXON;

/// Both ends of a pseudo-terminal.
#[derive(Clone, Copy, Debug)]
pub struct Ends<'a> {
    /// The master.
    pub master: BorrowedFd<'a>,
    /// A description of the slave for reading and writing.
    pub slave: BorrowedFd<'a>,
}

/// What waits.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Queues {
    /// Typed lines, and whether end of file ends them instead of a character.
    pub lines: Vec<(Vec<u8>, bool)>,
    /// What was typed behind them.
    pub typed: Vec<u8>,
    /// What the master has not read.
    pub output: Vec<u8>,
    /// Whether output was stopped.
    pub stopped: bool,
}

/// How much can be read from an end now: in canonical mode of whole lines.
///
/// # Errors
/// Those of ioctl_tty(2).
pub fn unread(end: BorrowedFd<'_>) -> io::Result<usize> {
    // Where nothing waits yet, what is on its way arrives by this.
    descriptor::ready(end, libc::POLLIN)?;
    Ok(rustix::io::ioctl_fionread(end)? as usize)
}

fn is_canonical(settings: &Settings) -> bool {
    settings.local & (ICANON | EXTPROC) == ICANON
}

/// What was changed meanwhile.
struct Quiet<'a> {
    ends: Ends<'a>,
    settings: Settings,
    packet: bool,
    flags: [u32; 2],
    over: bool,
}

impl<'a> Quiet<'a> {
    fn begin(ends: Ends<'a>) -> io::Result<Self> {
        let settings = terminal::settings(ends.master)?;
        let packet = terminal::packet(ends.master)?;
        let flags = [descriptor::flags(ends.master)?, descriptor::flags(ends.slave)?];
        let quiet = Self { ends, settings, packet, flags, over: false };
        for (end, flags) in [ends.master, ends.slave].into_iter().zip(flags) {
            // Without O_ASYNC too: nobody gets signals.
            let flags = flags & !libc::O_ASYNC.cast_unsigned() | libc::O_NONBLOCK.cast_unsigned();
            descriptor::set_flags(end, flags)?;
        }
        if packet {
            terminal::set_packet(ends.master, false)?;
        }
        Ok(quiet)
    }

    fn end(mut self, settings: &Settings, stopped: bool) -> io::Result<()> {
        self.over = true;
        terminal::set_settings(self.ends.master, settings)?;
        let stopping = if stopped { stop(self.ends, settings) } else { Ok(()) };
        let restored = self.restore();
        stopping.and(restored)
    }

    fn restore(&self) -> io::Result<()> {
        for (end, flags) in [self.ends.master, self.ends.slave].into_iter().zip(self.flags) {
            descriptor::set_flags(end, flags)?;
        }
        if self.packet { terminal::set_packet(self.ends.master, true) } else { Ok(()) }
    }
}

impl Drop for Quiet<'_> {
    fn drop(&mut self) {
        if !self.over {
            // An error was met already.
            let _ = terminal::set_settings(self.ends.master, &self.settings);
            let _ = self.restore();
        }
    }
}

/// Takes what waits, and puts it back. Nobody else may read or write meanwhile.
///
/// # Errors
/// When a call fails. Then what was read may be lost.
pub fn take(ends: Ends<'_>) -> io::Result<Queues> {
    let quiet = Quiet::begin(ends)?;
    let settings = quiet.settings;
    let canonical = is_canonical(&settings);
    // A STOP that is on its way.
    descriptor::ready(ends.slave, libc::POLLIN)?;
    let mut queues = Queues { output: read_all(ends.master)?, ..Queues::default() };
    // There is room now, if it is not stopped.
    queues.stopped = !is_writable(ends.slave)?;
    if queues.stopped || !queues.output.is_empty() {
        start(ends)?;
        show_echoes(ends, &settings)?;
        queues.output.extend(read_all(ends.master)?);
    }
    if canonical {
        while descriptor::ready(ends.slave, libc::POLLIN)? & libc::POLLIN != 0 {
            let bytes = read(ends.slave)?.unwrap_or_default();
            let ends_line = bytes.last().is_some_and(|last| ends_of_lines(&settings).contains(last));
            queues.lines.push((bytes, !ends_line));
        }
    }
    if canonical || unread(ends.slave)? > 0 {
        let mut open = settings;
        open.local &= !(ICANON | EXTPROC | libc::ECHO | libc::ISIG);
        open.characters[libc::VMIN] = 1;
        open.characters[libc::VTIME] = 0;
        terminal::set_settings(ends.master, &open)?;
        queues.typed = read_all(ends.slave)?;
    }
    put_back(ends, &settings, &queues)?;
    quiet.end(&settings, queues.stopped)?;
    Ok(queues)
}

/// Puts `queues` into a pseudo-terminal in which nothing waits, and gives it `settings`. The master is not in packet mode.
///
/// # Errors
/// When a call fails, or there is no room for all.
pub fn give(ends: Ends<'_>, settings: &Settings, queues: &Queues) -> io::Result<()> {
    let quiet = Quiet::begin(ends)?;
    put_back(ends, settings, queues)?;
    quiet.end(settings, queues.stopped)
}

/// What ends a line, by settings in canonical mode.
fn ends_of_lines(settings: &Settings) -> Vec<u8> {
    let mut all = vec![b'\n'];
    let more = [Some(libc::VEOL), (settings.local & IEXTEN != 0).then_some(libc::VEOL2)];
    // A zero: there is none.
    all.extend(more.into_iter().flatten().map(|at| settings.characters[at]).filter(|byte| *byte != 0));
    all
}

/// Leaves the terminal running, in settings that are not its own.
fn put_back(ends: Ends<'_>, settings: &Settings, queues: &Queues) -> io::Result<()> {
    let nothing = queues.lines.is_empty() && queues.typed.is_empty();
    if nothing && queues.output.is_empty() {
        return Ok(());
    }
    let mut plain = Settings { input: 0, output: 0, local: 0, characters: [0; 19], ..*settings };
    if !is_canonical(settings) {
        plain.local = if settings.local & EXTPROC == 0 { 0 } else { settings.local & (EXTPROC | ICANON) };
        terminal::set_settings(ends.master, &plain)?;
        write_all(ends.slave, &queues.output)?;
        write_all(ends.master, &queues.typed)?;
        return until(|| Ok(unread(ends.slave)? >= queues.typed.len()));
    }
    let lines = ends_of_lines(settings);
    // Any three that end no line.
    let mut free = (1..=u8::MAX).filter(|byte| !lines.contains(byte));
    let mut draw = || free.next().unwrap_or(0);
    let [next, end_of_file, stops] = [draw(), draw(), draw()];
    plain.local = ICANON | IEXTEN;
    plain.input = IXON;
    let characters = &mut plain.characters;
    (characters[libc::VLNEXT], characters[libc::VEOF], characters[libc::VSTOP]) = (next, end_of_file, stops);
    (characters[libc::VEOL], characters[libc::VEOL2]) =
        (lines.get(1).copied().unwrap_or(0), lines.get(2).copied().unwrap_or(0));
    terminal::set_settings(ends.master, &plain)?;
    write_all(ends.slave, &queues.output)?;
    if nothing {
        return Ok(());
    }
    let mut bytes = Vec::new();
    let literally = |bytes: &mut Vec<u8>, byte: u8| {
        if [next, end_of_file, stops].contains(&byte) || lines.contains(&byte) {
            bytes.push(next);
        }
        bytes.push(byte);
    };
    for (line, no_end) in &queues.lines {
        let end = if *no_end { end_of_file } else { line.last().copied().unwrap_or(b'\n') };
        let body = if *no_end { line.as_slice() } else { &line[..line.len().saturating_sub(1)] };
        body.iter().for_each(|byte| literally(&mut bytes, *byte));
        bytes.push(end);
    }
    queues.typed.iter().for_each(|byte| literally(&mut bytes, *byte));
    bytes.push(stops);
    write_all(ends.master, &bytes)?;
    until(|| Ok(!is_writable(ends.slave)?))?;
    start(ends)
}

/// Lets output go on, whatever has stopped it: what TCOOFF did not stop, TCOON does not let go.
fn start(ends: Ends<'_>) -> io::Result<()> {
    terminal::flow(ends.slave, true)?;
    terminal::flow(ends.slave, false)
}

/// Shows the echo of what was typed while there was no room for it: nothing else shows that it waits.
fn show_echoes(ends: Ends<'_>, settings: &Settings) -> io::Result<()> {
    // As somebody who ends the use of START and STOP.
    for input in [settings.input | IXON, settings.input & !IXON] {
        terminal::set_settings(ends.master, &Settings { input, ..*settings })?;
    }
    Ok(())
}

/// Stops output, as somebody who types STOP (Ctrl-S) where that is possible.
fn stop(ends: Ends<'_>, settings: &Settings) -> io::Result<()> {
    let key = settings.characters[libc::VSTOP];
    if settings.input & IXON == 0 || settings.local & EXTPROC != 0 || key == 0 {
        return terminal::flow(ends.slave, true);
    }
    write_all(ends.master, &[key])?;
    until(|| Ok(!is_writable(ends.slave)?))
}

fn is_writable(end: BorrowedFd<'_>) -> io::Result<bool> {
    Ok(descriptor::ready(end, libc::POLLOUT)? & libc::POLLOUT != 0)
}

/// Reads once; none: nothing waits.
fn read(end: BorrowedFd<'_>) -> io::Result<Option<Vec<u8>>> {
    let mut bytes = vec![0; 1 << 16];
    match rustix::io::read(end, &mut bytes) {
        Ok(read) => {
            bytes.truncate(read);
            Ok(Some(bytes))
        }
        // The other end is closed, and all of it was read.
        Err(rustix::io::Errno::AGAIN | rustix::io::Errno::IO) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Reads until nothing waits. What is on its way has arrived when the kernel says so.
fn read_all(end: BorrowedFd<'_>) -> io::Result<Vec<u8>> {
    let mut all = Vec::new();
    while let Some(bytes) = read(end)?.filter(|bytes| !bytes.is_empty()) {
        all.extend(bytes);
    }
    Ok(all)
}

fn write_all(end: BorrowedFd<'_>, bytes: &[u8]) -> io::Result<()> {
    for piece in bytes.chunks(PIECE) {
        let mut rest = piece;
        until(|| match rustix::io::write(end, rest) {
            Ok(written) => {
                rest = &rest[written..];
                Ok(rest.is_empty())
            }
            Err(rustix::io::Errno::AGAIN) => Ok(false),
            Err(error) => Err(error.into()),
        })?;
    }
    Ok(())
}

/// Waits for what the kernel does in a moment.
fn until(mut done: impl FnMut() -> io::Result<bool>) -> io::Result<()> {
    let deadline = Instant::now() + PATIENCE;
    while !done()? {
        if Instant::now() > deadline {
            return Err(io::Error::new(io::ErrorKind::TimedOut, "what was put back does not arrive"));
        }
        std::thread::sleep(Duration::from_micros(20));
    }
    Ok(())
}

impl<'a> Ends<'a> {
    /// Both ends.
    pub fn new(master: &'a impl AsFd, slave: &'a impl AsFd) -> Self {
        Self { master: master.as_fd(), slave: slave.as_fd() }
    }
}
