//! The D-Bus API of the session agent: what the app, `sessionctl` and the agent itself agree on.
//!
//! - [`names`]: the bus name, object paths and how ids become path elements;
//! - [`error`]: errors with stable names, `io.github.freezeframe.Error.*`, carried as two strings (message, hint);
//! - [`dict`]: records that travel as `a{sv}`; unknown keys in options are refused by name, in answers passed over;
//! - [`records`]: those records; serialised with serde they are the documents of `sessionctl --json`;
//! - [`proxies`]: zbus proxies for the four interfaces.
//!
//! The interface XML is in `data/dbus/` and is tested against the agent's own introspection. Deliberately absent:
//! anything that reads or writes files, and any decision.

pub mod dict;
pub mod error;
pub mod names;
pub mod proxies;
pub mod records;

pub use dict::{Dict, Dictionary};
pub use error::{Error, ErrorKind, Result};
pub use proxies::{Job1Proxy, Manager1Proxy, Session1Proxy, Snapshot1Proxy};
