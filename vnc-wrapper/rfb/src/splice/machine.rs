//! The splice between one viewer and a server that comes and goes, as a state machine: bytes in, bytes out.

mod change;
mod server;
mod viewer;

use std::collections::VecDeque;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::held::{Held, Kind};
use super::modifiers::Modifiers;
use super::outbox::Outbox;
use super::promises::Promises;
use super::texts::Texts;
use super::told::Place;
use crate::error::{Error, Result};
use crate::framebuffer::{Framebuffer, Rect};
use crate::handshake::ServerInit;
use crate::pixel_format::PixelFormat;

/// With that much to be written to the viewer, no more is taken from the server.
const VIEWER_IS_SLOW: usize = 256 << 10;
/// With that much, no more is taken from the viewer either: it only asks and does not read.
const VIEWER_IS_DEAF: usize = 4 << 20;
/// With that much to be written to the server, no more is taken from the viewer.
const SERVER_IS_SLOW: usize = 256 << 10;

/// One viewer's splice. It can be written down while no server is there ([`Splice::to_bytes`]).
#[derive(Debug, Serialize, Deserialize)]
pub struct Splice {
    /// Whether a server is there.
    here: bool,
    /// What pixels look like in what the server sends now.
    format: PixelFormat,
    /// What the viewer asked for last, as soon as that takes effect.
    next_format: Option<PixelFormat>,
    /// As the server was told; none before the viewer said any.
    encodings: Vec<i32>,
    size: (u16, u16),
    /// How many requests may be unanswered.
    requests: u8,
    /// Whether one of them asks for more than changes.
    whole: bool,
    /// Whether the viewer has ever asked for an update.
    asked: bool,
    /// The next request has to be one for everything: another server's picture is to be shown.
    refresh: bool,
    /// The pixels in which the viewer was shown the last picture while no server was there.
    shown: Option<PixelFormat>,
    /// The message that asked for updates without requests.
    continuous: Option<Vec<u8>>,
    promises: Promises,
    /// The next Tight rectangle is the first of a server's.
    reset_tight: bool,
    /// The message that told that the viewer's clipboard has a text, while that holds.
    offer: Option<Vec<u8>>,
    modifiers: Modifiers,
    held: Held,
    /// Bytes of a text to be left out.
    skip: u64,
    #[serde(skip)]
    texts: Texts,
    #[serde(skip)]
    place: Place,
    #[serde(skip)]
    picture: Option<Arc<Framebuffer>>,
    to_viewer: Outbox,
    /// Messages to the server, whole, and what of them has to reach the next one if this one goes.
    #[serde(skip)]
    to_server: VecDeque<(Option<Kind>, Vec<u8>)>,
    #[serde(skip)]
    to_server_bytes: usize,
    /// Of the first message, what was written.
    #[serde(skip)]
    to_server_written: usize,
}

impl Splice {
    /// The splice of a viewer that was told `init`, in pixels of `format`. No server is there yet.
    pub fn new(init: &ServerInit) -> Self {
        Self {
            here: false,
            format: init.format,
            next_format: None,
            encodings: Vec::new(),
            size: (init.width, init.height),
            requests: 0,
            whole: false,
            asked: false,
            refresh: false,
            shown: None,
            continuous: None,
            promises: Promises::default(),
            reset_tight: false,
            offer: None,
            modifiers: Modifiers::default(),
            held: Held::default(),
            skip: 0,
            texts: Texts::default(),
            place: Place::default(),
            picture: None,
            to_viewer: Outbox::default(),
            to_server: VecDeque::new(),
            to_server_bytes: 0,
            to_server_written: 0,
        }
    }

    /// Whether more bytes of the viewer are of use now.
    pub fn wants_viewer(&self) -> bool {
        !self.held.is_full() && self.to_server_bytes < SERVER_IS_SLOW && self.to_viewer.ready() < VIEWER_IS_DEAF
    }

    /// Whether more bytes of the server are of use now.
    pub fn wants_server(&self) -> bool {
        self.to_viewer.ready() < VIEWER_IS_SLOW && !self.to_viewer.is_painting()
    }

    /// Whether the server is between two messages.
    pub fn is_between_messages(&self) -> bool {
        self.place == Place::Message
    }

    /// Whether something is to be written to the viewer.
    pub fn has_for_viewer(&self) -> bool {
        !self.to_viewer.is_empty()
    }

    /// The next bytes for the viewer.
    pub fn for_viewer(&mut self) -> &[u8] {
        self.to_viewer.front(self.picture.as_deref())
    }

    /// So many of them were written.
    pub fn written_to_viewer(&mut self, count: usize) {
        self.to_viewer.written(count);
    }

    /// The next bytes for the server.
    pub fn for_server(&self) -> &[u8] {
        self.to_server.front().map_or(&[], |(_, message)| &message[self.to_server_written..])
    }

    /// So many of them were written.
    pub fn written_to_server(&mut self, count: usize) {
        self.to_server_written += count;
        if let Some((_, message)) = self.to_server.front()
            && self.to_server_written >= message.len()
        {
            self.to_server_bytes -= message.len();
            self.to_server_written = 0;
            self.to_server.pop_front();
        }
    }

    fn send(&mut self, kind: Option<Kind>, message: Vec<u8>) {
        self.to_server_bytes += message.len();
        self.to_server.push_back((kind, message));
    }

    /// All of it, and what of a message the viewer has begun, for [`Splice::from_bytes`] in another process.
    ///
    /// # Errors
    /// While a server is there.
    pub fn to_bytes(&self, begun: &[u8]) -> Result<Vec<u8>> {
        if self.here {
            return Err(Error::protocol("a splice", "has a server"));
        }
        serde_json::to_vec(&(self, begun)).map_err(|e| Error::protocol("a splice", e.to_string()))
    }

    /// What [`Splice::to_bytes`] wrote down.
    ///
    /// # Errors
    /// When that is something else.
    pub fn from_bytes(bytes: &[u8]) -> Result<(Self, Vec<u8>)> {
        let (splice, begun): (Self, Vec<u8>) =
            serde_json::from_slice(bytes).map_err(|e| Error::protocol("a splice", e.to_string()))?;
        if splice.here || splice.format.check().is_err() {
            return Err(Error::protocol("a splice", "is not as one is written down"));
        }
        Ok((splice, begun))
    }
}

/// A rectangle's head.
fn head(rect: Rect, encoding: i32) -> Vec<u8> {
    let mut bytes: Vec<u8> = [rect.x, rect.y, rect.width, rect.height].into_iter().flat_map(u16::to_be_bytes).collect();
    bytes.extend(encoding.to_be_bytes());
    bytes
}
