//! Pipes (pipe(7)): CRIU saves none in packet mode (O_DIRECT), in which what was written stays apart.

use std::io;

use super::descriptor::Descriptor;
use super::{CLOSE, Session, Trouble};

/// What would be lost of one.
pub(super) fn look(descriptor: &Descriptor<'_>, _: &Session<'_>) -> io::Result<Vec<Trouble>> {
    if !descriptor.link.starts_with("pipe:") {
        return Ok(Vec::new());
    }
    let keeps_apart = descriptor.field("flags").is_some_and(keeps_apart);
    let trouble =
        || Trouble::blocking("it has a pipe that keeps writes apart (O_DIRECT), which the engine cannot save", CLOSE);
    Ok(keeps_apart.then(trouble).into_iter().collect())
}

/// Whether `flags`, in octal (proc_pid_fdinfo(5)), have O_DIRECT.
fn keeps_apart(flags: &str) -> bool {
    i32::from_str_radix(flags, 8).is_ok_and(|flags| flags & libc::O_DIRECT != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packet_mode_is_seen_in_the_flags() {
        let flags = |flags: i32| format!("{flags:o}");
        assert!(keeps_apart(&flags(libc::O_DIRECT | libc::O_WRONLY)));
        assert!(!keeps_apart(&flags(libc::O_NONBLOCK | libc::O_WRONLY)) && !keeps_apart("broken"));
    }
}
