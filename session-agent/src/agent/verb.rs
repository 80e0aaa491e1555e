//! Running a verb of `vnc-wrapper` and reading what it says.

use std::ffi::OsStr;
use std::process::Stdio;

use freezeframe_api::{Error, ErrorKind, Result};
use freezeframe_protocol::Line;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tracing::{debug, warn};

use super::Agent;
use super::failure;
use super::job::Job;

impl Agent {
    /// Runs `vnc-wrapper ARGUMENTS` to its last line, telling `job` of its progress. A cancelled job ends it with
    /// SIGTERM, at which it cleans up.
    ///
    /// The verb has a process group of its own, so that a Ctrl-C meant for the agent does not end sessions; every
    /// descriptor of ours is close-on-exec.
    pub(crate) async fn verb(
        &self,
        arguments: &[&OsStr],
        stdin: Stdio,
        job: Option<&Job>,
    ) -> Result<serde_json::Value> {
        let program = self.programs.wrapper()?;
        debug!(?program, ?arguments, "verb");
        let mut command = Command::new(&program);
        command.args(arguments).arg("--data").arg(&self.dirs.data).arg("--runtime").arg(&self.dirs.runtime);
        command.stdin(stdin).stdout(Stdio::piped()).stderr(Stdio::inherit()).current_dir("/").process_group(0);
        let mut child = command.spawn().map_err(|e| {
            Error::new(ErrorKind::MachineLacks, format!("cannot start {}: {e}", program.display()))
                .hint("Install Freezeframe whole (`make install`).")
        })?;
        let result = listen(&mut child, job).await;
        // After its last line it has nothing to say; it is reaped in the background.
        tokio::spawn(async move {
            if let Err(error) = child.wait().await {
                warn!(%error, "cannot reap a verb");
            }
        });
        result
    }
}

async fn listen(child: &mut Child, job: Option<&Job>) -> Result<serde_json::Value> {
    let Some(stdout) = child.stdout.take() else {
        return Err(Error::new(ErrorKind::Failed, "vnc-wrapper has no standard output"));
    };
    let mut lines = BufReader::new(stdout).lines();
    let mut cancelled = false;
    loop {
        let cancel = async {
            match job {
                Some(job) if !cancelled => job.cancel_asked().await,
                _ => std::future::pending().await,
            }
        };
        let line = tokio::select! {
            line = lines.next_line() => line,
            () = cancel => {
                cancelled = true;
                terminate(child);
                continue;
            }
        };
        let text = match line {
            Ok(Some(text)) => text,
            Ok(None) if cancelled => return Err(failure::cancelled()),
            Ok(None) => return Err(ended(child).await),
            Err(e) => return Err(Error::new(ErrorKind::Failed, format!("cannot read what vnc-wrapper says: {e}"))),
        };
        match serde_json::from_str(&text) {
            Ok(Line::Progress { stage, fraction }) => {
                if let Some(job) = job {
                    job.progress(stage, fraction).await;
                }
            }
            Ok(Line::Done(value)) => return Ok(value),
            Ok(Line::Failed(_)) if cancelled => return Err(failure::cancelled()),
            Ok(Line::Failed(failure)) => return Err(failure::of_wrapper(failure)),
            Err(error) => warn!(%error, text, "vnc-wrapper said what is no line of the protocol"),
        }
    }
}

async fn ended(child: &mut Child) -> Error {
    let how = match child.wait().await {
        Ok(status) => status.to_string(),
        Err(error) => error.to_string(),
    };
    Error::new(ErrorKind::Failed, format!("vnc-wrapper ended without an answer ({how})"))
        .hint("The agent's log says more; `sessionctl doctor` checks the machine.")
}

fn terminate(child: &Child) {
    let pid = child.id().and_then(|id| i32::try_from(id).ok()).and_then(rustix::process::Pid::from_raw);
    if let Some(pid) = pid
        && let Err(error) = rustix::process::kill_process(pid, rustix::process::Signal::TERM)
    {
        warn!(%error, "cannot end a verb");
    }
}
