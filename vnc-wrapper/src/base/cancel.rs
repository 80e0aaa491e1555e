//! Cancelling: whoever started a build or an import may end it with SIGTERM, and nothing of it is left.

use std::io;
use std::process::Child;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use nix::sys::signal::{SigSet, Signal, killpg};
use nix::unistd::Pid;

/// How long a program may take to clean up behind itself before it is killed.
const PATIENCE: Duration = Duration::from_secs(5);

/// Whether it shall be given up. Clones are of the same wish.
#[derive(Clone, Debug, Default)]
pub struct Cancel(Arc<State>);

#[derive(Debug, Default)]
struct State {
    asked: AtomicBool,
    /// The process group of a program that has to be told, because we wait for it. Never one that was waited for.
    program: Mutex<Option<Pid>>,
}

impl Cancel {
    /// One that SIGTERM and SIGINT ask for. To be called while this process has one thread.
    ///
    /// # Errors
    /// When the signals cannot be blocked or the thread that waits for them cannot be started.
    pub fn on_signals() -> io::Result<Self> {
        let cancel = Self::default();
        let signals: SigSet = [Signal::SIGTERM, Signal::SIGINT].into_iter().collect();
        signals.thread_block()?;
        let waiting = cancel.clone();
        std::thread::Builder::new().name("signals".into()).spawn(move || {
            if signals.wait().is_ok() {
                waiting.ask();
                std::thread::sleep(PATIENCE);
                waiting.tell(Signal::SIGKILL);
            }
        })?;
        Ok(cancel)
    }

    /// Asks for it.
    pub fn ask(&self) {
        self.0.asked.store(true, Ordering::SeqCst);
        self.tell(Signal::SIGTERM);
    }

    fn tell(&self, signal: Signal) {
        if let Some(group) = *self.program() {
            // It may have ended by itself; it was not waited for, so the id is still its own.
            let _ = killpg(group, signal);
        }
    }

    /// Whether it was asked for.
    pub fn asked(&self) -> bool {
        self.0.asked.load(Ordering::SeqCst)
    }

    /// Set once it was asked for.
    pub(super) fn flag(&self) -> &AtomicBool {
        &self.0.asked
    }

    /// Has the process group that `child` leads told as well, until the answer is dropped; that has to be before `child` is
    /// waited for.
    pub(super) fn tells(&self, child: &Child) -> Telling<'_> {
        *self.program() = i32::try_from(child.id()).ok().map(Pid::from_raw);
        if self.asked() {
            self.ask();
        }
        Telling(self)
    }

    fn program(&self) -> std::sync::MutexGuard<'_, Option<Pid>> {
        self.0.program.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A program is told of a cancellation as long as this lives.
pub(super) struct Telling<'a>(&'a Cancel);

impl Drop for Telling<'_> {
    fn drop(&mut self) {
        *self.0.program() = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::process::{CommandExt, ExitStatusExt};
    use std::process::Command;

    #[test]
    fn a_program_is_told_also_when_it_came_too_late() {
        let cancel = Cancel::default();
        let mut child = Command::new("sleep").arg("60").process_group(0).spawn().unwrap();
        cancel.ask();
        let telling = cancel.tells(&child);
        drop(telling);
        assert_eq!(child.wait().unwrap().signal(), Some(Signal::SIGTERM as i32));
        assert!(cancel.clone().asked());
    }
}
