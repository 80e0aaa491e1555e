//! Which snapshots refer to which bytes of the store.
//!
//! Chunks that the very same snapshots refer to are one group, so that all that is kept of a store of a hundred snapshots
//! are a few hundred groups: who, and how many bytes. What a chunk takes is its part of the compressed block that it lies
//! in and its line in the index; a snapshot's own directory (its records and its thumbnail) is its own group.
//!
//! [`Count`] is pure. It looks at each reference once: a chunk begins in the group of the first snapshot that has it, and
//! moves to the group of the same snapshots and one more with every other that is met.

use std::collections::{BTreeMap, HashMap};
use std::hash::Hash;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::error::{Error, Result};
use crate::id::SnapshotId;
use crate::layout::Store;
use crate::pack::ChunkReader;
use crate::tree::visit;
use crate::usage::bytes_below;

/// Bytes of the store, by the snapshots that refer to them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sharing {
    numbers: BTreeMap<SnapshotId, u32>,
    /// Each with its snapshots, in order.
    groups: Vec<(Vec<u32>, u64)>,
    partial: bool,
}

impl Sharing {
    /// Whether something that a snapshot refers to could not be read, so that another count may find more.
    pub fn is_partial(&self) -> bool {
        self.partial
    }

    /// Whether the snapshot was counted: it is packed.
    pub fn knows(&self, id: &SnapshotId) -> bool {
        self.numbers.contains_key(id)
    }

    /// All snapshots that were counted, in order.
    pub fn snapshots(&self) -> impl Iterator<Item = &SnapshotId> {
        self.numbers.keys()
    }

    /// Bytes that the store holds for those snapshots that `kept` picks, together.
    pub fn bytes_of(&self, kept: impl Fn(&SnapshotId) -> bool) -> u64 {
        let picked = self.picked(kept);
        let needed = |group: &&(Vec<u32>, u64)| group.0.iter().any(|&n| picked.get(n as usize) == Some(&true));
        self.groups.iter().filter(needed).map(|(_, bytes)| bytes).sum()
    }

    /// Bytes that `id` refers to and that others, of those that `others` picks, refer to as well.
    pub fn shared_bytes(&self, id: &SnapshotId, others: impl Fn(&SnapshotId) -> bool) -> u64 {
        let Some(&of) = self.numbers.get(id) else { return 0 };
        let picked = self.picked(others);
        let shared = |group: &&(Vec<u32>, u64)| {
            group.0.contains(&of) && group.0.iter().any(|&n| n != of && picked.get(n as usize) == Some(&true))
        };
        self.groups.iter().filter(shared).map(|(_, bytes)| bytes).sum()
    }

    fn picked(&self, pick: impl Fn(&SnapshotId) -> bool) -> Vec<bool> {
        let mut picked = vec![false; self.numbers.len()];
        for (id, &number) in &self.numbers {
            if let Some(place) = picked.get_mut(number as usize) {
                *place = pick(id);
            }
        }
        picked
    }
}

/// Those of the group before, and one more.
#[derive(Clone, Copy, Debug)]
struct Node {
    before: Option<u32>,
    last: u32,
    bytes: u64,
}

/// Counts what snapshots refer to, one snapshot after the other.
#[derive(Debug)]
pub struct Count<K> {
    numbers: BTreeMap<SnapshotId, u32>,
    now: u32,
    nodes: Vec<Node>,
    group_of: HashMap<K, u32>,
    /// Groups that have become another with the present snapshot, and which.
    moved: HashMap<Option<u32>, u32>,
    partial: bool,
}

impl<K> Default for Count<K> {
    fn default() -> Self {
        Self {
            numbers: BTreeMap::new(),
            now: 0,
            nodes: Vec::new(),
            group_of: HashMap::new(),
            moved: HashMap::new(),
            partial: false,
        }
    }
}

impl<K: Eq + Hash> Count<K> {
    /// Goes on with the snapshot `id`, which takes `alone` bytes that no other can share.
    pub fn begin(&mut self, id: SnapshotId, alone: u64) {
        self.now = u32::try_from(self.numbers.len()).unwrap_or(u32::MAX);
        self.numbers.insert(id, self.now);
        self.moved.clear();
        let group = self.with_this(None);
        self.add(group, alone);
    }

    /// The present snapshot refers to `chunk`, which takes `bytes`. However often that is said, it counts once.
    pub fn refer(&mut self, chunk: K, bytes: u64) {
        let before = self.group_of.get(&chunk).copied();
        if let Some(node) = before.and_then(|group| self.nodes.get_mut(group as usize)) {
            if node.last == self.now {
                return;
            }
            node.bytes = node.bytes.saturating_sub(bytes);
        }
        let group = self.with_this(before);
        self.add(group, bytes);
        self.group_of.insert(chunk, group);
    }

    fn with_this(&mut self, before: Option<u32>) -> u32 {
        let next = u32::try_from(self.nodes.len()).unwrap_or(u32::MAX);
        let group = *self.moved.entry(before).or_insert(next);
        if group == next {
            self.nodes.push(Node { before, last: self.now, bytes: 0 });
        }
        group
    }

    fn add(&mut self, group: u32, bytes: u64) {
        if let Some(node) = self.nodes.get_mut(group as usize) {
            node.bytes = node.bytes.saturating_add(bytes);
        }
    }

    /// Not all that the present snapshot refers to could be read.
    pub fn note_partial(&mut self) {
        self.partial = true;
    }

    /// What was counted.
    pub fn finish(self) -> Sharing {
        let members = |node: &Node| {
            let mut members = vec![node.last];
            let mut before = node.before;
            while let Some(node) = before.and_then(|group| self.nodes.get(group as usize)) {
                members.push(node.last);
                before = node.before;
            }
            members.reverse();
            members
        };
        let groups = self.nodes.iter().filter(|node| node.bytes > 0).map(|node| (members(node), node.bytes)).collect();
        Sharing { groups, numbers: self.numbers, partial: self.partial }
    }
}

impl Store {
    /// Counts what the packed snapshots, deleted ones among them, refer to. Of a damaged one counts what can be found.
    ///
    /// # Errors
    /// [`Error::Busy`], [`Error::Cancelled`], or when the store cannot be read.
    pub fn sharing(&self, cancel: &AtomicBool) -> Result<Sharing> {
        let mut reader: ChunkReader = self.chunk_reader()?;
        let catalogue = Arc::clone(reader.catalogue());
        let mut count = Count::default();
        for id in self.snapshot_ids()? {
            let Ok(content) = self.content(&id) else { continue };
            count.begin(id.clone(), bytes_below(&self.snapshot_dir(&id))?);
            for tree in [&content.images, &content.layer] {
                let visited = visit(tree, &mut reader, &self.content_path(&id), &mut |hash, _| {
                    if cancel.load(Ordering::Relaxed) {
                        return Err(Error::Cancelled);
                    }
                    if let Some(location) = catalogue.find(&hash) {
                        count.refer(hash, catalogue.stored_bytes(location));
                    }
                    Ok(())
                });
                match visited {
                    Ok(()) => {}
                    Err(Error::Cancelled) => return Err(Error::Cancelled),
                    Err(_) => count.note_partial(),
                }
            }
        }
        Ok(count.finish())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn id(number: usize) -> SnapshotId {
        SnapshotId::new(format!("s{number}")).unwrap()
    }

    proptest! {
        /// Against the sets themselves.
        #[test]
        fn groups_are_what_the_sets_say(
            snapshots in prop::collection::vec((0..50_u64, prop::collection::vec(0..40_u64, 0..30)), 0..8),
            picks in prop::collection::vec(any::<bool>(), 8),
        ) {
            let size = |chunk: u64| chunk * 3 + 1;
            let mut count = Count::default();
            for (number, (alone, chunks)) in snapshots.iter().enumerate() {
                count.begin(id(number), *alone);
                chunks.iter().for_each(|chunk| count.refer(*chunk, size(*chunk)));
            }
            let sharing = count.finish();
            let pick = |of: &SnapshotId| (0..8).any(|n| picks[n] && id(n) == *of);
            let picked = || snapshots.iter().zip(&picks).enumerate().filter(|(_, (_, picked))| **picked);
            let chunks: BTreeSet<u64> = picked().flat_map(|(_, ((_, chunks), _))| chunks.clone()).collect();
            let alone: u64 = picked().map(|(_, ((alone, _), _))| alone).sum();
            prop_assert_eq!(sharing.bytes_of(pick), alone + chunks.iter().copied().map(size).sum::<u64>());
            for (number, (_, chunks)) in snapshots.iter().enumerate() {
                let others: BTreeSet<u64> =
                    picked().filter(|(n, _)| *n != number).flat_map(|(_, ((_, chunks), _))| chunks.clone()).collect();
                let shared: BTreeSet<u64> = chunks.iter().copied().filter(|chunk| others.contains(chunk)).collect();
                prop_assert_eq!(sharing.shared_bytes(&id(number), pick), shared.into_iter().map(size).sum::<u64>());
            }
            prop_assert!(sharing.snapshots().count() == snapshots.len() && !sharing.knows(&id(9)));
        }
    }
}
