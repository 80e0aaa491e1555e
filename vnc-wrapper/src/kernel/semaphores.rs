//! What the end of a process would give back to System V semaphores (SEM_UNDO, semop(2)); no system call tells.

use std::collections::HashMap;
use std::fs;
use std::io;

use super::objects::{Kernel, not_understood};
use super::{namespaces, process};

/// Nobody has to do with more sets.
const MOST_SETS: usize = 1 << 16;
/// Adjustments that are read at once.
const AT_ONCE: u64 = 1024;

/// Sets of semaphores, by number, with how many there are in each.
pub type Sets = HashMap<u32, u64>;

/// The sets of the IPC namespace of process `of`.
///
/// # Errors
/// When the process is gone. A kernel without System V semaphores has none.
pub fn sets(of: u32) -> io::Result<Sets> {
    let text = std::thread::scope(|scope| {
        // The file is that of the reader's namespace, which is a thread's own (setns(2)); it ends with the work.
        let thread = scope.spawn(|| {
            namespaces::join(&process::open(of)?, nix::sched::CloneFlags::CLONE_NEWIPC.bits())?;
            match fs::read_to_string("/proc/sysvipc/sem") {
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(String::new()),
                other => other,
            }
        });
        thread.join().unwrap_or_else(|_| Err(io::Error::other("the work was lost")))
    })?;
    Ok(text.lines().skip(1).filter_map(set).collect())
}

/// A line: key, number, permissions, count and more (proc_sysvipc(5)).
fn set(line: &str) -> Option<(u32, u64)> {
    let mut fields = line.split_whitespace();
    Some((fields.nth(1)?.parse().ok()?, fields.nth(1)?.parse().ok()?))
}

/// Whether the end of process `pid` would change one of these sets.
///
/// # Errors
/// When the process is gone, or the kernel's memory is not understood.
pub fn has_undo(kernel: &Kernel, pid: u32, sets: &Sets) -> io::Result<bool> {
    let task = kernel.task(pid)?;
    let list = kernel.memory().word(task + kernel.offset("task_struct", "sysvsem")?)?;
    if list == 0 {
        return Ok(false);
    }
    let head = list + kernel.offset("sem_undo_list", "list_proc")?;
    let link = kernel.offset("sem_undo", "list_proc")?;
    let (semid, semadj) = (kernel.offset("sem_undo", "semid")?, kernel.offset("sem_undo", "semadj")?);
    let mut next = kernel.memory().word(head)?;
    for _ in 0..MOST_SETS {
        if next == head {
            return Ok(false);
        }
        let undo = next.checked_sub(link).ok_or_else(not_understood)?;
        let bytes = kernel.memory().read(undo + semid, 4)?;
        let number = i32::from_ne_bytes(bytes.try_into().map_err(|_| not_understood())?);
        // A set that was removed has the number -1.
        if let Ok(number) = u32::try_from(number) {
            let count = *sets.get(&number).ok_or_else(not_understood)?;
            // At the end of the structure, or, before Linux 5.16, behind a pointer.
            let from = if semadj == semid + 4 { undo + semadj } else { kernel.memory().word(undo + semadj)? };
            if any(kernel, from, count)? {
                return Ok(true);
            }
        }
        next = kernel.memory().word(next)?;
    }
    Err(not_understood())
}

/// Whether one of `count` numbers of 16 bits is not 0.
fn any(kernel: &Kernel, from: u64, count: u64) -> io::Result<bool> {
    for first in (0..count).step_by(AT_ONCE as usize) {
        let length = (count - first).min(AT_ONCE) * 2;
        if kernel.memory().read(from + first * 2, length as usize)?.iter().any(|b| *b != 0) {
            return Ok(true);
        }
    }
    Ok(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_is_read_from_what_proc_says() {
        assert_eq!(
            set("         0          3   600          1  1000  1000  1000  1000 1700000000 1700000000"),
            Some((3, 1))
        );
        assert_eq!(set("broken"), None);
    }
}
