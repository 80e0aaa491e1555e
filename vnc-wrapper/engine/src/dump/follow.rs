//! The memory of processes, copied while they run, so that little is left for the pause.

use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::time::Duration;

use libc::pid_t;

use crate::able::Able;
use crate::memory::image::Image;
use crate::memory::tracker::{Pass, Tracker, Way};
use crate::process::text;
use crate::remote::{self, Call, Stopped, Tracer, tracing};
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
    pub(super) fn begin(pids: &[pid_t]) -> Self {
        if Way::best(Able::here()) != Way::WriteProtect {
            return Self::default();
        }
        let opened: Vec<_> =
            tracing(|tracer| pids.iter().filter_map(|pid| Some((*pid, userfaultfd(tracer, *pid).ok()?))).collect());
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

/// A userfaultfd that the process makes; it has no descriptor of it afterwards.
fn userfaultfd(tracer: &Tracer, pid: pid_t) -> Result<OwnedFd, remote::Error> {
    let mut stopped = Stopped::take(tracer, pid, pid, PATIENCE)?;
    let mut thread = stopped.thread()?;
    let number = thread.open(&Call::new(libc::SYS_userfaultfd, [OPEN_FLAGS, 0, 0, 0, 0, 0]))?;
    let copy = thread.copy_descriptor(number)?;
    thread.close()?;
    Ok(copy)
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
