//! `sessionctl base …`.

use std::fs::File;
use std::os::fd::AsFd;
use std::path::Path;

use freezeframe_api::records::{BaseDone, BaseRow, BuildOptions, ImportOptions};
use freezeframe_api::{Dictionary, Error, ErrorKind, Result};
use jiff::Zoned;
use zbus::zvariant::Fd;

use crate::cli::args::BaseVerb;
use crate::cli::job::{self, Show};
use crate::cli::output::{Output, table};
use crate::cli::reach::Agent;
use crate::rules::words;

pub(super) async fn run(agent: &Agent, verb: BaseVerb, output: Output) -> Result<()> {
    let path = match verb {
        BaseVerb::List => return list(agent, output).await,
        BaseVerb::Build { profile, name } => {
            agent.manager.build_base(&profile, &BuildOptions { name }.to_dict()).await?
        }
        BaseVerb::Import { name, tar } => import(agent, &name, &tar).await?,
        BaseVerb::Remove { name } => agent.manager.remove_base(&name).await?,
    };
    let done: BaseDone = job::wait(agent, path, Show::Progress).await?;
    output.print(&done, |d| d.base.clone())
}

async fn import(agent: &Agent, name: &str, tar: &Path) -> Result<zbus::zvariant::OwnedObjectPath> {
    let options = ImportOptions { origin: Some(format!("import:{}", tar.display())) }.to_dict();
    if tar == Path::new("-") {
        let stdin = std::io::stdin();
        return Ok(agent.manager.import_base(name, Fd::from(stdin.as_fd()), &options).await?);
    }
    let file = open(tar)?;
    Ok(agent.manager.import_base(name, Fd::from(&file), &options).await?)
}

pub(super) fn open(path: &Path) -> Result<File> {
    File::open(path).map_err(|e| {
        let kind = if e.kind() == std::io::ErrorKind::NotFound { ErrorKind::NotFound } else { ErrorKind::Failed };
        Error::new(kind, format!("cannot read {}: {e}", path.display()))
    })
}

async fn list(agent: &Agent, output: Output) -> Result<()> {
    let rows = agent.manager.list_bases().await?;
    let rows: Vec<BaseRow> = rows.iter().map(BaseRow::from_dict).collect::<Result<_>>()?;
    let now = Zoned::now();
    output.print(&rows, |rows| {
        let cells = |r: &BaseRow| {
            let state = if r.state == "whole" { words::bytes(r.bytes) } else { r.state.clone() };
            vec![r.base.clone(), words::moment_of(&r.created, &now), state, r.origin.clone()]
        };
        let rows: Vec<_> = rows.iter().map(cells).collect();
        table(&["BASE", "MADE", "SIZE", "ORIGIN"], &rows, "There is no base yet. Build one: sessionctl base build xfce")
    })
}
