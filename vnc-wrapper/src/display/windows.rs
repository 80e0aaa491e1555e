//! Which windows are open, asked of the X server as a window manager tells it (EWMH: freedesktop.org/wiki/Specifications/wm-spec).

use std::io;
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::mpsc;
use std::time::Duration;

use freezeframe_store::manifest::Window;
use freezeframe_text::{NAME, TITLE, line};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, socket_with};
use x11rb::connection::Connection;
use x11rb::protocol::xproto::{AtomEnum, ConnectionExt, Window as WindowId};
use x11rb::rust_connection::{DefaultStream, RustConnection};

/// How long the X server may take to answer all questions.
const DEADLINE: Duration = Duration::from_secs(2);
/// Longest title kept, in units of four bytes as the X protocol counts.
const MAX_TITLE: u32 = 256;
/// More windows than this are not listed.
const MAX_WINDOWS: u32 = 1000;

/// Why windows could not be listed.
#[derive(Debug, thiserror::Error)]
pub enum WindowsError {
    /// No connection.
    #[error("cannot reach the X server: {0}")]
    Socket(#[from] io::Error),
    /// The server refused the connection.
    #[error("the X server refused: {0}")]
    Connect(#[from] x11rb::errors::ConnectError),
    /// The connection broke, or took too long.
    #[error("the X server does not answer: {0}")]
    Reply(#[from] x11rb::errors::ReplyError),
}

impl From<x11rb::errors::ConnectionError> for WindowsError {
    fn from(error: x11rb::errors::ConnectionError) -> Self {
        Self::Reply(error.into())
    }
}

/// The windows that the window manager manages, oldest first; empty without a window manager.
///
/// No connection to the server is left open when this returns, also when the server hangs.
///
/// # Errors
/// When the server does not answer in time.
pub(super) fn list(socket: &Path) -> Result<Vec<Window>, WindowsError> {
    ask(socket, managed)
}

/// Whether a window manager is there: it says so by a property of the root window (EWMH, _NET_SUPPORTING_WM_CHECK).
///
/// # Errors
/// When the server does not answer in time.
pub(super) fn are_managed(socket: &Path) -> Result<bool, WindowsError> {
    ask(socket, |stream| {
        let (connection, root) = connect(stream)?;
        let check = connection.intern_atom(true, b"_NET_SUPPORTING_WM_CHECK")?.reply()?.atom;
        if check == x11rb::NONE {
            return Ok(false);
        }
        Ok(connection.get_property(false, root, check, AtomEnum::WINDOW, 0, 1)?.reply()?.value_len > 0)
    })
}

/// Asks the server, which the session may have stopped or replaced, and gives up after [`DEADLINE`].
fn ask<T: Send + 'static>(
    socket: &Path,
    question: impl FnOnce(UnixStream) -> Result<T, WindowsError> + Send + 'static,
) -> Result<T, WindowsError> {
    // Not to wait for a place in the server's queue: connecting fails at once while that is full.
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let unconnected = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None).map_err(io::Error::from)?;
    let address = SocketAddrUnix::new(socket).map_err(io::Error::from)?;
    rustix::net::connect(&unconnected, &address).map_err(io::Error::from)?;
    let stream = UnixStream::from(unconnected);
    let watched = stream.try_clone()?;
    let (tell, told) = mpsc::channel();
    std::thread::spawn(move || tell.send(question(stream)));
    let gone = |_| WindowsError::Socket(io::ErrorKind::TimedOut.into());
    match told.recv_timeout(DEADLINE) {
        Ok(answer) => answer,
        Err(_) => {
            // Ends the wait for a reply that the other thread is in.
            let _ = watched.shutdown(Shutdown::Both);
            told.recv().unwrap_or_else(|error| Err(gone(error)))
        }
    }
}

fn connect(stream: UnixStream) -> Result<(RustConnection, WindowId), WindowsError> {
    let (stream, _) = DefaultStream::from_unix_stream(stream)?;
    let connection = RustConnection::connect_to_stream_with_auth_info(stream, 0, Vec::new(), Vec::new())?;
    let root = connection.setup().roots.first().map_or(0, |screen| screen.root);
    Ok((connection, root))
}

fn managed(stream: UnixStream) -> Result<Vec<Window>, WindowsError> {
    let (connection, root) = connect(stream)?;
    let atom =
        |name: &str| -> Result<u32, WindowsError> { Ok(connection.intern_atom(true, name.as_bytes())?.reply()?.atom) };
    let (clients, title, pid) = (atom("_NET_CLIENT_LIST")?, atom("_NET_WM_NAME")?, atom("_NET_WM_PID")?);
    if clients == x11rb::NONE {
        return Ok(Vec::new());
    }
    let list = connection.get_property(false, root, clients, AtomEnum::WINDOW, 0, MAX_WINDOWS)?.reply()?;
    let mut windows = Vec::new();
    for window in list.value32().into_iter().flatten() {
        // A window that is closed meanwhile answers with an error, and is left out.
        if let Ok(found) = describe(&connection, window, title, pid) {
            windows.push(found);
        }
    }
    Ok(windows)
}

fn describe(connection: &RustConnection, window: WindowId, title: u32, pid: u32) -> Result<Window, WindowsError> {
    let property = |property: u32, length: u32| -> Result<_, WindowsError> {
        Ok(connection.get_property(false, window, property, AtomEnum::ANY, 0, length)?.reply()?)
    };
    // A program may end its title with a zero, as C has it.
    let text = |bytes: &[u8]| line(bytes.strip_suffix(b"\0").unwrap_or(bytes), TITLE);
    let mut name = if title == x11rb::NONE { String::new() } else { text(&property(title, MAX_TITLE)?.value) };
    if name.is_empty() {
        name = text(&property(AtomEnum::WM_NAME.into(), MAX_TITLE)?.value);
    }
    let class = property(AtomEnum::WM_CLASS.into(), MAX_TITLE)?.value;
    // Two strings, each with a zero at its end: the instance, then the class.
    let application = line(class.split(|byte| *byte == 0).nth(1).unwrap_or_default(), NAME);
    let pid = if pid == x11rb::NONE { None } else { property(pid, 1)?.value32().and_then(|mut v| v.next()) };
    Ok(Window { title: name, application, pid: pid.unwrap_or(0) })
}
