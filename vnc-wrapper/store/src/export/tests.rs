//! Files that somebody trusted has signed, and that are wrong all the same.

use std::fs;
use std::sync::atomic::AtomicBool;

use proptest::prelude::*;

use super::frame::{FORMAT, FrameReader, MAGIC, Tag, signed};
use super::*;
use crate::content::TreeRef;
use crate::manifest::{Manifest, Watched};
use crate::record::{self, Record};
use crate::session::Network;
use crate::sign::SigningKey;
use crate::{BaseRecord, Content, SnapshotId, Store};

static GO_ON: AtomicBool = AtomicBool::new(false);
const WATCH: Watch<'static> = Watch { cancel: &GO_ON, progress: &|_| {} };

/// The frames of an export without its signatures, which [`signed_file`] makes again.
type Frames = Vec<(Tag, Vec<u8>)>;

fn frames(file: &[u8]) -> Frames {
    let mut reader = FrameReader::begin(file, &GO_ON).unwrap();
    let mut all = Vec::new();
    loop {
        let frame = reader.next().unwrap();
        match frame.tag {
            Tag::Signature => return all,
            Tag::HeadSignature => {}
            _ => all.push((frame.tag, frame.body)),
        }
    }
}

fn signed_file(frames: &Frames, key: &SigningKey) -> Vec<u8> {
    let mut file = [&MAGIC[..], &FORMAT.to_le_bytes()].concat();
    let append = |file: &mut Vec<u8>, tag: Tag, body: &[u8]| {
        file.push(tag as u8);
        file.extend_from_slice(&u32::try_from(body.len()).unwrap().to_le_bytes());
        file.extend_from_slice(body);
    };
    let mut front = true;
    for (tag, body) in frames {
        if front && matches!(tag, Tag::Chunks | Tag::Lists) {
            front = false;
            let signature = key.sign(&signed(Tag::HeadSignature, &blake3::hash(&file)));
            append(&mut file, Tag::HeadSignature, &signature.0);
        }
        append(&mut file, *tag, body);
    }
    let signature = key.sign(&signed(Tag::Signature, &blake3::hash(&file)));
    append(&mut file, Tag::Signature, &signature.0);
    file
}

struct World {
    _dir: tempfile::TempDir,
    key: SigningKey,
    bob: Store,
    file: Vec<u8>,
}

/// A good export with its base, and a store that trusts its maker. `spoil` may put something into base and layer first.
fn world(spoil: impl Fn(&std::path::Path, &std::path::Path)) -> World {
    let dir = tempfile::tempdir().unwrap();
    let (ann, bob) = (Store::open(dir.path().join("ann")).unwrap(), Store::open(dir.path().join("bob")).unwrap());
    let base = BaseRecord {
        format: BaseRecord::FORMAT,
        name: "base".into(),
        created: jiff::Timestamp::UNIX_EPOCH,
        origin: "import".into(),
        identity: "one".into(),
        first_id: 7,
        bytes: 0,
        desktop: Vec::new(),
        environment: Vec::new(),
    };
    let root = ann.base_dir("base").unwrap();
    fs::create_dir_all(root.join("root")).unwrap();
    record::write(&root.join("base.json"), &base).unwrap();
    let manifest = Manifest {
        format: Manifest::FORMAT,
        id: SnapshotId::new("0123456789ab").unwrap(),
        session: "desktop".parse().unwrap(),
        lineage: "l".into(),
        parent: None,
        created: jiff::Timestamp::UNIX_EPOCH,
        label: String::new(),
        automatic: false,
        base: "base".into(),
        base_identity: "one".into(),
        first_id: None,
        attributes: None,
        width: 1,
        height: 1,
        network: Network::None,
        engine: String::new(),
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
    let writer = ann.begin_snapshot(manifest.id.clone()).unwrap();
    fs::write(writer.images_dir().join("pages-1.img"), [vec![1; 4096], vec![0; 4096], vec![2; 4096]].concat()).unwrap();
    fs::create_dir(writer.layer_dir()).unwrap();
    fs::write(writer.layer_dir().join("file"), "bytes").unwrap();
    spoil(&root.join("root"), &writer.layer_dir());
    writer.commit(&manifest, None).unwrap();
    ann.pack(&manifest.id, &GO_ON, &|_| {}).unwrap();
    let mut file = Vec::new();
    ann.export(&manifest.id, &mut file, ExportOptions { with_base: true }, &WATCH).unwrap();
    let key = ann.signing_key().unwrap();
    bob.trust_key(&key.public(), "").unwrap();
    World { _dir: dir, key, bob, file }
}

impl World {
    fn import(&self, frames: &Frames) -> Result<Imported> {
        self.bob.import(&signed_file(frames, &self.key)[..], ImportOptions::default(), &WATCH)
    }

    fn is_empty(&self) -> bool {
        self.bob.list_snapshots().unwrap().is_empty() && self.bob.list_bases().unwrap().is_empty()
    }

    /// Imports a file of these frames, which has to be refused for a reason that has `said` in it.
    fn refuses(&self, frames: &Frames, said: &str) {
        let error = self.import(frames).unwrap_err().to_string();
        assert!(error.contains(said), "{error:?} has no {said:?}");
        assert!(self.is_empty());
    }

    fn with_head(&self, change: impl Fn(&mut serde_json::Value)) -> Frames {
        let mut frames = frames(&self.file);
        let mut head = serde_json::from_slice(&frames[0].1).unwrap();
        change(&mut head);
        frames[0].1 = serde_json::to_vec(&head).unwrap();
        frames
    }
}

#[test]
fn signing_the_same_frames_gives_the_same_file() {
    let world = world(|_, _| {});
    assert_eq!(signed_file(&frames(&world.file), &world.key), world.file);
    world.import(&frames(&world.file)).unwrap();
}

#[test]
fn a_head_that_lies_is_refused() {
    let world = world(|_, _| {});
    let other = SigningKey::generate().unwrap().public().to_string();
    world.refuses(&world.with_head(|h| h["key"] = other.clone().into()), "signature does not fit");
    world.refuses(&world.with_head(|h| h["chunks"] = 1.into()), "more chunks");
    world.refuses(&world.with_head(|h| h["bytes"] = 1_000_000.into()), "fewer chunks");
    world.refuses(&world.with_head(|h| h["manifest"]["id"] = "../../etc".into()), "head");
    world.refuses(&world.with_head(|h| h["manifest"]["id"] = "ba9876543210".into()), "of snapshot 0123456789ab");
    world.refuses(&world.with_head(|h| h["manifest"]["base"] = "../x".into()), "base");
    world.refuses(&world.with_head(|h| h["manifest"]["format"] = 2.into()), "update Freezeframe");
    world.refuses(&world.with_head(|h| h["manifest"]["memory_bytes"] = u64::MAX.into()), "size");
    world.refuses(&world.with_head(|h| h["base"]["identity"] = "two".into()), "two bases");
    world.refuses(&world.with_head(|h| h["base"] = serde_json::Value::Null), "differ about the base");
    world.refuses(&world.with_head(|h| h["label"] = "x".repeat(5000).into()), "label");
    world.refuses(&world.with_head(|h| h["more"] = 1.into()), "unknown field");
}

#[test]
fn frames_out_of_order_missing_or_twice_are_refused() {
    let world = world(|_, _| {});
    let good = frames(&world.file);
    for a in 0..good.len() {
        let mut less = good.clone();
        less.remove(a);
        assert!(world.import(&less).is_err(), "without {:?}", good[a].0);
        let mut twice = good.clone();
        twice.insert(a, good[a].clone());
        assert!(world.import(&twice).is_err(), "twice {:?}", good[a].0);
        assert!(world.is_empty());
    }
    let mut swapped = good.clone();
    swapped.swap(0, 1);
    world.refuses(&swapped, "begin with its head");
    let mut swapped = good;
    swapped.swap(1, 2);
    assert!(world.import(&swapped).is_err() && world.is_empty());
}

#[test]
fn a_chunk_that_is_another_is_missed() {
    for tag in [Tag::Lists, Tag::Chunks] {
        let world = world(|_, _| {});
        let mut other = frames(&world.file);
        let body = &mut other.iter_mut().find(|(t, _)| *t == tag).unwrap().1;
        let mut unpacker = blocks::Unpacker::new().unwrap();
        let mut chunks: Vec<Vec<u8>> = unpacker.chunks(body).unwrap().map(<[u8]>::to_vec).collect();
        chunks[0][0] ^= 1;
        let mut packer = blocks::Packer::new().unwrap();
        chunks.iter().for_each(|c| assert_eq!(packer.add(c).unwrap(), None));
        *body = packer.rest().unwrap().unwrap();
        world.refuses(&other, "chunk");
    }
}

#[test]
fn a_content_that_refers_to_nothing_is_refused() {
    let world = world(|_, _| {});
    let mut other = frames(&world.file);
    let id = SnapshotId::new("0123456789ab").unwrap();
    let content = objects::parse(&other[1].1, &id).unwrap();
    other[1].1 = Content { images: TreeRef { count: 77, ..content.images.clone() }, ..content.clone() }.to_bytes();
    world.refuses(&other, "77");
    other[1].1 = Content { images: TreeRef::default(), ..content }.to_bytes();
    world.refuses(&other, "without images");
}

#[test]
fn devices_are_refused_but_whiteouts_are_not() {
    use rustix::fs::{CWD, FileType, Mode, makedev, mknodat};
    let node = |path: &std::path::Path, device| mknodat(CWD, path, FileType::CharacterDevice, Mode::RUSR, device);
    let probe = tempfile::tempdir().unwrap();
    if node(&probe.path().join("null"), makedev(1, 3)).is_err() {
        // Only root makes devices. Whiteouts anybody can.
        world(|_, layer| node(&layer.join("gone"), 0).unwrap());
        return;
    }
    let layer = world(|_, layer| node(&layer.join("null"), makedev(1, 3)).unwrap());
    layer.refuses(&frames(&layer.file), "device, \"null\"");
    let base = world(|base, _| node(&base.join("sda"), makedev(8, 0)).unwrap());
    base.refuses(&frames(&base.file), "device, \"sda\"");
    let whiteout = world(|_, layer| node(&layer.join("gone"), 0).unwrap());
    whiteout.import(&frames(&whiteout.file)).unwrap();
}

#[test]
fn no_signed_nonsense_panics_or_shows() {
    let world = world(|_, _| {});
    let good = frames(&world.file);
    let change = (0..good.len(), 0..5000_usize, any::<u8>(), any::<bool>());
    proptest!(crate::fuzz::cases(400), |(changes in prop::collection::vec(change, 1..4))| {
        let mut other = good.clone();
        for (frame, at, byte, cut) in changes {
            let body = &mut other[frame].1;
            if cut {
                body.truncate(at % (body.len() + 1));
            } else if !body.is_empty() {
                let at = at % body.len();
                body[at] = byte;
            }
        }
        match world.import(&other) {
            // Text in the head may say something else: a trusted signer may write anything.
            Ok(imported) => {
                prop_assert!(world.bob.content(&imported.id).is_ok());
                fs::remove_dir_all(world.bob.snapshot_dir(&imported.id)).unwrap();
                fs::remove_dir_all(world.bob.base_dir(&world.bob.list_bases().unwrap()[0].name).unwrap()).unwrap();
            }
            Err(Error::Store(error)) => prop_assert!(false, "not said of the file: {}", error),
            Err(_) => prop_assert!(world.is_empty()),
        }
    });
}

/// Frames, heads and blocks of chunks by themselves, as signed by somebody trusted who writes what he likes.
#[test]
fn no_nonsense_panics_below_the_signature() {
    use crate::fuzz::{cases, edits, mutated, nonsense};
    let world = world(|_, _| {});
    let good = frames(&world.file);
    let lists = &good.iter().find(|(tag, _)| *tag == Tag::Lists).unwrap().1;
    let plain = zstd::bulk::decompress(&lists[4..], 4 << 20).unwrap();
    proptest!(cases(400), |(edits in edits(), any in prop::option::weighted(0.2, nonsense()), said in any::<u32>())| {
        let changed = |valid: &[u8]| any.clone().unwrap_or_else(|| mutated(valid, &edits));
        if let Ok(mut reader) = FrameReader::begin(&changed(&world.file)[..], &GO_ON) {
            while reader.next().is_ok() {}
        }
        if let Ok(mut reader) = FrameReader::begin(&[&world.file[..12], &changed(b"")].concat()[..], &GO_ON) {
            while reader.next().is_ok() {}
        }
        let _ = Head::parse(&changed(&good[0].1));
        let mut unpacker = blocks::Unpacker::new().unwrap();
        let body = changed(&plain);
        let length = if said % 2 == 0 { u32::try_from(body.len()).unwrap() } else { said };
        for packed in [zstd::bulk::compress(&body, 1).unwrap(), changed(&lists[4..])] {
            let frame = [&length.to_le_bytes()[..], &packed].concat();
            if let Ok(chunks) = unpacker.chunks(&frame) {
                prop_assert!(chunks.map(<[u8]>::len).all(|length| (1..=crate::pack::MAX_CHUNK).contains(&length)));
            }
        }
    });
}
