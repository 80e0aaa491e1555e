//! Issue 9, number 2: layers and bases are bound to no range of ids and to no kind of overlay.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, lchown};
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use freezeframe_store::export::{self, Bases, ExportOptions, ImportOptions, Watch};
use freezeframe_store::manifest::{Manifest, Watched};
use freezeframe_store::record::{self, Record};
use freezeframe_store::session::Network;
use freezeframe_store::{Attributes, BaseRecord, Content, Local, Source, Store};
use rustix::fs::{CWD, FileType, Mode, XattrFlags, lgetxattr, llistxattr, lsetxattr, mknodat};

static GO_ON: AtomicBool = AtomicBool::new(false);
const WATCH: Watch<'static> = Watch { cancel: &GO_ON, progress: &|_| {} };
/// The ranges of two machines.
const HERE: u32 = 0x6FFF_0000;
const THERE: u32 = 300_000;
const HANDLE: [u8; 29] = [0xfb; 29];

/// Has bases taken up and made with ids from there on.
struct With(u32);

impl Bases for With {
    fn take_up(
        &self,
        store: &Store,
        id: &freezeframe_store::SnapshotId,
        base: &BaseRecord,
        watch: &Watch<'_>,
    ) -> export::Result<Content> {
        store.take_up_base(id, base, Local::of_root(self.0), watch)
    }

    fn put(&self, store: &Store, record: &BaseRecord, content: &Content, watch: &Watch<'_>) -> export::Result<()> {
        store.put_base(record, content, (Local::of_root(self.0), self.0), watch)
    }
}

/// Only root can make files of others.
fn is_root() -> bool {
    let root = rustix::process::geteuid().is_root();
    if !root {
        eprintln!("SKIPPED: only root can give files to the ids of a range");
    }
    root
}

fn give(path: &Path, uid: u32, gid: u32) {
    lchown(path, Some(uid), Some(gid)).unwrap();
}

fn set(path: &Path, name: &str, value: &[u8]) {
    lsetxattr(path, name, value, XattrFlags::empty()).unwrap();
}

fn get(path: &Path, name: &str) -> Option<Vec<u8>> {
    let mut value = [0; 200];
    let length = lgetxattr(path, name, &mut value[..]).ok()?;
    Some(value[..length].to_vec())
}

fn names(path: &Path) -> Vec<String> {
    let mut list = [0; 1000];
    let length = llistxattr(path, &mut list[..]).unwrap();
    let names = list[..length].split(|byte| *byte == 0).filter(|name| !name.is_empty());
    let mut names: Vec<String> = names.map(|name| String::from_utf8(name.to_vec()).unwrap()).collect();
    names.sort();
    names
}

fn capability(root: Option<u32>) -> Vec<u8> {
    let magic: u32 = if root.is_some() { 0x0300_0001 } else { 0x0200_0001 };
    [magic, 1, 0, 0, 0].into_iter().chain(root).flat_map(u32::to_le_bytes).collect()
}

fn acl(uid: u32) -> Vec<u8> {
    let entry = |tag: u16, id: u32| [&tag.to_le_bytes()[..], &6u16.to_le_bytes(), &id.to_le_bytes()].concat();
    let none = u32::MAX;
    [2u32.to_le_bytes().to_vec(), entry(1, none), entry(2, uid), entry(4, none), entry(16, none), entry(32, none)]
        .concat()
}

struct Machine {
    store: Store,
    dir: tempfile::TempDir,
}

impl Machine {
    fn new() -> Self {
        // Not in memory, where user.* may not be had.
        let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        Self { store: Store::open(dir.path().join("data")).unwrap(), dir }
    }

    fn base(&self) -> PathBuf {
        self.store.base_dir("base").unwrap()
    }

    fn make_base(&self) {
        let root = self.base().join("root");
        fs::create_dir_all(root.join("bin")).unwrap();
        fs::write(root.join("bin/su"), "a program").unwrap();
        give(&root, HERE, HERE);
        give(&root.join("bin"), HERE, HERE);
        give(&root.join("bin/su"), HERE + 5, HERE + 6);
        fs::set_permissions(root.join("bin/su"), fs::Permissions::from_mode(0o6755)).unwrap();
        set(&root.join("bin/su"), "security.capability", &capability(Some(HERE)));
        let base = BaseRecord {
            format: BaseRecord::FORMAT,
            name: "base".into(),
            created: jiff::Timestamp::UNIX_EPOCH,
            origin: "import".into(),
            identity: "identity".into(),
            first_id: HERE,
            bytes: 9,
            desktop: vec!["desktop".into()],
            environment: Vec::new(),
        };
        record::write(&self.base().join("base.json"), &base).unwrap();
    }

    /// Saves a layer as an overlay of root's leaves it.
    fn save(&self, attributes: Option<Attributes>) -> Manifest {
        let manifest = Manifest {
            format: Manifest::FORMAT,
            id: "0123456789ab".parse().unwrap(),
            session: "desktop".parse().unwrap(),
            lineage: "l".into(),
            parent: None,
            created: jiff::Timestamp::UNIX_EPOCH,
            label: String::new(),
            automatic: false,
            base: "base".into(),
            base_identity: "identity".into(),
            first_id: Some(HERE),
            attributes,
            width: 1,
            height: 1,
            network: Network::None,
            engine: "freezeframe 1".into(),
            kernel: String::new(),
            pause_ms: 0.0,
            freeze_ms: 0.0,
            memory_bytes: 1,
            layer_bytes: 1,
            processes: 1,
            threads: 1,
            windows: Vec::new(),
            closed: Vec::new(),
            watched: Watched::default(),
        };
        let writer = self.store.begin_snapshot(manifest.id.clone()).unwrap();
        fs::write(writer.images_dir().join("image"), "image").unwrap();
        let layer = writer.layer_dir();
        for path in ["upper/opaque", "index", "own/tmp"] {
            fs::create_dir_all(layer.join(path)).unwrap();
        }
        let file = layer.join("upper/file");
        fs::write(&file, "changed").unwrap();
        give(&file, HERE + 1000, HERE + 1001);
        fs::set_permissions(&file, fs::Permissions::from_mode(0o4750)).unwrap();
        set(&file, "trusted.overlay.origin", &HANDLE);
        set(&file, "user.overlay.opaque", b"a program's");
        set(&file, "security.capability", &capability(Some(HERE)));
        set(&file, "system.posix_acl_access", &acl(HERE + 7));
        fs::hard_link(&file, layer.join("index/00fb1d0081aabb")).unwrap();
        set(&layer.join("upper/opaque"), "trusted.overlay.opaque", b"y");
        give(&layer.join("upper/opaque"), HERE, HERE);
        mknodat(CWD, layer.join("upper/removed"), FileType::CharacterDevice, Mode::empty(), 0).unwrap();
        let own = layer.join("own/tmp/own");
        fs::write(&own, "in memory").unwrap();
        give(&own, HERE + 1000, HERE);
        set(&own, "user.overlay.opaque", b"a program's");
        writer.commit(&manifest, None).unwrap();
        assert!(matches!(self.store.source(&manifest.id).unwrap(), Source::Raw(_)));
        self.store.pack(&manifest.id, &GO_ON, &|_| {}).unwrap();
        manifest
    }

    /// Lays it; answers the layer.
    fn lay(&self, manifest: &Manifest, here: Local) -> PathBuf {
        let out = tempfile::tempdir_in(self.dir.path()).unwrap().keep();
        let (images, layer) = (out.join("images"), out.join("layer"));
        self.store.lay(&manifest.id, &images, &layer, here, &GO_ON, &|_| {}).unwrap();
        assert_eq!(fs::read(images.join("image")).unwrap(), b"image");
        layer
    }
}

fn owners(path: &Path) -> (u32, u32, u32) {
    let found = fs::symlink_metadata(path).unwrap();
    (found.uid(), found.gid(), found.mode() & 0o7777)
}

/// As an overlay of root's needs it, with files of that range.
fn is_of_root(layer: &Path, first: u32) {
    let file = layer.join("upper/file");
    assert_eq!(owners(&file), (first + 1000, first + 1001, 0o4666));
    assert_eq!(get(&file, "trusted.overlay.origin"), Some(vec![]));
    assert_eq!(get(&file, "user.overlay.opaque"), Some(b"a program's".to_vec()));
    assert_eq!(get(&file, "security.capability"), Some(capability(Some(first))));
    assert_eq!(get(&file, "system.posix_acl_access"), Some(acl(first + 7)));
    assert_eq!(get(&layer.join("upper/opaque"), "trusted.overlay.opaque"), Some(b"y".to_vec()));
    is_same_elsewhere(layer);
    assert_eq!(owners(&layer.join("own/tmp/own")).0, first + 1000);
}

/// As an overlay with `userxattr` needs it, with ids as in a namespace.
fn is_of_a_user(layer: &Path) {
    let file = layer.join("upper/file");
    assert_eq!(owners(&file), (1000, 1001, 0o4666));
    let expected =
        ["security.capability", "system.posix_acl_access", "user.overlay.origin", "user.overlay.overlay.opaque"];
    assert_eq!(names(&file), expected);
    assert_eq!(get(&file, "system.posix_acl_access"), Some(acl(7)));
    assert_eq!(get(&file, "security.capability"), Some(capability(None)));
    assert_eq!(names(&layer.join("upper/opaque")), ["user.overlay.opaque"]);
    is_same_elsewhere(layer);
    assert_eq!(owners(&layer.join("own/tmp/own")).0, 1000);
}

fn is_same_elsewhere(layer: &Path) {
    let whiteout = fs::symlink_metadata(layer.join("upper/removed")).unwrap();
    assert_eq!((FileType::from_raw_mode(whiteout.mode()), whiteout.rdev()), (FileType::CharacterDevice, 0));
    let own = layer.join("own/tmp/own");
    assert_eq!(names(&own), ["user.overlay.opaque"]);
    let index: Vec<_> = fs::read_dir(layer.join("index")).unwrap().map(|entry| entry.unwrap()).collect();
    let file = fs::metadata(layer.join("upper/file")).unwrap();
    assert_eq!((index.len(), index[0].metadata().unwrap().ino(), file.nlink()), (1, file.ino(), 2));
    assert!(!index[0].file_name().to_string_lossy().contains("fb1d"), "the index has a handle for a name");
}

#[test]
fn an_export_is_laid_in_another_range_and_for_a_normal_user() {
    if !is_root() {
        return;
    }
    let (ann, bob) = (Machine::new(), Machine::new());
    ann.make_base();
    let manifest = ann.save(Some(Attributes::Trusted));
    assert!(ann.store.content(&manifest.id).unwrap().normal);
    is_of_root(&ann.lay(&manifest, Local::of_root(HERE)), HERE);
    let mut file = Vec::new();
    let options = ExportOptions { with_base: true };
    ann.store.export_with(&manifest.id, &mut file, options, &With(HERE), &WATCH).unwrap();

    bob.store.trust_key(&ann.store.signing_key().unwrap().public(), "ann").unwrap();
    let imported = bob.store.import_with(&file[..], ImportOptions::default(), &With(THERE), &WATCH).unwrap();
    assert_eq!(imported.new_base.as_deref(), Some("base"));
    assert_eq!(bob.store.base("base").unwrap().first_id, THERE);
    let program = bob.base().join("root/bin/su");
    assert_eq!(owners(&program), (THERE + 5, THERE + 6, 0o6755));
    assert_eq!(get(&program, "security.capability"), Some(capability(Some(THERE))));
    is_of_root(&bob.lay(&manifest, Local::of_root(THERE)), THERE);
    is_of_a_user(&bob.lay(&manifest, Local::of_user()));
}

/// What an earlier release packed is as it lay on root's disk, and so it is for root.
#[test]
fn what_an_earlier_release_packed_is_laid_as_it_was_and_translated_for_a_normal_user() {
    if !is_root() {
        return;
    }
    let ann = Machine::new();
    ann.make_base();
    let manifest = ann.save(None);
    assert!(!ann.store.content(&manifest.id).unwrap().normal);
    let layer = ann.lay(&manifest, Local::of_root(THERE));
    let file = layer.join("upper/file");
    assert_eq!(owners(&file), (HERE + 1000, HERE + 1001, 0o4666));
    assert_eq!(get(&file, "trusted.overlay.origin"), Some(HANDLE.to_vec()));
    assert!(layer.join("index/00fb1d0081aabb").exists());
    let layer = ann.lay(&manifest, Local::of_user());
    assert_eq!(owners(&layer.join("upper/file")), (1000, 1001, 0o4666));
    assert_eq!(names(&layer.join("upper/opaque")), ["user.overlay.opaque"]);
}

/// The same for a base in an old file, which lies as its maker's.
#[test]
fn a_base_that_an_earlier_release_exported_gets_ids_of_here() {
    if !is_root() {
        return;
    }
    let (ann, bob) = (Machine::new(), Machine::new());
    ann.make_base();
    let manifest = ann.save(None);
    let mut file = Vec::new();
    ann.store.export(&manifest.id, &mut file, ExportOptions { with_base: true }, &WATCH).unwrap();
    bob.store.trust_key(&ann.store.signing_key().unwrap().public(), "ann").unwrap();
    bob.store.import_with(&file[..], ImportOptions::default(), &With(THERE), &WATCH).unwrap();
    let program = bob.base().join("root/bin/su");
    assert_eq!(owners(&program), (THERE + 5, THERE + 6, 0o6755));
    assert_eq!(get(&program, "security.capability"), Some(capability(Some(THERE))));
    assert_eq!(bob.store.base("base").unwrap().first_id, THERE);
}
