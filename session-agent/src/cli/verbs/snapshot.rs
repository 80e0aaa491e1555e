//! Verbs on snapshots.

use freezeframe_api::records::{
    Comparison, FileChange, ResumeOptions, Resumed, SnapshotDetails, SnapshotRow, TimelineFilter,
};
use freezeframe_api::{Dictionary, Result};
use jiff::Zoned;
use serde_json::json;

use super::find_snapshot;
use crate::cli::args;
use crate::cli::job::{self, Show};
use crate::cli::output::{Output, clean, shorten, table};
use crate::cli::reach::Agent;
use crate::rules::words;

pub(super) async fn timeline(agent: &Agent, arguments: args::Timeline, output: Output) -> Result<()> {
    let args::Timeline { session, search, deleted } = arguments;
    let filter = TimelineFilter { session, search, deleted, ..TimelineFilter::default() };
    let rows = agent.manager.timeline(&filter.to_dict()).await?;
    let rows: Vec<SnapshotRow> = rows.iter().map(SnapshotRow::from_dict).collect::<Result<_>>()?;
    let now = Zoned::now();
    output.print(&rows, |rows| {
        let cells = |r: &SnapshotRow| {
            let mut notes = Vec::new();
            if r.state != "whole" {
                notes.push(r.state.clone());
            }
            let could_not = !r.resume_failure.is_empty();
            let words =
                [("could not be resumed", could_not), ("from the future", r.future), ("automatic", r.automatic)];
            for (word, holds) in words {
                if holds {
                    notes.push(word.to_owned());
                }
            }
            if r.pinned {
                notes.push("pinned".to_owned());
            }
            if r.imported {
                notes.push("imported".to_owned());
            }
            if !r.label.is_empty() {
                notes.push(r.label.clone());
            }
            let windows: Vec<&str> = r.windows.iter().map(|w| w.title.as_str()).collect();
            vec![
                r.snapshot.clone(),
                words::moment_of(&r.created, &now),
                r.session.clone(),
                r.parent.clone().unwrap_or_else(|| "-".to_owned()),
                format!("{:.0} ms", r.pause_ms),
                words::bytes(r.raw_bytes),
                shorten(&notes.join(", "), 40),
                shorten(&windows.join(", "), 60),
            ]
        };
        let rows: Vec<_> = rows.iter().map(cells).collect();
        let head = ["SNAPSHOT", "TAKEN", "SESSION", "AFTER", "PAUSE", "SIZE", "LABEL", "WINDOWS"];
        table(&head, &rows, "There is no snapshot. Take one: sessionctl save")
    })
}

pub(super) async fn show(agent: &Agent, name: &str, output: Output) -> Result<()> {
    let snapshot = find_snapshot(agent, name).await?;
    let details = SnapshotDetails::from_dict(&snapshot.details().await?)?;
    let now = Zoned::now();
    output.print(&details, |d| describe(d, &now))
}

fn describe(d: &SnapshotDetails, now: &Zoned) -> String {
    let mut lines = Vec::new();
    let mut line = |name: &str, value: String| {
        if !value.is_empty() {
            lines.push(format!("{name:<10} {}", clean(&value)));
        }
    };
    line("Snapshot", d.snapshot.clone());
    line("Label", d.label.clone());
    let pinned = if d.pinned { ", pinned" } else { "" };
    let imported = if d.imported { ", imported" } else { "" };
    line("State", format!("{}{pinned}{imported}", d.state));
    // Read back, and restored.
    if d.intact {
        line("Intact", words::moment_of(&d.intact_at, now));
    }
    if d.verified {
        line("Verified", words::moment_of(&d.verified_at, now));
    }
    line("Damage", d.damage.clone());
    if !d.resume_failure.is_empty() {
        let when = words::moment_of(&d.resume_failure_at, now);
        line("Failed", format!("could not be resumed ({when}), because: {}", d.resume_failure));
    }
    let future = if d.future { " (dated later than now: a clock was wrong)" } else { "" };
    line("Taken", format!("{}{future}", words::moment_of(&d.created, now)));
    line("Session", d.session.clone());
    line("After", d.parent.clone().unwrap_or_default());
    // Without a manifest nothing is known of it.
    if !d.created.is_empty() {
        line("Base", d.base.clone());
        line("Display", d.size.clone());
        line("Network", d.network.clone());
        line("Pause", format!("{:.0} ms, of which {:.0} ms until all had stopped", d.pause_ms, d.freeze_ms));
        let (memory, layer) = (words::bytes(d.memory_bytes), words::bytes(d.layer_bytes));
        line("Size", format!("{} (memory {memory}, files {layer})", words::bytes(d.raw_bytes)));
        let (own, shared) = (words::bytes(d.own_bytes), words::bytes(d.shared_bytes));
        let stored = format!("{own} were added for it; it shares {shared} with others");
        line("Stored", if d.state == "committing" { "not packed yet".to_owned() } else { stored });
        line("Processes", format!("{} with {} threads", d.processes, d.threads));
        line("Made by", format!("{} on Linux {}", d.engine, d.kernel));
    }
    for window in &d.windows {
        line("Window", format!("{} ({})", window.title, window.application));
    }
    for closed in &d.closed {
        line("Closed", format!("{} of {} (process {})", closed.object, closed.application, closed.pid));
    }
    lines.join("\n")
}

pub(super) async fn compare(agent: &Agent, arguments: &args::Compare, output: Output) -> Result<()> {
    let compared = agent.manager.compare(&arguments.first, &arguments.second).await?;
    output.print(&Comparison::from_dict(&compared)?, |c| {
        let cells = |f: &FileChange| vec![f.change.clone(), words::bytes(f.bytes), f.path.clone()];
        let rows: Vec<_> = c.files.iter().map(cells).collect();
        let mut lines = vec![table(&["FILE IS", "SIZE", "PATH"], &rows, "No file differs.")];
        let more = c.files_total.saturating_sub(c.files.len() as u64);
        if more > 0 {
            lines.push(format!("… and {more} more"));
        }
        for (word, windows) in [("Opened", &c.windows_opened), ("Closed", &c.windows_closed)] {
            lines.extend(windows.iter().map(|w| clean(&format!("{word}: {} ({})", w.title, w.application))));
        }
        lines.join("\n")
    })
}

pub(super) async fn resume(agent: &Agent, arguments: args::Resume, output: Output) -> Result<()> {
    let snapshot = find_snapshot(agent, &arguments.snapshot).await?;
    let options = ResumeOptions { alongside: arguments.alongside, name: arguments.name };
    let path = snapshot.resume(&options.to_dict()).await?;
    let resumed: Resumed = job::wait(agent, path, Show::Progress).await?;
    if !output.json {
        crate::stderr::say(format_args!("Resumed {} in {:.0} ms.", resumed.snapshot, resumed.resume_ms));
    }
    output.print(&resumed, |r| r.session.clone())
}

/// What a user says of a snapshot.
#[derive(Debug)]
pub(super) enum Mark {
    Label(String),
    Pin,
    Unpin,
    Delete,
    Undelete,
}

pub(super) async fn mark(agent: &Agent, name: &str, mark: Mark, output: Output) -> Result<()> {
    let snapshot = find_snapshot(agent, name).await?;
    match &mark {
        Mark::Label(text) => snapshot.set_label(text).await?,
        Mark::Pin => snapshot.pin().await?,
        Mark::Unpin => snapshot.unpin().await?,
        Mark::Delete => snapshot.delete().await?,
        Mark::Undelete => snapshot.undelete().await?,
    }
    let id = snapshot.id().await?;
    if matches!(mark, Mark::Delete) && !output.json {
        crate::stderr::say(format_args!("Deleted. Bring it back with: sessionctl undelete {id}"));
    }
    output.print(&json!({"snapshot": id}), |_| String::new())
}
