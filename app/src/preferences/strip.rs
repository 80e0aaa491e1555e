//! The snapshots in a row, the oldest first: filled ones stay, hollow ones would go.

use std::cell::RefCell;

use freezeframe_api::records::RetentionReport;
use gtk::prelude::*;
use gtk::subclass::prelude::*;
use gtk::{gdk, glib, graphene, gsk};

use crate::i18n::{gettext, ngettext_f};
use crate::named::named;

/// The largest and the smallest mark, in pixels.
const MARK: (f32, f32) = (14.0, 3.0);
const HEIGHT: i32 = 28;

mod imp {
    use super::*;

    #[derive(Default)]
    pub struct Strip {
        /// Whether each stays, from the oldest.
        pub(super) stay: RefCell<Vec<bool>>,
    }

    #[glib::object_subclass]
    impl ObjectSubclass for Strip {
        const NAME: &'static str = "FreezeframeStrip";
        type Type = super::Strip;
        type ParentType = gtk::Widget;

        fn class_init(class: &mut Self::Class) {
            class.set_css_name("strip");
            class.set_accessible_role(gtk::AccessibleRole::Img);
        }
    }

    impl ObjectImpl for Strip {}

    impl WidgetImpl for Strip {
        fn measure(&self, orientation: gtk::Orientation, _for_size: i32) -> (i32, i32, i32, i32) {
            let least = if orientation == gtk::Orientation::Horizontal { 120 } else { HEIGHT };
            (least, least, -1, -1)
        }

        fn snapshot(&self, snapshot: &gtk::Snapshot) {
            let strip = self.obj();
            let style = strip.style_context();
            let colour = style.lookup_color("accent_color").unwrap_or(gdk::RGBA::BLUE);
            let (width, height) = (strip.width() as f32, strip.height() as f32);
            let stay = columns(&self.stay.borrow(), (width / (MARK.1 + 1.0)) as usize);
            if stay.is_empty() {
                return;
            }
            let step = (width / stay.len() as f32).min(MARK.0 + 6.0);
            let side = (step - 1.0).min(MARK.0).max(MARK.1);
            for (index, stays) in stay.iter().enumerate() {
                let x = index as f32 * step + (step - side) / 2.0;
                let bounds = graphene::Rect::new(x, (height - side) / 2.0, side, side);
                let mark = gsk::RoundedRect::from_rect(bounds, side / 2.0);
                if *stays {
                    snapshot.push_rounded_clip(&mark);
                    snapshot.append_color(&colour, &bounds);
                    snapshot.pop();
                } else {
                    let faint = gdk::RGBA::new(colour.red(), colour.green(), colour.blue(), 0.6);
                    let line = (side / 6.0).clamp(0.75, 1.5);
                    snapshot.append_border(&mark, &[line; 4], &[faint; 4]);
                }
            }
        }
    }
}

glib::wrapper! {
    /// What the rules keep.
    pub struct Strip(ObjectSubclass<imp::Strip>) @extends gtk::Widget,
        @implements gtk::Buildable, gtk::ConstraintTarget;
}

impl Default for Strip {
    fn default() -> Self {
        Self::ensure_type();
        let strip: Self = named(&gettext("Which snapshots the rules keep"));
        strip.set_hexpand(true);
        strip
    }
}

impl Strip {
    /// Shows this answer; says in words what it shows.
    pub(super) fn show(&self, report: &RetentionReport) -> String {
        let stay = order(report);
        let words = words(report);
        self.imp().stay.replace(stay);
        self.set_tooltip_text(Some(&words));
        self.queue_draw();
        words
    }
}

/// By the instant of the freeze, of which the text sorts as the time does: all are in UTC.
fn order(report: &RetentionReport) -> Vec<bool> {
    let kept = report.keep.iter().map(|row| (row.created.as_str(), true));
    let gone = report.remove.iter().map(|row| (row.created.as_str(), false));
    let mut all: Vec<_> = kept.chain(gone).collect();
    all.sort_unstable();
    all.into_iter().map(|(_, stays)| stays).collect()
}

/// At most as many marks as there is room for: then each stands for several, and is filled if any of them stays.
fn columns(stay: &[bool], room: usize) -> Vec<bool> {
    let each = stay.len().div_ceil(room.max(1)).max(1);
    stay.chunks(each).map(|some| some.contains(&true)).collect()
}

fn words(report: &RetentionReport) -> String {
    let freed: u64 = report.remove.iter().map(|row| row.own_bytes).sum();
    let gone = report.remove.len() as u64;
    let kept = report.keep.len().to_string();
    let values = [("n", gone.to_string()), ("kept", kept), ("size", super::form::bytes(freed))];
    let values: Vec<(&str, &str)> = values.iter().map(|(name, value)| (*name, value.as_str())).collect();
    ngettext_f(
        "{kept} stay, {n} would go and free up to {size}",
        "{kept} stay, {n} would go and free up to {size}",
        gone,
        &values,
    )
}

#[cfg(test)]
mod tests {
    use freezeframe_api::records::RetentionRow;

    use super::*;

    #[test]
    fn marks_are_in_the_order_of_time() {
        let row = |created: &str| RetentionRow { created: created.into(), own_bytes: 1000, ..RetentionRow::default() };
        let report = RetentionReport {
            remove: vec![row("2026-01-02T00:00:00Z")],
            keep: vec![row("2026-01-03T00:00:00Z"), row("2026-01-01T00:00:00Z")],
            ..RetentionReport::default()
        };
        assert_eq!(order(&report), [true, false, true]);
    }

    #[test]
    fn many_share_a_mark() {
        assert_eq!(columns(&[false, false, true, false], 2), [false, true]);
        assert_eq!(columns(&[true; 3], 10), [true; 3]);
        assert_eq!(columns(&[], 0), Vec::<bool>::new());
    }
}
