//! Chunks on disk: packs, and the indexes beside them.
//!
//! A pack holds blocks, a block holds chunks. Both files of a pair are written once, under names drawn at random, and never
//! changed: writers in several processes cannot meet, and two that store the same chunk at the same time waste a little
//! room and do no harm.
//!
//! ```text
//! store/packs/<id>.pack    magic "FFPACK1\n" | version u32 | 0 u32 | id 16        32 bytes
//!                          blocks, one after the other, each one zstd frame
//! store/index/<id>.idx     magic "FFINDX1\n" | version u32 | blocks u32 | chunks u32 | 0 u32
//!                          | pack's length u64 | pack's id 16                     48 bytes
//!                          per block: offset u64 | stored u32 | raw u32 | BLAKE3 of the stored bytes 32
//!                          per chunk, in the order of hashes: BLAKE3 32 | block u32 | offset u32 | length u32
//!                          BLAKE3 of all before
//! ```
//!
//! Every byte is covered: the pack's header is what the index says, its blocks lie end to end and each has a checksum, and
//! the index carries its own. A pack without index is garbage (its writer was killed); an index is only ever there when its
//! pack is, because a pack is durable before its index gets its name, and an index is gone for good before its pack is
//! removed.
//!
//! # Figures
//!
//! Three saves of an XFCE desktop (152, 156 and 156 MB of images and layer), 2 cores, warm cache, by the example
//! `store-bench`. "First" and "next" are what the first and the second save add to the store.
//!
//! | block, zstd level, hashes in a list | first, MB | next, MB | pack first, next, MB/s | materialise, MB/s |
//! | --- | --- | --- | --- | --- |
//! | 16 KiB, 1, 32 | 26.82 | 0.49 | 418, 916 | 640–700 |
//! | 64 KiB, 1, 32 | 24.57 | 0.47 | 497, 899 | 570–760 |
//! | 128 KiB, 1, 32 | 23.92 | 0.46 | 563–608, 924 | 540–650 |
//! | 256 KiB, 1, 32 | 23.31 | 0.46 | 478, 863 | 520–580 |
//! | 128 KiB, 3, 32 | 23.38 | 0.46 | 508, 988 | 470–520 |
//! | 128 KiB, 1, 128 | 23.88 | 0.64 | 577, 922 | 420–490 (busier machine) |
//! | **128 KiB, 1, 16** | 24.01 | 0.41 | 538, 947 | 410–460 (busier machine) |
//!
//! In one run: pack 608, 902 and 879 MB/s; `restic backup` (0.14) of the same files 125, 167 and 163 MB/s, adding 20.3, 5.7
//! and 6.4 MB; materialise 435–476 MB/s, `tar -I 'zstd -T2' -x` 364–407 MB/s. Of the first save 1.6 MB are index and 1.2 MB
//! lists; a page costs 44 bytes in the index once, and 32 in a list where the list changed.
//!
//! So: blocks of 128 KiB (larger ones gain 2 % of room, and a later snapshot that wants few chunks of each decodes more for
//! nothing), level 1 (level 3 gains 2 %), short lists (what changes is paid for at every save, what does not only once).
//!
//! Limits, checked before anything is believed: a chunk has 1 to [`MAX_CHUNK`] bytes, a block at most [`MAX_BLOCK`] before
//! compression, an index at most [`MAX_INDEX`].

mod builder;
mod catalogue;
mod index;
mod reader;
mod writer;

pub use reader::ChunkReader;
pub use writer::{ChunkKind, ChunkWriter, Written};

pub(crate) use catalogue::{Catalogue, Location, ids};
pub(crate) use reader::{Unpacker, check_header, open as open_pack, pack_of, slice};

#[cfg(test)]
pub(crate) use index::parse as parse_index;

/// Bytes of a chunk's line in an index.
pub(crate) const INDEX_LINE: u64 = 44;
/// The longest chunk.
pub const MAX_CHUNK: usize = 64 << 10;
/// The longest block before compression.
pub const MAX_BLOCK: usize = 1 << 20;
/// The longest index file.
pub const MAX_INDEX: u64 = 256 << 20;
/// Packs are closed when they have grown this long.
pub(crate) const PACK_TARGET: u64 = 64 << 20;
/// Blocks are closed before they would become longer than this.
pub(crate) const BLOCK_TARGET: usize = 128 << 10;
/// zstd's level.
pub(crate) const LEVEL: i32 = 1;

pub(crate) const PACK_MAGIC: [u8; 8] = *b"FFPACK1\n";
pub(crate) const PACK_VERSION: u32 = 1;
pub(crate) const PACK_HEADER: usize = 32;

/// The name of a pack and its index.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct PackId(pub(crate) [u8; 16]);

impl PackId {
    pub(crate) fn random() -> Self {
        Self(rand::random())
    }

    pub(crate) fn from_name(name: &str) -> Option<Self> {
        let valid = name.len() == 32 && name.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        let number = u128::from_str_radix(name, 16).ok().filter(|_| valid)?;
        Some(Self(number.to_be_bytes()))
    }

    pub(crate) fn header(self) -> [u8; PACK_HEADER] {
        let mut header = [0; PACK_HEADER];
        header[..8].copy_from_slice(&PACK_MAGIC);
        header[8..12].copy_from_slice(&PACK_VERSION.to_le_bytes());
        header[16..].copy_from_slice(&self.0);
        header
    }
}

impl std::fmt::Display for PackId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:032x}", u128::from_be_bytes(self.0))
    }
}
