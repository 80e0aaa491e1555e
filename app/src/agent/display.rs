//! A session's display.

use std::os::unix::net::UnixStream as StdUnixStream;

use freezeframe_api::{Error, ErrorKind, Manager1Proxy, Session1Proxy};
use tokio::net::UnixStream;

use super::bus;

/// Why a session's display could not be had.
#[derive(Debug)]
pub(crate) enum NoDisplay {
    /// The session is no more: trying again is of no use.
    Ended(Error),
    /// It may come back: trying again is.
    Away(Error),
}

/// A fresh connection to a session's display. The name may be shortened while it fits one session only.
pub(crate) async fn open_display(session: &str) -> Result<UnixStream, NoDisplay> {
    let connection = bus().await.map_err(NoDisplay::Away)?;
    let away = |error: &zbus::Error| NoDisplay::Away(Error::from_bus(error));
    let manager = Manager1Proxy::new(&connection).await.map_err(|error| away(&error))?;
    let path = manager.find_session(session).await.map_err(|error| sort(Error::from_bus(&error)))?;
    let session = Session1Proxy::builder(&connection)
        .path(path)
        .map_err(|error| away(&error))?
        .cache_properties(zbus::proxy::CacheProperties::No)
        .build()
        .await
        .map_err(|error| away(&error))?;
    match session.open_display().await {
        Ok(descriptor) => {
            let stream = StdUnixStream::from(std::os::fd::OwnedFd::from(descriptor));
            let broken =
                |error| NoDisplay::Away(Error::new(ErrorKind::Failed, format!("cannot use the display: {error}")));
            stream.set_nonblocking(true).map_err(broken)?;
            UnixStream::from_std(stream).map_err(broken)
        }
        Err(error) => {
            let error = Error::from_bus(&error);
            // A crashed session stays on the list, but nothing will ever come of it.
            match session.state().await.as_deref() {
                Ok("crashed") => Err(NoDisplay::Ended(Error::new(ErrorKind::Failed, "the session has crashed"))),
                _ => Err(sort(error)),
            }
        }
    }
}

fn sort(error: Error) -> NoDisplay {
    match error.kind {
        ErrorKind::NotFound | ErrorKind::InvalidArgument => NoDisplay::Ended(error),
        _ => NoDisplay::Away(error),
    }
}
