//! The session's display, as the outside meets it.
//!
//! Viewers never hold a connection to the display server: each talks to a relay of the wrapper, which connects to the
//! server for it. So the wrapper can be off the server's socket at a freeze, whatever viewers do. [`Display::suspend`]
//! ends the relays' server side; while suspended, viewers that come wait, and are served once the [`Suspended`] display is dropped.

mod relay;
pub mod windows;

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use freezeframe_rfb::Framebuffer;
use freezeframe_store::manifest::Window;
use tokio::net::UnixStream;
use tokio::sync::watch;

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
    /// Whether viewers are served now.
    open: watch::Sender<bool>,
    viewers: AtomicU32,
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
        Arc::new(Self { init, open: watch::Sender::new(true), viewers: AtomicU32::new(0) })
    }

    /// Connects to the display server.
    ///
    /// # Errors
    /// When it is not listening.
    pub async fn connect(&self) -> io::Result<UnixStream> {
        UnixStream::connect(Socket::find(self.init, RFB_SOCKET)?.path()).await
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
        self.viewers.load(Ordering::Relaxed)
    }

    /// Takes one picture of the display. Waits while the display is suspended.
    ///
    /// # Errors
    /// When the display does not answer.
    pub async fn grab(&self) -> Result<Framebuffer, DisplayError> {
        let _visit = self.visit().await;
        let grab = async { Ok(freezeframe_rfb::grab(self.connect().await?).await?) };
        tokio::time::timeout(GRAB_DEADLINE, grab).await.unwrap_or(Err(DisplayError::TimedOut(GRAB_DEADLINE)))
    }

    /// Serves a viewer until it or the display server goes, or the display is suspended.
    pub fn serve(self: &Arc<Self>, viewer: UnixStream) {
        let display = Arc::clone(self);
        tokio::spawn(async move {
            let _visit = display.visit().await;
            if let Err(error) = relay::run(&display, viewer).await {
                tracing::debug!("a viewer's connection ended: {error}");
            }
        });
    }

    /// Waits until the display is open and counts as one who uses it, until the answer is dropped.
    async fn visit(&self) -> Visit<'_> {
        loop {
            // Counted first: whoever suspends the display looks at the count after it has closed it.
            let visit = Visit::new(&self.viewers);
            if *self.open.borrow() {
                return visit;
            }
            drop(visit);
            // The sender lives as long as `self`, so this cannot fail.
            let _ = self.open.subscribe().wait_for(|open| *open).await;
        }
    }

    /// Completes when the display is suspended.
    async fn until_suspended(&self) {
        let _ = self.open.subscribe().wait_for(|open| !*open).await;
    }

    /// Ends every connection to the display server and waits until the server has closed its ends too.
    ///
    /// # Errors
    /// When the server does not close them in time; the display is then open again.
    pub async fn suspend(self: &Arc<Self>) -> Result<Suspended, DisplayError> {
        self.open.send_replace(false);
        let suspended = Suspended { display: Arc::clone(self) };
        let deadline = Instant::now() + CLOSE_DEADLINE;
        while self.viewers() > 0 || connections(&self.unix_sockets()?) > 0 {
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

/// One connection to the display server, or the wish for one.
struct Visit<'a>(&'a AtomicU32);

impl<'a> Visit<'a> {
    fn new(count: &'a AtomicU32) -> Self {
        count.fetch_add(1, Ordering::SeqCst);
        Self(count)
    }
}

impl Drop for Visit<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// A display that is off its server's socket. Dropping it serves viewers again.
#[derive(Debug)]
pub struct Suspended {
    display: Arc<Display>,
}

impl Drop for Suspended {
    fn drop(&mut self) {
        self.display.open.send_replace(true);
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
