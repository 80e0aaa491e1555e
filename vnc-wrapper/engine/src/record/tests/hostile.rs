//! Bytes that were damaged, cut short or forged.

use std::cell::Cell;
use std::io::{Cursor, Read};

use proptest::collection::vec;
use proptest::prelude::*;

use super::super::frame::{self, END, FRAME, Frame, HEADER, INDEX, REGION};
use super::super::{Error, Item, Owner, Pages, Reader, Record, check};
use super::stream;

/// A source that remembers the largest buffer it was given.
struct Watched<'a>(&'a [u8], &'a Cell<usize>);

impl Read for Watched<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        self.1.set(self.1.get().max(buffer.len()));
        self.0.read(buffer)
    }
}

/// Reads all, and shows how large a buffer was made.
fn read(bytes: &[u8]) -> (Result<Vec<Item>, Error>, usize) {
    let largest = Cell::new(0);
    let result = Reader::begin(Watched(bytes, &largest)).and_then(|mut reader| {
        let mut items = Vec::new();
        while let Some(item) = reader.next()? {
            items.push(item);
        }
        Ok(items)
    });
    (result, largest.get())
}

/// A stream of one frame with a right checksum.
fn framed(number: u16, version: u16, length: u32, payload: &[u8]) -> Vec<u8> {
    let kind = frame::Kind { number, version, ..END };
    let frame = Frame::new(HEADER as u64, kind, length, payload);
    [&frame::header(0)[..], &frame.bytes(), payload].concat()
}

#[test]
fn a_stream_cut_at_any_length_is_refused() {
    let whole = stream();
    for length in 0..whole.len() {
        assert!(read(&whole[..length]).0.is_err(), "{length} of {} bytes", whole.len());
        assert!(Pages::open(Cursor::new(&whole[..length])).is_err(), "{length} of {} bytes", whole.len());
    }
    assert!(read(&whole).0.is_ok());
    assert!(read(&[&whole[..], &[0]].concat()).0.is_err(), "something follows");
}

#[test]
fn every_changed_byte_is_found() {
    let mut broken = stream();
    for at in 0..broken.len() {
        let was = broken[at];
        broken[at] ^= 1 << (at % 8);
        let (result, largest) = read(&broken);
        assert!(result.is_err(), "byte {at}");
        assert!(largest <= 32 << 20, "byte {at}: room for {largest} bytes");
        let page = Pages::open(Cursor::new(&broken)).and_then(|mut pages| pages.page(Owner::Space(1), 4));
        assert!(page.as_ref().is_err() || page.as_ref().is_ok_and(|page| *page == Some([4; 4096])), "byte {at}");
        broken[at] = was;
    }
}

#[test]
fn frames_that_are_doubled_exchanged_or_left_out_are_found() {
    let whole = stream();
    let length = |at: usize| FRAME + u32::from_le_bytes(whole[at + 4..at + 8].try_into().unwrap()) as usize;
    let (first, second) = (HEADER, HEADER + length(HEADER));
    let third = second + length(second);
    let parts = [&whole[..first], &whole[first..second], &whole[second..third], &whole[third..]];
    for order in [&[0, 1, 1, 2, 3][..], &[0, 2, 1, 3], &[0, 2, 3], &[0, 3]] {
        let changed: Vec<u8> = order.iter().flat_map(|part| parts[*part]).copied().collect();
        assert!(read(&changed).0.is_err(), "{order:?}");
    }
}

#[test]
fn a_length_above_its_bound_is_refused_before_room_is_made() {
    for kind in Record::KINDS.iter().chain(&[REGION, INDEX, END]) {
        for length in [kind.most + 1, u32::MAX] {
            let (result, largest) = read(&framed(kind.number, 1, length, &[]));
            let error = result.unwrap_err();
            assert!(error.to_string().contains(&format!("at most {} may be", kind.most)), "{error}");
            assert_eq!(largest, HEADER, "{}", kind.name);
        }
    }
}

#[test]
fn what_a_later_release_wrote_is_named() {
    let shown = |bytes: &[u8]| match read(bytes).0.unwrap_err() {
        error @ Error::TooNew { .. } => error.to_string(),
        other => panic!("{other}"),
    };
    let later = "which this release does not know; resume it with a later release of Freezeframe";
    assert_eq!(
        shown(&framed(700, 1, 0, &[])),
        format!("process content holds records of kind 700 (at byte 36), {later}")
    );
    assert_eq!(
        shown(&framed(1, 4, 0, &[])),
        format!("process content holds version 4 of a process (at byte 36), {later}")
    );
    assert_eq!(shown(&frame::header(1 << 9)), format!("process content holds the engine's feature 9, {later}"));
    assert!(matches!(read(&[0; 100]).0, Err(Error::Foreign)));
    assert!(matches!(read(&framed(1, 0, 0, &[])).0, Err(Error::Damaged { .. })));
}

#[test]
fn kinds_have_different_numbers_and_a_bound() {
    let mut numbers: Vec<_> = Record::KINDS.iter().chain(&[REGION, INDEX, END]).map(|kind| kind.number).collect();
    numbers.sort_unstable();
    numbers.dedup();
    assert_eq!(numbers.len(), Record::KINDS.len() + 3);
    assert!(Record::KINDS.iter().all(|kind| kind.most <= 32 << 20 && kind.version >= 1));
}

proptest! {
    #[test]
    fn random_bytes_are_refused(bytes in vec(any::<u8>(), 0..400)) {
        prop_assert!(read(&bytes).0.is_err());
        prop_assert!(read(&[&frame::header(0)[..], &bytes].concat()).0.is_err());
        prop_assert!(Pages::open(Cursor::new(&bytes)).is_err());
    }

    /// A forger makes right checksums too.
    #[test]
    fn random_payloads_with_right_checksums_never_panic(number in 0usize..22, payload in vec(prop_oneof![Just(0u8), Just(1), any::<u8>()], 0..200)) {
        let kinds = [Record::KINDS, &[REGION, INDEX, END]].concat();
        let kind = kinds[number % kinds.len()];
        let (result, largest) = read(&framed(kind.number, kind.version, payload.len() as u32, &payload));
        prop_assert!(result.is_err(), "without an end");
        prop_assert!(largest <= 1 << 20, "room for {} bytes", largest);
        if let Ok(record) = Record::take(kind.number, kind.version, &payload) {
            // Only the shortest form of each number is taken, so there is one form of each record.
            let mut again = Vec::new();
            record.put(&mut again);
            prop_assert_eq!(again, payload);
        }
    }

    #[test]
    fn records_with_a_forged_byte_never_panic(entropy in vec(any::<u8>(), 0..1000), at in any::<usize>(), byte in any::<u8>()) {
        let mut dice = super::super::testing::Dice(entropy.into_iter());
        for record in super::sound().into_iter().chain(Record::samples(&mut dice)) {
            let mut payload = Vec::new();
            record.put(&mut payload);
            let length = payload.len();
            payload[at % length] = byte;
            if let Ok(forged) = Record::take(record.kind().number, 1, &payload) {
                let mut records = super::sound();
                records.push(forged);
                let _ = check::check(&records, []);
            }
        }
    }

    #[test]
    fn the_check_never_panics(entropy in vec(any::<u8>(), 0..2000)) {
        let mut dice = super::super::testing::Dice(entropy.into_iter());
        let mut records = Record::samples(&mut dice);
        records.extend(Record::samples(&mut dice));
        let _ = check::check(&records, []);
        for record in super::super::tests::sound().into_iter().chain(records) {
            let _ = check::check(&[record], [(Owner::Space(1), &[super::run(u64::MAX, 2)][..])]);
        }
    }
}
