//! The power cut at random points: of what was not synced, any subset is lost.
//!
//! A recorder writes down every operation of one run. For each cut, a file system in memory replays the operations up to
//! there: what a sync has reached stands, of the rest each write and each change of a name is kept or lost by chance, on its
//! own. What is left is laid out in a directory, opened as a store, and checked.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use freezeframe_store::Store;
use freezeframe_store::io::{Disk, Op, Watcher};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::scenario::{self, Fact};
use super::support::scratch;

const CUTS: u64 = 1000;

/// An operation, written down.
#[derive(Clone, Debug)]
enum Event {
    CreateDirectory(PathBuf),
    Create(PathBuf),
    Write(PathBuf, Vec<u8>),
    SyncFile(PathBuf),
    Rename(PathBuf, PathBuf),
    SyncDirectory(PathBuf),
    /// With all that was there then: files that others wrote are durable from then on too.
    SyncFileSystem(Vec<(PathBuf, Option<Original>)>),
    Remove(PathBuf),
    Fact(Fact),
}

/// A file that others wrote: what a cut leaves of it is a link to it, so that it comes with all that belongs to it.
type Original = PathBuf;

#[derive(Debug)]
struct Recorder {
    root: PathBuf,
    /// Where copies of what others wrote are kept.
    originals: PathBuf,
    log: Mutex<Vec<Event>>,
}

impl Recorder {
    fn push(&self, event: Event) {
        self.log.lock().unwrap().push(event);
    }

    /// All below the root, directories first.
    fn tree(&self) -> Vec<(PathBuf, Option<Original>)> {
        let copies = self.originals.join(self.log.lock().unwrap().len().to_string());
        assert!(std::process::Command::new("cp").arg("-a").args([&self.root, &copies]).status().unwrap().success());
        let mut all = Vec::new();
        let mut open = vec![PathBuf::new()];
        while let Some(path) = open.pop() {
            let full = copies.join(&path);
            if fs::symlink_metadata(&full).unwrap().is_dir() {
                open.extend(fs::read_dir(&full).unwrap().map(|entry| path.join(entry.unwrap().file_name())));
                all.push((path, None));
            } else {
                all.push((path, Some(full)));
            }
        }
        all
    }
}

impl Watcher for Recorder {
    fn before(&self, op: Op<'_>) -> io::Result<()> {
        let own = |path: &Path| path.strip_prefix(&self.root).unwrap().to_owned();
        let event = match op {
            Op::CreateDirectory(path) => Event::CreateDirectory(own(path)),
            Op::Create(path) => Event::Create(own(path)),
            Op::Write(path, bytes) => Event::Write(own(path), bytes.to_vec()),
            Op::SyncFile(path) => Event::SyncFile(own(path)),
            Op::Rename(from, to) => Event::Rename(own(from), own(to)),
            Op::SyncDirectory(path) => Event::SyncDirectory(own(path)),
            Op::SyncFileSystem(_) => Event::SyncFileSystem(self.tree()),
            Op::RemoveFile(path) | Op::RemoveTree(path) => Event::Remove(own(path)),
        };
        self.push(event);
        Ok(())
    }
}

#[derive(Clone, Debug)]
enum Node {
    Directory { live: BTreeMap<String, usize>, durable: BTreeMap<String, usize> },
    File { bytes: Vec<u8>, pending: Vec<(usize, Vec<u8>)>, length: usize },
    Foreign(Original),
}

/// A change of names: all of it happens, or nothing.
#[derive(Clone, Debug)]
struct Change {
    unlink: Vec<(usize, String)>,
    link: Option<(usize, String, usize)>,
}

/// A file system in memory.
#[derive(Clone, Debug)]
struct Disc {
    nodes: Vec<Node>,
    pending: Vec<Change>,
}

impl Disc {
    fn of(tree: &[(PathBuf, Option<Original>)]) -> Self {
        let mut disc = Self { nodes: vec![Self::directory()], pending: Vec::new() };
        for (path, original) in tree.iter().filter(|(path, _)| !path.as_os_str().is_empty()) {
            let node = original.as_ref().map_or_else(Self::directory, |original| Node::Foreign(original.clone()));
            disc.add(path, node);
        }
        disc.sync_all();
        disc
    }

    fn directory() -> Node {
        Node::Directory { live: BTreeMap::new(), durable: BTreeMap::new() }
    }

    fn find(&self, path: &Path) -> Option<usize> {
        path.iter().try_fold(0, |at, name| match &self.nodes[at] {
            Node::Directory { live, .. } => live.get(name.to_str()?).copied(),
            _ => None,
        })
    }

    fn place(&self, path: &Path) -> Option<(usize, String)> {
        Some((self.find(path.parent()?)?, path.file_name()?.to_str()?.to_owned()))
    }

    fn change(&mut self, change: Change) {
        for (directory, name) in &change.unlink {
            if let Node::Directory { live, .. } = &mut self.nodes[*directory] {
                live.remove(name);
            }
        }
        if let Some((directory, name, node)) = &change.link
            && let Node::Directory { live, .. } = &mut self.nodes[*directory]
        {
            live.insert(name.clone(), *node);
        }
        self.pending.push(change);
    }

    fn add(&mut self, path: &Path, node: Node) {
        // What lies in a directory that others made, and nothing has synced yet, is not known here.
        let Some((directory, name)) = self.place(path) else { return };
        self.nodes.push(node);
        let node = self.nodes.len() - 1;
        self.change(Change { unlink: vec![], link: Some((directory, name, node)) });
    }

    fn remove(&mut self, path: &Path) {
        let (Some(node), Some(place)) = (self.find(path), self.place(path)) else { return };
        if let Node::Directory { live, .. } = &self.nodes[node] {
            for name in live.keys().cloned().collect::<Vec<_>>() {
                self.remove(&path.join(name));
            }
        }
        self.change(Change { unlink: vec![place], link: None });
    }

    /// Changes that a sync of the directory reaches are durable from then on.
    fn sync_directory(&mut self, directory: Option<usize>) {
        let reached = |change: &Change| {
            directory.is_none()
                || change.unlink.iter().any(|(d, _)| Some(*d) == directory)
                || change.link.as_ref().is_some_and(|(d, ..)| Some(*d) == directory)
        };
        for change in std::mem::take(&mut self.pending) {
            if reached(&change) { self.make_durable(&change) } else { self.pending.push(change) }
        }
    }

    fn make_durable(&mut self, change: &Change) {
        for (directory, name) in &change.unlink {
            if let Node::Directory { durable, .. } = &mut self.nodes[*directory] {
                durable.remove(name);
            }
        }
        if let Some((directory, name, node)) = &change.link
            && let Node::Directory { durable, .. } = &mut self.nodes[*directory]
        {
            durable.insert(name.clone(), *node);
        }
    }

    fn sync_file(&mut self, node: usize, mut keep: impl FnMut() -> bool) {
        if let Node::File { bytes, pending, .. } = &mut self.nodes[node] {
            for (offset, written) in pending.drain(..) {
                if keep() {
                    bytes.resize(bytes.len().max(offset + written.len()), 0);
                    bytes[offset..offset + written.len()].copy_from_slice(&written);
                }
            }
        }
    }

    fn sync_all(&mut self) {
        self.sync_directory(None);
        (0..self.nodes.len()).for_each(|node| self.sync_file(node, || true));
    }

    fn replay(&mut self, event: &Event) {
        match event {
            Event::CreateDirectory(path) => self.add(path, Self::directory()),
            Event::Create(path) => self.add(path, Node::File { bytes: vec![], pending: vec![], length: 0 }),
            Event::Write(path, written) => {
                if let Some(node) = self.find(path)
                    && let Node::File { pending, length, .. } = &mut self.nodes[node]
                {
                    pending.push((*length, written.clone()));
                    *length += written.len();
                }
            }
            Event::SyncFile(path) => {
                if let Some(node) = self.find(path) {
                    self.sync_file(node, || true);
                }
            }
            Event::Rename(from, to) => {
                if let (Some(node), Some(from), Some((directory, name))) =
                    (self.find(from), self.place(from), self.place(to))
                {
                    self.change(Change { unlink: vec![from], link: Some((directory, name, node)) });
                }
            }
            Event::SyncDirectory(path) => {
                if let Some(node) = self.find(path) {
                    self.sync_directory(Some(node));
                }
            }
            Event::SyncFileSystem(tree) => *self = Self::of(tree),
            Event::Remove(path) => self.remove(path),
            Event::Fact(_) => {}
        }
    }

    /// What is left when the power goes now.
    fn cut(&mut self, random: &mut StdRng) {
        for change in std::mem::take(&mut self.pending) {
            if random.random() {
                self.make_durable(&change);
            }
        }
        for node in 0..self.nodes.len() {
            self.sync_file(node, || random.random());
        }
    }

    /// Lays it out at `path`. `laid` remembers files with several names by their originals' inodes.
    fn lay_out(&self, node: usize, path: &Path, laid: &mut BTreeMap<u64, PathBuf>) {
        match &self.nodes[node] {
            Node::Directory { durable, .. } => {
                fs::create_dir(path).unwrap();
                durable.iter().for_each(|(name, node)| self.lay_out(*node, &path.join(name), laid));
            }
            Node::File { bytes, .. } => fs::write(path, bytes).unwrap(),
            Node::Foreign(original) => {
                let inode = fs::symlink_metadata(original).unwrap().ino();
                if let Some(first) = laid.get(&inode) {
                    return fs::hard_link(first, path).unwrap();
                }
                laid.insert(inode, path.to_owned());
                match fs::read_link(original) {
                    Ok(target) => std::os::unix::fs::symlink(target, path).unwrap(),
                    Err(_) => drop(fs::copy(original, path).unwrap()),
                }
            }
        }
    }
}

#[test]
fn whatever_a_power_cut_loses_of_what_was_not_synced_no_snapshot_is_lost() {
    let scratch = scratch();
    let (root, originals) = (scratch.path().join("data"), scratch.path().join("originals"));
    fs::create_dir(&originals).unwrap();
    drop(Store::open(&root).unwrap());
    let recorder = Arc::new(Recorder { root: root.clone(), originals, log: Mutex::default() });
    let start = Disc::of(&recorder.tree());
    let store = Store::open_on(&root, Disk::watched(Arc::<Recorder>::clone(&recorder))).unwrap();
    scenario::run(&store, |fact| recorder.push(Event::Fact(fact))).unwrap();
    drop(store);
    let log = std::mem::take(&mut *recorder.log.lock().unwrap());

    // Every place at least once, and chance for the rest.
    let next = std::sync::atomic::AtomicU64::new(0);
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(2, usize::from) {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                    if number >= CUTS {
                        return;
                    }
                    let mut random = StdRng::seed_from_u64(number);
                    let at = usize::try_from(number).unwrap();
                    let at = if at <= log.len() { at } else { random.random_range(0..=log.len()) };
                    check_cut(&start, &log[..at], number, &mut random);
                }
            });
        }
    });
}

fn check_cut(start: &Disc, log: &[Event], number: u64, random: &mut StdRng) {
    let mut disc = start.clone();
    log.iter().for_each(|event| disc.replay(event));
    disc.cut(random);
    let scratch = scratch();
    let root = scratch.path().join("data");
    disc.lay_out(0, &root, &mut BTreeMap::new());
    let facts: Vec<Fact> =
        log.iter().filter_map(|e| if let Event::Fact(fact) = e { Some(*fact) } else { None }).collect();
    // Says which cut it was when it fails.
    let context = format!("cut {number} after {} operations, the last {:?}", log.len(), log.last().map(short));
    let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        scenario::check_and_mend(&Store::open(&root).unwrap(), &facts);
    }));
    assert!(result.is_ok(), "{context}");
}

fn short(event: &Event) -> String {
    format!("{event:?}").chars().take(200).collect()
}
