//! What a server sends: where one message or rectangle ends and the next begins, without looking at pixels.

use serde::{Deserialize, Serialize};

use super::said::{fence, offers};
use crate::encoding;
use crate::error::Error;
use crate::framebuffer::Rect;
use crate::limits;
use crate::pixel_format::PixelFormat;
use crate::wire::{Stop, Take};

/// Data shorter than this is not compressed by Tight.
const TIGHT_MIN_TO_COMPRESS: usize = 12;

/// Where in the stream of a server's messages one stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(super) enum Place {
    /// Before a message.
    #[default]
    Message,
    /// Inside an update, before a rectangle or, at none left, its end.
    Rectangles { left: u16 },
    /// Inside the pixels of a raw rectangle, of which so many bytes are still to come.
    Raw { left: u16, rect: Rect, bytes: u64 },
    /// Inside a text that is too long to be passed on.
    Skip { bytes: u64 },
}

/// One part of the stream. All of its bytes are there, but for what [`Place`] says follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Told {
    /// The head of an update with so many rectangles.
    Update(u16),
    /// The head of a raw rectangle; its pixels follow.
    Raw(Rect),
    /// A Tight rectangle, whole.
    Tight,
    /// The picture has another size from here on.
    Size(u16, u16),
    /// The update ends here, whatever its count said.
    LastRect,
    /// Another rectangle, whole.
    Rectangle,
    /// The clipboard in the session has a text.
    Offer,
    /// Something else about the clipboard.
    Clipboard,
    /// A text that is longer than is passed on: so many bytes follow.
    TooLong(u32),
    EndOfContinuousUpdates,
    Fence {
        flags: u32,
    },
    /// Another message, whole.
    Message,
}

/// Reads one message, or the head of an update.
pub(super) fn message(take: &mut Take<'_>) -> Result<Told, Stop> {
    Ok(match take.u8()? {
        0 => {
            take.u8()?;
            Told::Update(take.u16()?)
        }
        1 => {
            take.bytes(3)?;
            let colours = usize::from(take.u16()?);
            take.bytes(colours * 6)?;
            Told::Message
        }
        2 => Told::Message,
        3 => {
            take.bytes(3)?;
            let signed = take.i32()?;
            let length = signed.unsigned_abs();
            if length > limits::MAX_CLIPBOARD {
                return Ok(Told::TooLong(length));
            }
            let bytes = take.bytes(length as usize)?;
            if signed >= 0 || offers(bytes) == Some(true) { Told::Offer } else { Told::Clipboard }
        }
        150 => Told::EndOfContinuousUpdates,
        248 => Told::Fence { flags: fence(take)?.0 },
        other => return Err(wrong("message", format!("type {other} is unknown"))),
    })
}

fn wrong(what: &'static str, detail: String) -> Stop {
    Error::protocol(what, detail).into()
}

/// Reads one rectangle of a picture of this size, in pixels of this format.
pub(super) fn rectangle(take: &mut Take<'_>, format: &PixelFormat, size: (u16, u16)) -> Result<Told, Stop> {
    let rect = Rect { x: take.u16()?, y: take.u16()?, width: take.u16()?, height: take.u16()? };
    let (width, height) = (usize::from(rect.width), usize::from(rect.height));
    let mask = width.div_ceil(8) * height;
    Ok(match take.i32()? {
        encoding::RAW => {
            inside("a raw rectangle", rect, size)?;
            Told::Raw(rect)
        }
        encoding::COPY_RECT => {
            inside("a copied rectangle", rect, size)?;
            take.bytes(4)?;
            Told::Rectangle
        }
        encoding::TIGHT => {
            inside("a Tight rectangle", rect, size)?;
            tight(take, rect, format)?;
            Told::Tight
        }
        encoding::CURSOR => {
            cursor(rect)?;
            take.bytes(width * height * format.bytes() + mask)?;
            Told::Rectangle
        }
        encoding::X_CURSOR => {
            cursor(rect)?;
            take.bytes(if rect.is_empty() { 0 } else { 6 + 2 * mask })?;
            Told::Rectangle
        }
        encoding::CURSOR_WITH_ALPHA => {
            cursor(rect)?;
            let form = take.i32()?;
            if form != encoding::RAW {
                return Err(wrong("cursor with alpha", format!("encoding {form} is not supported")));
            }
            take.bytes(width * height * 4)?;
            Told::Rectangle
        }
        encoding::VMWARE_CURSOR => {
            cursor(rect)?;
            let form = take.u8()?;
            take.u8()?;
            match form {
                0 => take.bytes(width * height * format.bytes() * 2)?,
                1 => take.bytes(width * height * 4)?,
                _ => return Err(wrong("VMware cursor", format!("type {form} is unknown"))),
            };
            Told::Rectangle
        }
        encoding::QEMU_LED_STATE => {
            take.u8()?;
            Told::Rectangle
        }
        encoding::VMWARE_LED_STATE => {
            take.u32()?;
            Told::Rectangle
        }
        encoding::VMWARE_CURSOR_POSITION | encoding::QEMU_EXTENDED_KEY => Told::Rectangle,
        encoding::DESKTOP_NAME => {
            let length = take.u32()?;
            if length > limits::MAX_TEXT {
                let (found, limit) = (length.into(), limits::MAX_TEXT.into());
                return Err(Error::TooLarge { what: "a display name", found, limit }.into());
            }
            take.bytes(length as usize)?;
            Told::Rectangle
        }
        encoding::DESKTOP_SIZE => Told::Size(rect.width, rect.height),
        encoding::EXTENDED_DESKTOP_SIZE => {
            let screens = usize::from(take.u8()?);
            take.bytes(3 + 16 * screens)?;
            // The place holds the reason and the result: other than 0 is a refusal.
            if rect.y == 0 { Told::Size(rect.width, rect.height) } else { Told::Rectangle }
        }
        encoding::LAST_RECT => Told::LastRect,
        other => return Err(wrong("update", format!("encoding {other} was not offered"))),
    })
}

fn inside(what: &'static str, rect: Rect, (width, height): (u16, u16)) -> Result<(), Stop> {
    if rect.x.checked_add(rect.width).is_some_and(|right| right <= width)
        && rect.y.checked_add(rect.height).is_some_and(|bottom| bottom <= height)
    {
        return Ok(());
    }
    Err(Error::Outside { what, rect: rect.to_string(), width, height }.into())
}

fn cursor(rect: Rect) -> Result<(), Stop> {
    let side = rect.width.max(rect.height);
    if side > limits::MAX_CURSOR_SIDE {
        let (found, limit) = (side.into(), limits::MAX_CURSOR_SIDE.into());
        return Err(Error::TooLarge { what: "a cursor side", found, limit }.into());
    }
    Ok(())
}

/// Tight (rfbproto, "Tight encoding"): a control byte, perhaps a filter, and data of a length that is told or follows.
fn tight(take: &mut Take<'_>, rect: Rect, format: &PixelFormat) -> Result<(), Stop> {
    let control = take.u8()?;
    let pixel = format.tight_bytes();
    let width = usize::from(rect.width);
    match control >> 4 {
        8 => {
            take.bytes(pixel)?;
            return Ok(());
        }
        9 => {
            let length = take.compact_length()?;
            take.bytes(length)?;
            return Ok(());
        }
        0..=7 => {}
        other => return Err(wrong("Tight", format!("compression {other} is unknown"))),
    }
    let mut row = width * pixel;
    if control & 0x40 != 0 {
        match take.u8()? {
            0 | 2 => {}
            1 => {
                let colours = usize::from(take.u8()?) + 1;
                take.bytes(colours * pixel)?;
                row = if colours <= 2 { width.div_ceil(8) } else { width };
            }
            other => return Err(wrong("Tight", format!("filter {other} is unknown"))),
        }
    }
    let total = row * usize::from(rect.height);
    let length = if total < TIGHT_MIN_TO_COMPRESS { total } else { take.compact_length()? };
    take.bytes(length)?;
    Ok(())
}
