//! Which interrupted system calls are entered again. Pure. The numbers are those of x86_64.

/// `-ERESTARTNOHAND` (linux/errno.h): enter it again unless a handler is called.
pub const RESTART: i64 = -514;
/// `-ERESTART_RESTARTBLOCK`: the kernel would go on with what is left of a timeout, which CRIU cannot save.
const RESTART_BLOCK: i64 = -516;
const INTERRUPTED: i64 = -4;

/// A call that is entered again waits for its whole timeout once more. So one with a longer timeout than this returns EINTR,
/// as after any signal, and its program reckons what is left; else a timer would be late, or never come when saves do.
const SHORT_MS: i64 = 1000;

/// `struct user_regs_struct` (sys/user.h).
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct Registers {
    pub r15: u64,
    pub r14: u64,
    pub r13: u64,
    pub r12: u64,
    pub rbp: u64,
    pub rbx: u64,
    pub r11: u64,
    pub r10: u64,
    pub r9: u64,
    pub r8: u64,
    pub rax: u64,
    pub rcx: u64,
    pub rdx: u64,
    pub rsi: u64,
    pub rdi: u64,
    pub orig_rax: u64,
    pub rip: u64,
    pub cs: u64,
    pub rest: [u64; 9],
}

/// The code segment of programs of 64 bits (`__USER_CS`); in others, numbers and arguments are different ones.
const CODE_64: u64 = 0x33;

/// Whether a thread is about to return EINTR from a call that is to wait on. `time` reads a `struct timespec` of it.
pub fn is_to_wait_on(registers: &Registers, time: impl Fn(u64) -> Option<(u64, u64)>) -> bool {
    let Registers { rdi, rsi, rdx, r10, r8, .. } = *registers;
    // A null pointer waits forever.
    let at = |address: u64| address == 0 || time(address).is_some_and(is_short);
    // An int: of the register only the lower half counts; -1 waits forever.
    let milliseconds = |value: u64| i64::from(value as i32) <= SHORT_MS;
    if registers.cs != CODE_64 {
        return false;
    }
    match (registers.rax as i64, registers.orig_rax) {
        (RESTART_BLOCK, number::POLL) => milliseconds(rdx),
        // The kernel has written down what is left; where that is what is slept for, nothing is slept twice.
        (RESTART_BLOCK, number::NANOSLEEP) => rdi == rsi || at(rdi),
        (RESTART_BLOCK, number::CLOCK_NANOSLEEP) => rdx == r10 || at(rdx),
        // All but FUTEX_WAIT wait until a time.
        (RESTART_BLOCK, number::FUTEX) => rsi & 0x7f != 0 || at(r10),
        (INTERRUPTED, number::EPOLL_WAIT | number::EPOLL_PWAIT) => milliseconds(r10),
        (INTERRUPTED, number::EPOLL_PWAIT2 | number::SEMTIMEDOP) => at(r10),
        (INTERRUPTED, number::SEMOP) => true,
        (INTERRUPTED, number::RT_SIGTIMEDWAIT) => at(rdx),
        (INTERRUPTED, number::IO_GETEVENTS | number::IO_PGETEVENTS) => at(r8),
        _ => false,
    }
}

/// Whether a thread waits for a time of which the kernel knows what is left, in a call whose time is not one that it ends at.
pub fn is_counted(registers: &Registers) -> bool {
    let counted = match registers.orig_rax {
        number::POLL | number::NANOSLEEP | number::CLOCK_NANOSLEEP => true,
        number::FUTEX => registers.rsi & 0x7f == 0,
        _ => false,
    };
    registers.cs == CODE_64 && registers.rax as i64 == RESTART_BLOCK && counted
}

fn is_short((seconds, nanoseconds): (u64, u64)) -> bool {
    let milliseconds = seconds.checked_mul(1000).and_then(|s| s.checked_add(nanoseconds / 1_000_000));
    milliseconds.is_some_and(|m| m <= SHORT_MS.unsigned_abs())
}

/// Numbers of system calls (asm/unistd_64.h).
pub mod number {
    pub const POLL: u64 = 7;
    pub const NANOSLEEP: u64 = 35;
    pub const SEMOP: u64 = 65;
    pub const RT_SIGTIMEDWAIT: u64 = 128;
    pub const FUTEX: u64 = 202;
    pub const IO_GETEVENTS: u64 = 208;
    pub const SEMTIMEDOP: u64 = 220;
    pub const CLOCK_NANOSLEEP: u64 = 230;
    pub const EPOLL_WAIT: u64 = 232;
    pub const EPOLL_PWAIT: u64 = 281;
    pub const IO_PGETEVENTS: u64 = 333;
    pub const EPOLL_PWAIT2: u64 = 441;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stopped(number: u64, result: i64) -> Registers {
        Registers { orig_rax: number, rax: result.cast_unsigned(), cs: CODE_64, ..Registers::default() }
    }

    const NEVER: u64 = u64::MAX;

    #[test]
    fn what_waits_for_ever_or_shortly_waits_on() {
        let none = |_| None;
        let forever = u64::from(u32::MAX);
        assert!(is_to_wait_on(&Registers { rdx: forever, ..stopped(number::POLL, -516) }, none));
        assert!(is_to_wait_on(&Registers { rdx: 1000, ..stopped(number::POLL, -516) }, none));
        assert!(!is_to_wait_on(&Registers { rdx: 1001, ..stopped(number::POLL, -516) }, none));
        assert!(is_to_wait_on(&Registers { r10: NEVER, ..stopped(number::EPOLL_WAIT, -4) }, none));
        assert!(!is_to_wait_on(&Registers { r10: 60_000, ..stopped(number::EPOLL_WAIT, -4) }, none));
        assert!(is_to_wait_on(&stopped(number::EPOLL_PWAIT2, -4), none));
        assert!(is_to_wait_on(&stopped(number::SEMOP, -4), none));
    }

    #[test]
    fn times_are_read_where_they_are() {
        let at_8 = |seconds, nanoseconds| move |address| (address == 8).then_some((seconds, nanoseconds));
        let sleeping = |request, left| Registers { rdi: request, rsi: left, ..stopped(number::NANOSLEEP, -516) };
        assert!(is_to_wait_on(&sleeping(8, 0), at_8(0, 300_000_000)));
        assert!(!is_to_wait_on(&sleeping(8, 0), at_8(3600, 0)));
        assert!(!is_to_wait_on(&sleeping(8, 16), at_8(3600, 0)));
        assert!(is_to_wait_on(&sleeping(8, 8), at_8(3600, 0)));
        assert!(!is_to_wait_on(&sleeping(24, 0), at_8(0, 0)));
        assert!(!is_to_wait_on(&sleeping(8, 0), at_8(NEVER, 0)));
        let until = Registers { rsi: 0x89, r10: 8, ..stopped(number::FUTEX, -516) };
        assert!(is_to_wait_on(&until, at_8(3600, 0)));
        assert!(!is_to_wait_on(&Registers { rsi: 0x80, ..until }, at_8(3600, 0)));
    }

    #[test]
    fn only_of_some_calls_it_is_known_what_is_left() {
        assert!(is_counted(&stopped(number::POLL, -516)) && is_counted(&stopped(number::NANOSLEEP, -516)));
        assert!(is_counted(&stopped(number::FUTEX, -516)));
        assert!(!is_counted(&Registers { rsi: 0x89, ..stopped(number::FUTEX, -516) }));
        assert!(!is_counted(&stopped(number::EPOLL_WAIT, -516)) && !is_counted(&stopped(number::POLL, -4)));
        assert!(!is_counted(&Registers { cs: 0x23, ..stopped(number::POLL, -516) }));
    }

    #[test]
    fn nothing_else_is_touched() {
        let none = |_| None;
        assert!(!is_to_wait_on(&stopped(number::POLL, 1), none));
        assert!(!is_to_wait_on(&stopped(0, -4), none));
        assert!(!is_to_wait_on(&stopped(NEVER, -4), none));
        assert!(!is_to_wait_on(&Registers { cs: 0x23, ..stopped(number::SEMOP, -4) }, none));
    }
}
