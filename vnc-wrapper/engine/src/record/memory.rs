//! Address spaces, what is mapped in them, and memory that several share.

use super::ipc::Segment;
use super::process::Area;
use super::wire::{Bytes, List, choice, fields};

fields! {
    /// The address space of a process, or of several (CLONE_VM).
    pub struct AddressSpace {
        /// Its number in this snapshot.
        pub id: u32,
        /// The executable (`/proc/PID/exe`), as a path in the session.
        pub executable: Bytes<4096>,
        /// start_code, end_code, start_data, end_data, start_brk, brk, start_stack, arg_start, arg_end, env_start, env_end:
        /// the addresses of `struct prctl_mm_map`, in its order.
        pub bounds: List<u64, 11>,
        /// `/proc/PID/auxv`.
        pub auxiliary: Bytes<1024>,
        /// PR_GET_THP_DISABLE.
        pub huge_pages_off: bool,
        /// PR_GET_MDWE.
        pub deny_write_exec: u32,
    }
}

fields! {
    /// A mapping (`/proc/PID/smaps`, PROCMAP_QUERY).
    pub struct Mapping {
        /// The number of the address space.
        pub space: u32,
        /// The first address; a multiple of 4096, as `end`.
        pub start: u64,
        /// The first address behind it.
        pub end: u64,
        /// PROT_READ, PROT_WRITE and PROT_EXEC.
        pub protection: u32,
        /// MAP_GROWSDOWN, MAP_NORESERVE, MAP_LOCKED and others (mmap(2)).
        pub flags: u32,
        /// MADV_DONTFORK and others, as the two letters each of `VmFlags` in `smaps`, one after another.
        pub advice: Bytes<128>,
        /// What it shows.
        pub backing: Backing,
        /// PR_SET_VMA_ANON_NAME; empty: none.
        pub name: Bytes<80>,
        /// Its guard regions (MADV_GUARD_INSTALL): whole pages within it, in rising order.
        @since 2 pub guards: List<Area, 32_768>,
    }
}

choice! {
    /// What a mapping shows.
    pub enum Backing {
        /// Private memory without a file.
        #[default]
        0 = Anonymous,
        /// A private mapping of a file; the pages that differ from it are in regions of the address space.
        1 = PrivateFile {
            /// The file, as a path in the session.
            path: Bytes<4096>,
            /// Where in the file it begins, in bytes.
            offset: u64,
        },
        /// A shared mapping of a file that is part of the session's files.
        2 = SharedFile {
            /// The file, as a path in the session.
            path: Bytes<4096>,
            /// Where in the file it begins, in bytes.
            offset: u64,
        },
        /// Memory that is an object by its number, shared or as a private copy.
        3 = Object {
            /// The number of the shared object.
            object: u32,
            /// Where in the object it begins, in bytes.
            offset: u64,
            /// MAP_PRIVATE rather than MAP_SHARED.
            private: bool,
        },
        /// What the kernel lays there.
        4 = Special {
            /// "vdso", "vvar", "vvar_vclock", "vsyscall" …
            name: Bytes<32>,
        },
    }
}

fields! {
    /// Memory that several can share: a memfd, a shared anonymous mapping, a System V segment, a file without a name. Its pages are in
    /// regions.
    pub struct SharedObject {
        /// Its number in this snapshot.
        pub id: u32,
        /// How it was made.
        pub origin: Origin,
        /// Its length in bytes.
        pub size: u64,
        /// F_GET_SEALS.
        pub seals: u32,
        /// Owner, as an id of the session's user namespace; the highest number: one that it has no name for. Of a System V segment these
        /// three are not used: see there.
        pub user: u32,
        /// Group, likewise.
        pub group: u32,
        /// Permissions.
        pub mode: u32,
    }
}

choice! {
    /// How shared memory was made.
    pub enum Origin {
        /// mmap(2) with MAP_SHARED and MAP_ANONYMOUS.
        #[default]
        0 = Anonymous,
        /// memfd_create(2).
        1 = Memfd {
            /// The name it was given.
            name: Bytes<249>,
            /// MFD_HUGETLB and others.
            flags: u32,
        },
        /// shmget(2), since version 3: the first release that wrote any.
        2 = SystemV {
            /// The segment.
            segment: Segment,
        },
        /// A file that has no name any more.
        3 = File {
            /// A directory of its file system, as a path in the session.
            near: Bytes<4096>,
            /// Whether linkat(2) can give it a name (O_TMPFILE).
            linkable: bool,
        },
        /// A directory that has no name any more. It is empty.
        4 = Directory {
            /// A directory of its file system, as a path in the session.
            near: Bytes<4096>,
        },
    }
}
