//! `/proc/PID/status` and `/proc/PID/task/TID/status` (proc_pid_status(5); `proc_pid_status` in fs/proc/array.c).

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use libc::pid_t;

use super::Signals;
use super::text::{self, Malformed, decimal, hex, octal};

const FILE: &str = "status";
/// The most that the file has, in bytes: 65,536 groups of 11 bytes, and some lines.
const MOST: u64 = 1 << 20;

/// Real, effective, saved and file system id, in the reader's user namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ids {
    /// Real.
    pub real: u32,
    /// Effective.
    pub effective: u32,
    /// Saved.
    pub saved: u32,
    /// For access to files.
    pub file_system: u32,
}

/// Capability sets (capabilities(7)): bit N stands for capability N.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Capabilities {
    /// `CapInh`.
    pub inheritable: u64,
    /// `CapPrm`.
    pub permitted: u64,
    /// `CapEff`.
    pub effective: u64,
    /// `CapBnd`.
    pub bounding: u64,
    /// `CapAmb`.
    pub ambient: u64,
}

/// What the file says, as far as a save needs it. What a kernel may leave out is None.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// The name, without the escapes of this file.
    pub name: Vec<u8>,
    /// The mask of permissions of new files; None for one that has ended.
    pub umask: Option<u32>,
    /// The state letter.
    pub state: char,
    /// The process (thread group).
    pub tgid: pid_t,
    /// The process, or the thread.
    pub pid: pid_t,
    /// The parent; 0 for one outside of the pid namespace.
    pub parent: pid_t,
    /// The process that traces it; 0 for none.
    pub tracer: pid_t,
    /// User ids.
    pub uids: Ids,
    /// Group ids.
    pub gids: Ids,
    /// Supplementary groups.
    pub groups: Vec<u32>,
    /// The process's ids in each pid namespace, from that of the mounted proc to its own.
    pub tgids: Vec<pid_t>,
    /// The thread's (or the process's) ids, as `tgids`.
    pub pids: Vec<pid_t>,
    /// Its process group, as `tgids`; 0 where the leader is outside.
    pub process_groups: Vec<pid_t>,
    /// Its session, as `process_groups`.
    pub sessions: Vec<pid_t>,
    /// Threads of the process.
    pub threads: u32,
    /// Signals queued for its user, and how many may be.
    pub queued: Option<(u64, u64)>,
    /// Signals that wait for the thread (`SigPnd`).
    pub pending: Signals,
    /// Signals that wait for the process (`ShdPnd`).
    pub shared_pending: Signals,
    /// Blocked by the thread.
    pub blocked: Signals,
    /// Ignored by the process.
    pub ignored: Signals,
    /// With a handler.
    pub caught: Signals,
    /// Its capabilities.
    pub capabilities: Capabilities,
    /// Whether exec grants nothing (`PR_SET_NO_NEW_PRIVS`).
    pub no_new_privileges: Option<bool>,
    /// Seccomp mode: 0 none, 1 strict, 2 filters.
    pub seccomp: Option<u32>,
    /// How many filters it has (Linux 5.9).
    pub seccomp_filters: Option<u32>,
    /// Whether speculative store bypass is on, in the kernel's words (`PR_SPEC_STORE_BYPASS`).
    pub store_bypass: Option<String>,
    /// Whether indirect branches are speculated, in the kernel's words (`PR_SPEC_INDIRECT_BRANCH`).
    pub indirect_branch: Option<String>,
    /// Whether it is a thread of the kernel.
    pub kernel_thread: Option<bool>,
    /// Whether huge pages are allowed (`PR_SET_THP_DISABLE`).
    pub huge_pages: Option<bool>,
    /// Whether it is writing a core dump.
    pub dumps_core: Option<bool>,
}

/// Reads `status` in `directory`.
///
/// # Errors
/// When it cannot be read, or is not what the kernel writes.
pub fn read(directory: &Path) -> io::Result<Status> {
    Ok(parse(&text::read(directory, FILE, MOST)?)?)
}

struct Fields<'t>(BTreeMap<&'t [u8], &'t [u8]>);

impl<'t> Fields<'t> {
    fn optional<T>(&self, key: &str, value: impl Fn(&'t [u8]) -> Option<T>) -> Result<Option<T>, Malformed> {
        let Some(text) = self.0.get(key.as_bytes()) else { return Ok(None) };
        value(text).map(Some).ok_or_else(|| Malformed::new(FILE, key, text))
    }

    fn get<T>(&self, key: &str, value: impl Fn(&'t [u8]) -> Option<T>) -> Result<T, Malformed> {
        self.optional(key, value)?.ok_or_else(|| Malformed::new(FILE, key, b""))
    }

    fn signals(&self, key: &str) -> Result<Signals, Malformed> {
        self.get(key, hex).map(Signals)
    }
}

/// Parses it.
///
/// # Errors
/// When a field that every kernel writes is missing, or one is not of its form.
pub fn parse(text: &[u8]) -> Result<Status, Malformed> {
    let mut fields = BTreeMap::new();
    for line in text::lines(text) {
        let (key, value) = text::split(line, b':').ok_or_else(|| Malformed::new(FILE, "a line", line))?;
        // The name may begin with blanks: only the tab is the kernel's.
        fields.insert(key, value.strip_prefix(b"\t").unwrap_or(value));
    }
    let fields = Fields(fields);
    Ok(Status {
        name: fields.get("Name", |text| Some(unescape(text)))?,
        umask: fields.optional("Umask", octal)?,
        state: fields
            .get("State", |text| text.first().filter(|state| state.is_ascii_alphabetic()).map(|s| char::from(*s)))?,
        tgid: fields.get("Tgid", decimal)?,
        pid: fields.get("Pid", decimal)?,
        parent: fields.get("PPid", decimal)?,
        tracer: fields.get("TracerPid", decimal)?,
        uids: fields.get("Uid", ids)?,
        gids: fields.get("Gid", ids)?,
        groups: fields.get("Groups", list)?,
        tgids: fields.get("NStgid", list)?,
        pids: fields.get("NSpid", list)?,
        process_groups: fields.get("NSpgid", list)?,
        sessions: fields.get("NSsid", list)?,
        threads: fields.get("Threads", decimal)?,
        queued: fields.optional("SigQ", |text| {
            let (queued, most) = text::split(text, b'/')?;
            Some((decimal(queued)?, decimal(most)?))
        })?,
        pending: fields.signals("SigPnd")?,
        shared_pending: fields.signals("ShdPnd")?,
        blocked: fields.signals("SigBlk")?,
        ignored: fields.signals("SigIgn")?,
        caught: fields.signals("SigCgt")?,
        capabilities: Capabilities {
            inheritable: fields.get("CapInh", hex)?,
            permitted: fields.get("CapPrm", hex)?,
            effective: fields.get("CapEff", hex)?,
            bounding: fields.get("CapBnd", hex)?,
            ambient: fields.get("CapAmb", hex)?,
        },
        no_new_privileges: fields.optional("NoNewPrivs", flag)?,
        seccomp: fields.optional("Seccomp", decimal)?,
        seccomp_filters: fields.optional("Seccomp_filters", decimal)?,
        store_bypass: fields.optional("Speculation_Store_Bypass", words)?,
        indirect_branch: fields.optional("SpeculationIndirectBranch", words)?,
        kernel_thread: fields.optional("Kthread", flag)?,
        huge_pages: fields.optional("THP_enabled", flag)?,
        dumps_core: fields.optional("CoreDumping", flag)?,
    })
}

/// The name: `\n` stands for a newline and `\\` for a backslash, everything else for itself (`proc_task_name`).
fn unescape(text: &[u8]) -> Vec<u8> {
    let mut name = Vec::with_capacity(text.len());
    let mut bytes = text.iter();
    while let Some(byte) = bytes.next() {
        let escaped = (*byte == b'\\').then(|| bytes.as_slice().first()).flatten();
        match escaped {
            Some(b'n') => name.push(b'\n'),
            Some(b'\\') => name.push(b'\\'),
            _ => {
                name.push(*byte);
                continue;
            }
        }
        bytes.next();
    }
    name
}

fn list<T: std::str::FromStr>(text: &[u8]) -> Option<Vec<T>> {
    text::words(text).map(decimal).collect()
}

fn ids(text: &[u8]) -> Option<Ids> {
    let [real, effective, saved, file_system] = list(text)?.try_into().ok()?;
    Some(Ids { real, effective, saved, file_system })
}

fn flag(text: &[u8]) -> Option<bool> {
    match text {
        b"0" => Some(false),
        b"1" => Some(true),
        _ => None,
    }
}

fn words(text: &[u8]) -> Option<String> {
    String::from_utf8(text.to_vec()).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A zombie in a pid namespace; Linux 6.18.
    const ZOMBIE: &str = "Name:\ta) S (\\n\\\\x\nState:\tZ (zombie)\nTgid:\t27428\nNgid:\t0\nPid:\t27428\nPPid:\t27366\n\
TracerPid:\t0\nUid:\t0\t1\t2\t3\nGid:\t4\t5\t6\t7\nFDSize:\t0\nGroups:\t24 27 \nNStgid:\t27428\t9\nNSpid:\t27428\t9\n\
NSpgid:\t27320\t0\nNSsid:\t19250\t0\nKthread:\t0\nThreads:\t1\nSigQ:\t4/96551\nSigPnd:\t0000000000000200\n\
ShdPnd:\t0000000000004000\nSigBlk:\t8000000000000001\nSigIgn:\t0000000001001000\nSigCgt:\t0000000000000002\n\
CapInh:\t0000000000000000\nCapPrm:\t000001fffeffffff\nCapEff:\t000001fffeffffff\nCapBnd:\t000001fffeffffff\n\
CapAmb:\t0000000000000000\nNoNewPrivs:\t1\nSeccomp:\t2\nSeccomp_filters:\t3\n\
Speculation_Store_Bypass:\tthread vulnerable\nSpeculationIndirectBranch:\tconditional enabled\nCpus_allowed:\t3\n\
Cpus_allowed_list:\t0-1\nvoluntary_ctxt_switches:\t1\n";

    #[test]
    fn issue_10_all_of_status_is_read() {
        let status = parse(ZOMBIE.as_bytes()).unwrap();
        assert_eq!((status.name.as_slice(), status.umask, status.state), (b"a) S (\n\\x".as_slice(), None, 'Z'));
        assert_eq!((status.uids.saved, status.gids.file_system, status.groups.as_slice()), (2, 7, &[24, 27][..]));
        assert_eq!((status.pids.as_slice(), status.sessions.as_slice()), (&[27428, 9][..], &[19250, 0][..]));
        assert!(status.pending.contains(10) && status.shared_pending.contains(15) && status.caught.contains(2));
        assert!(status.blocked.contains(1) && status.blocked.contains(64) && !status.blocked.contains(0));
        assert_eq!(status.capabilities.bounding, 0x1ff_feff_ffff);
        assert_eq!((status.no_new_privileges, status.seccomp, status.seccomp_filters), (Some(true), Some(2), Some(3)));
        assert_eq!(status.store_bypass.as_deref(), Some("thread vulnerable"));
        assert_eq!((status.queued, status.huge_pages), (Some((4, 96551)), None));
    }

    #[test]
    fn status_of_this_process_is_read() {
        let status = read(Path::new("/proc/thread-self")).unwrap();
        assert_eq!(status.tgid, std::process::id().cast_signed());
        assert_eq!(status.umask.map(|mask| mask & !0o777), Some(0));
        assert_eq!(status.uids.effective, rustix::process::geteuid().as_raw());
    }

    #[test]
    fn what_is_missing_or_odd_in_status_is_named() {
        for (key, odd) in
            [("Uid:\t0\t1", "Uid:\t0"), ("SigBlk:\t8", "SigBlk:\tx8"), ("Threads:\t1", "Threads:\t-"), ("PPid", "Q")]
        {
            let error = parse(ZOMBIE.replace(key, odd).as_bytes()).unwrap_err();
            assert!(error.field == key.split(':').next().unwrap(), "{error}");
        }
    }

    /// As the kernel escapes it.
    fn escape(name: &[u8]) -> Vec<u8> {
        name.iter()
            .flat_map(|byte| match byte {
                b'\n' => b"\\n".to_vec(),
                b'\\' => b"\\\\".to_vec(),
                byte => vec![*byte],
            })
            .collect()
    }

    proptest! {
        #[test]
        fn bytes_do_not_break_status(bytes in proptest::collection::vec(any::<u8>(), 0..200), at in 0..ZOMBIE.len()) {
            let _ = parse(&bytes);
            let _ = parse(&[&ZOMBIE.as_bytes()[..at], &bytes[..], &ZOMBIE.as_bytes()[at..]].concat());
        }

        #[test]
        fn status_is_read_as_written(
            name in proptest::collection::vec(1..=u8::MAX, 0..16), groups in proptest::collection::vec(any::<u32>(), 0..9),
            pids in proptest::collection::vec(0..i32::MAX, 1..5), blocked: u64, uids: [u32; 4],
        ) {
            let join = |all: Vec<String>, between: &str| all.join(between);
            let mut text = b"Name:\t".to_vec();
            text.extend(escape(&name));
            let behind = ZOMBIE.split_once('\n').unwrap().1;
            text.extend(format!("\n{behind}Groups:\t{} \nNSpid:\t{}\nSigBlk:\t{blocked:016x}\nUid:\t{}\nUmask:\t0027\n",
                join(groups.iter().map(u32::to_string).collect(), " "),
                join(pids.iter().map(i32::to_string).collect(), "\t"),
                join(uids.iter().map(u32::to_string).collect(), "\t"),
            ).into_bytes());
            let status = parse(&text).unwrap();
            prop_assert_eq!((status.name, status.groups, status.pids, status.blocked), (name, groups, pids, Signals(blocked)));
            let Ids { real, effective, saved, file_system } = status.uids;
            prop_assert_eq!(([real, effective, saved, file_system], status.umask), (uids, Some(0o27)));
        }
    }
}
