//! Under construction.
pub mod kernel;
fn main() {}
