//! What CRIU leaves out of its images: kept in a file beside them, and given back before the processes run again.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::path::Path;

use freezeframe_store::bounded;
use serde::{Deserialize, Serialize};

use super::domains::{self, Domain};
use super::peers::{self, Person};
use super::sockets::{self, Socket};
use super::speculation::{self, Speculation};
use super::stops::{self, Stopped};
use super::terminals::{self, Typed};
use super::traced::Traced;
use super::waits::{self, Wait};
use crate::container::processes::{self, Process, has_ended};
use crate::kernel::objects::Kernel;
use crate::kernel::scheduling::Scheduling;
use crate::objects::inotify::silence::Silence;
use crate::objects::inotify::{Mask, Queue, queue, replay};
use crate::objects::{self, Found, Session};

/// The file, in the directory of the images.
const FILE: &str = "kept.json";
/// Version of its format.
const FORMAT: u32 = 1;

/// What is in the file.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Kept {
    format: u32,
    /// Threads that are scheduled in another way than the session's init.
    threads: Vec<Thread>,
    /// File events that programs have not read yet.
    #[serde(default)]
    queues: Vec<Queue>,
    /// What watches listen for, which were silent while CRIU looked.
    #[serde(default)]
    masks: Vec<Mask>,
    /// What was typed into terminals.
    #[serde(default)]
    typed: Vec<Typed>,
    /// What sockets have.
    #[serde(default)]
    sockets: Vec<Socket>,
    /// Execution domains of threads; releases that did not keep them gave none back.
    #[serde(default)]
    domains: Option<Vec<Domain>>,
    /// Threads that have switched speculation off.
    #[serde(default)]
    speculation: Vec<Speculation>,
    /// Processes that are stopped.
    #[serde(default)]
    stopped: Vec<Stopped>,
    /// Who they are.
    #[serde(default)]
    people: Vec<Person>,
    /// Threads that wait for a time.
    #[serde(default)]
    waits: Vec<Wait>,
}

/// Most bytes of the file: it may have come with an import.
const MOST: u64 = 64 << 20;

impl Kept {
    /// Reads the file; there is none of releases that kept nothing.
    fn read(images: &Path) -> io::Result<Option<Self>> {
        let text = match bounded::read(&images.join(FILE), MOST) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            other => other?,
        };
        let kept: Self = serde_json::from_slice(&text)?;
        if kept.format == FORMAT {
            return Ok(Some(kept));
        }
        let text = format!("{FILE} of the snapshot has the format {}: use the release that wrote it", kept.format);
        Err(io::Error::new(io::ErrorKind::InvalidData, text))
    }
}

/// Who the processes of a snapshot are.
///
/// # Errors
/// When the file cannot be read.
pub(super) fn people(images: &Path) -> io::Result<Vec<Person>> {
    Ok(Kept::read(images)?.map(|kept| kept.people).unwrap_or_default())
}

#[derive(Debug, Serialize, Deserialize)]
struct Thread {
    /// Its id as the session sees it.
    id: u32,
    scheduling: Scheduling,
}

/// What was taken from a frozen session before CRIU looks at it; dropping it gives everything back.
#[derive(Debug)]
pub(super) struct Taken {
    processes: Vec<Process>,
    queues: Vec<Queue>,
    sockets: Vec<Socket>,
    stopped: Vec<Stopped>,
    waits: Vec<Wait>,
    // Before the silence, in the order of fields: what is typed makes events.
    typed: terminals::Taken,
    silence: Silence,
}

impl Taken {
    /// Takes what CRIU would lose of these processes, all of which have stopped, the first of which is the session's init; or
    /// tells all that cannot be kept. `traces` tells whether the threads of a resumed session can be had to make
    /// system calls, `waiting` which threads wait for a time that only the kernel knows.
    ///
    /// # Errors
    /// When something cannot be read, or cannot be taken; it is as before then.
    pub(super) fn from(processes: Vec<Process>, traces: bool, waiting: &[u32]) -> io::Result<Result<Self, Vec<Found>>> {
        let kernel = Kernel::open();
        if let Err(error) = &kernel {
            tracing::debug!("the kernel's memory cannot be read: {error}");
        }
        let can_call = || traces;
        let session = Session::frozen(&processes, &kernel, &can_call);
        let found = objects::look(&session)?;
        if !found.is_empty() {
            return Ok(Err(found));
        }
        let queues = match queue::all(&session)? {
            Ok(queues) => queues,
            Err(found) => return Ok(Err(vec![found])),
        };
        drop(session);
        let sockets = sockets::all(&processes, kernel.as_ref().ok())?;
        let stopped = kernel.as_ref().map_or_else(
            |_| Vec::new(),
            |kernel| {
                stops::all(&processes, kernel).unwrap_or_else(|error| {
                    tracing::warn!("which processes are stopped cannot be seen: {error}");
                    Vec::new()
                })
            },
        );
        let waits = match &kernel {
            Ok(kernel) if !waiting.is_empty() => waits::all(kernel, &threads_of(&processes)?, waiting),
            _ => Vec::new(),
        };
        let silence = Silence::begin(&processes)?;
        let typed = terminals::Taken::all(&processes)?;
        Ok(Ok(Self { processes, queues, sockets, stopped, waits, typed, silence }))
    }

    /// Writes it down beside the images, for [`give_back`].
    ///
    /// # Errors
    /// When something cannot be read, or the file cannot be written.
    pub(super) fn write(&mut self, images: &Path) -> io::Result<()> {
        let threads = threads_of(&self.processes)?;
        let init = self.processes.first().map(|init| init.outside);
        let kept = Kept {
            format: FORMAT,
            threads: scheduling(&threads, init)?,
            queues: std::mem::take(&mut self.queues),
            masks: self.silence.masks(),
            typed: self.typed.typed(),
            sockets: std::mem::take(&mut self.sockets),
            domains: Some(domains::all(&threads)?),
            speculation: speculation::all(&threads)?,
            stopped: std::mem::take(&mut self.stopped),
            people: peers::all(&self.processes)?,
            waits: self.waits.clone(),
        };
        fs::write(images.join(FILE), serde_json::to_vec(&kept)?)
    }

    /// Has threads go on waiting, when CRIU has done everything.
    pub(super) fn go_on(&self, traced: &mut Traced<'_>) {
        waits::go_on(traced, &self.waits);
    }

    /// Gives terminals back what was typed into them.
    pub(super) fn type_again(&mut self) {
        self.typed = terminals::Taken::default();
    }

    /// Gives nothing back to terminals: nobody reads them any more.
    pub(super) fn forget(self) {
        self.typed.forget();
    }
}

/// Those of these threads that are scheduled in another way than the session's init.
fn scheduling(all: &[(u32, u32)], init: Option<u32>) -> io::Result<Vec<Thread>> {
    let usual = init.map(Scheduling::of).transpose()?;
    let mut threads = Vec::new();
    for (id, outside) in all {
        let scheduling = match Scheduling::of(*outside) {
            // The dead have none any more.
            Err(error) if has_ended(&error) => continue,
            other => other?,
        };
        if Some(&scheduling) != usual.as_ref() {
            threads.push(Thread { id: *id, scheduling });
        }
    }
    Ok(threads)
}

/// Gives the processes of the session of `init`, which do not run yet, what was kept of them. Snapshots of releases that
/// kept nothing have no file. What is returned is given back later.
///
/// # Errors
/// When the file cannot be read, or a thread that it tells of is not there.
pub(super) fn give_back(init: u32, images: &Path) -> io::Result<Rest> {
    let processes = processes::list(init)?;
    let silence = Silence::begin(&processes)?;
    let Some(kept) = Kept::read(images)? else {
        return Ok(Rest {
            init,
            silence,
            domains: None,
            speculation: Vec::new(),
            stopped: Vec::new(),
            waits: Vec::new(),
        });
    };
    terminals::put_back(&processes, &kept.typed)?;
    sockets::put_back(&processes, &kept.sockets)?;
    replay::put_back(&processes, kept.queues)?;
    schedule(&processes, &kept.threads)?;
    Ok(Rest {
        init,
        silence: silence.then(&kept.masks),
        domains: kept.domains,
        speculation: kept.speculation,
        stopped: kept.stopped,
        waits: kept.waits,
    })
}

/// What is given back when CRIU has done everything.
#[derive(Debug)]
pub(super) struct Rest {
    init: u32,
    silence: Silence,
    domains: Option<Vec<Domain>>,
    speculation: Vec<Speculation>,
    stopped: Vec<Stopped>,
    waits: Vec<Wait>,
}

impl Rest {
    /// Gives back what the threads themselves have to do, which CRIU has stopped.
    ///
    /// # Errors
    /// When one cannot.
    pub(super) fn trace(&mut self, traced: &mut Traced<'_>) -> io::Result<()> {
        let processes = processes::list(self.init)?;
        let threads = threads_of(&processes)?;
        if let Some(domains) = &self.domains {
            domains::put_back(traced, &threads, domains)?;
        }
        speculation::put_back(traced, &threads, &self.speculation);
        stops::put_back(traced, &processes, &self.stopped);
        waits::put_back(traced, &threads, &self.waits);
        Ok(())
    }

    /// Gives back what is left; file events are heard from then on. `runs` tells whether the session is going to run.
    ///
    /// # Errors
    /// When something was not given back.
    pub(super) fn end(self, runs: bool) -> io::Result<()> {
        if let Some(domains) = self.domains.filter(|_| runs) {
            domains::check(&threads_of(&processes::list(self.init)?)?, &domains)?;
        }
        self.silence.end()
    }
}

/// Has threads scheduled as they were.
fn schedule(processes: &[Process], threads: &[Thread]) -> io::Result<()> {
    if threads.is_empty() {
        return Ok(());
    }
    let found: HashMap<u32, u32> = threads_of(processes)?.into_iter().collect();
    for thread in threads {
        let outside = found.get(&thread.id).copied();
        let given = outside.map_or_else(|| Err(io::ErrorKind::NotFound.into()), |id| thread.scheduling.give(id));
        // Of no importance for what it computes; a machine with other processors is no reason not to resume.
        if let Err(error) = given {
            tracing::warn!("thread {} is not scheduled as before: {error}", thread.id);
        }
    }
    Ok(())
}

/// All threads of these processes, but for the dead: their ids inside and outside.
fn threads_of(processes: &[Process]) -> io::Result<Vec<(u32, u32)>> {
    let mut all = Vec::new();
    for process in processes.iter().filter(|p| p.state != 'Z') {
        for entry in fs::read_dir(process.proc("task"))? {
            let Some(outside) = entry?.file_name().to_str().and_then(|n| n.parse().ok()) else { continue };
            let status = fs::read_to_string(format!("/proc/{outside}/status"))?;
            let numbers = status.lines().find_map(|line| line.strip_prefix("NSpid:"));
            let inside = numbers.and_then(|n| n.split_whitespace().last()?.parse().ok());
            all.extend(inside.map(|inside| (inside, outside)));
        }
    }
    Ok(all)
}
