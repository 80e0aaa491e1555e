//! The session's display, as the outside meets it.
//!
//! Viewers never hold a connection to the display server: each is spliced to one of its own (`freezeframe_rfb::splice`).
//! So the wrapper can be off the server's socket at a freeze, whatever viewers do, and they stay. [`Display::suspend`]
//! ends the connections to the server; they are made again once the [`Suspended`] display is dropped. Viewers of a session
//! that is stopped may follow to another one ([`follow`]).

pub mod follow;
pub mod windows;

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use freezeframe_rfb::Framebuffer;
use freezeframe_rfb::splice::{Outlet, Server};
use freezeframe_store::manifest::Window;
use tokio::net::UnixStream;

use crate::container::inside::Socket;
use crate::container::{RFB_SOCKET, X_SOCKET};
use windows::WindowsError;

/// How long the display server may take to send one picture.
const GRAB_DEADLINE: Duration = Duration::from_secs(5);
/// How long it may take to see that a viewer is gone.
const CLOSE_DEADLINE: Duration = Duration::from_secs(5);

/// The display of one session.
#[derive(Debug)]
pub struct Display {
    init: u32,
    outlet: Arc<Outlet<Door>>,
}

/// The display server's socket in the session whose init this is.
#[derive(Debug)]
struct Door(u32);

impl Server for Door {
    async fn connect(&self) -> io::Result<UnixStream> {
        UnixStream::connect(Socket::find(self.0, RFB_SOCKET)?.path()).await
    }
}

/// Why a display did not answer.
#[derive(Debug, thiserror::Error)]
pub enum DisplayError {
    /// Its socket could not be used.
    #[error("the session's display does not answer: {0}")]
    Socket(#[from] io::Error),
    /// It speaks another protocol than expected.
    #[error("the session's display does not answer as expected: {0}")]
    Protocol(#[from] freezeframe_rfb::Error),
    /// It took too long.
    #[error("the session's display did not answer within {} seconds", .0.as_secs())]
    TimedOut(Duration),
}

impl Display {
    /// The display of the session whose init is `init`.
    pub fn new(init: u32) -> Arc<Self> {
        Arc::new(Self { init, outlet: Outlet::new(Door(init)) })
    }

    /// The windows that are open.
    ///
    /// # Errors
    /// When the X server does not answer.
    pub async fn windows(&self) -> Result<Vec<Window>, WindowsError> {
        let socket = Socket::find(self.init, X_SOCKET)?;
        let asked = tokio::task::spawn_blocking(move || windows::list(&socket.path())).await;
        asked.unwrap_or_else(|error| Err(io::Error::other(error).into()))
    }

    /// Whether there is a window manager yet.
    pub fn has_window_manager(&self) -> bool {
        Socket::find(self.init, X_SOCKET).is_ok_and(|socket| windows::are_managed(&socket.path()).unwrap_or(false))
    }

    /// Viewers connected now.
    pub fn viewers(&self) -> u32 {
        self.outlet.viewers()
    }

    /// Takes one picture of the display. Waits while the display is suspended.
    ///
    /// # Errors
    /// When the display does not answer.
    pub async fn grab(&self) -> Result<Framebuffer, DisplayError> {
        let _visit = self.outlet.visit().await;
        let grab = async { Ok(freezeframe_rfb::grab(self.outlet.server().connect().await?).await?) };
        tokio::time::timeout(GRAB_DEADLINE, grab).await.unwrap_or(Err(DisplayError::TimedOut(GRAB_DEADLINE)))
    }

    /// Serves a viewer until it goes, or the display server does for good.
    pub fn serve(&self, viewer: UnixStream) {
        let outlet = Arc::clone(&self.outlet);
        tokio::spawn(async move {
            if let Err(error) = outlet.serve(viewer).await {
                tracing::debug!("a viewer's connection ended: {error}");
            }
        });
    }

    /// Ends every connection to the display server and waits until the server has closed its ends too. Viewers stay; who
    /// asks for the picture meanwhile is shown `picture`.
    ///
    /// # Errors
    /// When the server does not close them in time; the display is then open again.
    pub async fn suspend(self: &Arc<Self>, picture: Option<Framebuffer>) -> Result<Suspended, DisplayError> {
        self.outlet.close(picture);
        let suspended = Suspended { display: Arc::clone(self) };
        let deadline = Instant::now() + CLOSE_DEADLINE;
        while self.outlet.connections() > 0 || connections(&self.unix_sockets()?) > 0 {
            if Instant::now() > deadline {
                return Err(DisplayError::TimedOut(CLOSE_DEADLINE));
            }
            // There is no event for another process closing a socket.
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        Ok(suspended)
    }

    fn unix_sockets(&self) -> io::Result<String> {
        std::fs::read_to_string(format!("/proc/{}/net/unix", self.init))
    }

    /// Whether the display server listens yet.
    pub fn is_listening(&self) -> bool {
        self.unix_sockets().is_ok_and(|table| listening(&table))
    }
}

/// A display that is off its server's socket. Dropping it serves viewers again.
#[derive(Debug)]
pub struct Suspended {
    display: Arc<Display>,
}

impl Drop for Suspended {
    fn drop(&mut self) {
        self.display.outlet.open();
    }
}

/// `SO_ACCEPTCON` in the flags column of /proc/net/unix.
const LISTENING: &str = "00010000";

fn rfb_sockets(table: &str) -> impl Iterator<Item = &str> + use<'_> {
    let columns = table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    columns.filter(|columns| columns.get(7) == Some(&RFB_SOCKET)).filter_map(|columns| columns.get(3).copied())
}

/// Server ends of connections to the RFB socket in a /proc/net/unix.
fn connections(table: &str) -> usize {
    rfb_sockets(table).filter(|flags| *flags != LISTENING).count()
}

fn listening(table: &str) -> bool {
    rfb_sockets(table).any(|flags| flags == LISTENING)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_are_told_from_the_listening_socket() {
        let table = "Num       RefCount Protocol Flags    Type St Inode Path\n\
            0000000000000000: 00000002 00000000 00010000 0001 01 812 /run/freezeframe/display/rfb\n\
            0000000000000000: 00000003 00000000 00000000 0001 03 813 /run/freezeframe/display/rfb\n\
            0000000000000000: 00000003 00000000 00000000 0001 03 814 @/tmp/.X11-unix/X1\n\
            0000000000000000: 00000003 00000000 00000000 0001 03 815\n";
        assert_eq!(connections(table), 1);
        assert!(listening(table));
        assert!(!listening(""));
    }
}
