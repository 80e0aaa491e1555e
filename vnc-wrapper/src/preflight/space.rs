//! Whether the disk has room for a snapshot. A save that filled it would take it away from the session as well.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use freezeframe_protocol::Finding;
use freezeframe_store::usage;
use rustix::fs::{CWD, Mode, OFlags, ioctl_ficlone, openat};

use crate::container::inside;
use crate::container::processes::Process;
use crate::objects::{descriptor, mount};

/// Kept free besides: for the engine's smaller images, for records and for the file system's own tables.
const MARGIN: u64 = 16 << 20;
/// Of what is written, one part in so many is kept free for packing it, which begins while the raw files are still there: a
/// first snapshot packs into 15 to 18 % of its raw bytes (ARCHITECTURE.md).
const PACKED_PART: u64 = 4;

/// A finding when a snapshot of the session, whose writable layer is `layer`, needs more than is free on the disk of
/// `data`. Counted is what the save writes before it is packed: the layer, where the file system cannot share its bytes with a
/// copy; memory whose contents no file has; files in memory (tmpfs); and files and shared memory that are open or mapped
/// and have no name any more, each once.
///
/// # Errors
/// When the layer or the disk cannot be looked at.
pub fn finding(processes: &[Process], layer: &Path, data: &Path) -> io::Result<Option<Finding>> {
    let Some(init) = processes.first() else { return Ok(None) };
    let layer = if shares_copies(data) { 0 } else { usage::bytes_below(layer).map_err(io::Error::other)? };
    let memory: u64 = processes.iter().map(Process::private_bytes).sum();
    let (devices, in_memory) = files_in_memory(init);
    let unlinked: u64 = unlinked(processes, &devices)?.values().sum();
    let disk = rustix::fs::statvfs(data)?;
    let needed = needed(layer + memory + in_memory + unlinked);
    tracing::debug!(layer, memory, in_memory, unlinked, needed, "what a save needs");
    Ok(judge(init, needed, disk.f_bavail.saturating_mul(disk.f_frsize)))
}

/// Bytes that have to be free for a snapshot of that many.
fn needed(written: u64) -> u64 {
    written.saturating_add(written / PACKED_PART).saturating_add(MARGIN)
}

/// Whether copies of files on the disk of `directory` take no room (`FICLONE`, ioctl_ficlonerange(2)): tried with two files
/// that have no names.
fn shares_copies(directory: &Path) -> bool {
    let file = || {
        let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
        Some(fs::File::from(openat(CWD, directory, flags, Mode::RUSR | Mode::WUSR).ok()?))
    };
    let clone = || {
        let (from, to) = (file()?, file()?);
        std::os::unix::fs::FileExt::write_all_at(&from, &[1; 4096], 0).ok()?;
        ioctl_ficlone(&to, &from).ok()
    };
    clone().is_some()
}

fn judge(init: &Process, needed: u64, free: u64) -> Option<Finding> {
    (needed > free).then(|| Finding {
        pid: init.inside,
        application: "the session".to_owned(),
        window: String::new(),
        object: format!(
            "a snapshot needs more than the disk has room for ({} MiB of {} MiB)",
            needed >> 20,
            free >> 20
        ),
        blocking: true,
        remedy: "make room on the disk that holds the data directory, or close what holds large files".to_owned(),
    })
}

/// Devices of the session's file systems that are in memory, and the bytes in them.
fn files_in_memory(init: &Process) -> (HashSet<String>, u64) {
    let all = mount::of(init).into_iter().filter(|m| m.kind == "tmpfs");
    let used = all.filter_map(|mount| {
        let top = inside::open_at(init.outside, &mount.path, OFlags::PATH | OFlags::DIRECTORY).ok()?;
        let device = rustix::fs::fstat(&top).ok()?.st_dev;
        // What is hidden below another mount is looked at where it is not; the session may have moved it meanwhile.
        if name_of(device) != mount.device {
            return None;
        }
        let disk = rustix::fs::fstatvfs(top).ok()?;
        Some((mount.device, disk.f_blocks.saturating_sub(disk.f_bfree).saturating_mul(disk.f_frsize)))
    });
    // The same file system may be mounted several times.
    let used: HashMap<String, u64> = used.collect();
    let bytes = used.values().sum();
    (used.into_keys().collect(), bytes)
}

/// Bytes of files without a name, by device and inode, but for those on `devices`.
fn unlinked(processes: &[Process], devices: &HashSet<String>) -> io::Result<HashMap<(u64, u64), u64>> {
    let mut all = HashMap::new();
    for process in processes {
        let open = descriptor::open(process)?.into_iter().filter_map(|descriptor| descriptor.metadata().cloned());
        for file in open.chain(mapped(process)).filter(|file| file.is_file() && file.nlink() == 0) {
            if !devices.contains(&name_of(file.dev())) {
                all.insert((file.dev(), file.ino()), bytes_of(&file));
            }
        }
    }
    Ok(all)
}

/// A device as proc_pid_mountinfo(5) has it.
fn name_of(device: u64) -> String {
    format!("{}:{}", rustix::fs::major(device), rustix::fs::minor(device))
}

/// Bytes of a file on its disk; holes have none.
fn bytes_of(file: &fs::Metadata) -> u64 {
    file.blocks().saturating_mul(512)
}

/// Files that a process has mapped and that have no name any more. They may be of a descriptor that is closed.
fn mapped(process: &Process) -> impl Iterator<Item = fs::Metadata> {
    let maps = fs::read_to_string(process.proc("maps")).unwrap_or_default();
    let ranges = deleted(&maps).map(str::to_owned).collect::<Vec<_>>();
    let directory = process.proc("map_files");
    // Without power over the machine they cannot be looked at; nor can anything be saved then.
    ranges.into_iter().filter_map(move |range| fs::metadata(directory.join(range)).ok())
}

/// The addresses of mappings of deleted files (proc_pid_maps(5)), as the names in /proc/PID/map_files have them.
fn deleted(maps: &str) -> impl Iterator<Item = &str> {
    maps.lines().filter(|line| line.ends_with(" (deleted)")).filter_map(|line| line.split(' ').next())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn process() -> Process {
        let own = std::process::id();
        Process { outside: own, inside: 1, parent: 0, threads: 1, name: "init".into(), tracer: 0, state: 'S' }
    }

    #[test]
    fn what_does_not_fit_is_told_in_figures() {
        assert_eq!(judge(&process(), 5 << 20, 5 << 20), None);
        let finding = judge(&process(), 6 << 20, 5 << 20).unwrap();
        assert!(finding.blocking && finding.object.contains("(6 MiB of 5 MiB)"), "{finding:?}");
    }

    /// Issue 9, number 9: programs of 500 MiB that share the files of the base are no 500 MiB to write.
    #[test]
    fn issue_9_9_only_what_is_written_is_asked_for() {
        assert_eq!(needed(88 << 20) >> 20, 126);
        let (own, resident) = (process(), fs::read_to_string("/proc/self/statm").unwrap());
        let resident: u64 = resident.split(' ').nth(1).and_then(|n| n.parse().ok()).unwrap();
        let before = own.private_bytes();
        let held = vec![7u8; 32 << 20];
        let after = own.private_bytes();
        assert!(after - before >= held.len() as u64, "{before} {after}");
        // The program itself and its libraries are resident, and pages of files.
        assert!(before < resident * rustix::param::page_size() as u64, "{before} {resident}");
    }

    #[test]
    fn shared_memory_counts_once() {
        let memory = rustix::fs::memfd_create("space-test", rustix::fs::MemfdFlags::CLOEXEC).unwrap();
        let memory = fs::File::from(memory);
        std::os::unix::fs::FileExt::write_all_at(&memory, &[7; 1 << 20], 0).unwrap();
        let metadata = memory.metadata().unwrap();
        let found = unlinked(&[process(), process()], &HashSet::new()).unwrap();
        assert_eq!(found.get(&(metadata.dev(), metadata.ino())), Some(&(1 << 20)));
    }

    #[test]
    fn mappings_of_deleted_files_are_found_by_their_addresses() {
        let maps =
            "7f00-7f10 r--p 00000000 fe:00 12 /usr/lib/libc.so\n7f20-7f30 rw-s 00000000 fe:00 13 /tmp/x (deleted)\n";
        assert_eq!(deleted(maps).collect::<Vec<_>>(), ["7f20-7f30"]);
    }

    #[test]
    fn a_file_without_a_name_counts_once_and_a_mapped_one_too() {
        use std::io::Write;
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&[7; 1 << 20]).unwrap();
        file.sync_all().unwrap();
        let again = file.try_clone().unwrap();
        let metadata = file.metadata().unwrap();
        let key = (metadata.dev(), metadata.ino());
        let found = unlinked(&[process(), process()], &HashSet::new()).unwrap();
        assert!(found[&key] >= 1 << 20, "{found:?}");
        let devices = HashSet::from([name_of(metadata.dev())]);
        assert!(!unlinked(&[process()], &devices).unwrap().contains_key(&key));
        drop((file, again));
        assert!(!unlinked(&[process()], &HashSet::new()).unwrap().contains_key(&key));
    }
}
