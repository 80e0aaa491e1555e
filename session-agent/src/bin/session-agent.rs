//! `session-agent`: one per user, on the session bus.

use std::process::ExitCode;

use clap::Parser;
use freezeframe_api::{Error, ErrorKind, Result};
use freezeframe_protocol::engine::Engine;
use session_agent::agent::{Agent, Setup};
use session_agent::bus::Bus;
use session_agent::config::Config;
use session_agent::dirs::Directories;
use session_agent::programs::Programs;
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

/// Runs Freezeframe's sessions and keeps its timeline. Usually started by D-Bus.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    /// Leave the terminal that started it.
    #[arg(long)]
    detach: bool,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    // What it makes is for its user alone. Whoever started it may have set anything.
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o077));
    if arguments.detach {
        // It fails for a process group's leader, which no terminal's Ctrl-C reaches by accident either.
        let _ = rustix::process::setsid();
    }
    let filter = EnvFilter::try_from_env("FREEZEFRAME_LOG").unwrap_or_else(|_| EnvFilter::new("info,zbus=warn"));
    // A log that cannot be written is passed over: telling so on the same descriptor would panic.
    tracing_subscriber::fmt().with_env_filter(filter).log_internal_errors(false).with_writer(std::io::stderr).init();
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            session_agent::stderr::say(format_args!("session-agent: {}", error.message));
            if !error.hint.is_empty() {
                session_agent::stderr::say(format_args!("{}", error.hint));
            }
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<()> {
    let dirs = Directories::find()?;
    let root = rustix::process::geteuid().is_root();
    let setup = Setup {
        config: Config::read(&dirs.config_file)?,
        programs: Programs::from_environment(),
        root,
        engine: Engine::for_user(root),
        dirs,
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.map_err(|e| Error::new(ErrorKind::Failed, format!("cannot start: {e}")))?;
    let outcome = runtime.block_on(serve(setup));
    // Nothing that still waits in the background is worth waiting for.
    runtime.shutdown_background();
    outcome
}

async fn serve(setup: Setup) -> Result<()> {
    let cannot_listen = |e: std::io::Error| Error::new(ErrorKind::Failed, format!("cannot listen to signals: {e}"));
    let mut terminate = signal(SignalKind::terminate()).map_err(cannot_listen)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(cannot_listen)?;
    let bus = Bus::from_environment(&setup.dirs);
    bus.ensure(&setup.dirs)?;
    let address = bus.address();
    let connection = zbus::connection::Builder::address(address.as_str())?.build().await.map_err(|e| {
        Error::new(ErrorKind::Unreachable, format!("cannot connect to the bus at {address}: {e}"))
            .hint("Start one, or unset DBUS_SESSION_BUS_ADDRESS to have a private one.")
    })?;
    let agent = Agent::run_with_connection(connection, setup).await?;
    tokio::select! {
        _ = terminate.recv() => tracing::info!("asked to end; sessions go on"),
        _ = interrupt.recv() => tracing::info!("interrupted; sessions go on"),
        () = agent.bus_closed() => tracing::info!("the bus is gone; sessions go on"),
    }
    agent.end().await;
    Ok(())
}
