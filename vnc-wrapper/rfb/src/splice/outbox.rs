//! What is to be written to a viewer: bytes, and pictures that become bytes only when there is room for them.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use crate::framebuffer::{Framebuffer, Rect};
use crate::pixel_format::PixelFormat;

/// How much of a picture is made into bytes at once.
const PIECE: usize = 64 << 10;

/// Bytes to be written, in order.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Outbox {
    queue: VecDeque<Item>,
    /// Bytes that are ready.
    ready: usize,
}

#[derive(Debug, Serialize, Deserialize)]
enum Item {
    /// The bytes from this place on.
    Bytes(Vec<u8>, usize),
    Painting(Painting),
}

/// What is left of the pixels of a raw rectangle.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct Painting {
    rect: Rect,
    format: PixelFormat,
    /// Bytes of it that have gone before.
    at: u64,
}

impl Outbox {
    /// Appends bytes.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        self.ready += bytes.len();
        match self.queue.back_mut() {
            // A long one is left to be written and freed.
            Some(Item::Bytes(last, _)) if last.len() < PIECE => last.extend_from_slice(bytes),
            _ => self.queue.push_back(Item::Bytes(bytes.to_vec(), 0)),
        }
    }

    /// Appends the pixels of a raw rectangle from byte `at` on, as the picture has them when they are written.
    pub(super) fn paint(&mut self, rect: Rect, format: PixelFormat, at: u64) {
        self.queue.push_back(Item::Painting(Painting { rect, format, at }));
    }

    /// Bytes that are ready to be written.
    pub(super) fn ready(&self) -> usize {
        self.ready
    }

    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Whether pixels wait to be made into bytes.
    pub(super) fn is_painting(&self) -> bool {
        self.queue.iter().any(|item| matches!(item, Item::Painting(_)))
    }

    /// The next bytes; pixels are taken from the picture, and are black without one.
    pub(super) fn front(&mut self, picture: Option<&Framebuffer>) -> &[u8] {
        if let Some(Item::Painting(painting)) = self.queue.front_mut() {
            let bytes = painting.piece(picture);
            if painting.left() == 0 {
                self.queue.pop_front();
            }
            self.ready += bytes.len();
            if !bytes.is_empty() {
                self.queue.push_front(Item::Bytes(bytes, 0));
            }
        }
        match self.queue.front() {
            Some(Item::Bytes(bytes, at)) => &bytes[*at..],
            _ => &[],
        }
    }

    /// So many bytes of the front were written.
    pub(super) fn written(&mut self, count: usize) {
        if let Some(Item::Bytes(bytes, at)) = self.queue.front_mut() {
            *at += count;
            self.ready -= count;
            if *at >= bytes.len() {
                self.queue.pop_front();
            }
        }
    }
}

impl Painting {
    fn total(&self) -> u64 {
        u64::from(self.rect.area()) * self.format.bytes() as u64
    }

    fn left(&self) -> u64 {
        self.total().saturating_sub(self.at)
    }

    /// The next bytes, and moves on.
    fn piece(&mut self, picture: Option<&Framebuffer>) -> Vec<u8> {
        let pixel = self.format.bytes();
        let count = self.left().min(PIECE as u64) as usize;
        // It may begin in the middle of a pixel.
        let (mut index, cut) = (self.at / pixel as u64, (self.at % pixel as u64) as usize);
        let mut bytes = Vec::with_capacity(count + 2 * pixel);
        let width = u64::from(self.rect.width).max(1);
        while bytes.len() < count + cut {
            // Both are inside the rectangle, whose sides are u16.
            let (x, y) = ((index % width) as u16, (index / width) as u16);
            let rgb = picture.and_then(|p| p.rgb(self.rect.x.saturating_add(x), self.rect.y.saturating_add(y)));
            self.format.push_pixel(rgb.unwrap_or_default(), &mut bytes);
            index += 1;
        }
        bytes.truncate(count + cut);
        bytes.drain(..cut);
        self.at += count as u64;
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_painting_begins_in_the_middle_of_a_pixel() {
        let mut picture = Framebuffer::new(3, 2).unwrap();
        picture.fill(Rect { x: 1, y: 1, width: 1, height: 1 }, [3, 2, 1, 255]);
        let mut outbox = Outbox::default();
        outbox.push(b"head");
        outbox.paint(Rect { x: 1, y: 0, width: 2, height: 2 }, PixelFormat::BGRX, 6);
        outbox.push(b"tail");
        let mut all = Vec::new();
        while !outbox.is_empty() {
            let piece = outbox.front(Some(&picture)).to_vec();
            outbox.written(piece.len());
            all.extend(piece);
        }
        assert_eq!(all, b"head\0\xff\x03\x02\x01\xff\0\0\0\xfftail");
        assert_eq!(outbox.ready(), 0);
    }
}
