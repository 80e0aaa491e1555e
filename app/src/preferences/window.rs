//! The window, its pages, and what becomes of a change.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use adw::prelude::*;
use freezeframe_api::Error;
use freezeframe_api::records::{BaseRow, Settings};
use gtk::glib;

use super::asking::{self, Known};
use super::form::{choice_row, group, number_row, page, switch_row};
use super::shortcuts::shortcuts_groups;
use super::storage::storage_group;
use super::strip::Strip;
use crate::i18n::gettext;
use crate::single;
use crate::timeline::words::sentence;

/// A change is sent once no other follows within this time.
const PAUSE: Duration = Duration::from_millis(400);
/// Sizes that desktops often have.
const SIZES: [(u16, u16); 6] = [(1024, 768), (1280, 800), (1440, 900), (1600, 900), (1920, 1080), (2560, 1440)];
/// The unit of the budget.
const GIB: f64 = (1u64 << 30) as f64;

/// Opens the preferences over this window, where they are not open.
pub(crate) fn present(parent: Option<&gtk::Window>) {
    single::present("preferences", || open(parent).upcast());
}

fn open(parent: Option<&gtk::Window>) -> adw::PreferencesWindow {
    let window = adw::PreferencesWindow::builder()
        .title(gettext("Preferences"))
        .modal(true)
        // The button of libadwaita 1.2's search has no name for screen readers.
        .search_enabled(false)
        .default_width(640)
        .default_height(660)
        .build();
    window.set_transient_for(parent);
    let preferences = Preferences::new(&window);
    glib::spawn_future_local(glib::clone!(
        #[strong]
        preferences,
        async move { preferences.load().await }
    ));
    // It lives as long as its window.
    window.connect_close_request(move |_| {
        preferences.flush();
        glib::Propagation::Proceed
    });
    window
}

/// Shows what went wrong, with the remedy.
pub(super) fn tell(window: &adw::PreferencesWindow, error: &Error) {
    let parts = [sentence(&error.message), error.hint.clone()];
    let text = parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" ");
    let toast = adw::Toast::builder().title(glib::markup_escape_text(&text)).timeout(6).build();
    window.add_toast(toast);
}

/// Puts a setting into its widget.
type Show = Box<dyn Fn(&Settings)>;

struct Preferences {
    window: adw::PreferencesWindow,
    /// As the agent has them.
    known: RefCell<Option<Settings>>,
    /// As the user wants them.
    wanted: RefCell<Settings>,
    bases: RefCell<Vec<BaseRow>>,
    shows: RefCell<Vec<Show>>,
    pages: RefCell<Vec<adw::PreferencesPage>>,
    base: adw::ComboRow,
    size: adw::ComboRow,
    /// What the size's choices stand for.
    sizes: RefCell<Vec<(u16, u16)>>,
    strip: Strip,
    legend: gtk::Label,
    /// Widgets are being filled: what they say is no wish.
    filling: Cell<bool>,
    waiting: RefCell<Option<glib::SourceId>>,
}

impl Preferences {
    fn new(window: &adw::PreferencesWindow) -> Rc<Self> {
        let base = choice_row(&gettext("Base"), &gettext("The system that a new desktop starts from"), &[]);
        let size = choice_row(&gettext("Size"), &gettext("In pixels; it can change while the desktop runs"), &[]);
        let preferences = Rc::new(Self {
            window: window.clone(),
            known: RefCell::default(),
            wanted: RefCell::default(),
            bases: RefCell::default(),
            shows: RefCell::default(),
            pages: RefCell::default(),
            base,
            size,
            sizes: RefCell::default(),
            strip: Strip::default(),
            legend: gtk::Label::builder().xalign(0.0).wrap(true).css_classes(["dim-label"]).build(),
            filling: Cell::default(),
            waiting: RefCell::default(),
        });
        let desktops = group(
            &gettext("New Desktops"),
            "",
            &[preferences.base.upcast_ref::<gtk::Widget>(), preferences.size.upcast_ref()],
        );
        let automatic = preferences.automatic_group();
        let [drawn, rules] = preferences.kept_groups();
        for page in [
            page(&gettext("Snapshots"), "camera-photo-symbolic", &[&automatic, &drawn, &rules]),
            page(&gettext("Desktops"), "video-display-symbolic", &[&desktops]),
            page(&gettext("Storage"), "drive-harddisk-symbolic", &[&storage_group(window)]),
            page(
                &gettext("Shortcuts"),
                "input-keyboard-symbolic",
                &shortcuts_groups(window).iter().collect::<Vec<_>>(),
            ),
        ] {
            window.add(&page);
            preferences.pages.borrow_mut().push(page);
        }
        preferences.follow_choices();
        preferences
    }

    fn automatic_group(self: &Rc<Self>) -> adw::PreferencesGroup {
        let on = self.switch(
            &gettext("Save Desktops Automatically"),
            &gettext("While they run, in the background"),
            |settings| &mut settings.automatic,
        );
        let minutes = self.number(
            &gettext("Minutes Between Snapshots"),
            "",
            (1.0, 10_080.0, 5.0),
            |settings| settings.automatic_minutes.into(),
            |settings, value| settings.automatic_minutes = value as u32,
        );
        let changed = self.switch(
            &gettext("Only When Something Happened"),
            &gettext("Not while nobody types, clicks or sees anything new"),
            |settings| &mut settings.automatic_only_if_changed,
        );
        let notify =
            self.switch(&gettext("Notify After a Snapshot"), &gettext("Of snapshots that you asked for"), |settings| {
                &mut settings.notify
            });
        let rows: Vec<&gtk::Widget> = [&on, &minutes, &changed, &notify].map(Cast::upcast_ref).into();
        group(&gettext("Automatic Snapshots"), "", &rows)
    }

    /// The drawing, and the rules that it is of.
    fn kept_groups(self: &Rc<Self>) -> [adw::PreferencesGroup; 2] {
        let rule = |title: &str, subtitle: &str, get: fn(&mut Settings) -> &mut u32| {
            let read = move |settings: &Settings| f64::from(*get(&mut settings.clone()));
            self.number(title, subtitle, (0.0, 10_000.0, 1.0), read, move |settings, value| {
                *get(settings) = value as u32;
            })
        };
        let rows = [
            rule(&gettext("Newest"), "", |settings| &mut settings.keep_last),
            rule(&gettext("Hours"), &gettext("The last one of each hour"), |settings| &mut settings.keep_hourly),
            rule(&gettext("Days"), &gettext("The last one of each day"), |settings| &mut settings.keep_daily),
            rule(&gettext("Weeks"), &gettext("The last one of each week"), |settings| &mut settings.keep_weekly),
            rule(&gettext("Months"), &gettext("The last one of each month"), |settings| &mut settings.keep_monthly),
            self.number(
                &gettext("At Most, in GiB"),
                &gettext("All snapshots together; 0 for no limit"),
                (0.0, 100_000.0, 1.0),
                |settings| settings.budget_bytes as f64 / GIB,
                |settings, value| settings.budget_bytes = (value * GIB) as u64,
            ),
        ];
        let rules = group("", "", &rows.iter().map(Cast::upcast_ref).collect::<Vec<_>>());
        let drawing = gtk::Box::new(gtk::Orientation::Vertical, 6);
        drawing.append(&self.strip);
        drawing.append(&self.legend);
        let drawn = group(
            &gettext("What Is Kept"),
            &gettext("Pinned snapshots always stay. What no rule keeps is deleted; with every rule at 0, nothing is."),
            &[drawing.upcast_ref()],
        );
        [drawn, rules]
    }

    fn switch(self: &Rc<Self>, title: &str, subtitle: &str, get: fn(&mut Settings) -> &mut bool) -> adw::ActionRow {
        let (row, switch) = switch_row(title, subtitle);
        let preferences = Rc::downgrade(self);
        switch.connect_active_notify(move |switch| {
            if let Some(preferences) = preferences.upgrade() {
                preferences.change(|settings| *get(settings) = switch.is_active());
            }
        });
        self.shows.borrow_mut().push(Box::new(move |settings| switch.set_active(*get(&mut settings.clone()))));
        row
    }

    fn number(
        self: &Rc<Self>,
        title: &str,
        subtitle: &str,
        range: (f64, f64, f64),
        get: impl Fn(&Settings) -> f64 + 'static,
        set: impl Fn(&mut Settings, f64) + 'static,
    ) -> adw::ActionRow {
        let (row, number) = number_row(title, subtitle, range);
        let preferences = Rc::downgrade(self);
        number.connect_value_changed(move |number| {
            if let Some(preferences) = preferences.upgrade() {
                preferences.change(|settings| set(settings, number.value()));
            }
        });
        self.shows.borrow_mut().push(Box::new(move |settings| number.set_value(get(settings))));
        row
    }

    fn follow_choices(self: &Rc<Self>) {
        let preferences = Rc::downgrade(self);
        self.base.connect_selected_notify(move |row| {
            let Some(preferences) = preferences.upgrade() else { return };
            let base = preferences.bases.borrow().get(row.selected() as usize).map(|base| base.base.clone());
            if let Some(base) = base {
                preferences.change(|settings| settings.default_base = base);
            }
        });
        let preferences = Rc::downgrade(self);
        self.size.connect_selected_notify(move |row| {
            let Some(preferences) = preferences.upgrade() else { return };
            let size = preferences.sizes.borrow().get(row.selected() as usize).copied();
            if let Some((width, height)) = size {
                preferences.change(|settings| (settings.default_width, settings.default_height) = (width, height));
            }
        });
    }

    async fn load(&self) {
        match asking::known().await {
            Ok(known) => self.fill(known).await,
            Err(error) => {
                // What cannot be read cannot be changed.
                for page in self.pages.borrow().iter() {
                    page.set_sensitive(false);
                }
                tell(&self.window, &error);
            }
        }
    }

    async fn fill(&self, Known { settings, bases }: Known) {
        self.filling.set(true);
        for show in self.shows.borrow().iter() {
            show(&settings);
        }
        self.fill_choices(&settings, bases);
        self.wanted.replace(settings.clone());
        self.known.replace(Some(settings));
        self.filling.set(false);
        self.draw().await;
    }

    fn fill_choices(&self, settings: &Settings, bases: Vec<BaseRow>) {
        let names: Vec<&str> = bases.iter().map(|base| base.base.as_str()).collect();
        self.base.set_model(Some(&gtk::StringList::new(&names)));
        let chosen = names.iter().position(|name| *name == settings.default_base).unwrap_or(0);
        self.base.set_selected(u32::try_from(chosen).unwrap_or_default());
        self.base.set_sensitive(!names.is_empty());
        self.bases.replace(bases);

        let own = (settings.default_width, settings.default_height);
        let mut sizes = SIZES.to_vec();
        if own.0 > 0 && !sizes.contains(&own) {
            sizes.push(own);
            sizes.sort_unstable();
        }
        let words: Vec<String> = sizes.iter().map(|(width, height)| format!("{width} × {height}")).collect();
        self.size.set_model(Some(&gtk::StringList::new(&words.iter().map(String::as_str).collect::<Vec<_>>())));
        let chosen = sizes.iter().position(|size| *size == own).unwrap_or(1);
        self.size.set_selected(u32::try_from(chosen).unwrap_or_default());
        self.sizes.replace(sizes);
    }

    /// The user wants it so; sent when no other change follows.
    fn change(self: &Rc<Self>, edit: impl FnOnce(&mut Settings)) {
        if self.filling.get() {
            return;
        }
        edit(&mut self.wanted.borrow_mut());
        let preferences = Rc::downgrade(self);
        let waiting = glib::timeout_add_local_once(PAUSE, move || {
            if let Some(preferences) = preferences.upgrade() {
                preferences.waiting.take();
                glib::spawn_future_local(async move { preferences.send().await });
            }
        });
        if let Some(before) = self.waiting.replace(Some(waiting)) {
            before.remove();
        }
    }

    /// Sends at once what waits: the window closes.
    fn flush(self: &Rc<Self>) {
        if let Some(waiting) = self.waiting.take() {
            waiting.remove();
            let preferences = Rc::clone(self);
            glib::spawn_future_local(async move { preferences.send().await });
        }
    }

    async fn send(&self) {
        let (Some(known), wanted) = (self.known.borrow().clone(), self.wanted.borrow().clone()) else { return };
        if known == wanted {
            return;
        }
        match asking::set(&known, &wanted).await {
            Ok(()) => {
                self.known.replace(Some(wanted));
                self.draw().await;
            }
            Err(error) => {
                tell(&self.window, &error);
                // The widgets show again what holds.
                self.load().await;
            }
        }
    }

    /// Draws what the rules would keep.
    async fn draw(&self) {
        let wanted = self.wanted.borrow().clone();
        match asking::retention(&wanted).await {
            Ok(report) if report.keep.is_empty() && report.remove.is_empty() => {
                self.strip.show(&report);
                self.legend.set_label(&gettext("There are no snapshots yet"));
            }
            Ok(report) => self.legend.set_label(&self.strip.show(&report)),
            Err(error) => self.legend.set_label(&sentence(&error.message)),
        }
    }
}
