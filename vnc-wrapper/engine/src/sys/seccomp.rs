//! Notifications of seccomp filters (seccomp_unotify(2)).

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

/// `SECCOMP_IOCTL_NOTIF_RECV`, `_SEND` and `_ID_VALID` (linux/seccomp.h).
const RECEIVE: libc::c_ulong = 0xc050_2100;
const SEND: libc::c_ulong = 0xc018_2101;
const IS_VALID: libc::c_ulong = 0x4008_2102;
/// `SECCOMP_USER_NOTIF_FLAG_CONTINUE`: the kernel makes the call.
const CONTINUE: u32 = 1;

/// A call that waits for an answer (`struct seccomp_notif`).
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct Notification {
    /// Which one.
    pub id: u64,
    /// The thread that makes it, in our pid namespace; 0 where it is not in there.
    pub tid: u32,
    flags: u32,
    /// The number of the call.
    pub number: i32,
    /// Whose numbers it has (`AUDIT_ARCH_*`).
    pub architecture: u32,
    /// Behind the instruction that makes it.
    pub instruction: u64,
    /// Its arguments.
    pub arguments: [u64; 6],
}

/// `struct seccomp_notif_resp`.
#[repr(C)]
struct Answer {
    id: u64,
    value: i64,
    error: i32,
    flags: u32,
}

fn ioctl<T>(listener: BorrowedFd<'_>, request: libc::c_ulong, argument: &mut T) -> io::Result<()> {
    // SAFETY: the callers pass what the request reads and writes, of its size, and it lives until the call returns.
    let done = unsafe { libc::ioctl(listener.as_raw_fd(), request, std::ptr::from_mut(argument)) };
    if done < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// The next call that waits.
///
/// # Errors
/// `ENOENT`: it does not wait any more.
pub fn receive(listener: BorrowedFd<'_>) -> io::Result<Notification> {
    // The kernel wants it to be zero.
    let mut notification = Notification::default();
    ioctl(listener, RECEIVE, &mut notification)?;
    Ok(notification)
}

/// Has the kernel make the call.
///
/// # Errors
/// `ENOENT`: it does not wait any more; it was not made.
pub fn let_through(listener: BorrowedFd<'_>, id: u64) -> io::Result<()> {
    ioctl(listener, SEND, &mut Answer { id, value: 0, error: 0, flags: CONTINUE })
}

/// Whether the call still waits, so that its thread is still who made it.
#[must_use]
pub fn waits(listener: BorrowedFd<'_>, mut id: u64) -> bool {
    ioctl(listener, IS_VALID, &mut id).is_ok()
}

#[cfg(test)]
pub(crate) mod testing {
    use std::arch::asm;

    /// The bytes of a program.
    pub(crate) fn bytes(program: &[(u16, u8, u8, u32)]) -> Vec<u8> {
        let bytes =
            |(code, jt, jf, k): &(u16, u8, u8, u32)| [&code.to_ne_bytes()[..], &[*jt, *jf], &k.to_ne_bytes()].concat();
        program.iter().flat_map(bytes).collect()
    }

    /// Installs `program` for this thread, with `flags`; what seccomp(2) answers.
    pub(crate) fn install(program: &[u8], flags: libc::c_ulong) -> i64 {
        let described =
            libc::sock_fprog { len: (program.len() / 8) as u16, filter: program.as_ptr().cast_mut().cast() };
        let operation = libc::SECCOMP_SET_MODE_FILTER;
        // SAFETY: the kernel copies the program that is described, which lives until the call returns.
        unsafe { libc::syscall(libc::SYS_seccomp, operation, flags, &raw const described) }
    }

    /// [`install`] by prctl(2).
    pub(crate) fn install_by_prctl(program: &[u8]) -> i32 {
        let described =
            libc::sock_fprog { len: (program.len() / 8) as u16, filter: program.as_ptr().cast_mut().cast() };
        // SAFETY: as above.
        unsafe { libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const described) }
    }

    /// No privileges are gained from here on: so filters can be installed without any.
    pub(crate) fn no_new_privileges() {
        // SAFETY: numbers only.
        assert_eq!(unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) }, 0);
    }

    /// What a thread with these filters gets when it makes call `number`, if any: an error, and where it made the call. None where
    /// the kernel does not take one of them.
    pub(crate) fn answers(programs: &[&[u8]], number: Option<u32>, arguments: [u64; 6]) -> Option<(u32, u64)> {
        let programs: Vec<Vec<u8>> = programs.iter().map(|program| program.to_vec()).collect();
        let work = move || {
            no_new_privileges();
            if !programs.iter().all(|program| install(program, 0) == 0) {
                return None;
            }
            let Some(number) = number else { return Some((0, 0)) };
            let (result, instruction): (i64, u64);
            let [a, b, c, d, e, f] = arguments;
            // SAFETY: a call that no kernel has; it changes nothing but rax, rcx and r11.
            unsafe {
                asm!(
                    "lea {at}, [rip + 2f]",
                    "syscall",
                    "2:",
                    at = out(reg) instruction,
                    inlateout("rax") i64::from(number) => result,
                    in("rdi") a, in("rsi") b, in("rdx") c, in("r10") d, in("r8") e, in("r9") f,
                    lateout("rcx") _, lateout("r11") _,
                );
            }
            Some((-result as u32, instruction))
        };
        std::thread::spawn(work).join().unwrap_or(None)
    }
}
