//! Exports: what comes back, and what is refused.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use freezeframe_store::export::{Error, ExportOptions, ImportOptions, Imported, Watch};
use freezeframe_store::gc::GcOptions;
use freezeframe_store::manifest::{Manifest, Marks, Watched, Window};
use freezeframe_store::record::{self, Record};
use freezeframe_store::session::Network;
use freezeframe_store::{BaseRecord, Progress, SnapshotId, Store, usage};
use proptest::prelude::*;

static GO_ON: AtomicBool = AtomicBool::new(false);
const WATCH: Watch<'static> = Watch { cancel: &GO_ON, progress: &|_| {} };
const FIRST_ID: u32 = 0x6FFF_0000;
const ONE: &str = "0123456789ab";

/// A user with a store.
struct User {
    store: Store,
    dir: tempfile::TempDir,
}

fn user() -> User {
    let dir = tempfile::tempdir().unwrap();
    User { store: Store::open(dir.path().join("data")).unwrap(), dir }
}

fn id(text: &str) -> SnapshotId {
    SnapshotId::new(text).unwrap()
}

/// Bytes that do not pack well, and are others for another seed.
fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    })
    .flatten()
    .take(length)
    .collect()
}

impl User {
    /// With a base of that identity.
    fn with_base(self, identity: &str) -> Self {
        let root = self.store.base_dir("xfce").unwrap().join("root");
        fs::create_dir_all(root.join("usr/bin")).unwrap();
        fs::write(root.join("usr/bin/true"), noise(99, 300)).unwrap();
        fs::set_permissions(root.join("usr/bin/true"), fs::Permissions::from_mode(0o4755)).unwrap();
        symlink("usr/bin", root.join("bin")).unwrap();
        let base = BaseRecord {
            format: BaseRecord::FORMAT,
            name: "xfce".into(),
            created: "2026-11-01T00:00:00Z".parse().unwrap(),
            origin: "recipe:xfce".into(),
            identity: identity.into(),
            first_id: FIRST_ID,
            bytes: 300,
            desktop: vec!["xfce4-session".into()],
            environment: Vec::new(),
        };
        record::write(&self.store.base_dir("xfce").unwrap().join("base.json"), &base).unwrap();
        self
    }

    /// Saves a snapshot whose memory is of `pages` pages, the last one of them with `seed` in it.
    fn save(&self, text: &str, pages: usize, seed: u64) -> SnapshotId {
        let writer = self.store.begin_snapshot(id(text)).unwrap();
        let mut memory = noise(1, pages * 4096);
        memory.extend_from_slice(&[0; 3 * 4096]);
        memory.extend_from_slice(&noise(seed, 4096));
        if pages == 0 {
            memory = noise(seed, 200);
        }
        fs::write(writer.images_dir().join("pages-1.img"), memory).unwrap();
        fs::write(writer.images_dir().join("inventory.img"), b"inventory").unwrap();
        let layer = writer.layer_dir();
        fs::create_dir_all(layer.join("home/user")).unwrap();
        fs::write(layer.join("home/user/notes.txt"), "the same\n".repeat(3)).unwrap();
        fs::hard_link(layer.join("home/user/notes.txt"), layer.join("home/user/other")).unwrap();
        symlink("notes.txt", layer.join("home/user/link")).unwrap();
        let mut manifest = manifest(text);
        manifest.memory_bytes = (pages as u64 + 4) * 4096;
        writer.commit(&manifest, Some(b"\x89PNG, nearly")).unwrap();
        self.store.pack(&id(text), &GO_ON, &|_| {}).unwrap();
        id(text)
    }

    fn export(&self, id: &SnapshotId, with_base: bool) -> Vec<u8> {
        let mut file = Vec::new();
        self.store.export(id, &mut file, ExportOptions { with_base }, &WATCH).unwrap();
        file
    }

    fn import(&self, file: &[u8]) -> Result<Imported, Error> {
        self.store.import(file, ImportOptions::default(), &WATCH)
    }

    fn trusting(self, other: &Self) -> Self {
        self.store.trust_key(&other.store.signing_key().unwrap().public(), "the other").unwrap();
        self
    }

    fn nothing_is_visible(&self) -> bool {
        let names = |dir: &str| fs::read_dir(self.store.root().join(dir)).unwrap().count();
        self.store.list_snapshots().unwrap().is_empty()
            && names("snapshots") == 0
            && self.store.pending().unwrap().is_empty()
    }

    /// Names, kinds, modes, sizes, times, links and bytes of all that the snapshot consists of.
    fn laid_out(&self, id: &SnapshotId) -> Vec<String> {
        let to = self.dir.path().join(format!("out-{id}"));
        fs::create_dir(&to).unwrap();
        self.store.materialise(id, &to.join("images"), &to.join("layer"), &GO_ON, &|_| {}).unwrap();
        let lines = listing(&to);
        fs::remove_dir_all(&to).unwrap();
        lines
    }
}

fn listing(root: &Path) -> Vec<String> {
    let mut lines = Vec::new();
    let mut open = vec![root.to_owned()];
    while let Some(path) = open.pop() {
        let about = fs::symlink_metadata(&path).unwrap();
        let bytes = match about.file_type() {
            t if t.is_file() => blake3::hash(&fs::read(&path).unwrap()).to_string(),
            t if t.is_symlink() => fs::read_link(&path).unwrap().display().to_string(),
            _ => {
                open.extend(fs::read_dir(&path).unwrap().map(|e| e.unwrap().path()));
                String::new()
            }
        };
        if path != root {
            let name = path.strip_prefix(root).unwrap().display();
            let (links, mtime) = (about.nlink(), (about.mtime(), about.mtime_nsec()));
            lines.push(format!("{name} {:o} {} {links} {mtime:?} {bytes}", about.mode(), about.uid()));
        }
    }
    lines.sort();
    lines
}

fn manifest(text: &str) -> Manifest {
    Manifest {
        format: Manifest::FORMAT,
        id: id(text),
        session: "desktop-1".parse().unwrap(),
        lineage: "abc".into(),
        parent: Some(id("aaaaaaaaaaaa")),
        created: "2026-11-20T10:11:12.131415Z".parse().unwrap(),
        label: "before the update".into(),
        automatic: false,
        base: "xfce".into(),
        base_identity: "identity-1".into(),
        first_id: None,
        attributes: None,
        width: 1280,
        height: 800,
        network: Network::Outbound,
        engine: "criu 4.2.1".into(),
        kernel: "6.1.0".into(),
        // Numbers of which a careless parser loses the last digit.
        pause_ms: 122.416_294_033_786_59,
        freeze_ms: 8.41e21,
        memory_bytes: 0,
        layer_bytes: 27,
        processes: 12,
        threads: 40,
        windows: vec![Window { title: "Ünïcode ✓".into(), application: "xterm".into(), pid: 7 }],
        closed: Vec::new(),
        watched: Watched { display: 2, desktop: 3 },
    }
}

#[test]
fn what_is_exported_comes_back_the_same_for_somebody_else() {
    let ann = user().with_base("identity-1");
    let bob = user().with_base("identity-1").trusting(&ann);
    let one = ann.save(ONE, 40, 7);
    ann.store
        .write_marks(&one, &Marks { format: 1, label: Some("mine".into()), pinned: true, ..Marks::default() })
        .unwrap();
    let file = ann.export(&one, false);

    let far = Mutex::new(Vec::new());
    let progress = |p: Progress| far.lock().unwrap().push(p);
    let watch = Watch { cancel: &GO_ON, progress: &progress };
    let done = bob.store.import(&file[..], ImportOptions::default(), &watch).unwrap();
    assert_eq!((done.id.as_str(), done.was_there, done.new_base), (ONE, false, None));
    assert!(done.new_chunks > 40 && done.new_bytes > 40 * 4096);
    let far = far.into_inner().unwrap();
    assert!(far.is_sorted_by_key(|p| p.done) && far.last().is_some_and(|p| p.done == p.total), "{far:?}");

    let told = Manifest { first_id: Some(FIRST_ID), ..ann.store.manifest(&one).unwrap() };
    assert_eq!(bob.store.manifest(&one).unwrap(), told);
    let marks = bob.store.marks(&one).unwrap();
    assert_eq!((marks.label.as_deref(), marks.pinned), (Some("mine"), false), "a pin is the user's own");
    assert_eq!(marks.imported.unwrap().key, ann.store.signing_key().unwrap().public());
    let picture = |user: &User| fs::read(user.store.snapshot_dir(&one).join("thumbnail.png")).unwrap();
    assert_eq!(picture(&bob), picture(&ann));
    assert_eq!(bob.laid_out(&one), ann.laid_out(&one));
    assert!(
        !fs::read_dir(bob.store.root().join("snapshots"))
            .unwrap()
            .any(|e| { e.unwrap().file_name().to_string_lossy().starts_with('.') })
    );
}

#[test]
fn importing_again_changes_nothing_and_brings_back_what_was_deleted() {
    let ann = user().with_base("identity-1");
    let bob = user().with_base("identity-1").trusting(&ann);
    let file = ann.export(&ann.save(ONE, 10, 7), false);
    bob.import(&file).unwrap();
    let again = bob.import(&file).unwrap();
    assert_eq!((again.was_there, again.new_chunks, again.new_bytes), (true, 0, 0));
    bob.store.delete(&id(ONE), jiff::Timestamp::now()).unwrap();
    assert!(bob.import(&file).unwrap().was_there);
    assert_eq!(bob.store.marks(&id(ONE)).unwrap().deleted, None);
    // The maker's own file, at the maker's.
    assert!(ann.import(&file).unwrap().was_there);
    // A damaged file is refused also where its snapshot is.
    let mut broken = file;
    let last = broken.len() - 1;
    broken[last] ^= 1;
    assert!(bob.import(&broken).is_err());
}

#[test]
fn a_second_snapshot_brings_only_what_is_new() {
    let ann = user().with_base("identity-1");
    let bob = user().with_base("identity-1").trusting(&ann);
    let first = bob.import(&ann.export(&ann.save(ONE, 500, 7), false)).unwrap();
    let second = bob.import(&ann.export(&ann.save("ba9876543210", 500, 8), false)).unwrap();
    assert!(first.new_chunks > 500, "{first:?}");
    assert!(second.new_chunks < 20 && second.new_bytes < 30_000, "{second:?}");
    assert_eq!(bob.store.own_bytes(&second.id).unwrap(), Some(second.new_bytes));
    assert_eq!(bob.laid_out(&second.id), ann.laid_out(&second.id));
}

#[test]
fn a_key_has_to_be_trusted() {
    let (ann, bob) = (user().with_base("identity-1"), user().with_base("identity-1"));
    let file = ann.export(&ann.save(ONE, 3, 7), false);
    let key = ann.store.signing_key().unwrap().public();
    let error = bob.import(&file).unwrap_err();
    assert!(matches!(error, Error::UnknownKey { key: named } if named == key));
    assert!(error.to_string().contains(&format!("--trust {key}")), "{error}");
    assert!(bob.nothing_is_visible());
    let other = bob.store.signing_key().unwrap().public();
    let trust = |key| ImportOptions { trust: Some(key), ..ImportOptions::default() };
    assert!(matches!(bob.store.import(&file[..], trust(other), &WATCH), Err(Error::UnknownKey { .. })));
    assert!(!bob.store.import(&file[..], trust(key), &WATCH).unwrap().was_there);
    assert!(bob.import(&file).is_err(), "trust is for one time");
}

#[test]
fn another_snapshot_of_that_id_is_not_touched() {
    let ann = user().with_base("identity-1");
    let bob = user().with_base("identity-1").trusting(&ann);
    let file = ann.export(&ann.save(ONE, 3, 7), false);
    bob.save(ONE, 3, 8);
    let before = bob.laid_out(&id(ONE));
    assert!(matches!(bob.import(&file), Err(Error::Differs { .. })));
    assert_eq!(bob.laid_out(&id(ONE)), before);
}

#[test]
fn the_base_comes_along_when_it_is_asked_for() {
    let ann = user().with_base("identity-1");
    let bob = user().trusting(&ann);
    let one = ann.save(ONE, 3, 7);
    let error = bob.import(&ann.export(&one, false)).unwrap_err();
    assert!(matches!(&error, Error::BaseMissing { identity, .. } if identity == "identity-1"));
    assert!(error.to_string().contains("--with-base"), "{error}");
    assert!(bob.nothing_is_visible());

    let file = ann.export(&one, true);
    assert_eq!(bob.import(&file).unwrap().new_base.as_deref(), Some("xfce"));
    assert_eq!(bob.store.base("xfce").unwrap(), ann.store.base("xfce").unwrap());
    let root = |user: &User| listing(&user.store.base_dir("xfce").unwrap().join("root"));
    assert_eq!(root(&bob), root(&ann));
    assert_eq!(fs::read_dir(bob.store.root().join("bases")).unwrap().count(), 1, "no lock, no partial");
    assert_eq!(bob.import(&file).unwrap().new_base, None);

    let cid = user().with_base("identity-2").trusting(&ann);
    let error = cid.import(&file).unwrap_err();
    assert!(matches!(&error, Error::BaseNameTaken { found, .. } if found == "identity-2"), "{error}");
    assert!(cid.nothing_is_visible());
}

#[test]
fn issue_9_2_the_range_of_ids_may_be_another_and_comes_along() {
    let ann = user().with_base("identity-1");
    let id = ann.save(ONE, 3, 7);
    let file = ann.export(&id, true);
    // As where nothing is, and where the same base belongs to other ids.
    let (bob, cid) = (user().trusting(&ann), user().with_base("identity-1").trusting(&ann));
    let record = cid.store.base("xfce").unwrap();
    let elsewhere = BaseRecord { first_id: 100_000, ..record };
    record::write(&cid.store.base_dir("xfce").unwrap().join("base.json"), &elsewhere).unwrap();
    for user in [&bob, &cid] {
        let imported = user.import(&file).unwrap();
        assert_eq!(user.store.manifest(&imported.id).unwrap().first_id, Some(FIRST_ID));
    }
    assert_eq!(bob.store.base("xfce").unwrap().first_id, FIRST_ID);
    assert_eq!(cid.store.base("xfce").unwrap().first_id, 100_000);
    // The one that an old release made does not say what it is, and is still the same one.
    assert_eq!(ann.store.manifest(&id).unwrap().first_id, None);
    assert!(ann.import(&file).unwrap().was_there && cid.import(&file).unwrap().was_there);
}

#[test]
fn a_snapshot_is_taken_without_its_base_where_that_is_not_in_the_file() {
    let ann = user().with_base("identity-1");
    for with_base in [false, true] {
        let bob = user().trusting(&ann);
        let file = ann.export(&ann.save(&format!("{ONE}{with_base}"), 3, 7), with_base);
        let options = ImportOptions { without_base: true, ..ImportOptions::default() };
        let imported = bob.store.import(&file[..], options, &WATCH).unwrap();
        let base = with_base.then(|| "xfce".to_owned());
        assert_eq!((imported.new_base, bob.store.list_bases().unwrap().len()), (base, usize::from(with_base)));
        bob.store.gc(&GcOptions::at(jiff::Timestamp::now()), &GO_ON).unwrap();
        assert!(bob.store.verify(None, &GO_ON, &|_| {}).unwrap().is_clean());
        assert_eq!(bob.laid_out(&imported.id), ann.laid_out(&imported.id));
    }
}

#[test]
fn what_cannot_be_exported_is_told() {
    let ann = user().with_base("identity-1");
    let export = |id: &SnapshotId| ann.store.export(id, Vec::new(), ExportOptions::default(), &WATCH).unwrap_err();
    assert!(matches!(export(&id(ONE)), Error::Store(freezeframe_store::Error::NotFound { what: "snapshot", .. })));
    let writer = ann.store.begin_snapshot(id(ONE)).unwrap();
    fs::create_dir(writer.layer_dir()).unwrap();
    writer.commit(&manifest(ONE), None).unwrap();
    assert!(matches!(export(&id(ONE)), Error::Store(freezeframe_store::Error::Committing { .. })));
    let two = ann.save("ba9876543210", 1, 1);
    fs::rename(ann.store.base_dir("xfce").unwrap(), ann.store.base_dir("gone").unwrap()).unwrap();
    assert!(matches!(export(&two), Error::Store(freezeframe_store::Error::NotFound { what: "base", .. })));
}

#[test]
fn both_ways_can_be_cancelled() {
    let ann = user().with_base("identity-1");
    let bob = user().with_base("identity-1").trusting(&ann);
    let one = ann.save(ONE, 2000, 7);
    let file = ann.export(&one, false);
    let cancel = AtomicBool::new(false);
    let progress = |p: Progress| cancel.store(p.done > 0, Ordering::Relaxed);
    let watch = Watch { cancel: &cancel, progress: &progress };
    assert!(matches!(bob.store.import(&file[..], ImportOptions::default(), &watch), Err(Error::Cancelled)));
    assert!(bob.nothing_is_visible());
    cancel.store(false, Ordering::Relaxed);
    let result = ann.store.export(&one, Vec::new(), ExportOptions::default(), &watch);
    assert!(matches!(result, Err(Error::Cancelled)));
}

#[test]
fn what_was_imported_passes_the_check_and_what_was_refused_is_collected() {
    let ann = user().with_base("identity-1");
    let bob = user().with_base("identity-1").trusting(&ann);
    let (one, two) = (ann.save(ONE, 50, 7), ann.save("ba9876543210", 50, 8));
    bob.import(&ann.export(&one, false)).unwrap();
    assert!(bob.store.verify(None, &GO_ON, &|_| {}).unwrap().is_clean());
    let before = usage::bytes_below(bob.store.root()).unwrap();
    // Cut in the last frame: all of its chunks were there by then.
    let file = ann.export(&two, false);
    assert!(matches!(bob.import(&file[..file.len() - 10]), Err(Error::Truncated)));
    let report = bob.store.gc(&GcOptions::at(jiff::Timestamp::now()), &GO_ON).unwrap();
    assert_eq!((report.snapshots_removed, report.unreadable), (vec![], vec![]));
    assert!(usage::bytes_below(bob.store.root()).unwrap() <= before);
    assert_eq!(bob.laid_out(&one), ann.laid_out(&one));
    bob.import(&file).unwrap();
    assert!(bob.store.verify(None, &GO_ON, &|_| {}).unwrap().is_clean());
}

#[test]
fn importing_again_mends_a_store_that_has_lost_chunks() {
    let ann = user().with_base("identity-1");
    let bob = user().with_base("identity-1").trusting(&ann);
    let file = ann.export(&ann.save(ONE, 20, 7), false);
    bob.import(&file).unwrap();
    for entry in fs::read_dir(bob.store.root().join("store/index")).unwrap() {
        fs::remove_file(entry.unwrap().path()).unwrap();
    }
    assert!(!bob.store.verify(None, &GO_ON, &|_| {}).unwrap().is_clean());
    assert!(bob.import(&file).unwrap().was_there);
    assert_eq!(bob.laid_out(&id(ONE)), ann.laid_out(&id(ONE)));
}

/// `cargo test -p freezeframe-store --test export -- --ignored` writes it again; only ever for a new format.
const FIXTURE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/format-1.freezeframe");

#[test]
#[ignore = "writes the fixture of this format"]
fn write_fixture() {
    let ann = user().with_base("identity-1");
    fs::create_dir_all(Path::new(FIXTURE).parent().unwrap()).unwrap();
    fs::write(FIXTURE, ann.export(&ann.save(ONE, 2, 7), true)).unwrap();
}

#[test]
fn a_file_of_the_first_format_can_be_read() {
    let (file, bob) = (fs::read(FIXTURE).unwrap(), user());
    let Err(Error::UnknownKey { key }) = bob.import(&file) else { panic!("it is not known here") };
    if !rustix::process::geteuid().is_root() {
        eprintln!("SKIPPED: the files in the fixture are root's, and only root can make such");
        return;
    }
    let options = ImportOptions { trust: Some(key), ..ImportOptions::default() };
    let imported = bob.store.import(&file[..], options, &WATCH).unwrap();
    assert_eq!((imported.id.as_str(), imported.new_base.as_deref()), (ONE, Some("xfce")));
    assert_eq!(
        bob.store.manifest(&imported.id).unwrap(),
        Manifest { memory_bytes: 6 * 4096, first_id: Some(FIRST_ID), ..manifest(ONE) }
    );
    assert!(bob.store.verify(None, &GO_ON, &|_| {}).unwrap().is_clean());
    let lines = bob.laid_out(&imported.id);
    assert!(lines.iter().any(|l| l.starts_with("layer/home/user/link") && l.ends_with(" notes.txt")), "{lines:?}");
}

/// A small export, with its base in it, and somebody who would take it.
fn small() -> (Vec<u8>, User) {
    let ann = user().with_base("identity-1");
    let bob = user().trusting(&ann);
    (ann.export(&ann.save(ONE, 0, 7), true), bob)
}

fn is_refused(bob: &User, file: &[u8]) -> Result<String, String> {
    match bob.import(file) {
        Ok(_) => Err("it was imported".into()),
        Err(_) if !bob.nothing_is_visible() || !bob.store.list_bases().unwrap().is_empty() => {
            Err("something of it is visible".into())
        }
        // A change in the file is never taken for trouble with the store.
        Err(error @ (Error::Store(_) | Error::Write(_) | Error::Read(_))) => {
            Err(format!("not said of the file: {error}"))
        }
        Err(error) => Ok(error.to_string()),
    }
}

#[test]
fn every_changed_bit_is_refused() {
    let (mut file, bob) = small();
    for at in 0..file.len() {
        for bit in 0..8 {
            file[at] ^= 1 << bit;
            is_refused(&bob, &file).unwrap_or_else(|e| panic!("bit {bit} of byte {at} of {}: {e}", file.len()));
            file[at] ^= 1 << bit;
        }
    }
    bob.import(&file).unwrap();
}

#[test]
fn every_truncation_and_every_addition_is_refused() {
    let (mut file, bob) = small();
    for length in 0..file.len() {
        is_refused(&bob, &file[..length]).unwrap_or_else(|e| panic!("cut at {length} of {}: {e}", file.len()));
    }
    assert!(matches!(bob.import(&file[..file.len() - 1]), Err(Error::Truncated)));
    file.push(0);
    assert!(matches!(bob.import(&file), Err(Error::Trailing)));
    file.pop();
    bob.import(&file).unwrap();
}

#[test]
fn a_later_format_is_told_from_damage() {
    let (mut file, bob) = small();
    file[8] = 2;
    let error = bob.import(&file).unwrap_err();
    assert!(matches!(error, Error::TooNew { found: 2, known: 1 }), "{error}");
    assert!(matches!(bob.import(b"\x89PNG\r\n\x1a\n and so on"), Err(Error::NotAnExport)));
}

#[derive(Clone, Debug)]
enum Change {
    Set(usize, u8),
    Cut(usize, usize),
    Repeat(usize, usize),
    Insert(usize, Vec<u8>),
    Swap(usize, usize, usize),
}

impl Change {
    fn apply(&self, file: &mut Vec<u8>) {
        let at = |n: usize| n % file.len();
        match *self {
            Self::Set(n, byte) => {
                let n = at(n);
                file[n] = byte;
            }
            Self::Cut(n, length) => {
                let n = at(n);
                file.drain(n..(n + length).min(file.len()));
            }
            Self::Repeat(n, length) => {
                let n = at(n);
                let part = file[n..(n + length).min(file.len())].to_vec();
                file.splice(n..n, part);
            }
            Self::Insert(n, ref bytes) => {
                let n = at(n);
                file.splice(n..n, bytes.iter().copied());
            }
            Self::Swap(a, b, length) => {
                let (a, b) = (at(a), at(b));
                (0..length.min(file.len() - a.max(b))).for_each(|n| file.swap(a + n, b + n));
            }
        }
    }
}

fn change() -> impl Strategy<Value = Change> {
    let n = || 0..100_000_usize;
    prop_oneof![
        (n(), any::<u8>()).prop_map(|(n, byte)| Change::Set(n, byte)),
        (n(), 1..2000_usize).prop_map(|(n, length)| Change::Cut(n, length)),
        (n(), 1..2000_usize).prop_map(|(n, length)| Change::Repeat(n, length)),
        (n(), prop::collection::vec(any::<u8>(), 1..100)).prop_map(|(n, bytes)| Change::Insert(n, bytes)),
        (n(), n(), 1..200_usize).prop_map(|(a, b, length)| Change::Swap(a, b, length)),
    ]
}

#[test]
fn no_change_gets_through() {
    let (file, bob) = small();
    // As in the crate's own `fuzz`.
    let times: u32 = std::env::var("FREEZEFRAME_FUZZ").map_or(1, |times| times.parse().unwrap());
    proptest!(ProptestConfig::with_cases(300 * times), |(changes in prop::collection::vec(change(), 1..4))| {
        let mut other = file.clone();
        for change in &changes {
            if !other.is_empty() {
                change.apply(&mut other);
            }
        }
        if other != file {
            prop_assert_eq!(is_refused(&bob, &other).err(), None);
        }
    });
    bob.import(&file).unwrap();
}
