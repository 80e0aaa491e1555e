//! The store killed at every single write, and every single write refused.

use std::collections::BTreeSet;
use std::io;
use std::sync::{Arc, Mutex};

use freezeframe_store::io::{Disk, FaultPoint, Op, Watcher};
use freezeframe_store::{Error, Store};

use super::scenario::{self, Fact};
use super::support::scratch;

/// Every kind of write that there is. One that is new has to be written down here, and so is met by the tests below.
const POINTS: [&str; 34] = [
    "create content",
    "create directory raw snapshot",
    "create directory snapshot",
    "create index",
    "create manifest",
    "create marks",
    "create pack",
    "create thumbnail",
    "remove index",
    "remove pack",
    "remove tree raw snapshot",
    "remove tree snapshot",
    "rename content",
    "rename index",
    "rename manifest",
    "rename marks",
    "rename pack",
    "rename raw snapshot",
    "rename snapshot",
    "rename thumbnail",
    "sync content",
    "sync directory indexes",
    "sync directory packs",
    "sync directory raw",
    "sync directory snapshot",
    "sync directory snapshots",
    "sync file system raw",
    "sync index",
    "sync manifest",
    "sync marks",
    "sync pack",
    "sync thumbnail",
    "write content",
    "write pack",
];

/// Error numbers of a full disk and of a quota that is used up.
const FULL: [i32; 2] = [28, 122];

/// What a watcher does at the write with a given number.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Plan {
    Count,
    /// That write and all after it fail: nothing is done any more, as when the process is dead.
    Kill(usize),
    /// That write fails, with that error number.
    Refuse(usize, i32),
}

#[derive(Debug)]
struct Faults {
    plan: Plan,
    seen: Mutex<Vec<FaultPoint>>,
}

impl Watcher for Faults {
    fn before(&self, op: Op<'_>) -> io::Result<()> {
        let mut seen = self.seen.lock().unwrap();
        let number = seen.len();
        seen.push(op.point());
        match self.plan {
            Plan::Kill(at) if number >= at => Err(io::Error::other("killed")),
            Plan::Refuse(at, errno) if number == at => Err(io::Error::from_raw_os_error(errno)),
            _ => Ok(()),
        }
    }
}

/// Goes through the scenario. Returns what was done, how it ended, and all writes.
fn go(root: &std::path::Path, plan: Plan) -> (Vec<Fact>, Result<(), Error>, Vec<FaultPoint>) {
    let faults = Arc::new(Faults { plan, seen: Mutex::default() });
    let store = Store::open_on(root, Disk::watched(Arc::<Faults>::clone(&faults))).unwrap();
    let mut facts = Vec::new();
    let result = scenario::run(&store, |fact| facts.push(fact));
    drop(store);
    let seen = std::mem::take(&mut *faults.seen.lock().unwrap());
    (facts, result, seen)
}

fn count() -> usize {
    let scratch = scratch();
    let (facts, result, seen) = go(scratch.path(), Plan::Count);
    result.unwrap();
    scenario::check_and_mend(&Store::open(scratch.path()).unwrap(), &facts);
    let met: BTreeSet<String> = seen.iter().map(ToString::to_string).collect();
    let mut known: BTreeSet<String> = POINTS.iter().map(ToString::to_string).collect();
    known.extend(["write index", "write manifest", "write marks", "write thumbnail"].map(String::from));
    assert_eq!(met, known, "the scenario has to meet every kind of write");
    seen.len()
}

/// Runs `check` for every number below `count`, on all processors.
fn for_each(count: usize, check: impl Fn(usize) + Sync) {
    let next = std::sync::atomic::AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(2, usize::from) {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                    if number >= count {
                        return;
                    }
                    check(number);
                }
            });
        }
    });
}

#[test]
fn killed_at_every_write_no_snapshot_is_lost_and_none_is_half_there() {
    for_each(count(), |at| {
        let scratch = scratch();
        let (facts, result, seen) = go(scratch.path(), Plan::Kill(at));
        let point = seen.get(at).map(ToString::to_string);
        // Whatever is left to do behind the commit of a content is nobody's failure.
        let point = point.unwrap_or_default();
        assert!(result.is_err() || point.contains("raw snapshot"), "killed at {at} ({point}) and nobody noticed");
        check(scratch.path(), &facts, &format!("killed at {at} ({point})"));
    });
}

fn check(root: &std::path::Path, facts: &[Fact], context: &str) {
    let result = std::panic::catch_unwind(|| scenario::check_and_mend(&Store::open(root).unwrap(), facts));
    assert!(result.is_ok(), "{context}");
}

/// Whether the last of these writes is one of those that marks take.
fn of_marks(seen: &[FaultPoint]) -> bool {
    let mut last = seen.iter().rev().map(ToString::to_string);
    let point = last.next().unwrap_or_default();
    point.contains("marks") || (point == "sync directory snapshot" && last.next().as_deref() == Some("rename marks"))
}

#[test]
fn a_write_that_is_refused_ends_in_a_clear_error_and_an_unharmed_store() {
    const ERRORS: [(i32, io::ErrorKind); 4] = [
        (28, io::ErrorKind::StorageFull),
        (122, io::ErrorKind::QuotaExceeded),
        (30, io::ErrorKind::ReadOnlyFilesystem),
        (5, io::ErrorKind::Other),
    ];
    for_each(count(), |at| {
        let (errno, kind) = ERRORS[at % ERRORS.len()];
        let scratch = scratch();
        let (facts, result, seen) = go(scratch.path(), Plan::Refuse(at, errno));
        let point = seen[at].to_string();
        match result {
            Err(Error::Io { source, .. }) => {
                assert!(source.kind() == kind || source.raw_os_error() == Some(errno), "{point}: {source}");
            }
            // A collection frees what it can without room, and does the rest another day.
            Err(Error::Unsupported { reason: scenario::POSTPONED, .. }) => {
                assert!(FULL.contains(&errno) && (point.contains("pack") || point.contains("index")), "{point}");
            }
            Err(other) => panic!("{point}: {other}"),
            // Small records are written with the room of the reserve.
            Ok(()) if FULL.contains(&errno) && of_marks(&seen[..=at]) => {}
            Ok(()) => assert!(point.contains("raw snapshot"), "{point} was refused and nobody noticed"),
        }
        check(scratch.path(), &facts, &format!("{point} ({at}) was refused"));
    });
}
