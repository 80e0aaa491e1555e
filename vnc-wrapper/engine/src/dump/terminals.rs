//! Pseudo-terminals of the session, and whose controlling terminals they are.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use libc::pid_t;

use super::Error;
use super::error::fit;
use super::subject::Subject;
use super::view::View;
use crate::objects::{PASSES, Seen, pty};
use crate::process::id_map::{self, Of};
use crate::process::mountinfo::{self, MountPoint};
use crate::process::text::decimal;
use crate::process::tree::Life;
use crate::record::Record;
use crate::record::terminals::{Devpts, Terminal, TerminalLife, TerminalSide};
use crate::sys::terminal;

/// Options of a mount, as mountinfo shows them and as mount_setattr(2) takes them (`MOUNT_ATTR_`, include/uapi/linux/mount.h).
const ATTRIBUTES: [(&[u8], u32); 6] =
    [(b"ro", 0x1), (b"nosuid", 0x2), (b"nodev", 0x4), (b"noexec", 0x8), (b"noatime", 0x10), (b"nodiratime", 0x80)];
/// Without one of those: `MOUNT_ATTR_STRICTATIME`.
const STRICT: u32 = 0x20;
/// What the kernel appends to the path of a slave that was hung up.
const DELETED: &str = " (deleted)";

/// Descriptions that are ends of pseudo-terminals.
#[derive(Default)]
pub(super) struct Terminals(Vec<End>);

struct End {
    pid: pid_t,
    seen: Seen,
    id: u32,
    side: TerminalSide,
}

/// Device and index.
type Key = (u64, u32);

/// One pseudo-terminal: its number, and its ends as places in the list.
#[derive(Default)]
struct Pair {
    number: u32,
    all: Vec<usize>,
    master: Option<usize>,
    /// A description of the slave that is not hung up.
    slave: Option<usize>,
    hung_up: bool,
}

/// What was taken.
pub(super) struct Taken {
    pub(super) records: Vec<Record>,
    /// The controlling terminals of processes, by the numbers of both.
    pub(super) controlling: BTreeMap<u32, u32>,
}

impl Terminals {
    /// Keeps an end, whose description has the number `id`.
    pub(super) fn add(&mut self, pid: pid_t, seen: Seen, id: u32, side: TerminalSide) {
        self.0.push(End { pid, seen, id, side });
    }

    /// Takes all of them. `groups`: process groups as the session sees them.
    pub(super) fn take(self, view: &View, subjects: &[Subject], groups: &BTreeMap<pid_t, u32>) -> Result<Taken, Error> {
        let pairs = self.pairs()?;
        let held = self.held(&pairs, view, subjects, groups)?;
        let mut taken = Taken { records: Vec::new(), controlling: held.processes };
        let mut devpts = BTreeMap::new();
        for (key, pair) in &pairs {
            let path = self.mount(*key, pair)?;
            let next = devpts.len() as u32 + 1;
            let (number, known) = match devpts.get(&key.0) {
                Some(known) => known,
                None => {
                    taken.records.push(self.devpts(next, key.0, &path, pair, view)?.into());
                    devpts.entry(key.0).or_insert((next, path.clone()))
                }
            };
            if *known != path {
                return Err(self.refused(pair, "it was opened through another mount of its devpts"));
            }
            let (session, foreground) = held.terminals.get(key).copied().unwrap_or_default();
            let known =
                Terminal { id: pair.number, devpts: *number, index: key.1, session, foreground, ..Terminal::default() };
            taken.records.push(self.terminal(known, pair, &path, view)?.into());
            for end in pair.all.iter().map(|at| &self.0[*at]) {
                let record = pty::take_end(&end.seen, end.id, pair.number, end.side.clone());
                taken.records.push(record.map_err(Error::object(end.pid))?.into());
            }
        }
        Ok(taken)
    }

    /// Which ends belong together.
    fn pairs(&self) -> Result<BTreeMap<Key, Pair>, Error> {
        let mut pairs: BTreeMap<Key, Pair> = BTreeMap::new();
        let of = |end: &End| pty::index(&end.seen).map_err(Error::object(end.pid));
        let named = |end: &&End| matches!(end.side, TerminalSide::Master | TerminalSide::Slave);
        for (at, end) in self.0.iter().enumerate().filter(|(_, end)| named(end)) {
            let (index, hung_up) = of(end)?;
            let pair = pairs.entry((end.seen.stat.st_dev, index)).or_default();
            pair.all.push(at);
            match end.side {
                TerminalSide::Master => pair.master = Some(at),
                _ if hung_up => pair.hung_up = true,
                _ => pair.slave = Some(at),
            }
        }
        for (at, end) in self.0.iter().enumerate().filter(|(_, end)| !named(end)) {
            let (index, _) = of(end)?;
            let mut found = pairs.iter_mut().filter(|((_, other), pair)| *other == index && pair.master.is_some());
            let (Some((_, pair)), None) = (found.next(), found.next()) else {
                let why = "its terminal is outside of the session, or one of several that it may be";
                return Err(self.refuse(at, why));
            };
            pair.all.push(at);
            pair.slave.get_or_insert(at);
        }
        for (number, pair) in pairs.values_mut().enumerate() {
            pair.number = number as u32 + 1;
            if pair.hung_up == pair.master.is_some() {
                let why = if pair.hung_up { "it was hung up, but not by its master" } else { OUTSIDE };
                return Err(self.refused(pair, why));
            }
        }
        Ok(pairs)
    }

    fn refuse(&self, at: usize, why: &str) -> Error {
        let End { pid, seen, .. } = &self.0[at];
        Error::refused(*pid, format!("descriptor {}, {}", seen.number, seen.link.escape_ascii()), why)
    }

    fn refused(&self, pair: &Pair, why: &str) -> Error {
        self.refuse(pair.all[0], why)
    }

    /// Whose controlling terminals they are.
    fn held(
        &self,
        pairs: &BTreeMap<Key, Pair>,
        view: &View,
        subjects: &[Subject],
        groups: &BTreeMap<pid_t, u32>,
    ) -> Result<Held, Error> {
        let mut held = Held::default();
        // Sessions as we see them.
        let mut sessions = BTreeMap::new();
        for (key, pair) in pairs {
            let Some(master) = pair.master.map(|at| &self.0[at]) else { continue };
            let session = terminal::session(master.seen.copy());
            let session = session.map_err(Error::read(master.pid, master.pid, "the session of a terminal"))?;
            sessions.extend(session.map(|session| ((key.1, session), *key)));
        }
        for subject in subjects {
            if subject.stat.terminal == 0 || matches!(subject.life(), Life::Zombie(_)) {
                continue;
            }
            let refuse = |why: &str| Error::refused(subject.pid, "its controlling terminal", why);
            let index = pty::index_of(subject.stat.terminal);
            let key = index.and_then(|index| sessions.get(&(index, subject.stat.session)));
            let key = *key.ok_or_else(|| refuse(OUTSIDE))?;
            let foreground = groups.get(&subject.stat.foreground).copied();
            let foreground =
                foreground.ok_or_else(|| refuse(&format!("nobody is in its foreground group any more{PASSES}")))?;
            held.terminals.insert(key, (view.pid(&subject.status.sessions), foreground));
            held.processes.insert(subject.id, pairs[&key].number);
        }
        match sessions.values().find(|key| !held.terminals.contains_key(key)) {
            Some(key) => Err(self.refused(&pairs[key], "it is the controlling terminal of nobody in the session")),
            None => Ok(held),
        }
    }

    /// Where the devpts of a terminal is mounted: in front of the names of its ends.
    fn mount(&self, (_, index): Key, pair: &Pair) -> Result<Vec<u8>, Error> {
        let mut found: Option<&[u8]> = None;
        for at in &pair.all {
            let end = &self.0[*at];
            let name = match end.side {
                TerminalSide::Master => "ptmx".to_owned(),
                TerminalSide::Slave if pair.hung_up => format!("{index}{DELETED}"),
                TerminalSide::Slave => index.to_string(),
                TerminalSide::Controlling { .. } => continue,
            };
            let path = end.seen.link.strip_suffix(name.as_bytes()).and_then(|path| path.strip_suffix(b"/"));
            let path = path.filter(|path| found.is_none_or(|found| found == *path));
            found = Some(path.ok_or_else(|| self.refuse(*at, "it was not opened in its devpts"))?);
        }
        Ok(found.unwrap_or_default().to_vec())
    }

    /// The record of the file system, with the number `id`.
    fn devpts(&self, id: u32, device: u64, path: &[u8], pair: &Pair, view: &View) -> Result<Devpts, Error> {
        let pid = self.0[pair.all[0]].pid;
        let read = || Error::read(pid, pid, "the mounts");
        let device = (rustix::fs::major(device), rustix::fs::minor(device));
        let mounts = mountinfo::read(view.first()).map_err(read())?;
        let mount = mounts.iter().rev().find(|mount| mount.path == path && mount.device == device);
        let mount = mount.filter(|mount| mount.kind == b"devpts" && mount.root == b"/");
        let mount = mount.ok_or_else(|| self.refused(pair, "it is in no devpts of the session"))?;
        let ours = mountinfo::read(Path::new("/proc/self")).map_err(read())?;
        if ours.iter().any(|mount| mount.device == device) {
            return Err(self.refused(pair, "its devpts is not the session's alone"));
        }
        record(id, mount, view).and_then(|record| record.ok_or_else(|| self.refused(pair, "an option of its devpts")))
    }

    /// The record of one, which has what is `known` of it.
    fn terminal(&self, known: Terminal, pair: &Pair, path: &[u8], view: &View) -> Result<Terminal, Error> {
        let Some(master) = pair.master.map(|at| &self.0[at]) else {
            return Ok(Terminal { life: TerminalLife::HungUp, ..known });
        };
        let pid = master.pid;
        let slave = pair.slave.map(|at| &self.0[at].seen);
        if let Some(finding) = pty::look(&master.seen, slave).map_err(Error::object(pid))? {
            return Err(Error::refused(pid, finding.what, finding.lost));
        }
        let file = [path, b"/", known.index.to_string().as_bytes()].concat();
        let stat = std::fs::symlink_metadata(view.locate(&file)).map_err(Error::read(pid, pid, "a terminal's file"))?;
        let (user, group) = view.owner(stat.uid(), stat.gid());
        let right = stat.dev() == master.seen.stat.st_dev && pty::is_slave(stat.rdev(), known.index);
        if !right || [user, group].contains(&u32::MAX) {
            return Err(self.refused(pair, "its slave's file is another's, or its owner has no name in the session"));
        }
        let known = Terminal { user, group, mode: stat.mode() & 0o7777, ..known };
        pty::take(&master.seen, slave, known).map_err(Error::object(pid))
    }
}

/// Why a terminal is refused that nobody in the session holds the master of.
const OUTSIDE: &str = "it is outside of the session";

/// Whose controlling terminals they are.
#[derive(Default)]
struct Held {
    /// Session and foreground group, as the session sees them.
    terminals: BTreeMap<Key, (u32, u32)>,
    /// By the number of the process.
    processes: BTreeMap<u32, u32>,
}

/// The record of a mount of a devpts; none for options that are not known. Ids in them are those of the first user namespace.
/// An id of the first user namespace, which options of a devpts are shown with (`devpts_show_options`, fs/devpts/inode.c), as this
/// process has it, whose namespace is that one or a child of it.
fn ours(of: Of, id: u32) -> Option<u32> {
    id_map::read(Path::new("/proc/self"), of).ok()?.inside(id)
}

fn record(id: u32, mount: &MountPoint, view: &View) -> Result<Option<Devpts>, Error> {
    let mut record = Devpts { id, mode: 0o600, ..Devpts::default() };
    record.path = fit(0, "the path of a devpts", mount.path.clone())?;
    for option in &mount.options {
        let bit = ATTRIBUTES.iter().find(|(name, _)| option == name).map(|(_, bit)| *bit);
        record.attributes |= bit.unwrap_or(0);
    }
    let has = |name: &[u8]| mount.options.iter().any(|option| option == name);
    if !has(b"noatime") && !has(b"relatime") {
        record.attributes |= STRICT;
    }
    for option in &mount.super_options {
        let mut parts = option.splitn(2, |byte| *byte == b'=');
        let (name, value) = (parts.next().unwrap_or_default(), parts.next());
        let octal = || u32::from_str_radix(std::str::from_utf8(value?).ok()?, 8).ok();
        let number = || decimal::<u32>(value?);
        let named = |id: u32| (id != u32::MAX).then_some(id);
        let known = match name {
            b"rw" | b"ro" => Some(()),
            b"mode" => octal().map(|mode| record.mode = mode),
            b"ptmxmode" => octal().map(|mode| record.ptmx_mode = mode),
            b"uid" => {
                number().and_then(|id| named(view.owner(ours(Of::Users, id)?, 0).0)).map(|id| record.user = Some(id))
            }
            b"gid" => {
                number().and_then(|id| named(view.owner(0, ours(Of::Groups, id)?).1)).map(|id| record.group = Some(id))
            }
            b"max" => number().map(|most| record.most = Some(most)),
            _ => None,
        };
        if known.is_none() {
            return Ok(None);
        }
    }
    Ok(Some(record))
}
