//! Pictures of snapshots and sessions: fetched and decoded off the main thread, a bounded number kept.

use std::cell::RefCell;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};

use freezeframe_api::{Error, ErrorKind};
use gtk::gdk;
use gtk::prelude::*;
use rustix::process::setpriority_process;
use tokio::sync::Semaphore;
use tokio::task::{JoinError, JoinHandle};

use super::cache::Cache;
use super::contents::Key;
use super::decode::{Fit, decode};
use crate::agent::calls;
use crate::runtime::runtime;

/// Bytes of pictures that are kept: some hundred cards.
const KEPT: usize = 96 << 20;
/// Pictures that are fetched at a time: more would only wait for each other.
const AT_A_TIME: usize = 4;

/// Pictures that are decoded at a time: one processor is left to the thread that draws, or scrolling stutters.
fn decoders() -> usize {
    std::thread::available_parallelism().map_or(1, |all| all.get().saturating_sub(1).clamp(1, AT_A_TIME))
}

/// How far a thread that decodes steps back (nice(2)): drawing comes first, also where processors are few.
const NICE: i32 = 10;

/// A picture that can be drawn.
#[derive(Clone, Debug)]
pub(crate) struct Picture {
    pub(crate) texture: gdk::Texture,
    /// Whether something of it was cut off.
    pub(crate) cut: bool,
}

/// Where all cards get their pictures from.
#[derive(Clone, Debug)]
pub(crate) struct Thumbnails {
    cache: Rc<RefCell<Cache<(Key, Fit), Picture>>>,
    turns: Arc<Semaphore>,
    decoders: Arc<Semaphore>,
}

impl Default for Thumbnails {
    fn default() -> Self {
        let semaphore = |permits| Arc::new(Semaphore::new(permits));
        let cache = Rc::new(RefCell::new(Cache::new(KEPT)));
        Self { cache, turns: semaphore(AT_A_TIME), decoders: semaphore(decoders()) }
    }
}

impl Thumbnails {
    /// The picture, if it is here already.
    pub(crate) fn cached(&self, key: &Key, fit: Fit) -> Option<Picture> {
        self.cache.borrow_mut().get(&(key.clone(), fit))
    }

    /// Brings the picture. Dropping the future gives up.
    pub(crate) async fn bring(&self, key: &Key, fit: Fit) -> Result<Picture, Error> {
        let turn = Arc::clone(&self.turns).acquire_owned().await;
        let decoders = Arc::clone(&self.decoders);
        let wanted = key.clone();
        let task = Given(runtime().spawn(async move {
            let _turn = turn;
            let bytes = match &wanted {
                Key::Snapshot(id) => calls::thumbnail(id).await?,
                Key::Session(name) => calls::screenshot(name).await?,
            };
            let decoder = decoders.acquire_owned().await;
            let decoding = move || {
                // Held to its end, also when nobody waits for it any more.
                let _decoder = decoder;
                // Of this thread alone; where it may not, it decodes all the same.
                let _ = setpriority_process(None, NICE);
                decode(bytes, fit)
            };
            let decoded = tokio::task::spawn_blocking(decoding).await;
            decoded.unwrap_or_else(|bug| Err(Error::new(ErrorKind::Failed, bug.to_string())))
        }));
        let decoded = task.await.unwrap_or_else(|bug| Err(Error::new(ErrorKind::Failed, bug.to_string())))?;
        let (weight, cut) = (decoded.pixels.len(), decoded.cut);
        let format = if decoded.alpha { gdk::MemoryFormat::R8g8b8a8 } else { gdk::MemoryFormat::R8g8b8 };
        let texture =
            gdk::MemoryTexture::new(decoded.width, decoded.height, format, &decoded.pixels, decoded.stride).upcast();
        let picture = Picture { texture, cut };
        // A snapshot never changes; a session's picture is old at once.
        if matches!(key, Key::Snapshot(_)) {
            self.cache.borrow_mut().put((key.clone(), fit), picture.clone(), weight);
        }
        Ok(picture)
    }
}

/// A task that nobody waits for any more is given up.
struct Given<T>(JoinHandle<T>);

impl<T> Future for Given<T> {
    type Output = Result<T, JoinError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0).poll(context)
    }
}

impl<T> Drop for Given<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}
