//! Looking at a session.

use std::fs::File;
use std::io::Read;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use freezeframe_api::{Error, ErrorKind, Result};
use serde_json::json;

use super::{find_snapshot, named_session};
use crate::cli::args;
use crate::cli::output::{Output, write_out};
use crate::cli::reach::Agent;
use crate::programs::Programs;

pub(super) async fn view(agent: &Agent, arguments: &args::View, output: Output) -> Result<()> {
    let session = named_session(agent, &arguments.session).await?;
    let id = session.id().await?;
    let programs = Programs::from_environment();
    let lacks = |text: &str, hint: &str| Error::new(ErrorKind::MachineLacks, text).hint(hint);
    let mut command = if arguments.client {
        let program = match std::env::var_os("FREEZEFRAME_VNC_CLIENT") {
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
    // A process group of its own: it outlives this terminal's Ctrl-C.
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).process_group(0);
    let child = command.spawn().map_err(|e| {
        let program = Path::new(command.get_program()).display();
        Error::new(ErrorKind::Failed, format!("cannot start {program}: {e}"))
    })?;
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
    freezeframe_store::sync::write_atomically(&arguments.file, &png)
        .map_err(|e| Error::new(ErrorKind::Failed, e.to_string()))?;
    output.print(&json!({"file": arguments.file, "bytes": png.len()}), |_| String::new())
}

async fn thumbnail(agent: &Agent, name: &str) -> Result<Vec<u8>> {
    let snapshot = find_snapshot(agent, name).await.map_err(|error| match error.kind {
        ErrorKind::NotFound => Error::new(ErrorKind::NotFound, format!("there is no session or snapshot {name:?}"))
            .hint("`sessionctl list` shows the sessions, `sessionctl timeline` the snapshots."),
        _ => error,
    })?;
    let mut file = File::from(std::os::fd::OwnedFd::from(snapshot.open_thumbnail().await?));
    let mut png = Vec::new();
    file.read_to_end(&mut png).map_err(|e| Error::new(ErrorKind::Failed, format!("cannot read the thumbnail: {e}")))?;
    Ok(png)
}
