use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Write};
use std::ops::Range;
use std::os::unix::fs::FileExt;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use super::copy::Sink;
use super::maps::{self, Kind};
use super::tracker::{Pass, Tracker, Way};
use super::*;
use crate::able::{Able, Feature};
use crate::sys::memory_guest::{ARENA, Guest, Op, PAGES};
use crate::testing::as_both_users;

mod traps;

/// Keeps pages as a save does.
#[derive(Default)]
struct Record(BTreeMap<u64, Vec<u8>>);

impl Sink for Record {
    fn pages(&mut self, address: u64, bytes: &[u8]) -> io::Result<()> {
        let pages = bytes.chunks_exact(PAGE as usize).enumerate();
        self.0.extend(pages.map(|(at, page)| (address + at as u64 * PAGE, page.to_vec())));
        Ok(())
    }

    fn gone(&mut self, range: Range<u64>) -> io::Result<()> {
        self.0.retain(|address, _| !range.contains(address));
        Ok(())
    }
}

fn file() -> File {
    let mut file = tempfile::tempfile().unwrap();
    let bytes: Vec<u8> = (0..(PAGES + 1) * PAGE).map(|at| ((at * 31) >> 3) as u8 | 1).collect();
    file.write_all(&bytes).unwrap();
    file
}

fn tracker(guest: &Guest, way: Way) -> Tracker {
    match way {
        Way::WriteProtect => Tracker::by_write_protection(guest.pid, guest.userfaultfd()),
        Way::SoftDirty => Tracker::by_soft_dirty(guest.pid),
        Way::ReadAll => Tracker::by_reading_all(guest.pid),
    }
    .unwrap()
}

/// Those that this kernel has; the first is the best.
fn ways() -> Vec<Way> {
    let best = Way::best(Able::here());
    let soft = (best != Way::SoftDirty && Able::here().has(Feature::SoftDirty)).then_some(Way::SoftDirty);
    let all = (best != Way::ReadAll).then_some(Way::ReadAll);
    [Some(best), soft, all].into_iter().flatten().collect()
}

/// The record must be the memory of the process, page by page.
fn compare(pid: u32, record: &Record, file: &File) -> Result<(), String> {
    let memory = File::open(format!("/proc/{pid}/mem")).unwrap();
    let pagemap = crate::sys::pagemap::Pagemap::open(pid).unwrap();
    let mut known = 0;
    for mapping in maps::read_text(pid).unwrap() {
        let arena = ARENA..ARENA + PAGES * PAGE;
        let private_file = mapping.kind() == Kind::PrivateFile;
        if !(mapping.kind() == Kind::Anonymous || (private_file && arena.contains(&mapping.range.start))) {
            known += record.0.range(mapping.range.clone()).count();
            continue;
        }
        // Outside of the arena, pages that the kernel says are not there need no look: reservations are large.
        let mut entries = vec![u64::MAX; mapping.pages() as usize];
        if !arena.contains(&mapping.range.start) {
            pagemap.entries(mapping.range.start, &mut entries).unwrap();
        }
        for (address, entry) in mapping.range.clone().step_by(PAGE as usize).zip(entries) {
            if entry == 0 && !record.0.contains_key(&address) {
                continue;
            }
            let (mut now, mut nothing) = ([0; PAGE as usize], [0; PAGE as usize]);
            if private_file {
                file.read_exact_at(&mut nothing, mapping.offset + (address - mapping.range.start)).unwrap();
            }
            let held = record.0.get(&address);
            known += usize::from(held.is_some());
            if memory.read_exact_at(&mut now, address).is_err() {
                if held.is_some() {
                    return Err(format!("{address:#x} is a guard, and held"));
                }
                continue;
            }
            let expected = held.map_or(nothing.as_slice(), Vec::as_slice);
            if now != expected {
                return Err(format!("{address:#x} ({mapping:?}) differs; held: {}", held.is_some()));
            }
        }
    }
    if known == record.0.len() { Ok(()) } else { Err("pages are held that are not mapped".into()) }
}

/// Plays `steps`: a pass after each group, the first ones while the guest works, the last while it stands still; then once more,
/// as the next save does. `racing`: passes do not wait for the guest.
fn play(steps: &[Vec<Op>], way: Way, racing: bool) -> Result<Record, String> {
    let file = file();
    let guest = Guest::start(steps, &file);
    let mut tracker = tracker(&guest, way);
    let mut record = Record::default();
    for (at, _) in steps.iter().enumerate() {
        guest.go();
        let last = at + 1 == steps.len() || at == steps.len() / 2;
        if racing && !last {
            tracker.pass(Pass::Running, &mut record).map_err(|error| error.to_string())?;
        }
        guest.wait();
        if last {
            tracker.pass(Pass::Stopped, &mut record).map_err(|error| format!("{way:?}: {error}"))?;
            compare(guest.pid, &record, &file).map_err(|error| format!("{way:?}, after group {at}: {error}"))?;
        } else if !racing {
            tracker.pass(Pass::Running, &mut record).map_err(|error| error.to_string())?;
        }
    }
    Ok(record)
}

fn ops() -> impl Strategy<Value = Op> {
    let run = || (0..PAGES, 1u64..12);
    prop_oneof![
        1 => run().prop_map(|(at, pages)| Op::Map(at, pages)),
        1 => run().prop_map(|(at, pages)| Op::MapFile(at, pages)),
        1 => run().prop_map(|(at, pages)| Op::Unmap(at, pages)),
        4 => (run(), any::<u8>()).prop_map(|((at, pages), value)| Op::Write(at, pages, value)),
        2 => run().prop_map(|(at, pages)| Op::Touch(at, pages)),
        2 => run().prop_map(|(at, pages)| Op::KernelWrite(at, pages)),
        1 => run().prop_map(|(at, pages)| Op::ReadOnly(at, pages)),
        1 => run().prop_map(|(at, pages)| Op::NoAccess(at, pages)),
        2 => run().prop_map(|(at, pages)| Op::ReadWrite(at, pages)),
        2 => run().prop_map(|(at, pages)| Op::DontNeed(at, pages)),
        1 => run().prop_map(|(at, pages)| Op::Free(at, pages)),
        2 => (run(), 0..PAGES).prop_map(|((at, pages), to)| Op::Move(at, pages, to)),
        1 => run().prop_map(|(at, pages)| Op::Guard(at, pages)),
        1 => run().prop_map(|(at, pages)| Op::Unguard(at, pages)),
    ]
}

#[test]
fn all_passes_together_are_the_memory_of_the_process() {
    as_both_users("memory::tests::all_passes_together_are_the_memory_of_the_process", || {
        for way in ways() {
            let config = Config {
                cases: 8,
                failure_persistence: None,
                max_shrink_iters: 40,
                max_shrink_time: 10_000,
                ..Config::default()
            };
            let groups = proptest::collection::vec(proptest::collection::vec(ops(), 0..12), 2..6);
            TestRunner::new(config)
                .run(&(groups, any::<bool>(), any::<bool>()), |(groups, racing, forks)| {
                    let mut steps = vec![vec![Op::Map(0, PAGES), Op::MapFile(40, 16), Op::Write(0, PAGES, 3)]];
                    steps.extend(groups);
                    if forks {
                        steps[1].push(Op::Fork);
                    }
                    play(&steps, way, racing).map(|_| ()).map_err(TestCaseError::fail)
                })
                .unwrap();
        }
    });
}

#[test]
fn both_ways_of_reading_mappings_agree() {
    if Able::here().has(Feature::ProcmapQuery) {
        let file = file();
        let guest = Guest::start(&[vec![Op::Map(0, 9), Op::MapFile(20, 5), Op::NoAccess(2, 2)]], &file);
        guest.go();
        guest.wait();
        let without_vsyscall = |mut mappings: Vec<maps::Mapping>| {
            mappings.retain(|mapping| mapping.name != b"[vsyscall]");
            mappings
        };
        let text = without_vsyscall(maps::read_text(guest.pid).unwrap());
        assert_eq!(maps::read_by_query(guest.pid).unwrap(), text);
        assert!(text.iter().any(|mapping| mapping.kind() == Kind::PrivateFile && mapping.is_deleted()));
    }
}

#[test]
fn shared_memory_is_found_once_and_read_once() {
    let shared = tempfile::tempfile().unwrap();
    shared.set_len(2 * PAGE).unwrap();
    shared.write_all_at(b"shared", PAGE).unwrap();
    let mapping = |start: u64, offset: u64| maps::Mapping {
        range: start..start + PAGE,
        access: maps::Access { read: true, write: true, execute: false },
        shared: true,
        offset,
        device: (0, 1),
        inode: 7,
        name: b"/memfd:x (deleted)".to_vec(),
    };
    let (first, second) = ([mapping(0x10000, 0), mapping(0x20000, PAGE)], [mapping(0x90000, PAGE)]);
    let objects = shared::find([(1, first.as_slice()), (2, second.as_slice())]);
    assert_eq!(objects.len(), 1);
    assert_eq!(objects[0].views.len(), 3);
    assert!(objects[0].mapped().runs().eq(std::iter::once(0..2 * PAGE)));
}

#[test]
fn a_sparse_file_is_read_without_its_holes_and_its_position_stays() {
    use std::io::{Seek, SeekFrom};
    use std::os::fd::AsFd;
    let mut file = File::from(rustix::fs::memfd_create(c"x", rustix::fs::MemfdFlags::CLOEXEC).unwrap());
    file.set_len(1 << 30).unwrap();
    file.write_all_at(b"first", 5 * PAGE + 7).unwrap();
    file.write_all_at(b"last", (1 << 30) - 2).unwrap();
    file.seek(SeekFrom::Start(77)).unwrap();
    let mut record = Record::default();
    let size = shared::read_file(&shared::own_description(file.as_fd()).unwrap(), &mut record).unwrap();
    assert_eq!((size, file.stream_position().unwrap()), ((1 << 30) + 2, 77));
    assert_eq!(record.0.keys().copied().collect::<Vec<_>>(), [5 * PAGE, (1 << 30) - PAGE, 1 << 30]);
    assert_eq!(&record.0[&(5 * PAGE)][7..12], b"first");
    assert_eq!(&record.0[&(1 << 30)][..3], b"st\0");
}

#[test]
fn the_image_of_a_process_is_its_memory() {
    let file = file();
    let steps = [
        vec![Op::Map(0, 32), Op::Write(0, 8, 5), Op::MapFile(40, 16), Op::Write(40, 3, 5), Op::Write(5, 1, 0)],
        vec![Op::Unmap(2, 2), Op::Write(20, 300, 7)],
    ];
    let guest = Guest::start(&steps, &file);
    let mut tracker = tracker(&guest, Way::best(Able::here()));
    let mut image = image::Image::new();
    guest.go();
    guest.wait();
    tracker.pass(Pass::Running, &mut image).unwrap();
    guest.go();
    guest.wait();
    let passed = tracker.pass(Pass::Stopped, &mut image).unwrap();
    assert_eq!(image.bytes(), passed.held);
    let mappings = maps::read(guest.pid).unwrap();
    let mut record = Record::default();
    for piece in image.regions(mappings.iter().map(image::Part::from)) {
        let mut pages = piece.pages.chunks_exact(PAGE as usize);
        for run in &piece.runs {
            let range = run.first * PAGE..(run.first + u64::from(run.count)) * PAGE;
            assert!(mappings.iter().any(|it| it.range.start <= range.start && range.end <= it.range.end), "{range:?}");
            for address in range.step_by(PAGE as usize) {
                record.0.insert(address, pages.next().unwrap().to_vec());
            }
        }
    }
    compare(guest.pid, &record, &file).unwrap();
}

#[test]
fn a_stopped_process_is_filled_from_a_source() {
    struct Numbers;
    impl fill::Source for Numbers {
        fn read(&self, address: u64, into: &mut [u8]) -> io::Result<()> {
            for (at, page) in into.chunks_exact_mut(PAGE as usize).enumerate() {
                page.fill(((address - ARENA) / PAGE + at as u64) as u8 + 1);
            }
            Ok(())
        }
    }
    use crate::sys::userfaultfd::{Mode, Userfaultfd};
    as_both_users("memory::tests::a_stopped_process_is_filled_from_a_source", || {
        let file = file();
        let guest = Guest::start(&[vec![Op::Map(0, PAGES)]], &file);
        guest.go();
        guest.wait();
        let memory = Userfaultfd::start(guest.userfaultfd(), 0).unwrap();
        memory.register(ARENA..ARENA + PAGES * PAGE, Mode::Missing).unwrap();
        let at = |pages: Range<u64>| ARENA + pages.start * PAGE..ARENA + pages.end * PAGE;
        fill::fill(&memory, &[at(0..2), at(5..60)], &Numbers).unwrap();
        let twice = fill::fill(&memory, &[at(5..6)], &Numbers).unwrap_err();
        assert_eq!(twice.error.raw_os_error(), Some(libc::EEXIST));
        let outside = fill::fill(&memory, &[at(PAGES..PAGES + 1)], &Numbers).unwrap_err();
        assert!(outside.to_string().contains("cannot be put"), "{outside}");
        drop(memory);
        let mut page = [0; PAGE as usize];
        for (number, expected) in [(0, 1), (1, 2), (5, 6), (59, 60)] {
            crate::sys::memory::read(guest.pid.cast_signed(), ARENA + number * PAGE, &mut page).unwrap();
            assert_eq!(page, [expected; PAGE as usize]);
        }
    });
}

proptest! {
    #[test]
    fn hostile_maps_are_refused_or_read_never_more(text in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = maps::parse(&text);
    }

    #[test]
    fn names_of_mappings_are_kept_whole(name in "[a-z /\\\\]{0,20}") {
        let name = format!("/x{name}y");
        let text = format!("1000-3000 r-xp 00001000 fd:01 42                         {name}\n");
        let mappings = maps::parse(text.as_bytes()).unwrap();
        prop_assert_eq!(&mappings[0].name, &name.replace("\\012", "\n").into_bytes());
        prop_assert_eq!(mappings[0].device, (0xfd, 1));
    }
}
