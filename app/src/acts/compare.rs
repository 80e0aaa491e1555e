//! What differs between two snapshots.

use adw::prelude::*;
use freezeframe_api::records::{Comparison, WindowRow};
use gtk::{gio, glib};

use crate::agent::calls;
use crate::i18n::{gettext, gettext_f, ngettext_f};
use crate::single::close_by_escape;
use crate::timeline::words;
use crate::window::Window;

impl Window {
    /// Asks for the snapshot to compare with.
    pub(crate) fn choose_comparison(&self, id: &str) {
        self.timeline().choose_for(id);
    }

    /// Shows what differs; the older one is the first.
    pub(crate) async fn compare(&self, one: String, other: String) {
        let known = self.timeline().known();
        let taken = |id: &str| known.snapshot(id).map(|snapshot| snapshot.taken);
        let (first, second) = if taken(&one) <= taken(&other) { (one, other) } else { (other, one) };
        match calls::compare(first.clone(), second.clone()).await {
            Ok(comparison) => self.show_comparison(&comparison),
            Err(error) => self.tell_failure(&gettext("The snapshots could not be compared"), &error),
        }
    }

    fn show_comparison(&self, comparison: &Comparison) {
        let known = self.timeline().known();
        let today = self.timeline().today();
        let (first, second) = (known.title(&comparison.first, today), known.title(&comparison.second, today));
        let window = adw::Window::builder()
            .transient_for(self)
            .modal(true)
            .title(gettext("What Is Different"))
            .default_width(560)
            .default_height(520)
            .width_request(340)
            .build();
        let header = adw::HeaderBar::new();
        let subtitle = gettext_f("from {first} to {second}", &[("first", &first), ("second", &second)]);
        header.set_title_widget(Some(&adw::WindowTitle::new(&gettext("What Is Different"), &subtitle)));
        let inside = gtk::Box::builder().orientation(gtk::Orientation::Vertical).spacing(18).build();
        inside.set_margin_top(18);
        inside.set_margin_bottom(18);
        inside.set_margin_start(12);
        inside.set_margin_end(12);
        for (title, windows) in [
            (gettext("Windows Opened"), &comparison.windows_opened),
            (gettext("Windows Closed"), &comparison.windows_closed),
        ] {
            if !windows.is_empty() {
                inside.append(&window_group(&title, windows));
            }
        }
        inside.append(&files_heading(comparison));
        if !comparison.files.is_empty() {
            inside.append(&files(comparison));
        }
        let whole = gtk::Box::new(gtk::Orientation::Vertical, 0);
        whole.append(&header);
        let clamp = adw::Clamp::builder().maximum_size(700).child(&inside).build();
        let scrolled = gtk::ScrolledWindow::builder()
            .hscrollbar_policy(gtk::PolicyType::Never)
            .vexpand(true)
            .child(&clamp)
            .build();
        whole.append(&scrolled);
        window.set_content(Some(&whole));
        close_by_escape(&window);
        window.present();
    }
}

fn window_group(title: &str, windows: &[WindowRow]) -> adw::PreferencesGroup {
    let group = adw::PreferencesGroup::builder().title(title).build();
    for window in windows {
        let row = adw::ActionRow::builder()
            .title(glib::markup_escape_text(&window.title))
            .subtitle(glib::markup_escape_text(&window.application))
            .title_lines(1)
            .build();
        row.add_prefix(&gtk::Image::from_icon_name("focus-windows-symbolic"));
        group.add(&row);
    }
    group
}

fn files_heading(comparison: &Comparison) -> gtk::Label {
    let total = comparison.files_total;
    let shown = comparison.files.len() as u64;
    let mut text = if total == 0 {
        gettext("No file is different")
    } else {
        ngettext_f("{n} file is different", "{n} files are different", total, &[("n", &total.to_string())])
    };
    if shown < total {
        text = gettext_f("{text}; the first {n} are shown", &[("text", &text), ("n", &shown.to_string())]);
    }
    let label = gtk::Label::builder().label(text).xalign(0.0).wrap(true).build();
    label.add_css_class("heading");
    label
}

/// One file: its path and what became of it. GTK 4.8 has no name for the line of a list itself, so the keyboard goes to this,
/// which is in it and has one.
const FILE_ROW: &str = r#"<interface>
  <object class="GtkBox" id="row">
    <property name="orientation">vertical</property>
    <property name="spacing">2</property>
    <property name="focusable">1</property>
    <property name="accessible-role">list-item</property>
    <style><class name="file-row"/></style>
    <accessibility>
      <relation name="labelled-by">path</relation>
      <relation name="described-by">change</relation>
    </accessibility>
    <child>
      <object class="GtkLabel" id="path">
        <property name="xalign">0</property>
        <property name="ellipsize">middle</property>
      </object>
    </child>
    <child>
      <object class="GtkLabel" id="change">
        <property name="xalign">0</property>
        <style><class name="caption"/><class name="dim-label"/></style>
      </object>
    </child>
  </object>
</interface>"#;

/// A list that makes rows only for what is seen of up to thousands.
fn files(comparison: &Comparison) -> gtk::ScrolledWindow {
    let lines: Vec<String> = comparison
        .files
        .iter()
        .map(|file| {
            let change = match file.change.as_str() {
                "added" => gettext("added"),
                "removed" => gettext("removed"),
                _ => gettext("changed"),
            };
            format!("{}\n{change} · {}", file.path, words::bytes(file.bytes))
        })
        .collect();
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    let factory = gtk::SignalListItemFactory::new();
    factory.connect_setup(|_, item| {
        let Some(item) = item.downcast_ref::<gtk::ListItem>() else { return };
        let row: gtk::Box = gtk::Builder::from_string(FILE_ROW).object("row").unwrap_or_default();
        item.set_child(Some(&row));
    });
    factory.connect_bind(|_, item| {
        let Some(item) = item.downcast_ref::<gtk::ListItem>() else { return };
        let text = item.item().and_downcast::<gtk::StringObject>().map(|text| text.string().to_string());
        let text = text.unwrap_or_default();
        let (path, change) = text.rsplit_once('\n').unwrap_or((&text, ""));
        let first = item.child().and_then(|row| row.first_child());
        let second = first.as_ref().and_then(WidgetExt::next_sibling);
        for (label, text) in [(first, path), (second, change)] {
            if let Some(label) = label.and_downcast::<gtk::Label>() {
                label.set_label(text);
                label.set_tooltip_text(Some(text));
            }
        }
    });
    let model = gtk::NoSelection::new(Some(gtk::StringList::new(&lines).upcast::<gio::ListModel>()));
    let list: gtk::ListView = crate::named::named(&gettext("Files"));
    list.set_model(Some(&model));
    list.set_factory(Some(&factory));
    list.add_css_class("card");
    gtk::ScrolledWindow::builder()
        .hscrollbar_policy(gtk::PolicyType::Never)
        .propagate_natural_height(true)
        .min_content_height(120)
        .max_content_height(360)
        .child(&list)
        .build()
}
