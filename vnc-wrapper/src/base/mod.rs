//! Bases: read-only root file systems that sessions start from.
//!
//! A base is made from one stream of tar, which either mmdebstrap writes ([`build()`], from a recipe of [`recipe`]) or a
//! file holds ([`import()`], as `docker export` writes it). The stream takes one way in both cases:
//!
//! ```text
//! source -> decoder (gzip, zstd, plain) -> archive (checks, drops, adds) -> tar, as root of the session's id map
//! ```
//!
//! [`archive`] sees every member before `tar` does: it refuses what points out of the tree, leaves out device nodes, and
//! puts in what every session needs (the user, names of the host, mount points). So nothing is changed in the tree
//! afterwards, and nothing here needs to walk a tree that a stranger has filled. `tar` runs in a user namespace whose
//! ids are those of a session, so that the files belong to ids that the session has.
//!
//! A base that comes with a snapshot is in the store already, and is laid from there ([`carried`]).
//!
//! A base is made in `bases/.NAME.partial`, under a lock, and becomes visible by one rename ([`partial`]).
//!
//! Deliberately absent: changing a base (sessions and snapshots stand on it), and the names of package mirrors: mmdebstrap
//! knows where the machine gets its packages from.

pub mod archive;
pub mod build;
pub mod cancel;
pub mod carried;
pub mod decoder;
pub mod error;
pub mod header;
pub mod import;
pub mod members;
pub mod mmdebstrap;
pub mod partial;
pub mod recipe;
pub mod remove;
pub mod source;
pub mod unpack;

pub use build::{BuildRequest, build};
pub use cancel::Cancel;
pub use error::Error;
pub use import::{ImportRequest, import};
pub use recipe::Recipe;
pub use remove::remove;

/// Tells how far it is: the stage in a few words, and 0 to 1 of the whole (below 0: not known).
pub type Progress<'a> = &'a mut dyn FnMut(&str, f64);

/// The result of a call into this module.
pub type Result<T, E = Error> = std::result::Result<T, E>;

#[cfg(test)]
mod tests;
