//! How pixels travel.

use serde::{Deserialize, Serialize};

/// How a server is to send a pixel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct PixelFormat {
    /// 8, 16 or 32.
    pub bits_per_pixel: u8,
    /// How many of the bits mean something.
    pub depth: u8,
    /// Whether the highest byte comes first.
    pub big_endian: bool,
    /// Whether the bits are colours, not indices of a colour map.
    pub true_colour: bool,
    /// The largest value of red, green and blue.
    pub max: [u16; 3],
    /// Where red, green and blue begin, counted from the lowest bit.
    pub shift: [u8; 3],
}

impl PixelFormat {
    /// In memory blue, green, red, unused: what [`crate::Framebuffer`] holds.
    pub const BGRX: Self =
        Self { bits_per_pixel: 32, depth: 24, big_endian: false, true_colour: true, max: [255; 3], shift: [16, 8, 0] };
    /// What TigerVNC's server sends indices of when it is asked for a colour map.
    const BGR233: Self =
        Self { bits_per_pixel: 8, depth: 8, big_endian: false, true_colour: true, max: [7, 7, 3], shift: [0, 3, 6] };
    /// Bytes on the wire.
    pub(crate) const LENGTH: usize = 16;

    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        out.extend([self.bits_per_pixel, self.depth, self.big_endian.into(), self.true_colour.into()]);
        out.extend(self.max.iter().flat_map(|max| max.to_be_bytes()));
        out.extend(self.shift);
        out.extend([0; 3]);
    }

    /// As it is on the wire, right or wrong.
    pub(crate) fn decode(bytes: &[u8; Self::LENGTH]) -> Self {
        let [bits_per_pixel, depth, big_endian, true_colour, r, red, g, green, b, blue, rs, gs, bs, ..] = *bytes;
        Self {
            bits_per_pixel,
            depth,
            big_endian: big_endian != 0,
            true_colour: true_colour != 0,
            max: [[r, red], [g, green], [b, blue]].map(u16::from_be_bytes),
            shift: [rs, gs, bs],
        }
    }

    /// Ok when pixels can be made of it. Its length decides how everything in a stream is read.
    pub(crate) fn check(&self) -> Result<(), String> {
        let bits = self.bits_per_pixel;
        if !matches!(bits, 8 | 16 | 32) || self.depth == 0 || self.depth > bits {
            return Err(format!("depth {} in {bits} bits", self.depth));
        }
        if !self.true_colour {
            return if bits == 8 { Ok(()) } else { Err(format!("a colour map for {bits} bits")) };
        }
        for (max, shift) in self.max.into_iter().zip(self.shift) {
            let wide = max.count_ones();
            if max == 0 || u32::from(max) != (1 << wide) - 1 || u32::from(shift) + wide > u32::from(bits) {
                return Err(format!("a colour up to {max} from bit {shift} on, in {bits} bits"));
            }
        }
        // Whether Tight then sends three bytes or four is nowhere said, and servers differ.
        if self.is_deep() && self.shift.iter().any(|shift| shift % 8 != 0) {
            return Err(format!("colours of a byte each that begin at bits {:?}", self.shift));
        }
        Ok(())
    }

    /// Whether Tight sends three bytes of colours for a pixel.
    fn is_deep(&self) -> bool {
        self.true_colour && self.bits_per_pixel == 32 && self.depth == 24 && self.max == [255; 3]
    }

    /// Bytes of one pixel.
    pub(crate) fn bytes(&self) -> usize {
        usize::from(self.bits_per_pixel / 8).max(1)
    }

    /// Bytes of one pixel in Tight.
    pub(crate) fn tight_bytes(&self) -> usize {
        if self.is_deep() { 3 } else { self.bytes() }
    }

    /// Appends a pixel of this colour. The format has passed [`PixelFormat::check`].
    pub(crate) fn push_pixel(&self, rgb: [u8; 3], out: &mut Vec<u8>) {
        if *self == Self::BGRX {
            out.extend([rgb[2], rgb[1], rgb[0], 255]);
            return;
        }
        let form = if self.true_colour { self } else { &Self::BGR233 };
        let mut value = 0;
        for ((colour, max), shift) in rgb.into_iter().zip(form.max).zip(form.shift) {
            value |= ((u32::from(colour) * u32::from(max) + 127) / 255) << (shift & 31);
        }
        let (little, big, bytes) = (value.to_le_bytes(), value.to_be_bytes(), self.bytes());
        out.extend(if self.big_endian { &big[4 - bytes..] } else { &little[..bytes] });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RGB565: PixelFormat =
        PixelFormat { bits_per_pixel: 16, depth: 16, max: [31, 63, 31], shift: [11, 5, 0], ..PixelFormat::BGRX };

    #[test]
    fn pixels_in_other_forms() {
        let pixel = |format: PixelFormat| {
            let mut out = Vec::new();
            format.push_pixel([255, 128, 0], &mut out);
            out
        };
        assert_eq!(pixel(PixelFormat::BGRX), [0, 128, 255, 255]);
        assert_eq!(pixel(PixelFormat { depth: 32, ..PixelFormat::BGRX }), [0, 128, 255, 0]);
        assert_eq!(pixel(PixelFormat { big_endian: true, ..PixelFormat::BGRX }), [0, 255, 128, 0]);
        assert_eq!(pixel(RGB565), 0xfc00_u16.to_le_bytes());
        assert_eq!(pixel(PixelFormat { big_endian: true, ..RGB565 }), 0xfc00_u16.to_be_bytes());
        assert_eq!(pixel(PixelFormat { true_colour: false, ..PixelFormat::BGR233 }), [0x27]);
    }

    #[test]
    fn what_no_pixel_can_be_made_of_is_refused() {
        for good in [PixelFormat::BGRX, PixelFormat::BGR233, RGB565] {
            assert_eq!(good.check(), Ok(()));
            let mut bytes = Vec::new();
            good.encode(&mut bytes);
            assert_eq!(PixelFormat::decode(bytes.first_chunk().unwrap()), good);
        }
        for bad in [
            PixelFormat { bits_per_pixel: 0, ..PixelFormat::BGRX },
            PixelFormat { bits_per_pixel: 24, ..PixelFormat::BGRX },
            PixelFormat { depth: 33, ..PixelFormat::BGRX },
            PixelFormat { max: [255, 0, 255], ..PixelFormat::BGRX },
            PixelFormat { max: [255, 254, 255], ..PixelFormat::BGRX },
            PixelFormat { max: [u16::MAX; 3], shift: [17, 8, 0], ..PixelFormat::BGRX },
            PixelFormat { shift: [16, 8, 255], ..PixelFormat::BGRX },
            PixelFormat { shift: [17, 9, 1], ..PixelFormat::BGRX },
            PixelFormat { true_colour: false, ..PixelFormat::BGRX },
        ] {
            assert!(bad.check().is_err(), "{bad:?}");
        }
    }
}
