//! The verbs, by what they are about.

mod base;
mod doctor;
mod session;
mod settings;
mod snapshot;
mod transfer;
mod upkeep;
mod view;

use std::process::ExitCode;

use clap::CommandFactory;
use freezeframe_api::{Error, ErrorKind, Result, Session1Proxy, Snapshot1Proxy};
use zbus::proxy::CacheProperties;

use super::args::{Cli, Verb};
use super::output::{Output, write_out};
use super::reach::{self, Agent};

/// Does what the command line says.
pub(super) async fn run(verb: Verb, output: Output) -> Result<ExitCode> {
    match verb {
        Verb::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "sessionctl", &mut script);
            write_out(&script, false)?;
            return Ok(ExitCode::SUCCESS);
        }
        Verb::Man => {
            let mut page = Vec::new();
            clap_mangen::Man::new(Cli::command())
                .render(&mut page)
                .map_err(|e| Error::new(ErrorKind::Failed, format!("cannot write the man page: {e}")))?;
            write_out(&page, false)?;
            return Ok(ExitCode::SUCCESS);
        }
        Verb::Doctor => return doctor::run(output).await,
        _ => {}
    }
    let agent = reach::agent().await?;
    match verb {
        Verb::Base(verb) => base::run(&agent, verb, output).await?,
        Verb::Start(arguments) => session::start(&agent, arguments, output).await?,
        Verb::List => session::list(&agent, output).await?,
        Verb::Exec(arguments) => return session::exec(&agent, arguments, output).await,
        Verb::Save(arguments) => session::save(&agent, arguments, output).await?,
        Verb::Stop(arguments) => session::stop(&agent, arguments, output).await?,
        Verb::Check(arguments) => return session::check(&agent, &arguments.session, output).await,
        Verb::View(arguments) => view::view(&agent, &arguments, output).await?,
        Verb::Screenshot(arguments) => view::screenshot(&agent, &arguments, output).await?,
        Verb::Timeline(arguments) => snapshot::timeline(&agent, arguments, output).await?,
        Verb::Resume(arguments) => snapshot::resume(&agent, arguments, output).await?,
        Verb::Show(arguments) => snapshot::show(&agent, &arguments.snapshot, output).await?,
        Verb::Label(arguments) => {
            let change = snapshot::Mark::Label(arguments.text);
            snapshot::mark(&agent, &arguments.snapshot, change, output).await?;
        }
        Verb::Pin(one) => snapshot::mark(&agent, &one.snapshot, snapshot::Mark::Pin, output).await?,
        Verb::Unpin(one) => snapshot::mark(&agent, &one.snapshot, snapshot::Mark::Unpin, output).await?,
        Verb::Delete(one) => snapshot::mark(&agent, &one.snapshot, snapshot::Mark::Delete, output).await?,
        Verb::Undelete(one) => snapshot::mark(&agent, &one.snapshot, snapshot::Mark::Undelete, output).await?,
        Verb::Export(arguments) => transfer::export(&agent, &arguments, output).await?,
        Verb::Import(arguments) => transfer::import(&agent, arguments, output).await?,
        Verb::Compare(arguments) => snapshot::compare(&agent, &arguments, output).await?,
        Verb::Settings { changes } => settings::settings(&agent, &changes, output).await?,
        Verb::Storage => settings::storage(&agent, output).await?,
        Verb::Key => transfer::key(&agent, output).await?,
        Verb::Trusted => transfer::trusted(&agent, output).await?,
        Verb::Distrust { key } => agent.manager.distrust_key(&key).await?,
        Verb::Verify(arguments) => return upkeep::verify(&agent, arguments.snapshot.as_deref(), output).await,
        Verb::Gc(arguments) => upkeep::gc(&agent, arguments.keep_deleted, output).await?,
        Verb::Retention(arguments) => upkeep::retention(&agent, arguments.apply, output).await?,
        Verb::Completions { .. } | Verb::Man | Verb::Doctor => {}
    }
    Ok(ExitCode::SUCCESS)
}

/// The session that `name` means; empty for the only running one.
async fn find_session(agent: &Agent, name: &str) -> Result<Session1Proxy<'static>> {
    let path = agent.manager.find_session(name).await?;
    Ok(Session1Proxy::builder(&agent.connection).path(path)?.cache_properties(CacheProperties::No).build().await?)
}

/// The session of that name, which was given.
async fn named_session(agent: &Agent, name: &str) -> Result<Session1Proxy<'static>> {
    if name.is_empty() {
        return Err(Error::new(ErrorKind::InvalidArgument, "the session's name is empty"));
    }
    find_session(agent, name).await
}

/// The snapshot that `name` means.
async fn find_snapshot(agent: &Agent, name: &str) -> Result<Snapshot1Proxy<'static>> {
    let path = agent.manager.find_snapshot(name).await?;
    Ok(Snapshot1Proxy::builder(&agent.connection).path(path)?.cache_properties(CacheProperties::No).build().await?)
}
