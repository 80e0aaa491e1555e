//! `/proc/PID/limits` (proc_pid_limits(5); `lnames` and `proc_pid_limits` in fs/proc/base.c): readable without the right to
//! trace, unlike `prlimit(2)`.

use std::io;
use std::path::Path;

use super::text::{self, Malformed, decimal};

const FILE: &str = "limits";
/// The most that the file has, in bytes.
const MOST: u64 = 16 << 10;

/// The names by the number of their resource (`RLIMIT_`, asm-generic/resource.h).
const NAMES: [&str; 16] = [
    "Max cpu time",
    "Max file size",
    "Max data size",
    "Max stack size",
    "Max core file size",
    "Max resident set",
    "Max processes",
    "Max open files",
    "Max locked memory",
    "Max address space",
    "Max file locks",
    "Max pending signals",
    "Max msgqueue size",
    "Max nice priority",
    "Max realtime priority",
    "Max realtime timeout",
];

/// A resource limit, in the resource's unit (getrlimit(2)); None: unlimited.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limit {
    /// What is enforced.
    pub soft: Option<u64>,
    /// How far the soft one may be raised.
    pub hard: Option<u64>,
}

/// All limits of a process, by the number of their resource.
pub type Limits = [Limit; NAMES.len()];

/// Reads `limits` in `directory`.
///
/// # Errors
/// When it cannot be read, or is not what the kernel writes.
pub fn read(directory: &Path) -> io::Result<Limits> {
    Ok(parse(&text::read(directory, FILE, MOST)?)?)
}

/// Parses it.
///
/// # Errors
/// When a limit is missing, unknown or not of its form.
pub fn parse(text: &[u8]) -> Result<Limits, Malformed> {
    let mut found = [None; NAMES.len()];
    for line in text::lines(text).skip(1) {
        let malformed = || Malformed::new(FILE, "a limit", line);
        let known = NAMES.iter().position(|name| line.starts_with(format!("{name} ").as_bytes()));
        let resource = known.ok_or_else(malformed)?;
        let mut words = text::words(&line[NAMES[resource].len()..]);
        let mut value = || match words.next()? {
            b"unlimited" => Some(None),
            number => decimal(number).map(Some),
        };
        let (soft, hard) = (value().ok_or_else(malformed)?, value().ok_or_else(malformed)?);
        found[resource] = Some(Limit { soft, hard });
    }
    let mut limits = Limits::default();
    for (at, limit) in found.into_iter().enumerate() {
        limits[at] = limit.ok_or_else(|| Malformed::new(FILE, NAMES[at], b""))?;
    }
    Ok(limits)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// As `proc_pid_limits` writes it; units do not matter.
    fn print(limits: &Limits) -> String {
        let value = |value: Option<u64>| value.map_or_else(|| "unlimited".to_owned(), |number| number.to_string());
        let head = format!("{:<25} {:<20} {:<20} {:<10}\n", "Limit", "Soft Limit", "Hard Limit", "Units");
        let line = |(name, limit): (&&str, &Limit)| {
            format!("{name:<25} {:<20} {:<20} {:<10}\n", value(limit.soft), value(limit.hard), "bytes")
        };
        head + &NAMES.iter().zip(limits).map(line).collect::<String>()
    }

    #[test]
    fn issue_10_limits_are_those_that_the_kernel_enforces() {
        let limits = read(Path::new("/proc/self")).unwrap();
        let asked = rustix::process::getrlimit(rustix::process::Resource::Nofile);
        let files = limits[libc::RLIMIT_NOFILE as usize];
        assert_eq!((files.soft, files.hard), (asked.current, asked.maximum));
        let asked = rustix::process::getrlimit(rustix::process::Resource::Stack);
        assert_eq!(limits[libc::RLIMIT_STACK as usize].soft, asked.current);
    }

    #[test]
    fn a_limit_that_is_missing_or_unknown_is_named() {
        let text = print(&Limits::default());
        let error = parse(text.replace("Max open files", "Max open doors").as_bytes()).unwrap_err();
        assert!(error.text.starts_with("Max open doors"), "{error}");
        let error = parse(text.split("Max realtime timeout").next().unwrap().as_bytes()).unwrap_err();
        assert_eq!(error.field, "Max realtime timeout");
    }

    proptest! {
        #[test]
        fn bytes_do_not_break_limits(bytes in proptest::collection::vec(any::<u8>(), 0..200), at in 0usize..1000) {
            let _ = parse(&bytes);
            let mut text = print(&Limits::default()).into_bytes();
            text.splice(at..at, bytes);
            let _ = parse(&text);
        }

        #[test]
        fn limits_are_read_as_written(values in any::<[(Option<u64>, Option<u64>); 16]>()) {
            let limits = values.map(|(soft, hard)| Limit { soft, hard });
            prop_assert_eq!(parse(print(&limits).as_bytes()), Ok(limits));
        }
    }
}
