//! What the snapshots take, by session, and the button that makes room.

use adw::prelude::*;
use freezeframe_api::records::{Collected, StorageUse};
use gtk::glib;

use super::form::{bytes, group};
use super::{asking, window};
use crate::i18n::{gettext, gettext_f, ngettext_f};
use crate::named::named;

/// The group, which fills itself.
pub(super) fn storage_group(window: &adw::PreferencesWindow) -> adw::PreferencesGroup {
    let list: gtk::ListBox = named(&gettext("Storage by session"));
    list.set_selection_mode(gtk::SelectionMode::None);
    list.add_css_class("boxed-list");
    let group = group(&gettext("Storage"), &gettext("What is shared by several snapshots is counted once"), &[]);
    let button = gtk::Button::builder().label(gettext("_Free Space")).use_underline(true).build();
    button.set_valign(gtk::Align::Center);
    button.set_tooltip_text(Some(&gettext("Removes for good what deleted snapshots have left behind")));
    group.set_header_suffix(Some(&button));
    group.add(&list);
    button.connect_clicked(glib::clone!(
        #[weak]
        window,
        #[weak]
        list,
        move |button| {
            button.set_sensitive(false);
            glib::spawn_future_local(glib::clone!(
                #[weak]
                window,
                #[weak]
                list,
                #[weak]
                button,
                async move {
                    match asking::collect().await {
                        Ok(collected) => window.add_toast(adw::Toast::new(&said(&collected))),
                        Err(error) => window::tell(&window, &error),
                    }
                    button.set_sensitive(true);
                    fill(&window, &list).await;
                }
            ));
        }
    ));
    glib::spawn_future_local(glib::clone!(
        #[weak]
        window,
        #[weak]
        list,
        async move { fill(&window, &list).await }
    ));
    group
}

fn said(collected: &Collected) -> String {
    let removed = collected.snapshots_removed.len() as u64;
    let (size, n) = (bytes(collected.freed_bytes), removed.to_string());
    ngettext_f(
        "{size} are free again; {n} deleted snapshot is gone for good",
        "{size} are free again; {n} deleted snapshots are gone for good",
        removed,
        &[("size", &size), ("n", &n)],
    )
}

async fn fill(window: &adw::PreferencesWindow, list: &gtk::ListBox) {
    let lines = match asking::storage().await {
        Ok(lines) => lines,
        Err(error) => return window::tell(window, &error),
    };
    while let Some(row) = list.first_child() {
        list.remove(&row);
    }
    let total = lines.iter().find(|line| line.session.is_empty()).map_or(0, |line| line.own_bytes);
    let all = lines.iter().filter(|line| !line.session.is_empty()).map(|line| line.own_bytes).sum::<u64>().max(1);
    for line in &lines {
        list.append(&row(line, all));
    }
    if total == 0 && lines.len() <= 1 {
        list.append(&adw::ActionRow::builder().title(gettext("There are no snapshots yet")).build());
    }
}

/// A session's line; or, without one, the whole store's.
fn row(line: &StorageUse, all: u64) -> adw::ActionRow {
    let n = line.snapshots.to_string();
    let counted = ngettext_f("{n} snapshot", "{n} snapshots", line.snapshots.into(), &[("n", &n)]);
    let title = if line.session.is_empty() { gettext("All together") } else { line.session.clone() };
    let raw = gettext_f("{size} before compression", &[("size", &bytes(line.raw_bytes))]);
    let row = adw::ActionRow::builder()
        .title(glib::markup_escape_text(&title))
        .subtitle(format!("{counted} · {raw}"))
        .build();
    let size = bytes(line.own_bytes);
    if !line.session.is_empty() {
        let bar: gtk::LevelBar = named(&title);
        bar.set_valign(gtk::Align::Center);
        bar.set_width_request(90);
        // Only a picture of the number beside it.
        bar.set_value(line.own_bytes as f64 / all as f64);
        for name in [gtk::LEVEL_BAR_OFFSET_LOW, gtk::LEVEL_BAR_OFFSET_HIGH, gtk::LEVEL_BAR_OFFSET_FULL] {
            bar.remove_offset_value(Some(name));
        }
        row.add_suffix(&bar);
    }
    row.add_suffix(&gtk::Label::builder().label(size).width_chars(9).xalign(1.0).css_classes(["numeric"]).build());
    row
}
