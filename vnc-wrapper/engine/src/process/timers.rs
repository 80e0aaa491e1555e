//! `/proc/PID/timers`: POSIX timers (proc_pid_timers(5); `show_timer` in fs/proc/base.c). What is left of each is asked in the
//! process itself (`timer_gettime(2)`).

use std::io;
use std::path::Path;

use libc::pid_t;

use super::text::{self, Malformed, decimal, hex, split};

const FILE: &str = "timers";
/// The most that is read of the file, in bytes: a timer has about 80, and each counts as a queued signal (`RLIMIT_SIGPENDING`).
const MOST: u64 = 128 << 20;

/// How its expiry is told (sigevent(3type)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Notify {
    /// `SIGEV_SIGNAL`, or with a thread `SIGEV_THREAD_ID`.
    Signal,
    /// `SIGEV_NONE`.
    None,
    /// `SIGEV_THREAD`.
    Thread,
}

/// A POSIX timer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timer {
    /// Its id (`timer_t` of the kernel).
    pub id: i32,
    /// The signal.
    pub signal: i32,
    /// `sigev_value`, as a pointer.
    pub value: u64,
    /// How its expiry is told.
    pub notify: Notify,
    /// Whether `target` is a thread that gets the signal, rather than the process.
    pub to_thread: bool,
    /// The process or thread; 0 for a thread that has ended.
    pub target: pid_t,
    /// The clock (`CLOCK_`); negative for those of a process or thread.
    pub clock: i32,
}

/// Reads `timers` in `directory`: the latest first.
///
/// # Errors
/// When it cannot be read (ENOENT: the kernel has no CONFIG_CHECKPOINT_RESTORE), or is not what the kernel writes.
pub fn read(directory: &Path) -> io::Result<Vec<Timer>> {
    Ok(parse(&text::read(directory, FILE, MOST)?)?)
}

/// Parses it.
///
/// # Errors
/// When a timer lacks a line, or one is not of its form.
pub fn parse(text: &[u8]) -> Result<Vec<Timer>, Malformed> {
    let lines: Vec<&[u8]> = text::lines(text).collect();
    let one = |lines: &[&[u8]]| parse_one(lines).ok_or_else(|| Malformed::new(FILE, "a timer", &lines.join(&b'\n')));
    lines.chunks(4).map(one).collect()
}

fn parse_one(lines: &[&[u8]]) -> Option<Timer> {
    let [id, signal, notify, clock] = lines else { return None };
    let (signal, value) = split(signal.strip_prefix(b"signal: ")?, b'/')?;
    let (notify, target) = split(notify.strip_prefix(b"notify: ")?, b'/')?;
    let (to, target) = split(target, b'.')?;
    Some(Timer {
        id: decimal(id.strip_prefix(b"ID: ")?)?,
        signal: decimal(signal)?,
        value: hex(value)?,
        notify: match notify {
            b"signal" => Notify::Signal,
            b"none" => Notify::None,
            b"thread" => Notify::Thread,
            _ => return None,
        },
        to_thread: match to {
            b"tid" => true,
            b"pid" => false,
            _ => return None,
        },
        target: decimal(target)?,
        clock: decimal(clock.strip_prefix(b"ClockID: ")?)?,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const THREE: &str = "ID: 2\nsignal: 0/0000000000000000\nnotify: none/pid.27366\nClockID: -6\nID: 1\n\
signal: 14/0000000000000000\nnotify: signal/tid.27366\nClockID: 0\nID: 0\nsignal: 10/0000000000001234\n\
notify: signal/pid.27366\nClockID: 1\n";

    #[test]
    fn issue_10_timers_are_read_with_their_targets() {
        let [cpu, thread, process] = parse(THREE.as_bytes()).unwrap().try_into().unwrap();
        assert_eq!((cpu.id, cpu.notify, cpu.clock), (2, Notify::None, -6));
        assert_eq!((thread.signal, thread.to_thread, thread.target), (14, true, 27366));
        let expected = Timer {
            id: 0,
            signal: 10,
            value: 0x1234,
            notify: Notify::Signal,
            to_thread: false,
            target: 27366,
            clock: 1,
        };
        assert_eq!(process, expected);
        assert_eq!(parse(b""), Ok(Vec::new()));
    }

    #[test]
    fn a_timer_that_is_cut_short_is_an_error() {
        for end in [5, THREE.len() - 13, THREE.len() - 2] {
            parse(&THREE.as_bytes()[..end]).unwrap_err();
        }
        parse(THREE.replace("none", "some").as_bytes()).unwrap_err();
    }

    proptest! {
        #[test]
        fn bytes_do_not_break_timers(bytes in proptest::collection::vec(any::<u8>(), 0..200), at in 0..THREE.len()) {
            let _ = parse(&bytes);
            let _ = parse(&[&THREE.as_bytes()[..at], &bytes[..], &THREE.as_bytes()[at..]].concat());
        }

        #[test]
        fn timers_are_read_as_written(all in proptest::collection::vec(any::<(i32, i32, u64, bool, i32, i32)>(), 0..9)) {
            let timers: Vec<Timer> = all.into_iter().map(|(id, signal, value, to_thread, target, clock)| {
                Timer { id, signal, value, notify: Notify::Signal, to_thread, target, clock }
            }).collect();
            let text: String = timers.iter().map(|timer| format!(
                "ID: {}\nsignal: {}/{:016x}\nnotify: signal/{}.{}\nClockID: {}\n", timer.id, timer.signal, timer.value,
                if timer.to_thread { "tid" } else { "pid" }, timer.target, timer.clock,
            )).collect();
            prop_assert_eq!(parse(text.as_bytes()), Ok(timers));
        }
    }
}
