//! Event descriptors (eventfd(2)): CRIU makes one with its count, for which eventfd(2) takes 32 bits, and without
//! EFD_SEMAPHORE.

use std::io;

use super::descriptor::{Descriptor, field};
use super::{CLOSE, Session, Trouble, anonymous};

/// What would be lost of one.
pub(super) fn look(descriptor: &Descriptor<'_>, _: &Session<'_>) -> io::Result<Vec<Trouble>> {
    if anonymous::kind(&descriptor.link) != Some("eventfd") {
        return Ok(Vec::new());
    }
    Ok(judge(descriptor.about()).into_iter().collect())
}

fn judge(about: &str) -> Option<Trouble> {
    let count = field(about, "eventfd-count").and_then(|hex| u64::from_str_radix(hex, 16).ok())?;
    let object = if count > u64::from(u32::MAX) {
        "it has an eventfd with a count of more than 32 bits, which the engine cannot save"
    } else if field(about, "eventfd-semaphore") == Some("1") {
        "it has an eventfd that is a semaphore (EFD_SEMAPHORE), which the engine cannot save"
    } else {
        return None;
    };
    Some(Trouble::blocking(object, CLOSE))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn eventfds_are_saved_as_far_as_the_engine_can() {
        assert!(judge("pos:\t0\neventfd-count:      10000000005\n").is_some());
        assert!(judge("eventfd-count:                1\neventfd-id: 4\neventfd-semaphore: 1\n").is_some());
        assert_eq!(judge("eventfd-count:         ffffffff\neventfd-semaphore: 0\n"), None);
        assert_eq!(judge(""), None);
    }
}
