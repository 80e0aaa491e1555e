//! `make test-kernels`: the tests of the native engine under the kernels of several releases of Debian.
//!
//! Each kernel boots in QEMU, by emulation (no KVM is needed, and no root), from a file system in memory that holds the tests'
//! program and a small init. The packages come from the machine's own Debian mirror and are kept in the cache, as bases are.
//!
//! `freezeframe-kernels [--only WORD] [RELEASE...]`: bookworm, trixie and sid where none is named; with a word, only the tests whose
//! names hold it.

mod machine;
mod packages;
mod verdict;

use std::fmt;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context, Result, bail, ensure};
use freezeframe_tests::Cache;

use packages::Kernel;
use verdict::Verdict;

/// Debian 12, Debian 13, and the newest kernel that Debian has.
const RELEASES: [&str; 3] = ["bookworm", "trixie", "sid"];

fn main() -> ExitCode {
    let mut named: Vec<String> = std::env::args().skip(1).collect();
    let mut only = None;
    if let Some(at) = named.iter().position(|word| word == "--only").filter(|at| at + 1 < named.len()) {
        only = named.drain(at..at + 2).nth(1);
    }
    let releases = if named.is_empty() { RELEASES.map(str::to_owned).to_vec() } else { named };
    match run(&releases, only.as_deref()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Runs the tests under each release's kernel; answers whether all passed.
fn run(releases: &[String], only: Option<&str>) -> Result<bool> {
    let cache = Cache::directory().join("kernels");
    if let Some(word) = only {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b':');
        ensure!(!word.is_empty() && word.bytes().all(plain), "{word:?} is no part of a test's name");
    }
    let tests = tests()?;
    let mut passed = true;
    for release in releases {
        let kernel = Kernel::of(release, &cache).with_context(|| format!("the kernel of {release}"))?;
        say(format_args!("Linux {} ({release}): booting", kernel.version))?;
        let lines = machine::run(&kernel, &tests, only).with_context(|| format!("Linux {}", kernel.version))?;
        let verdict = Verdict::of(&lines);
        say(format_args!("Linux {} ({release}): {verdict}", kernel.version))?;
        passed &= verdict.passed();
    }
    Ok(passed)
}

/// Prints a line at once.
fn say(line: fmt::Arguments<'_>) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{line}")?;
    out.flush()
}

/// Builds the tests of the engine; answers their program.
fn tests() -> Result<PathBuf> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let built = Command::new(cargo)
        .args(["test", "--locked", "--package", "freezeframe-engine", "--lib", "--no-run"])
        .args(["--message-format", "json-render-diagnostics"])
        .stderr(Stdio::inherit())
        .output()
        .context("cargo")?;
    ensure!(built.status.success(), "the tests of the engine were not built");
    let said = String::from_utf8(built.stdout)?;
    for line in said.lines() {
        let message: serde_json::Value = serde_json::from_str(line)?;
        if let Some(program) = message["executable"].as_str().filter(|_| message["profile"]["test"] == true) {
            return Ok(PathBuf::from(program));
        }
    }
    bail!("cargo names no program of the tests")
}
