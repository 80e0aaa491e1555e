//! Looks, before anything is stopped, for what cannot be saved.
//!
//! Each finding names the application, its window, the object and a remedy. Nothing in the session is touched.

use std::collections::HashSet;
use std::fs;
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt};

use freezeframe_protocol::{CheckReport, Finding};
use freezeframe_store::manifest::Window;

use crate::container::processes::Process;

/// A program that somebody outside waits for (`sessionctl exec --wait`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waiting {
    /// The command, for people.
    pub command: String,
    /// The process outside that is its parent; 0 before it was started.
    pub parent: u32,
    /// Device and inode of the descriptors of the outside that it was given.
    pub descriptors: Vec<(u64, u64)>,
}

/// Namespaces in which every process has to be together with the session's init, by their names in /proc/PID/ns.
const SHARED_NAMESPACES: [&str; 6] = ["user", "pid_for_children", "ipc", "uts", "time", "time_for_children"];

/// Devices of [`crate::container::plan::DEVICES`] have this major number: memory devices and tty (devices.txt).
const PLAIN_MAJORS: [u32; 2] = [1, 5];
/// Pseudo-terminal slaves (devices.txt).
const PTY_MAJORS: std::ops::RangeInclusive<u32> = 136..=143;

/// Checks `processes`, of which the first is the session's init.
///
/// # Errors
/// When /proc cannot be read for another reason than that a process has ended.
pub fn check(processes: &[Process], windows: &[Window], waiting: &[Waiting]) -> io::Result<CheckReport> {
    let mut report = CheckReport::default();
    let Some(init) = processes.first() else { return Ok(report) };
    let known: HashSet<u32> = processes.iter().map(|p| p.outside).collect();
    for process in processes {
        let mut add = |object: String, remedy: &str| {
            let window = windows.iter().find(|w| w.pid == process.inside);
            report.findings.push(Finding {
                pid: process.inside,
                application: process.name.clone(),
                window: window.map_or_else(String::new, |w| w.title.clone()),
                object,
                blocking: true,
                remedy: remedy.to_owned(),
            });
        };
        let mut tied = Vec::new();
        // The engine saves what descends from init. Its own parent is the wrapper; another's is not a stranger's.
        if process.outside != init.outside && !known.contains(&process.parent) {
            let by = waiting.iter().find(|w| w.parent == process.parent);
            tied.push(Held::Outside(by.map_or_else(|| process.name.clone(), |w| w.command.clone())));
        }
        if process.tracer != 0 {
            let tracer = processes.iter().find(|p| p.outside == process.tracer);
            let by = tracer.map_or_else(|| "a debugger".to_owned(), |t| format!("{} ({})", t.name, t.inside));
            add(format!("it is being traced by {by}"), "detach the debugger (`detach` in gdb), then save");
        }
        for name in SHARED_NAMESPACES {
            let of = |p: &Process| fs::read_link(p.proc("ns").join(name));
            // A process that ends while it is looked at needs no check; init's namespaces are what counts.
            let (Ok(own), Ok(wanted)) = (of(process), of(init)) else { continue };
            if own != wanted && !(name == "pid_for_children" && process.outside == init.outside) {
                let name = name.trim_end_matches("_for_children");
                add(
                    format!("it runs in a {name} namespace of its own (a sandbox)"),
                    "close the application, or start it without its namespace sandbox",
                );
                break;
            }
        }
        tied.extend(descriptors(process, waiting)?);
        tied.sort();
        tied.dedup();
        for object in tied {
            match object {
                Held::Outside(command) => add(
                    format!("it is tied to the outside by `sessionctl exec --wait` ({command})"),
                    "wait until that command has ended, or start it without --wait",
                ),
                Held::Device(path) => add(format!("it has the device {path} open"), "close the application"),
                Held::IoUring => {
                    add("it uses io_uring".to_owned(), "close the application, or switch io_uring off in it");
                }
            }
        }
    }
    report.savable = !report.findings.iter().any(|f| f.blocking);
    Ok(report)
}

/// What a process has open that cannot be saved.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Held {
    Outside(String),
    Device(String),
    IoUring,
}

fn descriptors(process: &Process, waiting: &[Waiting]) -> io::Result<Vec<Held>> {
    let entries = match fs::read_dir(process.proc("fd")) {
        Err(e) if matches!(e.raw_os_error(), Some(libc::ENOENT | libc::ESRCH)) => return Ok(Vec::new()),
        other => other?,
    };
    let mut held = Vec::new();
    for entry in entries.flatten() {
        let (Ok(target), Ok(metadata)) = (fs::read_link(entry.path()), fs::metadata(entry.path())) else { continue };
        let target = target.to_string_lossy().into_owned();
        let identity = (metadata.dev(), metadata.ino());
        let kind = metadata.file_type();
        if let Some(from) = waiting.iter().find(|w| w.descriptors.contains(&identity)) {
            held.push(Held::Outside(from.command.clone()));
        } else if target.contains("[io_uring]") {
            held.push(Held::IoUring);
        } else if (kind.is_char_device() || kind.is_block_device()) && !is_plain(metadata.rdev()) {
            held.push(Held::Device(target));
        }
    }
    Ok(held)
}

fn is_plain(device: u64) -> bool {
    let major = rustix::fs::major(device);
    PLAIN_MAJORS.contains(&major) || PTY_MAJORS.contains(&major)
}
