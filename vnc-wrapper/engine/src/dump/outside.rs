//! What a thread cannot be asked because its seccomp filters deny it, and shows from outside. Nothing is guessed: what is not
//! certain stays unanswered, and is refused.

use std::os::unix::fs::MetadataExt;

use super::inside::Answers;
use super::subject::Subject;
use super::thread::Held;
use super::view::View;
use super::{process, thread};
use crate::process::{status::Status, text};
use crate::sys::memory;

/// Where glibc keeps a thread's id, from its thread pointer on (`struct pthread`, nptl/descr.h, x86-64). The kernel clears it at
/// the thread's end.
const TID: u64 = 0x2d0;
/// The most of a file of one number.
const SHORT: u64 = 64;
/// The most of `maps` that is read, in bytes.
const MAPS: u64 = 16 << 20;

/// Answers what thread `tid` was denied.
pub(super) fn of_thread((tid, status): (i32, &Status), held: &Held, asked: &thread::Asked, answers: &mut Answers) {
    if answers.denied(asked.clear_child_tid) {
        let place = held.registers.thread_pointer() + TID;
        let mut there = [0; 4];
        // Its id as the thread itself knows it stands at no other place by chance.
        if memory::read(tid, place, &mut there).is_ok() && status.pids.last() == Some(&i32::from_ne_bytes(there)) {
            answers.give_words(asked.clear_child_tid, 0, &[place]);
        }
    }
    if answers.denied(asked.timer_slack) {
        // It is not among the files of `task`.
        let file = text::read(format!("/proc/{tid}").as_ref(), "timerslack_ns", SHORT).ok();
        if let Some(slack) = file.and_then(|text| std::str::from_utf8(&text).ok()?.trim().parse().ok()) {
            answers.give(asked.timer_slack, slack);
        }
    }
}

/// Answers what a process was denied.
pub(super) fn of_process(subject: &Subject, view: &View, asked: &process::Asked, answers: &mut Answers) {
    if answers.denied(asked.dumpable) {
        // The files of a process that is not dumpable are root's (proc_pid(5)).
        let owner = std::fs::metadata(subject.directory().join("status")).map(|file| file.uid());
        let user = subject.status.uids.effective;
        if let Ok(owner) = owner
            && view.owner(user, 0).0 != 0
        {
            answers.give(asked.dumpable, u64::from(owner == user));
        }
    }
    if answers.denied(asked.brk) {
        let maps = text::read(&subject.directory(), "maps", MAPS).unwrap_or_default();
        let end = std::str::from_utf8(&maps).unwrap_or_default().lines().rfind(|line| line.ends_with("[heap]"));
        let end = end.and_then(|line| u64::from_str_radix(line.split_once(' ')?.0.split_once('-')?.1, 16).ok());
        answers.give(asked.brk, end.unwrap_or(subject.stat.layout.start_brk));
    }
}
