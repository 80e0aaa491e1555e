//! Getting a CRIU that works on this machine ([`provision`]), and finding out whether one does ([`probe`]).
//!
//! Its version tells little and `criu check` less: whether it works depends on the kernel that it meets. So a dump of a
//! few processes is tried, once for each program and kernel. Deliberately absent: dumping and restoring sessions, which
//! is the engine's.

pub mod probe;
pub mod provision;
