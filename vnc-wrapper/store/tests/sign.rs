//! Key files: made once, closed to others, and hostile until checked.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};

use freezeframe_store::{Error, Store};

fn store() -> (tempfile::TempDir, Store) {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path().join("data")).unwrap();
    (dir, store)
}

#[test]
fn the_key_is_made_once_and_is_private() {
    let (_dir, store) = store();
    let key = store.signing_key().unwrap();
    assert_eq!(store.signing_key().unwrap().public(), key.public());
    let keys = store.root().join("keys");
    let mode = |name: &str| fs::metadata(keys.join(name)).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(""), mode("signing.key")), (0o700, 0o600));
    let public = fs::read_to_string(keys.join("signing.pub")).unwrap();
    assert_eq!(public, format!("freezeframe public key 1\n{}\n", key.public()));
    assert!(store.trusts(&key.public()).unwrap(), "one's own is trusted");
    assert_eq!(fs::read_dir(&keys).unwrap().count(), 2, "nothing else stays");
}

#[test]
fn threads_that_race_get_one_key() {
    let (_dir, store) = store();
    let keys: Vec<_> = std::thread::scope(|scope| {
        let racers: Vec<_> = (0..16).map(|_| scope.spawn(|| store.signing_key().unwrap().public())).collect();
        racers.into_iter().map(|r| r.join().unwrap()).collect()
    });
    assert!(keys.iter().all(|k| *k == keys[0]));
    assert_eq!(fs::read_dir(store.root().join("keys")).unwrap().count(), 2);
}

#[test]
fn a_key_that_others_can_read_is_refused_with_the_command_that_mends_it() {
    let (_dir, store) = store();
    store.signing_key().unwrap();
    let path = store.root().join("keys/signing.key");
    for mode in [0o640, 0o604, 0o620, 0o777] {
        fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        let error = store.signing_key().unwrap_err();
        assert!(matches!(error, Error::Exposed { .. }));
        assert!(error.to_string().contains(&format!("chmod 600 {}", path.display())), "{error}");
    }
    fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
    store.signing_key().unwrap();
}

#[test]
fn what_is_no_key_is_refused_and_never_overwritten() {
    let (_dir, store) = store();
    let text = store.signing_key().unwrap();
    let path = store.root().join("keys/signing.key");
    let good = fs::read(&path).unwrap();
    for cut in 0..good.len() {
        fs::write(&path, &good[..cut]).unwrap();
        assert!(store.signing_key().is_err(), "cut at {cut}");
    }
    for contents in
        [&b"\xff\xfe"[..], b"freezeframe signing key 0\nx\n", &[b'x'; 2 << 20], &[&good[..], b"\n"].concat()]
    {
        fs::write(&path, contents).unwrap();
        let error = store.signing_key().unwrap_err();
        assert!(error.to_string().contains("signing.key"), "{error}");
        assert_eq!(fs::read(&path).unwrap(), contents);
    }
    let newer = String::from_utf8(good.clone()).unwrap().replace("key 1", "key 2");
    fs::write(&path, newer).unwrap();
    assert!(matches!(store.signing_key(), Err(Error::TooNew { found: 2, known: 1, .. })));

    fs::rename(&path, path.with_extension("real")).unwrap();
    fs::write(path.with_extension("real"), &good).unwrap();
    symlink(path.with_extension("real"), &path).unwrap();
    assert!(store.signing_key().unwrap_err().to_string().contains("symbolic link"));
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    assert!(store.signing_key().is_err());
    fs::remove_dir(&path).unwrap();
    fs::rename(path.with_extension("real"), &path).unwrap();
    assert_eq!(store.signing_key().unwrap().public(), text.public());
}

#[test]
fn trusted_keys_are_listed_renamed_and_taken_away() {
    let ((_a, ann), (_b, bob), (_c, cid)) = (store(), store(), store());
    let (bob, cid) = (bob.signing_key().unwrap().public(), cid.signing_key().unwrap().public());
    assert_eq!(ann.trusted_keys().unwrap(), []);
    assert!(!ann.trusts(&bob).unwrap());
    ann.trust_key(&bob, "Bob").unwrap();
    ann.trust_key(&cid, "").unwrap();
    ann.trust_key(&bob, "Bob's laptop").unwrap();
    let names: Vec<_> = ann.trusted_keys().unwrap().into_iter().map(|t| (t.key, t.name)).collect();
    assert_eq!(names, [(cid, String::new()), (bob, "Bob's laptop".into())]);
    assert!(ann.trusts(&bob).unwrap());
    assert!(ann.distrust_key(&bob).unwrap());
    assert!(!ann.distrust_key(&bob).unwrap());
    assert!(!ann.trusts(&bob).unwrap());
    assert!(ann.trust_key(&bob, "two\nlines").is_err());
    assert!(!ann.root().join("keys/signing.key").exists(), "asking makes no key");
}

#[test]
fn a_bad_line_in_the_list_is_named() {
    let (_dir, store) = store();
    let key = store.signing_key().unwrap().public();
    let path = store.root().join("keys/trusted");
    fs::write(&path, format!("freezeframe trusted keys 1\n# ours\n\n{key} me\nff-ed25519:zz\n")).unwrap();
    let error = store.trusted_keys().unwrap_err().to_string();
    assert!(error.contains("line 5") && error.contains("trusted"), "{error}");
    fs::write(&path, "something else\n").unwrap();
    assert!(store.trusts(&store.signing_key().unwrap().public()).is_ok(), "one's own needs no list");
    assert!(store.trusted_keys().is_err());
}
