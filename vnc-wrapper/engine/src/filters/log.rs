//! Who has which filters: what was seen of each installation, and what follows from it for every thread.
//!
//! The kernel shows a thread's filters to nobody but root; how many it has is in its `status`. A chain of filters only grows:
//! a child begins with what its creator has, a thread adds to its own, or to that of all threads of its process
//! (`SECCOMP_FILTER_FLAG_TSYNC`). So what was installed is a forest, and a thread's chain is a way in it as long as the number
//! in its `status`. Which one is found by leaving out what cannot be: [`Log::chain`] answers when one is left, and names why
//! not otherwise. Nothing is guessed.
//!
//! What the answer stands on:
//!
//! - A thread of a process in which something was installed has a way through what was installed there, for whatever the process
//!   began with is the beginning of all of these.
//! - In a process where nothing was installed all have what its creator had: its parent, or a process with the same parent
//!   (CLONE_PARENT). Not so where the parent adopts orphans, as subreapers and the first process do.
//! - A thread's own last filter is in its chain. A first thread's may not be: one that calls execve(2) takes its place.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use super::program::Program;

/// A thread or process, which nothing else ever is: its id, as we see it, and when it began (field 22 of `stat`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Id {
    /// The thread's id; a process has that of its first thread.
    pub tid: i32,
    /// In clock ticks.
    pub start: u64,
}

/// A thread as `/proc` shows it at one time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Which.
    pub thread: Id,
    /// Its process.
    pub process: Id,
    /// All threads of that.
    pub threads: Vec<Id>,
    /// Its parent, the parent of that … up to the session's first process, which is left out.
    pub ancestors: Vec<Id>,
    /// `Seccomp_filters`: how many filters it has.
    pub depth: usize,
}

/// A filter, as it was installed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filter {
    /// Its `struct sock_filter` instructions.
    pub bytes: Vec<u8>,
    /// `SECCOMP_FILTER_FLAG_LOG` and others that stay with it.
    pub flags: u32,
    /// The same, read.
    pub program: Program,
}

impl Filter {
    /// A filter of these instructions; none where the kernel takes none such.
    #[must_use]
    pub fn new(bytes: Vec<u8>, flags: u32) -> Option<Self> {
        let program = Program::read(&bytes)?;
        Some(Self { bytes, flags, program })
    }
}

/// A node of the forest.
type Node = usize;

#[derive(Debug)]
struct Place {
    /// None: the beginning, which has the session's own filters.
    parent: Option<Node>,
    depth: usize,
    filter: Arc<Filter>,
}

/// What was seen of a process.
#[derive(Debug, Default)]
struct Process {
    parent: Option<Id>,
    /// What was, or may have been, installed in it.
    nodes: BTreeSet<Node>,
    /// The last that each thread installed for certain.
    own: BTreeMap<Id, Node>,
    /// From how many filters on it is not known what its threads have.
    unclear: Option<usize>,
    /// Orphans may have become its children.
    subreaper: bool,
}

/// An installation whose call may not have come to its end.
#[derive(Clone, Debug)]
struct Attempt {
    process: Id,
    /// How many filters the thread had before.
    depth: usize,
    /// Its process had no other thread.
    alone: bool,
    nodes: BTreeSet<Node>,
    /// Those that were there before because of something else.
    known: BTreeSet<Node>,
}

/// Why it is not known what a thread has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unclear {
    /// It has filters whose installation was not seen.
    Unseen(usize),
    /// It has fewer than every thread of the session.
    Fewer(usize),
    /// Several chains would fit.
    Several(usize),
    /// Filters were installed at the same time, in an order that nobody saw.
    Mixed,
}

impl fmt::Display for Unclear {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unseen(count) => {
                write!(out, "it has {count} seccomp filters, and not all of them were seen when they were installed")
            }
            Self::Fewer(count) => {
                write!(out, "it has {count} seccomp filters, fewer than the session gives each thread")
            }
            Self::Several(count) => write!(out, "there are {count} seccomp filters that its last one could be"),
            Self::Mixed => out.write_str("its process installed seccomp filters in an order that was not seen"),
        }
    }
}

/// What was seen of a session's filters.
#[derive(Debug, Default)]
pub struct Log {
    /// What every thread of the session begins with, oldest first.
    base: Vec<Arc<Filter>>,
    places: Vec<Place>,
    /// Places by what they follow (none: the base) and what they hold.
    found: BTreeMap<(Option<Node>, u32), Vec<Node>>,
    processes: BTreeMap<Id, Process>,
    open: BTreeMap<Id, Attempt>,
}

impl Log {
    /// The log of a session whose threads all begin with `base`, oldest first.
    #[must_use]
    pub fn new(base: Vec<Filter>) -> Self {
        Self { base: base.into_iter().map(Arc::new).collect(), ..Self::default() }
    }

    /// What every thread begins with.
    #[must_use]
    pub fn base(&self) -> &[Arc<Filter>] {
        &self.base
    }

    /// The thread `seen` is about to install `filter`; it does nothing else meanwhile. [`Log::ends`] says that it has done so.
    pub fn begins(&mut self, seen: &Seen, filter: Filter) {
        // A thread that makes another call has finished the last one.
        self.ends(seen.thread, seen.depth);
        let before = self.candidates(seen);
        // Where another thread has not finished, its filter may come first, or not at all.
        let others = self.open.iter().any(|(id, open)| open.process == seen.process && *id != seen.thread);
        let process = self.processes.entry(seen.process).or_default();
        process.parent = seen.ancestors.first().copied();
        let before = match before {
            // Not even what it had is known.
            Ok(before) if before.is_empty() => return process.is_unclear_from(seen.depth.saturating_sub(1)),
            Ok(before) if !others => before,
            _ => return process.is_unclear_from(seen.depth),
        };
        let filter = Arc::new(filter);
        let nodes: BTreeSet<Node> = before.into_iter().map(|node| self.place(node, &filter)).collect();
        let process = self.processes.entry(seen.process).or_default();
        let known = nodes.intersection(&process.nodes).copied().collect();
        process.nodes.extend(&nodes);
        let alone = seen.threads.len() <= 1;
        let attempt = Attempt { process: seen.process, depth: seen.depth, alone, nodes, known };
        self.open.insert(seen.thread, attempt);
    }

    /// The call of a thread has come to its end, and the thread has `depth` filters now.
    pub fn ends(&mut self, thread: Id, depth: usize) {
        let Some(attempt) = self.open.remove(&thread) else { return };
        let process = self.processes.entry(attempt.process).or_default();
        // Who called execve(2) may be the first thread now.
        if depth == attempt.depth && thread == attempt.process && !attempt.alone {
            return;
        }
        if depth == attempt.depth {
            // The kernel refused.
            process.nodes.retain(|node| !attempt.nodes.contains(node) || attempt.known.contains(node));
        } else if depth != attempt.depth + 1 {
            process.is_unclear_from(attempt.depth);
        } else if thread == attempt.process && !attempt.alone {
            // Another thread that calls execve(2) later has the first one's id, and not what that installed here.
            process.own.remove(&thread);
        } else if let [node] = attempt.nodes.into_iter().collect::<Vec<_>>()[..] {
            process.own.insert(thread, node);
        } else {
            // One of several: it may be none of what was its own before.
            process.own.remove(&thread);
        }
    }

    /// A thread has ended, and nobody saw whether its call did what it was to do.
    pub fn gone(&mut self, thread: Id) {
        self.open.remove(&thread);
    }

    /// The call of a thread was not made: it will make it once more.
    pub fn cancel(&mut self, thread: Id) {
        if let Some(depth) = self.open.get(&thread).map(|attempt| attempt.depth) {
            self.ends(thread, depth);
        }
    }

    /// Threads of `process` whose calls may not have come to their end.
    pub fn unfinished(&self, process: Id) -> Vec<Id> {
        self.open.iter().filter(|(_, attempt)| attempt.process == process).map(|(id, _)| *id).collect()
    }

    /// Orphans may become children of `process` from now on.
    pub fn adopts(&mut self, process: Id) {
        self.processes.entry(process).or_default().subreaper = true;
    }

    /// How many processes it keeps something of.
    #[must_use]
    pub fn length(&self) -> usize {
        self.processes.len()
    }

    /// Forgets processes that have ended, and whose parents have: nothing follows from them any more. The filters stay.
    pub fn forget(&mut self, lives: impl Fn(Id) -> bool) {
        self.processes.retain(|id, process| {
            // What is not clear stays so for those that descend from it.
            process.unclear.is_some() || lives(*id) || process.parent.is_some_and(&lives)
        });
        self.open.retain(|id, _| lives(*id));
    }

    /// The filters that a thread has beyond [`Log::base`], oldest first.
    ///
    /// # Errors
    /// [`Unclear`].
    pub fn chain(&self, seen: &Seen) -> Result<Vec<Arc<Filter>>, Unclear> {
        let candidates = self.candidates(seen)?;
        let mut nodes = candidates.iter();
        let (Some(first), None) = (nodes.next(), nodes.next()) else {
            return Err(if candidates.is_empty() {
                Unclear::Unseen(seen.depth)
            } else {
                Unclear::Several(candidates.len())
            });
        };
        let mut chain = Vec::new();
        let mut at = *first;
        while let Some(node) = at {
            chain.push(Arc::clone(&self.places[node].filter));
            at = self.places[node].parent;
        }
        chain.reverse();
        Ok(chain)
    }

    /// Whatever the last filter of a thread could be; none: one of the base.
    fn candidates(&self, seen: &Seen) -> Result<BTreeSet<Option<Node>>, Unclear> {
        let depth = seen.depth;
        if depth <= self.base.len() {
            let fewer = Unclear::Fewer(depth);
            return if depth == self.base.len() { Ok([None].into()) } else { Err(fewer) };
        }
        let clear = |process: &Process| match process.unclear {
            Some(from) if from < depth => Err(Unclear::Mixed),
            _ => Ok(()),
        };
        if let Some(process) = self.processes.get(&seen.process).filter(|process| process.has_any()) {
            clear(process)?;
            return Ok(self.own(process, seen, self.cuts(process, depth)));
        }
        let mut found = BTreeSet::new();
        for ancestor in &seen.ancestors {
            let process = self.processes.get(ancestor);
            if process.is_some_and(|process| process.subreaper) {
                break;
            }
            let siblings = self.processes.values().filter(|process| process.parent == Some(*ancestor));
            for process in siblings.chain(process) {
                clear(process)?;
                found.extend(self.cuts(process, depth));
            }
            if process.is_some_and(Process::has_any) {
                return Ok(found);
            }
        }
        // An orphan, or a child of one that was: of any process.
        self.processes.values().try_for_each(clear)?;
        let all = (0..self.places.len()).filter(|node| self.places[*node].depth == depth);
        Ok(all.map(Some).collect())
    }

    /// The places at `depth` on the ways to what was installed in `process`.
    fn cuts(&self, process: &Process, depth: usize) -> BTreeSet<Option<Node>> {
        process.nodes.iter().filter_map(|node| self.cut(*node, depth)).map(Some).collect()
    }

    /// The place at `depth` on the way to `node`.
    fn cut(&self, mut node: Node, depth: usize) -> Option<Node> {
        while self.places[node].depth > depth {
            node = self.places[node].parent?;
        }
        (self.places[node].depth == depth).then_some(node)
    }

    /// Leaves out what does not follow what the thread installed itself.
    fn own(&self, process: &Process, seen: &Seen, found: BTreeSet<Option<Node>>) -> BTreeSet<Option<Node>> {
        let Some(own) = process.own.get(&seen.thread).copied() else { return found };
        // Another thread that called execve(2) is the first one now, and all others are gone.
        let replaced = seen.thread == seen.process && process.own.keys().any(|thread| !seen.threads.contains(thread));
        if replaced {
            return found;
        }
        let follows = |node: &Option<Node>| {
            node.is_some_and(|node| self.cut(node, self.places[own].depth).is_some_and(|at| at == own))
        };
        found.into_iter().filter(follows).collect()
    }

    /// The place of `filter` behind `parent`, made where it is not there yet.
    fn place(&mut self, parent: Option<Node>, filter: &Arc<Filter>) -> Node {
        let key = (parent, checksum(&filter.bytes));
        let same = self.found.get(&key).into_iter().flatten().find(|node| self.places[**node].filter == *filter);
        if let Some(node) = same {
            return *node;
        }
        let depth = parent.map_or(self.base.len(), |node| self.places[node].depth) + 1;
        self.places.push(Place { parent, depth, filter: Arc::clone(filter) });
        let node = self.places.len() - 1;
        self.found.entry(key).or_default().push(node);
        node
    }
}

impl Process {
    /// Nobody knows what those of its threads have that have more than `depth` filters.
    fn is_unclear_from(&mut self, depth: usize) {
        self.unclear = Some(self.unclear.unwrap_or(usize::MAX).min(depth));
    }

    /// Whether something was installed in it.
    fn has_any(&self) -> bool {
        !self.nodes.is_empty() || self.unclear.is_some()
    }
}

/// A number that differs for most programs that differ.
fn checksum(bytes: &[u8]) -> u32 {
    let hash = blake3::hash(bytes);
    let [a, b, c, d, ..] = *hash.as_bytes();
    u32::from_ne_bytes([a, b, c, d])
}
