//! Devices: those that every session has are saved, and terminals.

use std::io;

use super::descriptor::Descriptor;
use super::{CLOSE, Session, Trouble};
use crate::kernel::terminal;

/// Devices of [`crate::container::plan::DEVICES`] have these major numbers: memory devices and tty (devices.txt).
const PLAIN_MAJORS: [u32; 2] = [1, 5];

/// What would be lost of another device.
pub(super) fn look(descriptor: &Descriptor<'_>, _: &Session<'_>) -> io::Result<Vec<Trouble>> {
    let major = descriptor.device();
    Ok(major.and_then(|major| judge(major, &descriptor.link)).into_iter().collect())
}

fn judge(major: u32, path: &str) -> Option<Trouble> {
    let is_saved = PLAIN_MAJORS.contains(&major) || terminal::MAJORS.contains(&major);
    (!is_saved).then(|| Trouble::blocking(format!("it has the device {path} open"), CLOSE))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_are_refused_but_for_those_of_every_session() {
        // null, tty, and a pseudo-terminal; then graphics, sound, kvm and tun, fuse and a disk.
        assert!([1, 5, 136].iter().all(|m| judge(*m, "/dev/x").is_none()));
        let object = |major| judge(major, "/dev/x").map(|t| t.object);
        assert!([226, 116, 10, 8].iter().all(|m| object(*m).as_deref() == Some("it has the device /dev/x open")));
    }
}
