//! The splice against streams made by hand: cut anywhere, what a viewer sees is a whole stream.

#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

mod common;

use std::sync::Arc;

use bytes::BytesMut;
use common::{Stream, copy_rect, cursor, noise, raw, rect, screen, tight, update};
use freezeframe_rfb::splice::Splice;
use freezeframe_rfb::{ClientMessage, Decoder, Event, Framebuffer, PixelFormat, Rect, ServerInit, encoding};
use proptest::prelude::*;

const ENCODINGS: [i32; 7] = [
    encoding::RAW,
    encoding::COPY_RECT,
    encoding::TIGHT,
    encoding::CURSOR,
    encoding::EXTENDED_DESKTOP_SIZE,
    encoding::DESKTOP_SIZE,
    encoding::LAST_RECT,
];
/// Another stream than the one the test looks at; every viewer offers such as well.
const ZRLE: i32 = 16;

fn init(width: u16, height: u16) -> ServerInit {
    ServerInit { width, height, format: PixelFormat::BGRX, name: "desk".into() }
}

fn whole(width: u16, height: u16) -> ClientMessage {
    ClientMessage::UpdateRequest { incremental: false, rect: Rect { x: 0, y: 0, width, height } }
}

fn say(splice: &mut Splice, messages: &[ClientMessage]) {
    let mut bytes = Vec::new();
    for message in messages {
        message.encode(&mut bytes);
    }
    splice.from_viewer(&mut BytesMut::from(&bytes[..])).unwrap();
}

fn tell(splice: &mut Splice, bytes: &[u8]) {
    splice.from_server(&mut BytesMut::from(bytes)).unwrap();
}

/// All that the viewer is told now.
fn heard(splice: &mut Splice) -> Vec<u8> {
    let mut all = Vec::new();
    while splice.has_for_viewer() {
        let piece = splice.for_viewer().to_vec();
        splice.written_to_viewer(piece.len());
        all.extend(piece);
    }
    all
}

/// All that the server is told now.
fn asked(splice: &mut Splice) -> Vec<u8> {
    let mut all = Vec::new();
    while !splice.for_server().is_empty() {
        let piece = splice.for_server().to_vec();
        splice.written_to_server(piece.len());
        all.extend(piece);
    }
    all
}

fn encoded(message: &ClientMessage) -> Vec<u8> {
    let mut bytes = Vec::new();
    message.encode(&mut bytes);
    bytes
}

fn contains(all: &[u8], part: &[u8]) -> bool {
    all.windows(part.len()).any(|window| window == part)
}

/// A viewer that has said what it wants, before a server.
fn viewer(encodings: &[i32]) -> Splice {
    let mut splice = Splice::new(&init(16, 8));
    splice.arrive(&init(16, 8)).unwrap();
    say(
        &mut splice,
        &[
            ClientMessage::SetPixelFormat(PixelFormat::BGRX),
            ClientMessage::SetEncodings(encodings.to_vec()),
            whole(16, 8),
        ],
    );
    asked(&mut splice);
    splice
}

/// Rectangles of a server with a picture of 16 by 8, each with Tight streams as a new connection has them.
fn stream(choices: &[u8]) -> Vec<u8> {
    let mut tights: Vec<Stream> = (0..4).map(Stream::new).collect();
    let mut all = Vec::new();
    for chunk in choices.chunks(3) {
        let rectangles: Vec<Vec<u8>> = chunk
            .iter()
            .map(|choice| match choice % 6 {
                0 => raw(1, 2, 9, 5, &noise(45)),
                1 => copy_rect(0, 0, 8, 4, 8, 4),
                2 => tight::copy(&mut tights[usize::from(choice / 6 % 4)], 0, 0, 16, 8, &noise(128)),
                3 => tight::fill(2, 3, 4, 5, [1, 2, 3]),
                4 => cursor(9, 3),
                _ => [&rect(0, 0, 16, 8, encoding::EXTENDED_DESKTOP_SIZE)[..], &[1, 0, 0, 0], &screen(1)].concat(),
            })
            .collect();
        let last = chunk.first().is_some_and(|choice| choice % 2 == 1);
        if last {
            all.extend(update(0xffff, &rectangles));
            all.extend(rect(0, 0, 0, 0, encoding::LAST_RECT));
        } else {
            all.extend(update(rectangles.len() as u16, &rectangles));
        }
        all.push(2);
        all.extend([3, 0, 0, 0, 0, 0, 0, 2, b'o', b'k']);
    }
    all
}

/// A viewer's decoder takes all of it, and is between two messages then.
fn is_whole(bytes: &[u8]) -> Result<(), TestCaseError> {
    let mut decoder = Decoder::new(16, 8).unwrap();
    // A bell behind it is heard as one only between two messages.
    let mut buffer = BytesMut::from(&[bytes, &[2]].concat()[..]);
    let mut last = None;
    while let Some(event) = decoder.decode(&mut buffer).map_err(|e| TestCaseError::fail(e.to_string()))? {
        last = Some(event);
    }
    prop_assert!(buffer.is_empty(), "{} bytes are left", buffer.len());
    prop_assert_eq!(last, Some(Event::Bell));
    Ok(())
}

proptest! {
    #[test]
    fn a_stream_that_is_cut_anywhere_stays_whole(
        choices in prop::collection::vec(any::<u8>(), 1..12),
        cuts in prop::collection::vec((any::<prop::sample::Index>(), 1usize..40, any::<bool>()), 1..6),
    ) {
        let mut splice = viewer(&ENCODINGS);
        let bytes = stream(&choices);
        let mut all = Vec::new();
        for (cut, step, larger) in cuts {
            let mut buffer = BytesMut::new();
            for piece in bytes[..cut.index(bytes.len() + 1)].chunks(step) {
                buffer.extend_from_slice(piece);
                splice.from_server(&mut buffer).unwrap();
            }
            splice.leave(None);
            all.extend(heard(&mut splice));
            is_whole(&all)?;
            say(&mut splice, &[whole(16, 8)]);
            // It comes back with the same size or, in between, with another.
            if larger {
                splice.arrive(&init(20, 9)).unwrap();
                splice.leave(None);
            }
            splice.arrive(&init(16, 8)).unwrap();
            all.extend(heard(&mut splice));
        }
        tell(&mut splice, &bytes);
        all.extend(heard(&mut splice));
        is_whole(&all)?;
    }

    #[test]
    fn arbitrary_bytes_neither_panic_nor_stay(
        server in prop::collection::vec(any::<u8>(), 0..2000),
        said in prop::collection::vec(any::<u8>(), 0..2000),
        kind in 0u8..9,
    ) {
        let mut splice = viewer(&ENCODINGS);
        let kinds = [0, 1, 2, 3, 4, 5, 6, 150, 248];
        let mut buffer = BytesMut::from(&[&[kinds[usize::from(kind)]][..], &said].concat()[..]);
        let _ = splice.from_viewer(&mut buffer);
        let mut buffer = BytesMut::from(&[&[kinds[usize::from(kind)]][..], &server].concat()[..]);
        let _ = splice.from_server(&mut buffer);
        splice.leave(Some(Arc::new(Framebuffer::new(16, 8).unwrap())));
        let mut buffer = BytesMut::from(&said[..]);
        let _ = splice.from_viewer(&mut buffer);
        prop_assert!(splice.is_between_messages());
        let written = splice.to_bytes(&buffer).unwrap();
        let (mut again, begun) = Splice::from_bytes(&written).unwrap();
        prop_assert_eq!(&begun[..], &buffer[..]);
        // What is to be painted may be large, so only its beginning is taken.
        prop_assert_eq!(again.for_viewer().len(), splice.for_viewer().len());
        let _ = again.arrive(&init(16, 8));
        let _ = Splice::from_bytes(&said);
    }

    #[test]
    fn arbitrary_rectangles_are_bounded(bytes in prop::collection::vec(any::<u8>(), 0..400), which in 0usize..20) {
        const ALL: [i32; 20] = [0, 1, 7, -223, -224, -239, -240, 0x574d_5664, 0x574d_5666, 0x574d_5668, -261, -258, -307,
            -308, -312, -313, -314, 16, 5, 6];
        let mut splice = viewer(&ENCODINGS);
        let head = [&[0, 0, 0, 2][..], &rect(1, 1, 12, 6, ALL[which]), &bytes].concat();
        let _ = splice.from_server(&mut BytesMut::from(&head[..]));
        splice.leave(None);
        heard(&mut splice);
        prop_assert!(splice.is_between_messages());
    }
}

#[test]
fn bytes_are_forwarded_as_they_are_but_for_the_first_tight() {
    let mut splice = viewer(&ENCODINGS);
    let bytes = stream(&[0, 1, 3, 4, 5, 0, 1]);
    tell(&mut splice, &bytes);
    let mut expected = bytes.clone();
    // The fill is the third rectangle, after a raw one and a copied one.
    let control = 4 + (12 + 9 * 5 * 4) + 16 + 12;
    assert_eq!(expected[control], 0x80);
    expected[control] |= 0x0f;
    assert_eq!(heard(&mut splice), expected);
    tell(&mut splice, &bytes);
    assert_eq!(heard(&mut splice), bytes);
}

#[test]
fn the_next_server_is_told_all_that_it_has_to_know() {
    let mut splice = viewer(&[ZRLE, encoding::TIGHT, -251, encoding::LAST_RECT, encoding::CONTINUOUS_UPDATES]);
    let control = ClientMessage::Key { down: true, keysym: 0xffe3 };
    let letter = ClientMessage::Key { down: true, keysym: 0x61 };
    let text = ClientMessage::CutText("copied".into());
    say(&mut splice, &[control.clone(), letter.clone(), text.clone()]);
    asked(&mut splice);
    splice.leave(None);
    let click = [0, 1, 0].map(|buttons| ClientMessage::Pointer { buttons, x: 3, y: 4 });
    say(&mut splice, &click);
    splice.arrive(&init(16, 8)).unwrap();
    let all = asked(&mut splice);
    let encodings = ClientMessage::SetEncodings(vec![encoding::TIGHT, -251, encoding::LAST_RECT, -313]);
    let expected = [
        ClientMessage::SetPixelFormat(PixelFormat::BGRX),
        encodings,
        whole(16, 8),
        text,
        // The letter was typed already; the control key is still down.
        control,
        click[0].clone(),
        click[1].clone(),
        click[2].clone(),
    ];
    assert_eq!(all, expected.iter().flat_map(encoded).collect::<Vec<_>>());
}

#[test]
fn what_the_last_server_did_not_take_goes_to_the_next() {
    let mut splice = viewer(&ENCODINGS);
    let keys: Vec<_> = (0..9).map(|keysym| ClientMessage::Key { down: true, keysym: 0x61 + keysym }).collect();
    say(&mut splice, &keys);
    // Two of them, and half of the third.
    splice.written_to_server(8);
    splice.written_to_server(8);
    splice.written_to_server(4);
    splice.leave(None);
    splice.arrive(&init(16, 8)).unwrap();
    let all = asked(&mut splice);
    let rest: Vec<u8> = keys[2..].iter().flat_map(encoded).collect();
    assert!(all.ends_with(&rest));
    assert!(!contains(&all, &encoded(&keys[1])));
}

#[test]
fn who_joins_while_no_server_is_there_sees_the_last_picture() {
    let pixels: Vec<u8> = (0..16 * 8).flat_map(|n| [n, 2, 3, 255]).collect();
    let picture = Arc::new(Framebuffer::from_pixels(16, 8, pixels).unwrap());
    let mut splice = Splice::new(&init(16, 8));
    splice.leave(Some(picture.clone()));
    say(&mut splice, &[ClientMessage::SetEncodings(ENCODINGS.to_vec()), whole(16, 8)]);
    let mut decoder = Decoder::new(16, 8).unwrap();
    let event = decoder.decode(&mut BytesMut::from(&heard(&mut splice)[..])).unwrap();
    assert!(matches!(event, Some(Event::Updated { area: 128, .. })), "{event:?}");
    assert_eq!(decoder.picture(), &*picture);
    // A viewer that wants to know what changes waits.
    let rect = decoder.picture().bounds();
    say(&mut splice, &[ClientMessage::UpdateRequest { incremental: true, rect }]);
    assert!(!splice.has_for_viewer());
    splice.arrive(&init(16, 8)).unwrap();
    assert!(contains(&asked(&mut splice), &encoded(&whole(16, 8))));
}

#[test]
fn fences_and_ends_of_updates_are_answered() {
    let mut splice = viewer(&[encoding::TIGHT, encoding::FENCE, encoding::CONTINUOUS_UPDATES]);
    let fence =
        |flags: u32, data: &[u8]| [&[248, 0, 0, 0][..], &flags.to_be_bytes(), &[data.len() as u8], data].concat();
    let updates = |on: u8| [&[150, on][..], &[0, 0, 0, 0, 0, 16, 0, 8]].concat();
    let hear = |splice: &mut Splice, bytes: &[u8]| splice.from_viewer(&mut BytesMut::from(bytes)).unwrap();
    // The server says what it can, and puts a fence that is not answered any more.
    tell(&mut splice, &[fence(1 << 31, b""), vec![150], fence(1 << 31 | 1, b"rtt")].concat());
    assert_eq!(heard(&mut splice).len(), 9 + 1 + 12);
    hear(&mut splice, &fence(0, b""));
    hear(&mut splice, &updates(1));
    hear(&mut splice, &fence(1 << 31 | 3, b"mine"));
    hear(&mut splice, &updates(0));
    hear(&mut splice, &updates(1));
    asked(&mut splice);
    splice.leave(None);
    assert_eq!(heard(&mut splice), [fence(3, b"mine"), vec![150]].concat());
    hear(&mut splice, &fence(1 << 31 | 1, b"more"));
    assert_eq!(heard(&mut splice), fence(1, b"more"));
    splice.arrive(&init(16, 8)).unwrap();
    assert!(asked(&mut splice).ends_with(&updates(1)));
    // The answer to the server that has gone is for nobody, the next for the next.
    tell(&mut splice, &[fence(1 << 31, b""), vec![150]].concat());
    assert_eq!(heard(&mut splice), fence(1 << 31, b""));
    hear(&mut splice, &fence(1, b"rtt"));
    assert_eq!(asked(&mut splice), b"");
    hear(&mut splice, &fence(0, b""));
    assert_eq!(asked(&mut splice), fence(0, b""));
}

#[test]
fn a_size_that_cannot_be_told_is_an_error() {
    let mut splice = viewer(&[encoding::RAW]);
    splice.leave(None);
    assert!(splice.arrive(&init(20, 8)).is_err());
}

/// A server's text in Latin-1.
fn cut_text(text: &[u8]) -> Vec<u8> {
    [&[3, 0, 0, 0], &u32::try_from(text.len()).unwrap().to_be_bytes()[..], text].concat()
}

/// Issue 9, number 15: a program that sets the clipboard again and again reaches viewers at a bounded pace, and what it set
/// last does reach them.
#[test]
fn a_flood_of_the_clipboard_is_bounded_and_the_newest_text_arrives() {
    let mut splice = viewer(&ENCODINGS);
    let _ = heard(&mut splice);
    let mut told = 0;
    let mut last = Vec::new();
    for number in 0..2000u32 {
        tell(&mut splice, &cut_text(&number.to_be_bytes().repeat(16 << 10)));
        let now = heard(&mut splice);
        told += now.len();
        if !now.is_empty() {
            last = now;
        }
    }
    assert!(told <= 4 << 20, "{told} bytes at once");
    // In the middle of an update nothing of it is put.
    let begun = [&[0, 0, 0, 1], &rect(0, 0, 2, 1, encoding::RAW)[..], &[7; 4]].concat();
    tell(&mut splice, &begun);
    splice.pass_time(std::time::Duration::from_secs(1));
    assert_eq!(heard(&mut splice), begun);
    tell(&mut splice, &[8; 4]);
    let rest = heard(&mut splice);
    assert_eq!(rest[..4], [8; 4]);
    assert_eq!(rest[4..], cut_text(&1999u32.to_be_bytes().repeat(16 << 10)));
    assert_ne!(rest[4..], last[..]);
    assert_eq!(splice.texts_wait(), None);
}
