//! Pictures as files, and small ones.

use image::codecs::png::{CompressionType, FilterType, PngEncoder};
use image::{ExtendedColorType, ImageEncoder as _, RgbaImage, imageops};

use crate::error::{Error, Result};
use crate::framebuffer::Framebuffer;

impl Framebuffer {
    /// The picture as a PNG file without transparency. Fast rather than small: it is made while a session waits.
    pub fn to_png(&self) -> Result<Vec<u8>> {
        let rgb: Vec<u8> = self.pixels().chunks_exact(4).flat_map(|pixel| [pixel[2], pixel[1], pixel[0]]).collect();
        let mut file = Vec::new();
        PngEncoder::new_with_quality(&mut file, CompressionType::Fast, FilterType::Adaptive)
            .write_image(&rgb, self.width().into(), self.height().into(), ExtendedColorType::Rgb8)
            .map_err(Error::Png)?;
        Ok(file)
    }

    /// The picture made small enough for a box, its shape kept; never made larger.
    #[must_use]
    pub fn thumbnail(&self, max_width: u16, max_height: u16) -> Self {
        let (width, height) = (u32::from(self.width()), u32::from(self.height()));
        let (max_width, max_height) = (u32::from(max_width.max(1)), u32::from(max_height.max(1)));
        if width <= max_width && height <= max_height || width == 0 || height == 0 {
            return self.clone();
        }
        // Whichever side is further beyond its limit decides; compared as products to stay exact.
        let (new_width, new_height) = if width * max_height >= height * max_width {
            (max_width, (height * max_width / width).max(1))
        } else {
            ((width * max_height / height).max(1), max_height)
        };
        // The order of the colours is of no interest to scaling.
        let Some(whole) = RgbaImage::from_raw(width, height, self.pixels().to_vec()) else { return self.clone() };
        let small = imageops::thumbnail(&whole, new_width, new_height);
        // Both fit u16: neither is larger than the limits given.
        Self::from_pixels(new_width as u16, new_height as u16, small.into_raw()).unwrap_or_else(|_| self.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::framebuffer::Rect;

    #[test]
    fn png_holds_the_colours() {
        let mut picture = Framebuffer::new(5, 3).unwrap();
        picture.fill(Rect { x: 4, y: 2, width: 1, height: 1 }, [30, 20, 10, 255]);
        let png = image::load_from_memory(&picture.to_png().unwrap()).unwrap().to_rgb8();
        assert_eq!(png.dimensions(), (5, 3));
        assert_eq!(png.get_pixel(4, 2).0, [10, 20, 30]);
        assert_eq!(png.get_pixel(0, 0).0, [0, 0, 0]);
    }

    #[test]
    fn thumbnails_keep_the_shape() {
        for ((width, height), (max_width, max_height), expected) in [
            ((1280, 800), (320, 320), (320, 200)),
            ((800, 1280), (320, 320), (200, 320)),
            ((100, 50), (320, 320), (100, 50)),
            ((16_000, 1), (100, 100), (100, 1)),
            ((10, 10), (0, 0), (1, 1)),
        ] {
            let mut picture = Framebuffer::new(width, height).unwrap();
            picture.fill(picture.bounds(), [9, 8, 7, 255]);
            let small = picture.thumbnail(max_width, max_height);
            assert_eq!((small.width(), small.height()), expected);
            assert_eq!(small.rgb(0, 0), Some([7, 8, 9]));
        }
    }
}
