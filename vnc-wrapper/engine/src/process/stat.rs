//! `/proc/PID/stat` and `/proc/PID/task/TID/stat` (proc_pid_stat(5); `do_task_stat` in fs/proc/array.c).

use std::io;
use std::path::Path;

use libc::pid_t;

use super::text::{self, Malformed, decimal};

const FILE: &str = "stat";
/// The most that the file has, in bytes: 52 numbers of 20 digits and a name of at most 64 bytes.
const MOST: u64 = 4096;

/// Addresses of a process's memory (`struct prctl_mm_map`, PR_SET_MM_MAP of prctl(2)), but for `brk`, which is not in the file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Layout {
    /// Where the executable's code begins.
    pub start_code: u64,
    /// Where it ends.
    pub end_code: u64,
    /// Where its data begins.
    pub start_data: u64,
    /// Where that ends.
    pub end_data: u64,
    /// Where brk(2) begins.
    pub start_brk: u64,
    /// The bottom of the first stack.
    pub start_stack: u64,
    /// Where the arguments begin.
    pub arg_start: u64,
    /// Where they end.
    pub arg_end: u64,
    /// Where the environment begins.
    pub env_start: u64,
    /// Where it ends.
    pub env_end: u64,
}

/// What the file says, as far as a save needs it. Ids are those of the pid namespace that the mounted proc belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stat {
    /// The process, or the thread.
    pub pid: pid_t,
    /// The name, whose bytes can be anything: blanks, parentheses and newlines are not escaped here.
    pub name: Vec<u8>,
    /// The state letter.
    pub state: char,
    /// The parent; 0 for one outside of the pid namespace.
    pub parent: pid_t,
    /// The process group; 0 for one outside, -1 when the process is being reaped.
    pub group: pid_t,
    /// The session; as `group`.
    pub session: pid_t,
    /// Device number of the controlling terminal, encoded as in `stat(2)`; 0 without.
    pub terminal: i32,
    /// The foreground group of that terminal; -1 without.
    pub foreground: pid_t,
    /// `PF_` flags of the kernel (linux/sched.h).
    pub flags: u32,
    /// Time in user mode, in clock ticks (`_SC_CLK_TCK`).
    pub user_time: u64,
    /// Time in the kernel, in clock ticks.
    pub system_time: u64,
    /// The nice value.
    pub nice: i32,
    /// Threads of the process, with a leader that has ended while others run on.
    pub threads: u32,
    /// When it was started, in clock ticks since the boot, by the reader's time namespace.
    pub start: u64,
    /// Where its memory has what the kernel knows of; the kernel shows 0 to a reader that may not trace it.
    pub layout: Layout,
    /// The signal that its parent gets when it ends.
    pub exit_signal: i32,
    /// The real-time priority; 0 for other policies.
    pub real_time_priority: u32,
    /// The scheduling policy (`SCHED_`).
    pub policy: u32,
    /// The status that `waitpid(2)` gives of one that has ended. The kernel shows 0 to a reader that may not trace it.
    pub exit_code: i32,
}

impl Stat {
    /// Whether it has ended and waits for its parent. With more than one thread only the leader has ended.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        matches!(self.state, 'Z' | 'X')
    }
}

/// Reads `stat` in `directory`.
///
/// # Errors
/// When it cannot be read, or is not what the kernel writes.
pub fn read(directory: &Path) -> io::Result<Stat> {
    Ok(parse(&text::read(directory, FILE, MOST)?)?)
}

/// Parses it.
///
/// # Errors
/// When a field is missing or no number.
pub fn parse(text: &[u8]) -> Result<Stat, Malformed> {
    let malformed = |field: &str, at: &[u8]| Malformed::new(FILE, field, at);
    // No number has a parenthesis: the last one ends the name.
    let open = text.iter().position(|byte| *byte == b'(').ok_or_else(|| malformed("the name", text))?;
    let close = text.iter().rposition(|byte| *byte == b')').filter(|close| *close > open);
    let close = close.ok_or_else(|| malformed("the name", text))?;
    let before = text[..open].strip_suffix(b" ").ok_or_else(|| malformed("the name", text))?;
    let rest = text[close + 1..].strip_suffix(b"\n").unwrap_or(&text[close + 1..]);
    let fields: Vec<&[u8]> = text::words(rest).collect();
    // Numbered as in proc_pid_stat(5), where the state is the third.
    let field = |number: usize| fields.get(number - 3).copied().unwrap_or_default();
    fn number<T: std::str::FromStr>(name: &str, text: &[u8]) -> Result<T, Malformed> {
        decimal(text).ok_or_else(|| Malformed::new(FILE, name, text))
    }
    let [state] = *field(3) else { return Err(malformed("the state", field(3))) };
    if !state.is_ascii_alphabetic() {
        return Err(malformed("the state", field(3)));
    }
    Ok(Stat {
        pid: number("pid", before)?,
        name: text[open + 1..close].to_vec(),
        state: char::from(state),
        parent: number("ppid", field(4))?,
        group: number("pgrp", field(5))?,
        session: number("session", field(6))?,
        terminal: number("tty_nr", field(7))?,
        foreground: number("tpgid", field(8))?,
        flags: number("flags", field(9))?,
        user_time: number("utime", field(14))?,
        system_time: number("stime", field(15))?,
        nice: number("nice", field(19))?,
        threads: number("num_threads", field(20))?,
        start: number("starttime", field(22))?,
        layout: Layout {
            start_code: number("startcode", field(26))?,
            end_code: number("endcode", field(27))?,
            start_data: number("start_data", field(45))?,
            end_data: number("end_data", field(46))?,
            start_brk: number("start_brk", field(47))?,
            start_stack: number("startstack", field(28))?,
            arg_start: number("arg_start", field(48))?,
            arg_end: number("arg_end", field(49))?,
            env_start: number("env_start", field(50))?,
            env_end: number("env_end", field(51))?,
        },
        exit_signal: number("exit_signal", field(38))?,
        real_time_priority: number("rt_priority", field(40))?,
        policy: number("policy", field(41))?,
        exit_code: number("exit_code", field(52))?,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ZOMBIE: &[u8] =
        b"27428 (a) S (\n\\\x07x) Z 27366 27320 19250 0 -1 4227148 298 0 0 0 0 0 0 0 20 0 1 0 786785 0 0 \
18446744073709551615 0 0 0 0 0 0 0 16781312 2 1 0 0 17 1 0 0 0 0 0 0 0 0 0 0 0 0 768\n";

    #[test]
    fn issue_10_a_name_in_stat_can_be_anything() {
        let stat = parse(ZOMBIE).unwrap();
        assert_eq!((stat.pid, stat.name.as_slice(), stat.state), (27428, b"a) S (\n\\\x07x".as_slice(), 'Z'));
        assert_eq!((stat.parent, stat.group, stat.session, stat.foreground), (27366, 27320, 19250, -1));
        assert_eq!((stat.threads, stat.start, stat.exit_signal, stat.exit_code), (1, 786_785, 17, 3 << 8));
        assert!(stat.has_ended());
    }

    #[test]
    fn stat_of_this_process_is_read() {
        let stat = read(Path::new("/proc/self")).unwrap();
        assert_eq!(stat.pid, std::process::id().cast_signed());
        assert!(stat.threads >= 1 && !stat.has_ended());
    }

    #[test]
    fn what_is_missing_in_stat_is_named() {
        let error = parse(b"7 (x) S 1 1 1 0 -1").unwrap_err();
        assert_eq!(error.to_string(), "flags in /proc/PID/stat cannot be read: \"\"");
        for bad in [&b""[..], b"7 x S", b"7 )x( S", b"(x) S", b"7 (x) SS 1", b"7 (x) 1 1", b"7 (x)"] {
            parse(bad).unwrap_err();
        }
    }

    proptest! {
        #[test]
        fn bytes_do_not_break_stat(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = parse(&bytes);
            let _ = parse(&[b"7 (", &bytes[..], b") S 1 2 "].concat());
        }

        #[test]
        fn stat_is_read_as_written(
            name in proptest::collection::vec(1..=u8::MAX, 0..64), state in "[RSDTtZXPI]",
            ids in any::<[i32; 6]>(), times in any::<[u64; 3]>(), flags: u32, threads: u32, code: i32,
        ) {
            let [pid, parent, group, session, terminal, foreground] = ids;
            let [user, system, start] = times;
            let mut text = format!("{pid} (").into_bytes();
            text.extend(&name);
            text.extend(format!(
                ") {state} {parent} {group} {session} {terminal} {foreground} {flags} 1 2 3 4 {user} {system} 5 6 20 -7 \
                 {threads} 0 {start} 1 2 3 4 5 6 7 8 9 10 11 12 13 0 0 17 1 9 2 0 0 0 14 15 16 18 19 20 21 {code}\n"
            ).into_bytes());
            let layout = Layout {
                start_code: 4, end_code: 5, start_stack: 6, start_data: 14, end_data: 15, start_brk: 16, arg_start: 18,
                arg_end: 19, env_start: 20, env_end: 21,
            };
            let expected = Stat {
                pid, name, state: state.chars().next().unwrap(), parent, group, session, terminal, foreground, flags,
                user_time: user, system_time: system, nice: -7, threads, start, layout, exit_signal: 17, real_time_priority: 9,
                policy: 2, exit_code: code,
            };
            prop_assert_eq!(parse(&text), Ok(expected));
        }
    }
}
