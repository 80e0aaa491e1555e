//! Directory trees, stored: taken up whole, laid out again equal.
//!
//! Kept are names (any bytes), kinds, modes, owners, times to the nanosecond, extended attributes (the overlay's own, POSIX
//! ACLs and capabilities among them), symbolic links, hard links, holes, device nodes (an overlay's whiteouts), fifos and
//! sockets. Not kept are change times, which cannot be set, and inode flags (`chattr`).
//!
//! # The stream of entries
//!
//! One entry after the other, a directory's in the order of their names' bytes, so that equal trees have equal streams.
//! Numbers are LEB128, `bytes` is a length and as many bytes.
//!
//! ```text
//! entry  kind u8 | name bytes | group | meta | body
//! meta   mode | uid | gid | mtime: seconds (zigzag), nanoseconds | attributes: count, then name bytes | value bytes
//! kind   'd' directory     its entries follow, then an 'e', which is that one byte
//!        'f' file          size | extents: count, then gap | length | list of their chunks
//!        'l' symbolic link target bytes
//!        'c' 'b' device    major | minor
//!        'p' fifo, 's' socket
//!        'h' another name  no meta; the group says of which entry before it
//! ```
//!
//! `group` is 0, or the number of the hard-link group that this entry begins. The root is an entry with an empty name.
//! Access times are in a stream of their own, 12 bytes an entry (seconds i64, nanoseconds u32) for all entries that have a
//! meta, because reading a file changes them: that costs a later snapshot a piece of that stream, not of the other.
//!
//! # Lists
//!
//! The chunks of a file, or of a stream, are named by a list: up to [`list::INLINE`] hashes in place (level 0), or hashes
//! of chunks that are lists of hashes themselves, level by level. Such list chunks are cut where a hash says so, not by
//! count: an unchanged stretch of memory is an unchanged list, and costs a later snapshot nothing.
//!
//! ```text
//! list   level u8 | count | count hashes
//! ```
//!
//! Page files (`pages-*.img` among the images) are cut at every 4 KiB. A page of zeros is listed as [`crate::ChunkHash::ZERO_PAGE`]
//! and stored as nothing. Everything else is cut by content (FastCDC, 4 to 64 KiB, 16 on average).

mod capture;
mod cut;
mod entry;
mod lay;
mod list;
mod meta;
mod plan;
#[cfg(test)]
mod samples;
mod unfold;

pub use list::ListRef;

pub(crate) use capture::{Capture, Taken};
pub(crate) use entry::{Entry, Kind, Meta};
pub(crate) use lay::{Laid, lay_out};
#[cfg(test)]
pub(crate) use samples::{decode_tree, sample_stream};
pub(crate) use unfold::{Visit, unfold, visit};

/// Directories below each other, the tree's root among them; a deeper tree is refused, for each costs an open file. More than
/// a session's layer can have, which takes two open files for each while it is copied: whatever was saved can be packed.
pub const MAX_DEPTH: usize = 500;
/// Bytes of a page of memory.
pub(crate) const PAGE: usize = 4096;
/// No stream of entries is longer, in bytes.
pub(crate) const MAX_STREAM: u64 = 1 << 30;
/// No tree has more chunks: 256 GiB of memory pages.
pub(crate) const MAX_LEAVES: u64 = 1 << 26;

/// How far something has come, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Bytes done.
    pub done: u64,
    /// Bytes to do; an estimate until the end.
    pub total: u64,
}

/// Is told of progress, from any thread.
pub type ProgressFn<'a> = &'a (dyn Fn(Progress) + Sync);
