//! Keyrings (keyrings(7)), which namespaces do not keep apart.

use std::io;

use nix::errno::Errno;

/// `KEYCTL_JOIN_SESSION_KEYRING` of linux/keyctl.h.
const JOIN_SESSION_KEYRING: libc::c_long = 1;

/// Leaves the session keyring that this process inherited for a new, empty one. All that it starts inherits that.
///
/// Otherwise programs in the session could read what is in the user's own: Kerberos tickets, keys of encrypted disks.
///
/// # Errors
/// When the kernel refuses. A kernel without keyrings is no error.
pub fn leave() -> io::Result<()> {
    let no_name: *const libc::c_char = std::ptr::null();
    // SAFETY: keyctl_join_session_keyring(3) without a name reads no memory.
    match Errno::result(unsafe { libc::syscall(libc::SYS_keyctl, JOIN_SESSION_KEYRING, no_name) }) {
        Ok(_) | Err(Errno::ENOSYS) => Ok(()),
        Err(error) => Err(error.into()),
    }
}
