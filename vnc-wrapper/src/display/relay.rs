//! One viewer's way to the display server: bytes both ways, unchanged.

use std::io;

use tokio::net::UnixStream;

use super::Display;

/// Relays until the viewer or the server ends, or the display is suspended.
pub(super) async fn run(display: &Display, mut viewer: UnixStream) -> io::Result<()> {
    let mut server = display.connect().await?;
    tokio::select! {
        outcome = tokio::io::copy_bidirectional(&mut viewer, &mut server) => outcome.map(|_| ()),
        () = display.until_suspended() => Ok(()),
    }
}
