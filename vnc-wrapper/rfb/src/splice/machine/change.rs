//! One server goes, and another comes.

use std::sync::Arc;

use super::super::said;
use super::super::told::Place;
use super::{Splice, head};
use crate::encoding;
use crate::error::{Error, Result};
use crate::framebuffer::{Framebuffer, Rect};
use crate::handshake::ServerInit;
use crate::message::ClientMessage;

impl Splice {
    /// The server has gone: ends what it had begun. Until the next comes, `picture` stands for it.
    pub fn leave(&mut self, picture: Option<Arc<Framebuffer>>) {
        self.picture = picture;
        if !std::mem::replace(&mut self.here, false) {
            return;
        }
        self.end_update();
        // The newest text is not lost with the server that told it.
        for text in self.texts.take() {
            self.to_viewer.push(&text);
        }
        self.change_format();
        self.promises.leave();
        self.keep_promises();
        self.to_server_bytes = 0;
        self.to_server_written = 0;
        // What it may have read in part it did not do.
        for (kind, message) in std::mem::take(&mut self.to_server) {
            if let Some(kind) = kind {
                self.held.push(kind, &message);
            }
        }
        self.show_last();
    }

    fn end_update(&mut self) {
        let left = match std::mem::take(&mut self.place) {
            Place::Message | Place::Skip { .. } => return,
            Place::Rectangles { left } => left,
            Place::Raw { left, rect, bytes } => {
                let total = u64::from(rect.area()) * self.format.bytes() as u64;
                self.to_viewer.paint(rect, self.format, total - bytes);
                left
            }
        };
        if left > 0 && self.encodings.contains(&encoding::LAST_RECT) {
            self.to_viewer.push(&head(Rect::default(), encoding::LAST_RECT));
            return;
        }
        // The first pixel again and again: there is nothing that says less.
        let rect = Rect { x: 0, y: 0, width: self.size.0.min(1), height: self.size.1.min(1) };
        let rgb = self.picture.as_deref().and_then(|p| p.rgb(0, 0)).unwrap_or_default();
        let mut pixel = head(rect, encoding::RAW);
        if !rect.is_empty() {
            self.format.push_pixel(rgb, &mut pixel);
        }
        for _ in 0..left {
            self.to_viewer.push(&pixel);
        }
    }

    /// Gives the viewer the answers that a server owed, or that there is none to give.
    pub(super) fn keep_promises(&mut self) {
        if !self.here {
            self.promises.keep(&mut self.to_viewer);
        }
    }

    /// A server is there: it is told all that the viewer told the last, and then what the viewer said since.
    ///
    /// # Errors
    /// When its picture has another size, and the viewer cannot be told that.
    pub fn arrive(&mut self, init: &ServerInit) -> Result<()> {
        self.here = true;
        self.place = Place::Message;
        self.picture = None;
        self.shown = None;
        self.reset_tight = true;
        self.promises.arrive(self.encodings.contains(&encoding::CONTINUOUS_UPDATES));
        let mut format = Vec::new();
        ClientMessage::SetPixelFormat(self.format).encode(&mut format);
        self.send(None, format);
        if !self.encodings.is_empty() {
            self.send(None, self.set_encodings());
        }
        if (init.width, init.height) != self.size {
            self.announce((init.width, init.height))?;
        }
        self.refresh = self.asked;
        if self.requests > 0 || self.continuous.is_some() {
            self.refresh = false;
            self.send(None, said::full_request(self.size.0, self.size.1));
        }
        if let Some(continuous) = self.continuous.clone() {
            self.send(None, continuous);
        }
        let held = self.held.take();
        // What is held may hold it, too; told twice it does no harm.
        if let Some(offer) = self.offer.clone() {
            self.send(None, offer);
        }
        let down: Vec<_> =
            self.modifiers.down().filter(|down| !held.iter().any(|(_, held)| held == *down)).cloned().collect();
        for down in down {
            self.send(None, down);
        }
        for (kind, message) in held {
            self.send(Some(kind), message);
        }
        Ok(())
    }

    pub(super) fn set_encodings(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        ClientMessage::SetEncodings(self.encodings.clone()).encode(&mut bytes);
        bytes
    }

    fn announce(&mut self, size: (u16, u16)) -> Result<()> {
        let rect = Rect { x: 0, y: 0, width: size.0, height: size.1 };
        let mut update = vec![0, 0, 0, 1];
        if self.encodings.contains(&encoding::EXTENDED_DESKTOP_SIZE) {
            update.extend(head(rect, encoding::EXTENDED_DESKTOP_SIZE));
            // One screen over all of it, until the server sends its own.
            update.extend([1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
            update.extend([size.0, size.1].into_iter().flat_map(u16::to_be_bytes));
            update.extend([0; 4]);
        } else if self.encodings.contains(&encoding::DESKTOP_SIZE) {
            update.extend(head(rect, encoding::DESKTOP_SIZE));
        } else {
            let text = format!("the picture is {}x{} now, and the viewer cannot be told", size.0, size.1);
            return Err(Error::protocol("size", text));
        }
        self.to_viewer.push(&update);
        self.size = size;
        Ok(())
    }
}
