//! The timeline: running desktops, then snapshots by day, as cards; a strip of time above them.
//!
//! Without widgets: [`model`] orders and groups, [`search`] finds, [`layout`] places, [`strip`] is the scrubber's time,
//! [`words`] says it, [`cache`] keeps pictures. With widgets: [`page`] holds it all, [`grid`] shows only the cards that
//! are seen, [`card`] is one with its [`picture`], [`preview`] a picture in full, [`scrubber`] the strip,
//! [`thumbnails`] brings pictures in the size needed, which [`decode`] makes of them.

mod cache;
mod card;
pub(crate) mod contents;
mod decode;
mod grid;
mod layout;
mod menu;
pub(crate) mod model;
mod page;
mod picture;
mod preview;
mod scrubber;
mod search;
mod strip;
mod thumbnails;
pub(crate) mod words;

pub(crate) use page::TimelinePage;
