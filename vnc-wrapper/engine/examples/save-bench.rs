//! Saves a tree of processes again and again into nothing, and prints how long it stood still.
//!
//! `save-bench PID [ROUNDS]`, or `save-bench -- PROGRAM ARGUMENTS…`, which is started and ended.

#![allow(clippy::print_stdout, reason = "it prints figures")]

use std::time::Duration;

use freezeframe_engine::dump::{Error, Report, Session, Then, prepare};
use freezeframe_engine::freeze::Limits;
use freezeframe_engine::remote::tracing;

fn save(root: i32) -> Result<Report, Error> {
    let limits = Limits { deadline: Duration::from_millis(500), ..Limits::default() };
    let draining = tracing(|tracer| {
        let frozen = prepare(Session::descendants(root), std::io::sink())?.freeze(tracer, limits)?;
        frozen.collect()?.release(Then::Run)
    })?;
    Ok(draining.finish()?.report)
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (root, mut child) = match arguments.first().map(String::as_str) {
        Some("--") => {
            let child = std::process::Command::new(&arguments[1]).args(&arguments[2..]).spawn()?;
            std::thread::sleep(Duration::from_secs(1));
            (i32::try_from(child.id())?, Some(child))
        }
        Some(pid) => (pid.parse()?, None),
        None => return Err("whom to save: PID, or -- PROGRAM ARGUMENTS".into()),
    };
    let rounds: usize = if child.is_none() { arguments.get(1).map_or(Ok(21), |it| it.parse())? } else { 21 };
    let mut pauses = Vec::new();
    for _ in 0..rounds.max(1) {
        let report = save(root)?;
        if pauses.is_empty() {
            println!("{report:?}");
        }
        pauses.push(report.pause);
        std::thread::sleep(Duration::from_millis(50));
    }
    pauses.sort_unstable();
    println!(
        "pause: median {:?}, least {:?}, most {:?}",
        pauses[pauses.len() / 2],
        pauses[0],
        pauses[pauses.len() - 1]
    );
    if let Some(child) = &mut child {
        child.kill()?;
        child.wait()?;
    }
    Ok(())
}
