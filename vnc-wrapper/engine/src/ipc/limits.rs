//! The limits of an ipc namespace (proc_sys_kernel(5), mq_overview(7)).

use crate::record::ipc::IpcLimits;

/// Where a process sees the settings of its own namespace.
pub const DIRECTORY: &str = "/proc/sys";
/// Those that only a file shows, below [`DIRECTORY`]; the first is a number of its own, the others are of POSIX queues.
pub const FILES: [&str; 6] = [
    "kernel/shm_rmid_forced",
    "fs/mqueue/queues_max",
    "fs/mqueue/msg_max",
    "fs/mqueue/msgsize_max",
    "fs/mqueue/msg_default",
    "fs/mqueue/msgsize_default",
];

/// What the kernel gives a new namespace (ipc/shm.c, ipc/msg.c, ipc/sem.c, ipc/mqueue.c of Linux 6.18, and since 3.19).
#[must_use]
pub fn of_new(namespace: u32) -> IpcLimits {
    let list = |all: &[u64]| all.to_vec();
    IpcLimits {
        namespace,
        segment: u64::MAX - (1 << 24),
        pages: u64::MAX - (1 << 24),
        segments: 4096,
        forced: false,
        message: 8192,
        queue: 16_384,
        queues: 32_000,
        semaphores: list(&[32_000, 1_024_000_000, 500, 32_000]).try_into().unwrap_or_default(),
        posix: list(&[256, 10, 8192, 10, 8192]).try_into().unwrap_or_default(),
    }
}

/// The limits that IPC_INFO says, and what [`FILES`] say; none for a file that cannot be read.
#[must_use]
pub fn record(namespace: u32, [segments, semaphores, queues]: [&[u8]; 3], files: &[Option<u64>]) -> IpcLimits {
    let word = |at: usize| super::word(segments, at);
    let half = |of: &[u8], at: usize| u64::from(super::half(of, at));
    // `semmsl`, `semmns`, `semopm`, `semmni`.
    let of_sets = [16, 8, 20, 4].map(|at| half(semaphores, at));
    let posix: Option<Vec<u64>> = files.iter().skip(1).copied().collect();
    IpcLimits {
        namespace,
        segment: word(0),
        pages: word(32),
        segments: word(16),
        forced: files.first().copied().flatten() == Some(1),
        message: half(queues, 8),
        queue: half(queues, 12),
        queues: half(queues, 16),
        semaphores: of_sets.to_vec().try_into().unwrap_or_default(),
        posix: posix.unwrap_or_default().try_into().unwrap_or_default(),
    }
}

/// The files below [`DIRECTORY`] and what stands in each, numbers one after another.
#[must_use]
pub fn settings(limits: &IpcLimits) -> Vec<(&'static str, Vec<u64>)> {
    let mut all = vec![
        ("kernel/shmmax", vec![limits.segment]),
        ("kernel/shmall", vec![limits.pages]),
        ("kernel/shmmni", vec![limits.segments]),
        ("kernel/msgmax", vec![limits.message]),
        ("kernel/msgmnb", vec![limits.queue]),
        ("kernel/msgmni", vec![limits.queues]),
        ("kernel/sem", limits.semaphores.to_vec()),
        (FILES[0], vec![limits.forced.into()]),
    ];
    all.extend(FILES[1..].iter().zip(limits.posix.iter()).map(|(file, value)| (*file, vec![*value])));
    all
}

/// The numbers in a file.
#[must_use]
pub fn parse(text: &[u8]) -> Option<Vec<u64>> {
    std::str::from_utf8(text).ok()?.split_ascii_whitespace().map(|number| number.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_limit_has_its_file() {
        let limits = of_new(3);
        let all = settings(&limits);
        assert_eq!(all.len(), 13);
        for (file, _) in &all {
            assert!(std::path::Path::new(DIRECTORY).join(file).exists(), "{file}");
        }
        assert_eq!(parse(b"32000\t1024000000\t500\t32000\n"), Some(limits.semaphores.to_vec()));
        assert_eq!(parse(b"many"), None);
    }
}
