//! `sessionctl doctor`.

use std::process::ExitCode;

use freezeframe_api::records::DoctorRow;
use freezeframe_api::{Dictionary, Error, Result};
use serde::Serialize;

use crate::cli::output::{Output, table};
use crate::cli::reach;

#[derive(Serialize)]
struct Report {
    ok: bool,
    checks: Vec<DoctorRow>,
}

/// Exit code 1 where something forbids this user to start or to save sessions. What is merely slower or not there without
/// something is listed, and is no failure.
pub(super) async fn run(output: Output) -> Result<ExitCode> {
    let checks = checks().await;
    let report = Report { ok: !checks.iter().any(forbids), checks };
    output.print(&report, text)?;
    Ok(if report.ok { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Whether something that is lacking keeps sessions from being started or saved.
fn forbids(check: &DoctorRow) -> bool {
    !check.ok && [EVERYTHING, "start", "save"].contains(&check.needed_for.as_str())
}

async fn checks() -> Vec<DoctorRow> {
    let mut checks = Vec::new();
    let looked = async {
        let agent = reach::agent().await.map_err(|error| lack("agent", &error))?;
        let found = async { Ok((agent.manager.version().await?, agent.manager.engine().await?)) };
        let (version, engine) = found.await.map_err(|error: Error| lack("agent", &error))?;
        let found = format!("{version}, engine {engine}");
        checks.push(DoctorRow { name: "agent".into(), ok: true, found, ..DoctorRow::default() });
        let rows = async { agent.manager.doctor().await?.iter().map(DoctorRow::from_dict).collect() };
        let rows: Result<Vec<_>> = rows.await;
        checks.extend(rows.map_err(|error| lack("vnc-wrapper", &error))?);
        Ok(())
    };
    if let Err(lack) = looked.await {
        checks.push(lack);
    }
    checks
}

/// What everything stands on.
const EVERYTHING: &str = "everything";

/// Why the checks themselves could not be made, as a check.
fn lack(name: &str, error: &Error) -> DoctorRow {
    DoctorRow {
        name: name.into(),
        ok: false,
        needed_for: EVERYTHING.into(),
        found: error.message.clone(),
        remedy: error.hint.clone(),
    }
}

fn text(report: &Report) -> String {
    let row = |c: &DoctorRow| {
        let mark = if c.ok {
            "ok"
        } else if forbids(c) {
            "LACKS"
        } else {
            "optional"
        };
        vec![mark.to_owned(), c.name.clone(), c.needed_for.clone(), c.found.clone()]
    };
    let rows: Vec<_> = report.checks.iter().map(row).collect();
    let mut text = table(&["", "CHECK", "NEEDED FOR", "FOUND"], &rows, "");
    let remedies: Vec<&DoctorRow> = report.checks.iter().filter(|c| !c.ok && !c.remedy.is_empty()).collect();
    if !remedies.is_empty() {
        text.push_str("\n\nWhat mends it:");
        for check in remedies {
            text.push_str(&format!("\n  {}: {}", check.name, check.remedy));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Issue 9, number 17.
    #[test]
    fn only_what_forbids_starting_or_saving_is_a_failure() {
        let row = |ok: bool, needed_for: &str| DoctorRow { ok, needed_for: needed_for.into(), ..DoctorRow::default() };
        for needed_for in ["start", "save", "everything"] {
            assert!(forbids(&row(false, needed_for)), "{needed_for}");
        }
        for needed_for in ["network", "base build", "large desktops", "some saves", "of a later release"] {
            assert!(!forbids(&row(false, needed_for)), "{needed_for}");
        }
        assert!(!forbids(&row(true, "")));
    }
}
