//! What this kernel and this machine let the engine do: probed once, each feature by its name and by trying it, never by the
//! kernel's version.
//!
//! A lack either forbids sessions, or makes the engine take a slower way, or makes it refuse what only a newer kernel could
//! hold. [`Lack`] has the words for people.

mod reason;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::io;
use std::sync::OnceLock;

use crate::sys::{pagemap, procmap, trial, userfaultfd};

/// A feature that the engine asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Feature {
    /// User namespaces in which other namespaces can be made, by this user.
    UserNamespaces,
    /// Looking into processes that this one has started (ptrace(2), Yama).
    Tracing,
    /// Time namespaces.
    TimeNamespaces,
    /// Processes made with their former pids (clone3(2), `set_tid`).
    SetTid,
    /// Seccomp filters that ask (seccomp(2), `SECCOMP_RET_USER_NOTIF`).
    SeccompNotification,
    /// userfaultfd(2) for faults of user mode.
    Userfaultfd,
    /// Write protection that the kernel lifts and remembers (`UFFD_FEATURE_WP_ASYNC`).
    AsynchronousProtection,
    /// The same for pages that are not there (`UFFD_FEATURE_WP_UNPOPULATED`).
    UnpopulatedProtection,
    /// Scanning a process's pages by category (`PAGEMAP_SCAN`).
    PagemapScan,
    /// Soft-dirty bits (`CONFIG_MEM_SOFT_DIRTY`).
    SoftDirty,
    /// Mappings without text (`PROCMAP_QUERY`).
    ProcmapQuery,
    /// A slice of its own length for SCHED_BATCH.
    BatchSlice,
    /// Timers made with their former ids (`PR_TIMER_CREATE_RESTORE_IDS`).
    TimerIds,
    /// Times of files that move with every change that was looked at.
    MultigrainTimes,
    /// Guard regions (`MADV_GUARD_INSTALL`).
    GuardRegions,
    /// Memory that the kernel may drop (`MAP_DROPPABLE`).
    Droppable,
}

/// What the lack of a feature means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// No session can be saved and resumed.
    Forbids,
    /// A slower way is taken.
    Slower,
    /// Nothing here: a snapshot of another kernel that holds it is refused by its name.
    RefusesForeign,
}

/// A feature that is lacking, with the words for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lack {
    /// Which.
    pub feature: Feature,
    /// What follows.
    pub effect: Effect,
    /// What is lacking and why, as one sentence without its full stop.
    pub found: String,
    /// What follows from it, as one sentence without its full stop.
    pub consequence: &'static str,
    /// A command that mends it, or what to ask the machine's administrator for; empty: nothing but another kernel does.
    pub remedy: &'static str,
}

impl Feature {
    /// All, in the order in which lacks are shown.
    pub const ALL: [Self; 16] = [
        Self::UserNamespaces,
        Self::Tracing,
        Self::TimeNamespaces,
        Self::SetTid,
        Self::SeccompNotification,
        Self::Userfaultfd,
        Self::AsynchronousProtection,
        Self::UnpopulatedProtection,
        Self::PagemapScan,
        Self::SoftDirty,
        Self::ProcmapQuery,
        Self::BatchSlice,
        Self::TimerIds,
        Self::MultigrainTimes,
        Self::GuardRegions,
        Self::Droppable,
    ];

    /// Its name, as messages have it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::UserNamespaces => "user namespaces",
            Self::Tracing => "tracing",
            Self::TimeNamespaces => "time namespaces",
            Self::SetTid => "chosen process ids (clone3 set_tid)",
            Self::SeccompNotification => "seccomp notification",
            Self::Userfaultfd => "userfaultfd for user mode",
            Self::AsynchronousProtection => "asynchronous write protection (WP_ASYNC)",
            Self::UnpopulatedProtection => "write protection of missing pages (WP_UNPOPULATED)",
            Self::PagemapScan => "PAGEMAP_SCAN",
            Self::SoftDirty => "soft-dirty bits",
            Self::ProcmapQuery => "PROCMAP_QUERY",
            Self::BatchSlice => "SCHED_BATCH slices",
            Self::TimerIds => "chosen timer ids (PR_TIMER_CREATE_RESTORE_IDS)",
            Self::MultigrainTimes => "multigrain file times",
            Self::GuardRegions => "guard regions",
            Self::Droppable => "droppable memory (MAP_DROPPABLE)",
        }
    }

    fn effect(self) -> (Effect, &'static str) {
        match self {
            Self::UserNamespaces | Self::Tracing | Self::TimeNamespaces | Self::SetTid | Self::SeccompNotification => {
                (Effect::Forbids, "sessions cannot be saved and resumed by this user")
            }
            Self::Userfaultfd => (Effect::Forbids, "the memory of a session cannot be put back"),
            Self::AsynchronousProtection | Self::UnpopulatedProtection | Self::PagemapScan => {
                (Effect::Slower, "changed memory is found in a slower way, and a save stops the desktop for longer")
            }
            // Nothing follows where the better way is there; `Able::lacks` leaves it out then.
            Self::SoftDirty => (Effect::Slower, "all memory is read while the desktop stands still"),
            Self::ProcmapQuery => (Effect::Slower, "the mappings of processes are read as text"),
            Self::BatchSlice => (Effect::Slower, "other programs can interrupt a save while the desktop stands still"),
            Self::TimerIds => (Effect::Slower, "timers are made again and again until their ids fit"),
            Self::MultigrainTimes => {
                (Effect::Slower, "files that changed shortly before a save are compared by their content")
            }
            Self::GuardRegions => (Effect::RefusesForeign, "snapshots with guard regions cannot be resumed here"),
            Self::Droppable => (Effect::RefusesForeign, "snapshots with droppable memory cannot be resumed here"),
        }
    }

    /// Tries it. Err has the error number, 0 for "accepted without effect".
    fn probe(self) -> trial::Outcome {
        let of_userfaultfd = |wanted: u64| {
            trial::userfaultfd_features().and_then(|has| if has & wanted == wanted { Ok(()) } else { Err(0) })
        };
        match self {
            Self::UserNamespaces => trial::user_namespace(),
            Self::Tracing => reason::tracing(),
            Self::TimeNamespaces => trial::time_namespace(),
            Self::SetTid => trial::set_tid(),
            Self::SeccompNotification => trial::seccomp_notification(),
            Self::Userfaultfd => of_userfaultfd(0),
            Self::AsynchronousProtection => of_userfaultfd(userfaultfd::WP_ASYNC),
            Self::UnpopulatedProtection => of_userfaultfd(userfaultfd::WP_UNPOPULATED),
            Self::PagemapScan => number(scan_own()),
            Self::SoftDirty => trial::soft_dirty(),
            Self::ProcmapQuery => number(query_own()),
            Self::BatchSlice => trial::batch_slice(),
            Self::TimerIds => trial::timer_ids(),
            Self::MultigrainTimes => trial::multigrain_times(),
            Self::GuardRegions => trial::guard_regions(),
            Self::Droppable => trial::droppable(),
        }
    }
}

fn number(result: io::Result<()>) -> trial::Outcome {
    result.map_err(|error| error.raw_os_error().unwrap_or(libc::EIO))
}

fn scan_own() -> io::Result<()> {
    let here = (&raw const SOMEWHERE) as u64 / crate::memory::PAGE * crate::memory::PAGE;
    let query = pagemap::Query { report: pagemap::PRESENT, ..pagemap::Query::default() };
    let mut runs = [pagemap::Run::default()];
    pagemap::Pagemap::open(std::process::id())?.scan(here..here + crate::memory::PAGE, query, &mut runs).map(|_| ())
}

fn query_own() -> io::Result<()> {
    procmap::query(&std::fs::File::open("/proc/self/maps")?, (&raw const SOMEWHERE) as u64).map(|_| ())
}

/// An address of this process.
static SOMEWHERE: u8 = 0;

/// What was found, feature by feature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Able(BTreeMap<Feature, trial::Outcome>);

impl Able {
    /// What this machine lets this process do; probed at the first call.
    pub fn here() -> &'static Self {
        static HERE: OnceLock<Able> = OnceLock::new();
        HERE.get_or_init(|| Self(Feature::ALL.into_iter().map(|feature| (feature, feature.probe())).collect()))
    }

    /// Whether `feature` is there.
    pub fn has(&self, feature: Feature) -> bool {
        self.0.get(&feature).is_some_and(Result::is_ok)
    }

    /// Everything that is lacking and has a consequence, in the order of [`Feature::ALL`].
    pub fn lacks(&self) -> Vec<Lack> {
        let tracked = [Feature::AsynchronousProtection, Feature::UnpopulatedProtection, Feature::PagemapScan];
        let tracked = tracked.into_iter().all(|feature| self.has(feature));
        let mut lacks = Vec::new();
        for feature in Feature::ALL {
            let Some(Err(error)) = self.0.get(&feature) else { continue };
            // Soft-dirty bits are the second choice. Without user namespaces, what is tried in one says nothing more.
            let inside = matches!(feature, Feature::TimeNamespaces | Feature::SetTid);
            if (feature == Feature::SoftDirty && tracked) || (inside && !self.has(Feature::UserNamespaces)) {
                continue;
            }
            let (effect, consequence) = feature.effect();
            let (found, remedy) = reason::of(feature, *error);
            lacks.push(Lack { feature, effect, found, consequence, remedy });
        }
        lacks
    }

    /// Whether nothing that is lacking forbids the engine.
    pub fn can_run(&self) -> bool {
        self.lacks().iter().all(|lack| lack.effect != Effect::Forbids)
    }
}
