//! Answers the filter that a session's threads begin with, and logs what they install.
//!
//! That filter answers by `SECCOMP_RET_USER_NOTIF` for seccomp(2), for prctl(2) with PR_SET_SECCOMP, and for prctl(2) with
//! PR_SET_CHILD_SUBREAPER, which changes who is whose parent. Every call is let through. One is answered at a time, and its end
//! is waited for where it can be seen, so that the log knows in which order filters were installed.
//!
//! A program that changes its memory while it makes the call (seccomp_unotify(2)) has another filter in its snapshots than it
//! has; it has got in no way less than it asked for before.

use std::fmt;
use std::io::{self, IoSlice, IoSliceMut, PipeReader, PipeWriter};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use libc::pid_t;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, SocketFlags, SocketType, recvmsg, sendmsg, socketpair,
};

use super::log::{Filter, Log, Seen};
use super::program::{INSTRUCTION, MOST, X86_64};
use super::{Shared, look};
use crate::sys::memory;
use crate::sys::seccomp::{self, Notification};

/// How long the end of a call is waited for. What takes longer was refused, as a rule, by a thread that goes on computing.
const PATIENCE: Duration = Duration::from_millis(20);
/// From how many processes on the log is looked through for those that have ended.
const MANY: usize = 1024;
/// `__X32_SYSCALL_BIT` (asm/unistd.h).
const X32: i32 = 0x4000_0000;
const SET_SECCOMP: u32 = libc::PR_SET_SECCOMP.cast_unsigned();
const SET_CHILD_SUBREAPER: u32 = libc::PR_SET_CHILD_SUBREAPER.cast_unsigned();
/// seccomp(2) and prctl(2) of 32-bit programs (asm/unistd_32.h).
const SECCOMP_32: i32 = 354;
const PRCTL_32: i32 = 172;
/// Flags that stay with a filter. The others say how it is installed.
const KEPT: u64 = !(libc::SECCOMP_FILTER_FLAG_TSYNC | libc::SECCOMP_FILTER_FLAG_TSYNC_ESRCH);

/// Where listeners are handed over: by a process that has just installed the filter, before its program runs.
#[derive(Debug)]
pub struct Mailbox {
    slot: OwnedFd,
    inside: OwnedFd,
}

impl Mailbox {
    /// An empty one.
    ///
    /// # Errors
    /// When there are no descriptors for it.
    pub fn new() -> io::Result<Self> {
        let (slot, inside) = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?;
        Ok(Self { slot, inside })
    }

    /// Where to put them in ([`put`]).
    #[must_use]
    pub fn slot(&self) -> BorrowedFd<'_> {
        self.slot.as_fd()
    }
}

/// Puts a listener into the mailbox with this slot.
///
/// # Errors
/// When nobody takes them out any more.
pub fn put(slot: BorrowedFd<'_>, listener: BorrowedFd<'_>) -> io::Result<()> {
    let descriptors = [listener];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    ancillary.push(SendAncillaryMessage::ScmRights(&descriptors));
    sendmsg(slot, &[IoSlice::new(b"l")], &mut ancillary, SendFlags::NOSIGNAL)?;
    Ok(())
}

/// Takes out what is in a mailbox.
fn take(inside: &OwnedFd) -> Vec<OwnedFd> {
    let mut all = Vec::new();
    loop {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut ancillary = RecvAncillaryBuffer::new(&mut space);
        let flags = RecvFlags::DONTWAIT | RecvFlags::CMSG_CLOEXEC;
        match recvmsg(inside, &mut [IoSliceMut::new(&mut [0])], &mut ancillary, flags) {
            Ok(received) if received.bytes > 0 => {}
            _ => return all,
        }
        all.extend(ancillary.drain().flat_map(|message| match message {
            RecvAncillaryMessage::ScmRights(descriptors) => descriptors.collect(),
            _ => Vec::new(),
        }));
    }
}

/// A thread that answers for as long as this lives. Without it those calls fail in the session (`ENOSYS`).
pub struct Watch {
    log: Shared,
    slot: OwnedFd,
    /// Closed, it ends.
    end: Option<PipeWriter>,
    thread: Option<JoinHandle<()>>,
}

/// The log, also after somebody panicked with it.
pub fn lock(log: &Mutex<Log>) -> MutexGuard<'_, Log> {
    log.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Watch {
    /// Answers for a session whose threads begin with the filters `base`, oldest first, and whose listeners come by `mailbox`.
    ///
    /// # Errors
    /// When there is no descriptor or thread for it.
    pub fn start(base: Vec<Filter>, mailbox: Mailbox) -> io::Result<Self> {
        let log = Arc::new(Mutex::new(Log::new(base)));
        let (ended, end) = io::pipe()?;
        let with = Arc::clone(&log);
        let Mailbox { slot, inside } = mailbox;
        let thread =
            std::thread::Builder::new().name("filters".to_owned()).spawn(move || serve(&with, &inside, &ended))?;
        Ok(Self { log, slot, end: Some(end), thread: Some(thread) })
    }

    /// Where to put listeners in ([`put`], `SECCOMP_FILTER_FLAG_NEW_LISTENER`), which it answers too.
    #[must_use]
    pub fn slot(&self) -> BorrowedFd<'_> {
        self.slot.as_fd()
    }

    /// What was seen.
    #[must_use]
    pub fn log(&self) -> Shared {
        Arc::clone(&self.log)
    }
}

impl fmt::Debug for Watch {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Watch").finish_non_exhaustive()
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.end = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn serve(log: &Mutex<Log>, mailbox: &OwnedFd, ended: &PipeReader) {
    let mut listeners: Vec<OwnedFd> = Vec::new();
    let mut many = MANY;
    loop {
        let mut files = [ended.as_fd(), mailbox.as_fd()].map(|file| PollFd::new(file, PollFlags::POLLIN)).to_vec();
        files.extend(listeners.iter().map(|listener| PollFd::new(listener.as_fd(), PollFlags::POLLIN)));
        if !matches!(poll(&mut files, PollTimeout::NONE), Ok(_) | Err(nix::errno::Errno::EINTR)) {
            return;
        }
        let found: Vec<PollFlags> = files.iter().map(|file| file.revents().unwrap_or(PollFlags::empty())).collect();
        drop(files);
        if !found[0].is_empty() {
            return;
        }
        for (listener, found) in listeners.iter().zip(&found[2..]) {
            if found.contains(PollFlags::POLLIN)
                && let Ok(call) = seccomp::receive(listener.as_fd())
            {
                answer(log, listener, &call);
            }
        }
        // Nobody has such a filter any more.
        let mut over = found[2..].iter().map(|found| found.contains(PollFlags::POLLHUP));
        listeners.retain(|_| !over.next().unwrap_or(false));
        if found[1].contains(PollFlags::POLLIN) {
            listeners.extend(take(mailbox));
        }
        let mut log = lock(log);
        if log.length() > many {
            log.forget(look::lives);
            many = MANY.max(2 * log.length());
        }
    }
}

/// What a call does.
enum Asked {
    /// Installs what `struct sock_fprog` at `.0` describes; `.1`: that of 32-bit programs.
    Install(u64, bool, u64),
    Adopts,
    Other,
}

impl Asked {
    fn of(call: &Notification) -> Self {
        let [first, second, third, ..] = call.arguments;
        let wide = call.architecture == X86_64;
        let short = !wide || call.number & X32 != 0;
        let number = match (wide, call.number & !X32) {
            (false, SECCOMP_32) => libc::SYS_seccomp,
            (false, PRCTL_32) => libc::SYS_prctl,
            (true, number) => number.into(),
            _ => return Self::Other,
        };
        // The kernel takes 32 bits of an operation or option.
        match (number, first as u32) {
            (libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER) => Self::Install(third, short, second),
            (libc::SYS_prctl, SET_SECCOMP) if second == u64::from(libc::SECCOMP_MODE_FILTER) => {
                Self::Install(third, short, 0)
            }
            (libc::SYS_prctl, SET_CHILD_SUBREAPER) if second != 0 => Self::Adopts,
            _ => Self::Other,
        }
    }
}

fn answer(log: &Mutex<Log>, listener: &OwnedFd, call: &Notification) {
    let tid = call.tid.cast_signed();
    let seen = look::seen(tid).ok();
    let mut attempt = None;
    match (Asked::of(call), seen) {
        (Asked::Install(at, short, flags), Some(seen)) => {
            // One that asks for a listener as well is refused: a thread can have one such filter.
            let refused = flags & libc::SECCOMP_FILTER_FLAG_NEW_LISTENER != 0;
            if let Some(filter) = filter(tid, at, short, (flags & KEPT) as u32).filter(|_| !refused)
                && seccomp::waits(listener.as_fd(), call.id)
            {
                let mut log = lock(log);
                settle(&mut log, &seen);
                log.begins(&seen, filter);
                attempt = Some(seen);
            }
        }
        (Asked::Adopts, Some(seen)) if seccomp::waits(listener.as_fd(), call.id) => lock(log).adopts(seen.process),
        _ => {}
    }
    let let_through = seccomp::let_through(listener.as_fd(), call.id);
    let Some(seen) = attempt else { return };
    if let_through.is_err() {
        // A signal came first: it makes the call once more, or has ended.
        lock(log).cancel(seen.thread);
        return;
    }
    match end(&seen, call.number) {
        End::At(depth) => lock(log).ends(seen.thread, depth),
        End::Gone => lock(log).gone(seen.thread),
        End::Late => {}
    }
}

/// The filter that `struct sock_fprog` at `at` describes; none where the kernel would refuse it.
fn filter(tid: pid_t, at: u64, short: bool, flags: u32) -> Option<Filter> {
    let mut described = [0; 16];
    let described = &mut described[..if short { 8 } else { 16 }];
    memory::read(tid, at, described).ok()?;
    let count = usize::from(u16::from_ne_bytes([described[0], described[1]]));
    let place = if short {
        u32::from_ne_bytes(described[4..8].try_into().ok()?).into()
    } else {
        u64::from_ne_bytes(described[8..16].try_into().ok()?)
    };
    if count == 0 || count > MOST {
        return None;
    }
    let mut bytes = vec![0; count * INSTRUCTION];
    memory::read(tid, place, &mut bytes).ok()?;
    Filter::new(bytes, flags)
}

/// How a call came to its end.
enum End {
    /// With that many filters.
    At(usize),
    /// With its thread.
    Gone,
    /// It was not seen.
    Late,
}

fn end(seen: &Seen, number: i32) -> End {
    let deadline = Instant::now() + PATIENCE;
    let mut wait = Duration::ZERO;
    loop {
        match now(seen, number) {
            End::Late if Instant::now() < deadline => {}
            end => return end,
        }
        std::thread::sleep(wait);
        wait = (wait + Duration::from_micros(20)).min(Duration::from_millis(1));
    }
}

/// Whether the call of `seen` has come to its end: it has another filter, or is in another call.
fn now(seen: &Seen, number: i32) -> End {
    let tid = seen.thread.tid;
    if !look::id(seen.process.tid, tid).is_ok_and(|id| id == seen.thread) {
        return End::Gone;
    }
    let call = std::fs::read_to_string(format!("/proc/{tid}/syscall")).unwrap_or_default();
    match look::depth(tid) {
        Ok(depth) if depth != seen.depth => End::At(depth),
        Ok(depth) => {
            // "running" says nothing, and numbers below 0 are no call's.
            let other = call.split(' ').next().and_then(|word| word.parse::<i32>().ok());
            if other.is_some_and(|other| other >= 0 && other != number) { End::At(depth) } else { End::Late }
        }
        Err(_) => End::Gone,
    }
}

/// Threads of the same process whose last call was not seen to end.
fn settle(log: &mut Log, seen: &Seen) {
    for id in log.unfinished(seen.process) {
        if id == seen.thread {
            continue;
        }
        let other = Seen { thread: id, depth: usize::MAX, ..seen.clone() };
        match now(&other, -1) {
            End::Gone => log.gone(id),
            // Whatever it is in now: as long as it is in seccomp(2) or prctl(2) its filter may be still to come.
            End::At(depth) if is_elsewhere(id.tid) => log.ends(id, depth),
            _ => {}
        }
    }
}

/// Whether a thread is in a call that installs no filter.
fn is_elsewhere(tid: pid_t) -> bool {
    let call = std::fs::read_to_string(format!("/proc/{tid}/syscall")).unwrap_or_default();
    let number = call.split(' ').next().and_then(|word| word.parse::<i64>().ok());
    let installs = [libc::SYS_seccomp, libc::SYS_prctl, SECCOMP_32.into(), PRCTL_32.into()];
    number.is_some_and(|number| number >= 0 && !installs.contains(&(number & !i64::from(X32))))
}
