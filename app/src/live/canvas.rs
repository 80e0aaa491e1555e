//! The picture as textures, one for each tile: only what changed is new to the renderer.

use gtk::prelude::*;
use gtk::{gdk, glib, graphene};

use super::geometry::Fit;
use super::tiles::{Grid, Patch};

/// Whether pixels without alpha are drawn faster on this widget. GTK's renderer without a graphics processor, of GTK 4.8,
/// takes every texture through floating point in each frame, but for a few formats; this is the cheapest of them.
pub(crate) fn is_packed_faster(widget: &impl IsA<gtk::Widget>) -> bool {
    let renderer = widget.native().and_then(|native| native.renderer());
    renderer.is_some_and(|renderer| renderer.is::<gtk::gsk::CairoRenderer>())
}

/// The tiles of a picture, as far as they have come.
#[derive(Debug)]
pub(crate) struct Canvas {
    /// The picture's size.
    pub(crate) grid: Grid,
    textures: Vec<Option<gdk::MemoryTexture>>,
}

impl Canvas {
    /// A picture of that size with nothing on it.
    pub(crate) fn new(grid: Grid) -> Self {
        Self { grid, textures: vec![None; grid.len()] }
    }

    /// Takes new tiles over. They are of this picture's size.
    pub(crate) fn apply(&mut self, patch: Patch) {
        for (number, tile) in patch.tiles {
            let part = self.grid.outer(number);
            let Some(texture) = self.textures.get_mut(number) else { continue };
            // Every alpha is 255, so "premultiplied" is true, and it is what a graphics processor takes as it is.
            let (format, bytes) = match tile.packed {
                true => (gdk::MemoryFormat::B8g8r8, 3),
                false => (gdk::MemoryFormat::B8g8r8a8Premultiplied, 4),
            };
            let (width, height, stride) = (part.width.into(), part.height.into(), usize::from(part.width) * bytes);
            let pixels = glib::Bytes::from_owned(tile.pixels);
            *texture = Some(gdk::MemoryTexture::new(width, height, format, &pixels, stride));
        }
    }

    /// Draws it. `density`: how many of the screen's pixels one of the widget's is.
    pub(crate) fn append(&self, snapshot: &gtk::Snapshot, fit: &Fit, density: i32) {
        let scale = fit.width / f32::from(self.grid.width.max(1));
        let scale = (scale, fit.height / f32::from(self.grid.height.max(1)));
        let exact = scale == (1.0, 1.0) && density == 1;
        for (tile, texture) in self.textures.iter().enumerate() {
            let Some(texture) = texture else { continue };
            let outer = self.grid.outer(tile);
            let bounds = graphene::Rect::new(
                fit.x + f32::from(outer.x) * scale.0,
                fit.y + f32::from(outer.y) * scale.1,
                f32::from(outer.width) * scale.0,
                f32::from(outer.height) * scale.1,
            );
            if exact {
                // The margins lie over the neighbours, and show the same pixels.
                snapshot.append_texture(texture, &bounds);
                continue;
            }
            // Scaled, a margin's edge is not exact: it is cut off, at whole pixels of the screen, which leave no gap.
            let density = density.max(1) as f32;
            let whole = |place: f32| (place * density).round() / density;
            let inner = self.grid.inner(tile);
            let left = whole(fit.x + f32::from(inner.x) * scale.0);
            let top = whole(fit.y + f32::from(inner.y) * scale.1);
            let right = whole(fit.x + (f32::from(inner.x) + f32::from(inner.width)) * scale.0);
            let bottom = whole(fit.y + (f32::from(inner.y) + f32::from(inner.height)) * scale.1);
            snapshot.push_clip(&graphene::Rect::new(left, top, right - left, bottom - top));
            snapshot.append_texture(texture, &bounds);
            snapshot.pop();
        }
    }
}
