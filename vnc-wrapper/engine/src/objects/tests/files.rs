use super::*;
use crate::memory::copy::Sink;
use crate::memory::{PAGE, shared};
use crate::record::memory::Origin;
use crate::record::objects::Content;
use crate::sys::descriptor;
use rustix::fs::{MemfdFlags, Mode, OFlags, SealFlags};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;

/// A session whose files are this machine's, with objects by number.
#[derive(Default)]
struct Here(RefCell<BTreeMap<u32, OwnedFd>>);

impl Names for Here {
    fn open(&self, path: &[u8], flags: u32) -> io::Result<OwnedFd> {
        Nowhere.open(path, flags)
    }
    fn object(&self, number: u32, flags: u32) -> io::Result<OwnedFd> {
        descriptor::reopen(self.0.borrow()[&number].as_fd(), flags)
    }
}

fn create(name: &[u8], flags: MemfdFlags) -> io::Result<OwnedFd> {
    Ok(rustix::fs::memfd_create(name, flags)?)
}

#[test]
fn files_are_opened_as_they_were() {
    as_both_users("objects::tests::files::files_are_opened_as_they_were", || {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("a file\n");
        std::fs::write(&path, "0123456789").unwrap();
        let open = |path: &Path, flags: OFlags| rustix::fs::open(path, flags, Mode::empty()).unwrap();
        let world = World::new(|_| {
            let read = open(&path, OFlags::RDONLY | OFlags::CLOEXEC);
            rustix::fs::seek(&read, rustix::fs::SeekFrom::Start(4)).unwrap();
            let append = open(&path, OFlags::RDWR | OFlags::APPEND | OFlags::NONBLOCK | OFlags::SYNC);
            let far = open(&path, OFlags::WRONLY);
            rustix::fs::seek(&far, rustix::fs::SeekFrom::Start(1 << 40)).unwrap();
            let directory = open(place.path(), OFlags::RDONLY | OFlags::DIRECTORY);
            let only = open(&path, OFlags::PATH);
            vec![read, append, far, directory, only]
        });
        let mut given = Vec::new();
        for at in 0..5 {
            let seen = world.seen(at);
            assert_eq!(file::look(&seen), None);
            let record = stored(world.untouched(|| file::take(&seen, 1, Content::Named).unwrap()));
            let made = file::give(&record, &Here::default()).unwrap();
            assert_eq!(descriptor::flags(made.as_fd()).unwrap(), descriptor::flags(seen.copy()).unwrap(), "{at}");
            let stat = rustix::fs::fstat(&made).unwrap();
            assert_eq!((stat.st_dev, stat.st_ino), seen.identity());
            if at < 4 {
                let position = rustix::fs::tell(&made).unwrap();
                assert_eq!(position.cast_signed(), seen.info.position);
            }
            given.push(made);
        }
        let mut text = String::new();
        File::from(given.remove(0)).read_to_string(&mut text).unwrap();
        assert_eq!(text, "456789");
        File::from(given.remove(0)).write_all(b"ab").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"0123456789ab");
    });
}

#[test]
fn a_path_is_not_followed_through_a_link_that_came_later() {
    let place = tempfile::tempdir().unwrap();
    let (path, other) = (place.path().join("a"), place.path().join("b"));
    std::fs::write(&path, "a").unwrap();
    std::fs::write(&other, "b").unwrap();
    let world = World::new(|_| vec![rustix::fs::open(&path, OFlags::RDONLY, Mode::empty()).unwrap()]);
    let record = stored(file::take(&world.seen(0), 1, Content::Named).unwrap());
    std::fs::remove_file(&path).unwrap();
    std::os::unix::fs::symlink(&other, &path).unwrap();
    let error = file::give(&record, &Here::default()).unwrap_err();
    assert!(error.to_string().contains("open"), "{error}");
}

#[test]
fn a_file_without_a_name_has_its_content_with_holes_and_is_one_file() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("gone (deleted)");
    let world = World::new(|_| {
        let mut file = File::create_new(&path).unwrap();
        file.write_all(b"begin").unwrap();
        file.write_all_at(b"end", 1 << 30).unwrap();
        let again = File::open(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        vec![file.into(), again.into()]
    });
    let seen = [world.seen(0), world.seen(1)];
    assert_eq!(file::path(&seen[0]), path.as_os_str().as_bytes());
    let near = place.path().as_os_str().as_bytes();
    let record = stored(unlinked::take(&seen[0], 5, near).unwrap());
    let kept = unlinked::give(&record, &Here::default(), Ok).unwrap();
    world.untouched(|| {
        let into = File::from(kept.try_clone().unwrap());
        shared::read_file(&shared::own_description(seen[0].copy()).unwrap(), &mut Into(&into)).unwrap();
    });
    let found = rustix::fs::fstat(&kept).unwrap();
    // The last page is filled up here, and by a restore only as far as the file is long.
    assert!(found.st_size >= (1 << 30) + 3 && found.st_blocks < 1000 && found.st_nlink == 0, "{found:?}");
    let names = Here::default();
    names.0.borrow_mut().insert(5, kept);
    let [mut writer, reader] = seen.each_ref().map(|seen| {
        let record = stored(file::take(seen, 1, Content::Object { object: 5 }).unwrap());
        File::from(file::give(&record, &names).unwrap())
    });
    assert_eq!(writer.stream_position().unwrap(), 5);
    writer.write_all(b"ning").unwrap();
    let mut text = [0; 9];
    reader.read_exact_at(&mut text, 0).unwrap();
    assert_eq!(&text, b"beginning");
    assert!((&reader).write(b"x").is_err(), "it was opened for reading");
}

#[test]
fn locks_of_a_description_are_taken_again() {
    as_both_users("objects::tests::files::locks_of_a_description_are_taken_again", || {
        let file = tempfile::NamedTempFile::new().unwrap();
        let path = file.path().to_owned();
        let most = i64::MAX.cast_unsigned();
        let world = World::new(|_| {
            let open = || File::options().read(true).write(true).open(&path).unwrap();
            let (whole, shared, bytes) = (open(), open(), open());
            rustix::fs::flock(&shared, rustix::fs::FlockOperation::LockShared).unwrap();
            rustix::fs::flock(&whole, rustix::fs::FlockOperation::LockShared).unwrap();
            descriptor::lock(bytes.as_fd(), true, 10, Some(19)).unwrap();
            descriptor::lock(bytes.as_fd(), false, 100, None).unwrap();
            descriptor::lock(shared.as_fd(), true, 5, Some(5)).unwrap();
            descriptor::lock(whole.as_fd(), false, 7, Some(7)).unwrap();
            vec![whole.into(), shared.into(), bytes.into()]
        });
        let records: Vec<_> = (0..3)
            .map(|at| {
                assert_eq!(file::look(&world.seen(at)), None);
                stored(world.untouched(|| file::take(&world.seen(at), 1, Content::Named).unwrap()))
            })
            .collect();
        assert_eq!(records[2].locks.len(), 2);
        let before: Vec<_> = (0..3).map(|at| world.seen(at).info.locks).collect();
        drop(world);
        let given: Vec<OwnedFd> = records.iter().map(|it| file::give(it, &Here::default()).unwrap()).collect();
        for (given, before) in given.iter().zip(before) {
            let unnumbered = |locks: Vec<fdinfo::Lock>| -> Vec<_> {
                locks.into_iter().map(|lock| fdinfo::Lock { pid: 0, ..lock }).collect()
            };
            let now = fdinfo::read(Path::new("/proc/self"), given.as_raw_fd()).unwrap().locks;
            assert_eq!(unnumbered(now), unnumbered(before));
        }
        let other = File::options().read(true).write(true).open(&path).unwrap();
        let exclusive = rustix::fs::FlockOperation::NonBlockingLockExclusive;
        assert!(rustix::fs::flock(&other, exclusive).is_err());
        let free = |start, last| descriptor::lock(other.as_fd(), true, start, last).is_ok();
        assert!(!free(19, Some(19)) && free(20, Some(99)) && !free(100, Some(most)) && !free(7, Some(7)));
        drop(given);
        until("others have closed what they inherited", || rustix::fs::flock(&other, exclusive).is_ok());
    });
}

#[test]
fn a_lease_that_somebody_waits_for_is_found_before_a_save() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("leased");
    std::fs::write(&path, "").unwrap();
    let world = World::new(|_| {
        let leased = File::open(&path).unwrap();
        descriptor::lease(leased.as_fd(), false).unwrap();
        // It is told by a signal, and need not do anything.
        descriptor::set_signal(leased.as_fd(), libc::SIGURG).unwrap();
        vec![leased.into()]
    });
    assert_eq!(file::look(&world.seen(0)), None);
    let nonblocking = OFlags::WRONLY | OFlags::NONBLOCK;
    let refused = rustix::fs::open(&path, nonblocking, Mode::empty()).unwrap_err();
    assert_eq!(refused, rustix::io::Errno::WOULDBLOCK);
    let finding = file::look(&world.seen(0)).unwrap();
    assert!(finding.blocking && finding.lost.contains("passes in a moment"), "{finding:?}");
}

struct Into<'a>(&'a File);

impl Sink for Into<'_> {
    fn pages(&mut self, address: u64, bytes: &[u8]) -> io::Result<()> {
        self.0.write_all_at(bytes, address)
    }
    fn gone(&mut self, _: std::ops::Range<u64>) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_memfd_has_name_mode_content_and_seals() {
    as_both_users("objects::tests::files::a_memfd_has_name_mode_content_and_seals", || {
        let name = b"a (deleted)\xff";
        let world = World::new(|_| {
            let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
            let mut file = File::from(rustix::fs::memfd_create(&name[..], flags).unwrap());
            file.set_len(1 << 20).unwrap();
            file.write_all_at(b"content", 3 * PAGE).unwrap();
            file.seek(SeekFrom::Start(9)).unwrap();
            rustix::fs::fchmod(&file, Mode::from_raw_mode(0o640)).unwrap();
            rustix::fs::fcntl_add_seals(&file, SealFlags::WRITE | SealFlags::SHRINK | SealFlags::SEAL).unwrap();
            let none = File::from(rustix::fs::memfd_create(c"none", MemfdFlags::CLOEXEC).unwrap());
            let reader = descriptor::reopen(file.as_fd(), 0).unwrap();
            vec![file.into(), reader, none.into()]
        });
        assert!((0..3).all(|at| kind::Kind::of(&world.seen(at)) == kind::Kind::Memfd));
        let (first, second, third) = (world.seen(0), world.seen(1), world.seen(2));
        assert_eq!(first.identity(), second.identity());
        let record = stored(world.untouched(|| memfd::take(&first, 7).unwrap()));
        assert_eq!(record.origin, Origin::Memfd { name: name.to_vec().try_into().unwrap(), flags: 0 });
        assert_eq!((record.size, record.mode), (1 << 20, 0o640));
        let made = memfd::give(&record, create).unwrap();
        let into = File::from(made.try_clone().unwrap());
        world.untouched(|| {
            shared::read_file(&shared::own_description(first.copy()).unwrap(), &mut Into(&into)).unwrap();
        });
        drop(into);
        memfd::give_seals(made.as_fd(), &record).unwrap();
        let names = Here::default();
        names.0.borrow_mut().insert(7, made);
        for seen in [&first, &second] {
            let described = stored(file::take(seen, 1, Content::Object { object: 7 }).unwrap());
            let given = file::give(&described, &names).unwrap();
            assert_eq!(rustix::fs::tell(&given).unwrap().cast_signed(), seen.info.position);
            assert_eq!(descriptor::flags(given.as_fd()).unwrap(), descriptor::flags(seen.copy()).unwrap());
            assert_eq!(rustix::fs::fcntl_get_seals(&given).unwrap().bits(), record.seals);
            let mut text = [0; 7];
            File::from(given).read_exact_at(&mut text, 3 * PAGE).unwrap();
            assert_eq!(&text, b"content");
        }
        let none = stored(memfd::take(&third, 8).unwrap());
        assert_eq!(none.seals, SealFlags::SEAL.bits());
        let made = memfd::give(&none, create).unwrap();
        memfd::give_seals(made.as_fd(), &none).unwrap();
        assert!(rustix::fs::fcntl_add_seals(&made, SealFlags::GROW).is_err());
    });
}
