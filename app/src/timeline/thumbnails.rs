//! Pictures of snapshots and sessions: fetched and decoded off the main thread in the size needed, a bounded number kept.

use std::cell::RefCell;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};

use freezeframe_api::{Error, ErrorKind};
use gtk::gdk_pixbuf::Pixbuf;
use gtk::prelude::*;
use gtk::{gdk, gio, glib};
use tokio::sync::Semaphore;
use tokio::task::{JoinError, JoinHandle};

use super::cache::Cache;
use super::contents::Key;
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
/// A picture of more pixels than this is no desktop's: an imported snapshot may claim anything.
const MOST_PIXELS: u64 = 64 << 20;

/// Where all cards get their pictures from.
#[derive(Clone, Debug)]
pub(crate) struct Thumbnails {
    cache: Rc<RefCell<Cache<(Key, i32), gdk::Texture>>>,
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

/// Pixels, on their way to the main thread.
struct Decoded {
    width: i32,
    height: i32,
    stride: usize,
    alpha: bool,
    pixels: glib::Bytes,
}

impl Thumbnails {
    /// The picture, if it is here already.
    pub(crate) fn cached(&self, key: &Key, width: i32) -> Option<gdk::Texture> {
        self.cache.borrow_mut().get(&(key.clone(), width))
    }

    /// Brings the picture, not wider than `width` pixels. Dropping the future gives up.
    pub(crate) async fn bring(&self, key: &Key, width: i32) -> Result<gdk::Texture, Error> {
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
                decode(bytes, width)
            };
            let decoded = tokio::task::spawn_blocking(decoding).await;
            decoded.unwrap_or_else(|bug| Err(Error::new(ErrorKind::Failed, bug.to_string())))
        }));
        let decoded = task.await.unwrap_or_else(|bug| Err(Error::new(ErrorKind::Failed, bug.to_string())))?;
        let format = if decoded.alpha { gdk::MemoryFormat::R8g8b8a8 } else { gdk::MemoryFormat::R8g8b8 };
        let weight = decoded.pixels.len();
        let texture =
            gdk::MemoryTexture::new(decoded.width, decoded.height, format, &decoded.pixels, decoded.stride).upcast();
        // A snapshot never changes; a session's picture is old at once.
        if matches!(key, Key::Snapshot(_)) {
            self.cache.borrow_mut().put((key.clone(), width), gdk::Texture::clone(&texture), weight);
        }
        Ok(texture)
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

/// Width and height that a PNG claims.
fn claimed_size(png: &[u8]) -> Option<(u32, u32)> {
    if !png.starts_with(b"\x89PNG\r\n\x1a\n") || png.get(12..16)? != b"IHDR" {
        return None;
    }
    let number = |at: usize| Some(u32::from_be_bytes(png.get(at..at + 4)?.try_into().ok()?));
    Some((number(16)?, number(20)?))
}

fn decode(png: Vec<u8>, width: i32) -> Result<Decoded, Error> {
    let broken = |why: &str| Error::new(ErrorKind::Damaged, format!("the picture cannot be shown: {why}"));
    let (claimed, tall) = claimed_size(&png).ok_or_else(|| broken("it is no PNG"))?;
    if claimed == 0 || tall == 0 || u64::from(claimed) * u64::from(tall) > MOST_PIXELS {
        return Err(broken("it has an impossible size"));
    }
    let width = i32::try_from(claimed).unwrap_or(i32::MAX).min(width.max(1));
    let stream = gio::MemoryInputStream::from_bytes(&glib::Bytes::from_owned(png));
    let pixbuf = Pixbuf::from_stream_at_scale(&stream, width, -1, true, gio::Cancellable::NONE)
        .map_err(|error| broken(error.message()))?;
    Ok(Decoded {
        width: pixbuf.width(),
        height: pixbuf.height(),
        stride: usize::try_from(pixbuf.rowstride()).unwrap_or(0),
        alpha: pixbuf.has_alpha(),
        pixels: pixbuf.read_pixel_bytes(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_is_decoded_in_the_size_needed() {
        let pixbuf = Pixbuf::new(gtk::gdk_pixbuf::Colorspace::Rgb, false, 8, 320, 200).unwrap();
        pixbuf.fill(0x3a7b_d5ff);
        let png = pixbuf.save_to_bufferv("png", &[]).unwrap();
        assert_eq!(claimed_size(&png), Some((320, 200)));
        let small = decode(png.clone(), 80).unwrap();
        assert_eq!((small.width, small.height, small.alpha), (80, 50, false));
        assert_eq!(small.pixels[..3], [0x3a, 0x7b, 0xd5]);
        // Never larger than it is.
        assert_eq!(decode(png, 1000).unwrap().width, 320);
    }

    #[test]
    fn what_is_no_picture_or_a_huge_one_is_refused() {
        assert!(decode(b"GIF89a".to_vec(), 80).is_err());
        let pixbuf = Pixbuf::new(gtk::gdk_pixbuf::Colorspace::Rgb, false, 8, 4, 4).unwrap();
        let mut png = pixbuf.save_to_bufferv("png", &[]).unwrap();
        png[16..20].copy_from_slice(&60_000u32.to_be_bytes());
        png[20..24].copy_from_slice(&60_000u32.to_be_bytes());
        let error = decode(png, 80).err().unwrap();
        assert!(error.message.contains("size"), "{error:?}");
    }
}
