//! A user of the model: a store, and what has to be in it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use freezeframe_store::export::{self, ExportOptions, ImportOptions, Watch};
use freezeframe_store::manifest::Marks;
use freezeframe_store::record::{self, Record};
use freezeframe_store::retention::{Rules, Seen, plan_shared};
use freezeframe_store::{BaseRecord, Error, GcOptions, SnapshotId, State, Store};
use jiff::tz::TimeZone;

use super::model::Action;
use super::support::{NEVER, Size, assert_tidy, hour, id, quiet};

const WATCH: Watch<'static> = Watch { cancel: &NEVER, progress: &quiet };

#[derive(Clone, Debug)]
pub(crate) struct Expected {
    pub(crate) version: u64,
    pub(crate) packed: bool,
    pub(crate) pinned: bool,
    pub(crate) deleted: Option<i64>,
    pub(crate) imported: bool,
}

impl Expected {
    pub(crate) fn saved(version: u64) -> Self {
        Self { version, packed: false, pinned: false, deleted: None, imported: false }
    }
}

/// A file that somebody has exported.
pub(crate) struct Carried {
    pub(crate) maker: usize,
    pub(crate) name: String,
    pub(crate) version: u64,
    pub(crate) with_base: bool,
    pub(crate) bytes: Vec<u8>,
}

pub(crate) struct User {
    pub(crate) number: usize,
    pub(crate) store: Store,
    pub(crate) model: BTreeMap<String, Expected>,
    pub(crate) has_base: bool,
    pub(crate) trusts_other: bool,
}

pub(crate) fn make_base(store: &Store) {
    let directory = store.base_dir("xfce").unwrap();
    fs::create_dir_all(directory.join("root/usr")).unwrap();
    fs::write(directory.join("root/usr/program"), "a program").unwrap();
    let base = BaseRecord {
        format: BaseRecord::FORMAT,
        name: "xfce".into(),
        created: hour(0),
        origin: "recipe:xfce".into(),
        identity: "identity".into(),
        first_id: 7,
        bytes: 9,
        desktop: vec![],
        environment: vec![],
    };
    record::write(&directory.join("base.json"), &base).unwrap();
}

impl User {
    fn pick(&self, which: usize) -> Option<SnapshotId> {
        let count = self.model.len().max(1);
        self.model.keys().nth(which % count).map(|name| id(name))
    }

    pub(crate) fn act(&mut self, action: &Action, now: i64) {
        let expected = |model: &mut BTreeMap<String, Expected>, id: &SnapshotId, change: &dyn Fn(&mut Expected)| {
            change(model.get_mut(id.as_str()).unwrap());
        };
        match *action {
            Action::Pack(which) => {
                let Some(id) = self.pick(which) else { return };
                self.store.pack(&id, &NEVER, &quiet).unwrap();
                expected(&mut self.model, &id, &|e| e.packed = true);
            }
            Action::Delete(which) => {
                let Some(id) = self.pick(which) else { return };
                self.store.delete(&id, hour(now)).unwrap();
                expected(&mut self.model, &id, &|e| e.deleted = Some(now));
            }
            Action::Undelete(which) => {
                let Some(id) = self.pick(which) else { return };
                self.store.undelete(&id).unwrap();
                expected(&mut self.model, &id, &|e| e.deleted = None);
            }
            Action::Pin(which, pinned) => {
                let Some(id) = self.pick(which) else { return };
                let marks = self.store.marks(&id).unwrap();
                self.store.write_marks(&id, &Marks { format: Marks::FORMAT, pinned, ..marks }).unwrap();
                expected(&mut self.model, &id, &|e| e.pinned = pinned);
            }
            Action::Gc { rewrite_below, small_packs } => self.collect(now, rewrite_below, small_packs),
            Action::ThinOut { keep_last, budget } => {
                self.thin_out(now, &Rules { keep_last, budget, ..Rules::default() });
            }
            Action::Die(version) => {
                let writer = self.store.begin_snapshot(id("dead")).unwrap();
                super::support::write_dump(&writer.images_dir(), &writer.layer_dir(), version, Size::Tiny);
                let raw = self.store.root().join("store/raw");
                let kept = raw.join(".kept");
                fs::rename(raw.join(".dead.partial"), &kept).unwrap();
                drop(writer);
                fs::rename(kept, raw.join(".dead.partial")).unwrap();
                // A store refuses to write over what is left; a collection is what helps.
                assert!(matches!(self.store.begin_snapshot(id("dead")), Err(Error::Exists { .. })));
                self.collect(now, 0.5, 32);
            }
            Action::Verify(which) => {
                let Some(id) = self.pick(which) else { return };
                assert!(self.store.verify(Some(&id), &NEVER, &quiet).unwrap().is_clean());
            }
            Action::Reopen => self.store = Store::open(self.store.root()).unwrap(),
            _ => unreachable!("it is the world's"),
        }
    }

    fn collect(&mut self, now: i64, rewrite_below: f64, small_packs: usize) {
        let options = GcOptions { rewrite_below, small_packs, ..GcOptions::at(hour(now)) };
        let report = self.store.gc(&options, &NEVER).unwrap();
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

    /// Applies the rules, as the agent does.
    fn thin_out(&mut self, now: i64, rules: &Rules) {
        let sharing = self.store.sharing(&NEVER).unwrap();
        let seen = |(name, e): (&String, &Expected)| {
            let manifest = self.store.manifest(&id(name)).unwrap();
            Seen {
                lineage: manifest.lineage.clone(),
                created: manifest.created,
                pinned: e.pinned,
                deleted: e.deleted.is_some(),
                in_use: !e.packed,
                own_bytes: manifest.raw_bytes(),
                id: manifest.id,
            }
        };
        let all: Vec<Seen> = self.model.iter().map(seen).collect();
        let plan = plan_shared(&all, rules, hour(now), &TimeZone::UTC, &sharing);
        let kept: BTreeSet<SnapshotId> = plan.keep.iter().map(|(id, _)| id.clone()).collect();
        let raw: u64 = all.iter().filter(|s| kept.contains(&s.id) && s.in_use).map(|s| s.own_bytes).sum();
        let holds = sharing.bytes_of(|id| kept.contains(id)) + raw;
        let last = all.iter().filter(|s| !s.deleted).map(|s| s.id.clone()).max();
        let must_stay = |s: &Seen| s.pinned || s.in_use || Some(&s.id) == last.as_ref();
        assert!(
            rules.budget.is_none_or(|budget| holds <= budget)
                || all.iter().all(|s| !kept.contains(&s.id) || must_stay(s)),
            "{holds} are kept by {rules:?}: {plan:?}"
        );
        for (gone, _) in &plan.remove {
            let expected = self.model.get_mut(gone.as_str()).unwrap();
            assert!(!expected.pinned && expected.packed && expected.deleted.is_none(), "{gone} {expected:?}");
            self.store.delete(gone, hour(now)).unwrap();
            expected.deleted = Some(now);
        }
    }

    pub(crate) fn export(&self, which: usize, with_base: bool) -> Option<Carried> {
        let id = self.pick(which)?;
        let expected = &self.model[id.as_str()];
        let mut bytes = Vec::new();
        match self.store.export(&id, &mut bytes, ExportOptions { with_base }, &WATCH) {
            Ok(exported) => assert!(self.has_base && expected.packed && exported.chunks > 0),
            Err(export::Error::Store(Error::NotFound { what: "base", .. })) => assert!(!self.has_base),
            Err(export::Error::Store(Error::Committing { .. })) => assert!(!expected.packed),
            Err(error) => panic!("{id}: {error}"),
        }
        // A deleted one can be exported as long as it is there.
        let whole = self.has_base && expected.packed;
        let name = id.to_string();
        whole.then_some(Carried { maker: self.number, name, version: expected.version, with_base, bytes })
    }

    pub(crate) fn import(&mut self, file: &Carried) {
        let trusted = file.maker == self.number || self.trusts_other;
        let there = self.model.contains_key(&file.name);
        match self.store.import(&file.bytes[..], ImportOptions::default(), &WATCH) {
            Ok(imported) => {
                assert!(trusted && (self.has_base || file.with_base));
                assert_eq!((imported.id.as_str(), imported.was_there), (file.name.as_str(), there));
                assert_eq!(imported.new_base.is_some(), !self.has_base);
                assert!(!there || imported.new_chunks == 0 || imported.new_base.is_some() || file.with_base);
                self.has_base = true;
                let new = Expected { packed: true, imported: true, ..Expected::saved(file.version) };
                self.model.entry(file.name.clone()).or_insert(new).deleted = None;
            }
            Err(export::Error::UnknownKey { .. }) => assert!(!trusted),
            Err(export::Error::BaseMissing { .. }) => assert!(trusted && !self.has_base && !file.with_base),
            Err(error) => panic!("{}: {error}", file.name),
        }
    }

    pub(crate) fn check(&self) {
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
            let marks = self.store.marks(&id(name)).unwrap();
            assert_eq!(marks.deleted, expected.deleted.map(hour), "{name}");
            assert_eq!((marks.pinned, marks.imported.is_some()), (expected.pinned, expected.imported), "{name}");
        }
        assert_eq!(self.store.base("xfce").is_ok(), self.has_base);
    }
}
