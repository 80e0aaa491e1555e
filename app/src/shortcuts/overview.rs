//! The window that lists the shortcuts. GTK's own kind is 816 pixels wide at least, and its search button has no name for
//! screen readers (GTK 4.8).

use adw::prelude::*;

use super::row::row;
use super::table::Group;
use crate::i18n::gettext;
use crate::single;

/// Opens it over this window.
pub(crate) fn present(parent: Option<&gtk::Window>) {
    single::present("shortcuts", || {
        let title = gettext("Keyboard Shortcuts");
        let window = adw::Window::builder().title(&title).modal(true).default_width(480).default_height(640).build();
        window.set_transient_for(parent);
        let page = adw::PreferencesPage::new();
        for group in Group::ALL {
            let rows = adw::PreferencesGroup::builder().title(group.title()).build();
            for shortcut in group.shortcuts() {
                rows.add(&row(shortcut));
            }
            page.add(&rows);
        }
        page.set_vexpand(true);
        let content = gtk::Box::new(gtk::Orientation::Vertical, 0);
        content.append(&adw::HeaderBar::new());
        content.append(&page);
        window.set_content(Some(&content));
        single::close_by_escape(&window);
        window.upcast()
    });
}
