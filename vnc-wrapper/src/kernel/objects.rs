//! The kernel's own objects behind descriptors and processes, found in its memory by its own description of its types.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::OnceLock;

use super::btf::Types;
use super::peek::Memory;
use super::process;

/// The structures that are looked into.
const STRUCTURES: [&str; 31] = [
    "task_struct",
    "files_struct",
    "fdtable",
    "file",
    "inode",
    "pid",
    "fsnotify_group",
    "fsnotify_event",
    "inotify_event_info",
    "sysv_sem",
    "sem_undo_list",
    "sem_undo",
    "socket",
    "sock",
    "sk_buff_head",
    "sk_buff",
    "unix_sock",
    "unix_address",
    "list_head",
    "thread_info",
    "signal_struct",
    "restart_block",
    "cred",
    "mm_struct",
    "mm_context_t",
    "landlock_ruleset",
    "inet_sock",
    "ip_mc_socklist",
    "ipv6_pinfo",
    "ipv6_mc_socklist",
    "ip_mreqn",
];
/// `TASK_COMM_LEN` (linux/sched.h).
const NAME: usize = 16;

/// The kernel's memory, and where things are in it.
#[derive(Debug)]
pub struct Kernel {
    memory: Memory,
    types: &'static Types,
}

impl Kernel {
    /// Makes it readable.
    ///
    /// # Errors
    /// When the kernel does not let us, or does not describe its types.
    pub fn open() -> io::Result<Self> {
        // Long to read, and the same for as long as the kernel runs.
        static TYPES: OnceLock<Types> = OnceLock::new();
        let types = match TYPES.get() {
            Some(types) => types,
            None => {
                let types = Types::of_this_kernel(&STRUCTURES)?;
                TYPES.get_or_init(|| types)
            }
        };
        Ok(Self { memory: Memory::open()?, types })
    }

    /// The memory.
    pub fn memory(&self) -> &Memory {
        &self.memory
    }

    /// Where `member` is in `structure`, in bytes.
    ///
    /// # Errors
    /// When this kernel has no such member.
    pub fn offset(&self, structure: &str, member: &str) -> io::Result<u64> {
        self.types.offset(structure, member)
    }

    /// The pointer in that member of the structure at `from`.
    ///
    /// # Errors
    /// When it is not there.
    pub fn follow(&self, from: u64, structure: &str, member: &str) -> io::Result<u64> {
        self.memory.word(from + self.offset(structure, member)?)
    }

    /// Address of the `struct file` behind a descriptor of ours.
    ///
    /// # Errors
    /// When the memory is not understood.
    pub fn file(&self, descriptor: &OwnedFd) -> io::Result<u64> {
        let files = self.follow(self.memory.own_task()?, "task_struct", "files")?;
        let table = self.follow(files, "files_struct", "fdt")?;
        let descriptors = self.follow(table, "fdtable", "fd")?;
        let number = u64::from(descriptor.as_raw_fd().unsigned_abs());
        self.memory.word(descriptors + number * 8)
    }

    /// Address of the `struct task_struct` of the first thread of process `pid`.
    ///
    /// # Errors
    /// When there is no such process, or the memory is not understood.
    pub fn task(&self, pid: u32) -> io::Result<u64> {
        self.behind(&process::open(pid)?, pid)
    }

    /// Address of the `struct task_struct` of the thread `id`; before Linux 6.9 only of a process' first.
    ///
    /// # Errors
    /// When there is no such thread, or the memory is not understood.
    pub fn thread(&self, id: u32) -> io::Result<u64> {
        self.behind(&process::open_thread(id).or_else(|_| process::open(id))?, id)
    }

    /// What a handle on process or thread `pid` is of.
    fn behind(&self, handle: &OwnedFd, pid: u32) -> io::Result<u64> {
        let file = self.file(handle)?;
        // Since Linux 6.9 the `struct pid` is that of the inode (fs/pidfs.c); before, that of the file (kernel/fork.c).
        let own = match self.follow(file, "file", "private_data")? {
            0 => self.follow(self.follow(file, "file", "f_inode")?, "inode", "i_private")?,
            own => own,
        };
        // The first list is that of PIDTYPE_PID; the first link, too.
        let link = self.follow(own, "pid", "tasks")?;
        let task = link.checked_sub(self.offset("task_struct", "pid_links")?).ok_or(io::ErrorKind::NotFound)?;
        // Proves that the kernel's memory was understood.
        let name = self.memory.read(task + self.offset("task_struct", "comm")?, NAME)?;
        let name = name.split(|b| *b == 0).next().unwrap_or_default();
        let known = std::fs::read(format!("/proc/{pid}/comm"))?;
        if known.strip_suffix(b"\n") == Some(name) { Ok(task) } else { Err(not_understood()) }
    }
}

/// The error for memory that holds something else than was thought.
pub fn not_understood() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "the kernel's memory is not understood")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processes_are_found() {
        let kernel = Kernel::open().unwrap();
        let mut child = std::process::Command::new("sleep").arg("1000").spawn().unwrap();
        let (own, childs) = (kernel.task(std::process::id()), kernel.task(child.id()));
        child.kill().unwrap();
        child.wait().unwrap();
        assert_ne!(own.unwrap(), childs.unwrap());
    }
}
