//! Streams of entries for the tests that break them.

use super::entry::{Entry, Kind, Meta, Time, decode_all};
use super::list::ListRef;
use crate::hash::ChunkHash;
use crate::wire::{Encoder, Flaw};

/// A stream with one of every kind of entry, and its access times.
pub(crate) fn sample_stream() -> (Vec<u8>, Vec<u8>) {
    let meta = || Meta {
        mode: 0o755,
        // The user who runs the tests: others can be given files by root only.
        uid: rustix::process::geteuid().as_raw(),
        gid: rustix::process::getegid().as_raw(),
        modified: Time { seconds: -5, nanoseconds: 999_999_999 },
        accessed: Time { seconds: 1_700_000_000, nanoseconds: 1 },
        attributes: vec![(b"user.a".to_vec(), b"1".to_vec()), (b"user.b".to_vec(), vec![0; 300])],
    };
    let entry = |name: &str, kind, group| Entry { name: name.as_bytes().to_vec(), kind, group, meta: meta() };
    let data = || ListRef { level: 0, hashes: vec![ChunkHash::of(b"some data")] };
    let file = Kind::File { size: 5000, extents: vec![(0, 4), (4096, 5)], chunks: data() };
    let all = [
        entry("", Kind::Directory, 0),
        entry("a", Kind::Directory, 0),
        entry("b", file, 1),
        entry("c", Kind::Symlink(b"/etc".to_vec()), 0),
        Entry::end(),
        entry("d", Kind::Fifo, 2),
        Entry { name: b"e".to_vec(), kind: Kind::Link, group: 1, meta: Meta::default() },
        entry("f", Kind::Socket, 0),
        entry("g", Kind::Character { major: 0, minor: 0 }, 0),
        entry("h", Kind::File { size: 0, extents: vec![], chunks: ListRef::default() }, 0),
        Entry { name: b"i".to_vec(), kind: Kind::Link, group: 2, meta: Meta::default() },
        Entry::end(),
    ];
    encode(&all)
}

fn encode(all: &[Entry]) -> (Vec<u8>, Vec<u8>) {
    let (mut entries, mut times) = (Encoder::default(), Vec::new());
    all.iter().for_each(|entry| entry.encode(&mut entries, &mut times));
    (entries.0, times)
}

/// Reads a stream, and gives the form that what was read is written in.
pub(crate) fn decode_tree(entries: &[u8], access_times: &[u8]) -> Result<(Vec<u8>, Vec<u8>), Flaw> {
    decode_all(entries, access_times).map(|all| encode(&all))
}

#[test]
fn the_sample_is_read_as_it_was_written() {
    let (entries, times) = sample_stream();
    assert_eq!(decode_tree(&entries, &times), Ok((entries, times)));
}

#[test]
fn names_that_lead_elsewhere_are_refused() {
    let named = |name: &[u8]| {
        let root = Entry { name: vec![], kind: Kind::Directory, group: 0, meta: Meta::default() };
        let bad = Entry { name: name.to_vec(), kind: Kind::Fifo, group: 0, meta: Meta::default() };
        let (entries, times) = encode(&[root, bad, Entry::end()]);
        decode_tree(&entries, &times)
    };
    assert!(named(b"fine").is_ok());
    for bad in [&b""[..], b".", b"..", b"a/b", b"/", b"a\0b", &[b'x'; 256]] {
        assert!(named(bad).is_err(), "{bad:?}");
    }
}
