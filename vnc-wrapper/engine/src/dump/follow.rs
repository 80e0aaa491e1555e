//! The memory of processes, copied while they run, so that little is left for the pause.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::time::Duration;

use libc::pid_t;

use super::filters::guard;
use crate::able::Able;
use crate::filters::Shared;
use crate::memory::image::Image;
use crate::memory::tracker::{Pass, Tracker, Way};
use crate::process::text;
use crate::remote::{self, Call, Stopped, Tracer, tracing};
use crate::sys::kcmp::{self, What};
use crate::sys::memory;
use crate::sys::userfaultfd::OPEN_FLAGS;

/// How often memory is passed over while it changes.
const PASSES: u32 = 2;
/// How long a process may take to give what its memory is followed by; else it is read in the pause.
const PATIENCE: Duration = Duration::from_millis(50);
/// `AT_RANDOM` (getauxval(3)): where 16 bytes are that the kernel drew at execve(2).
const RANDOM: u64 = 25;
/// The most of an auxiliary vector, in bytes.
const AUXILIARY: u64 = 1024;

/// What has been copied of a process's memory.
pub(super) struct Followed {
    pub(super) tracker: Tracker,
    pub(super) image: Image,
    /// Proof that it is still the same memory: execve(2) gives another.
    random: [u8; 16],
}

/// Processes whose memory is followed.
#[derive(Default)]
pub(super) struct Follow(BTreeMap<pid_t, Followed>);

impl Follow {
    /// Follows what can be followed of `pids`, and copies it. What cannot is read in the pause.
    pub(super) fn begin(pids: &[pid_t], filters: Option<&Shared>) -> Self {
        if Way::best(Able::here()) != Way::WriteProtect {
            return Self::default();
        }
        let opened = tracing(|tracer| {
            let mut opened = Vec::new();
            for pid in pids {
                if let Ok(Some(descriptor)) = userfaultfd(tracer, *pid, &opened, filters) {
                    opened.push((*pid, descriptor));
                }
            }
            opened
        });
        let mut all = BTreeMap::new();
        for (pid, descriptor) in opened {
            let tracker = Tracker::by_write_protection(pid.cast_unsigned(), descriptor);
            if let (Ok(tracker), Some(random)) = (tracker, random(pid)) {
                all.insert(pid, Followed { tracker, image: Image::new(), random });
            }
        }
        for _ in 0..PASSES {
            // One that fails is read in the pause.
            all.retain(|_, followed| followed.tracker.pass(Pass::Running, &mut followed.image).is_ok());
        }
        Self(all)
    }

    /// What was copied of the memory that thread `tid` of process `pid` has now.
    pub(super) fn take(&mut self, pid: pid_t, tid: pid_t) -> Option<Followed> {
        self.0.remove(&pid).filter(|followed| random(tid) == Some(followed.random))
    }
}

/// A userfaultfd that the process makes; it has no descriptor of it afterwards. None where one of `others` has the same memory:
/// what was written is protected again by each pass, so a second tracker would take from the first what it has not seen.
fn userfaultfd(
    tracer: &Tracer,
    pid: pid_t,
    others: &[(pid_t, OwnedFd)],
    filters: Option<&Shared>,
) -> Result<Option<OwnedFd>, remote::Error> {
    let mut stopped = Stopped::take(tracer, pid, pid, PATIENCE)?;
    let same = |(other, _): &(pid_t, OwnedFd)| kcmp::compare(pid, *other, What::Memory).is_ok_and(Ordering::is_eq);
    // A call that a filter denies can be its end.
    if others.iter().any(same) || !guard(filters, &mut stopped) {
        return Ok(None);
    }
    let mut thread = stopped.thread()?;
    let number = thread.open(&Call::new(libc::SYS_userfaultfd, [OPEN_FLAGS, 0, 0, 0, 0, 0]))?;
    let copy = thread.copy_descriptor(number)?;
    thread.close()?;
    Ok(Some(copy))
}

fn random(tid: pid_t) -> Option<[u8; 16]> {
    let auxiliary = text::read(&PathBuf::from(format!("/proc/{tid}")), "auxv", AUXILIARY).ok()?;
    let word = |bytes: &[u8]| u64::from_ne_bytes(bytes.try_into().unwrap_or_default());
    let mut pairs = auxiliary.chunks_exact(16).map(|pair| (word(&pair[..8]), word(&pair[8..])));
    let place = pairs.find(|(kind, _)| *kind == RANDOM)?.1;
    let mut bytes = [0; 16];
    memory::read(tid, place, &mut bytes).ok()?;
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::guests::{Guest, saved};
    use crate::testing::as_both_users;

    #[test]
    fn issue_10_memory_that_two_processes_share_is_followed_once() {
        as_both_users("dump::follow::tests::issue_10_memory_that_two_processes_share_is_followed_once", || {
            let guest = Guest::start(saved::with_a_child_in_its_memory);
            let pids = crate::freeze::descendants(guest.pid).unwrap();
            assert_eq!(pids.len(), 2);
            let followed = Follow::begin(&pids, None).0;
            assert!(followed.len() < 2, "two trackers take from each other what was written");
            guest.shared.word(1).store(1, std::sync::atomic::Ordering::SeqCst);
            assert_eq!(guest.end(), 0);
        });
    }
}
