//! System calls that no program of a session gets: a filter that answers them as a kernel does that has not got them.
//!
//! What the engine cannot save, and programs use only where it is there, is better not there: with io_uring, which Node, nvim
//! and MariaDB use when they can, no desktop could be saved. Container runtimes answer likewise.
//!
//! The filter is a program of classic BPF (seccomp(2), linux/Documentation/userspace-api/seccomp_filter.rst). It is set with
//! CAP_SYS_ADMIN rather than no_new_privs, so that `sudo` works, and is inherited by every child. [`filter`] is pure.

use std::io;

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

/// Offsets in `struct seccomp_data` (linux/seccomp.h).
const NUMBER: u32 = 0;
const ARCHITECTURE: u32 = 4;

const LOAD: u32 = libc::BPF_LD | libc::BPF_W | libc::BPF_ABS;
const JUMP_IF_EQUAL: u32 = libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K;
const RETURN: u32 = libc::BPF_RET | libc::BPF_K;

/// The program that answers the calls of `absent` with ENOSYS and lets all others through.
fn filter(absent: &[(u32, &[u32])]) -> Vec<libc::sock_filter> {
    let allow = || instruction(RETURN, libc::SECCOMP_RET_ALLOW, 0);
    let mut program = vec![instruction(LOAD, ARCHITECTURE, 0)];
    for (architecture, numbers) in absent {
        // Past this architecture's part: the load, the two instructions of each number, the last return.
        program.push(instruction(JUMP_IF_EQUAL, *architecture, 2 * numbers.len() + 2));
        program.push(instruction(LOAD, NUMBER, 0));
        for number in *numbers {
            program.push(instruction(JUMP_IF_EQUAL, *number, 1));
            program.push(instruction(RETURN, libc::SECCOMP_RET_ERRNO | libc::ENOSYS.cast_unsigned(), 0));
        }
        program.push(allow());
    }
    program.push(allow());
    program
}

/// One instruction, which passes over `otherwise` others when it compares and finds no equality.
fn instruction(code: u32, k: u32, otherwise: usize) -> libc::sock_filter {
    let code = u16::try_from(code).expect("codes of classic BPF have 16 bits");
    let jf = u8::try_from(otherwise).expect("a short table");
    libc::sock_filter { code, jt: 0, jf, k }
}

/// The program of the filter that [`install`] sets, as the kernel reads it: `struct sock_filter`, 8 bytes each.
pub fn program() -> Vec<u8> {
    let bytes = |it: &libc::sock_filter| {
        [it.code.to_ne_bytes(), [it.jt, it.jf]].concat().into_iter().chain(it.k.to_ne_bytes()).collect::<Vec<_>>()
    };
    filter(&ABSENT).iter().flat_map(bytes).collect()
}

/// The flags that it is set with. Without this one, kernels before 5.16 slow down every program that has a filter
/// (Documentation/admin-guide/hw-vuln/spectre.rst); it protects nothing that would be worth it.
pub const FLAGS: u32 = libc::SECCOMP_FILTER_FLAG_SPEC_ALLOW as u32;

/// Takes the calls of the table from this thread, and from all that it will start.
///
/// # Errors
/// When this thread has no CAP_SYS_ADMIN in its user namespace, or the kernel no filters (CONFIG_SECCOMP_FILTER).
pub fn install() -> io::Result<()> {
    let mut program = filter(&ABSENT);
    let length = u16::try_from(program.len()).map_err(|_| io::Error::from_raw_os_error(libc::EINVAL))?;
    let program = libc::sock_fprog { len: length, filter: program.as_mut_ptr() };
    let operation = libc::SECCOMP_SET_MODE_FILTER;
    // SAFETY: seccomp(2) copies the program that `sock_fprog` describes, and both live until the call returns.
    let set = unsafe { libc::syscall(libc::SYS_seccomp, operation, FLAGS, &raw const program) };
    Errno::result(set)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ALLOWED: u32 = libc::SECCOMP_RET_ALLOW;
    const NO_SUCH_CALL: u32 = libc::SECCOMP_RET_ERRNO | 38;

    /// What the kernel would do with a call: runs the program, and fails when it would not be taken or does not end.
    fn answer(program: &[libc::sock_filter], architecture: u32, number: u32) -> u32 {
        let mut loaded = 0;
        let mut at = 0;
        loop {
            let step = program.get(at).expect("the program ends by a return");
            at += 1;
            match u32::from(step.code) {
                LOAD if step.k == NUMBER => loaded = number,
                LOAD if step.k == ARCHITECTURE => loaded = architecture,
                JUMP_IF_EQUAL => at += usize::from(if loaded == step.k { step.jt } else { step.jf }),
                RETURN => return step.k,
                other => panic!("instruction {other:#x}"),
            }
        }
    }

    #[test]
    fn io_uring_is_absent_by_every_number_that_it_has() {
        let program = filter(&ABSENT);
        for (architecture, number) in
            [(X86_64, 425), (X86_64, 0x4000_0000 + 425), (I386, 425), (AARCH64, 425), (ARM, 425)]
        {
            assert_eq!(answer(&program, architecture, number), NO_SUCH_CALL, "{architecture:#x} {number}");
        }
        // x32's bit means nothing elsewhere.
        assert_eq!(answer(&program, I386, 0x4000_0000 + 425), ALLOWED);
        // Numbers of a processor that is not in the table mean something else.
        assert_eq!(answer(&program, 0x8000_0015, 425), ALLOWED);
    }

    proptest! {
        #[test]
        fn every_other_call_goes_through(number: u32, which in 0..ABSENT.len(), other: u32) {
            prop_assume!(number & !X32 != IO_URING_SETUP);
            let program = filter(&ABSENT);
            prop_assert_eq!(answer(&program, ABSENT[which].0, number), ALLOWED);
            prop_assert_eq!(answer(&program, other, number), ALLOWED);
        }
    }

    #[test]
    fn a_table_of_any_size_is_kept_apart_by_architecture() {
        let program = filter(&[(X86_64, &[1, 2, 3]), (I386, &[]), (ARM, &[2])]);
        let absent = |architecture, number| answer(&program, architecture, number) == NO_SUCH_CALL;
        assert!(absent(X86_64, 1) && absent(X86_64, 2) && absent(X86_64, 3) && absent(ARM, 2));
        assert!(!absent(X86_64, 4) && !absent(ARM, 1) && !absent(I386, 1) && !absent(AARCH64, 2));
        assert_eq!(answer(&filter(&[]), X86_64, 425), ALLOWED);
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
                install().unwrap();
                (setup(), std::thread::scope(|inner| inner.spawn(setup).join().unwrap()))
            });
            work.join().unwrap()
        });
        assert_eq!((own, childs), (Err(Errno::ENOSYS), Err(Errno::ENOSYS)));
        assert_eq!(setup(), before, "other threads are as they were");
    }
}
