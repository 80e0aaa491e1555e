//! Viewers that stay: each is spliced to its own server connection, which may end and be followed by another while
//! the viewer notices nothing but a picture that stands still.
//!
//! [`Splice`] is pure: it reads the framing of both directions (`said`, `told`), forwards the bytes unchanged and
//! remembers what a later server has to be told. [`Outlet`] is the display as viewers meet it, with tokio: it serves
//! each ([`Outlet::serve`]), takes all off the server and lets them back ([`Outlet::close`], [`Outlet::open`]), and
//! gives them to another process ([`Outlet::give_away`], [`Outlet::adopt`]).
//!
//! What makes a stream resumable:
//!
//! - Of the encodings that a viewer offers, those are held back whose state cannot be reset. Tight's can: by bits in the
//!   control byte of the next rectangle.
//! - When the server goes, the open update is ended as one that the viewer accepts: missing pixels of a raw rectangle are
//!   taken from the last picture, all others are forwarded only when they are whole. Fences and ends of continuous updates
//!   that the viewer waits for are answered.
//! - While none is there, input is kept in order and nothing of it is lost (only motions are joined); when there is no
//!   room for more, no more is read. Requests for the whole picture are answered from the last one.
//! - What a server sends of its clipboard goes on at a bounded pace (`texts`); the newest text takes the place of older ones.
//! - When one is there, it is told pixel format and encodings, the clipboard's offer and the modifiers that are held down,
//!   is asked for the whole picture, and given the input.

mod drive;
mod held;
mod machine;
mod modifiers;
mod outbox;
mod outlet;
mod promises;
mod reach;
mod said;
mod texts;
mod told;
mod welcome;

pub use machine::Splice;
pub use outlet::{Outlet, Parcel, Server};
