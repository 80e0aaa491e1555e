//! Every parser of what is on disk, fed with damaged files: those of [`mutated`], which breaks valid ones, and whose seals
//! are mended where there is one, so that it is not only the checksum that says no; and those of [`nonsense`], made up of any
//! bytes. They may refuse; they may not panic, and what they accept has to be what their rules say.
//!
//! | parser | here | of |
//! | --- | --- | --- |
//! | content, streams of entries, lists, indexes | `fuzz` | files in `snapshots/`, `store/` |
//! | blocks of packs; records (manifest, marks, session, base); keys | `fuzz::files` | the same, and `keys/` |
//! | frames, heads and blocks of chunks of an export, signed or not | `export::tests`, `tests/export.rs` | `*.freezeframe` |
//!
//! Why proptest and not `cargo fuzz`: that needs a nightly compiler, for the sanitizer's coverage (`-Z sanitizer`), and this
//! builds with the stable one. So no coverage guides these; the inputs are mutations of valid files with mended checksums
//! instead, which reach every parser's depths, and each run draws new ones. `FREEZEFRAME_FUZZ=100 cargo test -p
//! freezeframe-store fuzz` draws a hundred times as many.

pub(crate) mod files;

use std::path::Path;

use proptest::prelude::*;

use crate::content::{Content, TreeRef};
use crate::hash::ChunkHash;
use crate::id::SnapshotId;
use crate::layout::Store;
use crate::pack::{ChunkKind, ChunkReader, parse_index};
use crate::tree::{ListRef, decode_tree, sample_stream, unfold, visit};
use crate::wire::{Encoder, unseal};

/// So many cases, or as many times more as `FREEZEFRAME_FUZZ` says.
pub(crate) fn cases(cases: u32) -> ProptestConfig {
    let factor =
        std::env::var("FREEZEFRAME_FUZZ").ok().map_or(1, |times| times.parse().expect("FREEZEFRAME_FUZZ: a number"));
    ProptestConfig { cases: cases.saturating_mul(factor), failure_persistence: None, ..ProptestConfig::default() }
}

/// Any bytes.
pub(crate) fn nonsense() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(any::<u8>(), 0..600)
}

/// A change of some bytes.
#[derive(Clone, Debug)]
pub(crate) enum Edit {
    Set(usize, u8),
    Insert(usize, Vec<u8>),
    Remove(usize, usize),
    Copy(usize, usize, usize),
    /// A number in the middle, of a kind that overflows.
    Number(usize, u64),
}

pub(crate) fn edits() -> impl Strategy<Value = Vec<Edit>> {
    let at = || any::<usize>();
    let extreme = prop_oneof![Just(0), Just(u64::MAX), Just(1 << 31), Just(u64::from(u32::MAX)), Just(1 << 63)];
    let edit = prop_oneof![
        6 => (at(), any::<u8>()).prop_map(|(at, byte)| Edit::Set(at, byte)),
        2 => (at(), prop::collection::vec(any::<u8>(), 1..20)).prop_map(|(at, bytes)| Edit::Insert(at, bytes)),
        2 => (at(), 1..50usize).prop_map(|(at, length)| Edit::Remove(at, length)),
        1 => (at(), at(), 1..50usize).prop_map(|(from, to, length)| Edit::Copy(from, to, length)),
        2 => (at(), extreme).prop_map(|(at, number)| Edit::Number(at, number)),
    ];
    prop::collection::vec(edit, 0..6)
}

pub(crate) fn mutated(valid: &[u8], edits: &[Edit]) -> Vec<u8> {
    let mut bytes = valid.to_vec();
    for edit in edits {
        let within = |at: usize| at % (bytes.len() + 1);
        match edit {
            Edit::Set(at, byte) => {
                let at = within(*at);
                bytes.splice(at..(at + 1).min(bytes.len()), [*byte]);
            }
            Edit::Insert(at, new) => {
                let at = within(*at);
                bytes.splice(at..at, new.iter().copied());
            }
            Edit::Remove(at, length) => {
                let at = within(*at);
                bytes.drain(at..(at + length).min(bytes.len()));
            }
            Edit::Copy(from, to, length) => {
                let (from, to) = (within(*from), within(*to));
                let piece = bytes[from..(from + length).min(bytes.len())].to_vec();
                bytes.splice(to..to, piece);
            }
            Edit::Number(at, number) => {
                let at = within(*at);
                bytes.splice(at..(at + 8).min(bytes.len()), number.to_le_bytes());
            }
        }
    }
    bytes
}

/// As [`mutated`], with a seal that fits.
fn resealed(valid: &[u8], edits: &[Edit]) -> Vec<u8> {
    Encoder(mutated(unseal(valid).unwrap(), edits)).seal()
}

fn store_with_chunks(chunks: &[&[u8]]) -> (tempfile::TempDir, Store, Vec<ChunkHash>) {
    let scratch = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
    let store = Store::open(scratch.path().join("data")).unwrap();
    let mut writer = store.chunk_writer().unwrap();
    let hashes = chunks.iter().map(|chunk| writer.put(chunk, ChunkKind::Meta).unwrap()).collect();
    writer.finish().unwrap();
    (scratch, store, hashes)
}

fn sample_content() -> Content {
    let tree = |byte| TreeRef {
        entries: ListRef { level: 1, hashes: vec![ChunkHash::of(&[byte]); 3] },
        access_times: ListRef { level: 0, hashes: vec![ChunkHash::of(b"t")] },
        count: 300,
        raw_bytes: 1 << 40,
    };
    Content { snapshot: SnapshotId::new("abc").unwrap(), images: tree(1), layer: tree(2), normal: true, new_bytes: 77 }
}

fn sample_index() -> Vec<u8> {
    let chunks: Vec<Vec<u8>> = (0..40u8).map(|n| vec![n; 10_000]).collect();
    let (_scratch, store, _) = store_with_chunks(&chunks.iter().map(Vec::as_slice).collect::<Vec<_>>());
    let path = std::fs::read_dir(store.indexes()).unwrap().next().unwrap().unwrap().path();
    std::fs::read(path).unwrap()
}

proptest! {
    #![proptest_config(cases(2000))]

    #[test]
    fn contents(edits in edits()) {
        let valid = sample_content().to_bytes();
        if let Ok(content) = Content::from_bytes(&resealed(&valid, &edits), Path::new("content")) {
            prop_assert_eq!(Content::from_bytes(&content.to_bytes(), Path::new("content")).unwrap(), content);
        }
        let unsealed = mutated(&valid, &edits);
        prop_assert!(unsealed == valid || Content::from_bytes(&unsealed, Path::new("content")).is_err());
    }

    #[test]
    fn streams_of_entries(edits in edits(), of_times in edits()) {
        let (entries, times) = sample_stream();
        // One value has one form: what is accepted is written as the same bytes.
        let (entries, times) = (mutated(&entries, &edits), mutated(&times, &of_times));
        if let Ok(again) = decode_tree(&entries, &times) {
            prop_assert_eq!(again, (entries, times));
        }
    }

    #[test]
    fn any_bytes_at_all(bytes in nonsense(), times in nonsense()) {
        let sealed = Encoder(bytes.clone()).seal();
        prop_assert!(Content::from_bytes(&sealed, Path::new("content")).is_err());
        prop_assert!(parse_index(&sealed).is_err());
        if let Ok(again) = decode_tree(&bytes, &times) {
            prop_assert_eq!(again, (bytes, times));
        }
    }
}

proptest! {
    #![proptest_config(cases(500))]

    #[test]
    fn indexes(edits in edits()) {
        use std::sync::OnceLock;
        static VALID: OnceLock<Vec<u8>> = OnceLock::new();
        let valid = VALID.get_or_init(sample_index);
        if let Ok(index) = parse_index(&resealed(valid, &edits)) {
            for chunk in &index.chunks {
                let block = index.blocks[chunk.block as usize];
                prop_assert!(chunk.offset + chunk.length <= block.raw);
            }
        }
        let unsealed = mutated(valid, &edits);
        prop_assert!(unsealed == *valid || parse_index(&unsealed).is_err());
    }

    /// Trees and lists as an importer would meet them: in a store, every chunk's name right, and all else made up. Nothing
    /// may ever be laid out beside the two directories.
    #[test]
    fn trees_that_are_made_up(edits in edits(), of_list in edits(), level in 0..4u8, count in 0..60u64) {
        let (entries, times) = sample_stream();
        let entries = mutated(&entries, &edits);
        let (entries, times) = (if entries.is_empty() { vec![0] } else { entries }, times);
        let data = ChunkHash::of(b"some data");
        let list = mutated(&[ChunkHash::of(&entries).as_bytes().as_slice(), data.as_bytes()].concat(), &of_list);
        let list = if list.is_empty() { vec![0] } else { list };
        let (scratch, store, hashes) = store_with_chunks(&[&entries, &times, b"some data", &list]);
        let at = |level, hash: ChunkHash| ListRef { level, hashes: vec![hash] };
        let tree = TreeRef {
            entries: if level == 0 { at(0, hashes[0]) } else { at(level, hashes[3]) },
            access_times: at(0, hashes[1]),
            count,
            raw_bytes: 0,
        };
        let mut reader: ChunkReader = store.chunk_reader().unwrap();
        let _ = unfold(&tree, &mut reader, Path::new("content"));
        let _ = visit(&tree, &mut reader, Path::new("content"), &mut |_, _| Ok(()));
        let out = scratch.path().join("out");
        std::fs::create_dir(&out).unwrap();
        let cancel = std::sync::atomic::AtomicBool::new(false);
        let path = out.join("tree");
        let laid = {
            let trees = [crate::tree::Laid { tree: &tree, path: &path, form: None }];
            crate::tree::lay_out(&trees, &mut reader, Path::new("content"), &cancel, &|_| {})
        };
        prop_assert_eq!(path.exists(), laid.is_ok());
        prop_assert!(std::fs::read_dir(&out).unwrap().count() <= 1);
    }
}
