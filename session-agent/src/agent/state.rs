//! What the agent remembers, as plain data.
//!
//! A session does one thing at a time: a caller that wants to save, stop or resume over it first moves it out of `Running`
//! (or `Crashed`), and everybody else gets `Busy` until it is back. Each session has a serial number, so that what
//! belongs to one session never changes a later one of the same name.

use std::collections::{BTreeMap, BTreeSet};

use freezeframe_api::records::Packed;
use freezeframe_api::{Error, ErrorKind, Result};
use freezeframe_store::SessionRecord;
use tokio::sync::watch;
use zbus::zvariant::OwnedObjectPath;

use super::control::Control;
use crate::rules::rows::Snapshot;

/// What a session is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Its wrapper is setting it up.
    Starting,
    /// It runs, and nothing is being done with it.
    Running,
    /// It is being saved.
    Saving,
    /// It is being ended.
    Stopping,
    /// Its wrapper is gone and its directory is not.
    Crashed,
}

impl Phase {
    /// The word for it on the bus.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Running => "running",
            Self::Saving => "saving",
            Self::Stopping => "stopping",
            Self::Crashed => "crashed",
        }
    }

    /// Whether an operation that leads to `to` may begin now.
    pub(crate) fn begin(self, session: &str, to: Self) -> Result<()> {
        match (self, to) {
            (Self::Running, _) | (Self::Crashed, Self::Stopping) => Ok(()),
            (Self::Crashed, _) => Err(crashed(session)),
            _ => Err(Error::new(ErrorKind::Busy, format!("session {session:?} is {} just now", self.word()))
                .hint("Wait until that is done and try again.")),
        }
    }
}

/// The error for a caller that wants something of a crashed session.
pub(crate) fn crashed(session: &str) -> Error {
    Error::new(ErrorKind::Failed, format!("session {session:?} has crashed"))
        .hint(format!("Resume its last snapshot (`sessionctl timeline`); remove it with: sessionctl stop {session}"))
}

/// A session that has a directory.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) serial: u64,
    pub(crate) record: SessionRecord,
    pub(crate) phase: Phase,
    pub(crate) control: Option<Control>,
    /// Why its wrapper could not be reached when that was last tried, as the log has it.
    pub(crate) unreachable: Option<String>,
}

impl Session {
    /// Where it comes to rest when nothing is done with it.
    pub(crate) fn resting(&self) -> Phase {
        if self.control.is_some() { Phase::Running } else { Phase::Crashed }
    }
}

/// How the packing of a snapshot ends: none before it has.
pub(crate) type PackOutcome = watch::Receiver<Option<Result<Packed>>>;

/// A snapshot that is being packed.
#[derive(Clone, Debug)]
pub(crate) struct Packing {
    pub(crate) job: OwnedObjectPath,
    pub(crate) outcome: PackOutcome,
}

/// Everything that changes.
#[derive(Debug, Default)]
pub(crate) struct State {
    pub(crate) sessions: BTreeMap<String, Session>,
    pub(crate) snapshots: BTreeMap<String, Snapshot>,
    /// Names of sessions that are about to be made.
    pub(crate) reserved: BTreeSet<String>,
    /// Lineages of which one session is being put in the place of others.
    pub(crate) resuming: BTreeSet<String>,
    /// Bases that are being made or removed.
    pub(crate) bases: BTreeSet<String>,
    /// Snapshots that are being packed, or wait for it.
    pub(crate) packs: BTreeMap<String, Packing>,
    /// Snapshots whose packing somebody cancelled.
    pub(crate) put_off: BTreeSet<String>,
    next_serial: u64,
    next_job: u64,
}

impl State {
    pub(crate) fn serial(&mut self) -> u64 {
        self.next_serial += 1;
        self.next_serial
    }

    pub(crate) fn job(&mut self) -> u64 {
        self.next_job += 1;
        self.next_job
    }

    pub(crate) fn session(&self, id: &str) -> Result<&Session> {
        self.sessions.get(id).ok_or_else(|| {
            Error::new(ErrorKind::NotFound, format!("there is no session {id:?}"))
                .hint("`sessionctl list` shows the sessions.")
        })
    }

    /// The session `id`, if it still is the one of that serial number.
    pub(crate) fn same(&mut self, id: &str, serial: u64) -> Option<&mut Session> {
        self.sessions.get_mut(id).filter(|s| s.serial == serial)
    }

    /// Moves a session to `to`; answers its serial number.
    pub(crate) fn begin(&mut self, id: &str, to: Phase) -> Result<u64> {
        self.session(id)?.phase.begin(id, to)?;
        let session = self.sessions.get_mut(id).map(|s| {
            s.phase = to;
            s.serial
        });
        Ok(session.unwrap_or_default())
    }

    /// Sessions, not crashed, that descend from the same start.
    pub(crate) fn of_lineage(&self, lineage: &str) -> Vec<String> {
        let same = |s: &&Session| s.record.lineage == lineage && s.phase != Phase::Crashed;
        self.sessions.values().filter(same).map(|s| s.record.id.to_string()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_thing_at_a_time() {
        use Phase::{Crashed, Running, Saving, Starting, Stopping};
        for to in [Saving, Stopping] {
            assert!(Running.begin("d", to).is_ok());
            for busy in [Starting, Saving, Stopping] {
                assert_eq!(busy.begin("d", to).unwrap_err().kind, ErrorKind::Busy);
            }
        }
        assert!(Crashed.begin("d", Stopping).is_ok());
        assert_eq!(Crashed.begin("d", Saving).unwrap_err().kind, ErrorKind::Failed);
    }
}
