//! `freezeframe`: the window on one's desktops.
//!
//! - [`application`] takes the command line and opens windows;
//! - [`window`] is one window: the timeline ([`timeline`]) or one session's desktop ([`live`]);
//! - [`acts`] is what can be done there with sessions and snapshots;
//! - [`mod@preferences`] is what the agent keeps for the user; [`shortcuts`] are the keys; `i18n` is the user's language;
//! - [`single`] opens no second window where one is enough;
//! - [`frames`] measures how smoothly it draws; [`spinner`] keeps it from drawing what nobody sees;
//! - [`agent`] speaks D-Bus with the session agent; [`runtime`] is where that and the displays' traffic run, so that
//!   the thread that draws never waits.
//!
//! A face only: it holds nothing that the agent does not know, and no widget is touched outside the main thread.

mod acts;
mod agent;
mod application;
mod frames;
mod live;
mod named;
mod preferences;
mod runtime;
mod shortcuts;
mod single;
mod spinner;
mod timeline;
mod window;

use std::path::PathBuf;
use std::process::ExitCode;

use adw::prelude::*;
use clap::Parser;
use freezeframe_i18n as i18n;

/// The command line.
#[derive(Debug, Parser)]
#[command(name = "freezeframe", version, about = "Shows desktops that run in Freezeframe sessions")]
struct Options {
    /// Open this session's desktop at once
    #[arg(long, value_name = "ID")]
    session: Option<String>,

    /// Show the timeline at this snapshot
    #[arg(long, value_name = "ID", conflicts_with = "session")]
    snapshot: Option<String>,

    /// For developers: show the RFB server on this Unix socket, without the session agent
    #[arg(long, value_name = "PATH", conflicts_with_all = ["session", "snapshot"])]
    socket: Option<PathBuf>,
}

fn main() -> ExitCode {
    // Parsed here, before a running instance is asked: mistakes and --help belong to the terminal they were typed in.
    let options = Options::parse();
    tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::from_default_env())
        // A log that cannot be written is passed over: telling so on the same descriptor would panic.
        .log_internal_errors(false)
        .with_writer(std::io::stderr)
        .init();
    i18n::start();
    let code = application::Application::new(options.socket.is_some()).run();
    ExitCode::from(code.get())
}
