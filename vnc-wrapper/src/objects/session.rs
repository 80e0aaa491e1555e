//! A session as the rules see it, and what is known of it: each thing is read once for a look, and only when a rule asks.

use std::cell::{OnceCell, RefCell};
use std::collections::{HashMap, HashSet};
use std::fs;
use std::io;
use std::path::PathBuf;
use std::rc::Rc;

use super::descriptor::Descriptor;
use super::inotify::Watches;
use super::mount::MountPoint;
use super::network::Network;
use super::{Tree, mount};
use crate::container::processes::Process;
use crate::kernel::objects::Kernel;
use crate::kernel::{semaphores, terminal};

/// Mounts by their numbers.
pub(super) type Mounts = HashMap<u32, MountPoint>;

/// A session that is looked at.
pub struct Session<'a> {
    /// All processes; the first is the session's init.
    pub processes: &'a [Process],
    /// The kernel's memory, or why it cannot be read.
    pub kernel: &'a io::Result<Kernel>,
    /// Whether the engine has stopped everything, and traces it. Else it runs, and may change while it is looked at.
    pub frozen: bool,
    /// Device and inode of descriptors that belong to somebody outside, who waits: they are told of apart.
    pub outside: &'a [(u64, u64)],
    /// Whether threads of a resumed session can be had to make system calls; asked only when one would have to.
    pub can_call: &'a dyn Fn() -> bool,
    /// Where files are that the kernel has forgotten the names of; none when there is no time to look for them.
    pub tree: Option<&'a Tree>,
    mounts: RefCell<HashMap<PathBuf, Rc<Mounts>>>,
    networks: RefCell<HashMap<PathBuf, Rc<Network>>>,
    seen: RefCell<HashSet<(u64, u64)>>,
    sets: OnceCell<semaphores::Sets>,
    watches: OnceCell<Watches>,
    can_type: OnceCell<bool>,
}

impl<'a> Session<'a> {
    /// One that runs.
    pub fn running(
        processes: &'a [Process],
        kernel: &'a io::Result<Kernel>,
        outside: &'a [(u64, u64)],
        can_call: &'a dyn Fn() -> bool,
        tree: Option<&'a Tree>,
    ) -> Self {
        Self {
            processes,
            kernel,
            frozen: false,
            outside,
            can_call,
            tree,
            mounts: RefCell::default(),
            networks: RefCell::default(),
            seen: RefCell::default(),
            sets: OnceCell::new(),
            watches: OnceCell::new(),
            can_type: OnceCell::new(),
        }
    }

    /// One that the engine has frozen.
    pub fn frozen(processes: &'a [Process], kernel: &'a io::Result<Kernel>, can_call: &'a dyn Fn() -> bool) -> Self {
        Self { frozen: true, ..Self::running(processes, kernel, &[], can_call, None) }
    }

    /// The kernel's memory, where it can be read.
    pub(super) fn kernel(&self) -> Option<&'a Kernel> {
        self.kernel.as_ref().ok()
    }

    /// Its first process.
    pub(super) fn init(&self) -> Option<&'a Process> {
        self.processes.first()
    }

    /// Whether `process` is the first one, which stands for the session as a whole.
    pub(super) fn is_init(&self, process: &Process) -> bool {
        self.init().is_some_and(|init| init.outside == process.outside)
    }

    /// Whether a descriptor belongs to somebody outside.
    pub(super) fn is_outside(&self, descriptor: &Descriptor<'_>) -> bool {
        !self.outside.is_empty() && descriptor.identity().is_some_and(|identity| self.outside.contains(&identity))
    }

    /// Whether the object behind a descriptor is met for the first time; several processes may have it.
    pub(super) fn is_new(&self, descriptor: &Descriptor<'_>) -> bool {
        descriptor.identity().is_some_and(|identity| self.seen.borrow_mut().insert(identity))
    }

    /// The mounts that `process` sees.
    pub(super) fn mounts(&self, process: &Process) -> Rc<Mounts> {
        let read = || Rc::new(mount::of(process).into_iter().map(|m| (m.id, m)).collect());
        Rc::clone(self.mounts.borrow_mut().entry(namespace(process, "mnt")).or_insert_with(read))
    }

    /// The sockets of the network namespace of `process`.
    ///
    /// # Errors
    /// When /proc cannot be read, or the kernel does not answer.
    pub(super) fn network(&self, process: &Process) -> io::Result<Rc<Network>> {
        let namespace = namespace(process, "net");
        if let Some(known) = self.networks.borrow().get(&namespace) {
            return Ok(Rc::clone(known));
        }
        let network = Rc::new(Network::of(process)?);
        self.networks.borrow_mut().insert(namespace, Rc::clone(&network));
        Ok(network)
    }

    /// Its System V semaphores.
    ///
    /// # Errors
    /// When its init has ended.
    pub(super) fn semaphores(&self) -> io::Result<&semaphores::Sets> {
        if let Some(known) = self.sets.get() {
            return Ok(known);
        }
        let sets = self.init().map_or_else(|| Ok(semaphores::Sets::new()), |init| semaphores::sets(init.outside))?;
        Ok(self.sets.get_or_init(|| sets))
    }

    /// What is known of what it watches.
    pub(super) fn watches(&self) -> &Watches {
        self.watches.get_or_init(|| Watches::of(self))
    }

    /// Whether the kernel lets us type into terminals (TIOCSTI).
    pub(super) fn can_type(&self) -> bool {
        let try_it = || terminal::new().and_then(|(_master, slave)| slave.type_byte(b'x')).is_ok();
        *self.can_type.get_or_init(try_it)
    }
}

impl std::fmt::Debug for Session<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let processes = self.processes.len();
        f.debug_struct("Session").field("processes", &processes).field("frozen", &self.frozen).finish_non_exhaustive()
    }
}

/// Names a namespace of `process`; one that has ended has none that anybody else is in.
fn namespace(process: &Process, name: &str) -> PathBuf {
    fs::read_link(process.proc("ns").join(name)).unwrap_or_default()
}
