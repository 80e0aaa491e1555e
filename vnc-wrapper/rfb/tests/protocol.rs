//! The decoder against messages made by hand: what is right is drawn, what is wrong is named.

#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

mod common;

use bytes::BytesMut;
use common::{Stream, copy_rect, cursor, raw, rect, tight, update};
use freezeframe_rfb::{Decoder, Error, Event, Rect, Screen, encoding};

fn decode(decoder: &mut Decoder, bytes: &[u8]) -> Result<Vec<Event>, Error> {
    let mut buffer = BytesMut::from(bytes);
    let mut events = Vec::new();
    while let Some(event) = decoder.decode(&mut buffer)? {
        events.push(event);
    }
    assert!(buffer.is_empty(), "{} bytes were left", buffer.len());
    Ok(events)
}

fn picture(bytes: &[u8]) -> Result<Decoder, Error> {
    let mut decoder = Decoder::new(16, 8)?;
    decode(&mut decoder, bytes)?;
    Ok(decoder)
}

#[test]
fn raw_and_copies() {
    let mut decoder = Decoder::new(16, 8).unwrap();
    let rectangles = [raw(1, 2, 2, 1, &[[1, 2, 3], [4, 5, 6]]), copy_rect(1, 2, 2, 1, 14, 7)];
    let events = decode(&mut decoder, &update(2, &rectangles)).unwrap();
    assert_eq!(events, [Event::Updated { damage: Rect { x: 1, y: 2, width: 15, height: 6 }, area: 4 }]);
    assert_eq!(decoder.picture().rgb(1, 2), Some([1, 2, 3]));
    assert_eq!(decoder.picture().rgb(15, 7), Some([4, 5, 6]));
    assert!(decoder.picture().pixels().iter().skip(3).step_by(4).all(|&alpha| alpha == 255));
}

#[test]
fn what_changed_is_told_once_and_exactly() {
    let mut decoder = Decoder::new(16, 8).unwrap();
    let all = decoder.picture().bounds();
    assert_eq!(decoder.take_damage().rects(), [all]);
    assert!(decoder.take_damage().is_empty());
    // Far from each other: what lies between them did not change. A copy changes where it goes, not where it is from.
    decode(&mut decoder, &update(2, &[raw(0, 0, 1, 1, &[[1, 2, 3]]), copy_rect(0, 0, 1, 1, 14, 7)])).unwrap();
    let dot = |x, y| Rect { x, y, width: 1, height: 1 };
    assert_eq!(decoder.take_damage().rects(), [dot(0, 0), dot(14, 7)]);
    // The same size once more changes nothing; another one changes all, whatever was drawn before.
    decode(&mut decoder, &update(1, &[rect(0, 0, 16, 8, encoding::DESKTOP_SIZE)])).unwrap();
    assert!(decoder.take_damage().is_empty());
    let bytes = update(2, &[raw(9, 0, 1, 1, &[[1, 2, 3]]), rect(0, 0, 4, 4, encoding::DESKTOP_SIZE)]);
    decode(&mut decoder, &bytes).unwrap();
    assert_eq!(decoder.take_damage().rects(), [decoder.picture().bounds()]);
}

#[test]
fn bytes_may_come_one_by_one() {
    let bytes = [
        update(1, &[tight::copy(&mut Stream::new(0), 0, 0, 16, 8, &common::noise(16 * 8))]),
        update(2, &[raw(0, 0, 3, 2, &[[9, 9, 9]; 6]), cursor(3, 2)]),
        vec![2],
        [&[3, 0, 0, 0, 0, 0, 0, 2, b'a', 0xe9][..]].concat(),
    ]
    .concat();
    let mut whole = Decoder::new(16, 8).unwrap();
    let expected = decode(&mut whole, &bytes).unwrap();
    let (mut decoder, mut buffer, mut events) = (Decoder::new(16, 8).unwrap(), BytesMut::new(), Vec::new());
    for byte in &bytes {
        buffer.extend_from_slice(&[*byte]);
        events.extend(decoder.decode(&mut buffer).unwrap());
    }
    assert_eq!(events, expected);
    assert_eq!(events.last(), Some(&Event::CutText("aé".into())));
    assert_eq!(decoder.picture(), whole.picture());
}

#[test]
fn tight_filters() {
    let mut stream = Stream::new(1);
    let pixels = common::noise(16 * 8);
    for bytes in [
        tight::copy(&mut stream, 0, 0, 16, 8, &pixels),
        tight::gradient(&mut stream, 0, 0, 16, 8, &pixels),
        // The same stream again: its history goes on.
        tight::copy(&mut stream, 0, 0, 16, 8, &pixels),
    ]
    .chunks(1)
    .scan(Decoder::new(16, 8).unwrap(), |decoder, bytes| {
        decode(decoder, &update(1, bytes)).unwrap();
        Some(decoder.picture().clone())
    }) {
        for (index, pixel) in pixels.iter().enumerate() {
            assert_eq!(bytes.rgb(index as u16 % 16, index as u16 / 16), Some(*pixel));
        }
    }
}

#[test]
fn tight_palettes_and_fill() {
    let colours = [[1, 2, 3], [4, 5, 6], [7, 8, 9]];
    // Two colours: a bit for each pixel, rows filled up to bytes; 2 bytes are too few to compress.
    let two = tight::palette(None, 0, 0, 9, 1, &colours[..2], &[0b0100_0000, 0b1000_0000]);
    let decoder = picture(&update(1, &[two])).unwrap();
    let row: Vec<_> = (0..9).map(|x| decoder.picture().rgb(x, 0).unwrap()[0]).collect();
    assert_eq!(row, [1, 4, 1, 1, 1, 1, 1, 1, 4]);

    let indices: Vec<u8> = (0..16 * 8).map(|index| index % 3).collect();
    let many = tight::palette(Some(&mut Stream::new(2)), 0, 0, 16, 8, &colours, &indices);
    let decoder = picture(&update(1, &[many])).unwrap();
    assert_eq!(decoder.picture().rgb(15, 7), Some(colours[127 % 3]));

    let decoder = picture(&update(1, &[tight::fill(2, 3, 4, 5, [1, 2, 3])])).unwrap();
    assert_eq!(decoder.picture().rgb(5, 7), Some([1, 2, 3]));
    assert_eq!(decoder.picture().rgb(6, 7), Some([0, 0, 0]));
}

#[test]
fn tight_streams_restart() {
    let pixels = common::noise(16 * 8);
    let first = tight::copy(&mut Stream::new(3), 0, 0, 16, 8, &pixels);
    let mut again = tight::copy(&mut Stream::new(3), 0, 0, 16, 8, &pixels);
    let mut decoder = picture(&update(1, std::slice::from_ref(&first))).unwrap();
    // A new stream without the reset bit is nonsense in the middle of the old one …
    assert!(decode(&mut decoder, &update(1, std::slice::from_ref(&again))).is_err());
    let mut decoder = picture(&update(1, &[first])).unwrap();
    again[12] |= 1 << 3;
    assert!(decode(&mut decoder, &update(1, &[again])).is_ok());
}

#[test]
fn sizes_change() {
    let mut decoder = Decoder::new(16, 8).unwrap();
    let extended =
        [&rect(0, 0, 20, 10, encoding::EXTENDED_DESKTOP_SIZE)[..], &[1, 0, 0, 0], &common::screen(42)].concat();
    let refused = [&rect(1, 3, 0, 0, encoding::EXTENDED_DESKTOP_SIZE)[..], &[0, 0, 0, 0]].concat();
    let bytes = [update(2, &[rect(0, 0, 4, 4, encoding::DESKTOP_SIZE), extended]), update(1, &[refused])].concat();
    let events = decode(&mut decoder, &bytes).unwrap();
    let nothing = Event::Updated { damage: Rect::default(), area: 0 };
    assert_eq!(
        events,
        [
            Event::Resized(Screen { width: 4, height: 4, resizable: None }),
            Event::Resized(Screen { width: 20, height: 10, resizable: Some((42, 9)) }),
            nothing.clone(),
            Event::ResizeRefused { status: 3 },
            nothing
        ]
    );
}

#[test]
fn an_update_without_a_count_ends_with_last_rect() {
    let bytes = update(0xffff, &[raw(0, 0, 1, 1, &[[1, 1, 1]]), rect(0, 0, 0, 0, encoding::LAST_RECT)]);
    let mut decoder = Decoder::new(16, 8).unwrap();
    assert_eq!(decode(&mut decoder, &[bytes, vec![2]].concat()).unwrap().last(), Some(&Event::Bell));
}

#[test]
fn cursors() {
    let mut decoder = Decoder::new(16, 8).unwrap();
    let soft = [&rect(1, 1, 1, 1, encoding::CURSOR_WITH_ALPHA)[..], &[0, 0, 0, 0], &[1, 2, 3, 4]].concat();
    let events = decode(&mut decoder, &update(2, &[cursor(9, 1), soft])).unwrap();
    let (Event::Cursor(hard), Event::Cursor(soft)) = (&events[0], &events[1]) else { panic!("{events:?}") };
    // Only the first and the ninth pixel are in the mask.
    let alphas: Vec<u8> = hard.pixels.iter().skip(3).step_by(4).copied().collect();
    assert_eq!(alphas, [255, 0, 0, 0, 0, 0, 0, 0, 255]);
    assert_eq!((soft.pixels.as_slice(), soft.hot_x), (&[3, 2, 1, 4][..], 1));
}

#[test]
fn what_is_of_no_interest_is_skipped() {
    let colour_map = [&[1, 0, 0, 0, 0, 2][..], &[7; 12]].concat();
    let long = [&[3, 0, 0, 0, 0, 2, 0, 0][..], &[b'x'; 0x20000]].concat();
    let mut decoder = Decoder::new(16, 8).unwrap();
    let events = decode(&mut decoder, &[colour_map, long, vec![2]].concat()).unwrap();
    assert_eq!(events, [Event::CutTextTooLong { length: 0x20000 }, Event::Bell]);
}

#[test]
fn what_is_wrong_is_named() {
    let mut stream = Stream::new(0);
    let mut short = tight::copy(&mut stream, 0, 0, 16, 8, &common::noise(16 * 8));
    short[6..8].copy_from_slice(&7u16.to_be_bytes());
    let mut long = tight::copy(&mut Stream::new(0), 0, 0, 16, 7, &common::noise(16 * 7));
    long[6..8].copy_from_slice(&8u16.to_be_bytes());
    let index = tight::palette(None, 0, 0, 4, 1, &[[0; 3]; 3], &[0, 1, 2, 3]);
    let jpeg = [&rect(0, 0, 1, 1, encoding::TIGHT)[..], &[0x90, 1, 0]].concat();
    let encoded_cursor = [&rect(0, 0, 1, 1, encoding::CURSOR_WITH_ALPHA)[..], &7i32.to_be_bytes()].concat();
    for (bytes, expected) in [
        (vec![9], "message: type 9"),
        (update(1, &[rect(0, 0, 1, 1, 16)]), "encoding 16 was not offered"),
        (update(1, &[rect(15, 0, 2, 1, encoding::RAW)]), "a raw rectangle 2x1+15+0 outside its picture of 16x8"),
        (update(1, &[rect(0, 0xffff, 1, 0xffff, encoding::TIGHT)]), "a Tight rectangle 1x65535+0+65535"),
        (update(1, &[copy_rect(15, 0, 2, 1, 0, 0)]), "a copied rectangle's source"),
        (update(1, &[copy_rect(0, 0, 2, 1, 15, 0)]), "a copied rectangle 2x1+15+0"),
        (update(1, &[rect(0, 0, 16_385, 1, encoding::DESKTOP_SIZE)]), "a picture side of 16385, and at most 16384"),
        (update(1, &[rect(0, 0, 16_384, 16_384, encoding::DESKTOP_SIZE)]), "a picture area"),
        (update(1, &[rect(0, 0, 513, 1, encoding::CURSOR)]), "a cursor side of 513"),
        (update(1, &[encoded_cursor]), "cursor with alpha: encoding 7"),
        (update(1, &[jpeg]), "JPEG"),
        (update(1, &[short]), "goes on after the rectangle's end"),
        (update(1, &[long]), "ends before the rectangle does"),
        (update(1, &[index]), "colour 3 of a palette that has 3"),
    ] {
        let error = picture(&bytes).map(|_| ()).expect_err(expected).to_string();
        assert!(error.contains(expected), "{error:?} does not say {expected:?}");
    }
}

#[test]
fn an_update_cannot_draw_without_end() {
    let mut decoder = Decoder::new(256, 256).unwrap();
    let fills = vec![tight::fill(0, 0, 256, 256, [1; 3]); 33];
    let error = decode(&mut decoder, &update(33, &fills)).unwrap_err();
    assert!(matches!(error, Error::TooLarge { what: "an update area", .. }), "{error}");
}
