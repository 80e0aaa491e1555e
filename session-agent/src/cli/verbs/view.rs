//! Looking at a session.

use std::ffi::OsString;
use std::fs::File;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use freezeframe_api::{Error, ErrorKind, Result};
use serde_json::json;

use super::{find_snapshot, named_session};
use crate::cli::args;
use crate::cli::file::NewFile;
use crate::cli::output::{Output, write_out};
use crate::cli::reach::Agent;
use crate::programs::Programs;

/// How long a viewer is watched: one that cannot open its window, or reach the display, ends within this.
const FIRST_STEPS: Duration = Duration::from_millis(700);

/// How often it is looked at meanwhile.
const LOOK: Duration = Duration::from_millis(20);

/// No thumbnail has more bytes: one of the largest display has far fewer.
const MOST_PNG: u64 = 64 << 20;

/// Whether the environment names a display that windows can be opened on.
fn there_is_a_display(variable: impl Fn(&str) -> Option<OsString>) -> bool {
    ["WAYLAND_DISPLAY", "DISPLAY"].iter().any(|name| variable(name).is_some_and(|value| !value.is_empty()))
}

pub(super) async fn view(agent: &Agent, arguments: &args::View, output: Output) -> Result<()> {
    let session = named_session(agent, &arguments.session).await?;
    let id = session.id().await?;
    let programs = Programs::from_environment();
    let lacks = |text: &str, hint: &str| Error::new(ErrorKind::MachineLacks, text).hint(hint);
    // What a program that the user names needs is not known here.
    let named = std::env::var_os("FREEZEFRAME_VNC_CLIENT").filter(|_| arguments.client);
    let needs_display = named.is_none();
    let mut command = if arguments.client {
        let program = match named {
            Some(program) => PathBuf::from(program),
            None => programs
                .find_in_path("vncviewer")
                .or_else(|| programs.find_in_path("xtigervncviewer"))
                .ok_or_else(|| lacks("no VNC client was found", "Install one: apt install tigervnc-viewer"))?,
        };
        let mut command = Command::new(program);
        command.arg(session.display_socket().await?);
        command
    } else {
        let hint = "Install it (`make install`), or use any VNC client: sessionctl view --client SESSION";
        let program = programs.find("freezeframe").ok_or_else(|| lacks("the app freezeframe was not found", hint))?;
        let mut command = Command::new(program);
        // The bus may be a private one, which nobody else would look for.
        command.arg("--session").arg(&id).env("DBUS_SESSION_BUS_ADDRESS", &agent.bus);
        command
    };
    if needs_display && !there_is_a_display(|name| std::env::var_os(name)) {
        return Err(lacks(
            "there is no display here to open a window on: neither DISPLAY nor WAYLAND_DISPLAY is set",
            "Run it in a desktop, or look without one: sessionctl screenshot SESSION FILE.png",
        ));
    }
    // A process group of its own: it outlives this terminal's Ctrl-C.
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).process_group(0);
    let program = Path::new(command.get_program()).display().to_string();
    let mut child =
        command.spawn().map_err(|e| Error::new(ErrorKind::Failed, format!("cannot start {program}: {e}")))?;
    let began = Instant::now();
    while began.elapsed() < FIRST_STEPS {
        match child.try_wait() {
            // The window may be one of a program that runs already.
            Ok(Some(status)) if status.success() => break,
            Ok(Some(status)) => {
                return Err(Error::new(ErrorKind::Failed, format!("{program} ended at once ({status})"))
                    .hint(format!("Run it in a terminal to see why: {program}")));
            }
            _ => tokio::time::sleep(LOOK).await,
        }
    }
    output.print(&json!({"session": id, "pid": child.id()}), |_| format!("Opening {id}."))
}

pub(super) async fn screenshot(agent: &Agent, arguments: &args::Screenshot, output: Output) -> Result<()> {
    let png = match named_session(agent, &arguments.what).await {
        Ok(session) => session.screenshot().await?,
        Err(error) if error.kind == ErrorKind::NotFound => thumbnail(agent, &arguments.what).await?,
        Err(error) => return Err(error),
    };
    if arguments.file == Path::new("-") {
        return write_out(&png, false);
    }
    NewFile::create(&arguments.file)?.write(&png)?;
    output.print(&json!({"file": arguments.file, "bytes": png.len()}), |_| String::new())
}

async fn thumbnail(agent: &Agent, name: &str) -> Result<Vec<u8>> {
    let snapshot = find_snapshot(agent, name).await.map_err(|error| match error.kind {
        ErrorKind::NotFound => Error::new(ErrorKind::NotFound, format!("there is no session or snapshot {name:?}"))
            .hint("`sessionctl list` shows the sessions, `sessionctl timeline` the snapshots."),
        _ => error,
    })?;
    let file = File::from(std::os::fd::OwnedFd::from(snapshot.open_thumbnail().await?));
    freezeframe_store::bounded::all(file, MOST_PNG)
        .map_err(|e| Error::new(ErrorKind::Failed, format!("cannot read the thumbnail: {e}")))
}
