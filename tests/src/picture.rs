//! Pictures of a display, compared.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use image::RgbImage;

/// A part of a picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Area {
    /// Pixels from the left.
    pub x: u32,
    /// Pixels from the top.
    pub y: u32,
    /// Width.
    pub width: u32,
    /// Height.
    pub height: u32,
}

impl Area {
    fn contains(&self, x: u32, y: u32) -> bool {
        (self.x..self.x + self.width).contains(&x) && (self.y..self.y + self.height).contains(&y)
    }
}

/// A picture of a display.
#[derive(Clone, Debug, PartialEq)]
pub struct Picture(RgbImage);

impl Picture {
    /// Reads a PNG file.
    ///
    /// # Errors
    /// When it is none.
    pub fn open(path: &Path) -> Result<Self> {
        let bytes = std::fs::read(path).with_context(|| path.display().to_string())?;
        Self::from_png(&bytes).with_context(|| path.display().to_string())
    }

    /// Reads what is in a PNG file.
    ///
    /// # Errors
    /// When it is none.
    pub fn from_png(bytes: &[u8]) -> Result<Self> {
        Ok(Self(image::load_from_memory_with_format(bytes, image::ImageFormat::Png)?.to_rgb8()))
    }

    /// Writes a PNG file.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn save(&self, path: &Path) -> Result<()> {
        self.0.save(path).with_context(|| path.display().to_string())
    }

    /// A part of it; what is outside of it is left out.
    #[must_use]
    pub fn part(&self, area: Area) -> Self {
        Self(image::imageops::crop_imm(&self.0, area.x, area.y, area.width, area.height).to_image())
    }

    /// Width and height.
    pub fn size(&self) -> (u32, u32) {
        self.0.dimensions()
    }

    /// How many pixels differ outside `but_for`.
    ///
    /// # Errors
    /// When the sizes differ.
    pub fn differing(&self, other: &Self, but_for: Option<Area>) -> Result<usize> {
        ensure!(self.size() == other.size(), "pictures of {:?} and {:?} pixels", self.size(), other.size());
        let pairs = self.0.enumerate_pixels().zip(other.0.pixels());
        Ok(pairs.filter(|((x, y, a), b)| a != b && !but_for.is_some_and(|area| area.contains(*x, *y))).count())
    }

    /// Red, green and blue of all its pixels, where they are the same.
    pub fn flat(&self) -> Option<[u8; 3]> {
        let first = self.0.pixels().next()?;
        self.0.pixels().all(|pixel| pixel == first).then_some(first.0)
    }

    /// How many colours are in it; a display with nothing on it has one or two.
    pub fn colours(&self) -> usize {
        self.0.pixels().map(|p| p.0).collect::<std::collections::HashSet<_>>().len()
    }
}
