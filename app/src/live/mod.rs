//! One session's desktop, live.
//!
//! [`connection`] speaks RFB on a thread of its own and keeps trying while the session lives; [`screen`] is the widget
//! that draws the picture and takes keyboard and pointer; [`page`] puts a word over it when there is something to say.
//! [`geometry`], [`keys`] and [`mod@pointer`] are the parts that need no window: where the picture lies, which keys are
//! held, what the wheel did.

pub(crate) mod connection;
mod geometry;
mod keys;
mod page;
mod pointer;
mod screen;

pub(crate) use connection::Source;
pub(crate) use page::LivePage;
