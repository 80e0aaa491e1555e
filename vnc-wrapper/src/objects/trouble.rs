//! What a rule answers: something that a save would lose, in words for people.

/// Something that is not saved.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Trouble {
    /// What it is, in words that go on from the application's name.
    pub object: String,
    /// What the user can do.
    pub remedy: &'static str,
    /// Whether it stops the save; else it is closed when the snapshot is resumed.
    pub blocking: bool,
    /// Whether it is usually over when the programs have run for a moment, so that a save tries again.
    pub passing: bool,
}

/// The remedy where only the application's end helps. [`crate::preflight`] names another for what nobody can close.
pub const CLOSE: &str = "close the application";
/// The remedy for what the application's next step ends.
pub const WAIT: &str = "wait until the application answers again, or close it";

impl Trouble {
    /// What stops a save until somebody does something.
    pub fn blocking(object: impl Into<String>, remedy: &'static str) -> Self {
        Self { object: object.into(), remedy, blocking: true, passing: false }
    }

    /// What stops a save, and is usually over in a moment.
    pub fn passing(object: impl Into<String>, remedy: &'static str) -> Self {
        Self { passing: true, ..Self::blocking(object, remedy) }
    }

    /// What is merely closed.
    pub fn closed(object: impl Into<String>, remedy: &'static str) -> Self {
        Self { blocking: false, ..Self::blocking(object, remedy) }
    }
}

/// A trouble of a process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// The process, as the wrapper sees it.
    pub process: u32,
    /// What was found.
    pub trouble: Trouble,
}
