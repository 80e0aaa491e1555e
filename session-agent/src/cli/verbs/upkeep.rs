//! Looking after the store.

use std::collections::BTreeSet;
use std::process::ExitCode;

use freezeframe_api::records::{CollectOptions, Collected, RetentionOptions, RetentionReport, RetentionRow, Verified};
use freezeframe_api::{Dictionary, Result};
use jiff::Zoned;

use super::find_snapshot;
use crate::cli::job::{self, Show};
use crate::cli::output::{Output, clean, table};
use crate::cli::reach::Agent;
use crate::rules::words;

/// "1 snapshot", "3 snapshots".
fn snapshots(count: usize) -> String {
    if count == 1 { "1 snapshot".to_owned() } else { format!("{count} snapshots") }
}

/// Exit code 1 when something is damaged.
pub(super) async fn verify(agent: &Agent, name: Option<&str>, output: Output) -> Result<ExitCode> {
    let path = match name {
        Some(name) => find_snapshot(agent, name).await?.verify().await?,
        None => agent.manager.verify().await?,
    };
    let verified: Verified = job::wait(agent, path, Show::Progress).await?;
    output.print(&verified, verdict)?;
    Ok(if verified.damages.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn verdict(verified: &Verified) -> String {
    let mut lines = Vec::new();
    for damage in &verified.damages {
        lines.push(format!("{}: {}", clean(&damage.path), clean(&damage.reason)));
        lines.push(match damage.snapshots.as_slice() {
            [] => "    no snapshot needs it".to_owned(),
            touched => format!("    needed by {}", touched.join(", ")),
        });
    }
    let touched: BTreeSet<&str> = verified.damages.iter().flat_map(|d| &d.snapshots).map(String::as_str).collect();
    let read = format!("{}, {} read", snapshots(verified.snapshots.len()), words::bytes(verified.bytes));
    lines.push(match (verified.damages.len(), touched.len()) {
        (0, _) => format!("All is as it was written ({read})."),
        (files, 0) => format!("{files} damaged, and no snapshot is touched ({read})."),
        (files, count) => format!("{files} damaged, and {} cannot be resumed ({read}).", snapshots(count)),
    });
    if !verified.committing.is_empty() {
        let waiting = verified.committing.join(", ");
        lines.push(format!("Not packed yet, so that only the records were checked: {waiting}"));
    }
    if !touched.is_empty() {
        let all: Vec<&str> = touched.into_iter().collect();
        lines.push(String::new());
        lines.push(
            "What to do: bring the files named above back from a backup, and verify again. If there is none,".into(),
        );
        lines.push(format!("give up what is lost: sessionctl delete {}; then sessionctl gc.", all.join(" | ")));
        lines.push("Bytes change when a disk or the memory is failing: look at both (smartctl, memtest86+).".into());
    }
    lines.join("\n")
}

pub(super) async fn gc(agent: &Agent, keep_deleted: Option<String>, output: Output) -> Result<()> {
    let path = agent.manager.collect_garbage(&CollectOptions { keep_deleted }.to_dict()).await?;
    let collected: Collected = job::wait(agent, path, Show::Progress).await?;
    output.print(&collected, |c| {
        let removed = snapshots(c.snapshots_removed.len());
        let (freed, left) = (words::bytes(c.freed_bytes), words::bytes(c.bytes));
        let mut lines = vec![format!("{removed} removed, {freed} freed; {left} are in use.")];
        if !c.deleted_kept.is_empty() {
            let kept = snapshots(c.deleted_kept.len());
            lines.push(format!("{kept} that you deleted can still be brought back: {}", c.deleted_kept.join(", ")));
        }
        for unreadable in &c.unreadable {
            lines.push(format!("Snapshot {} cannot be read: {}", unreadable.snapshot, clean(&unreadable.reason)));
        }
        if !c.unreadable.is_empty() {
            lines.push("Nothing that it may need was taken away; `sessionctl verify` says what to do.".into());
        }
        lines.join("\n")
    })
}

pub(super) async fn retention(agent: &Agent, apply: bool, output: Output) -> Result<()> {
    let report = RetentionReport::from_dict(
        &agent.manager.retention(&RetentionOptions { apply, ..RetentionOptions::default() }.to_dict()).await?,
    )?;
    let now = Zoned::now();
    output.print(&report, |report| describe(report, &now))
}

fn describe(report: &RetentionReport, now: &Zoned) -> String {
    if !report.rules {
        return "No rule is set, so everything is kept. Rules are in the table [retention] of config.toml:\n\
                keep_last, hourly, daily, weekly, monthly, budget."
            .to_owned();
    }
    let (go, stay) = (snapshots(report.remove.len()), snapshots(report.keep.len()));
    let mut lines = Vec::new();
    if !report.remove.is_empty() {
        let cells = |r: &RetentionRow| {
            vec![
                r.snapshot.clone(),
                words::moment_of(&r.created, now),
                r.session.clone(),
                words::bytes(r.own_bytes),
                r.label.clone(),
                r.reasons.join("; "),
            ]
        };
        let rows: Vec<_> = report.remove.iter().map(cells).collect();
        lines.push(table(&["SNAPSHOT", "TAKEN", "SESSION", "OWN SIZE", "LABEL", "WHY"], &rows, ""));
    }
    lines.push(match (report.remove.is_empty(), report.applied) {
        (true, _) => format!("Nothing goes; {stay} stay."),
        (false, false) => format!("{go} would go, and {stay} stay. Delete them with: sessionctl retention --apply"),
        (false, true) => format!("{go} deleted, and {stay} stay. Until gc, sessionctl undelete brings one back."),
    });
    if report.over_budget > 0 {
        let over = words::bytes(report.over_budget);
        lines.push(format!("What stays exceeds the budget by {over}, because nothing more may go."));
    }
    lines.join("\n")
}
