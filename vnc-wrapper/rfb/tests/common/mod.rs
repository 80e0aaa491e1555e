//! Messages of a server, made by hand.
#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]
#![allow(dead_code, reason = "every test file takes its own part")]

use flate2::{Compress, Compression, FlushCompress};

/// Pixels without order, red, green, blue; always the same.
pub(crate) fn noise(count: usize) -> Vec<[u8; 3]> {
    let mut state = 1u32;
    (0..count)
        .map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let [a, b, c, _] = state.to_be_bytes();
            [a, b & 0x3f, c & 0x0f]
        })
        .collect()
}

/// An update with this count, right or wrong, and these rectangles.
pub(crate) fn update(count: u16, rectangles: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = vec![0, 0];
    bytes.extend(count.to_be_bytes());
    bytes.extend(rectangles.concat());
    bytes
}

/// A rectangle's head.
pub(crate) fn rect(x: u16, y: u16, width: u16, height: u16, encoding: i32) -> Vec<u8> {
    let mut bytes: Vec<u8> = [x, y, width, height].into_iter().flat_map(u16::to_be_bytes).collect();
    bytes.extend(encoding.to_be_bytes());
    bytes
}

/// A raw rectangle.
pub(crate) fn raw(x: u16, y: u16, width: u16, height: u16, pixels: &[[u8; 3]]) -> Vec<u8> {
    let mut bytes = rect(x, y, width, height, 0);
    bytes.extend(pixels.iter().flat_map(|[r, g, b]| [*b, *g, *r, 0]));
    bytes
}

/// A copied rectangle.
pub(crate) fn copy_rect(from_x: u16, from_y: u16, width: u16, height: u16, x: u16, y: u16) -> Vec<u8> {
    let mut bytes = rect(x, y, width, height, 1);
    bytes.extend([from_x, from_y].into_iter().flat_map(u16::to_be_bytes));
    bytes
}

/// A cursor whose mask has the first bit of every byte.
pub(crate) fn cursor(width: u16, height: u16) -> Vec<u8> {
    let mut bytes = rect(0, 0, width, height, -239);
    bytes.extend(vec![0x55; usize::from(width) * usize::from(height) * 4]);
    bytes.extend(vec![0x80; usize::from(width.div_ceil(8) * height)]);
    bytes
}

/// A screen of an ExtendedDesktopSize message, flags 9.
pub(crate) fn screen(id: u32) -> Vec<u8> {
    [&id.to_be_bytes()[..], &[0; 8], &9u32.to_be_bytes()].concat()
}

/// One of Tight's zlib streams, as a server has them.
pub(crate) struct Stream {
    number: u8,
    zlib: Compress,
}

impl Stream {
    pub(crate) fn new(number: u8) -> Self {
        Self { number, zlib: Compress::new(Compression::fast(), true) }
    }

    fn compress(&mut self, data: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(data.len() * 2 + 1000);
        self.zlib.compress_vec(data, &mut out, FlushCompress::Sync).unwrap();
        let length = out.len();
        let mut head = vec![(length & 0x7f) as u8 | 0x80, (length >> 7 & 0x7f) as u8 | 0x80, (length >> 14) as u8];
        head.append(&mut out);
        head
    }
}

pub(crate) mod tight {
    //! Rectangles in the Tight encoding.

    use super::{Stream, rect};

    pub(crate) fn fill(x: u16, y: u16, width: u16, height: u16, colour: [u8; 3]) -> Vec<u8> {
        [&rect(x, y, width, height, 7)[..], &[0x80], &colour].concat()
    }

    pub(crate) fn copy(stream: &mut Stream, x: u16, y: u16, width: u16, height: u16, pixels: &[[u8; 3]]) -> Vec<u8> {
        let data = stream.compress(&pixels.concat());
        [&rect(x, y, width, height, 7)[..], &[stream.number << 4], &data].concat()
    }

    pub(crate) fn gradient(
        stream: &mut Stream,
        x: u16,
        y: u16,
        width: u16,
        height: u16,
        pixels: &[[u8; 3]],
    ) -> Vec<u8> {
        let stride = usize::from(width);
        // Outside the rectangle all is black.
        let at = |x: Option<usize>, y: Option<usize>| match (x, y) {
            (Some(x), Some(y)) => pixels[y * stride + x].map(i16::from),
            _ => [0; 3],
        };
        let mut differences = Vec::new();
        for (index, pixel) in pixels.iter().enumerate() {
            let (x, y) = (index % stride, index / stride);
            let (left, above) = (at(x.checked_sub(1), Some(y)), at(Some(x), y.checked_sub(1)));
            let corner = at(x.checked_sub(1), y.checked_sub(1));
            for (c, value) in pixel.iter().enumerate() {
                let guess = (left[c] + above[c] - corner[c]).clamp(0, 255);
                differences.push(value.wrapping_sub(guess as u8));
            }
        }
        let data = stream.compress(&differences);
        [&rect(x, y, width, height, 7)[..], &[stream.number << 4 | 0x40, 2], &data].concat()
    }

    pub(crate) fn palette(
        stream: Option<&mut Stream>,
        x: u16,
        y: u16,
        width: u16,
        height: u16,
        colours: &[[u8; 3]],
        indices: &[u8],
    ) -> Vec<u8> {
        let number = stream.as_ref().map_or(0, |stream| stream.number);
        let data = stream.map_or_else(|| indices.to_vec(), |stream| stream.compress(indices));
        let head = [number << 4 | 0x40, 1, (colours.len() - 1) as u8];
        [&rect(x, y, width, height, 7)[..], &head, &colours.concat(), &data].concat()
    }
}
