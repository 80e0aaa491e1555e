//! The store as a whole: saved, packed, materialised, collected, killed, cut off from power, damaged.
//!
//! One program for all, so that it links once; `every_file_is_a_module` fails when a file here was forgotten.
#![allow(clippy::unwrap_used, reason = "tests")]

mod exact;
mod faults;
mod fixture;
mod flips;
mod model;
mod power_cut;
mod scenario;
mod sharing;
mod support;
mod users;

#[test]
fn every_file_is_a_module() {
    let directory = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/store");
    let main = include_str!("main.rs");
    for entry in std::fs::read_dir(directory).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let module = name.trim_end_matches(".rs");
        assert!(module == "main" || main.contains(&format!("mod {module};")), "{name} is not in main.rs");
    }
}
