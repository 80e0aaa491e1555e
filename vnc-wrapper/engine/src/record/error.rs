//! Why process content cannot be read or written.

use std::io;

/// What is wrong with process content. A caller adds which file or snapshot it is of.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The source or the sink failed.
    #[error("cannot {what} process content: {source}")]
    Io {
        /// "read" or "write".
        what: &'static str,
        /// What the kernel said.
        source: io::Error,
    },
    /// These bytes are no process content.
    #[error(
        "this is not process content of Freezeframe: it does not begin as such; choose a snapshot that Freezeframe saved"
    )]
    Foreign,
    /// A later release wrote it, in a way that this one does not know.
    #[error(
        "process content holds {what}, which this release does not know; resume it with a later release of Freezeframe"
    )]
    TooNew {
        /// What is not known, by name or number.
        what: String,
    },
    /// The bytes are not as they were written, or were forged.
    #[error(
        "process content is damaged at byte {at}: {what}: {reason}; restore the snapshot from a backup, or delete it"
    )]
    Damaged {
        /// How many bytes stand before the damaged part.
        at: u64,
        /// The part: a kind of record, or "the header".
        what: &'static str,
        /// What is wrong.
        reason: String,
    },
    /// A record or region that cannot be written, since no reader would take it.
    #[error("cannot write {what} to process content: {reason}; end what needs so much and save again")]
    Refused {
        /// The kind of record.
        what: &'static str,
        /// Which bound it exceeds.
        reason: String,
    },
}

impl Error {
    pub(super) fn read(source: io::Error) -> Self {
        Self::Io { what: "read", source }
    }

    pub(super) fn write(source: io::Error) -> Self {
        Self::Io { what: "write", source }
    }
}
