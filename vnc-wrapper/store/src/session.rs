//! The record of a session: what a wrapper needs to start or resume it.

use freezeframe_text::{NAME, line};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::id::{SessionId, SnapshotId};
use crate::record::Record;

/// How a session reaches the network.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Network {
    /// Loopback only.
    #[default]
    None,
    /// It may connect to the network; nothing may connect to it.
    Outbound,
}

impl Network {
    /// The word used in the command line and over D-Bus.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Outbound => "outbound",
        }
    }

    /// The network of that word, if it is one.
    pub fn from_word(word: &str) -> Option<Self> {
        [Self::None, Self::Outbound].into_iter().find(|n| n.as_str() == word)
    }
}

/// `sessions/<id>/session.json`, written by the agent before it starts a wrapper.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionRecord {
    /// Format version of this record.
    pub format: u32,
    /// The session's name.
    pub id: SessionId,
    /// The base it stands on.
    pub base: String,
    /// [`crate::BaseRecord::identity`] of that base.
    pub base_identity: String,
    /// Width of the display in pixels.
    pub width: u16,
    /// Height of the display in pixels.
    pub height: u16,
    /// Its network.
    pub network: Network,
    /// When it was started or resumed.
    pub started: Timestamp,
    /// The snapshot that it was resumed from; none for one that started from its base.
    pub parent: Option<SnapshotId>,
    /// What all sessions that descend from one start have in common, drawn at that start.
    pub lineage: String,
    /// The last snapshot taken of or resumed into this session; the parent of the next one.
    #[serde(default)]
    pub last_snapshot: Option<SnapshotId>,
}

impl Record for SessionRecord {
    const FORMAT: u32 = 1;

    fn tidy(&mut self) {
        self.base = line(&self.base, NAME);
        self.lineage = line(&self.lineage, NAME);
    }
}
