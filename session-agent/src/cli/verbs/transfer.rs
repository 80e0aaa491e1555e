//! Snapshots as files.

use std::io::IsTerminal;
use std::os::fd::AsFd;
use std::path::Path;

use freezeframe_api::records::{ExportOptions, Exported, ImportSnapshotOptions, Imported, TrustedKey};
use freezeframe_api::{Dictionary, Error, ErrorKind, Result};
use serde_json::json;
use zbus::zvariant::Fd;

use super::{base, find_snapshot};
use crate::cli::args;
use crate::cli::file::NewFile;
use crate::cli::job::{self, Show};
use crate::cli::output::{Output, table};
use crate::cli::reach::Agent;
use crate::rules::words;

pub(super) async fn export(agent: &Agent, arguments: &args::Export, output: Output) -> Result<()> {
    let snapshot = find_snapshot(agent, &arguments.snapshot).await?;
    let options = ExportOptions { with_base: arguments.with_base }.to_dict();
    if arguments.file == Path::new("-") {
        let stdout = std::io::stdout();
        if stdout.is_terminal() {
            let text = "an export is not for a terminal";
            return Err(Error::new(ErrorKind::InvalidArgument, text).hint("Name a file, or pipe it into a program."));
        }
        let path = snapshot.export(Fd::from(stdout.as_fd()), &options).await?;
        let done: Exported = job::wait(agent, path, Show::Progress).await?;
        return tell(&done);
    }
    let file = NewFile::create(&arguments.file)?;
    let path = snapshot.export(Fd::from(&file.file), &options).await?;
    let done: Exported = job::wait(agent, path, Show::Progress).await?;
    file.finish()?;
    if output.json {
        let Exported { snapshot, key, bytes } = &done;
        return output
            .print(&json!({"snapshot": snapshot, "file": arguments.file, "key": key, "bytes": bytes}), |_| {
                String::new()
            });
    }
    tell(&done)
}

fn tell(done: &Exported) -> Result<()> {
    crate::stderr::say(format_args!("Exported {}. The receiver imports it with --trust {}", done.snapshot, done.key));
    Ok(())
}

pub(super) async fn import(agent: &Agent, arguments: args::Import, output: Output) -> Result<()> {
    let options = ImportSnapshotOptions { trust: arguments.trust, remember: arguments.remember }.to_dict();
    let path = if arguments.file == Path::new("-") {
        agent.manager.import_snapshot(Fd::from(std::io::stdin().as_fd()), &options).await?
    } else {
        let file = base::open(&arguments.file)?;
        agent.manager.import_snapshot(Fd::from(&file), &options).await?
    };
    let done: Imported = job::wait(agent, path, Show::Progress).await?;
    if !output.json {
        if done.was_there {
            crate::stderr::say(format_args!("It was there already."));
        }
        if let Some(base) = &done.base {
            crate::stderr::say(format_args!("The base {base} came with it."));
        }
        crate::stderr::say(format_args!("The store has grown by {}.", words::bytes(done.new_bytes)));
    }
    output.print(&done, |d| d.snapshot.clone())
}

pub(super) async fn key(agent: &Agent, output: Output) -> Result<()> {
    let key = agent.manager.public_key().await?;
    output.print(&json!({"key": key}), |_| key.clone())
}

pub(super) async fn trusted(agent: &Agent, output: Output) -> Result<()> {
    let rows = agent.manager.trusted_keys().await?;
    let rows: Vec<TrustedKey> = rows.iter().map(TrustedKey::from_dict).collect::<Result<_>>()?;
    output.print(&rows, |rows| {
        let rows: Vec<_> = rows.iter().map(|r| vec![r.key.clone(), r.name.clone()]).collect();
        table(
            &["KEY", "WHOSE"],
            &rows,
            "No key but your own is trusted. With one: sessionctl import FILE --trust KEY --remember NAME",
        )
    })
}
