//! Under construction.
pub mod container;
pub mod kernel;
pub mod layer;
fn main() {}
