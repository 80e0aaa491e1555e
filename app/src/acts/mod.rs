//! What a person can do with sessions and snapshots: each file adds one kind of act to [`crate::window::Window`].
//!
//! A long act runs in [`activity`], which shows how far it is and can cancel it; what goes wrong is told by [`failure`].
//! What stops something says so first ([`resume`], [`stop`]).

pub(crate) mod activity;
mod compare;
mod failure;
mod files;
mod marks;
mod resume;
mod snapshot;
mod start;
mod stop;
mod transfer;

use std::future::Future;

use adw::prelude::*;
use freezeframe_api::{Dictionary, Error};
use gtk::glib;

use crate::agent::jobs::Request;
use crate::named::said_once;
use crate::window::Window;

/// Does something with the session or snapshot of that name or id.
type Act = fn(Window, String);

/// Actions of the window on one session or snapshot, whose name or id is the target.
pub(crate) const ACTS: &[(&str, Act)] = &[
    ("win.open-session", |window, name| window.open_session(&name)),
    ("win.snapshot-session", |window, name| soon(async move { window.snapshot_session(name, None).await })),
    ("win.snapshot-with-label", |window, name| soon(async move { window.snapshot_with_label(name).await })),
    ("win.check-session", |window, name| soon(async move { window.check_session(name).await })),
    ("win.stop-session", |window, name| soon(async move { window.stop_session(name).await })),
    ("win.resume", |window, id| soon(async move { window.resume(id).await })),
    ("win.resume-alongside", |window, id| soon(async move { window.resume_now(id, true).await })),
    ("win.rename", |window, id| soon(async move { window.rename(id).await })),
    ("win.pin", |window, id| soon(async move { window.pin(id, true).await })),
    ("win.unpin", |window, id| soon(async move { window.pin(id, false).await })),
    ("win.delete", |window, id| soon(async move { window.delete(id).await })),
    ("win.verify", |window, id| soon(async move { window.verify(id).await })),
    ("win.export", |window, id| soon(async move { window.export(id).await })),
    ("win.compare", |window, id| window.choose_comparison(&id)),
];

/// Does it while the window goes on.
fn soon(work: impl Future<Output = ()> + 'static) {
    glib::spawn_future_local(work);
}

/// Shows a dialog whose responses are all there.
fn present(dialog: &adw::MessageDialog) {
    said_once(dialog);
    dialog.present();
}

/// Asks, and answers with the response; "cancel" when the dialog was closed.
async fn ask(dialog: &adw::MessageDialog) -> String {
    let (tell, told) = async_channel::bounded(1);
    dialog.connect_response(None, move |_, response| {
        let _ = tell.try_send(response.to_owned());
    });
    present(dialog);
    told.recv().await.unwrap_or_else(|_| "cancel".to_owned())
}

impl Window {
    /// Does what takes long, and shows it.
    async fn run<R: Dictionary>(&self, title: &str, request: Request) -> Result<R, Error> {
        R::from_dict(&self.activity().run(title, request).await?)
    }
}
