//! What a viewer says, on its way to the server or kept for the next.

use bytes::{Buf as _, BytesMut};

use super::super::held::Kind;
use super::super::said::{self, Said};
use super::super::told::Place;
use super::{Splice, head};
use crate::encoding;
use crate::error::Result;
use crate::framebuffer::Rect;
use crate::pixel_format::PixelFormat;
use crate::wire::{Stop, Take};

impl Splice {
    /// Takes what a viewer said. What is left in the buffer is the beginning of a message.
    ///
    /// # Errors
    /// When it is not as the protocol has it; the viewer is of no use then.
    pub fn from_viewer(&mut self, buffer: &mut BytesMut) -> Result<()> {
        while self.wants_viewer() && !buffer.is_empty() {
            if self.skip > 0 {
                let now = self.skip.min(buffer.len() as u64);
                buffer.advance(now as usize);
                self.skip -= now;
                continue;
            }
            let mut take = Take::new(buffer);
            match said::read(&mut take) {
                Ok(said) => {
                    let message = buffer.split_to(take.taken());
                    self.hear(said, &message)?;
                }
                Err(Stop::More(_)) => break,
                Err(Stop::Bad(error)) => return Err(error),
            }
        }
        Ok(())
    }

    fn hear(&mut self, said: Said, message: &[u8]) -> Result<()> {
        match said {
            Said::PixelFormat(format) => {
                self.ask_for_format(format);
                self.pass(message);
            }
            Said::Encodings(encodings) => {
                self.encodings = encodings.into_iter().filter(|e| encoding::can_be_spliced(*e)).collect();
                if self.here {
                    self.send(None, self.set_encodings());
                }
            }
            Said::Request { incremental } => self.request(incremental, message),
            Said::Key { down, keysym } => {
                self.modifiers.note(down, keysym, message);
                self.deliver(Kind::Key, message);
            }
            Said::Pointer { buttons } => self.deliver(Kind::Pointer { buttons }, message),
            Said::Offer => {
                self.offer = Some(message.to_vec());
                self.deliver(Kind::Clipboard, message);
            }
            Said::Withdrawal => {
                self.offer = None;
                self.deliver(Kind::Clipboard, message);
            }
            Said::Clipboard => self.deliver(Kind::Clipboard, message),
            Said::DesktopSize => self.deliver(Kind::Size, message),
            Said::TooLong(length) => self.skip = length.into(),
            Said::ContinuousUpdates { enable } => {
                self.continuous = enable.then(|| message.to_vec());
                if !enable {
                    self.promises.ask_for_end()?;
                }
                self.pass(message);
                self.keep_promises();
            }
            Said::Fence { flags, data } => {
                if self.promises.viewer_fence(flags, data)? {
                    self.pass(message);
                }
                self.keep_promises();
            }
        }
        Ok(())
    }

    /// Passes a message on that is of no use to a later server.
    fn pass(&mut self, message: &[u8]) {
        if self.here {
            self.send(None, message.to_vec());
        }
    }

    /// Passes input on, or keeps it.
    fn deliver(&mut self, kind: Kind, message: &[u8]) {
        if self.here {
            self.send(Some(kind), message.to_vec());
        } else {
            self.held.push(kind, message);
        }
    }

    /// A viewer changes its pixels where no update can be on its way: it has seen the update that is open now begin, or
    /// waits for the end of the continuous ones, or has none to come.
    fn ask_for_format(&mut self, format: PixelFormat) {
        self.next_format = Some(format);
        if !self.here || self.place == Place::Message && !self.promises.owes_end() {
            self.change_format();
        }
    }

    pub(super) fn change_format(&mut self) {
        self.format = self.next_format.take().unwrap_or(self.format);
    }

    fn request(&mut self, incremental: bool, message: &[u8]) {
        self.requests = self.requests.saturating_add(1);
        self.whole |= !incremental;
        self.asked = true;
        if !self.here {
            self.show_last();
        } else if std::mem::take(&mut self.refresh) {
            self.send(None, said::full_request(self.size.0, self.size.1));
        } else {
            self.send(None, message.to_vec());
        }
    }

    /// An update began: it answers a request, or several that came since the last one. Which, only the server knows; so
    /// of several one counts as open.
    pub(super) fn answered(&mut self) {
        self.requests = self.requests.saturating_sub(1).min(1);
        self.whole = false;
    }

    /// Answers a request for the whole picture while no server is there; once, since it does not change.
    pub(super) fn show_last(&mut self) {
        if self.picture.is_some() && self.requests > 0 && self.whole && self.shown != Some(self.format) {
            self.shown = Some(self.format);
            let (width, height) = self.size;
            let rect = Rect { x: 0, y: 0, width, height };
            self.to_viewer.push(&[0, 0, 0, 1]);
            self.to_viewer.push(&head(rect, encoding::RAW));
            self.to_viewer.paint(rect, self.format, 0);
            self.answered();
        }
    }
}
