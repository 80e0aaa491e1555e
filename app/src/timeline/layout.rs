//! Where each card and each heading lies: cards in columns, below the heading of their section. Pixels, from the top of
//! the whole timeline.

use std::ops::Range;

/// Around everything, and between cards.
pub(crate) const MARGIN: i32 = 12;
const GAP: i32 = 12;
/// The narrowest card, in a small and in a large window.
const NARROWEST: (i32, i32) = (240, 340);
/// A card's picture is as wide as the card, and in the shape of most desktops.
const SHAPE: (i32, i32) = (10, 16);

/// Left, top, width, height.
pub(crate) type Rect = (i32, i32, i32, i32);

/// A way that the keyboard goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    Left,
    Right,
    Up,
    Down,
    /// As many lines as are seen.
    Page(i32),
    First,
    Last,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Section {
    top: i32,
    items: Range<usize>,
}

/// The places of everything for one width.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Layout {
    columns: usize,
    card: (i32, i32),
    heading: i32,
    sections: Vec<Section>,
    height: i32,
}

impl Layout {
    /// `counts`: cards of each section; `text`: height of a card below its picture; `heading`: height of a heading.
    pub(crate) fn new(width: i32, text: i32, heading: i32, counts: &[usize]) -> Self {
        let inner = (width - 2 * MARGIN).max(1);
        let narrowest = (width / 6).clamp(NARROWEST.0, NARROWEST.1);
        let columns = ((inner + GAP) / (narrowest + GAP)).max(1);
        let card_width = ((inner - (columns - 1) * GAP) / columns).max(1);
        let card = (card_width, picture_height(card_width) + text);
        let columns = usize::try_from(columns).unwrap_or(1);
        let (mut top, mut first) = (MARGIN, 0);
        let mut sections = Vec::with_capacity(counts.len());
        for count in counts {
            sections.push(Section { top, items: first..first + count });
            let lines = i32::try_from(count.div_ceil(columns)).unwrap_or(i32::MAX / card.1.max(1) / 2);
            top = top.saturating_add(heading).saturating_add(lines.saturating_mul(card.1 + GAP));
            first += count;
        }
        Self { columns, card, heading, sections, height: top.saturating_add(MARGIN - GAP).max(0) }
    }

    /// Height of the whole.
    pub(crate) fn height(&self) -> i32 {
        self.height
    }

    pub(crate) fn card_width(&self) -> i32 {
        self.card.0
    }

    fn count(&self) -> usize {
        self.sections.last().map_or(0, |section| section.items.end)
    }

    /// The section of an item.
    fn section(&self, item: usize) -> Option<&Section> {
        let at = self.sections.partition_point(|section| section.items.end <= item);
        self.sections.get(at)
    }

    /// Where a card lies.
    pub(crate) fn card(&self, item: usize) -> Option<Rect> {
        let section = self.section(item)?;
        let place = item.checked_sub(section.items.start)?;
        let (line, column) = (place / self.columns, place % self.columns);
        let (line, column) = (i32::try_from(line).ok()?, i32::try_from(column).ok()?);
        let x = MARGIN + column * (self.card.0 + GAP);
        let y = section.top + self.heading + line * (self.card.1 + GAP);
        Some((x, y, self.card.0, self.card.1))
    }

    /// Where the heading of a section lies.
    pub(crate) fn heading(&self, section: usize, width: i32) -> Option<Rect> {
        let top = self.sections.get(section)?.top;
        Some((MARGIN, top, (width - 2 * MARGIN).max(1), self.heading))
    }

    /// Cards that are seen between two heights, at least in part.
    pub(crate) fn cards_between(&self, top: i32, bottom: i32) -> Range<usize> {
        let sections = self.sections_between(top, bottom);
        let (Some(first), Some(last)) = (self.sections.get(sections.start), self.sections[sections].last()) else {
            return 0..0;
        };
        let line = self.card.1 + GAP;
        let columns = self.columns;
        let lines =
            |section: &Section, y: i32| usize::try_from((y - section.top - self.heading).max(0) / line).unwrap_or(0);
        let start = (first.items.start + lines(first, top) * columns).min(first.items.end);
        let end = (last.items.start + (lines(last, bottom) + 1) * columns).min(last.items.end);
        start..end.max(start)
    }

    /// Sections that are seen between two heights, at least in part.
    pub(crate) fn sections_between(&self, top: i32, bottom: i32) -> Range<usize> {
        let end = self.sections.partition_point(|section| section.top <= bottom);
        let start = self.sections.partition_point(|section| section.top <= top).saturating_sub(1);
        start.min(end)..end
    }

    /// Where the keyboard gets to; none at the edge. `lines`: how many are seen.
    pub(crate) fn step(&self, from: usize, step: Step) -> Option<usize> {
        let last = self.count().checked_sub(1)?;
        let to = match step {
            Step::Left => from.checked_sub(1)?,
            Step::Right => from + 1,
            Step::Up => self.line_up(from)?,
            Step::Down => self.line_down(from)?,
            Step::Page(lines) => {
                let one = if lines < 0 { Self::line_up } else { Self::line_down };
                let mut at = from;
                for _ in 0..lines.unsigned_abs().max(1) {
                    let Some(next) = one(self, at) else { break };
                    at = next;
                }
                at
            }
            Step::First => 0,
            Step::Last => last,
        };
        (to <= last && to != from).then_some(to)
    }

    fn line_up(&self, from: usize) -> Option<usize> {
        let section = self.section(from)?;
        let place = from - section.items.start;
        if place >= self.columns {
            return Some(from - self.columns);
        }
        // The last line of the section above, as far to the right as it goes.
        let above = self.section(section.items.start.checked_sub(1)?)?;
        let start = above.items.start + (above.items.len() - 1) / self.columns * self.columns;
        Some((start + place).min(above.items.end - 1))
    }

    fn line_down(&self, from: usize) -> Option<usize> {
        let section = self.section(from)?;
        let place = from - section.items.start;
        let next = (place / self.columns + 1) * self.columns;
        if next < section.items.len() {
            return Some((from + self.columns).min(section.items.end - 1));
        }
        let below = self.section(section.items.end)?;
        Some((below.items.start + place % self.columns).min(below.items.end - 1))
    }
}

/// Height of the picture of a card that is so wide.
pub(crate) fn picture_height(width: i32) -> i32 {
    width * SHAPE.0 / SHAPE.1
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn columns_follow_the_width() {
        let columns = |width| Layout::new(width, 80, 40, &[100]).columns;
        assert_eq!([columns(360), columns(800), columns(1280), columns(3840)], [1, 3, 5, 10]);
        let layout = Layout::new(360, 80, 40, &[1]);
        assert_eq!(layout.card(0), Some((12, 52, 336, 290)));
    }

    #[test]
    fn the_keyboard_goes_by_lines_and_across_sections() {
        // Three columns: 0 1 2 | 3 / 4 5
        let layout = Layout::new(800, 80, 40, &[4, 2]);
        assert_eq!(layout.step(0, Step::Down), Some(3));
        assert_eq!(layout.step(2, Step::Down), Some(3));
        assert_eq!(layout.step(3, Step::Down), Some(4));
        assert_eq!(layout.step(5, Step::Up), Some(3));
        assert_eq!(layout.step(1, Step::Up), None);
        assert_eq!(layout.step(5, Step::Right), None);
        assert_eq!(layout.step(1, Step::Last), Some(5));
        assert_eq!(layout.step(0, Step::Page(9)), Some(4));
    }

    proptest! {
        #[test]
        fn cards_lie_in_order_without_touching(
            width in 1..5000i32, text in 0..200i32, heading in 0..80i32, counts in prop::collection::vec(1..30usize, 0..20)
        ) {
            let layout = Layout::new(width, text, heading, &counts);
            let total: usize = counts.iter().sum();
            let mut last: Option<Rect> = None;
            for item in 0..total {
                let card = layout.card(item).unwrap();
                prop_assert!(card.1 + card.3 <= layout.height());
                if let Some(last) = last {
                    prop_assert!(card.1 > last.1 + last.3 - 1 || (card.1 == last.1 && card.0 >= last.0 + last.2));
                }
                last = Some(card);
            }
            prop_assert_eq!(layout.card(total), None);
        }

        #[test]
        fn what_is_seen_is_found(
            width in 1..3000i32, counts in prop::collection::vec(1..30usize, 1..20), top in 0..9000i32, tall in 1..3000i32
        ) {
            let layout = Layout::new(width, 80, 40, &counts);
            let found = layout.cards_between(top, top + tall);
            for item in 0..counts.iter().sum() {
                let (_, y, _, height) = layout.card(item).unwrap();
                if y < top + tall && y + height > top {
                    prop_assert!(found.contains(&item), "{} is not in {:?}", item, found);
                }
            }
            // Not much more than that: a line at each end.
            prop_assert!(found.len() <= ((usize::try_from(tall).unwrap() / 80) + 3) * layout.columns * 2);
        }

        #[test]
        fn steps_stay_inside(counts in prop::collection::vec(1..9usize, 1..6), width in 300..2000i32, from in 0..40usize) {
            let layout = Layout::new(width, 80, 40, &counts);
            let total: usize = counts.iter().sum();
            let from = from % total;
            for step in [Step::Left, Step::Right, Step::Up, Step::Down, Step::Page(2), Step::Page(-2), Step::First, Step::Last] {
                if let Some(to) = layout.step(from, step) {
                    prop_assert!(to < total && to != from);
                }
            }
        }
    }
}
