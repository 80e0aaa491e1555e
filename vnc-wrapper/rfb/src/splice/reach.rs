//! Connecting to a server, again and again, but not forever.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::net::UnixStream;
use tokio::time::{sleep, timeout};

use super::outlet::{Counted, Outlet, Server};
use crate::error::{Error, Result};
use crate::handshake::{ServerInit, handshake};

/// How long a server may take for its side of the handshake.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// Between two tries, the first and the longest.
const WAIT: (Duration, Duration) = (Duration::from_millis(20), Duration::from_secs(2));
/// After so many in a row the server is taken to refuse for good: some fifteen seconds.
const MAX_FAILURES: u32 = 14;
/// A connection that stood for so long was a good one: a server that refuses what it is told does so at once.
const GOOD: Duration = Duration::from_millis(500);

/// How often connecting failed of late.
#[derive(Debug, Default)]
pub(super) struct Tries {
    failures: u32,
}

impl Tries {
    /// How long to wait before the next try; none when there is to be none.
    fn wait(&self) -> Option<Duration> {
        match self.failures {
            0 => Some(Duration::ZERO),
            MAX_FAILURES.. => None,
            failures => Some((WAIT.0 * 2u32.pow(failures - 1)).min(WAIT.1)),
        }
    }

    fn fail(&mut self) {
        self.failures += 1;
    }
}

/// A connection to the server.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) stream: UnixStream,
    since: Instant,
    tries: Tries,
    _visit: Counted,
}

impl Link {
    /// Connects, as soon as that is allowed.
    ///
    /// # Errors
    /// When it failed too often.
    pub(super) async fn reach<S: Server>(outlet: Arc<Outlet<S>>, mut tries: Tries) -> Result<(Self, ServerInit)> {
        let mut last = Error::Closed;
        loop {
            let Some(wait) = tries.wait() else { return Err(last) };
            sleep(wait).await;
            let visit = outlet.visit().await;
            let attempt = async {
                let mut stream = outlet.server.connect().await?;
                let init = handshake(&mut stream, true).await?;
                init.format.check().map_err(|detail| Error::protocol("pixel format", detail))?;
                Ok((stream, init))
            };
            let reached = tokio::select! {
                reached = timeout(HANDSHAKE, attempt) => reached.unwrap_or(Err(Error::Closed)),
                // Nobody's failure.
                () = outlet.until_closed() => continue,
            };
            match reached {
                Ok((stream, init)) => {
                    outlet.remember(&init);
                    return Ok((Self { stream, since: Instant::now(), tries, _visit: visit }, init));
                }
                Err(error) => {
                    tracing::debug!("the display server does not answer: {error}");
                    tries.fail();
                    last = error;
                }
            }
        }
    }

    /// The connection is ended on purpose.
    pub(super) fn part(self) -> Tries {
        if self.since.elapsed() > GOOD { Tries::default() } else { self.tries }
    }

    /// The server ended the connection.
    pub(super) fn lose(self) -> Tries {
        let mut tries = self.part();
        tries.fail();
        tries
    }
}
