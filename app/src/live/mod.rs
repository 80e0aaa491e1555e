//! One session's desktop, live.
//!
//! [`connection`] speaks RFB on its own thread and keeps trying while the session lives; [`screen`] is the widget
//! that draws the picture and takes keyboard and pointer; between them the picture travels in tiles ([`tiles`]), which
//! [`canvas`] draws as textures; [`page`] puts a word over it when there is something to say.
//! [`clipboard`] joins the session's clipboard with the user's; [`in_window`] is what the view asks of its window, and
//! [`bar`] what full screen has instead of a header bar. [`geometry`], [`keys`], [`mod@pointer`] and [`follow`] are the
//! parts that need no window: where the picture lies, which keys are held, what the wheel did, when the desktop is to take
//! the window's size.
//!
//! While it shows a desktop, the view brings two actions to its window, each on or off: `live.follow-window` and
//! `live.grab-shortcuts`.

mod bar;
mod canvas;
mod clipboard;
pub(crate) mod connection;
mod follow;
mod geometry;
mod in_window;
mod keys;
mod page;
mod pointer;
mod screen;
mod tiles;

pub(crate) use connection::Source;
pub(crate) use page::LivePage;
