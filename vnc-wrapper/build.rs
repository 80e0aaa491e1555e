//! Builds what the wrapper carries: `init/main.rs` as its own static program, which runs inside sessions, whatever C
//! library their base has, and `plugin/lib.rs` as a library without any, which CRIU loads.

use std::env;
use std::path::Path;
use std::process::Command;

fn main() {
    println!("cargo:rerun-if-changed=init");
    println!("cargo:rerun-if-changed=plugin");
    let program = ["-Ctarget-feature=+crt-static", "-Crelocation-model=static"];
    build("init/main.rs", "session_init", "bin", &program, "session-init");
    if variable("CARGO_CFG_TARGET_ARCH") == "x86_64" {
        let library = ["-Clink-arg=-nostdlib", "-Clink-arg=-nostartfiles"];
        build("plugin/lib.rs", "freezeframe_plugin", "cdylib", &library, "freezeframe.so");
    }
}

fn variable(name: &str) -> String {
    env::var(name).unwrap_or_else(|_| panic!("cargo sets {name}"))
}

fn build(source: &str, name: &str, kind: &str, how: &[&str], to: &str) {
    let status = Command::new(variable("RUSTC"))
        .args(["--edition=2024", "--crate-name", name, "--crate-type", kind, "-Dwarnings"])
        .args(["-Copt-level=s", "-Cpanic=abort", "-Cstrip=symbols"])
        .args(how)
        .arg(format!("--target={}", variable("TARGET")))
        .arg("-o")
        .arg(Path::new(&variable("OUT_DIR")).join(to))
        .arg(source)
        .status();
    assert!(
        status.is_ok_and(|s| s.success()),
        "cannot build {source}; static linking needs libc.a (package libc6-dev)"
    );
}
