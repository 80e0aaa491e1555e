//! What every process of a session inherits: set by its init ([`super::apply`]) and by what puts programs in
//! ([`super::enter`]), as root of the session and just before the program runs.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use freezeframe_engine::filters::watch::put;
use rustix::thread::CapabilitySet;

use crate::kernel::seccomp;

/// Capabilities (capabilities(7)) that no program of a desktop needs in a user namespace, most of which the kernel heeds
/// in the initial one alone. What remains is what package management, sudo, ping, mounts, traces and networks take.
const DROPPED: [CapabilitySet; 16] = [
    CapabilitySet::AUDIT_CONTROL,
    CapabilitySet::AUDIT_READ,
    CapabilitySet::BLOCK_SUSPEND,
    CapabilitySet::BPF,
    CapabilitySet::CHECKPOINT_RESTORE,
    CapabilitySet::LINUX_IMMUTABLE,
    CapabilitySet::MAC_ADMIN,
    CapabilitySet::MAC_OVERRIDE,
    CapabilitySet::PERFMON,
    CapabilitySet::SYSLOG,
    CapabilitySet::SYS_BOOT,
    CapabilitySet::SYS_MODULE,
    CapabilitySet::SYS_PACCT,
    CapabilitySet::SYS_RAWIO,
    CapabilitySet::SYS_TIME,
    CapabilitySet::WAKE_ALARM,
];

/// Sets all of it for this process: the filter of system calls, and the bounding set. Anything else that a session's
/// processes are to inherit belongs here. `slot`: where the filter's listener goes
/// ([`freezeframe_engine::filters::watch::Mailbox`]); none: the filter does not ask.
///
/// # Errors
/// When the kernel refuses.
pub fn apply(slot: Option<BorrowedFd<'_>>) -> io::Result<()> {
    let listener = seccomp::install(slot.is_some())?;
    if let Some((slot, listener)) = slot.zip(listener) {
        put(slot, listener.as_fd())?;
    }
    for capability in DROPPED {
        match rustix::thread::remove_capability_from_bounding_set(capability) {
            // A kernel that does not know it cannot give it either.
            Ok(()) | Err(rustix::io::Errno::INVAL) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}
