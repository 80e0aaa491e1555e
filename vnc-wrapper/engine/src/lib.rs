//! The native engine: freezes, saves and resumes a tree of processes as a normal user, driven by ptrace(2).
//!
//! It knows processes, threads, memory and kernel objects; it knows nothing of containers, stores, displays, D-Bus or async
//! runtimes. Its tests run as a normal user on forked children, without a base.
//!
//! | module | what it holds |
//! | --- | --- |
//! | [`able`] | what the kernel and the machine let the engine do, probed by trying |
//! | [`dump`] | writes a frozen tree of processes, which runs on |
//! | [`freeze`] | stops every thread of a set of processes that may fork, exec and end meanwhile |
//! | [`ipc`] | what an ipc namespace holds, as the kernel says it |
//! | [`memory`] | the memory of processes: mappings, passes over changed pages, shared memory, filling |
//! | [`objects`] | kernel objects behind descriptors: what would be lost, their records, and making them again |
//! | [`process`] | what `/proc` says of processes, and the order in which a tree of them is made |
//! | [`fault`] | named steps that a test makes fail |
//! | [`record`] | the format of what a save writes: reader, writer, and the check of what was read |
//! | [`remote`] | the guard over a stopped thread of somebody else: calls made in it, and everything given back |
//! | [`restore`] | makes the processes of process content again |
//! | [`sys`] | the kernel's calls, one module a family; the only place with unsafe code |
//!
//! It is being built: ARCHITECTURE.md, "The native engine", names what is there and what comes next.

pub mod able;
pub mod dump;
pub mod fault;
pub mod filters;
pub mod freeze;
pub mod ipc;
pub mod memory;
pub mod objects;
pub mod process;
pub mod record;
pub mod remote;
pub mod restore;
pub mod sys;
#[cfg(test)]
mod testing;
