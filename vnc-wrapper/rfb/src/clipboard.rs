//! The clipboard in UTF-8: the ExtendedClipboard pseudo-encoding, for text only.
//!
//! Both sides first say what they can ([`Clipboard::Can`]). Who has a new text says so ([`Clipboard::Has`]); who wants
//! it asks ([`Clipboard::Wants`]) and is given it ([`Clipboard::Text`]). So a text travels only when it is pasted.
//!
//! On the wire: a cut-text message with a negative length, four bytes of flags (the lowest bit for text, from bit 24 on
//! what is meant), and for a text one zlib stream of its length, itself in UTF-8 with CR LF, and a zero.

use std::io::{Read as _, Write as _};

use flate2::Compression;
use flate2::read::ZlibDecoder;
use flate2::write::ZlibEncoder;

use crate::error::{Error, Result};
use crate::limits::MAX_CLIPBOARD;

const TEXT: u32 = 1;
const CAN: u32 = 1 << 24;
const WANTS: u32 = 1 << 25;
const ASKS: u32 = 1 << 26;
const HAS: u32 = 1 << 27;
const GIVES: u32 = 1 << 28;

/// What one side says of its clipboard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Clipboard {
    /// It speaks this extension. A client answers with the same before anything else.
    Can,
    /// It has a text, or has none any more.
    Has {
        /// Whether there is a text.
        text: bool,
    },
    /// It asks what the other side has.
    Asks,
    /// It wants the other side's text.
    Wants,
    /// Here is the text, with line feeds alone.
    Text(String),
}

/// Reads what follows a negative length. None for what does not concern text.
pub(crate) fn decode(message: &[u8]) -> Result<Option<Clipboard>> {
    let (flags, rest) =
        message.split_first_chunk().ok_or_else(|| Error::protocol("clipboard", "a message without flags"))?;
    let flags = u32::from_be_bytes(*flags);
    let text = flags & TEXT != 0;
    // Of the meanings one is set, but for "can", which has them all to say what is understood.
    Ok(match flags {
        _ if flags & CAN != 0 => Some(Clipboard::Can),
        _ if flags & HAS != 0 => Some(Clipboard::Has { text }),
        _ if flags & ASKS != 0 => Some(Clipboard::Asks),
        _ if flags & WANTS != 0 && text => Some(Clipboard::Wants),
        _ if flags & GIVES != 0 && text => Some(Clipboard::Text(unpack(rest)?)),
        _ => None,
    })
}

fn unpack(packed: &[u8]) -> Result<String> {
    let broken = |error: std::io::Error| Error::protocol("clipboard", format!("zlib: {error}"));
    let mut stream = ZlibDecoder::new(packed);
    let mut length = [0; 4];
    stream.read_exact(&mut length).map_err(broken)?;
    let length = u32::from_be_bytes(length);
    if length > MAX_CLIPBOARD {
        let (found, limit) = (length.into(), MAX_CLIPBOARD.into());
        return Err(Error::TooLarge { what: "a clipboard text", found, limit });
    }
    let mut text = vec![0; length as usize];
    stream.read_exact(&mut text).map_err(broken)?;
    if text.last() == Some(&0) {
        text.pop();
    }
    // A program in the session may put anything there: what is no UTF-8 is replaced, not refused.
    Ok(String::from_utf8_lossy(&text).replace("\r\n", "\n"))
}

/// The message as it follows the head of a cut-text message: its length, made negative, and its bytes. A text longer
/// than [`MAX_CLIPBOARD`] is told as none.
pub(crate) fn encode(message: &Clipboard) -> (i32, Vec<u8>) {
    let mut bytes = Vec::new();
    match message {
        Clipboard::Can => {
            bytes.extend((CAN | WANTS | ASKS | HAS | GIVES | TEXT).to_be_bytes());
            // Texts up to this size may be sent unasked; none is the politest.
            bytes.extend(0u32.to_be_bytes());
        }
        Clipboard::Has { text } => bytes.extend((HAS | if *text { TEXT } else { 0 }).to_be_bytes()),
        Clipboard::Asks => bytes.extend(ASKS.to_be_bytes()),
        Clipboard::Wants => bytes.extend((WANTS | TEXT).to_be_bytes()),
        Clipboard::Text(text) => match pack(text) {
            Some(packed) => {
                bytes.extend((GIVES | TEXT).to_be_bytes());
                bytes.extend(packed);
            }
            None => bytes.extend(HAS.to_be_bytes()),
        },
    }
    // At most a text's limit and what zlib adds, far below 2 GiB.
    (-(bytes.len() as i32), bytes)
}

impl Clipboard {
    /// Whether a text can be sent: as it travels it may have up to [`MAX_CLIPBOARD`] bytes.
    #[must_use]
    pub fn fits(text: &str) -> bool {
        as_sent(text).len() <= MAX_CLIPBOARD as usize
    }
}

fn as_sent(text: &str) -> Vec<u8> {
    let mut text = text.replace("\r\n", "\n").replace('\n', "\r\n").into_bytes();
    text.push(0);
    text
}

fn pack(text: &str) -> Option<Vec<u8>> {
    let text = as_sent(text);
    let length = u32::try_from(text.len()).ok().filter(|length| *length <= MAX_CLIPBOARD)?;
    let mut stream = ZlibEncoder::new(Vec::new(), Compression::fast());
    // Writing to memory does not fail.
    stream.write_all(&length.to_be_bytes()).and_then(|()| stream.write_all(&text)).ok()?;
    stream.finish().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_is_understood() {
        for message in [
            Clipboard::Can,
            Clipboard::Has { text: true },
            Clipboard::Has { text: false },
            Clipboard::Asks,
            Clipboard::Wants,
            Clipboard::Text("größer\nals €\n".into()),
            Clipboard::Text(String::new()),
        ] {
            let (length, bytes) = encode(&message);
            assert_eq!(length, -(bytes.len() as i32));
            assert_eq!(decode(&bytes).unwrap(), Some(message));
        }
        // A file list is of no interest.
        assert_eq!(decode(&(GIVES | 1 << 4).to_be_bytes()).unwrap(), None);
    }

    #[test]
    fn what_is_too_much_is_refused() {
        let mut bomb = ZlibEncoder::new(Vec::new(), Compression::fast());
        bomb.write_all(&u32::MAX.to_be_bytes()).unwrap();
        bomb.write_all(&vec![b'x'; 1 << 20]).unwrap();
        let message = [&(GIVES | TEXT).to_be_bytes()[..], &bomb.finish().unwrap()].concat();
        assert!(matches!(decode(&message), Err(Error::TooLarge { what: "a clipboard text", .. })));
        assert!(decode(&message[..3]).is_err());
        assert!(decode(&message[..6]).is_err());
        let long = "x".repeat(MAX_CLIPBOARD as usize);
        assert!(!Clipboard::fits(&long) && Clipboard::fits(&long[1..]) && !Clipboard::fits(&"\n".repeat(600_000)));
        let long = encode(&Clipboard::Text(long));
        assert_eq!(decode(&long.1).unwrap(), Some(Clipboard::Has { text: false }));
    }
}
