//! How smoothly a window draws: `RUST_LOG=freezeframe::frames=debug` logs each frame.

use std::cell::Cell;

use gtk::glib;
use gtk::prelude::*;

const TARGET: &str = "freezeframe::frames";

/// From now on each frame of the window is told with the microseconds since the one before; they come without a break
/// then, also where nothing is to be drawn. Does nothing unless somebody asked for it.
pub(crate) fn tell(window: &impl IsA<gtk::Widget>) {
    if !tracing::enabled!(target: TARGET, tracing::Level::DEBUG) {
        return;
    }
    let last = Cell::new(glib::monotonic_time());
    window.add_tick_callback(move |_, _| {
        let now = glib::monotonic_time();
        tracing::debug!(target: TARGET, since = now - last.replace(now), "frame");
        glib::ControlFlow::Continue
    });
}
