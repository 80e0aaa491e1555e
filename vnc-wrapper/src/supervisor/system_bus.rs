//! The session's system bus, which desktops such as GNOME and Cinnamon end without.
//!
//! It is the base's own, with what the base's packages say about it: services that systemd would start are not there, since
//! nothing here is systemd. A base without it makes sessions all the same.

use std::time::{Duration, Instant};

use freezeframe_store::BaseRecord;

use super::exec;
use crate::container::inside::has_socket;
use crate::container::{SYSTEM_BUS, processes};

/// How long it may take to listen. The desktop waits for it.
const DEADLINE: Duration = Duration::from_secs(10);
/// How often that is looked at; there is no event for it.
const POLL: Duration = Duration::from_millis(5);
/// The daemon that the package dbus-daemon brings. It becomes the user that /usr/share/dbus-1/system.conf names.
const DAEMON: [&str; 5] = ["dbus-daemon", "--system", "--nofork", "--nopidfile", "--nosyslog"];

/// Starts it in the session of `init` and waits until it listens. That it cannot be had is only logged.
pub(super) fn start(init: u32, base: &BaseRecord, puts: exec::Puts<'_>) {
    let daemon = match exec::start_service(init, base, puts, DAEMON.map(str::to_owned).to_vec()) {
        Ok(daemon) => daemon,
        Err(error) => return tracing::warn!("the session has no system bus: {}", error.message),
    };
    let begun = Instant::now();
    while !has_socket(init, SYSTEM_BUS) {
        if processes::find(init, daemon).is_err() {
            let what = "dbus-daemon --system has ended; the base needs the package dbus-system-bus-common";
            return tracing::warn!("the session has no system bus: {what}");
        }
        if begun.elapsed() > DEADLINE {
            return tracing::warn!("the session's system bus does not listen yet");
        }
        std::thread::sleep(POLL);
    }
}
