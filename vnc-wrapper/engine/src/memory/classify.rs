//! What the kernel says of a page, judged. Pure: the traps of each way of tracking are settled here.

use super::maps::Kind;
use crate::sys::pagemap::{self, Run};

/// What a page is for the record of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Page {
    /// Nothing of its own: not there, zeros, the file's, or a guard.
    Nothing,
    /// Content, unchanged since the last pass if it was held then.
    Clean,
    /// Content that may have changed.
    Dirty,
    /// In a private file mapping, not in memory: swapped out, or given back to the file with the kernel's mark left in its
    /// place. Only reading shows which.
    Unsettled,
}

/// The categories that a scan has to report for [`by_scan`]. `guards`: whether the kernel knows guard regions.
pub fn categories(kind: Kind, guards: bool) -> u64 {
    let always = pagemap::PRESENT | pagemap::SWAPPED | pagemap::ZERO | pagemap::WPALLOWED | pagemap::WRITTEN;
    let file = if kind == Kind::PrivateFile { pagemap::FILE } else { 0 };
    always | file | if guards { pagemap::GUARD } else { 0 }
}

/// Judges a run of PAGEMAP_SCAN.
///
/// Dirty is "written *or* not registered": mremap(2) and new mappings lose the registration, and kernels differ in whether such
/// memory reads as written. `MADV_DONTNEED` of a private page of a file is never reported as a write: the page is then the
/// file's again, or a mark that reads as swapped.
pub fn by_scan(kind: Kind, run: &Run) -> Page {
    let is = |category| run.categories & category != 0;
    if is(pagemap::GUARD)
        || !is(pagemap::PRESENT | pagemap::SWAPPED)
        || (kind == Kind::PrivateFile && is(pagemap::FILE))
    {
        return Page::Nothing;
    }
    if kind == Kind::PrivateFile && !is(pagemap::PRESENT) {
        return Page::Unsettled;
    }
    // In a private file mapping the page of zeros is content: it hides the file's.
    if kind == Kind::Anonymous && is(pagemap::ZERO) {
        return Page::Nothing;
    }
    if is(pagemap::WRITTEN) || !is(pagemap::WPALLOWED) { Page::Dirty } else { Page::Clean }
}

/// Judges an entry of the pagemap, where soft-dirty bits tell what was written.
///
/// A page given back (`MADV_DONTNEED`) and only read again is not soft-dirty. It is then the page of zeros, or the file's, which
/// nobody maps exclusively: so every page that is not mapped exclusively is dirty. Pages shared since a fork are copied
/// again in each pass for that.
pub fn by_entry(kind: Kind, entry: u64, soft_dirty: bool) -> Page {
    let is = |bit| entry & bit != 0;
    let guard = is(pagemap::ENTRY_GUARD) && !is(pagemap::ENTRY_PRESENT);
    if guard || !is(pagemap::ENTRY_PRESENT | pagemap::ENTRY_SWAPPED) {
        return Page::Nothing;
    }
    if kind == Kind::PrivateFile && is(pagemap::ENTRY_FILE) {
        return Page::Nothing;
    }
    if kind == Kind::PrivateFile && !is(pagemap::ENTRY_PRESENT) {
        return Page::Unsettled;
    }
    let exclusive = is(pagemap::ENTRY_EXCLUSIVE) || !is(pagemap::ENTRY_PRESENT);
    if soft_dirty && exclusive && !is(pagemap::ENTRY_SOFT_DIRTY) { Page::Clean } else { Page::Dirty }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scan(kind: Kind, categories: u64) -> Page {
        by_scan(kind, &Run { start: 0, end: 4096, categories })
    }

    #[test]
    fn dirty_is_written_or_not_registered() {
        use pagemap::{PRESENT, SWAPPED, WPALLOWED, WRITTEN};
        assert_eq!(scan(Kind::Anonymous, PRESENT | WPALLOWED), Page::Clean);
        assert_eq!(scan(Kind::Anonymous, SWAPPED | WPALLOWED), Page::Clean);
        assert_eq!(scan(Kind::Anonymous, PRESENT | WPALLOWED | WRITTEN), Page::Dirty);
        assert_eq!(scan(Kind::Anonymous, PRESENT), Page::Dirty, "moved by mremap, or newly mapped");
        assert_eq!(scan(Kind::Anonymous, WPALLOWED | WRITTEN), Page::Nothing);
    }

    #[test]
    fn pages_of_files_are_not_of_the_process() {
        use pagemap::{FILE, PRESENT, SWAPPED, WPALLOWED, WRITTEN, ZERO};
        assert_eq!(scan(Kind::PrivateFile, PRESENT | WPALLOWED | FILE), Page::Nothing);
        assert_eq!(scan(Kind::PrivateFile, PRESENT | WRITTEN | FILE), Page::Nothing);
        assert_eq!(scan(Kind::PrivateFile, PRESENT | WPALLOWED), Page::Clean);
        assert_eq!(scan(Kind::PrivateFile, SWAPPED | WPALLOWED), Page::Unsettled);
        assert_eq!(scan(Kind::PrivateFile, PRESENT | WPALLOWED | ZERO), Page::Clean);
        assert_eq!(scan(Kind::Anonymous, PRESENT | WRITTEN | ZERO), Page::Nothing);
    }

    #[test]
    fn a_guard_holds_nothing_although_it_reads_as_swapped_and_written() {
        use pagemap::{GUARD, SWAPPED, WRITTEN};
        assert_eq!(scan(Kind::Anonymous, GUARD | SWAPPED | WRITTEN), Page::Nothing);
        assert_eq!(by_entry(Kind::Anonymous, pagemap::ENTRY_GUARD | pagemap::ENTRY_SWAPPED, true), Page::Nothing);
    }

    #[test]
    fn soft_dirty_bits_miss_what_was_given_back_and_read_again() {
        use pagemap::{ENTRY_EXCLUSIVE, ENTRY_FILE, ENTRY_PRESENT, ENTRY_SOFT_DIRTY, ENTRY_SWAPPED};
        let own = ENTRY_PRESENT | ENTRY_EXCLUSIVE;
        assert_eq!(by_entry(Kind::Anonymous, own, true), Page::Clean);
        assert_eq!(by_entry(Kind::Anonymous, own | ENTRY_SOFT_DIRTY, true), Page::Dirty);
        assert_eq!(
            by_entry(Kind::Anonymous, ENTRY_PRESENT, true),
            Page::Dirty,
            "the page of zeros, or shared since a fork"
        );
        assert_eq!(by_entry(Kind::Anonymous, ENTRY_SWAPPED, true), Page::Clean);
        assert_eq!(by_entry(Kind::PrivateFile, ENTRY_PRESENT | ENTRY_FILE, true), Page::Nothing);
        assert_eq!(by_entry(Kind::PrivateFile, ENTRY_SWAPPED, true), Page::Unsettled);
        assert_eq!(by_entry(Kind::Anonymous, 0, true), Page::Nothing);
    }

    #[test]
    fn without_any_tracking_all_content_is_dirty() {
        let own = pagemap::ENTRY_PRESENT | pagemap::ENTRY_EXCLUSIVE;
        assert_eq!(by_entry(Kind::Anonymous, own, false), Page::Dirty);
    }
}
