//! Whether the disk has room for a snapshot. A save that filled it would take it away from the session as well.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use freezeframe_protocol::Finding;
use freezeframe_store::usage;

use crate::container::processes::Process;
use crate::objects::{descriptor, mount};

/// Kept free besides: for what the session writes meanwhile, for metadata, for the engine's smaller images.
const MARGIN: u64 = 128 << 20;

/// A finding when a snapshot of the session, whose writable layer is `layer`, may need more than is free on the disk of
/// `data`. Counted is what is written before anything is compressed or found to be known already: files, memory, files in
/// memory (tmpfs), and files that are open or mapped and have no name any more.
///
/// # Errors
/// When the layer or the disk cannot be looked at.
pub fn finding(processes: &[Process], layer: &Path, data: &Path) -> io::Result<Option<Finding>> {
    let Some(init) = processes.first() else { return Ok(None) };
    let layer = usage::bytes_below(layer).map_err(io::Error::other)?;
    let memory: u64 = processes.iter().map(Process::resident_bytes).sum();
    let (devices, in_memory) = files_in_memory(init);
    let unlinked: u64 = unlinked(processes, &devices)?.values().sum();
    let disk = rustix::fs::statvfs(data)?;
    let needed = layer + memory + in_memory + unlinked + MARGIN;
    Ok(judge(init, needed, disk.f_bavail.saturating_mul(disk.f_frsize)))
}

fn judge(init: &Process, needed: u64, free: u64) -> Option<Finding> {
    (needed > free).then(|| Finding {
        pid: init.inside,
        application: "the session".to_owned(),
        window: String::new(),
        object: format!("a snapshot may need more than the disk has room for ({} of {} MiB)", needed >> 20, free >> 20),
        blocking: true,
        remedy: "make room on the disk that holds the data directory, or close what holds large files".to_owned(),
    })
}

/// Devices of the session's file systems that are in memory, and the bytes in them.
fn files_in_memory(init: &Process) -> (HashSet<String>, u64) {
    let all = mount::of(init).into_iter().filter(|m| m.kind == "tmpfs");
    let used = all.filter_map(|mount| {
        // As the session sees it: the path is the session's own.
        let path = init.proc("root").join(mount.path.trim_start_matches('/'));
        let disk = rustix::fs::statvfs(path).ok()?;
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
            let device = format!("{}:{}", rustix::fs::major(file.dev()), rustix::fs::minor(file.dev()));
            if !devices.contains(&device) {
                all.insert((file.dev(), file.ino()), bytes_of(&file));
            }
        }
    }
    Ok(all)
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
        assert!(finding.blocking && finding.object.contains("(6 of 5 MiB)"), "{finding:?}");
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
        let device = format!("{}:{}", rustix::fs::major(metadata.dev()), rustix::fs::minor(metadata.dev()));
        assert!(!unlinked(&[process()], &HashSet::from([device])).unwrap().contains_key(&key));
        drop((file, again));
        assert!(!unlinked(&[process()], &HashSet::new()).unwrap().contains_key(&key));
    }
}
