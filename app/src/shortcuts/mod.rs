//! The keyboard shortcuts: which there are, which keys they have, and all that follows from it.
//!
//! [`table`] is the list, and the only place where a key stands; [`accelerator`] is what is pressed; [`keymap`] is the table
//! with what the user has changed: which keys belong to which shortcut now; [`press`] is what a press means where new keys are
//! asked for. These four need no window. [`keys`] holds the
//! keymap of this program and reports when it changes, which the agent says; [`bind`] gives the keys to windows and says them in
//! tooltips; [`overview`] is the window that lists them. The preferences change them.

mod accelerator;
mod bind;
mod keymap;
mod keys;
mod overview;
mod press;
mod row;
mod table;

pub(crate) use accelerator::{Accelerator, Unfit};
pub(crate) use bind::{add_to, say_keys, start};
pub(crate) use keymap::{Changes, Keymap};
pub(crate) use keys::Keys;
pub(crate) use overview::present;
pub(crate) use press::Press;
pub(crate) use row::{drawn, row};
pub(crate) use table::{Group, Shortcut};
