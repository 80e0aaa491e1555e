//! The memory of processes.

/// The size of a page in bytes: the unit of tracking, records and regions.
pub const PAGE: u64 = 4096;
