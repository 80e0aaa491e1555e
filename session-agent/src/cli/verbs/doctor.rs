//! `sessionctl doctor`.

use std::process::ExitCode;

use freezeframe_api::records::DoctorRow;
use freezeframe_api::{Dictionary, Error, ErrorKind, Result};
use serde::Serialize;

use crate::cli::output::{Output, table};
use crate::cli::reach;

#[derive(Serialize)]
struct Report {
    ok: bool,
    checks: Vec<DoctorRow>,
}

pub(super) async fn run(output: Output) -> Result<ExitCode> {
    let checks = match checks().await {
        Ok(checks) => checks,
        Err(error) => vec![lack(&error)],
    };
    let report = Report { ok: checks.iter().all(|c| c.ok), checks };
    output.print(&report, text)?;
    Ok(if report.ok { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn checks() -> Result<Vec<DoctorRow>> {
    let agent = reach::agent().await?;
    let mut checks = vec![DoctorRow {
        name: "agent".into(),
        ok: true,
        found: format!("{}, engine {}", agent.manager.version().await?, agent.manager.engine().await?),
        ..DoctorRow::default()
    }];
    match agent.manager.doctor().await {
        Ok(rows) => checks.extend(rows.iter().map(DoctorRow::from_dict).collect::<Result<Vec<_>>>()?),
        Err(error) => checks.push(lack(&error.into())),
    }
    Ok(checks)
}

/// Why the checks themselves could not be made, as a check.
fn lack(error: &Error) -> DoctorRow {
    let name = if error.kind == ErrorKind::Unreachable { "agent" } else { "vnc-wrapper" };
    DoctorRow {
        name: name.into(),
        ok: false,
        needed_for: "everything".into(),
        found: error.message.clone(),
        remedy: error.hint.clone(),
    }
}

fn text(report: &Report) -> String {
    let row = |c: &DoctorRow| {
        let mark = if c.ok { "ok" } else { "LACKS" };
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
