//! System calls that no program of a session gets: a filter that answers them as a kernel does that has not got them.
//!
//! What the engine cannot save, and programs use only where it is there, is better not there: with io_uring, which Node, nvim
//! and MariaDB use when they can, no desktop could be saved. Container runtimes answer likewise.
//!
//! In a session that the native engine saves it also asks before a program installs a filter of its own: such filters can be
//! read by root alone, so they are seen when they come (`freezeframe_engine::filters`).
//!
//! The filter is a program of classic BPF (seccomp(2), linux/Documentation/userspace-api/seccomp_filter.rst). It is set with
//! CAP_SYS_ADMIN rather than no_new_privs, so that `sudo` works, and is inherited by every child. [`filter`] is pure.

use std::io;
use std::os::fd::{FromRawFd, OwnedFd};

use nix::errno::Errno;

/// io_uring_setup(2). System calls from 424 on have one number on all processors that we know (linux/scripts/syscall.tbl).
const IO_URING_SETUP: u32 = 425;
/// In the numbers of x86-64 programs with 32-bit pointers (`__X32_SYSCALL_BIT`, asm/unistd.h).
const X32: u32 = 0x4000_0000;

// Whose numbers a call has (linux/audit.h).
const X86_64: u32 = 0xC000_003E;
const I386: u32 = 0x4000_0003;
const AARCH64: u32 = 0xC000_00B7;
const ARM: u32 = 0x4000_0028;

/// Calls that are answered with ENOSYS, by whose numbers they are.
const ABSENT: [(u32, &[u32]); 4] = [
    (X86_64, &[IO_URING_SETUP, IO_URING_SETUP | X32]),
    (I386, &[IO_URING_SETUP]),
    (AARCH64, &[IO_URING_SETUP]),
    (ARM, &[IO_URING_SETUP]),
];

/// A call that is asked about when its first argument, of 32 bits, is one of these.
struct Asked {
    number: u32,
    first: &'static [u32],
}

/// A filter is installed (seccomp(2)).
const INSTALLS: &[u32] = &[libc::SECCOMP_SET_MODE_FILTER];
/// The same by prctl(2); a process adopts orphans, so that its children may have other filters than it has.
const SETS: &[u32] = &[libc::PR_SET_SECCOMP.cast_unsigned(), libc::PR_SET_CHILD_SUBREAPER.cast_unsigned()];

/// By whose numbers they are (linux/scripts/syscall.tbl and those of x86 and arm).
const ASKED: [(u32, &[Asked]); 4] = [
    (
        X86_64,
        &[
            Asked { number: 317, first: INSTALLS },
            Asked { number: 317 | X32, first: INSTALLS },
            Asked { number: 157, first: SETS },
            Asked { number: 157 | X32, first: SETS },
        ],
    ),
    (I386, &[Asked { number: 354, first: INSTALLS }, Asked { number: 172, first: SETS }]),
    (AARCH64, &[Asked { number: 277, first: INSTALLS }, Asked { number: 167, first: SETS }]),
    (ARM, &[Asked { number: 383, first: INSTALLS }, Asked { number: 172, first: SETS }]),
];

/// Offsets in `struct seccomp_data` (linux/seccomp.h).
const NUMBER: u32 = 0;
const ARCHITECTURE: u32 = 4;
/// The low half of the first argument: these processors have it first.
const FIRST: u32 = 16;

const LOAD: u32 = libc::BPF_LD | libc::BPF_W | libc::BPF_ABS;
const JUMP_IF_EQUAL: u32 = libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K;
const RETURN: u32 = libc::BPF_RET | libc::BPF_K;

/// The program that answers the calls of `absent` with ENOSYS, asks about those of `asked`, and lets all others through.
fn filter(absent: &[(u32, &[u32])], asked: &[(u32, &[Asked])]) -> Vec<libc::sock_filter> {
    let allow = || instruction(RETURN, libc::SECCOMP_RET_ALLOW, 0);
    let mut program = vec![instruction(LOAD, ARCHITECTURE, 0)];
    for (architecture, numbers) in absent {
        let asked = asked.iter().find(|(of, _)| of == architecture).map_or(&[][..], |(_, asked)| asked);
        let asks: Vec<libc::sock_filter> = asked.iter().flat_map(ask).collect();
        // Past this architecture's part: the load, the two instructions of each number, what asks, the last return.
        program.push(instruction(JUMP_IF_EQUAL, *architecture, 2 * numbers.len() + asks.len() + 2));
        program.push(instruction(LOAD, NUMBER, 0));
        for number in *numbers {
            program.push(instruction(JUMP_IF_EQUAL, *number, 1));
            program.push(instruction(RETURN, libc::SECCOMP_RET_ERRNO | libc::ENOSYS.cast_unsigned(), 0));
        }
        program.extend(asks);
        program.push(allow());
    }
    program.push(allow());
    program
}

/// The instructions that ask about a call. The number is loaded before, and is still behind them for any other call.
fn ask(asked: &Asked) -> Vec<libc::sock_filter> {
    // Past the load, the two of each argument, the return.
    let mut part = vec![instruction(JUMP_IF_EQUAL, asked.number, 2 * asked.first.len() + 2)];
    part.push(instruction(LOAD, FIRST, 0));
    for first in asked.first {
        part.push(instruction(JUMP_IF_EQUAL, *first, 1));
        part.push(instruction(RETURN, libc::SECCOMP_RET_USER_NOTIF, 0));
    }
    part.push(instruction(RETURN, libc::SECCOMP_RET_ALLOW, 0));
    part
}

/// One instruction, which passes over `otherwise` others when it compares and finds no equality.
fn instruction(code: u32, k: u32, otherwise: usize) -> libc::sock_filter {
    let code = u16::try_from(code).expect("codes of classic BPF have 16 bits");
    let jf = u8::try_from(otherwise).expect("a short table");
    libc::sock_filter { code, jt: 0, jf, k }
}

/// The filter of a session's processes, which asks where it `asks`.
fn of_a_session(asks: bool) -> Vec<libc::sock_filter> {
    filter(&ABSENT, if asks { &ASKED } else { &[] })
}

/// The program of the filter that [`install`] sets, as the kernel reads it: `struct sock_filter`, 8 bytes each.
pub fn program(asks: bool) -> Vec<u8> {
    let bytes = |it: &libc::sock_filter| {
        [it.code.to_ne_bytes(), [it.jt, it.jf]].concat().into_iter().chain(it.k.to_ne_bytes()).collect::<Vec<_>>()
    };
    of_a_session(asks).iter().flat_map(bytes).collect()
}

/// The flags that it is set with. Without this one, kernels before 5.16 slow down every program that has a filter
/// (Documentation/admin-guide/hw-vuln/spectre.rst); it protects nothing that would be worth it.
pub const FLAGS: u32 = libc::SECCOMP_FILTER_FLAG_SPEC_ALLOW as u32;

/// Takes the calls of the table from this thread, and from all that it will start. Where it `asks`, returns the listener: without
/// that, the calls that it asks about fail.
///
/// # Errors
/// When this thread has no CAP_SYS_ADMIN in its user namespace, or the kernel no filters (CONFIG_SECCOMP_FILTER).
pub fn install(asks: bool) -> io::Result<Option<OwnedFd>> {
    let mut program = of_a_session(asks);
    let length = u16::try_from(program.len()).map_err(|_| io::Error::from_raw_os_error(libc::EINVAL))?;
    let program = libc::sock_fprog { len: length, filter: program.as_mut_ptr() };
    let operation = libc::SECCOMP_SET_MODE_FILTER;
    let listener = if asks { libc::SECCOMP_FILTER_FLAG_NEW_LISTENER } else { 0 };
    let flags = u64::from(FLAGS) | listener;
    // SAFETY: seccomp(2) copies the program that `sock_fprog` describes, and both live until the call returns.
    let set = unsafe { libc::syscall(libc::SYS_seccomp, operation, flags, &raw const program) };
    let number = i32::try_from(Errno::result(set)?).map_err(|_| io::Error::from_raw_os_error(libc::EBADF))?;
    // SAFETY: the kernel has just opened it, and nobody else knows it.
    Ok(asks.then(|| unsafe { OwnedFd::from_raw_fd(number) }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ALLOWED: u32 = libc::SECCOMP_RET_ALLOW;
    const NO_SUCH_CALL: u32 = libc::SECCOMP_RET_ERRNO | 38;

    /// What the kernel would do with a call: runs the program, and fails when it would not be taken or does not end.
    fn answer(program: &[libc::sock_filter], architecture: u32, number: u32) -> u32 {
        answer_with(program, architecture, number, 0)
    }

    fn answer_with(program: &[libc::sock_filter], architecture: u32, number: u32, first: u32) -> u32 {
        let mut loaded = 0;
        let mut at = 0;
        loop {
            let step = program.get(at).expect("the program ends by a return");
            at += 1;
            match u32::from(step.code) {
                LOAD if step.k == NUMBER => loaded = number,
                LOAD if step.k == ARCHITECTURE => loaded = architecture,
                LOAD if step.k == FIRST => loaded = first,
                JUMP_IF_EQUAL => at += usize::from(if loaded == step.k { step.jt } else { step.jf }),
                RETURN => return step.k,
                other => panic!("instruction {other:#x}"),
            }
        }
    }

    #[test]
    fn io_uring_is_absent_by_every_number_that_it_has() {
        let program = of_a_session(true);
        for (architecture, number) in
            [(X86_64, 425), (X86_64, 0x4000_0000 + 425), (I386, 425), (AARCH64, 425), (ARM, 425)]
        {
            assert_eq!(answer(&program, architecture, number), NO_SUCH_CALL, "{architecture:#x} {number}");
            assert_eq!(answer(&of_a_session(false), architecture, number), NO_SUCH_CALL);
        }
        // x32's bit means nothing elsewhere.
        assert_eq!(answer(&program, I386, 0x4000_0000 + 425), ALLOWED);
        // Numbers of a processor that is not in the table mean something else.
        assert_eq!(answer(&program, 0x8000_0015, 425), ALLOWED);
    }

    proptest! {
        #[test]
        fn every_other_call_goes_through(number: u32, which in 0..ABSENT.len(), other: u32, first: u32) {
            prop_assume!(number & !X32 != IO_URING_SETUP);
            let architecture = ABSENT[which].0;
            prop_assert_eq!(answer_with(&of_a_session(false), architecture, number, first), ALLOWED);
            prop_assume!(!ASKED.iter().any(|(_, all)| all.iter().any(|asked| asked.number == number)));
            prop_assert_eq!(answer_with(&of_a_session(true), architecture, number, first), ALLOWED);
            prop_assert_eq!(answer_with(&of_a_session(true), other, number, first), ALLOWED);
        }

        #[test]
        fn issue_10_only_what_installs_filters_or_adopts_is_asked_about(which in 0..ASKED.len(), call: usize, first in 0..80u32) {
            let (architecture, asked) = &ASKED[which];
            let call = &asked[call % asked.len()];
            let expected = if call.first.contains(&first) { libc::SECCOMP_RET_USER_NOTIF } else { ALLOWED };
            prop_assert_eq!(answer_with(&of_a_session(true), *architecture, call.number, first), expected);
            prop_assert_eq!(answer_with(&of_a_session(false), *architecture, call.number, first), ALLOWED);
        }
    }

    #[test]
    fn a_table_of_any_size_is_kept_apart_by_architecture() {
        let program = filter(&[(X86_64, &[1, 2, 3]), (I386, &[]), (ARM, &[2])], &[]);
        let absent = |architecture, number| answer(&program, architecture, number) == NO_SUCH_CALL;
        assert!(absent(X86_64, 1) && absent(X86_64, 2) && absent(X86_64, 3) && absent(ARM, 2));
        assert!(!absent(X86_64, 4) && !absent(ARM, 1) && !absent(I386, 1) && !absent(AARCH64, 2));
        assert_eq!(answer(&filter(&[], &[]), X86_64, 425), ALLOWED);
    }

    #[test]
    fn the_kernel_takes_it_for_one_thread_and_its_children() {
        // CI runs as root; without CAP_SYS_ADMIN no filter can be set that lets privileges be gained.
        assert!(rustix::process::geteuid().is_root(), "this test needs root");
        let setup = || {
            let mut parameters = [0u64; 15];
            // SAFETY: io_uring_setup(2) writes 120 bytes of parameters, as long as the array; no entries are invalid.
            Errno::result(unsafe { libc::syscall(425, 0, parameters.as_mut_ptr()) })
        };
        let before = setup();
        let (own, childs) = std::thread::scope(|scope| {
            let work = scope.spawn(|| {
                install(false).unwrap();
                (setup(), std::thread::scope(|inner| inner.spawn(setup).join().unwrap()))
            });
            work.join().unwrap()
        });
        assert_eq!((own, childs), (Err(Errno::ENOSYS), Err(Errno::ENOSYS)));
        assert_eq!(setup(), before, "other threads are as they were");
    }
}
