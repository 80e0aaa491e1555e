//! The picture of a display.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::limits;

/// A rectangle of a picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Rect {
    /// Pixels from the left.
    pub x: u16,
    /// Pixels from the top.
    pub y: u16,
    /// Width in pixels.
    pub width: u16,
    /// Height in pixels.
    pub height: u16,
}

impl Rect {
    /// Whether no pixel is in it.
    pub fn is_empty(self) -> bool {
        self.width == 0 || self.height == 0
    }

    /// How many pixels are in it.
    pub fn area(self) -> u32 {
        u32::from(self.width) * u32::from(self.height)
    }

    /// The smallest rectangle that holds both.
    #[must_use]
    pub fn union(self, other: Self) -> Self {
        if self.is_empty() {
            return other;
        }
        if other.is_empty() {
            return self;
        }
        let x = self.x.min(other.x);
        let y = self.y.min(other.y);
        let right = self.right().max(other.right()).min(u32::from(u16::MAX));
        let bottom = self.bottom().max(other.bottom()).min(u32::from(u16::MAX));
        // Both differences are at most u16::MAX by the two lines above.
        Self { x, y, width: (right - u32::from(x)) as u16, height: (bottom - u32::from(y)) as u16 }
    }

    fn right(self) -> u32 {
        u32::from(self.x) + u32::from(self.width)
    }

    fn bottom(self) -> u32 {
        u32::from(self.y) + u32::from(self.height)
    }
}

impl fmt::Display for Rect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}x{}+{}+{}", self.width, self.height, self.x, self.y)
    }
}

/// A picture: four bytes a pixel, blue, green, red and 255, rows without gaps.
#[derive(Clone, PartialEq, Eq)]
pub struct Framebuffer {
    width: u16,
    height: u16,
    pixels: Vec<u8>,
}

impl fmt::Debug for Framebuffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Framebuffer({}x{})", self.width, self.height)
    }
}

/// Bytes of one pixel.
pub(crate) const PIXEL: usize = 4;

impl Framebuffer {
    /// A black picture; an error when a side or the whole is larger than [`limits`] admit.
    pub fn new(width: u16, height: u16) -> Result<Self> {
        let side = width.max(height);
        if side > limits::MAX_SIDE {
            return Err(too_large("a picture side", side.into(), limits::MAX_SIDE.into()));
        }
        let area = u32::from(width) * u32::from(height);
        if area > limits::MAX_PIXELS {
            return Err(too_large("a picture area", area.into(), limits::MAX_PIXELS.into()));
        }
        let pixels = [0, 0, 0, 255].repeat(area as usize);
        Ok(Self { width, height, pixels })
    }

    /// A picture of these pixels; an error when their number does not fit the size.
    pub fn from_pixels(width: u16, height: u16, pixels: Vec<u8>) -> Result<Self> {
        let expected = usize::from(width) * usize::from(height) * PIXEL;
        if pixels.len() != expected {
            return Err(Error::protocol("picture", format!("{} bytes where {expected} belong", pixels.len())));
        }
        Ok(Self { width, height, pixels })
    }

    /// Width in pixels.
    pub fn width(&self) -> u16 {
        self.width
    }

    /// Height in pixels.
    pub fn height(&self) -> u16 {
        self.height
    }

    /// The pixels: blue, green, red, 255; rows from the top, without gaps.
    pub fn pixels(&self) -> &[u8] {
        &self.pixels
    }

    /// The pixels, given away.
    pub fn into_pixels(self) -> Vec<u8> {
        self.pixels
    }

    /// One pixel as red, green and blue; none outside the picture.
    pub fn rgb(&self, x: u16, y: u16) -> Option<[u8; 3]> {
        if x >= self.width {
            return None;
        }
        let at = (usize::from(y) * usize::from(self.width) + usize::from(x)) * PIXEL;
        self.pixels.get(at..at + 3).map(|pixel| [pixel[2], pixel[1], pixel[0]])
    }

    /// The whole of it.
    pub fn bounds(&self) -> Rect {
        Rect { x: 0, y: 0, width: self.width, height: self.height }
    }

    /// Another size; what both have in common stays, the rest is black.
    pub(crate) fn resize(&mut self, width: u16, height: u16) -> Result<()> {
        if (width, height) == (self.width, self.height) {
            return Ok(());
        }
        let mut new = Self::new(width, height)?;
        let common = usize::from(width.min(self.width)) * PIXEL;
        for y in 0..height.min(self.height) {
            new.row_mut(0, y, common).copy_from_slice(&self.row_mut(0, y, common)[..]);
        }
        *self = new;
        Ok(())
    }

    /// Ok when the rectangle lies inside.
    pub(crate) fn check(&self, what: &'static str, rect: Rect) -> Result<()> {
        if rect.right() <= u32::from(self.width) && rect.bottom() <= u32::from(self.height) {
            return Ok(());
        }
        Err(Error::Outside { what, rect: rect.to_string(), width: self.width, height: self.height })
    }

    /// `bytes` bytes of row `y` from column `x` on. The caller has checked that they are inside.
    pub(crate) fn row_mut(&mut self, x: u16, y: u16, bytes: usize) -> &mut [u8] {
        let start = (usize::from(y) * usize::from(self.width) + usize::from(x)) * PIXEL;
        &mut self.pixels[start..start + bytes]
    }

    /// Fills a checked rectangle with one colour.
    pub(crate) fn fill(&mut self, rect: Rect, bgra: [u8; PIXEL]) {
        if rect.is_empty() {
            return;
        }
        let row = bgra.repeat(rect.width.into());
        for y in rect.y..rect.y + rect.height {
            self.row_mut(rect.x, y, row.len()).copy_from_slice(&row);
        }
    }

    /// Copies a rectangle of the picture to another place in it; both are checked, and may overlap.
    pub(crate) fn copy(&mut self, from_x: u16, from_y: u16, to: Rect) {
        let stride = usize::from(self.width) * PIXEL;
        let bytes = usize::from(to.width) * PIXEL;
        let mut row = |offset: u16| {
            let source = usize::from(from_y + offset) * stride + usize::from(from_x) * PIXEL;
            let target = usize::from(to.y + offset) * stride + usize::from(to.x) * PIXEL;
            self.pixels.copy_within(source..source + bytes, target);
        };
        // Downwards, the lower rows have to leave before the upper ones arrive.
        if to.y > from_y {
            (0..to.height).rev().for_each(&mut row);
        } else {
            (0..to.height).for_each(&mut row);
        }
    }
}

fn too_large(what: &'static str, found: u64, limit: u64) -> Error {
    Error::TooLarge { what, found, limit }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_bounded() {
        assert!(Framebuffer::new(16_385, 1).is_err());
        assert!(Framebuffer::new(16_384, 16_384).is_err());
        assert!(Framebuffer::new(0, 0).is_ok());
        assert_eq!(Framebuffer::new(3, 2).unwrap().pixels().len(), 24);
    }

    #[test]
    fn resizing_keeps_what_is_common() {
        let mut picture = Framebuffer::new(4, 4).unwrap();
        picture.fill(Rect { x: 1, y: 1, width: 1, height: 1 }, [3, 2, 1, 255]);
        picture.resize(2, 6).unwrap();
        assert_eq!(picture.rgb(1, 1), Some([1, 2, 3]));
        assert_eq!(picture.rgb(0, 5), Some([0, 0, 0]));
        assert_eq!(picture.rgb(2, 0), None);
    }

    #[test]
    fn copies_overlap_in_every_direction() {
        for (from, to) in [((0, 0), (1, 1)), ((1, 1), (0, 0)), ((1, 0), (0, 1)), ((0, 1), (1, 0)), ((0, 0), (1, 0))] {
            let mut picture = Framebuffer::new(4, 4).unwrap();
            for (index, pixel) in picture.pixels.chunks_exact_mut(PIXEL).enumerate() {
                pixel[0] = index as u8;
            }
            let before = picture.clone();
            picture.copy(from.0, from.1, Rect { x: to.0, y: to.1, width: 3, height: 3 });
            for y in 0..3 {
                for x in 0..3 {
                    assert_eq!(picture.rgb(to.0 + x, to.1 + y), before.rgb(from.0 + x, from.1 + y));
                }
            }
        }
    }

    #[test]
    fn unions() {
        let a = Rect { x: 1, y: 2, width: 3, height: 4 };
        let b = Rect { x: 10, y: 0, width: 1, height: 1 };
        assert_eq!(a.union(b), Rect { x: 1, y: 0, width: 10, height: 6 });
        assert_eq!(a.union(Rect::default()), a);
    }
}
