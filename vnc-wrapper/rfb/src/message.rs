//! What a client says to a server.

use crate::clipboard::{self, Clipboard};
use crate::framebuffer::Rect;
use crate::pixel_format::PixelFormat;

/// A message from a client to a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClientMessage {
    /// Asks for this form of pixels.
    SetPixelFormat(PixelFormat),
    /// Says what the client understands, the best first.
    SetEncodings(Vec<i32>),
    /// Asks for an update of a part of the picture.
    UpdateRequest {
        /// Only what changed since the last update; else all of it.
        incremental: bool,
        /// The part.
        rect: Rect,
    },
    /// A key went down or up.
    Key {
        /// Whether it went down.
        down: bool,
        /// The key as an X keysym.
        keysym: u32,
    },
    /// The pointer moved, or a button of it changed.
    Pointer {
        /// The buttons held, button 1 in the lowest bit; 4 to 7 are the wheel's up, down, left and right.
        buttons: u8,
        /// Pixels from the left.
        x: u16,
        /// Pixels from the top.
        y: u16,
    },
    /// The client's clipboard has this text. What Latin-1 lacks becomes a question mark; the protocol has no more.
    CutText(String),
    /// Something about the clipboard, for a server that said [`Clipboard::Can`].
    Clipboard(Clipboard),
    /// Asks for a picture of another size, with one screen over all of it.
    SetDesktopSize {
        /// Width in pixels.
        width: u16,
        /// Height in pixels.
        height: u16,
        /// The screen's id, as the server announced it.
        screen_id: u32,
        /// The screen's flags, as the server announced them.
        screen_flags: u32,
    },
}

impl ClientMessage {
    /// Appends the message as bytes.
    pub fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::SetPixelFormat(format) => {
                out.extend([0; 4]);
                format.encode(out);
            }
            Self::SetEncodings(encodings) => {
                let count = encodings.len().min(usize::from(u16::MAX));
                out.extend([2, 0]);
                out.extend((count as u16).to_be_bytes());
                out.extend(encodings[..count].iter().flat_map(|encoding| encoding.to_be_bytes()));
            }
            Self::UpdateRequest { incremental, rect } => {
                out.extend([3, (*incremental).into()]);
                out.extend([rect.x, rect.y, rect.width, rect.height].into_iter().flat_map(u16::to_be_bytes));
            }
            Self::Key { down, keysym } => {
                out.extend([4, (*down).into(), 0, 0]);
                out.extend(keysym.to_be_bytes());
            }
            Self::Pointer { buttons, x, y } => {
                out.extend([5, *buttons]);
                out.extend([*x, *y].into_iter().flat_map(u16::to_be_bytes));
            }
            Self::CutText(text) => {
                let latin1: Vec<u8> = text.chars().map(|c| u8::try_from(u32::from(c)).unwrap_or(b'?')).collect();
                let count = latin1.len().min(crate::limits::MAX_TEXT as usize);
                out.extend([6, 0, 0, 0]);
                out.extend((count as u32).to_be_bytes());
                out.extend(&latin1[..count]);
            }
            Self::Clipboard(message) => {
                let (length, bytes) = clipboard::encode(message);
                out.extend([6, 0, 0, 0]);
                out.extend(length.to_be_bytes());
                out.extend(bytes);
            }
            Self::SetDesktopSize { width, height, screen_id, screen_flags } => {
                out.extend([251, 0]);
                out.extend([*width, *height].into_iter().flat_map(u16::to_be_bytes));
                out.extend([1, 0]);
                out.extend(screen_id.to_be_bytes());
                out.extend([0, 0, *width, *height].into_iter().flat_map(u16::to_be_bytes));
                out.extend(screen_flags.to_be_bytes());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(message: &ClientMessage) -> Vec<u8> {
        let mut out = Vec::new();
        message.encode(&mut out);
        out
    }

    #[test]
    fn messages_as_the_rfc_has_them() {
        assert_eq!(
            bytes(&ClientMessage::SetPixelFormat(PixelFormat::BGRX)),
            [0, 0, 0, 0, 32, 24, 0, 1, 0, 255, 0, 255, 0, 255, 16, 8, 0, 0, 0, 0]
        );
        assert_eq!(
            bytes(&ClientMessage::SetEncodings(vec![7, -239])),
            [2, 0, 0, 2, 0, 0, 0, 7, 0xff, 0xff, 0xff, 0x11]
        );
        let rect = Rect { x: 1, y: 2, width: 0x304, height: 5 };
        assert_eq!(bytes(&ClientMessage::UpdateRequest { incremental: true, rect }), [3, 1, 0, 1, 0, 2, 3, 4, 0, 5]);
        assert_eq!(bytes(&ClientMessage::Key { down: true, keysym: 0xff0d }), [4, 1, 0, 0, 0, 0, 0xff, 0x0d]);
        assert_eq!(bytes(&ClientMessage::Pointer { buttons: 5, x: 258, y: 3 }), [5, 5, 1, 2, 0, 3]);
        assert_eq!(bytes(&ClientMessage::CutText("aé€".into())), [6, 0, 0, 0, 0, 0, 0, 3, b'a', 0xe9, b'?']);
        let size = ClientMessage::SetDesktopSize { width: 640, height: 480, screen_id: 7, screen_flags: 0 };
        assert_eq!(bytes(&size), [251, 0, 2, 128, 1, 224, 1, 0, 0, 0, 0, 7, 0, 0, 0, 0, 2, 128, 1, 224, 0, 0, 0, 0]);
    }
}
