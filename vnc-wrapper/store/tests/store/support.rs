//! Small dumps, saved and compared.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, UNIX_EPOCH};

use freezeframe_store::manifest::Watched;
use freezeframe_store::session::Network;
use freezeframe_store::{Error, Manifest, Progress, SessionId, SnapshotId, Source, State, Store};
use jiff::Timestamp;

pub(crate) static NEVER: AtomicBool = AtomicBool::new(false);

pub(crate) fn quiet(_: Progress) {}

pub(crate) fn id(name: &str) -> SnapshotId {
    SnapshotId::new(name).unwrap()
}

/// An instant, that many hours after the first.
pub(crate) fn hour(hours: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + hours * 3600).unwrap()
}

pub(crate) fn manifest(id: &SnapshotId) -> Manifest {
    Manifest {
        format: 1,
        id: id.clone(),
        session: SessionId::new("desktop").unwrap(),
        lineage: "lineage".into(),
        parent: None,
        created: hour(0),
        label: "a \"label\"".into(),
        automatic: false,
        base: "xfce".into(),
        base_identity: "identity".into(),
        first_id: None,
        attributes: None,
        width: 1280,
        height: 800,
        network: Network::None,
        engine: "criu 4.2.1".into(),
        kernel: "6.12".into(),
        pause_ms: 12.5,
        freeze_ms: 3.25,
        memory_bytes: 1000,
        layer_bytes: 100,
        processes: 3,
        threads: 4,
        windows: vec![],
        closed: vec![],
        watched: Watched::default(),
    }
}

/// How large the dumps are.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Size {
    /// A few pages.
    Tiny,
    /// Enough for lists of lists and several blocks.
    Small,
}

/// A page that is the same for the same number, and like no other.
fn page(number: u64) -> Vec<u8> {
    let mut page = vec![0; 4096];
    blake3::Hasher::new().update(&number.to_le_bytes()).finalize_xof().fill(&mut page[..256]);
    page
}

/// Writes version `version` of a dump: most of it is the same as in other versions.
pub(crate) fn write_dump(images: &Path, layer: &Path, version: u64, size: Size) {
    fs::create_dir_all(images).unwrap();
    fs::create_dir_all(layer.join("home/user")).unwrap();
    let pages = if size == Size::Tiny { 3 } else { 200 };
    let mut memory = Vec::new();
    for number in 0..pages {
        match number {
            1 => memory.extend(vec![0; 4096]),
            n if n % 50 == version % 50 || n == 0 => memory.extend(page(1_000_000 * (version + 1) + n)),
            n => memory.extend(page(n)),
        }
    }
    fs::write(images.join("pages-1.img"), memory).unwrap();
    fs::write(images.join("core-1.img"), format!("registers of version {version}")).unwrap();
    let text = if size == Size::Tiny { "unchanged\n".to_owned() } else { "unchanged text\n".repeat(3000) };
    fs::write(layer.join("home/user/notes"), text).unwrap();
    fs::write(layer.join("home/user/version"), version.to_string()).unwrap();
    fs::hard_link(layer.join("home/user/notes"), layer.join("home/linked")).unwrap();
    symlink("user/notes", layer.join("home/link")).unwrap();
    fs::set_permissions(layer.join("home/user/version"), fs::Permissions::from_mode(0o640)).unwrap();
    for (number, path) in ["home/user/notes", "home/user/version", "home/user", "home", "."].iter().enumerate() {
        let time = UNIX_EPOCH + Duration::new(1_700_000_000 + number as u64, 123_456_789);
        File::open(layer.join(path)).unwrap().set_modified(time).unwrap();
    }
}

/// Commits version `version` of a dump, raw.
pub(crate) fn save(store: &Store, id: &SnapshotId, version: u64, size: Size) -> Result<(), Error> {
    let writer = store.begin_snapshot(id.clone())?;
    write_dump(&writer.images_dir(), &writer.layer_dir(), version, size);
    writer.commit(&manifest(id), Some(b"a thumbnail"))
}

/// Everything that can be seen of a tree.
pub(crate) fn fingerprint(root: &Path) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let mut open = vec![root.to_owned()];
    while let Some(path) = open.pop() {
        let m = fs::symlink_metadata(&path).unwrap();
        let name = path.strip_prefix(root).unwrap().to_string_lossy().into_owned();
        let contents = if m.is_dir() {
            open.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
            String::new()
        } else if m.is_symlink() {
            fs::read_link(&path).unwrap().to_string_lossy().into_owned()
        } else if m.is_file() {
            blake3::hash(&fs::read(&path).unwrap()).to_string()
        } else {
            m.rdev().to_string()
        };
        let links = if m.is_dir() { 0 } else { m.nlink() };
        // The times of the images are whenever the test wrote them.
        let text = format!(
            "{:o} {} {} {} {} {contents}",
            m.mode(),
            m.uid(),
            m.gid(),
            links,
            m.size() * u64::from(!m.is_dir())
        );
        found.insert(name, text);
    }
    found
}

/// What a snapshot of that version has to consist of.
pub(crate) fn expected(version: u64, size: Size) -> [BTreeMap<String, String>; 2] {
    let scratch = scratch();
    let (images, layer) = (scratch.path().join("images"), scratch.path().join("layer"));
    write_dump(&images, &layer, version, size);
    [&images, &layer].map(|root| {
        let mut tree = fingerprint(root);
        tree.remove("");
        tree
    })
}

/// What a snapshot consists of when it is resumed now: from its raw files or materialised.
pub(crate) fn resumed(store: &Store, id: &SnapshotId) -> Result<[BTreeMap<String, String>; 2], Error> {
    let scratch = scratch();
    let (images, layer) = (scratch.path().join("images"), scratch.path().join("layer"));
    let roots = match store.source(id)? {
        Source::Raw(raw) => [raw.images.clone(), raw.layer.clone()],
        Source::Packed => {
            let result = store.materialise(id, &images, &layer, &NEVER, &quiet);
            if result.is_err() {
                assert!(!images.exists() && !layer.exists(), "a failed materialisation left something behind");
            }
            result?;
            [images, layer]
        }
    };
    Ok(roots.map(|root| {
        let mut tree = fingerprint(&root);
        tree.remove("");
        tree
    }))
}

/// Checks that the snapshot is there and is that version.
pub(crate) fn assert_version(store: &Store, id: &SnapshotId, version: u64, size: Size) {
    store.manifest(id).unwrap();
    assert_ne!(store.state(id).unwrap(), State::Damaged, "{id}");
    assert_eq!(resumed(store, id).unwrap(), expected(version, size), "{id} is not version {version}");
}

/// The names in a directory.
pub(crate) fn names(directory: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// Checks that nothing unfinished is left, as is right after a collection.
pub(crate) fn assert_tidy(store: &Store) {
    let root = store.root();
    for directory in ["snapshots", "store/raw", "store/packs", "store/index"] {
        for name in names(&root.join(directory)) {
            assert!(!name.starts_with('.'), "{directory}/{name} is left");
        }
    }
    let without = |directory: &str, suffix: &str| {
        names(&root.join(directory)).iter().map(|name| name.trim_end_matches(suffix).to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(without("store/packs", ".pack"), without("store/index", ".idx"));
    for name in names(&root.join("store/raw")) {
        assert_eq!(store.state(&id(&name)).unwrap(), State::Committing, "raw files of {name} are left");
    }
}

/// A directory for a store that is written and thrown away a thousand times: in memory, where that is possible.
pub(crate) fn scratch() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}
