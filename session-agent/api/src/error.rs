//! Errors with stable names.
//!
//! Rules: the message says what failed and why, as a sentence without a full stop; the hint says what to do, or is
//! empty. Both travel as strings in the body of the D-Bus error, so that they survive the bus unchanged; the key of an
//! `Untrusted` error follows as a third.

use freezeframe_text::{MESSAGE, NAME, line, lines};
use zbus::message::{Header, Message};
use zbus::names::ErrorName;

/// In front of every error name on the bus.
pub const PREFIX: &str = "io.github.freezeframe.Error.";

/// The result of a call of the agent.
pub type Result<T, E = Error> = std::result::Result<T, E>;

macro_rules! kinds {
    ($($(#[$doc:meta])* $kind:ident,)*) => {
        /// What kind of error it is; its name is stable.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum ErrorKind {
            $($(#[$doc])* $kind,)*
        }

        impl ErrorKind {
            /// All kinds.
            pub const ALL: &[Self] = &[$(Self::$kind,)*];

            /// The name without [`PREFIX`].
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$kind => stringify!($kind),)*
                }
            }

            /// The name with [`PREFIX`].
            pub fn full_name(self) -> &'static str {
                match self {
                    $(Self::$kind => concat!("io.github.freezeframe.Error.", stringify!($kind)),)*
                }
            }
        }
    };
}

kinds! {
    /// An argument cannot be used.
    InvalidArgument,
    /// Nothing of that name is there.
    NotFound,
    /// That name is taken.
    Exists,
    /// Pre-flight found what cannot be saved.
    Refused,
    /// It needs root.
    NeedsRoot,
    /// The machine lacks something; `sessionctl doctor` says what.
    MachineLacks,
    /// Something else is being done with it.
    Busy,
    /// It was cancelled.
    Cancelled,
    /// A file on disk is damaged, or of a later release.
    Damaged,
    /// The disk is full, or a quota is.
    NoSpace,
    /// What did it was ended before it was done: it says nothing of what it was about.
    Interrupted,
    /// The engine, the container or the system failed.
    Failed,
    /// Somebody made it whose key is not trusted here.
    Untrusted,
    /// A verb of a later release.
    NotAvailable,
    /// The agent cannot be reached; made by clients only.
    Unreachable,
}

impl ErrorKind {
    /// The kind of that name, with or without [`PREFIX`]; [`ErrorKind::Failed`] for a name of a later release.
    pub fn from_name(name: &str) -> Self {
        let short = name.strip_prefix(PREFIX).unwrap_or(name);
        Self::ALL.iter().copied().find(|kind| kind.name() == short).unwrap_or(Self::Failed)
    }
}

/// Why something was not done, and what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Error {
    /// What kind of error.
    pub kind: ErrorKind,
    /// What failed and why.
    pub message: String,
    /// What to do; may be empty.
    pub hint: String,
    /// The public key that [`ErrorKind::Untrusted`] is about, as `sessionctl key` prints it; else empty.
    pub key: String,
}

impl Error {
    /// An error without a hint.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), hint: String::new(), key: String::new() }
    }

    /// The same error with a hint.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = hint.into();
        self
    }

    /// The same error with the key that it is about.
    #[must_use]
    pub fn key(mut self, key: impl Into<String>) -> Self {
        self.key = key.into();
        self
    }

    /// The same error with `context` in front of its message: "cannot save: …".
    #[must_use]
    pub fn context(mut self, context: &str) -> Self {
        self.message = format!("{context}: {}", self.message);
        self
    }

    /// Reads an error out of a reply: of the agent, of the bus, or of the connection.
    pub fn from_bus(error: &zbus::Error) -> Self {
        match error {
            zbus::Error::MethodError(name, text, message) => {
                let body = message.body();
                let (text, hint, key) = match (body.deserialize(), body.deserialize()) {
                    (Ok(all), _) => all,
                    (_, Ok((text, hint))) => (text, hint, String::new()),
                    _ => (text.clone().unwrap_or_else(|| name.to_string()), String::new(), String::new()),
                };
                let ours = name.starts_with(PREFIX);
                let kind = if ours { ErrorKind::from_name(name) } else { foreign_kind(name) };
                Self { kind, message: text, hint, key }
            }
            zbus::Error::FDO(inner) => {
                let kind = foreign_kind(&zbus::DBusError::name(&**inner));
                Self::new(kind, inner.to_string())
            }
            zbus::Error::InputOutput(e) => Self::new(ErrorKind::Unreachable, format!("the connection broke: {e}")),
            other => Self::new(ErrorKind::Failed, other.to_string()),
        }
    }
}

fn foreign_kind(name: &str) -> ErrorKind {
    match name.strip_prefix("org.freedesktop.DBus.Error.") {
        Some("UnknownObject" | "UnknownProperty") => ErrorKind::NotFound,
        Some("InvalidArgs") => ErrorKind::InvalidArgument,
        Some("ServiceUnknown" | "NameHasNoOwner" | "NoReply" | "Disconnected" | "NoServer") => ErrorKind::Unreachable,
        _ => ErrorKind::Failed,
    }
}

impl From<zbus::Error> for Error {
    fn from(error: zbus::Error) -> Self {
        Self::from_bus(&error)
    }
}

impl From<zbus::fdo::Error> for Error {
    fn from(error: zbus::fdo::Error) -> Self {
        Self::from_bus(&zbus::Error::from(error))
    }
}

impl zbus::DBusError for Error {
    fn create_reply(&self, call: &Header<'_>) -> zbus::Result<Message> {
        let reply = Message::error(call, self.name())?;
        // It may quote what was found inside a session or on disk; a NUL in it would leave the caller without an answer.
        let (message, hint) = (lines(&self.message, MESSAGE), lines(&self.hint, MESSAGE));
        if self.key.is_empty() {
            return reply.build(&(message, hint));
        }
        reply.build(&(message, hint, line(&self.key, NAME)))
    }

    fn name(&self) -> ErrorName<'_> {
        ErrorName::from_static_str_unchecked(self.kind.full_name())
    }

    fn description(&self) -> Option<&str> {
        Some(&self.message)
    }
}

#[cfg(test)]
mod tests {
    use zbus::DBusError;

    use super::*;

    #[test]
    fn names_are_valid_and_come_back() {
        for kind in ErrorKind::ALL.iter().copied() {
            assert!(ErrorName::try_from(kind.full_name()).is_ok(), "{kind:?}");
            assert_eq!(ErrorKind::from_name(kind.full_name()), kind);
            assert_eq!(ErrorKind::from_name(kind.name()), kind);
        }
        assert_eq!(ErrorKind::from_name("OfALaterRelease"), ErrorKind::Failed);
    }

    #[test]
    fn an_error_survives_the_bus_with_its_hint() {
        let call = Message::method_call("/x", "Y").unwrap().build(&()).unwrap();
        let missing = Error::new(ErrorKind::NotFound, "there is no base \"x\"").hint("sessionctl base build x");
        let untrusted = Error::new(ErrorKind::Untrusted, "no").hint("ask").key("ab12");
        let hostile = Error::new(ErrorKind::Damaged, "a\0b").hint("c\0").create_reply(&call.header()).unwrap();
        let hostile = Error::from_bus(&zbus::Error::MethodError(
            hostile.header().error_name().unwrap().to_owned().into(),
            None,
            hostile,
        ));
        assert_eq!((hostile.message.as_str(), hostile.hint.as_str()), ("a\u{fffd}b", "c\u{fffd}"));
        for error in [missing, untrusted] {
            let reply = error.create_reply(&call.header()).unwrap();
            let name = reply.header().error_name().unwrap().to_owned();
            let received = zbus::Error::MethodError(name.into(), None, reply);
            assert_eq!(Error::from_bus(&received), error);
        }
    }
}
