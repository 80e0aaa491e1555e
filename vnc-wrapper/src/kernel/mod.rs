//! Everything that talks to the kernel below the level of files: namespaces, mounts, processes, descriptors.
//!
//! The only place of this crate with unsafe code. What must be undone is undone by dropping a guard.

#![allow(unsafe_code, reason = "this is the module that talks to the kernel; see its head")]

pub mod btf;
pub mod clock;
pub mod file_range;
pub mod handle;
pub mod idmap;
pub mod keyring;
pub mod loopback;
pub mod messages;
pub mod mounts;
pub mod namespaces;
pub mod objects;
pub mod own_root;
pub mod peek;
pub mod process;
pub mod scheduling;
pub mod seccomp;
pub mod semaphores;
pub mod sock_diag;
pub mod socket;
pub mod tcp;
pub mod terminal;
pub mod thread_settings;
pub mod userns;
pub mod vdso;
