//! Verbs on sessions.

use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;
use std::process::ExitCode;

use freezeframe_api::records::{
    CheckReport, ExecuteOptions, Executed, Packed, SaveOptions, Saved, SessionRow, StartOptions, Started, StopOptions,
    Stopped,
};
use freezeframe_api::{Dict, Dictionary, Error, ErrorKind, Result};
use jiff::Zoned;
use serde_json::json;
use zbus::zvariant::OwnedFd;

use super::{find_session, find_snapshot, named_session};
use crate::cli::args;
use crate::cli::job::{self, Show};
use crate::cli::output::{Output, table};
use crate::cli::reach::Agent;
use crate::cli::variables;
use crate::rules::words;

pub(super) async fn start(agent: &Agent, arguments: args::Start, output: Output) -> Result<()> {
    let args::Start { name, base, size, network } = arguments;
    let options = StartOptions { name, base, size, network };
    let path = agent.manager.start_session(&options.to_dict()).await?;
    let started: Started = job::wait(agent, path, Show::Progress).await?;
    output.print(&started, |s| s.session.clone())
}

pub(super) async fn list(agent: &Agent, output: Output) -> Result<()> {
    let rows = agent.manager.list_sessions(&Dict::new()).await?;
    let rows: Vec<SessionRow> = rows.iter().map(SessionRow::from_dict).collect::<Result<_>>()?;
    let now = Zoned::now();
    output.print(&rows, |rows| {
        let cells = |r: &SessionRow| {
            let parent = r.parent.clone().unwrap_or_else(|| "-".to_owned());
            let started = words::moment_of(&r.started, &now);
            vec![r.session.clone(), r.state.clone(), r.base.clone(), r.size.clone(), started, parent]
        };
        let rows: Vec<_> = rows.iter().map(cells).collect();
        let head = ["SESSION", "STATE", "BASE", "SIZE", "STARTED", "RESUMED FROM"];
        table(&head, &rows, "There is no session. Start one: sessionctl start")
    })
}

pub(super) async fn exec(agent: &Agent, arguments: args::Exec, output: Output) -> Result<ExitCode> {
    if arguments.wait && arguments.env_file.as_deref() == Some(Path::new("-")) {
        let text = "standard input cannot be the program's and hold its variables as well";
        return Err(Error::new(ErrorKind::InvalidArgument, text).hint("Name another file: --env-file FILE"));
    }
    let environment =
        variables::all(arguments.environment, arguments.env_file.as_deref(), |name| std::env::var_os(name))?;
    let session = named_session(agent, &arguments.session).await?;
    let mut options = ExecuteOptions {
        root: arguments.root,
        wait: arguments.wait,
        environment,
        directory: arguments.directory,
        ..ExecuteOptions::default()
    };
    if arguments.wait {
        options.stdin = Some(own(std::io::stdin().as_fd())?);
        options.stdout = Some(own(std::io::stdout().as_fd())?);
        options.stderr = Some(own(std::io::stderr().as_fd())?);
    }
    let path = session.execute(&arguments.command, &options.to_dict()).await?;
    drop(options);
    let done: Executed = job::wait(agent, path, Show::Nothing).await?;
    if arguments.wait {
        return Ok(ExitCode::from(u8::try_from(done.status).unwrap_or(u8::MAX)));
    }
    output.print(&json!({"session": done.session, "pid": done.pid}), |_| done.pid.to_string())?;
    Ok(ExitCode::SUCCESS)
}

fn own(fd: BorrowedFd<'_>) -> Result<OwnedFd> {
    let fd = fd.try_clone_to_owned();
    fd.map(OwnedFd::from).map_err(|e| Error::new(ErrorKind::Failed, format!("cannot pass a descriptor on: {e}")))
}

pub(super) async fn save(agent: &Agent, arguments: args::Save, output: Output) -> Result<()> {
    let session = match &arguments.session {
        Some(name) => named_session(agent, name).await?,
        None => find_session(agent, "").await?,
    };
    let options =
        SaveOptions { label: arguments.label, stop: arguments.stop, automatic: false, verify: arguments.verify };
    let path = session.save(&options.to_dict()).await?;
    let saved: Saved = job::wait(agent, path, Show::Progress).await?;
    if !output.json {
        crate::stderr::say(format_args!("Saved {}; it stood still for {:.0} ms.", saved.session, saved.pause_ms));
    }
    if arguments.wait {
        let path = find_snapshot(agent, &saved.snapshot).await?.pack().await?;
        let packed: Packed = job::wait(agent, path, Show::Progress).await?;
        if !output.json {
            let (raw, new) = (words::bytes(packed.raw_bytes), words::bytes(packed.new_bytes));
            crate::stderr::say(format_args!("Packed: {raw}, {new} of it new."));
        }
    }
    output.print(&saved, |s| s.snapshot.clone())
}

pub(super) async fn stop(agent: &Agent, arguments: args::Stop, output: Output) -> Result<()> {
    let session = named_session(agent, &arguments.session).await?;
    let path = session.stop(&StopOptions { save: arguments.save }.to_dict()).await?;
    let stopped: Stopped = job::wait(agent, path, Show::Progress).await?;
    output.print(&stopped, |s| s.snapshot.clone().unwrap_or_default())
}

/// Exit code 4 when a save would be refused.
pub(super) async fn check(agent: &Agent, name: &str, output: Output) -> Result<ExitCode> {
    let session = named_session(agent, name).await?;
    let report = CheckReport::from_dict(&session.check().await?)?;
    output.print(&report, |report| {
        let verdict = if report.savable { "It can be saved." } else { "It cannot be saved now." };
        if report.findings.is_empty() {
            return verdict.to_owned();
        }
        let row = |f: &freezeframe_api::records::FindingRow| {
            let effect = if f.blocking { "prevents saving" } else { "would be closed" };
            let cells = [&f.application, &f.window, &f.object, &f.remedy].map(Clone::clone);
            [vec![f.pid.to_string(), effect.to_owned()], cells.to_vec()].concat()
        };
        let rows: Vec<_> = report.findings.iter().map(row).collect();
        let head = ["PID", "EFFECT", "APPLICATION", "WINDOW", "WHAT", "REMEDY"];
        format!("{}\n{verdict}", table(&head, &rows, ""))
    })?;
    Ok(if report.savable { ExitCode::SUCCESS } else { ExitCode::from(4) })
}
