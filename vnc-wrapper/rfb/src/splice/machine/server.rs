//! What a server sends, on its way to the viewer.

use std::time::Duration;

use bytes::{Buf as _, BytesMut};

use super::super::told::{self, Place, Told};
use super::Splice;
use crate::error::Result;
use crate::wire::{Stop, Take};

/// The control byte's bits that restart Tight's four zlib streams.
const TIGHT_RESET: u8 = 0x0f;
/// Where a rectangle's head ends and the encoding's own bytes begin.
const RECTANGLE_HEAD: usize = 12;

impl Splice {
    /// Takes what the server told. What is left in the buffer is the beginning of something.
    ///
    /// # Errors
    /// When it is not as the protocol has it; nothing of that was passed on, and the server is of no use.
    pub fn from_server(&mut self, buffer: &mut BytesMut) -> Result<()> {
        while !buffer.is_empty() {
            match self.step(buffer) {
                Ok(()) => {}
                Err(Stop::More(needed)) => {
                    buffer.reserve(needed.saturating_sub(buffer.len()));
                    break;
                }
                Err(Stop::Bad(error)) => return Err(error),
            }
        }
        Ok(())
    }

    fn step(&mut self, buffer: &mut BytesMut) -> Result<(), Stop> {
        let mut take = Take::new(buffer);
        match self.place {
            Place::Message => {
                let told = told::message(&mut take)?;
                let message = buffer.split_to(take.taken());
                self.tell(told, &message);
            }
            Place::Rectangles { left } => {
                let told = told::rectangle(&mut take, &self.format, self.size)?;
                let mut rectangle = buffer.split_to(take.taken());
                self.draw(told, &mut rectangle, left);
            }
            Place::Raw { left, rect, bytes } => {
                let now = bytes.min(buffer.len() as u64);
                self.to_viewer.push(&buffer.split_to(now as usize));
                self.place = Place::Raw { left, rect, bytes: bytes - now };
                if bytes == now {
                    self.go_on(left);
                }
            }
            Place::Skip { bytes } => {
                let now = bytes.min(buffer.len() as u64);
                buffer.advance(now as usize);
                self.place = if bytes > now { Place::Skip { bytes: bytes - now } } else { Place::Message };
            }
        }
        Ok(())
    }

    fn tell(&mut self, told: Told, message: &[u8]) {
        let pass = match told {
            Told::Update(count) => {
                self.answered();
                self.to_viewer.push(message);
                self.go_on(count);
                return;
            }
            Told::TooLong(length) => {
                self.place = Place::Skip { bytes: length.into() };
                false
            }
            Told::Offer | Told::Clipboard => {
                if told == Told::Offer {
                    // The session's clipboard took the place of the viewer's.
                    self.offer = None;
                }
                self.texts.push(message);
                self.pass_texts();
                false
            }
            Told::EndOfContinuousUpdates => {
                let pass = self.promises.end();
                if pass && !self.promises.owes_end() {
                    self.change_format();
                }
                pass
            }
            Told::Fence { flags } => {
                self.promises.server_fence(flags);
                true
            }
            _ => true,
        };
        if pass {
            self.to_viewer.push(message);
        }
    }

    fn draw(&mut self, told: Told, rectangle: &mut [u8], left: u16) {
        match told {
            Told::Raw(rect) if !rect.is_empty() => {
                let bytes = u64::from(rect.area()) * self.format.bytes() as u64;
                self.place = Place::Raw { left: left - 1, rect, bytes };
                self.to_viewer.push(rectangle);
                return;
            }
            Told::Tight if self.reset_tight => {
                // The viewer's four zlib streams begin again, as this server's do.
                self.reset_tight = false;
                if let Some(control) = rectangle.get_mut(RECTANGLE_HEAD) {
                    *control |= TIGHT_RESET;
                }
            }
            Told::Size(width, height) => self.size = (width, height),
            _ => {}
        }
        self.to_viewer.push(rectangle);
        self.go_on(if told == Told::LastRect { 0 } else { left - 1 });
    }

    /// After a rectangle, or an update's head.
    fn go_on(&mut self, left: u16) {
        self.place = if left > 0 { Place::Rectangles { left } } else { Place::Message };
        if left == 0 && !self.promises.owes_end() {
            self.change_format();
        }
        self.pass_texts();
    }

    /// Passes on what the server told of its clipboard, as far as it may go now.
    fn pass_texts(&mut self) {
        while matches!(self.place, Place::Message | Place::Skip { .. })
            && let Some(text) = self.texts.next()
        {
            self.to_viewer.push(&text);
        }
    }

    /// So much time has passed since this was said last.
    pub fn pass_time(&mut self, time: Duration) {
        self.texts.pass(time);
        self.pass_texts();
    }

    /// How long to wait until more of the clipboard may go to the viewer; none when nothing waits.
    pub fn texts_wait(&self) -> Option<Duration> {
        self.texts.wait()
    }
}
