//! Storing chunks: deduplicated by the caller's thread, compressed by a few others, written by one.
//!
//! ```text
//! put: hash, look up, collect into blocks --> N compressors --> one writer: pack, pack, … each with its index
//! ```
//!
//! The queues between them are short, so memory stays bounded however large the snapshot. The first error stops all of them
//! and is what the next call returns.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use super::MAX_CHUNK;
use super::builder::{PackBuilder, PackedBlock, RawBlock, compressor};
use super::catalogue::Catalogue;
use crate::error::{Error, IoContext, Result};
use crate::hash::{ChunkHash, ChunkSet};
use crate::layout::Store;
use crate::lock::Lock;

/// Blocks waiting in front of the compressors, and of the writer.
const QUEUE: usize = 8;

/// What a chunk is part of. Lists and trees are kept in blocks of their own, because readers want them first and together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChunkKind {
    /// Bytes of a file.
    Data,
    /// Part of a list or a tree.
    Meta,
}

/// What [`ChunkWriter::finish`] made durable. Holds the store's lock: until it is dropped no collection can take away
/// chunks that nothing refers to yet.
#[derive(Debug)]
pub struct Written {
    /// Chunks that were not there before.
    pub chunks: u64,
    /// Bytes of the files that were added.
    pub bytes: u64,
    pub(crate) lock: Arc<Lock>,
}

/// Stores chunks. Dropped before [`ChunkWriter::finish`], it leaves nothing that a collection would not take away.
#[derive(Debug)]
pub struct ChunkWriter {
    lock: Arc<Lock>,
    catalogue: Arc<Catalogue>,
    fresh: ChunkSet,
    data: RawBlock,
    meta: RawBlock,
    jobs: Option<SyncSender<RawBlock>>,
    compressors: Vec<JoinHandle<Result<()>>>,
    writer: Option<JoinHandle<Result<u64>>>,
    abandoned: Arc<AtomicBool>,
    packs: PathBuf,
}

impl ChunkWriter {
    /// Stores into `store` what `catalogue` does not know.
    pub(crate) fn new(store: &Store, lock: Arc<Lock>, catalogue: Arc<Catalogue>) -> Self {
        let packs = store.packs();
        let abandoned = Arc::new(AtomicBool::new(false));
        let (jobs, waiting) = sync_channel(QUEUE);
        let (done, packed) = sync_channel(QUEUE);
        let waiting = Arc::new(Mutex::new(waiting));
        let threads = std::thread::available_parallelism().map_or(2, |n| n.get().clamp(1, 4));
        let compressors = (0..threads)
            .map(|_| {
                let (waiting, done, packs) = (Arc::clone(&waiting), done.clone(), packs.clone());
                std::thread::spawn(move || compress(&waiting, &done, &packs))
            })
            .collect();
        let builder = PackBuilder::new(store.disk().clone(), packs.clone(), store.indexes());
        let writer = std::thread::spawn({
            let abandoned = Arc::clone(&abandoned);
            move || write(builder, &packed, &abandoned)
        });
        Self {
            lock,
            catalogue,
            fresh: ChunkSet::default(),
            data: RawBlock::default(),
            meta: RawBlock::default(),
            jobs: Some(jobs),
            compressors,
            writer: Some(writer),
            abandoned,
            packs,
        }
    }

    /// Whether the store has that chunk, or will have it once this writer has finished.
    pub fn has(&self, hash: &ChunkHash) -> bool {
        self.fresh.contains(hash) || self.catalogue.find(hash).is_some()
    }

    /// Stores a chunk, unless it is there already. Returns its name.
    ///
    /// # Errors
    /// [`Error::Unsupported`] for an empty chunk or one longer than [`MAX_CHUNK`]; else what went wrong with the disk, maybe
    /// with an earlier chunk.
    pub fn put(&mut self, chunk: &[u8], kind: ChunkKind) -> Result<ChunkHash> {
        if chunk.is_empty() || chunk.len() > MAX_CHUNK {
            let reason = "a chunk has to have 1 byte at least and 64 KiB at most";
            return Err(Error::Unsupported { path: self.packs.clone(), reason });
        }
        let hash = ChunkHash::of(chunk);
        self.put_named(hash, chunk, kind)?;
        Ok(hash)
    }

    /// As [`ChunkWriter::put`], for callers that have the hash already.
    pub(crate) fn put_named(&mut self, hash: ChunkHash, chunk: &[u8], kind: ChunkKind) -> Result<()> {
        if self.catalogue.find(&hash).is_some() || !self.fresh.insert(hash) {
            return Ok(());
        }
        let block = match kind {
            ChunkKind::Data => &mut self.data,
            ChunkKind::Meta => &mut self.meta,
        };
        match block.push(hash, chunk) {
            Some(full) => self.send(full),
            None => Ok(()),
        }
    }

    fn send(&mut self, block: RawBlock) -> Result<()> {
        let sent = self.jobs.as_ref().is_some_and(|jobs| jobs.send(block).is_ok());
        // Nobody receives any more: something went wrong behind, and joining says what.
        if sent { Ok(()) } else { self.join().and(Err(Error::Cancelled)) }
    }

    /// Waits until all is written. Of several errors that of the writer is told: the others follow from it.
    fn join(&mut self) -> Result<u64> {
        self.jobs = None;
        let mut compressed = Ok(());
        for thread in self.compressors.drain(..) {
            compressed = compressed.and(thread.join().unwrap_or(Err(Error::Cancelled)));
        }
        match self.writer.take() {
            Some(writer) => {
                let written = writer.join().unwrap_or(Err(Error::Cancelled))?;
                compressed.map(|()| written)
            }
            None => Err(Error::Cancelled),
        }
    }

    /// Makes everything durable.
    ///
    /// # Errors
    /// When the disk fails or is full; nothing refers to what was written then, and a collection takes it away.
    pub fn finish(mut self) -> Result<Written> {
        for block in [std::mem::take(&mut self.data), std::mem::take(&mut self.meta)] {
            if !block.bytes.is_empty() {
                self.send(block)?;
            }
        }
        let bytes = self.join()?;
        Ok(Written { chunks: self.fresh.len() as u64, bytes, lock: Arc::clone(&self.lock) })
    }
}

impl Drop for ChunkWriter {
    fn drop(&mut self) {
        if self.writer.is_some() {
            self.abandoned.store(true, Ordering::Relaxed);
            // Whatever went wrong was told before, or nobody wants to know.
            let _ = self.join();
        }
    }
}

fn compress(
    waiting: &Mutex<Receiver<RawBlock>>,
    done: &SyncSender<PackedBlock>,
    packs: &std::path::Path,
) -> Result<()> {
    let mut compressor = compressor(packs)?;
    loop {
        let job = waiting.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(block) = job else { return Ok(()) };
        let packed = compressor.compress(block).at("compress into", packs)?;
        if done.send(packed).is_err() {
            // The writer has stopped, and knows why.
            return Ok(());
        }
    }
}

fn write(mut builder: PackBuilder, packed: &Receiver<PackedBlock>, abandoned: &AtomicBool) -> Result<u64> {
    let mut result = Ok(());
    while let Ok(block) = packed.recv() {
        result = builder.append(block);
        if result.is_err() || abandoned.load(Ordering::Relaxed) {
            break;
        }
    }
    if result.is_ok() && !abandoned.load(Ordering::Relaxed) {
        result = builder.close();
    }
    builder.abandon();
    result.map(|()| builder.bytes)
}
