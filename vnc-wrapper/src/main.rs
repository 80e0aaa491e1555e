//! `vnc-wrapper`: the data plane of Freezeframe.
//!
//! Everything that needs the kernel is here: containers, engines, layers. The program has no face: the session agent runs
//! its verbs and reads the JSON lines that they write (crate `freezeframe-protocol`).

pub mod base;
pub mod container;
pub mod criu;
pub mod display;
pub mod doctor;
pub mod engine;
pub mod failure;
pub mod fault;
pub mod kernel;
pub mod layer;
pub mod objects;
pub mod preflight;
pub mod report;
pub mod supervisor;
mod verbs;

fn main() {
    // What is private is made so by its mode; the rest, as a base's files, is not to depend on who started this.
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o022));
    // CRIU runs this program as its action script, with no argument of ours.
    if let Some(status) = engine::hooks::run_as_hook() {
        std::process::exit(status);
    }
    std::process::exit(verbs::run());
}
