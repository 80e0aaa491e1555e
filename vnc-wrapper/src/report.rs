//! The JSON lines that a verb writes to its standard output.

use std::io::Write;

use freezeframe_protocol::{Failure, Line, Resumed};

/// Writes lines to whoever started this verb.
pub struct Report<W: Write> {
    to: W,
}

impl<W: Write> Report<W> {
    /// Reports to `to`.
    pub fn new(to: W) -> Self {
        Self { to }
    }

    /// Tells what is being done; `fraction` below 0 means not known.
    pub fn progress(&mut self, stage: &str, fraction: f64) {
        self.line(&Line::Progress { stage: stage.to_owned(), fraction });
    }

    /// Tells the end, good or bad, and returns the exit status that goes with it.
    pub fn end(&mut self, outcome: Result<serde_json::Value, Failure>) -> i32 {
        let failed = outcome.is_err();
        self.line(&outcome.map_or_else(Line::Failed, Line::Done));
        i32::from(failed)
    }

    /// Writes one line. Nobody reading any more is no reason to stop the work.
    pub fn line(&mut self, line: &Line) {
        if let Ok(mut text) = serde_json::to_vec(line) {
            text.push(b'\n');
            let _ = self.to.write_all(&text).and_then(|()| self.to.flush());
        }
    }
}

/// The result of a start or resume.
pub fn resumed(elapsed: std::time::Duration) -> serde_json::Value {
    serde_json::json!(Resumed { elapsed_ms: elapsed.as_secs_f64() * 1000.0 })
}
