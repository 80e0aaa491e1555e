//! Issue 9, number 4: what a session takes of the machine is limited, where the machine can do that.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use freezeframe_tests::{Stage, eventually};
use serde_json::Value;

use crate::small;

const LIMIT: Duration = Duration::from_secs(60);
const PROCESSES: usize = 200;
/// Memory that a small desktop has enough of.
const MEMORY: u64 = 700 << 20;

/// Forks until it is refused, says why, and leaves its children there.
const BOMB: &str = r#"$| = 1; my $n = 0;
while (1) { my $p = fork; last unless defined $p; if (!$p) { close STDOUT; close STDERR; sleep 1000; exit } $n++ }
print "$n $!\n";"#;

/// The machine's memory in bytes, and the percentage of it that is at least [`MEMORY`].
fn memory() -> Result<(u64, u64)> {
    let text = fs::read_to_string("/proc/meminfo")?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:")).context("no MemTotal")?;
    let total = line.trim().trim_end_matches(" kB").parse::<u64>()? << 10;
    Ok((total, (MEMORY * 100).div_ceil(total).clamp(1, 100)))
}

/// What the doctor says of limits.
fn diagnosis(stage: &Stage) -> Result<Value> {
    let report = stage.ctl(&["doctor"])?.json()?;
    let checks = report["checks"].as_array().into_iter().flatten();
    let found = { checks }.find(|check| check["name"] == "session-limits");
    found.cloned().context("the doctor does not say whether sessions can be limited")
}

/// Where this machine gives a session no cgroup, that is said with the reason, and sessions start all the same.
fn is_said_and_harmless(stage: &Stage, diagnosis: &Value) -> Result<()> {
    let found = diagnosis["found"].as_str().unwrap_or_default();
    let reasons =
        ["Read-only file system", "Device or resource busy", "Permission denied", "no cgroup has the controller"];
    ensure!(reasons.iter().any(|reason| found.contains(reason)), "no reason why sessions are not limited: {diagnosis}");
    let session = stage.start(&["--name", "unlimited"])?;
    let id = stage.save(&session)?;
    stage.json(&["stop", &session])?;
    stage.word(&["resume", &id], "session").map(drop)
}

/// The name of a session's cgroup.
fn name(stage: &Stage, session: &str) -> Result<String> {
    let there = fs::metadata(stage.data().join("sessions").join(session))?;
    Ok(format!("{:x}-{:x}", there.dev(), there.ino()))
}

/// Cgroups of that name, in whichever hierarchy.
fn groups(name: &str) -> Vec<PathBuf> {
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let points = mounts.lines().filter(|line| line.contains(" - cgroup")).filter_map(|line| line.split(' ').nth(4));
    points.map(|point| PathBuf::from(point).join("freezeframe").join(name)).filter(|path| path.exists()).collect()
}

/// Every process of the session is in its cgroup and sees nothing above it; its supervisor is not.
fn is_in_its_own(stage: &Stage, session: &str) -> Result<String> {
    let name = name(stage, session)?;
    ensure!(!groups(&name).is_empty(), "{session} has no cgroup {name}");
    let of = |pid: i32| fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap_or_default();
    for process in stage.processes(session)?.values() {
        let found = of(process.pid);
        ensure!(found.is_empty() || found.contains(&name), "{} is elsewhere: {found}", process.command);
    }
    let supervisor = of(stage.supervisor(session)?.pid);
    ensure!(!supervisor.contains(&name), "the supervisor is in it: {supervisor}");
    let seen = stage.inside(session, &["cat", "/proc/self/cgroup"])?;
    ensure!(seen.lines().all(|line| line.ends_with(":/")), "a cgroup of the outside: {seen}");
    Ok(name)
}

fn are_gone(name: &str) -> Result<()> {
    eventually(LIMIT, "its cgroups are gone", || Ok(groups(name).is_empty().then_some(())))
}

#[test]
fn a_session_is_limited_in_processes_and_memory_and_the_machine_goes_on() {
    small(|stage| {
        let (total, percent) = memory()?;
        stage.configure(&format!("[limits]\nprocesses = {PROCESSES}\nmemory_percent = {percent}\n"))?;
        let settings = stage.json(&["settings"])?;
        ensure!(settings["max_processes"] == PROCESSES && settings["max_memory_percent"] == percent, "{settings}");
        let diagnosis = diagnosis(stage)?;
        if diagnosis["ok"] != true {
            return is_said_and_harmless(stage, &diagnosis);
        }
        let session = stage.start(&["--name", "desk"])?;
        let first = is_in_its_own(stage, &session)?;
        // A hog of memory is ended, and nothing else.
        let before = stage.settled_pids(&session)?;
        let hog = format!("$x = 'x' x {}; print length $x", total / 100 * percent * 2);
        let tried = stage.inside_any(&session, &["perl", "-e", &hog])?;
        ensure!(tried.code == 137 || tried.code == 1 && tried.text().contains("memory"), "{}", tried.tell());
        ensure!(stage.settled_pids(&session)? == before, "something else was ended");
        // A bomb stops at the limit, and the desktop is there, and others are.
        let said = stage.inside_any(&session, &["perl", "-e", BOMB])?;
        let said = said.text();
        ensure!(said.contains("Resource temporarily unavailable"), "{said}");
        ensure!(stage.processes(&session)?.len() <= PROCESSES, "{} processes", stage.processes(&session)?.len());
        stage.screenshot(&session)?;
        let other = stage.start(&["--name", "other"])?;
        stage.inside(&other, &["true"])?;
        stage.json(&["stop", &other])?;
        // At its limit it is saved, and comes back within it.
        let id = stage.word(&["save", &session, "--stop"], "snapshot")?;
        are_gone(&first)?;
        let session = stage.word(&["resume", &id], "session")?;
        stage.screenshot(&session)?;
        let name = name(stage, &session)?;
        ensure!(!groups(&name).is_empty(), "no cgroup after a resume");
        let said = stage.inside_any(&session, &["perl", "-e", BOMB])?.text();
        let (more, why) = said.trim().split_once(' ').unwrap_or_default();
        // What ran the first bomb has ended, and made room for a few.
        ensure!(why.contains("temporarily unavailable") && more.parse::<u32>().is_ok_and(|n| n < 10), "{said}");
        ensure!(stage.processes(&session)?.len() <= PROCESSES, "{} processes", stage.processes(&session)?.len());
        stage.json(&["stop", &session])?;
        are_gone(&name)
    });
}

#[test]
fn a_cgroup_goes_with_its_session_however_that_ends() {
    small(|stage| {
        if diagnosis(stage)?["ok"] != true {
            return is_said_and_harmless(stage, &diagnosis(stage)?);
        }
        let session = stage.start(&["--name", "desk"])?;
        let first = is_in_its_own(stage, &session)?;
        let id = stage.save(&session)?;
        let copy = stage.word(&["resume", &id, "--alongside"], "session")?;
        let second = is_in_its_own(stage, &copy)?;
        ensure!(first != second && groups(&first).len() == groups(&second).len());
        stage.kill(&stage.supervisor(&session)?)?;
        are_gone(&first)?;
        stage.json(&["stop", &copy])?;
        are_gone(&second)?;
        // Without limits there is none.
        stage.json(&["settings", "max_processes=none", "max_memory_percent=none"])?;
        let session = stage.start(&["--name", "free"])?;
        ensure!(groups(&name(stage, &session)?).is_empty(), "a cgroup for nothing");
        Ok(())
    });
}
