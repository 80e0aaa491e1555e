//! What a viewer says, message by message (RFC 6143, section 7.5, and the extensions of the community's rfbproto).

use crate::error::Error;
use crate::framebuffer::Rect;
use crate::limits;
use crate::pixel_format::PixelFormat;
use crate::wire::{Stop, Take};

/// The longest list of encodings that is taken; viewers send a few dozen.
const MAX_ENCODINGS: u16 = 1024;
/// Payload of a fence (rfbproto: "up to 64 bytes").
pub(super) const MAX_FENCE: u8 = 64;
/// Flags of an extended clipboard message: that it says what its sender has, and that this is a text.
const HAS: u32 = 1 << 27;
const TEXT: u32 = 1;

/// One message, as far as the splice has to understand it.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Said {
    PixelFormat(PixelFormat),
    Encodings(Vec<i32>),
    Request {
        incremental: bool,
    },
    Key {
        down: bool,
        keysym: u32,
    },
    Pointer {
        buttons: u8,
    },
    /// The viewer's clipboard has a text.
    Offer,
    /// It has none any more.
    Withdrawal,
    /// Something else about the clipboard.
    Clipboard,
    /// A text that is longer than is passed on: so many bytes follow.
    TooLong(u32),
    ContinuousUpdates {
        enable: bool,
    },
    Fence {
        flags: u32,
        data: Vec<u8>,
    },
    DesktopSize,
}

/// Reads one message.
pub(super) fn read(take: &mut Take<'_>) -> Result<Said, Stop> {
    Ok(match take.u8()? {
        0 => {
            take.bytes(3)?;
            Said::PixelFormat(pixel_format(take)?)
        }
        2 => {
            take.u8()?;
            let count = take.u16()?;
            if count > MAX_ENCODINGS {
                let (found, limit) = (count.into(), MAX_ENCODINGS.into());
                return Err(Error::TooLarge { what: "a number of encodings", found, limit }.into());
            }
            let mut encodings = Vec::with_capacity(count.into());
            for _ in 0..count {
                encodings.push(take.i32()?);
            }
            Said::Encodings(encodings)
        }
        3 => {
            let incremental = take.u8()? != 0;
            take.bytes(8)?;
            Said::Request { incremental }
        }
        4 => {
            let down = take.u8()? != 0;
            take.bytes(2)?;
            Said::Key { down, keysym: take.u32()? }
        }
        5 => {
            let buttons = take.u8()?;
            take.bytes(4)?;
            Said::Pointer { buttons }
        }
        6 => {
            take.bytes(3)?;
            cut_text(take)?
        }
        150 => {
            let enable = take.u8()? != 0;
            take.bytes(8)?;
            Said::ContinuousUpdates { enable }
        }
        248 => {
            let (flags, data) = fence(take)?;
            Said::Fence { flags, data }
        }
        251 => {
            take.bytes(5)?;
            let screens = take.u8()?;
            take.bytes(1 + 16 * usize::from(screens))?;
            Said::DesktopSize
        }
        255 => match take.u8()? {
            0 => {
                let down = take.u16()? != 0;
                let keysym = take.u32()?;
                take.u32()?;
                Said::Key { down, keysym }
            }
            other => return Err(wrong(format!("QEMU message {other} is unknown"))),
        },
        other => return Err(wrong(format!("type {other} is unknown"))),
    })
}

fn wrong(detail: String) -> Stop {
    Error::protocol("a viewer's message", detail).into()
}

/// What a fence holds besides its type; the same in both directions.
pub(super) fn fence(take: &mut Take<'_>) -> Result<(u32, Vec<u8>), Stop> {
    take.bytes(3)?;
    let flags = take.u32()?;
    let length = take.u8()?;
    if length > MAX_FENCE {
        return Err(Error::TooLarge { what: "a fence", found: length.into(), limit: MAX_FENCE.into() }.into());
    }
    Ok((flags, take.bytes(length.into())?.to_vec()))
}

/// A negative length stands for the extended clipboard, and for so many bytes of it.
fn cut_text(take: &mut Take<'_>) -> Result<Said, Stop> {
    let signed = take.i32()?;
    let length = signed.unsigned_abs();
    if length > limits::MAX_CLIPBOARD {
        return Ok(Said::TooLong(length));
    }
    let bytes = take.bytes(length as usize)?;
    if signed >= 0 {
        return Ok(Said::Offer);
    }
    Ok(match offers(bytes) {
        Some(true) => Said::Offer,
        Some(false) => Said::Withdrawal,
        None => Said::Clipboard,
    })
}

/// Whether there is a text, if that is what an extended clipboard message says.
pub(super) fn offers(bytes: &[u8]) -> Option<bool> {
    let flags = u32::from_be_bytes(*bytes.first_chunk()?);
    (flags & HAS != 0).then_some(flags & TEXT != 0)
}

/// A pixel format that pixels can be made of.
fn pixel_format(take: &mut Take<'_>) -> Result<PixelFormat, Stop> {
    let format = PixelFormat::decode(&take.array()?);
    format.check().map_err(|detail| Error::protocol("pixel format", detail))?;
    Ok(format)
}

/// Asks for the whole picture, changed or not.
pub(super) fn full_request(width: u16, height: u16) -> Vec<u8> {
    let mut bytes = Vec::new();
    let rect = Rect { x: 0, y: 0, width, height };
    crate::ClientMessage::UpdateRequest { incremental: false, rect }.encode(&mut bytes);
    bytes
}
