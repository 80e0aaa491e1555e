//! A layer with one of each special thing comes back equal, by an independent check.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;
use std::process::Command;

use freezeframe_store::{Error, State, Store};
use rustix::fs::{AtFlags, CWD, FileType, Gid, Mode, OFlags, Timespec, Timestamps, Uid, XattrFlags};

use super::support::{NEVER, id, manifest, quiet};

/// The binary form of `u::rwx,u:1234:r-x,g::r--,m::rwx,o::---` (acl(5), `linux/posix_acl_xattr.h`).
const ACL: [u8; 44] = [
    2, 0, 0, 0, 1, 0, 7, 0, 255, 255, 255, 255, 2, 0, 5, 0, 210, 4, 0, 0, 4, 0, 4, 0, 255, 255, 255, 255, 16, 0, 7, 0,
    255, 255, 255, 255, 32, 0, 0, 0, 255, 255, 255, 255,
];
/// `cap_net_raw=ep` (`linux/capability.h`, revision 2).
const CAPABILITY: [u8; 20] = [1, 0, 0, 2, 0, 32, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];

fn attribute(path: &Path, name: &str, value: &[u8]) {
    rustix::fs::lsetxattr(path, name, value, XattrFlags::empty()).unwrap_or_else(|e| panic!("{name}: {e}"));
}

fn times(path: &Path, seconds: i64, nanoseconds: i64) {
    let time = |offset| Timespec { tv_sec: seconds + offset, tv_nsec: nanoseconds };
    let times = Timestamps { last_access: time(7), last_modification: time(0) };
    rustix::fs::utimensat(CWD, path, &times, AtFlags::SYMLINK_NOFOLLOW).unwrap();
}

fn node(path: &Path, kind: FileType, device: (u32, u32)) {
    let device = rustix::fs::makedev(device.0, device.1);
    rustix::fs::mknodat(CWD, path, kind, Mode::from_raw_mode(0o600), device).unwrap();
}

/// One of each special thing. Returns false where it had to leave out what only root can make.
fn build(root: &Path) -> bool {
    let is_root = rustix::process::geteuid().is_root();
    fs::create_dir(root).unwrap();
    let at = |name: &str| root.join(name);
    fs::write(at("empty"), b"").unwrap();
    fs::write(at("one"), b"1").unwrap();
    fs::write(at("large"), (0..3_000_000u32).map(|n| (n / 7 % 251) as u8).collect::<Vec<u8>>()).unwrap();
    fs::create_dir(at("directory")).unwrap();
    let deepest = at("deep").join(vec!["x".repeat(120); 25].join("/"));
    fs::create_dir_all(&deepest).unwrap();
    fs::write(deepest.join("file"), "deep").unwrap();
    fs::hard_link(deepest.join("file"), at("directory/of the deep")).unwrap();
    for name in [&b"\xff\xfe not utf-8"[..], b"new\nline", b" ", b"-rf", b"*", b"a\\b", b"\x01", b"\xe4"] {
        fs::write(root.join(OsStr::from_bytes(name)), name).unwrap();
    }
    std::os::unix::fs::symlink(OsStr::from_bytes(b"/no/such\xff"), at("dangling")).unwrap();
    std::os::unix::fs::symlink("directory", at("to directory")).unwrap();
    fs::hard_link(at("one"), at("two")).unwrap();
    fs::hard_link(at("one"), at("directory/three")).unwrap();
    fs::hard_link(at("dangling"), at("also dangling")).unwrap();
    let sparse = File::create(at("sparse")).unwrap();
    sparse.write_all_at(b"in the middle", 5 << 20).unwrap();
    sparse.write_all_at(b"later", 70_000_000).unwrap();
    sparse.set_len(100 << 20).unwrap();
    File::create(at("only a hole")).unwrap().set_len(1 << 30).unwrap();
    node(&at("fifo"), FileType::Fifo, (0, 0));
    node(&at("socket"), FileType::Socket, (0, 0));
    fs::hard_link(at("fifo"), at("fifo again")).unwrap();
    attribute(&at("one"), "user.comment", b"\0binary\xff");
    attribute(&at("one"), "user.empty", b"");
    attribute(&at("directory"), "user.overlay.opaque", b"y");
    attribute(&at("large"), "system.posix_acl_access", &ACL);
    attribute(&at("directory"), "system.posix_acl_default", &ACL);
    if is_root {
        node(&at("whiteout"), FileType::CharacterDevice, (0, 0));
        fs::hard_link(at("whiteout"), at("directory/whiteout")).unwrap();
        node(&at("null"), FileType::CharacterDevice, (1, 3));
        node(&at("block"), FileType::BlockDevice, (7, 0x12345));
        attribute(&at("directory"), "trusted.overlay.opaque", b"y");
        attribute(&at("large"), "trusted.overlay.redirect", b"/elsewhere");
        attribute(&at("dangling"), "trusted.overlay.origin", b"\0\xfb");
        for name in ["one", "directory", "dangling", "fifo", "large"] {
            let (uid, gid) = (Some(Uid::from_raw(1_878_982_656)), Some(Gid::from_raw(4_000_000_001)));
            rustix::fs::chownat(CWD, at(name), uid, gid, AtFlags::SYMLINK_NOFOLLOW).unwrap();
        }
    }
    let mode = |name: &str, mode: u32| rustix::fs::chmod(at(name), Mode::from_raw_mode(mode)).unwrap();
    mode("empty", 0);
    mode("one", 0o6755);
    mode("directory", 0o1777);
    mode("fifo", 0o622);
    if is_root {
        // After chown and chmod, which clear it.
        attribute(&at("one"), "security.capability", &CAPABILITY);
    }
    let names = ["one", "large", "sparse", "dangling", "fifo", "socket", "directory/of the deep", "directory", "deep"];
    for (number, name) in names.into_iter().enumerate() {
        times(&at(name), 1_234_567_890 + number as i64, 987_654_321);
    }
    times(&at("empty"), -5, 1);
    times(root, 1_111_111_111, 111_111_111);
    is_root
}

fn rsync(from: &Path, to: &Path) -> String {
    let mut command = Command::new("rsync");
    // -n: says what it would change. Times are compared to the nanosecond.
    command.args(["-aHAXn", "--checksum", "--itemize-changes", "--delete", "--modify-window=-1"]);
    let slash = |path: &Path| format!("{}/", path.display());
    let output = command
        .args([slash(from), slash(to)])
        .output()
        .unwrap_or_else(|error| panic!("cannot run rsync ({error}): apt-get install rsync"));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn a_layer_with_everything_special_comes_back_equal() {
    let scratch = tempfile::tempdir().unwrap();
    let original = scratch.path().join("original");
    let whole = build(&original);
    assert!(whole, "run as root: whiteouts, owners and trusted attributes cannot be made otherwise");
    // The raw copy in the store is the same, made by another program, as the wrapper's is.
    let store = Store::open(scratch.path().join("data")).unwrap();
    let writer = store.begin_snapshot(id("a")).unwrap();
    let copied = Command::new("cp").args(["-a", "--sparse=always"]).args([&original, &writer.layer_dir()]).status();
    assert!(copied.unwrap().success());
    times(&original, 1_111_111_111, 111_111_111);
    assert_eq!(rsync(&original, &writer.layer_dir()), "", "the copy is not equal, before anything was stored");
    const TIMED: [&str; 5] = ["large", "sparse", "directory", "empty", "dangling"];
    let access_times = |root: &Path| {
        TIMED.map(|name| fs::symlink_metadata(root.join(name)).map(|m| (m.atime(), m.atime_nsec())).unwrap())
    };
    let before = access_times(&writer.layer_dir());
    writer.commit(&manifest(&id("a")), None).unwrap();
    store.pack(&id("a"), &NEVER, &quiet).unwrap();
    assert!(!store.layer_dir(&id("a")).exists());

    let (images, layer) = (scratch.path().join("images"), scratch.path().join("layer"));
    store.materialise(&id("a"), &images, &layer, &NEVER, &quiet).unwrap();
    // Before rsync reads it all.
    assert_eq!(access_times(&layer), before);
    assert_eq!(rsync(&original, &layer), "");
    assert_eq!(rsync(&layer, &original), "");
    for name in ["sparse", "only a hole"] {
        let after = fs::metadata(layer.join(name)).unwrap();
        assert!(after.blocks() * 512 < 1 << 20, "{name} takes {} blocks", after.blocks());
    }
}

#[test]
fn a_difference_would_be_noticed() {
    let scratch = tempfile::tempdir().unwrap();
    let [a, b] = ["a", "b"].map(|name| scratch.path().join(name));
    for root in [&a, &b] {
        fs::create_dir(root).unwrap();
        fs::write(root.join("file"), "x").unwrap();
        times(&root.join("file"), 5, 1);
        times(root, 5, 5);
    }
    assert_eq!(rsync(&a, &b), "");
    times(&b.join("file"), 5, 2);
    assert_ne!(rsync(&a, &b), "", "a nanosecond");
    times(&b.join("file"), 5, 1);
    attribute(&b.join("file"), "user.x", b"1");
    assert_ne!(rsync(&a, &b), "", "an attribute");
}

#[test]
fn a_path_longer_than_the_kernel_takes_at_once_comes_back() {
    let scratch = tempfile::tempdir().unwrap();
    let store = Store::open(scratch.path().join("data")).unwrap();
    let writer = store.begin_snapshot(id("a")).unwrap();
    fs::create_dir(writer.layer_dir()).unwrap();
    let name = "x".repeat(250);
    let descend = |root: &Path, make: bool| {
        let mut directory = File::open(root).unwrap();
        for _ in 0..40 {
            if make {
                rustix::fs::mkdirat(&directory, &name, Mode::RWXU).unwrap();
            }
            directory = rustix::fs::openat(&directory, &name, OFlags::RDONLY, Mode::empty()).unwrap().into();
        }
        directory
    };
    let deepest = descend(&writer.layer_dir(), true);
    let flags = OFlags::WRONLY | OFlags::CREATE;
    File::from(rustix::fs::openat(&deepest, "file", flags, Mode::RWXU).unwrap()).write_all_at(b"deep", 0).unwrap();
    let top = File::open(writer.layer_dir()).unwrap();
    rustix::fs::linkat(&deepest, "file", &top, "zzz", AtFlags::empty()).unwrap();
    writer.commit(&manifest(&id("a")), None).unwrap();
    store.pack(&id("a"), &NEVER, &quiet).unwrap();
    let (images, layer) = (scratch.path().join("images"), scratch.path().join("layer"));
    store.materialise(&id("a"), &images, &layer, &NEVER, &quiet).unwrap();
    let file = rustix::fs::openat(descend(&layer, false), "file", OFlags::RDONLY, Mode::empty()).unwrap();
    let metadata = File::from(file).metadata().unwrap();
    assert_eq!((metadata.len(), metadata.ino()), (4, fs::metadata(layer.join("zzz")).unwrap().ino()));
}

#[test]
fn a_tree_that_is_too_deep_is_refused_and_stays_raw() {
    let scratch = tempfile::tempdir().unwrap();
    let store = Store::open(scratch.path().join("data")).unwrap();
    let writer = store.begin_snapshot(id("a")).unwrap();
    fs::create_dir_all(writer.layer_dir().join(vec!["d"; 600].join("/"))).unwrap();
    writer.commit(&manifest(&id("a")), None).unwrap();
    assert!(matches!(store.pack(&id("a"), &NEVER, &quiet), Err(Error::Unsupported { .. })));
    assert_eq!(store.state(&id("a")).unwrap(), State::Committing);
}
