//! The preferences: what the agent keeps for the user, shown and changed.
//!
//! [`window`] is the window with its pages; [`form`] makes the rows; [`strip`] draws which snapshots the rules would
//! keep; [`storage`] shows what they take, and collects garbage; [`asking`] is all that is asked of the agent;
//! [`shortcuts`] lists the keys, and [`set_shortcut`] asks for others.
//!
//! Whatever is changed holds at once, as everywhere in GNOME; the agent keeps it.

mod asking;
mod form;
mod set_shortcut;
mod shortcuts;
mod storage;
mod strip;
mod window;

pub(crate) use window::present;
