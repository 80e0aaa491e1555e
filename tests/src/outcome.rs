//! A command that was run to its end.

use std::io::Read;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

/// What a command left.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The command, for messages.
    pub command: String,
    /// Exit code; 128 and more for a signal.
    pub code: i32,
    /// Standard output.
    pub stdout: Vec<u8>,
    /// Standard error.
    pub stderr: String,
    /// How long it took.
    pub took: Duration,
}

impl Outcome {
    /// Standard output as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }

    /// The same of a command that has to have succeeded.
    ///
    /// # Errors
    /// Names the command and what it said.
    pub fn done(&self) -> Result<String> {
        ensure!(self.code == 0, "{}", self.tell());
        Ok(self.text())
    }

    /// Standard output, which is one JSON document.
    ///
    /// # Errors
    /// When it is not.
    pub fn json(&self) -> Result<Value> {
        serde_json::from_slice(&self.stdout).with_context(|| format!("no JSON document: {}", self.tell()))
    }

    /// The error of a `sessionctl --json` that has to have failed with this code and this name.
    ///
    /// # Errors
    /// When it did not.
    pub fn refused(&self, code: i32, name: &str) -> Result<Value> {
        ensure!(self.code == code, "exit code {code} was expected: {}", self.tell());
        let error = self.json()?["error"].clone();
        ensure!(error["name"] == name, "the error {name} was expected: {}", self.tell());
        ensure!(error["message"].as_str().is_some_and(|m| !m.is_empty()), "no reason is given: {}", self.tell());
        ensure!(error["hint"].is_string(), "there is no hint: {}", self.tell());
        Ok(error)
    }

    /// Everything, for a message.
    pub fn tell(&self) -> String {
        format!("{} → {}\n{}\n{}", self.command, self.code, self.text().trim_end(), self.stderr.trim_end())
    }
}

/// Runs a command to its end, without input; kills it at the limit.
///
/// # Errors
/// When it cannot be started or does not end in time.
pub fn finish(command: &mut Command, limit: Duration) -> Result<Outcome> {
    finish_with(command, Stdio::null(), limit)
}

/// The same with something to read.
pub(crate) fn finish_with(command: &mut Command, stdin: Stdio, limit: Duration) -> Result<Outcome> {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    let shown = words.map(|w| w.to_string_lossy().into_owned()).collect::<Vec<_>>().join(" ");
    let began = Instant::now();
    command.stdin(stdin).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().with_context(|| format!("cannot start {shown}"))?;
    let read = |stream: Option<Box<dyn Read + Send>>| {
        thread::spawn(move || {
            let mut bytes = Vec::new();
            if let Some(mut stream) = stream {
                // What can be read until the other end is closed is all that there is.
                let _ = stream.read_to_end(&mut bytes);
            }
            bytes
        })
    };
    let stdout = read(child.stdout.take().map(|s| Box::new(s) as _));
    let stderr = read(child.stderr.take().map(|s| Box::new(s) as _));
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break status;
        }
        if began.elapsed() > limit {
            child.kill()?;
            child.wait()?;
            bail!("{shown} did not end within {:.0} s", limit.as_secs_f64());
        }
        thread::sleep(Duration::from_millis(2));
    };
    let took = began.elapsed();
    let code =
        status.code().unwrap_or_else(|| 128 + std::os::unix::process::ExitStatusExt::signal(&status).unwrap_or(0));
    let join = |thread: thread::JoinHandle<Vec<u8>>| thread.join().unwrap_or_default();
    let stderr = String::from_utf8_lossy(&join(stderr)).into_owned();
    Ok(Outcome { command: shown, code, stdout: join(stdout), stderr, took })
}
