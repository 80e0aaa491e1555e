//! From a server's bytes to events and a picture.

use bytes::{Buf as _, BytesMut};

use crate::clipboard::{self, Clipboard};
use crate::damage::Damage;
use crate::encoding;
use crate::error::{Error, Result};
use crate::framebuffer::{Framebuffer, PIXEL, Rect};
use crate::limits;
use crate::tight::Tight;
use crate::wire::{Stop, Take};

/// What a server told.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// An update is complete: the picture changed inside this rectangle, which is empty when no pixel was sent.
    Updated {
        /// The smallest rectangle around everything that changed.
        damage: Rect,
        /// How many pixels were sent.
        area: u64,
    },
    /// The picture has another size; what of it was outside the old one is black until the next update.
    Resized(Screen),
    /// The server refuses the size that the client asked for.
    ResizeRefused {
        /// The server's reason: 1 prohibited, 2 out of resources, 3 invalid layout.
        status: u16,
    },
    /// The mouse cursor looks like this from now on.
    Cursor(Cursor),
    /// The bell.
    Bell,
    /// The server's clipboard has this text.
    CutText(String),
    /// Something about the server's clipboard. Only from servers that were offered [`encoding::EXTENDED_CLIPBOARD`].
    Clipboard(Clipboard),
    /// The server's clipboard has a text that is longer than [`limits`] admit, and was skipped.
    CutTextTooLong {
        /// Its length in bytes.
        length: u32,
    },
}

/// The size of the picture and, where the server lets clients change it, what a client has to repeat for that.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Screen {
    /// Width in pixels.
    pub width: u16,
    /// Height in pixels.
    pub height: u16,
    /// The first screen's id and flags, when the server said that sizes can be asked for.
    pub resizable: Option<(u32, u32)>,
}

/// A mouse cursor: four bytes a pixel, blue, green, red, alpha, the colours multiplied by alpha.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cursor {
    /// Width in pixels; with a side of none the cursor is invisible.
    pub width: u16,
    /// Height in pixels.
    pub height: u16,
    /// The pixel that points, from the left.
    pub hot_x: u16,
    /// The pixel that points, from the top.
    pub hot_y: u16,
    /// The pixels, rows from the top.
    pub pixels: Vec<u8>,
}

/// Turns bytes into events and keeps the picture. Pure: feed it from any source.
pub struct Decoder {
    picture: Framebuffer,
    tight: Tight,
    screen: Option<(u32, u32)>,
    state: State,
    /// Where, of the update being read, pixels changed, and how many were sent.
    damage: Rect,
    area: u64,
    /// Where they changed since somebody asked.
    untold: Damage,
}

/// Where in the stream of messages the decoder stands.
#[derive(Debug, Clone, Copy)]
enum State {
    /// Before a message.
    Message,
    /// Inside an update, before a rectangle or, at none left, its end.
    Rectangles { left: u16 },
    /// Inside a rectangle of raw pixels, before a row. Raw goes row by row, so that no rectangle is held twice.
    Raw { left: u16, rect: Rect, row: u16 },
    /// Inside something of no interest.
    Skip { bytes: u64 },
}

impl Decoder {
    /// A decoder for a display of this size.
    pub fn new(width: u16, height: u16) -> Result<Self> {
        let mut decoder = Self {
            picture: Framebuffer::new(width, height)?,
            tight: Tight::default(),
            screen: None,
            state: State::Message,
            damage: Rect::default(),
            area: 0,
            untold: Damage::default(),
        };
        decoder.untold.add(decoder.picture.bounds());
        Ok(decoder)
    }

    /// The picture as of now; in the middle of an update some of it may be newer than the rest.
    pub fn picture(&self) -> &Framebuffer {
        &self.picture
    }

    /// The size of the picture, and whether another one can be asked for.
    pub fn screen(&self) -> Screen {
        Screen { width: self.picture.width(), height: self.picture.height(), resizable: self.screen }
    }

    /// Where the picture changed since this was last called, in the middle of an update too. At first, and after a change
    /// of size, that is all of it.
    pub fn take_damage(&mut self) -> Damage {
        std::mem::take(&mut self.untold)
    }

    pub(crate) fn into_picture(self) -> Framebuffer {
        self.picture
    }

    /// Takes bytes from the front of the buffer until an event is complete. `None`: it needs more bytes than are there.
    /// An error is final.
    pub fn decode(&mut self, buffer: &mut BytesMut) -> Result<Option<Event>> {
        loop {
            let mut take = Take::new(buffer);
            let step = self.step(&mut take);
            let taken = take.taken();
            match step {
                Ok(event) => {
                    buffer.advance(taken);
                    if event.is_some() {
                        return Ok(event);
                    }
                }
                Err(Stop::More(needed)) => {
                    buffer.reserve(needed.saturating_sub(buffer.len()));
                    return Ok(None);
                }
                Err(Stop::Bad(error)) => return Err(error),
            }
        }
    }

    /// One message, rectangle or row. Changes nothing when it answers [`Stop::More`].
    fn step(&mut self, take: &mut Take<'_>) -> Result<Option<Event>, Stop> {
        match self.state {
            State::Message => self.message(take),
            State::Rectangles { left: 0 } => Ok(Some(self.end_update())),
            State::Rectangles { left } => self.rectangle(take, left),
            State::Raw { left, rect, row } => {
                let bytes = usize::from(rect.width) * PIXEL;
                let source = take.bytes(bytes)?;
                let target = self.picture.row_mut(rect.x, rect.y + row, bytes);
                for (to, from) in target.chunks_exact_mut(PIXEL).zip(source.chunks_exact(PIXEL)) {
                    to.copy_from_slice(&[from[0], from[1], from[2], 255]);
                }
                self.state = if row + 1 < rect.height {
                    State::Raw { left, rect, row: row + 1 }
                } else {
                    State::Rectangles { left: left - 1 }
                };
                Ok(None)
            }
            State::Skip { bytes } => {
                let now = bytes.min(limits::MAX_TEXT.into());
                take.bytes(now as usize)?;
                self.state = if bytes > now { State::Skip { bytes: bytes - now } } else { State::Message };
                Ok(None)
            }
        }
    }

    fn message(&mut self, take: &mut Take<'_>) -> Result<Option<Event>, Stop> {
        match take.u8()? {
            0 => {
                take.u8()?;
                let left = take.u16()?;
                (self.damage, self.area) = (Rect::default(), 0);
                self.state = State::Rectangles { left };
                Ok(None)
            }
            // A colour map: of no use to a picture in true colour, but some servers send it all the same.
            1 => {
                take.bytes(3)?;
                let colours = take.u16()?;
                self.state = State::Skip { bytes: u64::from(colours) * 6 };
                Ok(None)
            }
            2 => Ok(Some(Event::Bell)),
            3 => {
                take.bytes(3)?;
                self.cut_text(take)
            }
            other => Err(Error::protocol("message", format!("type {other} is unknown")).into()),
        }
    }

    /// A negative length stands for the extended clipboard, and for so many bytes of it.
    fn cut_text(&mut self, take: &mut Take<'_>) -> Result<Option<Event>, Stop> {
        let signed = take.i32()?;
        let (length, extended) = (signed.unsigned_abs(), signed < 0);
        if length > if extended { limits::MAX_CLIPBOARD } else { limits::MAX_TEXT } {
            self.state = State::Skip { bytes: length.into() };
            return Ok(Some(Event::CutTextTooLong { length }));
        }
        let bytes = take.bytes(length as usize)?;
        if extended {
            return match clipboard::decode(bytes) {
                // Short on the wire, and long once it is unpacked.
                Err(Error::TooLarge { found, .. }) => {
                    Ok(Some(Event::CutTextTooLong { length: u32::try_from(found).unwrap_or(u32::MAX) }))
                }
                said => Ok(said?.map(Event::Clipboard)),
            };
        }
        Ok(Some(Event::CutText(bytes.iter().map(|&byte| char::from(byte)).collect())))
    }

    fn rectangle(&mut self, take: &mut Take<'_>, left: u16) -> Result<Option<Event>, Stop> {
        let rect = Rect { x: take.u16()?, y: take.u16()?, width: take.u16()?, height: take.u16()? };
        let next = State::Rectangles { left: left - 1 };
        let event = match take.i32()? {
            encoding::RAW => {
                self.touch("a raw rectangle", rect)?;
                self.state = if rect.is_empty() { next } else { State::Raw { left, rect, row: 0 } };
                return Ok(None);
            }
            encoding::COPY_RECT => {
                let (x, y) = (take.u16()?, take.u16()?);
                self.picture.check("a copied rectangle's source", Rect { x, y, ..rect })?;
                self.touch("a copied rectangle", rect)?;
                self.picture.copy(x, y, rect);
                None
            }
            encoding::TIGHT => {
                self.picture.check("a Tight rectangle", rect)?;
                self.tight.decode(take, rect, &mut self.picture)?;
                self.touch("a Tight rectangle", rect)?;
                None
            }
            encoding::CURSOR => Some(Event::Cursor(cursor(take, rect)?)),
            encoding::CURSOR_WITH_ALPHA => Some(Event::Cursor(cursor_with_alpha(take, rect)?)),
            encoding::DESKTOP_SIZE => {
                self.resize(rect.width, rect.height)?;
                Some(Event::Resized(self.screen()))
            }
            encoding::EXTENDED_DESKTOP_SIZE => Some(self.extended_desktop_size(take, rect)?),
            encoding::LAST_RECT => {
                self.state = State::Rectangles { left: 0 };
                return Ok(None);
            }
            other => return Err(Error::protocol("update", format!("encoding {other} was not offered")).into()),
        };
        self.state = next;
        Ok(event)
    }

    /// The rectangle's place holds the reason and the result, not a place.
    fn extended_desktop_size(&mut self, take: &mut Take<'_>, rect: Rect) -> Result<Event, Stop> {
        let screens = take.u8()?;
        take.bytes(3)?;
        let mut first = None;
        for _ in 0..screens {
            let id = take.u32()?;
            take.bytes(8)?;
            first.get_or_insert((id, take.u32()?));
        }
        if rect.y != 0 {
            return Ok(Event::ResizeRefused { status: rect.y });
        }
        self.resize(rect.width, rect.height)?;
        self.screen = Some(first.unwrap_or_default());
        Ok(Event::Resized(self.screen()))
    }

    /// What was drawn before counts no more: it may lie outside now.
    fn resize(&mut self, width: u16, height: u16) -> Result<()> {
        (self.damage, self.area) = (Rect::default(), 0);
        if (width, height) != (self.picture.width(), self.picture.height()) {
            self.picture.resize(width, height)?;
            self.untold = Damage::default();
            self.untold.add(self.picture.bounds());
        }
        Ok(())
    }

    /// Takes note of a rectangle before it is drawn. A few bytes can ask for a copy of everything, so an update may not
    /// draw without end.
    fn touch(&mut self, what: &'static str, rect: Rect) -> Result<()> {
        self.picture.check(what, rect)?;
        let area = self.area + u64::from(rect.area());
        let limit = u64::from(self.picture.bounds().area()) * 16 + (1 << 20);
        if area > limit {
            return Err(Error::TooLarge { what: "an update area", found: area, limit });
        }
        self.damage = self.damage.union(rect);
        self.untold.add(rect);
        self.area = area;
        Ok(())
    }

    fn end_update(&mut self) -> Event {
        self.state = State::Message;
        Event::Updated { damage: self.damage, area: self.area }
    }
}

/// The rectangle's place is the pixel that points.
fn check_cursor(rect: Rect) -> Result<()> {
    let side = rect.width.max(rect.height);
    if side > limits::MAX_CURSOR_SIDE {
        let (found, limit) = (side.into(), limits::MAX_CURSOR_SIDE.into());
        return Err(Error::TooLarge { what: "a cursor side", found, limit });
    }
    Ok(())
}

fn cursor(take: &mut Take<'_>, rect: Rect) -> Result<Cursor, Stop> {
    check_cursor(rect)?;
    let (width, height) = (usize::from(rect.width), usize::from(rect.height));
    let mut pixels = take.bytes(width * height * PIXEL)?.to_vec();
    let stride = width.div_ceil(8);
    let mask = take.bytes(stride * height)?;
    for (index, pixel) in pixels.chunks_exact_mut(PIXEL).enumerate() {
        let (x, y) = (index % width, index / width);
        if mask[y * stride + x / 8] >> (7 - x % 8) & 1 == 1 {
            pixel[3] = 255;
        } else {
            pixel.fill(0);
        }
    }
    Ok(Cursor { width: rect.width, height: rect.height, hot_x: rect.x, hot_y: rect.y, pixels })
}

fn cursor_with_alpha(take: &mut Take<'_>, rect: Rect) -> Result<Cursor, Stop> {
    check_cursor(rect)?;
    let form = take.i32()?;
    if form != encoding::RAW {
        return Err(Error::protocol("cursor with alpha", format!("encoding {form} is not supported")).into());
    }
    let mut pixels = take.bytes(usize::from(rect.width) * usize::from(rect.height) * PIXEL)?.to_vec();
    for pixel in pixels.chunks_exact_mut(PIXEL) {
        pixel.swap(0, 2);
    }
    Ok(Cursor { width: rect.width, height: rect.height, hot_x: rect.x, hot_y: rect.y, pixels })
}
