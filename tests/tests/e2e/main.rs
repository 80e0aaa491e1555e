//! Freezeframe from its users' side, end to end, in real parts: agent, wrapper, container, CRIU.
//!
//! Every test has its own stage and leaves nothing behind. Nothing is skipped: what a test needs and does not find
//! fails it, with the command that mends it.

mod app;
mod bases;
mod contract;
mod desktop;
mod disk;
mod disorder;
mod faults;
mod foreign;
mod generations;
mod host_mounts;
mod id_ranges;
mod instant;
mod isolation;
mod kills;
mod limits;
mod native;
mod network;
mod other_users;
mod portable;
mod preflight;
mod refusals;
mod rootless;
mod several;
mod staying;
mod store;
mod titles;
mod tray;
mod verified;
mod viewers;

use std::sync::{Condvar, Mutex, PoisonError};

use anyhow::Result;
use freezeframe_tests::Stage;

/// How much of the machine the tests may use at once; a small desktop takes 1.
const PLACES: u32 = 2;

static FREE: (Mutex<u32>, Condvar) = (Mutex::new(PLACES), Condvar::new());

/// A part of the machine, given back when dropped.
struct Share(u32);

impl Share {
    fn take(share: u32) -> Self {
        let free = FREE.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut free = FREE.1.wait_while(free, |free| *free < share).unwrap_or_else(PoisonError::into_inner);
        *free -= share;
        Self(share)
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        *FREE.0.lock().unwrap_or_else(PoisonError::into_inner) += self.0;
        FREE.1.notify_all();
    }
}

/// Plays a test on a stage; a failure comes with the logs.
fn play(share: u32, stage: impl FnOnce() -> Result<Stage>, test: impl FnOnce(&Stage) -> Result<()>) {
    let _share = Share::take(share);
    let stage = stage().unwrap_or_else(|error| panic!("no stage: {error:#}"));
    if let Err(error) = test(&stage) {
        panic!("{error:#}\n{}{}", stage.logs(), pictures(&stage));
    }
}

/// Keeps what the sessions of a failed test show, and prints where.
fn pictures(stage: &Stage) -> String {
    let test = std::thread::current().name().unwrap_or("test").replace("::", ".");
    let list = stage.json(&["list"]).unwrap_or_default();
    let sessions = list.as_array().into_iter().flatten().filter_map(|row| row["session"].as_str());
    let kept = sessions.filter_map(|session| {
        let file = format!("{}/{test}.{session}.png", env!("CARGO_TARGET_TMPDIR"));
        stage.json(&["screenshot", session, &file]).ok().map(|_| format!("what {session} shows: {file}\n"))
    });
    kept.collect()
}

/// Plays a test with the base `minimal`.
fn small(test: impl FnOnce(&Stage) -> Result<()>) {
    play(1, || Stage::new(&["minimal"]), test);
}

/// Plays a test with the base `xfce`, alone on the machine.
fn large(test: impl FnOnce(&Stage) -> Result<()>) {
    play(PLACES, || Stage::new(&["xfce"]), test);
}

/// Plays a test with the base `minimal` in which times matter, alone on the machine.
fn alone(test: impl FnOnce(&Stage) -> Result<()>) {
    play(PLACES, || Stage::new(&["minimal"]), test);
}
