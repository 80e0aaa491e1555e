//! Pipes and FIFOs: what waits in them, read without being taken (tee(2)), their capacity, and their ends.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::pipe::{PipeFlags, SpliceFlags};

use super::kind::Kind;
use super::{Error, Finding, Names, Seen, common, fit};
use crate::record::objects::{Pipe, PipeEnd};
use crate::sys::descriptor;

const PAGE: usize = 4096;
/// No pipe of a normal user is longer, unless the administrator allows it (pipe(7), `pipe-max-size`).
const MOST: usize = 1 << 20;
const READ: u32 = libc::O_RDONLY as u32;
const BOTH: u32 = libc::O_RDWR as u32;
const MODE: u32 = libc::O_ACCMODE as u32;
const DIRECT: u32 = libc::O_DIRECT as u32;
/// `O_LARGEFILE` as the kernel counts it: ends that open(2) made have it, those of pipe(2) do not.
const LARGE_FILE: u32 = 0o100_000;

/// What would be lost: the name of a FIFO that is gone.
#[must_use]
pub fn look(seen: &Seen) -> Option<Finding> {
    let gone = Kind::of(seen) == Kind::Fifo && seen.stat.st_nlink == 0;
    gone.then(|| seen.finding("a FIFO that has no name any more"))
}

/// The record of the pipe that an end belongs to; its number in the snapshot is `id`. `seen` is an end for reading, if there is
/// one: without it nobody can read what waits.
///
/// # Errors
/// When it is no pipe, or cannot be read without being changed: a FIFO without a name, more than this user may keep in pipes.
pub fn take(seen: &Seen, id: u32) -> Result<Pipe, Error> {
    let path = match Kind::of(seen) {
        Kind::Pipe => None,
        Kind::Fifo if seen.stat.st_nlink > 0 => Some(fit(seen, "its path", seen.link.clone())?),
        Kind::Fifo => return Err(seen.refused("a FIFO that has no name any more")),
        _ => return Err(seen.refused("it is no pipe")),
    };
    let capacity =
        rustix::pipe::fcntl_getpipe_size(seen.copy()).map_err(|error| seen.failed("F_GETPIPE_SZ")(error.into()))?;
    let flags = descriptor::flags(seen.copy()).map_err(seen.failed("F_GETFL"))?;
    let mut pieces = Vec::new();
    if flags & MODE != libc::O_WRONLY.cast_unsigned() {
        pieces = read(seen.copy(), capacity).map_err(seen.failed("read what waits in it"))?;
    } else if path.is_some() && waiting(seen.copy()).map_err(seen.failed("FIONREAD"))? > 0 {
        // Who opens the FIFO next would read it. That an end for reading comes and goes wakes those who wait to open it.
        let end = descriptor::reopen(seen.copy(), libc::O_NONBLOCK.cast_unsigned()).map_err(seen.failed("open"))?;
        pieces = read(end.as_fd(), capacity).map_err(seen.failed("read what waits in it"))?;
    }
    let any = pieces.iter().any(|piece| piece.packet);
    let packets = pieces.iter().map(|piece| piece.packet).filter(|_| any).collect::<Vec<_>>();
    let mut queue = Vec::new();
    for piece in pieces {
        queue.push(fit(seen, "what waits in it", piece.bytes)?);
    }
    Ok(Pipe {
        id,
        path,
        capacity: u32::try_from(capacity).map_err(|_| seen.refused(format!("a capacity of {capacity}")))?,
        queue: fit(seen, "what waits in it", queue)?,
        packets: fit(seen, "what waits in it", packets)?,
    })
}

/// The record of an end of the pipe with the number `pipe`; its own number in the snapshot is `id`.
///
/// # Errors
/// When the kernel does not answer.
pub fn take_end(seen: &Seen, id: u32, pipe: u32) -> Result<PipeEnd, Error> {
    let common = common::take(seen, id)?;
    let events = descriptor::ready(seen.copy(), 0).map_err(seen.failed("poll"))?;
    let quiet = common.flags & MODE == READ && events & libc::POLLHUP == 0;
    Ok(PipeEnd { common, pipe, quiet })
}

/// Bytes of a pipe: one packet, or what was written without packets.
struct Piece {
    bytes: Vec<u8>,
    packet: bool,
}

fn temporary(size: usize) -> io::Result<(OwnedFd, OwnedFd)> {
    let (from, to) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)?;
    rustix::pipe::fcntl_setpipe_size(&to, size)?;
    Ok((from, to))
}

fn waiting(pipe: impl AsFd) -> io::Result<usize> {
    Ok(rustix::io::ioctl_fionread(pipe)? as usize)
}

/// Reads what waits, from a copy of it. The kernel's buffers go one by one into a pipe that holds one; there, two copies of the
/// same buffer are read as one piece, unless it is a packet.
fn read(pipe: BorrowedFd<'_>, capacity: usize) -> io::Result<Vec<Piece>> {
    let total = waiting(pipe)?;
    let mut pieces: Vec<Piece> = Vec::new();
    if total == 0 {
        return Ok(pieces);
    }
    let all = temporary(capacity)?;
    if rustix::pipe::tee(pipe, &all.1, capacity.max(total), SpliceFlags::NONBLOCK)? != total {
        return Err(io::Error::other("this user may not keep as much in pipes (pipe-user-pages-soft)"));
    }
    let (one, two) = (temporary(PAGE)?, temporary(2 * PAGE)?);
    while waiting(&all.0)? > 0 {
        let length = rustix::pipe::splice(&all.0, None, &one.1, None, MOST, SpliceFlags::NONBLOCK)?;
        for _ in 0..2 {
            rustix::pipe::tee(&one.0, &two.1, MOST, SpliceFlags::NONBLOCK)?;
        }
        let mut bytes = vec![0; 2 * length];
        let packet = match rustix::io::read(&two.0, &mut bytes)? {
            read if read == length => {
                rustix::io::read(&two.0, &mut bytes[length..])?;
                true
            }
            read if read == 2 * length => false,
            read => return Err(io::Error::other(format!("{read} bytes of a buffer of {length}"))),
        };
        bytes.truncate(length);
        rustix::io::read(&one.0, &mut vec![0; length])?;
        match pieces.last_mut().filter(|last| !packet && !last.packet) {
            Some(last) => last.bytes.extend(bytes),
            None => pieces.push(Piece { bytes, packet }),
        }
    }
    let read: usize = pieces.iter().map(|piece| piece.bytes.len()).sum();
    if read == total { Ok(pieces) } else { Err(io::Error::other(format!("{read} of {total} bytes"))) }
}

/// Makes a pipe or opens a FIFO, puts in what waited, and makes `ends`, in their order.
///
/// # Errors
/// When the FIFO is not there, or the kernel refuses: EPERM for more than this user may keep in pipes.
pub fn give(record: &Pipe, ends: &[&PipeEnd], names: &impl Names) -> Result<Vec<OwnedFd>, Error> {
    let who = || format!("pipe {}", record.id);
    make(record, ends, names).map_err(|(call, error)| Error::given(who(), call)(error))
}

type Made<T> = Result<T, (&'static str, io::Error)>;

fn make(record: &Pipe, ends: &[&PipeEnd], names: &impl Names) -> Made<Vec<OwnedFd>> {
    let call = |name| move |error| (name, error);
    let reopen = |from: &OwnedFd, mode: u32| {
        // Without O_NONBLOCK it would wait for the other end.
        let flags = mode & !DIRECT | libc::O_NONBLOCK.cast_unsigned();
        descriptor::reopen(from.as_fd(), flags).map_err(call("open"))
    };
    // Ends for reading and for writing that are ours, so that nothing is lost and nothing waits.
    let (reader, mut writer) = match &record.path {
        Some(path) => {
            let both = names.open(path, BOTH | libc::O_NONBLOCK.cast_unsigned()).map_err(call("open"))?;
            if !is_fifo(&both) {
                return Err(("open", io::Error::other(format!("{} is no FIFO any more", path.escape_ascii()))));
            }
            (reopen(&both, READ)?, both)
        }
        None => rustix::pipe::pipe_with(PipeFlags::CLOEXEC).map_err(|error| ("pipe", error.into()))?,
    };
    let capacity = record.capacity as usize;
    if rustix::pipe::fcntl_getpipe_size(&writer).ok() != Some(capacity) {
        rustix::pipe::fcntl_setpipe_size(&writer, capacity).map_err(|error| ("F_SETPIPE_SZ", error.into()))?;
    }
    fill(record, &writer).map_err(call("write what waited in it"))?;
    let writable = ends.iter().any(|end| end.common.flags & MODE != READ);
    let later = |end: &PipeEnd| end.quiet && !writable && end.common.flags & MODE == READ;
    let mut made: Vec<Option<OwnedFd>> = Vec::new();
    // pipe(2) makes one of each; others were opened by /proc/PID/fd.
    let mut first = [record.path.is_none(); 2];
    for end in ends {
        let (mode, writes) = (end.common.flags & (MODE | LARGE_FILE), usize::from(end.common.flags & MODE != READ));
        made.push(if later(end) {
            None
        } else if mode < BOTH && std::mem::take(&mut first[writes]) {
            Some(descriptor::copy(if writes == 0 { &reader } else { &writer }).map_err(call("fcntl"))?)
        } else {
            Some(reopen(&reader, end.common.flags)?)
        });
    }
    if !writable {
        // An end for reading that was opened while nobody could write gets no hang-up.
        writer = reopen(&reader, READ)?;
        for (made, end) in made.iter_mut().zip(ends).filter(|(made, _)| made.is_none()) {
            *made = Some(reopen(&reader, end.common.flags)?);
        }
    }
    drop((reader, writer));
    let made: Vec<OwnedFd> = made.into_iter().flatten().collect();
    for (made, end) in made.iter().zip(ends) {
        common::give(made.as_fd(), &end.common).map_err(call("F_SETFL"))?;
    }
    Ok(made)
}

fn is_fifo(opened: &OwnedFd) -> bool {
    rustix::fs::fstat(opened)
        .is_ok_and(|stat| rustix::fs::FileType::from_raw_mode(stat.st_mode) == rustix::fs::FileType::Fifo)
}

/// Writes the pieces. Where there are packets, each piece goes through a pipe of ours: tee(2) does not append to the buffer that
/// is there, as a write would.
fn fill(record: &Pipe, writer: &OwnedFd) -> io::Result<()> {
    let whole = |written: usize, bytes: &[u8]| {
        let error = || io::Error::other(format!("{written} of {} bytes fit", bytes.len()));
        if written == bytes.len() { Ok(()) } else { Err(error()) }
    };
    let flags = descriptor::flags(writer.as_fd())?;
    descriptor::set_flags(writer.as_fd(), flags & !DIRECT | libc::O_NONBLOCK.cast_unsigned())?;
    if record.packets.is_empty() {
        for piece in record.queue.iter() {
            whole(rustix::io::write(writer, piece)?, piece)?;
        }
    } else {
        for (piece, packet) in record.queue.iter().zip(record.packets.iter()) {
            let (from, to) = temporary(piece.len().next_multiple_of(PAGE))?;
            let mode = if *packet { DIRECT } else { 0 };
            descriptor::set_flags(to.as_fd(), mode | libc::O_NONBLOCK.cast_unsigned())?;
            whole(rustix::io::write(&to, piece)?, piece)?;
            whole(rustix::pipe::tee(&from, writer, piece.len(), SpliceFlags::NONBLOCK)?, piece)?;
        }
    }
    descriptor::set_flags(writer.as_fd(), flags)
}
