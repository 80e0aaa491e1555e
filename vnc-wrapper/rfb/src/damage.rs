//! Where a picture changed.

use crate::framebuffer::Rect;

/// More rectangles than this are joined: to tell them apart would take longer than to draw what lies between them.
const MAX_RECTS: usize = 32;

/// The parts of a picture that changed, as a few rectangles that may overlap.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Damage {
    rects: Vec<Rect>,
}

impl Damage {
    /// The rectangles, none of them empty; at most 32.
    pub fn rects(&self) -> &[Rect] {
        &self.rects
    }

    /// Whether nothing changed.
    pub fn is_empty(&self) -> bool {
        self.rects.is_empty()
    }

    /// This changed too.
    pub fn add(&mut self, rect: Rect) {
        if rect.is_empty() || self.rects.iter().any(|known| known.union(rect) == *known) {
            return;
        }
        if self.rects.len() < MAX_RECTS {
            self.rects.push(rect);
            return;
        }
        // Into the one that grows least by it.
        let growth = |known: &Rect| known.union(rect).area() - known.area();
        if let Some(nearest) = self.rects.iter_mut().min_by_key(|known| growth(known)) {
            *nearest = nearest.union(rect);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dot(x: u16, y: u16) -> Rect {
        Rect { x, y, width: 1, height: 1 }
    }

    #[test]
    fn what_is_known_is_not_told_twice() {
        let mut damage = Damage::default();
        assert!(damage.is_empty());
        damage.add(Rect::default());
        assert!(damage.is_empty());
        damage.add(Rect { x: 10, y: 10, width: 20, height: 20 });
        damage.add(dot(15, 29));
        assert_eq!(damage.rects().len(), 1);
        damage.add(dot(30, 29));
        assert_eq!(damage.rects().len(), 2);
    }

    #[test]
    fn many_are_joined_and_none_is_lost() {
        let mut damage = Damage::default();
        let dots: Vec<Rect> = (0..5_000).map(|at| dot(at % 1_000, at * 7 % 600)).collect();
        dots.iter().for_each(|rect| damage.add(*rect));
        assert_eq!(damage.rects().len(), MAX_RECTS);
        for rect in dots {
            assert!(damage.rects().iter().any(|known| known.union(rect) == *known), "{rect}");
        }
    }
}
