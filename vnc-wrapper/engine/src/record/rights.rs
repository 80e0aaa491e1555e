//! What processes may do and what they see: credentials, namespaces, filters.

use super::wire::{Bytes, List, choice, fields};

fields! {
    /// Credentials (`/proc/PID/status`), which most threads share. Ids are those of the session's user namespace.
    pub struct Credentials {
        /// Their number in this snapshot.
        pub id: u32,
        /// Real, effective, saved and filesystem user.
        pub users: List<u32, 4>,
        /// Real, effective, saved and filesystem group.
        pub groups: List<u32, 4>,
        /// Supplementary groups (`Groups`).
        pub supplementary: List<u32, 65_536>,
        /// CapInh: a bit each.
        pub inheritable: u64,
        /// CapPrm.
        pub permitted: u64,
        /// CapEff.
        pub effective: u64,
        /// CapBnd.
        pub bounding: u64,
        /// CapAmb.
        pub ambient: u64,
        /// PR_GET_SECUREBITS.
        pub secure_bits: u32,
        /// PR_GET_NO_NEW_PRIVS.
        pub no_new_privileges: bool,
    }
}

fields! {
    /// A namespace (ioctl_ns(2)).
    pub struct Namespace {
        /// Its number in this snapshot.
        pub id: u32,
        /// What it divides.
        pub kind: NamespaceKind,
        /// The number of the one above, for user and pid namespaces (NS_GET_PARENT); none: the session's own.
        pub parent: Option<u32>,
        /// The number of the user namespace that owns it (NS_GET_USERNS); none: the one above the session.
        pub owner: Option<u32>,
    }
}

choice! {
    /// What a namespace divides (namespaces(7)).
    pub enum NamespaceKind {
        /// Mounts.
        #[default]
        0 = Mount,
        /// Users and groups.
        1 = User {
            /// `uid_map`.
            users: List<IdRange, 340>,
            /// `gid_map`.
            groups: List<IdRange, 340>,
            /// Whether `setgroups` says "deny".
            setgroups_denied: bool,
        },
        /// Process ids.
        2 = Pid {
            /// `ns_last_pid`: the newest pid that was given out.
            last: u32,
        },
        /// The network.
        3 = Network,
        /// System V and POSIX message queues, semaphores and memory.
        4 = Ipc,
        /// The host's name.
        5 = Uts {
            /// sethostname(2).
            host: Bytes<64>,
            /// setdomainname(2).
            domain: Bytes<64>,
        },
        /// Control groups.
        6 = Cgroup,
        /// Clocks (`timens_offsets`), in nanoseconds.
        7 = Time {
            /// What is added to CLOCK_MONOTONIC.
            monotonic: i64,
            /// What is added to CLOCK_BOOTTIME.
            boot: i64,
        },
    }
}

fields! {
    /// A line of `uid_map` or `gid_map`.
    pub struct IdRange {
        /// The first id inside.
        pub inside: u32,
        /// The first id in the namespace above.
        pub above: u32,
        /// How many.
        pub count: u32,
    }
}

fields! {
    /// A seccomp filter, as seccomp(2) got it.
    pub struct Filter {
        /// Its number in this snapshot.
        pub id: u32,
        /// Its `struct sock_filter` instructions of 8 bytes, at most 4096 of them (BPF_MAXINSNS).
        pub program: Bytes<32_768>,
        /// SECCOMP_FILTER_FLAG_LOG and others.
        pub flags: u32,
    }
}
