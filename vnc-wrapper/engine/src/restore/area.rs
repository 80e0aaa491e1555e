//! The memory in every process that is being made from which calls are made in it: code, a list of calls, and what they read
//! and write. It lies where no process of the content has anything, and goes at the end.

use std::ops::Range;

use crate::memory::PAGE;
use crate::remote::ENTRY;
use crate::remote::processor::{CALL_CODE, LIST_CODE, USER_END};

use super::error::{Error, Result};

/// Where the list's code stands in the page of code.
const LIST_CODE_AT: u64 = 16;
/// How many calls one list has.
pub(super) const MOST_CALLS: usize = 4096;
/// Bytes for what calls read and write.
pub(super) const DATA: u64 = 512 << 10;
/// Bytes of the whole, and a page behind it for the program that the first process begins as.
const LENGTH: u64 = PAGE + (MOST_CALLS * ENTRY) as u64 + DATA;
/// From where on a free place is looked for: below it are programs without an address of their own, above it what the kernel
/// places; between there is nothing as a rule.
const FROM: u64 = 1 << 44;
/// The lowest address that is looked at.
const LOWEST: u64 = 1 << 20;

/// Where it is: the same in all processes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Area(u64);

impl Area {
    /// A place between `taken` ranges, in any order, with `nursery` bytes behind it.
    pub(super) fn find(mut taken: Vec<Range<u64>>, nursery: u64) -> Result<Self> {
        let length = (LENGTH + PAGE).saturating_add(nursery);
        taken.sort_unstable_by_key(|range| (range.start, range.end));
        let free = |from: u64, end: u64| {
            let mut at = from;
            for range in taken.iter().filter(|range| range.end > from) {
                if range.start >= at.saturating_add(length) {
                    break;
                }
                at = at.max(range.end);
            }
            (at.saturating_add(length) <= end).then_some(Self(at))
        };
        free(FROM, USER_END).or_else(|| free(LOWEST, USER_END)).ok_or_else(|| {
            Error::unable("the memory of the processes", "they leave no room for the calls that restore it")
        })
    }

    /// All of it.
    pub(super) fn range(self) -> Range<u64> {
        self.0..self.0 + LENGTH
    }

    /// Where the program of the first process is: behind it.
    pub(super) fn program(self) -> u64 {
        self.0 + LENGTH
    }

    /// Where the nursery is: behind that.
    pub(super) fn nursery(self) -> u64 {
        self.program() + PAGE
    }

    /// Where a single call is made.
    pub(super) fn call_code(self) -> u64 {
        self.0
    }

    /// Where the list's code begins.
    pub(super) fn list_code(self) -> u64 {
        self.0 + LIST_CODE_AT
    }

    /// Where it stops.
    pub(super) fn list_end(self) -> u64 {
        self.list_code() + LIST_CODE.len() as u64
    }

    /// Where lists stand.
    pub(super) fn list(self) -> u64 {
        self.0 + PAGE
    }

    /// Where what calls read and write stands.
    pub(super) fn data(self) -> u64 {
        self.list() + (MOST_CALLS * ENTRY) as u64
    }

    /// A stack pointer that is in nobody's way.
    pub(super) fn stack(self) -> u64 {
        self.0 + LENGTH
    }

    /// The page of code.
    pub(super) fn code() -> Vec<u8> {
        let mut code = CALL_CODE.to_vec();
        // int3 between the two.
        code.resize(LIST_CODE_AT as usize, 0xcc);
        code.extend(LIST_CODE);
        code
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn issue_10_the_area_lies_where_nothing_is() {
        let at = |taken: &[Range<u64>]| Area::find(taken.to_vec(), 0).unwrap().0;
        assert_eq!(at(&[]), FROM);
        assert_eq!(at(&[FROM..FROM + 4096, 0..4096]), FROM + 4096);
        assert_eq!(at(&[FROM - 4096..FROM + 4096, FROM + 8192..FROM + 12288]), FROM + 12288);
        let far = FROM + LENGTH + PAGE;
        assert_eq!(at(&[far..far + 4096, 0..4096]), FROM);
        assert_eq!(at(&[far - 1..far + 4096, 0..4096]), far + 4096);
        assert_eq!(at(&[FROM..USER_END, LOWEST..LOWEST + 4096]), LOWEST + 4096);
        let between = [FROM - 4096..FROM, FROM + (1 << 21)..FROM + (1 << 22)];
        assert_eq!(at(&between), FROM);
        assert_eq!(Area::find(between.to_vec(), 1 << 21).unwrap().0, FROM + (1 << 22));
        let error = Area::find(vec![LOWEST..FROM, FROM..USER_END], 0).unwrap_err().to_string();
        assert!(error.contains("no room"), "{error}");
    }
}
