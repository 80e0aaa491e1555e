//! The limits of the session's ipc namespace.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use super::super::Error;
use super::super::sockets::Inside;
use crate::ipc::limits;
use crate::objects::Finding;
use crate::record::Record;
use crate::remote::{self, Call};

/// The record, if they are others than those of a new namespace. `informed`: what IPC_INFO says of each kind; empty: it is not there.
pub(super) fn take(
    inside: &mut Inside<'_, '_>,
    namespace: u32,
    informed: &[Vec<u8>; 3],
    findings: &mut Vec<Finding>,
) -> Result<Option<Record>, Error> {
    if informed.iter().any(Vec::is_empty) {
        return Ok(None);
    }
    let pid = inside.pid;
    let files = inside.ask(pid, inside.tid, |thread| {
        let mut files = Vec::new();
        for file in limits::FILES {
            let path = format!("{}/{file}\0", limits::DIRECTORY);
            let memory = thread.borrow_stack(path.len())?;
            thread.fill(memory, path.as_bytes())?;
            let arguments = [libc::AT_FDCWD as u64, memory, libc::O_CLOEXEC as u64, 0, 0, 0];
            files.push(match thread.open(&Call::new(libc::SYS_openat, arguments)) {
                Ok(number) => Some(thread.copy_descriptor(number)?),
                // It sees no /proc, or the kernel has no such queues.
                Err(remote::Error::Call { .. }) => None,
                Err(error) => return Err(error),
            });
        }
        Ok(files)
    })?;
    if files.iter().all(Option::is_none) {
        let lost = "its first process sees no /proc/sys; they are resumed as those of a new namespace";
        findings.push(Finding {
            what: "the limits of POSIX message queues, and shm_rmid_forced".to_owned(),
            lost: lost.to_owned(),
            blocking: false,
        });
    }
    let read = |file: Option<std::os::fd::OwnedFd>| file.map(|file| number(&File::from(file))).transpose();
    let files: io::Result<Vec<Option<u64>>> = files.into_iter().map(read).collect();
    let files = files.map_err(Error::read(pid, inside.tid, "the limits of its ipc namespace"))?;
    let [segments, semaphores, queues] = informed;
    let mut record = limits::record(namespace, [segments, semaphores, queues], &files);
    let new = limits::of_new(namespace);
    if record.posix.is_empty() {
        record.posix = new.posix.clone();
    }
    Ok((record != new).then(|| record.into()))
}

/// The number in a file, which shows that of the namespace in which it was opened.
fn number(file: &File) -> io::Result<u64> {
    let mut text = [0; 32];
    let read = file.read_at(&mut text, 0)?;
    match limits::parse(&text[..read]).as_deref() {
        Some([number]) => Ok(*number),
        _ => Err(io::Error::new(io::ErrorKind::InvalidData, text[..read].escape_ascii().to_string())),
    }
}
