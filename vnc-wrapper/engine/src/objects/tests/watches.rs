use super::super::{inotify, process};
use super::*;
use crate::process::fdinfo::Watch;
use crate::sys::{descriptor, watch};
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;

const CREATE: u32 = libc::IN_CREATE;

/// Makes an instance with its watches.
fn given(record: &crate::record::objects::Inotify) -> OwnedFd {
    let made = inotify::give(record).unwrap();
    inotify::give_watches(made.as_fd(), record, &Nowhere).unwrap();
    made
}

/// The path of what is watched, in one directory or the directory that it is.
fn found(place: &Path) -> impl Fn(&Watch) -> Option<Vec<u8>> + '_ {
    move |watch| {
        let all = std::fs::read_dir(place).unwrap().map(|entry| entry.unwrap().path());
        let mut all = all.chain([place.to_owned()]);
        let path = all.find(|path| path.symlink_metadata().is_ok_and(|found| found.ino() == watch.inode))?;
        Some(path.as_os_str().as_bytes().to_vec())
    }
}

/// What was read: number, mask and name of each event.
fn events(instance: &OwnedFd) -> Vec<(u32, u32, Vec<u8>)> {
    nonblocking(instance.as_fd());
    let mut all = Vec::new();
    for bytes in reads(instance.as_fd()).0 {
        let mut rest = &bytes[..];
        while let Some((head, behind)) = rest.split_first_chunk::<16>() {
            let word = |at: usize| u32::from_ne_bytes(head[at..at + 4].try_into().unwrap());
            let (name, next) = behind.split_at(word(12) as usize);
            all.push((word(0), word(4), name.iter().copied().take_while(|byte| *byte != 0).collect()));
            rest = next;
        }
    }
    all
}

#[test]
fn an_instance_has_its_watches_under_their_numbers() {
    as_both_users("objects::tests::watches::an_instance_has_its_watches_under_their_numbers", || {
        let place = tempfile::tempdir().unwrap();
        let (file, link) = (place.path().join("file"), place.path().join("link"));
        std::fs::write(&file, "").unwrap();
        std::os::unix::fs::symlink("file", &link).unwrap();
        let world = World::new(|_| {
            let instance = watch::inotify().unwrap();
            let add = |path: &Path, mask| watch::add(instance.as_fd(), path.as_os_str().as_bytes(), mask).unwrap();
            for _ in 0..40 {
                let number = add(Path::new("/"), CREATE);
                watch::remove(instance.as_fd(), number).unwrap();
            }
            assert_eq!(add(place.path(), CREATE | libc::IN_EXCL_UNLINK), 41);
            let between = add(Path::new("/"), CREATE);
            assert_eq!(add(&file, libc::IN_MODIFY | libc::IN_ONESHOT), 43);
            assert_eq!(add(&link, libc::IN_DELETE_SELF | libc::IN_ATTRIB | libc::IN_DONT_FOLLOW), 44);
            watch::remove(instance.as_fd(), between).unwrap();
            reads(instance.as_fd());
            vec![instance]
        });
        let seen = world.seen(0);
        let record = stored(world.untouched(|| inotify::take(&seen, 1, found(place.path())).unwrap()));
        let numbers: Vec<u32> = record.watches.iter().map(|watch| watch.number).collect();
        assert_eq!(numbers, [41, 43, 44]);
        let made = given(&record);
        assert_eq!(descriptor::flags(made.as_fd()).unwrap(), descriptor::flags(seen.copy()).unwrap());
        assert_eq!(ready(&made), 0);
        let theirs = seen.copy().try_clone_to_owned().unwrap();
        std::fs::write(place.path().join("new"), "").unwrap();
        std::fs::write(&file, "text").unwrap();
        std::fs::remove_file(&link).unwrap();
        let ours = events(&made);
        assert_eq!(ours, events(&theirs));
        assert!(ours.contains(&(41, CREATE, b"new".to_vec())), "{ours:?}");
        assert!(ours.contains(&(43, libc::IN_MODIFY, vec![])), "{ours:?}");
        assert!(ours.contains(&(44, libc::IN_DELETE_SELF, vec![])), "{ours:?}");
    });
}

#[test]
fn many_numbers_between_watches_are_counted_through() {
    let place = tempfile::tempdir().unwrap();
    let record = crate::record::objects::Inotify {
        watches: vec![crate::record::objects::InotifyWatch {
            number: 20_000,
            mask: CREATE,
            path: place.path().as_os_str().as_bytes().to_vec().try_into().unwrap(),
        }]
        .try_into()
        .unwrap(),
        ..Default::default()
    };
    let made = given(&record);
    std::fs::write(place.path().join("a"), "").unwrap();
    assert_eq!(events(&made), [(20_000, CREATE, b"a".to_vec())]);
}

#[test]
fn events_that_wait_and_watches_without_a_name_are_found_before_a_save() {
    let place = tempfile::tempdir().unwrap();
    let file = place.path().join("file");
    std::fs::write(&file, "").unwrap();
    let world = World::new(|_| {
        let all = [&file, &file].map(|path| {
            let instance = watch::inotify().unwrap();
            watch::add(instance.as_fd(), path.as_os_str().as_bytes(), libc::IN_MODIFY).unwrap();
            instance
        });
        std::fs::write(&file, "text").unwrap();
        reads(all[1].as_fd());
        all.into()
    });
    let look = |at| inotify::look(&world.seen(at), found(place.path())).unwrap();
    assert!(look(0).is_some_and(|finding| finding.blocking && finding.lost.contains("passes in a moment")));
    assert_eq!(look(1), None);
    // Kept open, so that the watch stays.
    let open = std::fs::File::open(&file).unwrap();
    std::fs::remove_file(&file).unwrap();
    assert!(
        look(1).is_some_and(|finding| finding.blocking && finding.lost.contains("no name of what watch 1 watches"))
    );
    drop(open);
}

#[test]
fn a_pidfd_stands_for_the_same_process() {
    as_both_users("objects::tests::watches::a_pidfd_stands_for_the_same_process", || {
        let world = World::new(|_| {
            let own = std::process::id() as i32;
            let process = pidfd::open(own).unwrap();
            nonblocking(process.as_fd());
            // Linux 6.9.
            let thread = pidfd::open_thread(own).unwrap_or_else(|_| pidfd::open(own).unwrap());
            vec![process, thread, pidfd::ended(false).unwrap()]
        });
        for at in 0..3 {
            let seen = world.seen(at);
            assert_eq!(kind::Kind::of(&seen), kind::Kind::Process);
            assert_eq!(process::look(&seen, |pid| pid == world.guest.pid), None);
            let record = stored(world.untouched(|| process::take(&seen, 1).unwrap()));
            assert_eq!(record.pid, (at < 2).then_some(world.guest.pid as u32));
            let made = process::give(&record, process::open).unwrap();
            assert_eq!(descriptor::flags(made.as_fd()).unwrap(), descriptor::flags(seen.copy()).unwrap());
            assert_eq!(ready(&made), ready(seen.copy()));
            let info = fdinfo::read(Path::new("/proc/self"), made.as_raw_fd()).unwrap();
            assert_eq!(info.kind, seen.info.kind);
        }
        let finding = process::look(&world.seen(0), |_| false).unwrap();
        assert!(finding.blocking && finding.lost.contains("outside of the session"));
    });
}
