//! Bases made by the real `tar`, as root: what is refused leaves nothing, what is taken belongs to the session's ids.

use std::fs;
use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use freezeframe_protocol::{Failure, error_name};
use freezeframe_store::Store;

use super::partial;
use super::*;
use crate::kernel::idmap::IdMap;

/// Whether the tests can make namespaces with maps of their own. CI runs as root.
fn needs_root() {
    assert!(rustix::process::geteuid().is_root(), "this test needs root, whose id range needs no help from newuidmap");
}

struct Place {
    directory: tempfile::TempDir,
    store: Store,
}

impl Place {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        // As below /root: nobody but root may walk there.
        fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o700)).unwrap();
        let store = Store::open(directory.path().join("data")).unwrap();
        Self { directory, store }
    }

    /// A tree that can be a base.
    fn tree(&self) -> PathBuf {
        let tree = self.directory.path().join("tree");
        for part in ["etc/skel", "usr/bin", "dev", "var/lib", "home"] {
            fs::create_dir_all(tree.join(part)).unwrap();
        }
        fs::write(tree.join("etc/passwd"), "root:x:0:0:root:/root:/bin/sh\n").unwrap();
        fs::write(tree.join("etc/skel/.profile"), "umask 022\n").unwrap();
        fs::write(tree.join("usr/bin/xterm"), "#!/bin/sh\n").unwrap();
        fs::set_permissions(tree.join("usr/bin/xterm"), fs::Permissions::from_mode(0o4755)).unwrap();
        fs::write(tree.join("usr/bin/sudo"), "").unwrap();
        symlink("/run/resolv.conf", tree.join("etc/resolv.conf")).unwrap();
        fs::hard_link(tree.join("usr/bin/xterm"), tree.join("usr/bin/xterm2")).unwrap();
        tree
    }

    fn tar(&self, tree: &Path, options: &[&str]) -> PathBuf {
        let archive = self.directory.path().join("base.tar");
        let mut tar = Command::new("tar");
        tar.arg("--create").arg("--file").arg(&archive).args(options).arg("-C").arg(tree);
        assert!(tar.arg(".").status().unwrap().success());
        archive
    }

    fn import(&self, archive: &Path) -> Result<serde_json::Value, Failure> {
        self.import_until(archive, &Cancel::default())
    }

    fn import_until(&self, archive: &Path, cancel: &Cancel) -> Result<serde_json::Value, Failure> {
        let origin = archive.display().to_string();
        let archive = fs::File::open(archive).unwrap();
        let request = ImportRequest { name: "b".into(), archive, origin, desktop: Vec::new() };
        import(&self.store, request, cancel, &mut |_, _| {}).map_err(Failure::from)
    }

    /// Everything in `bases`.
    fn names(&self) -> Vec<String> {
        let bases = self.store.base_dir("b").unwrap().parent().unwrap().to_owned();
        fs::read_dir(bases).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect()
    }
}

#[test]
fn an_imported_base_belongs_to_the_ids_of_a_session_and_has_its_user() {
    needs_root();
    let place = Place::new();
    let answer = place.import(&place.tar(&place.tree(), &["--numeric-owner", "--sparse"])).unwrap();
    assert_eq!(answer["desktop"], serde_json::json!(["xterm"]));
    assert!(answer["warnings"].to_string().contains("Xtigervnc"));
    let record = place.store.base("b").unwrap();
    let map = IdMap::for_current_user().unwrap();
    assert_eq!((record.first_id, record.identity.len()), (map.outside_uid(0).unwrap(), 32));
    let root = place.store.base_dir("b").unwrap().join("root");
    let program = fs::metadata(root.join("usr/bin/xterm")).unwrap();
    assert_eq!((program.uid(), program.mode() & 0o7777), (map.outside_uid(0).unwrap(), 0o4755));
    assert_eq!(program.ino(), fs::metadata(root.join("usr/bin/xterm2")).unwrap().ino());
    let profile = fs::metadata(root.join("home/user/.profile")).unwrap();
    assert_eq!((profile.uid(), profile.gid()), (map.outside_uid(1000).unwrap(), map.outside_gid(1000).unwrap()));
    assert!(fs::symlink_metadata(root.join("etc/resolv.conf")).unwrap().is_file());
    assert!(fs::read_to_string(root.join("etc/passwd")).unwrap().contains("user:x:1000:"));
    assert_eq!(place.names(), ["b"]);

    let again = place.import(&place.directory.path().join("base.tar")).unwrap_err();
    assert_eq!(
        (again.name.as_str(), again.hint.as_str()),
        (error_name::EXISTS, "remove it first: sessionctl base remove b")
    );
    remove(&place.store, "b", &mut |_, _| {}).unwrap();
    assert_eq!(place.names(), Vec::<String>::new());
    let gone = Failure::from(remove(&place.store, "b", &mut |_, _| {}).unwrap_err());
    assert_eq!(gone.name, error_name::NOT_FOUND);
}

#[test]
fn every_way_of_compression_is_read() {
    needs_root();
    for options in ["--gzip", "--format=pax", "--format=gnu"] {
        let place = Place::new();
        place.import(&place.tar(&place.tree(), &[options])).unwrap_or_else(|e| panic!("{options}: {e:?}"));
    }
    let place = Place::new();
    let archive = place.tar(&place.tree(), &[]);
    let bytes = zstd::encode_all(&fs::read(&archive).unwrap()[..], 1).unwrap();
    fs::write(&archive, &bytes).unwrap();
    place.import(&archive).unwrap();

    let place = Place::new();
    fs::write(place.directory.path().join("cut.tar.zst"), &bytes[..bytes.len() - 20]).unwrap();
    let failure = place.import(&place.directory.path().join("cut.tar.zst")).unwrap_err();
    assert_eq!(failure.name, error_name::DAMAGED, "{failure:?}");
    assert_eq!(place.names(), Vec::<String>::new());
}

#[test]
fn a_bad_archive_leaves_nothing() {
    needs_root();
    let place = Place::new();
    let tree = place.tree();
    let escaping =
        place.tar(&tree, &["--transform=s,usr/bin/xterm2,../../../../../../../../escaped,", "--absolute-names"]);
    let failure = place.import(&escaping).unwrap_err();
    assert!(failure.message.contains("outside of the base"), "{failure:?}");
    assert_eq!(place.names(), Vec::<String>::new());
    assert!(!Path::new("/escaped").exists());

    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(&fs::read(place.tar(&tree, &[])).unwrap()).unwrap();
    let gzip = gzip.finish().unwrap();
    let file = place.directory.path().join("bad.tar.gz");
    for (bytes, name) in [
        (gzip[..gzip.len() / 2].to_vec(), error_name::DAMAGED),
        (gzip[..gzip.len() - 6].to_vec(), error_name::DAMAGED),
        (b"hello".to_vec(), error_name::INVALID_ARGUMENT),
        (Vec::new(), error_name::INVALID_ARGUMENT),
    ] {
        fs::write(&file, &bytes).unwrap();
        let failure = place.import(&file).unwrap_err();
        assert_eq!(failure.name, name, "{failure:?}");
        assert_eq!(place.names(), Vec::<String>::new());
    }
    fs::write(&file, gzip).unwrap();
    let cancel = Cancel::default();
    cancel.ask();
    assert_eq!(place.import_until(&file, &cancel).unwrap_err().name, error_name::CANCELLED);
    assert_eq!(place.names(), Vec::<String>::new());
}

#[test]
fn a_killed_build_is_cleared_away_and_a_running_one_is_not() {
    needs_root();
    let place = Place::new();
    let left = place.store.partial_base_dir("b").unwrap();
    fs::create_dir_all(left.join("root/usr")).unwrap();
    let lock = partial::lock(&place.store, "b").unwrap();
    let archive = place.tar(&place.tree(), &[]);
    assert_eq!(place.import(&archive).unwrap_err().name, error_name::BUSY);
    assert!(left.join("root/usr").exists(), "what another process makes is left alone");
    drop(lock);
    place.import(&archive).unwrap();
    assert_eq!(place.names(), ["b"]);
}
