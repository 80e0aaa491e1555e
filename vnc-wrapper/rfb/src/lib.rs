//! A small client of the Remote Framebuffer Protocol (RFC 6143), for one kind of server: the display of a session; and
//! the [`splice`] that keeps other viewers connected while that server is away.
//!
//! The client has two layers. The lower one is pure: [`Decoder`] turns bytes into [`Event`]s and keeps the picture, [`ClientMessage`]
//! turns wishes into bytes, and neither reads nor writes anything. The upper one, [`Client`] with its halves
//! [`Reader`] and [`Writer`], and [`grab`], joins them to any `AsyncRead + AsyncWrite` stream.
//!
//! Rules that hold here:
//!
//! - The server is hostile until checked. Every length is compared with a limit ([`limits`]) before memory is taken for
//!   it, every rectangle with the picture before a pixel is written; what does not fit is an [`Error`] that names it.
//!   Nothing panics, and memory is bounded by one picture plus a few mebibytes.
//! - The picture is always 32 bits a pixel, in memory blue, green, red, and 255 for alpha ([`Framebuffer`]).
//! - [`Reader::next_event`] may be dropped at any await without losing a byte; sending never waits for reading.
//!
//! Deliberately absent: every security type but None (the socket's permissions are the lock), ZRLE and the other
//! encodings that the splice could not reset, and JPEG inside Tight (it is never offered, so a server that sends it is in
//! error).

mod client;
mod clipboard;
mod damage;
mod decoder;
pub mod encoding;
mod error;
mod framebuffer;
mod handshake;
pub mod limits;
mod message;
mod picture;
mod pixel_format;
pub mod splice;
mod tight;
mod wire;

pub use client::{Client, Reader, Writer, grab};
pub use clipboard::Clipboard;
pub use damage::Damage;
pub use decoder::{Cursor, Decoder, Event, Screen};
pub use error::{Error, Result};
pub use framebuffer::{Framebuffer, Rect};
pub use handshake::{ServerInit, handshake};
pub use message::ClientMessage;
pub use pixel_format::PixelFormat;
