//! A display as its viewers meet it.

use std::io;
use std::os::unix::net::UnixStream as StdUnixStream;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::net::UnixStream;
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;

use super::drive::Drive;
use super::machine::Splice;
use super::reach::{Link, Tries};
use super::welcome;
use crate::error::{Error, Result};
use crate::framebuffer::Framebuffer;
use crate::handshake::ServerInit;
use crate::pixel_format::PixelFormat;

/// How long a viewer may take for its side of the handshake.
const GREETING: Duration = Duration::from_secs(10);
/// How many viewers one display has; each may take some mebibytes.
const MAX_VIEWERS: u32 = 64;
/// How many viewers may be on their way to another process at once.
const PARCELS: usize = 8;

/// Where the display server is.
pub trait Server: Send + Sync + 'static {
    /// Connects to it.
    fn connect(&self) -> impl Future<Output = io::Result<UnixStream>> + Send;
}

/// A display, and the viewers that look at it.
#[derive(Debug)]
pub struct Outlet<S> {
    pub(super) server: S,
    pub(super) phase: watch::Sender<Phase>,
    /// Connections to the server, and those that are being made.
    connections: watch::Sender<u32>,
    viewers: watch::Sender<u32>,
    known: Mutex<Known>,
}

/// Whether the server may be connected to.
#[derive(Debug, Clone)]
pub(super) enum Phase {
    Open,
    Closed,
    /// Not any more: viewers go another way.
    Away(mpsc::Sender<Parcel>),
}

/// What is known of a server that is away.
#[derive(Debug, Default)]
struct Known {
    init: Option<ServerInit>,
    picture: Option<Arc<Framebuffer>>,
}

/// A viewer on its way to another process.
#[derive(Debug)]
pub struct Parcel {
    /// Its connection.
    pub viewer: StdUnixStream,
    /// Its splice, written down.
    pub splice: Vec<u8>,
}

/// One that is counted for as long as it lives.
#[derive(Debug)]
pub struct Counted(watch::Sender<u32>);

impl Counted {
    fn new(count: &watch::Sender<u32>) -> Self {
        count.send_modify(|count| *count += 1);
        Self(count.clone())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.send_modify(|count| *count -= 1);
    }
}

impl<S: Server> Outlet<S> {
    /// The outlet of a server, open.
    pub fn new(server: S) -> Arc<Self> {
        Arc::new(Self {
            server,
            phase: watch::Sender::new(Phase::Open),
            connections: watch::Sender::new(0),
            viewers: watch::Sender::new(0),
            known: Mutex::default(),
        })
    }

    /// The server.
    pub fn server(&self) -> &S {
        &self.server
    }

    /// Viewers connected now.
    pub fn viewers(&self) -> u32 {
        *self.viewers.borrow()
    }

    /// Connections to the server that stand, or are being made.
    pub fn connections(&self) -> u32 {
        *self.connections.borrow()
    }

    /// Waits until the server may be connected to, and counts as a connection until the answer is dropped.
    pub async fn visit(&self) -> Counted {
        loop {
            // Counted first: the one that closes the outlet looks at the count after it has closed it.
            let visit = Counted::new(&self.connections);
            if matches!(*self.phase.borrow(), Phase::Open) {
                return visit;
            }
            drop(visit);
            // The sender lives as long as `self`, so this cannot fail.
            let _ = self.phase.subscribe().wait_for(|phase| matches!(phase, Phase::Open)).await;
        }
    }

    /// Completes when the server may not be connected to.
    pub(super) async fn until_closed(&self) {
        let _ = self.phase.subscribe().wait_for(|phase| !matches!(phase, Phase::Open)).await;
    }

    /// Has every connection to the server ended, soon. Viewers stay, and see `picture` if they ask for one.
    pub fn close(&self, picture: Option<Framebuffer>) {
        let mut known = self.known();
        if let Some(picture) = &picture {
            let (width, height) = (picture.width(), picture.height());
            let init = known.init.take();
            let (format, name) = init.map_or((PixelFormat::BGRX, String::new()), |init| (init.format, init.name));
            known.init = Some(ServerInit { width, height, format, name });
        }
        known.picture = picture.map(Arc::new);
        drop(known);
        self.phase.send_replace(Phase::Closed);
    }

    /// Has the viewers connected to the server again.
    pub fn open(&self) {
        self.phase.send_replace(Phase::Open);
        self.known().picture = None;
    }

    /// Waits until no connection to the server stands or is being made.
    pub async fn until_alone(&self) {
        let _ = self.connections.subscribe().wait_for(|count| *count == 0).await;
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn picture(&self) -> Option<Arc<Framebuffer>> {
        self.known().picture.clone()
    }

    pub(super) fn remember(&self, init: &ServerInit) {
        self.known().init = Some(init.clone());
    }

    /// Completes with what is known of the server, when it is away and something is.
    async fn known_while_away(&self) -> ServerInit {
        let mut phase = self.phase.subscribe();
        loop {
            let _ = phase.wait_for(|phase| matches!(phase, Phase::Closed)).await;
            let known = self.known().init.clone();
            if let Some(init) = known {
                return init;
            }
            let _ = phase.changed().await;
        }
    }

    /// Completes when viewers are given away.
    async fn until_away(&self) {
        let _ = self.phase.subscribe().wait_for(|phase| matches!(phase, Phase::Away(_))).await;
    }

    /// Serves a viewer until it goes, is given away, or the server refuses for good.
    ///
    /// # Errors
    /// Why the viewer could not be served any longer.
    pub async fn serve(self: &Arc<Self>, mut viewer: UnixStream) -> Result<()> {
        timeout(GREETING, welcome::greet(&mut viewer)).await.map_err(|_| Error::Closed)??;
        let counted = self.count()?;
        let (init, link) = tokio::select! {
            biased;
            reached = Link::reach(Arc::clone(self), Tries::default()) => {
                let (link, init) = reached?;
                (init, Some(link))
            }
            known = self.known_while_away() => (known, None),
            () = self.until_away() => return Err(Error::Closed),
        };
        timeout(GREETING, welcome::show(&mut viewer, &init)).await.map_err(|_| Error::Closed)??;
        let mut splice = Splice::new(&init);
        let link = match link {
            Some(link) => {
                splice.arrive(&init)?;
                Some(link)
            }
            None => {
                splice.leave(self.picture());
                None
            }
        };
        Drive::new(Arc::clone(self), viewer, splice, counted).run(link).await
    }

    fn count(&self) -> Result<Counted> {
        let counted = Counted::new(&self.viewers);
        let (found, limit) = (self.viewers(), MAX_VIEWERS);
        if found > limit {
            return Err(Error::TooLarge { what: "a number of viewers", found: found.into(), limit: limit.into() });
        }
        Ok(counted)
    }

    /// Ends the display and gives away its viewers, one by one to `each`; those that do not come within `limit` are
    /// dropped. The outlet is of no use after it.
    pub async fn give_away(&self, limit: Duration, mut each: impl FnMut(Parcel)) {
        let (give, mut given) = mpsc::channel(PARCELS);
        self.phase.send_replace(Phase::Away(give));
        let mut viewers = self.viewers.subscribe();
        let _ = timeout(limit, async {
            loop {
                tokio::select! {
                    biased;
                    Some(parcel) = given.recv() => each(parcel),
                    _ = viewers.wait_for(|count| *count == 0) => break,
                }
            }
        })
        .await;
        self.phase.send_replace(Phase::Closed);
    }

    /// Serves a viewer that another process gave away.
    ///
    /// # Errors
    /// Why the viewer could not be served any longer.
    pub async fn adopt(self: &Arc<Self>, parcel: Parcel) -> Result<()> {
        parcel.viewer.set_nonblocking(true)?;
        let viewer = UnixStream::from_std(parcel.viewer)?;
        let (splice, begun) = Splice::from_bytes(&parcel.splice)?;
        let counted = self.count()?;
        Drive::new(Arc::clone(self), viewer, splice, counted).begun(&begun).run(None).await
    }
}
