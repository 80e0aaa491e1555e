//! Random saves, packs, deletes, undeletes, marks, crashes and collections, against a model.

use std::collections::BTreeMap;

use freezeframe_store::manifest::Marks;
use freezeframe_store::record::Record;
use freezeframe_store::{Error, GcOptions, SnapshotId, State, Store};
use proptest::prelude::*;

use super::support::{NEVER, Size, assert_tidy, assert_version, hour, id, quiet, save, scratch};

#[derive(Clone, Debug)]
enum Action {
    Save(u64),
    Pack(usize),
    Delete(usize),
    Undelete(usize),
    Pin(usize, bool),
    /// Time passes, in hours.
    Wait(i64),
    Gc {
        rewrite_below: f64,
        small_packs: usize,
    },
    /// A writer dies: what it wrote stays, and so no lock.
    Die(u64),
    Verify(usize),
    Reopen,
}

fn actions() -> impl Strategy<Value = Vec<Action>> {
    let some = any::<usize>();
    let action = prop_oneof![
        4 => (0..6u64).prop_map(Action::Save),
        4 => some.prop_map(Action::Pack),
        3 => some.prop_map(Action::Delete),
        1 => some.prop_map(Action::Undelete),
        1 => (some, any::<bool>()).prop_map(|(which, pin)| Action::Pin(which, pin)),
        2 => (0..30i64).prop_map(Action::Wait),
        3 => (0.0..1.1f64, 0..4usize).prop_map(|(rewrite_below, small_packs)| Action::Gc { rewrite_below, small_packs }),
        1 => (0..6u64).prop_map(Action::Die),
        1 => some.prop_map(Action::Verify),
        1 => Just(Action::Reopen),
    ];
    prop::collection::vec(action, 1..25)
}

#[derive(Clone, Debug)]
struct Expected {
    version: u64,
    packed: bool,
    pinned: bool,
    deleted: Option<i64>,
}

struct World {
    store: Store,
    model: BTreeMap<String, Expected>,
    now: i64,
    made: u64,
}

impl World {
    fn pick(&self, which: usize) -> Option<SnapshotId> {
        let count = self.model.len().max(1);
        self.model.keys().nth(which % count).map(|name| id(name))
    }

    fn act(&mut self, action: &Action) {
        match *action {
            Action::Save(version) => {
                let name = format!("s{}", self.made);
                self.made += 1;
                save(&self.store, &id(&name), version, Size::Tiny).unwrap();
                self.model.insert(name, Expected { version, packed: false, pinned: false, deleted: None });
            }
            Action::Pack(which) => {
                let Some(id) = self.pick(which) else { return };
                self.store.pack(&id, &NEVER, &quiet).unwrap();
                self.model.get_mut(id.as_str()).unwrap().packed = true;
            }
            Action::Delete(which) => {
                let Some(id) = self.pick(which) else { return };
                self.store.delete(&id, hour(self.now)).unwrap();
                self.model.get_mut(id.as_str()).unwrap().deleted = Some(self.now);
            }
            Action::Undelete(which) => {
                let Some(id) = self.pick(which) else { return };
                self.store.undelete(&id).unwrap();
                self.model.get_mut(id.as_str()).unwrap().deleted = None;
            }
            Action::Pin(which, pinned) => {
                let Some(id) = self.pick(which) else { return };
                let marks = self.store.marks(&id).unwrap();
                self.store.write_marks(&id, &Marks { format: Marks::FORMAT, pinned, ..marks }).unwrap();
                self.model.get_mut(id.as_str()).unwrap().pinned = pinned;
            }
            Action::Wait(hours) => self.now += hours,
            Action::Gc { rewrite_below, small_packs } => self.collect(rewrite_below, small_packs),
            Action::Die(version) => {
                let writer = self.store.begin_snapshot(id("dead")).unwrap();
                super::support::write_dump(&writer.images_dir(), &writer.layer_dir(), version, Size::Tiny);
                let raw = self.store.root().join("store/raw");
                let kept = raw.join(".kept");
                std::fs::rename(raw.join(".dead.partial"), &kept).unwrap();
                drop(writer);
                std::fs::rename(kept, raw.join(".dead.partial")).unwrap();
                // A store refuses to write over what is left; a collection is what helps.
                assert!(matches!(self.store.begin_snapshot(id("dead")), Err(Error::Exists { .. })));
                self.collect(0.5, 32);
            }
            Action::Verify(which) => {
                let Some(id) = self.pick(which) else { return };
                assert!(self.store.verify(Some(&id), &NEVER, &quiet).unwrap().is_clean());
            }
            Action::Reopen => self.store = Store::open(self.store.root()).unwrap(),
        }
    }

    fn collect(&mut self, rewrite_below: f64, small_packs: usize) {
        let options = GcOptions { rewrite_below, small_packs, ..GcOptions::at(hour(self.now)) };
        let report = self.store.gc(&options, &NEVER).unwrap();
        let now = self.now;
        let goes = |e: &Expected| !e.pinned && e.deleted.is_some_and(|at| now - at >= 24);
        let gone: Vec<SnapshotId> = self.model.iter().filter(|(_, e)| goes(e)).map(|(name, _)| id(name)).collect();
        assert_eq!(report.snapshots_removed, gone);
        self.model.retain(|_, e| !goes(e));
        assert_tidy(&self.store);
        if !self.model.values().any(|e| e.packed) {
            assert!(super::support::names(&self.store.root().join("store/packs")).is_empty());
        }
        assert_eq!(report.bytes_after, self.store.gc(&options, &NEVER).unwrap().bytes_before);
    }

    fn check(&self) {
        let listed: Vec<String> = super::support::names(&self.store.root().join("snapshots"))
            .into_iter()
            .filter(|name| !name.starts_with('.'))
            .collect();
        assert_eq!(listed, self.model.keys().cloned().collect::<Vec<_>>());
        let mut pending = self.store.pending().unwrap();
        pending.sort();
        let not_packed: Vec<SnapshotId> =
            self.model.iter().filter(|(_, e)| !e.packed && e.deleted.is_none()).map(|(name, _)| id(name)).collect();
        assert_eq!(pending, not_packed);
        for (name, expected) in &self.model {
            let state = self.store.state(&id(name)).unwrap();
            assert_eq!(state == State::Whole, expected.packed, "{name}");
            assert_eq!(self.store.marks(&id(name)).unwrap().deleted, expected.deleted.map(hour));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn the_store_is_what_the_model_says(actions in actions()) {
        let scratch = scratch();
        let store = Store::open(scratch.path().join("data")).unwrap();
        let mut world = World { store, model: BTreeMap::new(), now: 0, made: 0 };
        for action in &actions {
            world.act(action);
            world.check();
        }
        for (name, expected) in &world.model {
            assert_version(&world.store, &id(name), expected.version, Size::Tiny);
        }
        prop_assert!(world.store.verify(None, &NEVER, &quiet).unwrap().is_clean());
    }
}
