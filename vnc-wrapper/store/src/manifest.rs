//! The manifest of a snapshot: all that is known of it, but for its bytes.

use freezeframe_text::{LABEL, MESSAGE, NAME, TITLE, line};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::form::{Attributes, Local};
use crate::id::{SessionId, SnapshotId};
use crate::record::Record;
use crate::session::Network;
use crate::sign::PublicKey;

/// No list of windows, or of what was closed, is longer. A wrapper lists no more; what is more comes from somewhere else.
pub const MOST_LISTED: usize = 1000;

/// A window that was open at the freeze.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Window {
    /// Its title.
    pub title: String,
    /// The application it belongs to: its X class (ICCCM 4.1.2.5), else its program's name.
    pub application: String,
    /// The process that owns it, as numbered inside the session; 0 when it is not known.
    pub pid: u32,
}

impl Window {
    /// Makes its texts, which programs of a session have chosen, fit to be kept and shown.
    pub fn tidy(&mut self) {
        self.title = line(&self.title, TITLE);
        self.application = line(&self.application, NAME);
    }
}

/// A connection or object that was closed for the save rather than kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Closed {
    /// What it was, in words.
    pub object: String,
    /// The application that had it.
    pub application: String,
    /// The process that had it, as numbered inside the session.
    pub pid: u32,
}

/// `snapshots/<id>/manifest.json`. Written once; what users change later (label, pin, deletion) is in `marks.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// Format version of this record.
    pub format: u32,
    /// The snapshot's id.
    pub id: SnapshotId,
    /// The session it was taken of.
    pub session: SessionId,
    /// [`crate::SessionRecord::lineage`] of that session.
    pub lineage: String,
    /// The snapshot before it in the timeline.
    pub parent: Option<SnapshotId>,
    /// The instant of the freeze.
    pub created: Timestamp,
    /// The user's words for it at the save.
    pub label: String,
    /// Taken by itself rather than asked for.
    #[serde(default)]
    pub automatic: bool,
    /// The base that the layer lies on.
    pub base: String,
    /// [`crate::BaseRecord::identity`] of that base.
    pub base_identity: String,
    /// First id of the range that files of the raw layer belong to. None, as in old ones: the base's ([`crate::BaseRecord::first_id`]).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_id: Option<u32>,
    /// How the overlay's own attributes are named in the raw layer: such a layer is packed in the normal form ([`crate::form`]).
    /// None, as in old ones, which are packed as they are: by `trusted.*`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attributes: Option<Attributes>,
    /// Width of the display in pixels.
    pub width: u16,
    /// Height of the display in pixels.
    pub height: u16,
    /// The session's network.
    pub network: Network,
    /// Engine that wrote the images, and its version: `criu 4.2.1`.
    pub engine: String,
    /// Kernel that it was taken on (`uname -r`).
    pub kernel: String,
    /// From the first process stopped to the last one running again, in milliseconds.
    pub pause_ms: f64,
    /// Part of the pause until every process had stopped, in milliseconds.
    pub freeze_ms: f64,
    /// Bytes of the engine's images.
    pub memory_bytes: u64,
    /// Bytes of the layer.
    pub layer_bytes: u64,
    /// Processes in the session.
    pub processes: u32,
    /// Threads of all of them.
    pub threads: u32,
    /// Windows that were open.
    pub windows: Vec<Window>,
    /// What was closed rather than saved.
    #[serde(default)]
    pub closed: Vec<Closed>,
    /// Processes that the wrapper watches again after a resume, as numbered inside the session.
    pub watched: Watched,
}

/// Pids, inside the session, of the processes whose end is the session's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Watched {
    /// The display server.
    pub display: u32,
    /// The desktop's first process.
    pub desktop: u32,
}

impl Manifest {
    /// How the raw layer lies; none for old ones, of which that is not known.
    pub(crate) fn raw_form(&self) -> Option<Local> {
        match self.attributes? {
            Attributes::Trusted => self.first_id.map(Local::of_root),
            Attributes::User => Some(Local::of_user()),
        }
    }

    /// Bytes before compression and deduplication.
    pub fn raw_bytes(&self) -> u64 {
        self.memory_bytes + self.layer_bytes
    }
}

impl Record for Manifest {
    const FORMAT: u32 = 1;
    const CHECKED: bool = true;

    fn check(&self) -> Result<(), String> {
        if !self.pause_ms.is_finite() || !self.freeze_ms.is_finite() {
            return Err("pause_ms or freeze_ms is not a number".into());
        }
        if self.memory_bytes.checked_add(self.layer_bytes).is_none() {
            return Err("memory_bytes and layer_bytes are a size that cannot be".into());
        }
        Ok(())
    }

    fn tidy(&mut self) {
        self.windows.truncate(MOST_LISTED);
        self.closed.truncate(MOST_LISTED);
        for text in [&mut self.lineage, &mut self.base, &mut self.engine, &mut self.kernel] {
            *text = line(&*text, NAME);
        }
        self.label = line(&self.label, LABEL);
        for window in &mut self.windows {
            window.tidy();
        }
        for closed in &mut self.closed {
            closed.application = line(&closed.application, NAME);
            closed.object = line(&closed.object, MESSAGE);
        }
    }
}

/// `snapshots/<id>/marks.json`: what a user says of a snapshot, and what was found of it when it was last read back. Absent
/// until the first mark.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Marks {
    /// Format version of this record.
    pub format: u32,
    /// The label, when it was changed after the save.
    pub label: Option<String>,
    /// Kept by every retention rule.
    #[serde(default)]
    pub pinned: bool,
    /// When it was deleted; it can be taken back until the store collects.
    #[serde(default)]
    pub deleted: Option<Timestamp>,
    /// Where it came from, when it was not taken here.
    #[serde(default)]
    pub imported: Option<ImportMark>,
    /// When it was last read back whole and found as it was written; none since it was found damaged. Earlier releases called
    /// that `verified`.
    #[serde(default, alias = "verified")]
    pub intact: Option<Timestamp>,
    /// When it was last restored, on the side or to be used; none since that was last found impossible.
    #[serde(default)]
    pub restored: Option<Timestamp>,
    /// What was found damaged of it when it was last read back.
    #[serde(default)]
    pub damage: Option<String>,
    /// Why it could not be restored when that was last tried on the side. Reading it back says nothing of that.
    #[serde(default)]
    pub unrestorable: Option<String>,
    /// That resuming it failed, until it succeeds.
    #[serde(default)]
    pub resume_failure: Option<ResumeFailure>,
}

/// That a snapshot could not be resumed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResumeFailure {
    /// When that was last tried.
    pub at: Timestamp,
    /// Why, in words.
    pub why: String,
}

impl Marks {
    /// Notes that the snapshot was restored on the side, or why that is impossible. What could be restored has no damage that
    /// matters.
    pub fn note_restore(&mut self, outcome: Result<(), String>, now: Timestamp) {
        match outcome {
            Ok(()) => (self.restored, self.damage, self.unrestorable) = (Some(now), None, None),
            Err(why) => (self.restored, self.unrestorable) = (None, Some(why)),
        }
    }

    /// Notes that the snapshot was resumed, or why it was not. A failure may be the machine's as well as the snapshot's, so it is
    /// told and keeps nothing from being tried.
    pub fn note_resume(&mut self, outcome: Result<(), String>, now: Timestamp) {
        match outcome {
            Ok(()) => {
                self.resume_failure = None;
                self.note_restore(Ok(()), now);
            }
            Err(why) => self.resume_failure = Some(ResumeFailure { at: now, why }),
        }
    }

    /// Notes what a verification has found of the snapshot. One that is not packed yet was not read whole, so that finding
    /// nothing says nothing of it but that earlier damage is mended.
    pub fn note_verification(&mut self, damage: Option<String>, packed: bool, now: Timestamp) {
        match damage {
            Some(damage) => (self.intact, self.damage) = (None, Some(damage)),
            None if packed => (self.intact, self.damage) = (Some(now), None),
            None => self.damage = None,
        }
    }
}

/// That a snapshot came from an export, and whose.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImportMark {
    /// When it was imported.
    pub at: Timestamp,
    /// The key that had signed it.
    pub key: PublicKey,
}

impl Record for Marks {
    const FORMAT: u32 = 1;
    const CHECKED: bool = true;

    fn tidy(&mut self) {
        self.label = self.label.as_ref().map(|label| line(label, LABEL));
        for why in [&mut self.damage, &mut self.unrestorable] {
            *why = why.as_ref().map(|why| line(why, MESSAGE));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Issue 9, number 7.
    #[test]
    fn a_manifest_of_somebody_else_is_read_with_harmless_words() {
        let path = std::path::Path::new("manifest.json");
        let mut manifest = crate::fuzz::files::manifest();
        let window = |title: &str| Window { title: title.into(), application: "a\0\u{202e}b".into(), pid: 1 };
        manifest.windows = vec![window("a\0b\u{2066}"); MOST_LISTED + 1];
        manifest.windows[1] = window(&"ß".repeat(1 << 19));
        (manifest.engine, manifest.label) = ("criu\u{feff}".into(), "l\x1b".into());
        manifest.closed = vec![Closed { object: "o\0".into(), application: "\n".into(), pid: 2 }];
        let read: Manifest = crate::record::parse(&crate::record::to_bytes(path, &manifest).unwrap(), path).unwrap();
        assert_eq!(read.windows.len(), MOST_LISTED);
        assert_eq!(
            (read.windows[0].title.as_str(), read.windows[0].application.as_str()),
            ("a\u{fffd}b", "a\u{fffd}b")
        );
        assert_eq!(read.windows[1].title.chars().count(), TITLE);
        assert_eq!((read.engine.as_str(), read.label.as_str()), ("criu", "l\u{fffd}"));
        assert_eq!((read.closed[0].object.as_str(), read.closed[0].application.as_str()), ("o\u{fffd}", ""));
        // A lone surrogate is nothing that JSON can have.
        let text = serde_json::to_string(&manifest.windows[2]).unwrap().replace("\\u0000", "\\ud800");
        assert!(serde_json::from_str::<Window>(&text).is_err());
    }

    #[test]
    fn issue_9_10_what_could_not_be_restored_stays_so_until_it_is() {
        let now = "2026-11-22T12:00:00Z".parse().unwrap();
        let mut marks = Marks::default();
        marks.note_restore(Err("no".into()), now);
        // Reading it back finds every byte of it.
        marks.note_verification(None, true, now);
        assert_eq!((marks.unrestorable.as_deref(), &marks.damage), (Some("no"), &None));
        marks.note_verification(Some("a bit flipped".into()), true, now);
        assert_eq!((marks.intact, marks.damage.is_some()), (None, true));
        marks.note_restore(Ok(()), now);
        assert_eq!(marks, Marks { restored: Some(now), ..Marks::default() });
    }

    #[test]
    fn issue_9_13_being_intact_and_being_restored_are_two_marks() {
        let now = "2026-11-22T12:00:00Z".parse().unwrap();
        let mut marks = Marks::default();
        marks.note_verification(None, true, now);
        assert_eq!((marks.intact, marks.restored), (Some(now), None));
        let mut marks = Marks::default();
        marks.note_resume(Err("no memory".into()), now);
        marks.note_restore(Ok(()), now);
        assert_eq!((marks.intact, marks.restored), (None, Some(now)));
        assert_eq!(marks.resume_failure.as_ref().map(|f| f.why.as_str()), Some("no memory"));
        marks.note_resume(Ok(()), now);
        assert_eq!(marks, Marks { restored: Some(now), ..Marks::default() });
    }

    #[test]
    fn what_an_earlier_release_called_verified_was_read_back() {
        let old = r#"{"format":1,"label":null,"verified":"2026-11-22T12:00:00Z"}"#;
        let marks: Marks = serde_json::from_str(old).unwrap();
        assert_eq!((marks.intact.is_some(), marks.restored), (true, None));
    }
}
