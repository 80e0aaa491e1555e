//! How much memory it takes to read a store of many snapshots back. Alone in its process, whose memory it measures.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails; clippy sees only functions marked as tests")]

use std::fs::{self, File};
use std::io::Write;
use std::sync::atomic::AtomicBool;

use freezeframe_store::manifest::Watched;
use freezeframe_store::record::Record;
use freezeframe_store::session::Network;
use freezeframe_store::{Manifest, SessionId, SnapshotId, Store};
use jiff::Timestamp;

/// Snapshots, and pages in each: lists of 2,000,000 chunks, which would take 96 MB.
const SNAPSHOTS: usize = 100;
const PAGES: u64 = 20_000;
/// What the catalogue of [`PAGES`] chunks and the reading take, with room to spare, in kibibytes.
const LIMIT: u64 = 32 << 10;

/// A line of proc_pid_status(5), in kibibytes.
fn memory(field: &str) -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':')).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

fn manifest(id: &SnapshotId) -> Manifest {
    Manifest {
        format: Manifest::FORMAT,
        id: id.clone(),
        session: SessionId::new("desktop").unwrap(),
        lineage: "lineage".into(),
        parent: None,
        created: Timestamp::from_second(1_800_000_000).unwrap(),
        label: String::new(),
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
        memory_bytes: PAGES * 4096,
        layer_bytes: 0,
        processes: 3,
        threads: 4,
        windows: vec![],
        closed: vec![],
        watched: Watched::default(),
    }
}

/// Issue 9, number 15: an agent held 400 MB after it had verified 3,000 snapshots.
#[test]
fn verifying_many_snapshots_keeps_no_lists_of_their_chunks() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(directory.path()).unwrap();
    let never = AtomicBool::new(false);
    let first = SnapshotId::random();
    let writer = store.begin_snapshot(first.clone()).unwrap();
    fs::create_dir(writer.layer_dir()).unwrap();
    let mut pages = File::create(writer.images_dir().join("pages-1.img")).unwrap();
    for number in 1..=PAGES {
        pages.write_all(&[&number.to_le_bytes()[..], &[1; 4088]].concat()).unwrap();
    }
    drop(pages);
    writer.commit(&manifest(&first), None).unwrap();
    store.pack(&first, &never, &|_| {}).unwrap();
    let content = store.content(&first).unwrap();
    for _ in 1..SNAPSHOTS {
        let written = store.chunk_writer().unwrap().finish().unwrap();
        store.commit_packed(&manifest(&SnapshotId::random()), None, &content, &written).unwrap();
    }
    // The peak counts from now on (proc_pid_clear_refs(5)).
    fs::write("/proc/self/clear_refs", "5").unwrap();
    let before = memory("VmRSS");
    let report = store.verify(None, &never, &|_| {}).unwrap();
    assert!(report.is_clean() && report.snapshots.len() == SNAPSHOTS, "{report:?}");
    let grown = memory("VmHWM").saturating_sub(before);
    assert!(grown < LIMIT, "{grown} KiB");
}
