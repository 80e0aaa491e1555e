//! A picture in tiles, so that a change costs what changed and not the whole picture.
//!
//! Each tile carries a margin of its neighbours' pixels: what scales a tile looks a little beyond its edge, and without the
//! margin it would show a seam there.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use freezeframe_rfb::{Damage, Framebuffer, Rect};

/// Pixels along a tile's side: a letter changes one or two of them, and a large screen has little more than a hundred.
const SIDE: u16 = 256;
/// Pixels around a tile that its texture has besides.
const MARGIN: u16 = 2;
/// Bytes of a pixel.
const PIXEL: usize = 4;
/// Bytes of one without alpha.
const PACKED: usize = 3;

/// How a picture of some size is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Grid {
    /// The picture's width in pixels.
    pub(crate) width: u16,
    /// Its height.
    pub(crate) height: u16,
}

impl Grid {
    fn columns(self) -> usize {
        usize::from(self.width.div_ceil(SIDE))
    }

    /// How many tiles there are.
    pub(crate) fn len(self) -> usize {
        self.columns() * usize::from(self.height.div_ceil(SIDE))
    }

    /// The part of the picture that a tile stands for. No pixel is in two of them.
    pub(crate) fn inner(self, tile: usize) -> Rect {
        self.part(tile, 0)
    }

    /// The part of the picture that a tile's texture holds.
    pub(crate) fn outer(self, tile: usize) -> Rect {
        self.part(tile, MARGIN)
    }

    fn part(self, tile: usize, margin: u16) -> Rect {
        let along = |at: usize, length: u16| {
            // A tile's number comes from the picture's size, which is two u16.
            let start = (at * usize::from(SIDE)) as u16;
            let end = start.saturating_add(SIDE).saturating_add(margin).min(length);
            let start = start.saturating_sub(margin);
            (start, end.saturating_sub(start))
        };
        let (x, width) = along(tile % self.columns().max(1), self.width);
        let (y, height) = along(tile / self.columns().max(1), self.height);
        Rect { x, y, width, height }
    }

    /// The tiles whose textures show some of this rectangle.
    fn touched(self, rect: Rect) -> impl Iterator<Item = usize> {
        let along = |start: u16, length: u16, whole: u16| {
            let first = start.saturating_sub(MARGIN) / SIDE;
            let end = u32::from(start) + u32::from(length) + u32::from(MARGIN);
            let end = end.min(u32::from(whole)).div_ceil(u32::from(SIDE));
            usize::from(first)..end as usize
        };
        let rows = if rect.is_empty() { 0..0 } else { along(rect.y, rect.height, self.height) };
        let columns = along(rect.x, rect.width, self.width);
        rows.flat_map(move |row| columns.clone().map(move |column| row * self.columns() + column))
    }
}

/// A tile's pixels, rows from the top, without gaps.
#[derive(Debug)]
pub(crate) struct Tile {
    /// Whether a pixel is blue, green and red alone; else it is what [`Framebuffer::pixels`] has.
    pub(crate) packed: bool,
    /// The bytes.
    pub(crate) pixels: Vec<u8>,
}

/// Tiles that are new.
#[derive(Debug)]
pub(crate) struct Patch {
    /// How they were cut.
    pub(crate) grid: Grid,
    /// The tiles, by their number.
    pub(crate) tiles: BTreeMap<usize, Tile>,
}

impl Patch {
    /// Cuts out of the picture what changed.
    pub(crate) fn cut(picture: &Framebuffer, damage: &Damage, packed: bool) -> Self {
        let grid = Grid { width: picture.width(), height: picture.height() };
        let mut tiles = BTreeMap::new();
        for tile in damage.rects().iter().flat_map(|rect| grid.touched(*rect)) {
            tiles.entry(tile).or_insert_with(|| cut(picture, grid.outer(tile), packed));
        }
        Self { grid, tiles }
    }
}

fn cut(picture: &Framebuffer, part: Rect, packed: bool) -> Tile {
    let stride = usize::from(picture.width()) * PIXEL;
    let columns = usize::from(part.x) * PIXEL..(usize::from(part.x) + usize::from(part.width)) * PIXEL;
    let rows = picture.pixels().chunks_exact(stride).skip(part.y.into()).take(part.height.into());
    let rows = rows.map(|row| &row[columns.clone()]);
    if !packed {
        let mut pixels = Vec::with_capacity(columns.len() * usize::from(part.height));
        rows.for_each(|row| pixels.extend_from_slice(row));
        return Tile { packed, pixels };
    }
    let mut pixels = vec![0; part.area() as usize * PACKED];
    for (to, from) in pixels.chunks_exact_mut(usize::from(part.width) * PACKED).zip(rows) {
        for (to, from) in to.chunks_exact_mut(PACKED).zip(from.chunks_exact(PIXEL)) {
            to.copy_from_slice(&from[..PACKED]);
        }
    }
    Tile { packed, pixels }
}

/// What was received and not shown yet. It holds each tile once, however many updates come before it is shown.
#[derive(Debug, Default)]
pub(crate) struct Pending {
    patch: Mutex<Option<Patch>>,
    taken: tokio::sync::Notify,
    packed: AtomicBool,
}

impl Pending {
    /// Adds what is newer. A patch of another size has to be a whole picture. Answers whether a widget that shows pictures
    /// has to be told.
    pub(crate) fn put(&self, newer: Patch) -> bool {
        let mut patch = self.lock();
        match patch.as_mut() {
            Some(waiting) if waiting.grid == newer.grid => {
                waiting.tiles.extend(newer.tiles);
                false
            }
            _ => {
                *patch = Some(newer);
                true
            }
        }
    }

    /// Whether tiles are wanted without alpha.
    pub(crate) fn packed(&self) -> bool {
        self.packed.load(Ordering::Relaxed)
    }

    /// From now on tiles are wanted so; some may come otherwise still.
    pub(crate) fn set_packed(&self, packed: bool) {
        self.packed.store(packed, Ordering::Relaxed);
    }

    /// The picture's size in what waits.
    pub(crate) fn grid(&self) -> Option<Grid> {
        self.lock().as_ref().map(|patch| patch.grid)
    }

    /// Takes what waits.
    pub(crate) fn take(&self) -> Option<Patch> {
        let patch = self.lock().take();
        self.taken.notify_one();
        patch
    }

    /// Whether nothing waits.
    pub(crate) fn is_empty(&self) -> bool {
        self.lock().is_none()
    }

    /// Waits until somebody took what waited.
    pub(crate) async fn taken(&self) {
        while !self.is_empty() {
            self.taken.notified().await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<Patch>> {
        // Whatever panicked, a patch is whole.
        self.patch.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn picture(width: u16, height: u16) -> Framebuffer {
        let pixels = (0..usize::from(width) * usize::from(height) * PIXEL).map(|at| (at / PIXEL % 251) as u8).collect();
        Framebuffer::from_pixels(width, height, pixels).unwrap()
    }

    fn damage(rects: &[Rect]) -> Damage {
        let mut damage = Damage::default();
        rects.iter().for_each(|rect| damage.add(*rect));
        damage
    }

    #[test]
    fn tiles_make_the_picture() {
        for (width, height) in [(1, 1), (256, 256), (257, 511), (1000, 700), (16_384, 3)] {
            let (picture, grid) = (picture(width, height), Grid { width, height });
            for packed in [false, true] {
                let patch = Patch::cut(&picture, &damage(&[picture.bounds()]), packed);
                assert_eq!(patch.tiles.len(), grid.len());
                let (mut seen, bytes) = (0, if packed { PACKED } else { PIXEL });
                for (number, tile) in patch.tiles {
                    let (inner, outer) = (grid.inner(number), grid.outer(number));
                    assert_eq!(tile.pixels.len(), outer.area() as usize * bytes);
                    assert_eq!(outer.union(inner), outer);
                    seen += inner.area();
                    for (at, pixel) in tile.pixels.chunks_exact(bytes).enumerate() {
                        let (x, y) = (at % usize::from(outer.width), at / usize::from(outer.width));
                        let there = picture.rgb(outer.x + x as u16, outer.y + y as u16).unwrap();
                        assert_eq!([pixel[2], pixel[1], pixel[0]], there);
                    }
                }
                assert_eq!(seen, picture.bounds().area());
            }
        }
    }

    #[test]
    fn a_change_costs_the_tiles_that_show_it() {
        let picture = picture(1000, 700);
        let tiles = |rect| Patch::cut(&picture, &damage(&[rect]), false).tiles.into_keys().collect::<Vec<_>>();
        let dot = |x, y| Rect { x, y, width: 1, height: 1 };
        assert_eq!(tiles(dot(0, 0)), [0]);
        assert_eq!(tiles(dot(253, 100)), [0]);
        // In the margin of the neighbours, and in a corner of four.
        assert_eq!(tiles(dot(254, 100)), [0, 1]);
        assert_eq!(tiles(dot(257, 257)), [0, 1, 4, 5]);
        assert_eq!(tiles(dot(258, 258)), [5]);
        assert_eq!(tiles(dot(999, 699)), [11]);
        // Every tile whose texture holds the pixel is there, for pixels all over.
        let grid = Grid { width: 1000, height: 700 };
        for (x, y) in (0..1000).step_by(13).flat_map(|x| (0..700).step_by(7).map(move |y| (x, y))) {
            let holds = |tile: &usize| grid.outer(*tile).union(dot(x, y)) == grid.outer(*tile);
            assert_eq!(tiles(dot(x, y)), (0..grid.len()).filter(holds).collect::<Vec<_>>());
        }
    }

    #[test]
    fn what_waits_is_one_picture_at_most() {
        let pending = Pending::default();
        let first = picture(600, 300);
        let cut = |rect| Patch::cut(&first, &damage(&[rect]), false);
        let corner = Rect { x: 0, y: 0, width: 9, height: 9 };
        assert!(pending.is_empty());
        assert!(pending.put(cut(first.bounds())));
        assert!(!pending.put(cut(corner)));
        assert_eq!(pending.grid(), Some(Grid { width: 600, height: 300 }));
        // Another size: what waited is of no use any more.
        let small = picture(300, 100);
        assert!(pending.put(Patch::cut(&small, &damage(&[small.bounds()]), false)));
        let taken = pending.take().unwrap();
        assert_eq!((taken.grid.width, taken.tiles.len()), (300, 2));
        assert!(pending.take().is_none());
        assert!(pending.put(cut(corner)));
        assert_eq!(pending.take().unwrap().tiles.len(), 1);
    }
}
