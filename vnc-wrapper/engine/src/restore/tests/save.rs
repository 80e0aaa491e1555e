//! A plain save of one process, for tests that need no more: what is in it is read here again in the simplest way.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Seek, Write};
use std::os::unix::fs::FileExt;

use libc::pid_t;

use crate::freeze::Frozen;
use crate::record::memory::{AddressSpace, Backing, Mapping};
use crate::record::objects::{Common, Content, Descriptor, DescriptorTable, FileDescription};
use crate::record::process::{AlternateStack, Area, Limit, Limits, Process, Rseq, SignalAction, SignalActions, Thread};
use crate::record::rights::Credentials;
use crate::record::tests::{bytes, list};
use crate::record::{Owner, Record, Run, Writer, features};
use crate::remote::Call;
use crate::sys::inside::{self, Inside};
use crate::sys::ptrace;

const PAGE: u64 = 4096;

/// What one process makes of a content.
pub(super) struct Saved {
    pub(super) records: Vec<Record>,
    /// Pages by number.
    pub(super) pages: BTreeMap<u64, Vec<u8>>,
}

impl Saved {
    /// The stream.
    pub(super) fn stream(&self) -> File {
        let mut writer = Writer::begin(tempfile::tempfile().unwrap(), features::X86_64).unwrap();
        for record in &self.records {
            writer.record(record).unwrap();
        }
        let mut at = self.pages.iter().peekable();
        while at.peek().is_some() {
            let some: Vec<_> = at.by_ref().take(200).collect();
            let runs: Vec<Run> = some.iter().map(|(number, _)| Run { first: **number, count: 1 }).collect();
            let pages: Vec<u8> = some.iter().flat_map(|(_, page)| page.iter().copied()).collect();
            writer.region(Owner::Space(1), &runs, &pages).unwrap();
        }
        let mut file = writer.finish().unwrap();
        file.flush().unwrap();
        file.rewind().unwrap();
        file
    }
}

/// Saves the only process of `frozen`, which is the first of its namespaces.
pub(super) fn save(frozen: &mut Frozen<'_>, guest: &Inside) -> Saved {
    let pid = guest.pid;
    let mut saved = Saved { records: Vec::new(), pages: BTreeMap::new() };
    let tids: Vec<pid_t> = frozen.threads().iter().map(|thread| thread.who().tid).collect();
    for tid in &tids {
        saved.records.push(thread(frozen, pid, *tid).into());
    }
    let actions = actions(frozen, pid);
    saved.records.push(actions.into());
    saved.records.push(
        Process {
            id: 1,
            pids: list(vec![1]),
            group: 1,
            session: 1,
            exit_signal: 17,
            dumpable: 1,
            umask: 0o22,
            directory: bytes(std::fs::read_link(format!("/proc/{pid}/cwd")).unwrap().to_str().unwrap()),
            root: bytes("/"),
            space: Some(1),
            table: Some(1),
            actions: Some(1),
            signals: list(waiting(pid, true)),
            ..Process::default()
        }
        .into(),
    );
    saved.records.push(
        Credentials { id: 1, users: list(vec![0; 4]), groups: list(vec![0; 4]), ..Credentials::default() }.into(),
    );
    let limits = crate::process::limits::read(format!("/proc/{pid}").as_ref()).unwrap();
    let limit = |value: Option<u64>| value.unwrap_or(u64::MAX);
    let limits = limits.iter().map(|it| Limit { soft: limit(it.soft), hard: limit(it.hard) }).collect();
    saved.records.push(Limits { process: 1, limits: list(limits) }.into());
    descriptors(&mut saved, pid);
    memory(&mut saved, pid, guest.directory.path().to_str().unwrap());
    saved
}

fn waiting<const MOST: usize>(tid: pid_t, shared: bool) -> Vec<crate::record::Bytes<MOST>> {
    ptrace::waiting_signals(tid, shared).unwrap().iter().map(|signal| bytes(signal.0)).collect()
}

fn thread(frozen: &mut Frozen<'_>, pid: pid_t, tid: pid_t) -> Thread {
    let mut registers = vec![0; 27 * 8];
    assert_eq!(ptrace::registers(tid, ptrace::PRSTATUS, &mut registers).unwrap(), registers.len());
    let rseq = ptrace::rseq(tid).unwrap();
    let (head, length) = inside::robust_list(tid).unwrap();
    let status = crate::process::status::read(format!("/proc/{pid}/task/{tid}").as_ref()).unwrap();
    let xstate = ptrace::xstate(tid).unwrap();
    let (mask, signals) = (ptrace::signal_mask(tid).unwrap(), waiting(tid, false));
    // What only the thread itself can ask for.
    let mut guard = frozen.thread(tid).unwrap().thread().unwrap();
    let at = guard.map(4096).unwrap();
    guard.call(&Call::new(libc::SYS_prctl, [libc::PR_GET_TID_ADDRESS as u64, at, 0, 0, 0, 0])).unwrap();
    guard.call(&Call::new(libc::SYS_sigaltstack, [0, at + 8, 0, 0, 0, 0])).unwrap();
    let mut words = [0; 32];
    guard.read(at, &mut words).unwrap();
    guard.close().unwrap();
    let word = |at: usize| u64::from_ne_bytes(words[at..at + 8].try_into().unwrap());
    Thread {
        process: 1,
        tids: list(vec![*status.pids.last().unwrap() as u32]),
        name: bytes(&status.name),
        registers: bytes(registers),
        xstate: bytes(xstate),
        mask,
        signals: list(signals),
        stack: AlternateStack { area: Area { start: word(8), length: word(24) }, flags: word(16) as i32 },
        rseq: (rseq.address > 0).then(|| Rseq {
            area: Area { start: rseq.address, length: rseq.size.into() },
            signature: rseq.signature,
            flags: rseq.flags,
        }),
        robust: Area { start: head, length },
        clear_child_tid: word(0),
        credentials: 1,
        ..Thread::default()
    }
}

fn actions(frozen: &mut Frozen<'_>, pid: pid_t) -> SignalActions {
    let mut guard = frozen.thread(pid).unwrap().thread().unwrap();
    let at = guard.map(4096).unwrap();
    let mut actions = Vec::new();
    for signal in 1..=64u8 {
        guard.call(&Call::new(libc::SYS_rt_sigaction, [signal.into(), 0, at, 8, 0, 0])).unwrap();
        let mut words = [0; 32];
        guard.read(at, &mut words).unwrap();
        let word = |at: usize| u64::from_ne_bytes(words[at * 8..at * 8 + 8].try_into().unwrap());
        if words != [0; 32] {
            actions.push(SignalAction { signal, handler: word(0), flags: word(1), restorer: word(2), mask: word(3) });
        }
    }
    guard.close().unwrap();
    SignalActions { id: 1, actions: list(actions) }
}

fn descriptors(saved: &mut Saved, pid: pid_t) {
    let mut descriptors = Vec::new();
    for entry in std::fs::read_dir(format!("/proc/{pid}/fd")).unwrap() {
        let number: u32 = entry.unwrap().file_name().to_str().unwrap().parse().unwrap();
        let path = std::fs::read_link(format!("/proc/{pid}/fd/{number}")).unwrap();
        let info = crate::process::fdinfo::read(format!("/proc/{pid}").as_ref(), number as i32).unwrap();
        let close = info.flags & libc::O_CLOEXEC as u32;
        let common = Common { id: number + 1, flags: info.flags & !close, ..Common::default() };
        let path = bytes(path.to_str().unwrap());
        let file = FileDescription { common, path, content: Content::Named, position: info.position };
        saved.records.push(file.into());
        descriptors.push(Descriptor { number, description: number + 1, close_on_exec: close != 0 });
    }
    descriptors.sort_by_key(|descriptor| descriptor.number);
    saved.records.push(DescriptorTable { id: 1, descriptors: list(descriptors) }.into());
}

/// Its mappings and pages. What is shared and not in `directory` it has inherited from other tests, and does not use.
fn memory(saved: &mut Saved, pid: pid_t, directory: &str) {
    let mem = File::open(format!("/proc/{pid}/mem")).unwrap();
    let smaps = std::fs::read_to_string(format!("/proc/{pid}/smaps")).unwrap();
    let mut mappings: Vec<Mapping> = Vec::new();
    let (mut heap_end, mut skipped) = (0, false);
    for line in smaps.lines() {
        if let Some(letters) = line.strip_prefix("VmFlags:") {
            let letters: String = letters.split_ascii_whitespace().collect();
            if !std::mem::take(&mut skipped) {
                mappings.last_mut().unwrap().advice = bytes(letters);
            }
            continue;
        }
        let fields: Vec<&str> = line.splitn(6, ' ').collect();
        let Some((start, end)) = fields[0].split_once('-') else { continue };
        let hex = |text: &str| u64::from_str_radix(text, 16).unwrap();
        let (start, end) = (hex(start), hex(end));
        let mut protection = 0;
        for (letter, bit) in [('r', 1), ('w', 2), ('x', 4)] {
            protection |= if fields[1].contains(letter) { bit } else { 0 };
        }
        let (name, offset) = (fields[5].trim(), hex(fields[2]));
        heap_end = if name == "[heap]" { end } else { heap_end };
        let backing = match name {
            "[vdso]" | "[vvar]" | "[vvar_vclock]" | "[vsyscall]" => {
                Backing::Special { name: bytes(name.trim_matches(['[', ']'])) }
            }
            path if fields[1].ends_with('s') && !path.starts_with(directory) => {
                skipped = true;
                continue;
            }
            path if path.starts_with('/') && fields[1].ends_with('s') => {
                Backing::SharedFile { path: bytes(path), offset }
            }
            path if path.starts_with('/') => Backing::PrivateFile { path: bytes(path), offset },
            _ => Backing::Anonymous,
        };
        mappings.push(Mapping { space: 1, start, end, protection, backing, ..Mapping::default() });
    }
    for mapping in &mappings {
        let written =
            mapping.advice.chunks(2).any(|pair| pair == b"ac" || pair == b"wr") && mapping.protection & 1 != 0;
        let file = match &mapping.backing {
            Backing::Anonymous => None,
            Backing::PrivateFile { path, offset } => {
                Some((File::open(std::str::from_utf8(path).unwrap()).unwrap(), *offset))
            }
            _ => continue,
        };
        for at in (mapping.start..mapping.end).step_by(PAGE as usize).filter(|_| written) {
            let (mut page, mut other) = (vec![0; PAGE as usize], vec![0; PAGE as usize]);
            mem.read_exact_at(&mut page, at).unwrap();
            if let Some((file, offset)) = &file {
                let _ = file.read_at(&mut other, offset + at - mapping.start);
            }
            if page != other {
                saved.pages.insert(at / PAGE, page);
            }
        }
    }
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let stat: Vec<u64> =
        stat.rsplit_once(") ").unwrap().1.split(' ').map(|word| word.trim().parse().unwrap_or(0)).collect();
    // As proc_pid_stat(5) counts them.
    let field = |number: usize| stat[number - 3];
    let brk = if heap_end > 0 { heap_end } else { field(47) };
    let bounds = [
        field(26),
        field(27),
        field(45),
        field(46),
        field(47),
        brk,
        field(28),
        field(48),
        field(49),
        field(50),
        field(51),
    ];
    let executable = std::fs::read_link(format!("/proc/{pid}/exe")).unwrap();
    let space = AddressSpace {
        id: 1,
        executable: bytes(executable.to_str().unwrap()),
        bounds: list(bounds.to_vec()),
        auxiliary: bytes(std::fs::read(format!("/proc/{pid}/auxv")).unwrap()),
        ..AddressSpace::default()
    };
    saved.records.push(space.into());
    saved.records.extend(mappings.into_iter().map(Record::from));
}
