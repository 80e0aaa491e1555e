//! What is written comes back.

use std::io::Cursor;

use proptest::collection::vec;
use proptest::prelude::*;

use super::super::testing::Dice;
use super::super::wire::{Codec, Decoder, fields};
use super::super::{Error, Item, Owner, Pages, Reader, Record, Writer, features};
use super::{bytes, pages, run, sound, stream};
use crate::record::process::Thread;
use crate::record::rights::Filter;

proptest! {
    #[test]
    fn each_kind_of_record_comes_back(entropy in vec(any::<u8>(), 0..3000)) {
        let records = Record::samples(&mut Dice(entropy.into_iter()));
        prop_assert_eq!(records.len(), Record::KINDS.len());
        for record in &records {
            let mut payload = Vec::new();
            record.put(&mut payload);
            let kind = record.kind();
            prop_assert_eq!(&Record::take(kind.number, kind.version, &payload).unwrap(), record);
            for length in 0..payload.len() {
                prop_assert!(Record::take(kind.number, kind.version, &payload[..length]).is_err(), "{length} of {record:?}");
            }
            payload.push(0);
            prop_assert!(Record::take(kind.number, kind.version, &payload).is_err());
        }
        let mut writer = Writer::begin(Vec::new(), 0).unwrap();
        records.iter().for_each(|record| writer.record(record).unwrap());
        let stream = writer.finish().unwrap();
        let mut reader = Reader::begin(&stream[..]).unwrap();
        for record in records {
            prop_assert_eq!(reader.next().unwrap(), Some(Item::Record(record)));
        }
        prop_assert_eq!(reader.next().unwrap(), None);
    }

    #[test]
    fn any_page_is_found_without_a_walk(gaps in vec((0u64..4, 1u32..4), 1..40), wanted in 0u64..300) {
        let mut writer = Writer::begin(Vec::new(), 0).unwrap();
        let (mut at, mut held) = (0, Vec::new());
        let runs: Vec<_> = gaps.iter().map(|(gap, count)| {
            let first = at + gap;
            at = first + u64::from(*count);
            held.extend(first..at);
            run(first, *count)
        }).collect();
        // Several regions, the later pages first.
        for runs in runs.chunks(7).rev() {
            let content: Vec<u8> = runs.iter().flat_map(|run| run.first..run.first + u64::from(run.count)).map(|n| n.to_le_bytes()[0]).collect();
            writer.region(Owner::Space(3), runs, &pages(&content)).unwrap();
            writer.region(Owner::Object(3), &[run(runs[0].first, 1)], &pages(&[255])).unwrap();
        }
        let mut found = Pages::open(Cursor::new(writer.finish().unwrap())).unwrap();
        let expected = held.contains(&wanted).then(|| [wanted.to_le_bytes()[0]; 4096]);
        prop_assert_eq!(found.page(Owner::Space(3), wanted).unwrap(), expected);
        prop_assert_eq!(found.page(Owner::Space(2), wanted).unwrap(), None);
        prop_assert_eq!(found.page(Owner::Space(3), u64::MAX).unwrap(), None);
    }
}

#[test]
fn a_stream_comes_back_in_its_order_and_its_pages_are_aligned() {
    let stream = stream();
    let mut reader = Reader::begin(&stream[..]).unwrap();
    assert_eq!(reader.features(), features::X86_64);
    let (mut records, mut regions) = (Vec::new(), Vec::new());
    while let Some(item) = reader.next().unwrap() {
        match item {
            Item::Record(record) => records.push(record),
            Item::Region(region) => regions.push((region.owner(), region.runs().to_vec(), region.pages().to_vec())),
        }
    }
    assert_eq!(records, sound());
    assert_eq!(regions[0], (Owner::Object(1), vec![run(0, 1)], pages(&[9])));
    assert_eq!(regions[1], (Owner::Space(1), vec![run(1, 1), run(4, 1)], pages(&[1, 4])));
    assert!(stream.chunks(4096).any(|page| page == [9; 4096]));
}

fields! {
    /// A record of two versions.
    struct Grown {
        /// Of the first.
        pub old: u32,
        /// Of the second.
        @since 2 pub new: Option<u64>,
    }
}

#[test]
fn an_earlier_version_is_read_without_its_later_fields() {
    let whole = Grown { old: 7, new: Some(8) };
    let mut payload = Vec::new();
    whole.put(&mut payload);
    assert_eq!(Grown::take(&mut Decoder::new(&payload, 2)), Ok(whole));
    assert_eq!(Grown::take(&mut Decoder::new(&payload[..1], 1)), Ok(Grown { old: 7, new: None }));
    assert_eq!(Grown::take(&mut Decoder::new(&payload[..1], 2)), Err("new: it ends too early".into()));
}

#[test]
fn what_no_reader_takes_is_not_written() {
    let mut writer = Writer::begin(std::io::sink(), 0).unwrap();
    let too_many = std::array::from_fn::<_, 257, _>(|n| run(2 * n as u64, 1));
    for (runs, content) in [
        (&[run(5, 1), run(5, 1)][..], pages(&[1, 2])),
        (&[run(5, 2)], pages(&[1])),
        (&[run(5, 1)], vec![0; 100]),
        (&[run(u64::MAX, 1)], pages(&[1])),
        (&[run(5, 0)], Vec::new()),
        (&[], Vec::new()),
        (&too_many, pages(&[0; 257])),
    ] {
        let error = writer.region(Owner::Space(1), runs, &content).unwrap_err();
        assert!(matches!(error, Error::Refused { .. }), "{error}");
    }
    writer.region(Owner::Space(1), &[run(5, 1), run(9, 1)], &pages(&[1, 2])).unwrap();
    writer.region(Owner::Space(1), &[run(7, 1)], &pages(&[1])).unwrap();
    let error = writer.finish().unwrap_err();
    assert!(error.to_string().contains("overlap at page 7"), "{error}");

    let mut writer = Writer::begin(std::io::sink(), 0).unwrap();
    let signals = vec![bytes([0; 128]); 65_536];
    writer.record(&Thread { signals: signals.try_into().unwrap(), ..Thread::default() }.into()).unwrap();
    for _ in 0..16_384 {
        writer.record(&Filter::default().into()).unwrap();
    }
    let error = writer.record(&Filter::default().into()).unwrap_err();
    assert!(error.to_string().contains("more than 16384 of them"), "{error}");
}
