//! Blocks of packs, records and key files.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use proptest::prelude::*;

use super::{cases, edits, mutated, nonsense, store_with_chunks};
use crate::base::BaseRecord;
use crate::id::{SessionId, SnapshotId};
use crate::layout::Store;
use crate::manifest::{Closed, Manifest, Marks, Watched, Window};
use crate::pack::{Catalogue, Unpacker, open_pack};
use crate::record::{self, Record};
use crate::session::{Network, SessionRecord};

pub(crate) fn manifest() -> Manifest {
    Manifest {
        format: 1,
        id: SnapshotId::new("0123456789ab").unwrap(),
        session: SessionId::new("desktop").unwrap(),
        lineage: "lineage".into(),
        parent: Some(SnapshotId::new("ba9876543210").unwrap()),
        created: jiff::Timestamp::UNIX_EPOCH,
        label: "a label".into(),
        automatic: true,
        base: "xfce".into(),
        base_identity: "identity".into(),
        first_id: Some(1 << 30),
        attributes: Some(crate::Attributes::User),
        width: 1280,
        height: 800,
        network: Network::Outbound,
        engine: "criu 4.2.1".into(),
        kernel: "6.1".into(),
        pause_ms: 12.25,
        freeze_ms: 1e-3,
        memory_bytes: 1 << 40,
        layer_bytes: 7,
        processes: 1,
        threads: 2,
        windows: vec![Window { title: "T\"\\".into(), application: "A".into(), pid: 3 }],
        closed: vec![Closed { object: "O".into(), application: "B".into(), pid: 4 }],
        watched: Watched { display: 5, desktop: 6 },
    }
}

/// Changes the record below its checksum; what is still one has to come back as it is.
fn check<R: Record + PartialEq + std::fmt::Debug>(
    valid: &R,
    changed: impl Fn(&[u8]) -> Vec<u8>,
) -> Result<(), TestCaseError> {
    let path = Path::new("record.json");
    let plain = serde_json::to_vec_pretty(valid).unwrap();
    let body = changed(&plain);
    let file = if R::CHECKED { record::with_checksum(&body) } else { body };
    if let Ok(read) = record::parse::<R>(&file, path) {
        let again = record::to_bytes(path, &read).unwrap();
        prop_assert_eq!(record::parse::<R>(&again, path).unwrap(), read);
    }
    if R::CHECKED {
        let whole = record::to_bytes(path, valid).unwrap();
        let unsealed = changed(&whole);
        prop_assert!(unsealed == whole || record::parse::<R>(&unsealed, path).is_err());
    }
    Ok(())
}

fn key_file(store: &Store, name: &str, bytes: &[u8]) {
    let path = store.keys().join(name);
    let _ = fs::remove_file(&path);
    let mut file = OpenOptions::new().create_new(true).write(true).mode(0o600).open(path).unwrap();
    file.write_all(bytes).unwrap();
}

proptest! {
    #![proptest_config(cases(1000))]

    #[test]
    fn records(edits in edits(), any in prop::option::weighted(0.1, nonsense())) {
        let changed = |valid: &[u8]| any.clone().unwrap_or_else(|| mutated(valid, &edits));
        let marks = Marks { format: 1, label: Some("a label".into()), damage: Some("d".into()), ..Marks::default() };
        let base = BaseRecord {
            format: 1,
            name: "xfce".into(),
            created: jiff::Timestamp::UNIX_EPOCH,
            origin: "recipe:xfce".into(),
            identity: "identity".into(),
            first_id: 1 << 30,
            bytes: 5,
            desktop: vec!["startxfce4".into()],
            environment: vec![("NAME".into(), "value".into())],
        };
        let m = manifest();
        let session = SessionRecord {
            format: 1,
            id: m.session.clone(),
            base: m.base.clone(),
            base_identity: m.base_identity.clone(),
            width: 1,
            height: 2,
            network: Network::None,
            started: m.created,
            parent: m.parent.clone(),
            lineage: m.lineage.clone(),
            last_snapshot: None,
        };
        check(&m, changed)?;
        check(&marks, changed)?;
        check(&base, changed)?;
        check(&session, changed)?;
    }
}

proptest! {
    #![proptest_config(cases(300))]

    /// A block whose checksum is right and whose bytes are not: it says no, or gives as many bytes as it should.
    #[test]
    fn blocks_of_packs(edits in edits(), any in prop::option::weighted(0.2, nonsense()), raw in 0..300_000_u32) {
        let (_scratch, store, _) = store_with_chunks(&[&[7; 5000], b"a chunk", &[1, 2, 3].repeat(700)]);
        let mut catalogue = Catalogue::load(&store.indexes(), &store.packs()).unwrap();
        let pack = &mut catalogue.packs[0];
        let file = fs::read(&pack.path).unwrap();
        let (header, block) = file.split_at(usize::try_from(pack.blocks[0].offset).unwrap());
        let changed = any.unwrap_or_else(|| mutated(block, &edits));
        let path = store.packs().join("changed");
        fs::write(&path, [header, &changed].concat()).unwrap();
        let of_edits = raw % 2 == 0;
        let of_block = pack.blocks[0].raw;
        pack.path = path;
        let block = &mut pack.blocks[0];
        (block.stored, block.checksum) = (u32::try_from(changed.len()).unwrap(), *blake3::hash(&changed).as_bytes());
        block.raw = if of_edits { of_block } else { raw };
        let length = block.raw as usize;
        let opened = open_pack(pack).unwrap();
        let mut out = Vec::new();
        if Unpacker::new().unwrap().read(pack, &opened, 0, &mut out).is_ok() {
            prop_assert_eq!(out.len(), length);
        }
    }

    #[test]
    fn key_files(edits in edits(), any in prop::option::weighted(0.2, nonsense())) {
        let scratch = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
        let store = Store::open(scratch.path().join("data")).unwrap();
        let key = store.signing_key().unwrap();
        store.trust_key(&key.public(), "somebody").unwrap();
        let changed = |name: &str| {
            let valid = fs::read(store.keys().join(name)).unwrap();
            any.clone().unwrap_or_else(|| mutated(&valid, &edits))
        };
        key_file(&store, "signing.key", &changed("signing.key"));
        key_file(&store, "trusted", &changed("trusted"));
        // A key that is read is one that works.
        if let Ok(key) = store.signing_key() {
            prop_assert!(key.public().verify(b"x", &key.sign(b"x")));
        }
        if let Ok(all) = store.trusted_keys() {
            prop_assert!(all.iter().all(|trusted| trusted.key.to_string().parse() == Ok(trusted.key)));
        }
        prop_assert!(store.trusts(&key.public()).is_ok() || store.trusted_keys().is_err() || store.signing_key().is_err());
    }
}
