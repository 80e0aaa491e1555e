//! The Tight encoding, for pixels of three colours with eight bits each, without JPEG.

use flate2::{Decompress, FlushDecompress, Status};

use crate::error::{Error, Result};
use crate::framebuffer::{Framebuffer, PIXEL, Rect};
use crate::wire::{Stop, Take};

/// Data shorter than this is sent as it is.
const MIN_TO_COMPRESS: usize = 12;

/// The four zlib streams, which live as long as the connection.
#[derive(Default)]
pub(crate) struct Tight {
    /// Made when first used: each takes 32 KiB and more.
    streams: [Option<Decompress>; 4],
}

/// How the bytes of a rectangle become pixels.
enum Filter {
    Copy,
    /// Colours, each blue, green, red.
    Palette(Vec<[u8; 3]>),
    Gradient,
}

impl Tight {
    /// Takes one rectangle, already checked, out of the buffer and draws it.
    pub(crate) fn decode(&mut self, take: &mut Take<'_>, rect: Rect, picture: &mut Framebuffer) -> Result<(), Stop> {
        // Nothing is changed before all of the rectangle is there: an incomplete one is tried again from its start.
        let control = take.u8()?;
        match control >> 4 {
            0..=7 => {}
            8 => {
                let [red, green, blue] = colour(take)?;
                self.reset(control);
                picture.fill(rect, [blue, green, red, 255]);
                return Ok(());
            }
            9 => return Err(Error::protocol("Tight", "JPEG, which was not offered").into()),
            other => return Err(Error::protocol("Tight", format!("compression {other} is unknown")).into()),
        }
        let filter = if control & 0x40 == 0 { Filter::Copy } else { filter(take)? };
        let width = usize::from(rect.width);
        let row_bytes = match &filter {
            Filter::Palette(colours) if colours.len() <= 2 => width.div_ceil(8),
            Filter::Palette(_) => width,
            Filter::Copy | Filter::Gradient => width * 3,
        };
        // At most 16384 x 16384 x 3, by the check of the rectangle.
        let total = row_bytes * usize::from(rect.height);
        let compressed = total >= MIN_TO_COMPRESS;
        let length = if compressed { take.compact_length()? } else { total };
        let data = take.bytes(length)?;

        self.reset(control);
        let mut rows = Rows { source: data, stream: None };
        if compressed {
            let slot = &mut self.streams[usize::from(control >> 4 & 3)];
            rows.stream = Some(slot.get_or_insert_with(|| Decompress::new(true)));
        }
        draw(&mut rows, &filter, row_bytes, rect, picture)?;
        rows.finish()?;
        Ok(())
    }

    /// Restarts the streams that the control byte's lowest bits name.
    fn reset(&mut self, control: u8) {
        for (index, slot) in self.streams.iter_mut().enumerate() {
            if control & 1 << index != 0
                && let Some(stream) = slot
            {
                stream.reset(true);
            }
        }
    }
}

/// Red, green, blue.
fn colour(take: &mut Take<'_>) -> Result<[u8; 3], Stop> {
    Ok([take.u8()?, take.u8()?, take.u8()?])
}

fn filter(take: &mut Take<'_>) -> Result<Filter, Stop> {
    match take.u8()? {
        0 => Ok(Filter::Copy),
        1 => {
            let count = usize::from(take.u8()?) + 1;
            let bytes = take.bytes(count * 3)?;
            Ok(Filter::Palette(bytes.chunks_exact(3).map(|rgb| [rgb[2], rgb[1], rgb[0]]).collect()))
        }
        2 => Ok(Filter::Gradient),
        other => Err(Error::protocol("Tight", format!("filter {other} is unknown")).into()),
    }
}

/// The bytes of a rectangle, row by row, so that no more memory is taken than a row needs.
struct Rows<'a> {
    source: &'a [u8],
    stream: Option<&'a mut Decompress>,
}

impl Rows<'_> {
    /// Fills a whole row.
    fn read(&mut self, row: &mut [u8]) -> Result<()> {
        let Some(stream) = self.stream.as_deref_mut() else {
            // The caller asks for as many bytes as it computed the length from.
            let (now, later) = self.source.split_at(row.len());
            row.copy_from_slice(now);
            self.source = later;
            return Ok(());
        };
        let mut filled = 0;
        while filled < row.len() {
            let (taken, given) = inflate(stream, self.source, &mut row[filled..])?;
            if taken == 0 && given == 0 {
                return Err(Error::protocol("Tight", "the compressed data ends before the rectangle does"));
            }
            self.source = &self.source[taken..];
            filled += given;
        }
        Ok(())
    }

    /// Takes what is left of the compressed data, which must hold no more pixels.
    fn finish(&mut self) -> Result<()> {
        let Some(stream) = self.stream.as_deref_mut() else { return Ok(()) };
        loop {
            // Asked even when nothing is left to take: the stream may have pixels ready that nobody asked for.
            let (taken, given) = inflate(stream, self.source, &mut [0; 16])?;
            if given > 0 {
                return Err(Error::protocol("Tight", "the compressed data goes on after the rectangle's end"));
            }
            self.source = &self.source[taken..];
            if self.source.is_empty() {
                return Ok(());
            }
            if taken == 0 {
                return Err(Error::protocol("Tight", "the compressed data goes on after its stream's end"));
            }
        }
    }
}

/// One step of a zlib stream: how many bytes it took and how many it gave.
fn inflate(stream: &mut Decompress, from: &[u8], to: &mut [u8]) -> Result<(usize, usize)> {
    let (taken, given) = (stream.total_in(), stream.total_out());
    match stream.decompress(from, to, FlushDecompress::Sync) {
        Ok(Status::Ok | Status::BufError | Status::StreamEnd) => {}
        Err(error) => return Err(Error::protocol("Tight", format!("zlib: {error}"))),
    }
    // Neither is larger than the slices given.
    Ok(((stream.total_in() - taken) as usize, (stream.total_out() - given) as usize))
}

fn draw(rows: &mut Rows<'_>, filter: &Filter, row_bytes: usize, rect: Rect, picture: &mut Framebuffer) -> Result<()> {
    let mut row = vec![0; row_bytes];
    // The row above, for gradients; the one above the first counts as black.
    let mut above = vec![0; if matches!(filter, Filter::Gradient) { row_bytes } else { 0 }];
    for y in rect.y..rect.y + rect.height {
        rows.read(&mut row)?;
        let target = picture.row_mut(rect.x, y, usize::from(rect.width) * PIXEL);
        match filter {
            Filter::Copy => put_rgb(target, &row),
            Filter::Gradient => {
                undo_gradient(&mut row, &above);
                put_rgb(target, &row);
                std::mem::swap(&mut row, &mut above);
            }
            Filter::Palette(colours) => put_indices(target, &row, colours)?,
        }
    }
    Ok(())
}

fn put_rgb(target: &mut [u8], rgb: &[u8]) {
    for (pixel, colour) in target.chunks_exact_mut(PIXEL).zip(rgb.chunks_exact(3)) {
        pixel.copy_from_slice(&[colour[2], colour[1], colour[0], 255]);
    }
}

fn put_indices(target: &mut [u8], row: &[u8], colours: &[[u8; 3]]) -> Result<()> {
    for (x, pixel) in target.chunks_exact_mut(PIXEL).enumerate() {
        let index = if colours.len() <= 2 { row[x / 8] >> (7 - x % 8) & 1 } else { row[x] };
        let colour = colours.get(usize::from(index)).ok_or_else(|| {
            Error::protocol("Tight", format!("colour {index} of a palette that has {}", colours.len()))
        })?;
        pixel[..3].copy_from_slice(colour);
        pixel[3] = 255;
    }
    Ok(())
}

/// What was sent is the difference to left + above - above left, bounded to a byte.
fn undo_gradient(row: &mut [u8], above: &[u8]) {
    for at in 0..row.len() {
        let (left, corner) = if at < 3 { (0, 0) } else { (row[at - 3], above[at - 3]) };
        let guess = (i16::from(left) + i16::from(above[at]) - i16::from(corner)).clamp(0, 255);
        // Bounded by the line above.
        row[at] = row[at].wrapping_add(guess as u8);
    }
}
