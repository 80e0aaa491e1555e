//! Pure decisions. Nothing here reads a clock, a file or a bus; what they need is passed in.

pub mod automatic;
pub mod duration;
pub mod find;
pub mod names;
pub mod rows;
pub mod settings;
pub mod shortcuts;
pub mod size;
pub mod words;
