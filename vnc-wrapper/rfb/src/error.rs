//! What can go wrong with a server. Every error is final: the connection is of no use after it.

use std::io;

/// The result of a call into this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a display could not be read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The stream failed.
    #[error("the connection to the display failed: {0}")]
    Io(#[source] io::Error),
    /// The server closed the stream.
    #[error("the display closed the connection")]
    Closed,
    /// The server said no, in its own words.
    #[error("the display refused the connection: {0}")]
    Refused(String),
    /// The server wants a password or more; this client speaks to private sockets only.
    #[error("the display asks for authentication (security types {offered:?}); only type 1, None, is supported")]
    NeedsAuthentication {
        /// The security types that it offered.
        offered: Vec<u8>,
    },
    /// A number is larger than this client accepts.
    #[error("the display sent {what} of {found}, and at most {limit} is accepted")]
    TooLarge {
        /// What the number counts.
        what: &'static str,
        /// What was sent.
        found: u64,
        /// The limit it broke.
        limit: u64,
    },
    /// A rectangle lies outside the picture.
    #[error("the display sent {what} {rect} outside its picture of {width}x{height}")]
    Outside {
        /// Which rectangle.
        what: &'static str,
        /// Where it lies, as WIDTHxHEIGHT+X+Y.
        rect: String,
        /// The picture's width.
        width: u16,
        /// The picture's height.
        height: u16,
    },
    /// The bytes break the protocol.
    #[error("the display broke the protocol: {what}: {detail}")]
    Protocol {
        /// The part of the protocol.
        what: &'static str,
        /// What was wrong with it.
        detail: String,
    },
    /// The picture could not be written as PNG.
    #[error("the picture could not be written as PNG: {0}")]
    Png(#[source] image::ImageError),
}

impl Error {
    /// A breach of the protocol.
    pub(crate) fn protocol(what: &'static str, detail: impl Into<String>) -> Self {
        Self::Protocol { what, detail: detail.into() }
    }
}

impl From<io::Error> for Error {
    fn from(error: io::Error) -> Self {
        // A stream that ends where a message has to go on gives an error for what `Closed` says plainly.
        match error.kind() {
            io::ErrorKind::UnexpectedEof | io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset => Self::Closed,
            _ => Self::Io(error),
        }
    }
}
