//! Random and damaged bytes: an event or an error, never a panic, never memory without bound.

#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

mod common;

use bytes::BytesMut;
use common::{Stream, copy_rect, cursor, raw, rect, tight, update};
use freezeframe_rfb::{ClientMessage, Clipboard, Decoder, encoding, grab, handshake, limits};
use proptest::prelude::*;

/// What is right, as one long stream; the mutations start here, so that they get further than noise does.
fn honest() -> Vec<u8> {
    let mut stream = Stream::new(0);
    let pixels = common::noise(16 * 8);
    let screens = [&rect(0, 0, 16, 8, encoding::EXTENDED_DESKTOP_SIZE)[..], &[1, 0, 0, 0], &common::screen(1)].concat();
    [
        update(1, &[tight::copy(&mut stream, 0, 0, 16, 8, &pixels)]),
        update(2, &[raw(1, 2, 2, 1, &[[1, 2, 3], [4, 5, 6]]), copy_rect(1, 2, 2, 1, 14, 7)]),
        update(2, &[tight::gradient(&mut stream, 0, 0, 16, 8, &pixels), cursor(5, 3)]),
        update(1, &[tight::palette(Some(&mut stream), 0, 0, 16, 8, &[[0; 3], [9; 3], [5; 3]], &[1; 16 * 8])]),
        update(0xffff, &[screens, tight::fill(0, 0, 3, 3, [1, 2, 3]), rect(0, 0, 0, 0, encoding::LAST_RECT)]),
        vec![2, 3, 0, 0, 0, 0, 0, 0, 2, b'h', b'i'],
        clipboard("größe"),
        vec![1, 0, 0, 0, 0, 1, 1, 2, 3, 4, 5, 6],
        update(1, &[rect(0, 0, 20, 9, encoding::DESKTOP_SIZE)]),
    ]
    .concat()
}

/// The same bytes in both directions but for the first.
fn clipboard(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    ClientMessage::Clipboard(Clipboard::Text(text.into())).encode(&mut bytes);
    bytes[0] = 3;
    bytes
}

/// The most that a decoder may want in its buffer: Tight's longest data and a palette, and what surrounds them.
const BUFFER: usize = (4 << 20) + 4096;

/// Feeds pieces until the end or an error, and checks after each what has to hold always.
fn feed(bytes: &[u8], piece: usize) {
    let mut decoder = Decoder::new(16, 8).unwrap();
    let mut buffer = BytesMut::new();
    for part in bytes.chunks(piece.max(1)) {
        buffer.extend_from_slice(part);
        loop {
            let before = buffer.len();
            match decoder.decode(&mut buffer) {
                Ok(Some(_)) => assert!(buffer.len() <= before),
                Ok(None) => break,
                Err(error) => return assert!(!error.to_string().is_empty()),
            }
        }
        assert!(buffer.capacity() <= BUFFER * 2, "{} bytes of buffer", buffer.capacity());
        let picture = decoder.picture();
        assert_eq!(picture.pixels().len(), usize::from(picture.width()) * usize::from(picture.height()) * 4);
        assert!(picture.bounds().area() <= limits::MAX_PIXELS);
        if picture.bounds().area() > 1 << 20 {
            return; // Right, but slow to go on with in a debug build.
        }
    }
}

#[test]
fn the_honest_stream_is_decoded_whole() {
    let mut decoder = Decoder::new(16, 8).unwrap();
    let mut buffer = BytesMut::from(honest().as_slice());
    let mut events = 0;
    while decoder.decode(&mut buffer).unwrap().is_some() {
        events += 1;
    }
    assert_eq!((events, buffer.len()), (12, 0));
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(2000) })]

    #[test]
    fn noise(bytes in proptest::collection::vec(any::<u8>(), 0..2000), piece in 1usize..300) {
        feed(&bytes, piece);
    }

    #[test]
    fn noise_in_an_update(
        place in any::<[u8; 4]>(),
        encoding in prop::sample::select(vec![0, 1, 7, -223, -224, -239, -308, -314]),
        bytes in proptest::collection::vec(any::<u8>(), 0..2000),
    ) {
        let head = rect(place[0].into(), place[1].into(), place[2].into(), place[3].into(), encoding);
        feed(&update(1, &[head, bytes]), 500);
    }

    #[test]
    fn mutations(
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        cut in any::<prop::sample::Index>(),
        piece in 1usize..300,
    ) {
        let mut bytes = honest();
        for (at, value) in changes {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        bytes.truncate(cut.index(bytes.len()) * 2);
        feed(&bytes, piece);
    }

    #[test]
    fn handshakes(
        version in prop::sample::select(vec!["", "RFB 003.003\n", "RFB 003.007\n", "RFB 003.008\n\x01\x01\0\0\0\0"]),
        bytes in proptest::collection::vec(any::<u8>(), 0..300),
    ) {
        let server = [version.as_bytes(), &bytes].concat();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        // A stream that ends cannot but end in an error or a result.
        let _ = runtime.block_on(handshake(&mut tokio::io::join(&server[..], tokio::io::sink()), true));
        let _ = runtime.block_on(grab(tokio::io::join(&server[..], tokio::io::sink())));
    }
}

/// A few bytes that stand for gigabytes: refused, or at least not unpacked.
#[test]
fn bombs() {
    let mut decoder = Decoder::new(64, 64).unwrap();
    // 2 GiB of text that never comes takes no memory.
    let mut buffer = BytesMut::from(&[3, 0, 0, 0, 0x80, 0, 0, 0][..]);
    while decoder.decode(&mut buffer).unwrap().is_some() {}
    assert!(buffer.capacity() <= 1 << 20);

    // 16 MiB of zeros, compressed, for a rectangle that holds 12 KiB.
    let mut stream = Stream::new(0);
    let mut bomb = tight::copy(&mut stream, 0, 0, 64, 64, &vec![[0; 3]; 16 << 20]);
    bomb[4..8].copy_from_slice(&[0, 64, 0, 64]);
    let mut decoder = Decoder::new(64, 64).unwrap();
    let error = decoder.decode(&mut BytesMut::from(update(1, &[bomb]).as_slice())).unwrap_err();
    assert!(error.to_string().contains("goes on after the rectangle's end"), "{error}");
}
