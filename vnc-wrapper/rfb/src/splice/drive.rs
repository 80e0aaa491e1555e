//! Drives one viewer's splice: reads, writes, waits, and connects to whatever server is there.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use tokio::io::AsyncWriteExt as _;
use tokio::net::UnixStream;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, sleep_until};

use super::machine::Splice;
use super::outlet::{Counted, Outlet, Parcel, Phase, Server};
use super::reach::{Link, Tries};
use crate::error::{Error, Result};

/// How much is read at once.
const READ: usize = 64 << 10;
/// How long an update that is on its way may take when the server is to be left.
const END_OF_UPDATE: Duration = Duration::from_millis(100);
/// How long the server may take to read what was written to it.
const END_OF_INPUT: Duration = Duration::from_millis(250);

/// A viewer that is being served.
#[derive(Debug)]
pub(super) struct Drive<S> {
    outlet: Arc<Outlet<S>>,
    viewer: UnixStream,
    splice: Splice,
    from_viewer: BytesMut,
    from_server: BytesMut,
    _counted: Counted,
}

/// How a time with a server ended.
enum Left {
    /// It is to be left.
    Told,
    /// It has gone.
    Lost(Error),
}

/// How a time without one ended.
enum Next {
    /// One is there.
    Link(Link),
    /// The viewer is to be given away.
    Away(mpsc::Sender<Parcel>),
}

impl<S: Server> Drive<S> {
    pub(super) fn new(outlet: Arc<Outlet<S>>, viewer: UnixStream, splice: Splice, counted: Counted) -> Self {
        Self { outlet, viewer, splice, from_viewer: BytesMut::new(), from_server: BytesMut::new(), _counted: counted }
    }

    /// With the beginning of a message that was read before.
    pub(super) fn begun(mut self, message: &[u8]) -> Self {
        self.from_viewer.extend_from_slice(message);
        self
    }

    /// Serves the viewer until it goes or is given away.
    pub(super) async fn run(mut self, link: Option<Link>) -> Result<()> {
        let mut tries = Tries::default();
        let mut link = link;
        loop {
            if let Some(mut there) = link.take() {
                let left = match self.together(&mut there).await {
                    Ok(left) => left,
                    Err(error) => {
                        self.hand_in(&mut there).await;
                        return Err(error);
                    }
                };
                tries = match left {
                    Left::Told => {
                        self.part(&mut there).await?;
                        there.part()
                    }
                    Left::Lost(error) => {
                        tracing::debug!("the display server has gone: {error}");
                        there.lose()
                    }
                };
                self.from_server.clear();
                self.splice.leave(self.outlet.picture());
            }
            match self.alone(tries).await? {
                Next::Link(there) => link = Some(there),
                Next::Away(to) => return self.give(to).await,
            }
            tries = Tries::default();
        }
    }

    /// While a server is there. An error is the viewer's.
    async fn together(&mut self, link: &mut Link) -> Result<Left> {
        let outlet = Arc::clone(&self.outlet);
        let closed = outlet.until_closed();
        tokio::pin!(closed);
        let mut looked = Instant::now();
        loop {
            self.splice.from_viewer(&mut self.from_viewer)?;
            let now = Instant::now();
            self.splice.pass_time(now - std::mem::replace(&mut looked, now));
            if let Err(error) = self.write_to_server(link) {
                return Ok(Left::Lost(error));
            }
            self.write_to_viewer()?;
            // One that waits inside an update goes with its end, which the server sends.
            let texts = self.splice.texts_wait().filter(|wait| !wait.is_zero());
            tokio::select! {
                biased;
                () = &mut closed => return Ok(Left::Told),
                ready = self.viewer.readable(), if self.splice.wants_viewer() => {
                    ready?;
                    self.read_from_viewer()?;
                }
                ready = link.stream.readable(), if self.splice.wants_server() => {
                    if let Err(error) = ready.map_err(Error::from).and_then(|()| self.read_from_server(link)) {
                        return Ok(Left::Lost(error));
                    }
                }
                ready = self.viewer.writable(), if self.splice.has_for_viewer() => ready?,
                () = sleep(texts.unwrap_or_default()), if texts.is_some() => {}
                ready = link.stream.writable(), if !self.splice.for_server().is_empty() => {
                    if let Err(error) = ready {
                        return Ok(Left::Lost(error.into()));
                    }
                }
            }
        }
    }

    /// Takes leave of the server: lets an update end, lets it read all input, and waits until it has closed its side. All
    /// within a moment, whatever it or the viewer does. An error is the viewer's.
    async fn part(&mut self, link: &mut Link) -> Result<()> {
        let (update, input) = (Instant::now() + END_OF_UPDATE, Instant::now() + END_OF_INPUT);
        let mut told = false;
        loop {
            if self.write_to_server(link).is_err() {
                return Ok(());
            }
            self.write_to_viewer()?;
            let between = self.splice.is_between_messages() || Instant::now() >= update;
            if !told && between && self.splice.for_server().is_empty() {
                told = true;
                // It reads what was written before this, and then that no more comes.
                if link.stream.shutdown().await.is_err() {
                    return Ok(());
                }
            }
            tokio::select! {
                ready = link.stream.readable(), if self.splice.wants_server() => {
                    if ready.map_err(Error::from).and_then(|()| self.read_from_server(link)).is_err() {
                        return Ok(());
                    }
                }
                ready = self.viewer.writable(), if self.splice.has_for_viewer() => ready?,
                ready = link.stream.writable(), if !self.splice.for_server().is_empty() => {
                    if ready.is_err() {
                        return Ok(());
                    }
                }
                () = sleep_until(update), if !told && !between => {}
                () = sleep_until(input) => return Ok(()),
            }
        }
    }

    /// The viewer has gone: has the server read what it said last. A server that cannot write to a client any more closes
    /// the connection, with what it has not read.
    async fn hand_in(&mut self, link: &mut Link) {
        let read_by_server = async {
            while !self.splice.for_server().is_empty() {
                link.stream.writable().await?;
                self.write_to_server(link)?;
            }
            link.stream.shutdown().await?;
            loop {
                link.stream.readable().await?;
                self.from_server.clear();
                read(&link.stream, &mut self.from_server)?;
            }
        };
        // It ends with the server's side, or when that takes too long.
        let _: std::result::Result<Result<()>, _> = tokio::time::timeout(END_OF_INPUT, read_by_server).await;
    }

    /// While no server is there. An error is the viewer's, or the server's for good.
    async fn alone(&mut self, tries: Tries) -> Result<Next> {
        let reach = Link::reach(Arc::clone(&self.outlet), tries);
        tokio::pin!(reach);
        let mut phase = self.outlet.phase.subscribe();
        loop {
            if let Phase::Away(to) = &*phase.borrow_and_update() {
                return Ok(Next::Away(to.clone()));
            }
            self.splice.from_viewer(&mut self.from_viewer)?;
            self.write_to_viewer()?;
            tokio::select! {
                reached = &mut reach => {
                    let (link, init) = reached?;
                    self.splice.arrive(&init)?;
                    return Ok(Next::Link(link));
                }
                ready = self.viewer.readable(), if self.splice.wants_viewer() => {
                    ready?;
                    self.read_from_viewer()?;
                }
                ready = self.viewer.writable(), if self.splice.has_for_viewer() => ready?,
                _ = phase.changed() => {}
            }
        }
    }

    /// Writes the splice down and sends the viewer away.
    async fn give(self, to: mpsc::Sender<Parcel>) -> Result<()> {
        let splice = self.splice.to_bytes(&self.from_viewer)?;
        let parcel = Parcel { viewer: self.viewer.into_std()?, splice };
        // It is counted until then.
        let _ = to.send(parcel).await;
        Ok(())
    }

    fn read_from_viewer(&mut self) -> Result<()> {
        read(&self.viewer, &mut self.from_viewer)?;
        self.splice.from_viewer(&mut self.from_viewer)
    }

    fn read_from_server(&mut self, link: &Link) -> Result<()> {
        read(&link.stream, &mut self.from_server)?;
        self.splice.from_server(&mut self.from_server)
    }

    fn write_to_viewer(&mut self) -> Result<()> {
        while self.splice.has_for_viewer() {
            match self.viewer.try_write(self.splice.for_viewer()) {
                Ok(count) => self.splice.written_to_viewer(count),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    fn write_to_server(&mut self, link: &Link) -> Result<()> {
        while !self.splice.for_server().is_empty() {
            match link.stream.try_write(self.splice.for_server()) {
                Ok(count) => self.splice.written_to_server(count),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }
}

/// Reads what is there.
fn read(stream: &UnixStream, buffer: &mut BytesMut) -> Result<()> {
    buffer.reserve(READ);
    match stream.try_read_buf(buffer) {
        Ok(0) => Err(Error::Closed),
        Ok(_) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(()),
        Err(error) => Err(error.into()),
    }
}
