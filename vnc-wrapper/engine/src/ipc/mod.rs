//! What an ipc namespace holds, as the kernel says it: commands of shmctl(2), semctl(2) and msgctl(2), and their answers.
//!
//! | module | what it holds |
//! | --- | --- |
//! | [`limits`] | the limits of a namespace, and where they are set |
//!
//! Ids in answers are those of the user namespace of who asks.

pub mod limits;

use crate::record::ipc::IpcObject;

/// `IPC_INFO`, the limits (include/uapi/linux/ipc.h).
pub const LIMITS: u64 = 3;
/// `SEM_UNDO`, `GETPID`, `GETALL`, `SETVAL` (include/uapi/linux/sem.h).
pub const SEM_UNDO: i16 = 0x1000;
/// Who operated on a semaphore last.
pub const GETPID: u64 = 11;
/// The values of all semaphores of a set, 16 bits each.
pub const GETALL: u64 = 13;
/// Gives a semaphore a value.
pub const SETVAL: u64 = 16;
/// `SHM_LOCK` (include/uapi/linux/shm.h).
pub const SHM_LOCK: u64 = 11;
/// `MSG_COPY`: a message is looked at by its place, and stays (include/uapi/linux/msg.h).
pub const MSG_COPY: u64 = 0o40_000;
/// `SEMVMX`: the highest value of a semaphore.
pub const HIGHEST: i32 = 32_767;
/// What a user or group that has no number in a namespace is shown as (`DEFAULT_OVERFLOWUID`).
pub const NOBODY: u32 = 65_534;

/// A kind of System V objects.
#[derive(Debug)]
pub struct Kind {
    /// As errors name one.
    pub name: &'static str,
    /// Its call for commands.
    pub control: libc::c_long,
    /// Which argument of that is the command; the next is where the answer goes.
    pub command: usize,
    /// `SHM_INFO` and its kin: how many there are, and the result is the highest index.
    pub info: u64,
    /// How long the answer to `info` is, and where in it that number stands.
    pub count: (usize, usize),
    /// How long the answer to [`LIMITS`] is.
    pub limits: usize,
    /// `SHM_STAT_ANY` and its kin: what is at an index; the result is the identifier.
    pub stat: u64,
    /// How long the answer to that is.
    pub length: usize,
}

/// shmget(2): `struct shm_info`, `struct shminfo64`, `struct shmid64_ds`.
pub const SEGMENTS: Kind = Kind {
    name: "System V shared memory",
    control: libc::SYS_shmctl,
    command: 1,
    info: 14,
    count: (48, 0),
    limits: 72,
    stat: 15,
    length: 112,
};
/// semget(2): `struct seminfo` (`semusz`), `struct semid64_ds`.
pub const SEMAPHORES: Kind = Kind {
    name: "System V semaphores",
    control: libc::SYS_semctl,
    command: 2,
    info: 19,
    count: (40, 28),
    limits: 40,
    stat: 20,
    length: 104,
};
/// msgget(2): `struct msginfo` (`msgpool`), `struct msqid64_ds`.
pub const QUEUES: Kind = Kind {
    name: "System V message queues",
    control: libc::SYS_msgctl,
    command: 1,
    info: 12,
    count: (32, 0),
    limits: 32,
    stat: 13,
    length: 120,
};

impl Kind {
    /// The arguments of a command, without where its answer goes, and which argument that is.
    #[must_use]
    pub fn arguments(&self, identifier: u64, command: u64) -> ([u64; 4], usize) {
        let mut arguments = [identifier, 0, 0, 0];
        arguments[self.command] = command;
        (arguments, self.command + 1)
    }
}

/// How much of all segments is swapped out, in pages: of the answer to `SHM_INFO`.
#[must_use]
pub fn swapped(info: &[u8]) -> u64 {
    word(info, 24)
}

/// What the kernel says of a System V object: `struct ipc64_perm` and what follows it, as on 64-bit processors
/// (include/uapi/asm-generic/shmbuf.h, msgbuf.h; arch/x86/include/uapi/asm/sembuf.h).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stat(pub Vec<u8>);

fn half(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..at + 4).and_then(|bytes| bytes.try_into().ok()).map_or(0, u32::from_ne_bytes)
}

fn word(bytes: &[u8], at: usize) -> u64 {
    bytes.get(at..at + 8).and_then(|bytes| bytes.try_into().ok()).map_or(0, u64::from_ne_bytes)
}

impl Stat {
    /// The record of what every object has.
    #[must_use]
    pub fn object(&self, identifier: i32, namespace: u32) -> IpcObject {
        let number = |at| half(&self.0, at);
        IpcObject {
            identifier,
            key: number(0).cast_signed(),
            namespace,
            user: number(4),
            group: number(8),
            creator_user: number(12),
            creator_group: number(16),
            mode: number(20) & 0o777,
        }
    }

    /// `SHM_DEST` and `SHM_LOCKED`: whether a segment was removed, and whether it is locked.
    #[must_use]
    pub fn marks(&self) -> (bool, bool) {
        let mode = half(&self.0, 20);
        (mode & 0o1000 != 0, mode & 0o2000 != 0)
    }

    /// Bytes of a segment (`shm_segsz`).
    #[must_use]
    pub fn size(&self) -> u64 {
        word(&self.0, 48)
    }

    /// Who made a segment (`shm_cpid`), in the pid namespace of who asks; 0: somebody outside of it, or gone.
    #[must_use]
    pub fn creator(&self) -> u32 {
        half(&self.0, 80)
    }

    /// How often a segment is attached (`shm_nattch`).
    #[must_use]
    pub fn attached(&self) -> u64 {
        word(&self.0, 88)
    }

    /// When a set was operated on last (`sem_otime`).
    #[must_use]
    pub fn operated(&self) -> i64 {
        word(&self.0, 48).cast_signed()
    }

    /// How many semaphores a set has (`sem_nsems`).
    #[must_use]
    pub fn semaphores(&self) -> u64 {
        word(&self.0, 80)
    }

    /// Bytes in a queue (`msg_cbytes`), how many messages (`msg_qnum`), and how many bytes it may hold (`msg_qbytes`).
    #[must_use]
    pub fn held(&self) -> [u64; 3] {
        [72, 80, 88].map(|at| word(&self.0, at))
    }
}

/// An operation of semop(2) (`struct sembuf`).
#[must_use]
pub fn operation(semaphore: u32, change: i16, flags: i16) -> [u8; 6] {
    let mut bytes = [0; 6];
    bytes[..2].copy_from_slice(&(semaphore as u16).to_ne_bytes());
    bytes[2..4].copy_from_slice(&change.to_ne_bytes());
    bytes[4..].copy_from_slice(&flags.to_ne_bytes());
    bytes
}

/// Operations that leave a semaphore's value of 0 as it is and raise what is done to it at the process's end by `by`; what is changed by
/// more than an operation can is changed in parts.
pub fn shift(semaphore: u32, by: i32) -> Vec<[u8; 6]> {
    let mut operations = Vec::new();
    let mut left = by;
    while left != 0 {
        let part = left.clamp(-HIGHEST, HIGHEST);
        // What an operation with SEM_UNDO takes is given back at the end.
        let (first, second) = if part > 0 { (0, SEM_UNDO) } else { (SEM_UNDO, 0) };
        let size = part.unsigned_abs() as i16;
        operations.push(operation(semaphore, size, first));
        operations.push(operation(semaphore, -size, second));
        left -= part;
    }
    operations
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_kernel_says_of_an_object_is_understood() {
        let mut bytes = vec![0; 112];
        for (at, value) in [(0, 0x1234_u32), (4, 1), (8, 2), (12, 3), (16, 4), (20, 0o3640), (80, 77)] {
            bytes[at..at + 4].copy_from_slice(&value.to_ne_bytes());
        }
        for (at, value) in [(48, 5000_u64), (88, 3)] {
            bytes[at..at + 8].copy_from_slice(&value.to_ne_bytes());
        }
        let stat = Stat(bytes);
        let object = stat.object(9, 2);
        assert_eq!((object.identifier, object.key, object.namespace, object.mode), (9, 0x1234, 2, 0o640));
        assert_eq!([object.user, object.group, object.creator_user, object.creator_group], [1, 2, 3, 4]);
        assert_eq!((stat.marks(), stat.size(), stat.creator(), stat.attached()), ((true, true), 5000, 77, 3));
        assert_eq!(Stat(vec![1; 3]).size(), 0);
    }

    #[test]
    fn adjustments_are_made_in_parts_that_cancel() {
        for by in [1, -1, 7, -32_768, 32_767, 65_536] {
            let parts = shift(3, by);
            let read = |bytes: &[u8; 6], at| i16::from_ne_bytes([bytes[at], bytes[at + 1]]);
            let (mut value, mut adjustment) = (0, 0);
            for part in &parts {
                assert_eq!(read(part, 0), 3);
                value += i32::from(read(part, 2));
                assert!((0..=HIGHEST).contains(&value), "{by}");
                if read(part, 4) == SEM_UNDO {
                    adjustment -= i32::from(read(part, 2));
                }
            }
            assert_eq!((value, adjustment), (0, by));
        }
    }
}
