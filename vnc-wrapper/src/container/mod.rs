//! The container that a session lives in.
//!
//! [`plan`] says, as data, what the inside looks like; [`apply`] makes it so, in the session's first process; [`enter`]
//! puts further programs into a running one; [`settings`] is what both ways in set for their process; [`network`] gives it a
//! way out, and [`connections`] are what leads there; [`environment`] is what those programs find; [`processes`] and
//! [`inside`] look at it from outside, and [`restored`] at what an engine made. [`furnish`] makes the inside of one that is resumed,
//! with the files of its own file systems ([`own_files`]). [`ranges`] are the ids that it gets, [`limits`] how much of the machine it may take.

pub mod apply;
pub mod connections;
pub mod enter;
pub mod environment;
pub mod furnish;
pub mod inside;
pub mod limits;
pub mod network;
pub mod own_files;
pub mod plan;
pub mod processes;
pub mod ranges;
pub mod restored;
pub mod settings;

/// Where the session keeps what the wrapper needs inside (on the session's own tmpfs).
pub const INSIDE_DIR: &str = "/run/freezeframe";
/// The program of process 1.
pub const INIT_PATH: &str = "/run/freezeframe/init";
/// The display server's RFB socket.
pub const RFB_SOCKET: &str = "/run/freezeframe/display/rfb";
/// The display server's X socket.
pub const X_SOCKET: &str = "/tmp/.X11-unix/X1";
/// The display's name.
pub const DISPLAY: &str = ":1";
/// Where the system bus listens (dbus-daemon(1); it does not make this directory).
pub const SYSTEM_BUS_DIRECTORY: &str = "/run/dbus";
/// Its socket.
pub const SYSTEM_BUS: &str = "/run/dbus/system_bus_socket";
/// The user that the desktop runs as.
pub const USER_ID: u32 = 1000;
/// Host name inside. The same in every session: X authority files and D-Bus machine ids hold it.
pub const HOST_NAME: &str = "freezeframe";
