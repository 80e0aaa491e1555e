//! Guests with files: watched, without a name, locked.

use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::{go, judged, ready};
use crate::sys::inside::Words;
use crate::sys::watch;

/// Waits without a file of its own until it may go on.
fn rest(words: Words) {
    ready(words);
    super::wait_for_go(words);
    assert!(go(words));
}

/// Number, mask and name of each event that waits.
fn events(instance: BorrowedFd<'_>) -> Vec<(u32, u32, String)> {
    let mut all = Vec::new();
    let mut room = [0; 4096];
    while rustix::io::ioctl_fionread(instance).unwrap() > 0 {
        let read = rustix::io::read(instance, &mut room).unwrap();
        let mut rest = &room[..read];
        while let Some((head, behind)) = rest.split_first_chunk::<16>() {
            let word = |at: usize| u32::from_ne_bytes(head[at..at + 4].try_into().unwrap());
            let (name, next) = behind.split_at(word(12) as usize);
            let name: Vec<u8> = name.iter().copied().take_while(|byte| *byte != 0).collect();
            all.push((word(0), word(4), String::from_utf8(name).unwrap()));
            rest = next;
        }
    }
    all
}

/// Watches a directory that was moved since, a file and a link in it, and one that is watched for being opened and read, which a save
/// and a restore do themselves.
pub(crate) fn watches(words: Words, directory: &Path) -> i32 {
    let (was, is, read) = (directory.join("was"), directory.join("is"), directory.join("read"));
    std::fs::create_dir(&was).unwrap();
    std::fs::create_dir(&read).unwrap();
    std::fs::write(was.join("file"), "").unwrap();
    std::fs::write(read.join("file"), "").unwrap();
    std::os::unix::fs::symlink("nowhere", was.join("link")).unwrap();
    let opened = [was.join("file"), read.join("file")].map(|path| File::open(path).unwrap());
    let instance = watch::inotify().unwrap();
    let instance = instance.as_fd();
    let add = |path: &Path, mask| watch::add(instance, path.as_os_str().as_bytes(), mask).unwrap();
    for _ in 0..4 {
        let number = add(&was, libc::IN_CREATE);
        watch::remove(instance, number).unwrap();
    }
    let all = add(&read, libc::IN_ALL_EVENTS);
    let between = add(directory, libc::IN_CREATE);
    let once = add(&was.join("file"), libc::IN_OPEN | libc::IN_ONESHOT);
    let link = add(&was.join("link"), libc::IN_DELETE_SELF | libc::IN_DONT_FOLLOW);
    let moved = add(&was, libc::IN_CREATE);
    watch::remove(instance, between).unwrap();
    std::fs::rename(&was, &is).unwrap();
    std::env::set_current_dir(&read).unwrap();
    drop(events(instance));
    rest(words);
    let before = events(instance);
    std::fs::write(is.join("new"), "").unwrap();
    std::fs::remove_file(is.join("link")).unwrap();
    drop(File::open(is.join("file")).unwrap());
    drop(opened);
    let none = String::new;
    let right = [
        (moved, libc::IN_CREATE, "new".to_owned()),
        (link, libc::IN_DELETE_SELF, none()),
        (link, libc::IN_IGNORED, none()),
        (once, libc::IN_OPEN, none()),
        (once, libc::IN_IGNORED, none()),
        (all, libc::IN_CLOSE_NOWRITE, "file".to_owned()),
    ];
    let now = events(instance);
    let mut wrong = Vec::new();
    if !before.is_empty() {
        wrong.push(format!("events that nobody made: {before:?}"));
    }
    if now != right {
        wrong.push(format!("{now:?} instead of {right:?}"));
    }
    judged(&wrong, directory)
}

/// Does not read what it watches.
pub(crate) fn leaves_events(words: Words, directory: &Path) -> i32 {
    let instance = watch::inotify().unwrap();
    watch::add(instance.as_fd(), directory.as_os_str().as_bytes(), libc::IN_CREATE).unwrap();
    std::fs::write(directory.join("new"), "").unwrap();
    rest(words);
    i32::from(events(instance.as_fd()).len() != 1)
}
