//! Builds `init/main.rs` as a static program of its own: it runs inside sessions, whatever C library their base has.

use std::env;
use std::path::Path;
use std::process::Command;

fn main() {
    let source = "init/main.rs";
    println!("cargo:rerun-if-changed={source}");
    let variable = |name: &str| env::var(name).unwrap_or_else(|_| panic!("cargo sets {name}"));
    let program = Path::new(&variable("OUT_DIR")).join("session-init");
    let status = Command::new(variable("RUSTC"))
        .args(["--edition=2024", "--crate-name=session_init", "--crate-type=bin", "-Dwarnings"])
        .args(["-Copt-level=s", "-Cpanic=abort", "-Cstrip=symbols"])
        .args(["-Ctarget-feature=+crt-static", "-Crelocation-model=static"])
        .arg(format!("--target={}", variable("TARGET")))
        .arg("-o")
        .arg(&program)
        .arg(source)
        .status();
    assert!(
        status.is_ok_and(|s| s.success()),
        "cannot build {source}; static linking needs libc.a (package libc6-dev)"
    );
}
