//! Threads that have been restored and that CRIU still traces, all of which have stopped: what is done with them through
//! our plugin, in CRIU's process, which alone may (ptrace(2)).

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::unix::fs::FileExt;
use std::os::unix::net::UnixStream;
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::hooks::QUIET;
use super::waits::Call;
use crate::kernel::vdso;

/// Requests of ptrace(2), and one of the plugin's own (`vnc-wrapper/plugin/kernel.rs`).
const CONT: i64 = 7;
const GETREGS: i64 = 12;
const SETREGS: i64 = 13;
const SYSCALL: i64 = 24;
const INTERRUPT: i64 = 0x4207;
const GETSIGMASK: i64 = 0x420a;
const SETSIGMASK: i64 = 0x420b;
const WAIT: i64 = -1;

/// The plugin's `Request`: three words, and what is read or written.
const WORDS: usize = 24;
const BYTES: usize = 256;

/// `PTRACE_EVENT_STOP`; what a stop at a system call adds to its signal (`PTRACE_O_TRACESYSGOOD`, which CRIU has set).
const EVENT_STOP: i32 = 128;
const CALL: i32 = 0x80;
/// A thread that is let go on stops again at once: before its first instruction, or after one system call.
const DEADLINE: Duration = Duration::from_secs(5);
/// How long nothing else is done than to look again, and how often it is looked then.
const AT_ONCE: Duration = Duration::from_millis(1);
const LOOK: Duration = Duration::from_micros(100);

/// `struct user_regs_struct` (sys/user.h) in words, and which is which.
type Registers = [u64; 27];
const R10: usize = 7;
const R8: usize = 9;
const RAX: usize = 10;
const RDX: usize = 12;
const RSI: usize = 13;
const RDI: usize = 14;
const ORIG_RAX: usize = 15;
const RIP: usize = 16;
const CS: usize = 17;
const RSP: usize = 19;
/// `__USER_CS`.
const CODE_64: u64 = 0x33;

/// `-ERESTART_RESTARTBLOCK` (linux/errno.h): the kernel goes on with what is left of a timeout.
const GOES_ON: i64 = -516;
const INTERRUPTED: i64 = -4;
/// So far below its stack pointer nothing of a program is: it may use 128 bytes there (System V ABI for x86_64, 3.2.2).
const BELOW_STACK: u64 = 512;

/// Why a thread has stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stop {
    /// It enters or leaves a system call.
    Call,
    /// It is about to get a signal.
    Signal(i32),
    /// It takes part in its process' stop, by this signal.
    Group(i32),
}

impl Stop {
    /// From what wait4(2) tells.
    fn of(status: i32) -> Option<Self> {
        let (signal, event) = (status >> 8 & 0xff, status >> 16);
        match (status & 0xff, event) {
            (0x7f, 0) if signal == libc::SIGTRAP | CALL => Some(Self::Call),
            (0x7f, 0) => Some(Self::Signal(signal)),
            (0x7f, EVENT_STOP) => Some(Self::Group(signal)),
            _ => None,
        }
    }
}

/// The threads, through the plugin's connection.
pub(super) struct Traced<'a> {
    plugin: &'a mut UnixStream,
    /// Where processes have the instruction for system calls.
    instructions: HashMap<u32, u64>,
}

impl<'a> Traced<'a> {
    /// Those that the plugin at the other end of `plugin` can reach.
    pub(super) fn new(plugin: &'a mut UnixStream) -> Self {
        // Every request is done at once, but CRIU may not be let run for a while. Where this fails, the hook's limit stays.
        let _ = plugin.set_read_timeout(Some(QUIET));
        Self { plugin, instructions: HashMap::new() }
    }

    /// Has a thread make a system call, whose result is returned. Of what waits for it, it gets nothing; `drop` is a signal that
    /// is taken away.
    ///
    /// # Errors
    /// When it cannot be made; the thread is as before.
    pub(super) fn call(
        &mut self,
        thread: u32,
        number: i64,
        arguments: [u64; 5],
        drop: Option<Signal>,
    ) -> io::Result<i64> {
        let (registers, mask) = (self.registers(thread)?, self.mask(thread)?);
        if registers[CS] != CODE_64 {
            return Err(io::Error::other("it is not a program of 64 bits"));
        }
        let mut changed = registers;
        // No call is to be entered again.
        (changed[RAX], changed[ORIG_RAX]) = (number.cast_unsigned(), u64::MAX);
        changed[RIP] = self.instruction(thread)?;
        [changed[RDI], changed[RSI], changed[RDX], changed[R10], changed[R8]] = arguments;
        self.set_mask(thread, drop.map_or(!0, |signal| !bit(signal as i32)))?;
        self.set_registers(thread, &changed)?;
        let made = self.enter_and_leave(thread, drop);
        let result = made.and_then(|()| self.registers(thread));
        self.set_registers(thread, &registers)?;
        self.set_mask(thread, mask)?;
        Ok(result?[RAX].cast_signed())
    }

    fn enter_and_leave(&mut self, thread: u32, drop: Option<Signal>) -> io::Result<()> {
        let (mut calls, mut stopped) = (0, false);
        while calls < 2 {
            match self.go(SYSCALL, thread, 0)? {
                Stop::Call => calls += 1,
                // Nobody can block it; it is sent again.
                Stop::Signal(libc::SIGSTOP) => stopped = true,
                Stop::Group(_) => {}
                Stop::Signal(signal) if drop.is_some_and(|drop| drop as i32 == signal) => {}
                Stop::Signal(signal) => return Err(io::Error::other(format!("it got the signal {signal}"))),
            }
        }
        if stopped {
            kill(Pid::from_raw(thread.cast_signed()), Signal::SIGSTOP)?;
        }
        Ok(())
    }

    /// Has a thread, which is about to return EINTR from `call`, wait on for `left`.
    ///
    /// # Errors
    /// When it cannot; it is as before.
    pub(super) fn wait(&mut self, thread: u32, call: &Call, left: Duration) -> io::Result<()> {
        let (registers, mask) = (self.registers(thread)?, self.mask(thread)?);
        let arguments = [RDI, RSI, RDX, R10].map(|number| registers[number]);
        let is_there = (registers[CS], registers[RIP], arguments) == (CODE_64, call.next, call.arguments);
        if !is_there || ![INTERRUPTED, GOES_ON].contains(&registers[RAX].cast_signed()) {
            return Err(io::Error::other("it is not there any more"));
        }
        let place = (registers[RSP] - BELOW_STACK) & !15;
        let memory = File::options().read(true).write(true).open(format!("/proc/{thread}/mem"))?;
        let mut there = [0; 16];
        memory.read_exact_at(&mut there, place)?;
        let time = [left.as_secs(), left.subsec_nanos().into()].map(u64::to_ne_bytes).concat();
        memory.write_all_at(&time, place)?;

        let (number, arguments) = call.anew(left, place);
        let mut changed = registers;
        (changed[RAX], changed[ORIG_RAX]) = (number, u64::MAX);
        changed[RIP] = self.instruction(thread)?;
        [changed[RDI], changed[RSI], changed[RDX], changed[R10], changed[R8]] = arguments;
        self.set_mask(thread, !0)?;
        self.set_registers(thread, &changed)?;
        let result = self.enter_and_interrupt(thread);

        memory.write_all_at(&there, place)?;
        let mut back = registers;
        // Not as an error of a call, unless it is one that goes on.
        back[ORIG_RAX] = if matches!(result, Ok(GOES_ON)) { call.number } else { u64::MAX };
        back[RAX] = *result.as_ref().unwrap_or(&INTERRUPTED) as u64;
        self.set_registers(thread, &back)?;
        self.set_mask(thread, mask)?;
        result.map(drop)
    }

    /// Lets a thread begin a call; returns its result, which is [`GOES_ON`] as a rule.
    fn enter_and_interrupt(&mut self, thread: u32) -> io::Result<i64> {
        let wrong = |stop| Err(io::Error::other(format!("it has come to {stop:?}")));
        let entered = self.go(SYSCALL, thread, 0)?;
        if entered != Stop::Call {
            return wrong(entered);
        }
        self.ask(SYSCALL, thread, 0, &[])?;
        self.ask(INTERRUPT, thread, 0, &[])?;
        let left = self.next(thread)?;
        if left != Stop::Call {
            return wrong(left);
        }
        let result = self.registers(thread)?[RAX].cast_signed();
        if result == GOES_ON {
            // To where the kernel looks at what a call has returned. The stop just now was the interruption.
            self.ask(INTERRUPT, thread, 0, &[])?;
            let stop = self.go(CONT, thread, 0)?;
            if !matches!(stop, Stop::Group(_)) {
                return wrong(stop);
            }
        }
        Ok(result)
    }

    /// Has the signal `signal`, which waits for the process of these threads, stop them; the first is the process' first.
    ///
    /// # Errors
    /// When it does not.
    pub(super) fn stop(&mut self, threads: &[u32], signal: Signal) -> io::Result<()> {
        let mut masks = Vec::new();
        for thread in threads {
            masks.push((*thread, self.mask(*thread)?));
        }
        let stopped = threads.iter().enumerate().try_for_each(|(at, thread)| {
            self.set_mask(*thread, if at == 0 { !bit(signal as i32) } else { !0 })?;
            let mut stop = self.go(CONT, *thread, 0)?;
            if at == 0 && stop == Stop::Signal(signal as i32) {
                stop = self.go(CONT, *thread, signal as i32)?;
            }
            let wrong = || io::Error::other(format!("it has come to {stop:?}"));
            if stop == Stop::Group(signal as i32) { Ok(()) } else { Err(wrong()) }
        });
        for (thread, mask) in masks {
            self.set_mask(thread, mask)?;
        }
        stopped
    }

    /// Lets a thread go on, with a signal or without one (0), until it stops again.
    fn go(&mut self, how: i64, thread: u32, signal: i32) -> io::Result<Stop> {
        self.ask(how, thread, signal.into(), &[])?;
        self.next(thread)
    }

    /// Why a thread stops next.
    ///
    /// # Errors
    /// When it had to be stopped by force, or cannot be.
    fn next(&mut self, thread: u32) -> io::Result<Stop> {
        if let Some(stop) = self.stop_within(DEADLINE, thread)? {
            return Ok(stop);
        }
        // It must not run on with what is not its own.
        self.ask(INTERRUPT, thread, 0, &[])?;
        self.stop_within(DEADLINE, thread)?;
        Err(io::Error::new(io::ErrorKind::TimedOut, "it does not stop again"))
    }

    fn stop_within(&mut self, time: Duration, thread: u32) -> io::Result<Option<Stop>> {
        let since = Instant::now();
        loop {
            let (changed, bytes) = self.ask(WAIT, thread, 0, &[])?;
            if changed != 0 {
                let status = words::<4>(&bytes).next().map(i32::from_ne_bytes).and_then(Stop::of);
                return status.map(Some).ok_or_else(|| io::Error::from_raw_os_error(libc::ESRCH));
            }
            match since.elapsed() {
                elapsed if elapsed > time => return Ok(None),
                elapsed if elapsed > AT_ONCE => thread::sleep(LOOK),
                _ => {}
            }
        }
    }

    fn instruction(&mut self, thread: u32) -> io::Result<u64> {
        let status = fs::read_to_string(format!("/proc/{thread}/status"))?;
        let process = status.lines().find_map(|line| line.strip_prefix("Tgid:")?.trim().parse().ok()).unwrap_or(thread);
        if let Some(known) = self.instructions.get(&process) {
            return Ok(*known);
        }
        let found = vdso::instruction(process)?;
        self.instructions.insert(process, found);
        Ok(found)
    }

    fn registers(&mut self, thread: u32) -> io::Result<Registers> {
        let (_, bytes) = self.ask(GETREGS, thread, 0, &[])?;
        let mut registers = Registers::default();
        registers.iter_mut().zip(words::<8>(&bytes)).for_each(|(to, from)| *to = u64::from_ne_bytes(from));
        Ok(registers)
    }

    fn set_registers(&mut self, thread: u32, registers: &Registers) -> io::Result<()> {
        let bytes: Vec<u8> = registers.iter().flat_map(|word| word.to_ne_bytes()).collect();
        self.ask(SETREGS, thread, 0, &bytes).map(drop)
    }

    /// The signals that a thread blocks.
    fn mask(&mut self, thread: u32) -> io::Result<u64> {
        let (_, bytes) = self.ask(GETSIGMASK, thread, 0, &[])?;
        words::<8>(&bytes).next().map(u64::from_ne_bytes).ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
    }

    fn set_mask(&mut self, thread: u32, mask: u64) -> io::Result<()> {
        self.ask(SETSIGMASK, thread, 0, &mask.to_ne_bytes()).map(drop)
    }

    /// Asks the plugin; returns the kernel's result, and what it has read.
    fn ask(&mut self, request: i64, thread: u32, data: i64, bytes: &[u8]) -> io::Result<(i64, Vec<u8>)> {
        let mut message: Vec<u8> = [request, thread.into(), data].iter().flat_map(|word| word.to_ne_bytes()).collect();
        message.extend(bytes);
        message.resize(WORDS + BYTES, 0);
        let answered = self.plugin.write_all(&message).and_then(|()| self.plugin.read_exact(&mut message));
        if let Err(error) = answered {
            // What came later would be taken for the answer to something else.
            let _ = self.plugin.shutdown(Shutdown::Both);
            return Err(error);
        }
        let bytes = message.split_off(WORDS);
        let result = words::<8>(&message).next().map_or(0, i64::from_ne_bytes);
        match i32::try_from(-result) {
            Ok(number) if result < 0 => Err(io::Error::from_raw_os_error(number)),
            _ => Ok((result, bytes)),
        }
    }
}

fn words<const N: usize>(bytes: &[u8]) -> impl Iterator<Item = [u8; N]> {
    bytes.chunks_exact(N).filter_map(|chunk| chunk.try_into().ok())
}

/// A signal in a set of signals.
pub(super) fn bit(signal: i32) -> u64 {
    1 << (signal - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stops_are_told_apart() {
        assert_eq!(Stop::of(0x857f), Some(Stop::Call));
        assert_eq!(Stop::of(0x137f), Some(Stop::Signal(libc::SIGSTOP)));
        assert_eq!(Stop::of(0x80_137f), Some(Stop::Group(libc::SIGSTOP)));
        assert_eq!(Stop::of(0), None);
        assert_eq!(Stop::of(9), None);
    }
}
