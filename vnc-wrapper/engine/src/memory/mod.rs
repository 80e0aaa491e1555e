//! The memory of processes: what is mapped, which pages hold content, which of them changed, and filling pages of a stopped
//! process.
//!
//! | module | what it holds |
//! | --- | --- |
//! | [`maps`] | the mappings of a process, typed |
//! | [`pages`] | sets of pages |
//! | [`tracker`] | passes over a process's pages: what is to be copied, what is no longer there |
//! | [`classify`] | what the kernel says of a page, judged; one function for each way of tracking |
//! | [`copy`] | reading pages of another process |
//! | [`shared`] | memory that several processes share, found once |
//! | [`image`] | the pages that passes gave, cut into regions of the record |
//! | [`fill`] | putting pages into a stopped process |

pub mod classify;
pub mod copy;
pub mod fill;
pub mod image;
pub mod maps;
pub mod pages;
pub mod shared;
#[cfg(test)]
mod tests;
pub mod tracker;

/// The size of a page in bytes: the unit of tracking, records and regions.
pub const PAGE: u64 = 4096;
