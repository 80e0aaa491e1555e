//! Gives the keys to the program and its windows, and says them where something can be clicked instead.

use std::cell::RefCell;

use adw::prelude::*;
use gtk::glib;

use super::accelerator::Accelerator;
use super::keymap::Keymap;
use super::keys::Keys;
use super::table::{Group, Shortcut};
use crate::agent::settings;
use crate::i18n::gettext_f;
use crate::runtime::runtime;

/// Follows what the agent keeps, from now on. The keys that come before a desktop are the program's: GTK looks for those
/// before it asks what has the keyboard.
pub(crate) fn start(application: &gtk::Application) {
    let give = glib::clone!(
        #[weak]
        application,
        move |keymap: &Keymap| {
            for shortcut in Group::Desktop.shortcuts() {
                let keys = keymap.keys(shortcut).map(|keys| keys.to_string());
                let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
                application.set_accels_for_action(shortcut.action(), &keys);
            }
        }
    );
    let keys = Keys::get();
    give(&keys.keymap());
    keys.connect_closure("changed", false, glib::closure_local!(move |keys: Keys| give(&keys.keymap())));
    let (tell, told) = async_channel::bounded(2);
    runtime().spawn(settings::watch(tell));
    glib::spawn_future_local(async move {
        while let Ok(settings) = told.recv().await {
            keys.take(settings.shortcuts);
        }
    });
}

/// Gives a window the keys that a desktop in it hears first: keys of the program as a whole would be taken from it.
pub(crate) fn add_to(window: &gtk::Window) {
    let added: RefCell<Option<gtk::ShortcutController>> = RefCell::default();
    Keys::get().follow(window, move |window, keymap| {
        let controller = gtk::ShortcutController::new();
        for shortcut in Group::Window.shortcuts() {
            if let Some(keys) = keymap.keys(shortcut) {
                let action = gtk::NamedAction::new(shortcut.action());
                controller.add_shortcut(gtk::Shortcut::new(Some(trigger(keys)), Some(action)));
            }
        }
        window.add_controller(controller.clone());
        if let Some(before) = added.replace(Some(controller)) {
            window.remove_controller(&before);
        }
    });
}

fn trigger(keys: Accelerator) -> gtk::KeyvalTrigger {
    gtk::KeyvalTrigger::new(keys.key(), keys.modifiers())
}

/// Says the keys of a shortcut in the tooltip of what does the same, behind what stands there.
pub(crate) fn say_keys(widget: &impl IsA<gtk::Widget>, shortcut: Shortcut) {
    let what = widget.as_ref().tooltip_text().unwrap_or_default();
    Keys::get().follow(widget.as_ref(), move |widget, _| {
        let text = match Keys::get().say(shortcut) {
            // A tooltip, such as "Search (Ctrl+F)".
            Some(keys) => gettext_f("{what} ({keys})", &[("what", &what), ("keys", &keys)]),
            None => what.to_string(),
        };
        widget.set_tooltip_text(Some(&text));
    });
}
