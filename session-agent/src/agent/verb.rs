//! Running a verb of `vnc-wrapper` and reading what it says.

use std::ffi::OsStr;
use std::process::Stdio;

use freezeframe_api::{Error, ErrorKind, Result};
use freezeframe_protocol::Line;
use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::process::{Child, Command};
use tracing::{debug, warn};

use super::Agent;
use super::failure;
use super::job::Job;

impl Agent {
    /// Runs `vnc-wrapper ARGUMENTS` to its last line, telling `job` of its progress. A cancelled job ends it with
    /// SIGTERM, at which it cleans up.
    ///
    /// The verb has its own process group, so that a Ctrl-C meant for the agent does not end sessions; every
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
    let mut stdout = BufReader::new(stdout);
    // Outlives a wait that something else ends.
    let mut begun = Vec::new();
    let mut cancelled = false;
    loop {
        let cancel = async {
            match job {
                Some(job) if !cancelled => job.cancel_asked().await,
                _ => std::future::pending().await,
            }
        };
        let line = tokio::select! {
            line = next_line(&mut stdout, &mut begun) => line,
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

/// No line of a verb is longer, in bytes: the largest has a manifest in it.
const MOST: usize = 32 << 20;

/// The next line; none at the end. `begun` keeps what was read of one, should the wait for its end be given up.
async fn next_line(from: &mut (impl AsyncBufRead + Unpin), begun: &mut Vec<u8>) -> std::io::Result<Option<String>> {
    let left = (MOST + 1).saturating_sub(begun.len()) as u64;
    from.take(left).read_until(b'\n', begun).await?;
    if begun.len() > MOST {
        return Err(std::io::Error::new(std::io::ErrorKind::InvalidData, format!("a line has more than {MOST} bytes")));
    }
    let line = String::from_utf8_lossy(begun).trim_end_matches(['\r', '\n']).to_owned();
    let ended = std::mem::take(begun).is_empty();
    Ok((!ended).then_some(line))
}

async fn ended(child: &mut Child) -> Error {
    let how = match child.wait().await {
        Ok(status) => status.to_string(),
        Err(error) => error.to_string(),
    };
    Error::new(ErrorKind::Interrupted, format!("vnc-wrapper ended without an answer ({how})"))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn lines_are_read_whole_and_one_without_end_is_refused() {
        let mut begun = b"be".to_vec();
        let mut from = &b"gun\ntwo\r\nlast"[..];
        for expected in [Some("begun"), Some("two"), Some("last"), None] {
            assert_eq!(next_line(&mut from, &mut begun).await.unwrap().as_deref(), expected);
        }
        let mut endless = BufReader::new(tokio::io::repeat(b'x'));
        let error = next_line(&mut endless, &mut begun).await.unwrap_err();
        assert!(error.to_string().contains("more than"), "{error}");
    }
}
