//! The strip of time along the top: a mark for each snapshot, and a handle to drag.

use std::cell::{Cell, RefCell};

use gtk::prelude::*;
use gtk::subclass::prelude::*;
use gtk::{gdk, glib, graphene, gsk, pango};
use jiff::civil::{Date, DateTime};

use super::model::Snapshot;
use super::strip::Strip;
use super::words;

/// Height of the marks, room at both ends, width of a mark.
const TALL: f32 = 26.0;
const END: f32 = 18.0;
const MARK: f32 = 3.0;
/// Labels of days are so far apart at least.
const APART: f32 = 12.0;
/// No label of a day is narrower.
const NARROWEST: f32 = 16.0;

/// What is drawn of one snapshot.
#[derive(Clone, Debug)]
struct Mark {
    /// When it was taken.
    local: DateTime,
    /// The first of a day carries that day's name.
    day: Option<String>,
    damaged: bool,
    pinned: bool,
}

mod imp {
    use super::*;

    #[derive(Default)]
    pub struct Scrubber {
        pub(super) strip: RefCell<Strip>,
        pub(super) marks: RefCell<Vec<Mark>>,
        /// The day that is called today.
        pub(super) today: Cell<Date>,
        /// Where the handle is; the oldest is 0.
        pub(super) at: Cell<Option<usize>>,
    }

    #[glib::object_subclass]
    impl ObjectSubclass for Scrubber {
        const NAME: &'static str = "FreezeframeScrubber";
        type Type = super::Scrubber;
        type ParentType = gtk::Widget;

        fn class_init(class: &mut Self::Class) {
            class.set_css_name("scrubber");
            class.set_accessible_role(gtk::AccessibleRole::Slider);
            for (key, by) in [
                (gdk::Key::Left, -1),
                (gdk::Key::Right, 1),
                (gdk::Key::Page_Up, -10),
                (gdk::Key::Page_Down, 10),
                (gdk::Key::Home, i32::MIN),
                (gdk::Key::End, i32::MAX),
            ] {
                class.add_binding(key, gdk::ModifierType::empty(), move |scrubber: &super::Scrubber| {
                    scrubber.step(by);
                    glib::Propagation::Stop
                });
            }
        }
    }

    impl ObjectImpl for Scrubber {
        fn constructed(&self) {
            self.parent_constructed();
            let scrubber = self.obj();
            scrubber.set_focusable(true);
            scrubber.take_pointer();
        }

        fn signals() -> &'static [glib::subclass::Signal] {
            static SIGNALS: std::sync::OnceLock<Vec<glib::subclass::Signal>> = std::sync::OnceLock::new();
            SIGNALS.get_or_init(|| {
                vec![glib::subclass::Signal::builder("scrubbed").param_types([u32::static_type()]).build()]
            })
        }
    }

    impl WidgetImpl for Scrubber {
        fn measure(&self, orientation: gtk::Orientation, _for_size: i32) -> (i32, i32, i32, i32) {
            if orientation == gtk::Orientation::Horizontal { (200, 600, -1, -1) } else { (52, 52, -1, -1) }
        }

        fn snapshot(&self, snapshot: &gtk::Snapshot) {
            self.obj().draw(snapshot);
        }
    }
}

glib::wrapper! {
    /// The strip of time.
    pub struct Scrubber(ObjectSubclass<imp::Scrubber>) @extends gtk::Widget,
        @implements gtk::Buildable, gtk::ConstraintTarget;
}

impl Scrubber {
    /// Shows these, of which the newest is first.
    pub(crate) fn show(&self, newest_first: &[Snapshot], today: Date) {
        let scrubber = self.imp();
        let moments: Vec<_> = newest_first.iter().rev().map(|snapshot| snapshot.taken).collect();
        let mut last = None;
        let marks = newest_first.iter().rev().map(|snapshot| {
            let date = snapshot.local.date();
            let first = last.replace(date) != Some(date);
            Mark {
                local: snapshot.local,
                day: first.then(|| words::day(today, date)),
                damaged: snapshot.row.state == "damaged",
                pinned: snapshot.row.pinned,
            }
        });
        scrubber.marks.replace(marks.collect());
        scrubber.today.set(today);
        scrubber.strip.replace(Strip::new(&moments));
        self.set_at(None);
    }

    /// Puts the handle at a snapshot, the oldest is 0; none for nowhere.
    pub(crate) fn set_at(&self, at: Option<usize>) {
        let scrubber = self.imp();
        scrubber.at.set(at.filter(|at| *at < scrubber.strip.borrow().len()));
        let marks = scrubber.marks.borrow();
        let at = scrubber.at.get().unwrap_or(marks.len().saturating_sub(1));
        // In words, for a screen reader.
        let spoken = marks.get(at).map(|mark| words::moment(scrubber.today.get(), mark.local));
        self.set_tooltip_text(spoken.as_deref());
        self.queue_draw();
    }

    /// Calls back with the snapshot that the handle came to; the oldest is 0.
    pub(crate) fn connect_scrubbed(&self, call: impl Fn(&Self, usize) + 'static) {
        self.connect_closure(
            "scrubbed",
            false,
            glib::closure_local!(move |scrubber: &Self, at: u32| call(scrubber, at as usize)),
        );
    }

    fn scrub(&self, at: usize) {
        if self.imp().at.get() != Some(at) {
            self.set_at(Some(at));
            if let Ok(at) = u32::try_from(at) {
                self.emit_by_name::<()>("scrubbed", &[&at]);
            }
        }
    }

    fn step(&self, by: i32) {
        let Some(last) = self.imp().strip.borrow().len().checked_sub(1) else { return };
        let at = match self.imp().at.get() {
            Some(at) => at.saturating_add_signed(by as isize).min(last),
            None => last,
        };
        self.scrub(at);
    }

    fn room(&self) -> f32 {
        #[allow(clippy::cast_precision_loss, reason = "pixels of a window")]
        let width = self.width() as f32;
        (width - 2.0 * END).max(1.0)
    }

    #[allow(clippy::cast_possible_truncation, reason = "pixels")]
    fn x(&self, place: f64) -> f32 {
        END + place as f32 * self.room()
    }

    fn take_pointer(&self) {
        let drag = gtk::GestureDrag::new();
        let seek = glib::clone!(
            #[weak(rename_to = scrubber)]
            self,
            move |x: f64| {
                let place = (x - f64::from(END)) / f64::from(scrubber.room());
                let at = scrubber.imp().strip.borrow().nearest(place);
                if let Some(at) = at {
                    scrubber.scrub(at);
                }
            }
        );
        let begin = seek.clone();
        drag.connect_drag_begin(glib::clone!(
            #[weak(rename_to = scrubber)]
            self,
            move |_, x, _| {
                scrubber.grab_focus();
                begin(x);
            }
        ));
        drag.connect_drag_update(move |drag, x, _| {
            if let Some((start, _)) = drag.start_point() {
                seek(start + x);
            }
        });
        self.add_controller(drag);
    }

    #[allow(deprecated, reason = "GTK 4.10 has another way, Debian 12 has 4.8")]
    fn draw(&self, snapshot: &gtk::Snapshot) {
        let scrubber = self.imp();
        let style = self.style_context();
        let color = style.color();
        let with = |alpha: f32| gdk::RGBA::new(color.red(), color.green(), color.blue(), color.alpha() * alpha);
        let named = |name: &str| style.lookup_color(name).unwrap_or(color);
        let (accent, error) = (named("accent_bg_color"), named("error_color"));
        let track = graphene::Rect::new(END - 6.0, 4.0, self.room() + 12.0, TALL);
        snapshot.push_rounded_clip(&gsk::RoundedRect::from_rect(track, 6.0));
        snapshot.append_color(&with(0.08), &track);
        let strip = scrubber.strip.borrow();
        let marks = scrubber.marks.borrow();
        let mut last = f32::MIN;
        for (number, mark) in marks.iter().enumerate() {
            let x = self.x(strip.place(number).unwrap_or_default());
            // More than one a pixel cannot be told apart, unless it says something.
            if x - last < 1.5 && !mark.damaged && !mark.pinned {
                continue;
            }
            last = x;
            let (tone, inset) = match (mark.damaged, mark.pinned) {
                (true, _) => (error, 3.0),
                (_, true) => (accent, 3.0),
                _ => (with(0.45), 8.0),
            };
            let tick = graphene::Rect::new(x - MARK / 2.0, 4.0 + inset, MARK, TALL - 2.0 * inset);
            snapshot.push_rounded_clip(&gsk::RoundedRect::from_rect(tick, MARK / 2.0));
            snapshot.append_color(&tone, &tick);
            snapshot.pop();
        }
        snapshot.pop();
        self.draw_days(snapshot, &marks, &strip, &with(0.65));
        if let Some(place) = scrubber.at.get().and_then(|at| strip.place(at)) {
            let x = self.x(place);
            let handle = graphene::Rect::new(x - 4.0, 0.0, 8.0, TALL + 8.0);
            snapshot.push_rounded_clip(&gsk::RoundedRect::from_rect(handle, 4.0));
            snapshot.append_color(&accent, &handle);
            snapshot.pop();
        }
        if self.has_visible_focus() {
            let around =
                gsk::RoundedRect::from_rect(graphene::Rect::new(END - 9.0, 1.0, self.room() + 18.0, TALL + 6.0), 8.0);
            snapshot.append_border(&around, &[2.0; 4], &[accent; 4]);
        }
    }

    fn draw_days(&self, snapshot: &gtk::Snapshot, marks: &[Mark], strip: &Strip, color: &gdk::RGBA) {
        // From the newest on, so that today's name is always there.
        let mut free = END + self.room() + 6.0;
        for (number, mark) in marks.iter().enumerate().rev() {
            let Some(day) = &mark.day else { continue };
            let left = self.x(strip.place(number).unwrap_or_default());
            // A layout for each day of a year would take longer than the frame.
            if left.min(END + self.room() - NARROWEST) + NARROWEST > free {
                continue;
            }
            let layout = self.create_pango_layout(Some(day));
            let mut font = layout.context().font_description().unwrap_or_default();
            font.set_size(font.size() * 8 / 10);
            layout.set_font_description(Some(&font));
            layout.set_alignment(pango::Alignment::Left);
            #[allow(clippy::cast_precision_loss, reason = "pixels")]
            let wide = layout.pixel_size().0 as f32;
            let x = left.min(END + self.room() + 6.0 - wide);
            if x + wide > free || x < END - 6.0 {
                continue;
            }
            free = x - APART;
            snapshot.save();
            snapshot.translate(&graphene::Point::new(x, TALL + 8.0));
            snapshot.append_layout(&layout, color);
            snapshot.restore();
        }
    }
}
