//! Writes a tree of processes, which runs on as if nothing had happened.
//!
//! The order is in the types: each step takes the one before it, and whichever is dropped, everything runs on.
//!
//! ```text
//! prepare(session, sink) -> Prepared          the session runs
//! Prepared::freeze(tracer, limits) -> Frozen  all of it stands still
//! Frozen::collect() -> Collected              everything that must be of one instant has been read
//! Collected::release(Run | End) -> Draining   it runs on, or has ended
//! Draining::finish() -> Saved                 records and pages are in the sink
//!
//! Collected::write() -> Still                 as well, before anything runs or ends
//! Still::release(Run | End) -> Saved
//! ```
//!
//! What no record can hold is [`Refused`] by the names of process and thing before anything is written. What is written passes
//! [`crate::record::check::check`].
//!
//! | module | what it holds |
//! | --- | --- |
//! | `subject` | what was frozen, process by process |
//! | `view`, `namespaces` | ids as the session sees them; credentials; the session's namespaces |
//! | `before`, `facts`, `follow`, `watches` | what is looked at, found and copied while the session runs |
//! | `collect` | the order in which everything is read |
//! | `look` | what a save would refuse, while the session runs |
//! | `inside` | lists of calls that ask a thread what only it knows |
//! | `filters`, `outside` | seccomp filters; what they deny a thread to be asked |
//! | `thread`, `restart`, `process` | threads, the sleeps in them, processes |
//! | `space`, `pages` | mappings, and the pages that hold content |
//! | `table` | descriptors, and what `objects` takes of what they refer to |
//! | `terminals` | pseudo-terminals, and whose controlling terminals they are |
//! | `sockets` | Unix sockets, and what is in flight between them |
//! | `inet` | internet sockets |
//! | `ipc` | what the session's ipc namespace holds |
//! | `share` | what several processes share, each once |
//! | `paths` | links as paths in the session |

mod before;
mod collect;
mod error;
mod facts;
mod filters;
mod follow;
mod inet;
mod inside;
mod ipc;
mod look;
mod namespaces;
mod outside;
mod pages;
mod paths;
mod process;
mod restart;
mod share;
mod sockets;
mod space;
mod subject;
mod table;
mod terminals;
#[cfg(test)]
mod tests;
mod thread;
mod view;
mod watches;

use std::io::Write;
use std::time::{Duration, Instant};

use libc::pid_t;

use crate::fault::{self, Step};
use crate::filters::Shared;
use crate::freeze::{self, Limits, Source};
use crate::objects::Finding;
use crate::record::check::check;
use crate::record::{Writer, features};
use crate::remote::Tracer;
use before::Before;
use collect::Content;

pub use error::{Error, Refused};
pub use look::look;

/// What is saved: a process and all below it.
pub struct Session<'s> {
    root: pid_t,
    source: Box<dyn Source + Send + 's>,
    filters: Option<Shared>,
}

impl<'s> Session<'s> {
    /// The process `root` and what `source` lists, which are below it.
    pub fn new(root: pid_t, source: impl Source + Send + 's) -> Self {
        Self { root, source: Box::new(source), filters: None }
    }

    /// What was seen of its seccomp filters ([`crate::filters::watch::Watch::log`]). The kernel shows them to nobody but root, so
    /// without it, and where the log does not say what a thread has, threads with filters are refused. Those that every thread
    /// begins with are not recorded: a restore gives its own ([`crate::restore::Plan::filter`]).
    #[must_use]
    pub fn with_filters(self, log: Shared) -> Self {
        Self { filters: Some(log), ..self }
    }

    /// The process `root` and all that descend from it.
    #[must_use]
    pub fn descendants(root: pid_t) -> Self {
        Self::new(root, move || freeze::descendants(root))
    }
}

/// Begins a save; the session runs.
///
/// # Errors
/// [`Error::Format`] when the sink takes nothing.
pub fn prepare<W: Write>(mut session: Session<'_>, sink: W) -> Result<Prepared<'_, W>, Error> {
    let pids = session.source.list().map_err(freeze::Error::Source)?;
    let before = Before::look(session.root, &pids, session.filters.as_ref());
    Ok(Prepared { session, before, writer: Writer::begin(sink, features::X86_64)? })
}

/// A session that runs and is about to be frozen.
pub struct Prepared<'s, W> {
    session: Session<'s>,
    before: Before,
    writer: Writer<W>,
}

impl<'s, W: Write> Prepared<'s, W> {
    /// Stops all of it.
    ///
    /// # Errors
    /// [`Error::Freeze`]; it runs on.
    pub fn freeze<'t>(mut self, tracer: &'t Tracer, limits: Limits) -> Result<Frozen<'s, 't, W>, Error> {
        let frozen = freeze::freeze(tracer, &mut *self.session.source, limits)?;
        Ok(Frozen { session: self.session, before: self.before, writer: self.writer, frozen })
    }
}

/// A session that stands still; dropped, it runs on.
pub struct Frozen<'s, 't, W> {
    session: Session<'s>,
    before: Before,
    writer: Writer<W>,
    frozen: freeze::Frozen<'t>,
}

impl<'t, W: Write> Frozen<'_, 't, W> {
    /// Reads everything that must be of one instant.
    ///
    /// # Errors
    /// [`Error::Refused`] for what no record can hold, and others; it runs on, and nothing was written.
    pub fn collect(mut self) -> Result<Collected<'t, W>, Error> {
        let pids = self.session.source.list().map_err(freeze::Error::Source)?;
        let content = collect::collect(&mut self.frozen, pids, &self.session, &mut self.before)?;
        Ok(Collected { writer: self.writer, frozen: self.frozen, content, before: self.before })
    }
}

/// What becomes of the session.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Then {
    /// It runs on.
    Run,
    /// It ends: every process is killed.
    End,
}

/// A session that stands still and has been read; dropped, it runs on.
pub struct Collected<'t, W> {
    writer: Writer<W>,
    frozen: freeze::Frozen<'t>,
    content: Content,
    /// To be dropped when the pause is over.
    before: Before,
}

impl<'t, W: Write> Collected<'t, W> {
    /// How long it has stood still.
    #[must_use]
    pub fn since(&self) -> Duration {
        self.frozen.since().elapsed()
    }

    /// Writes it while it stands still: for a session that is not to end before its save is whole.
    ///
    /// # Errors
    /// Those of [`Draining::finish`]; it runs on.
    pub fn write(self) -> Result<Still<'t, W>, Error> {
        let pause = self.since();
        let draining = Draining { writer: self.writer, content: self.content, pause, released: Instant::now() };
        Ok(Still { saved: draining.finish()?, frozen: self.frozen, _before: self.before })
    }

    /// Ends the pause.
    ///
    /// # Errors
    /// [`Error::Freeze`] when a process cannot be killed; it runs on.
    pub fn release(self, then: Then) -> Result<Draining<W>, Error> {
        let pause = release(self.frozen, then)?;
        drop(self.before);
        Ok(Draining { writer: self.writer, content: self.content, pause, released: Instant::now() })
    }
}

/// Lets a session go, and returns how long it stood still.
fn release(frozen: freeze::Frozen<'_>, then: Then) -> Result<Duration, Error> {
    let since = frozen.since();
    match then {
        Then::Run => drop(frozen),
        Then::End => frozen.end()?,
    }
    let pause = since.elapsed();
    fault::point(Step::DumpReleased).map_err(Error::Step)?;
    Ok(pause)
}

/// A session that stands still and was written; dropped, it runs on.
pub struct Still<'t, W> {
    saved: Saved<W>,
    frozen: freeze::Frozen<'t>,
    /// To be dropped when the pause is over.
    _before: Before,
}

impl<W> Still<'_, W> {
    /// The sink, to make what was written durable.
    pub fn sink(&mut self) -> &mut W {
        &mut self.saved.sink
    }

    /// Ends the pause.
    ///
    /// # Errors
    /// [`Error::Freeze`] when a process cannot be killed; it runs on.
    pub fn release(mut self, then: Then) -> Result<Saved<W>, Error> {
        self.saved.report.pause = release(self.frozen, then)?;
        Ok(self.saved)
    }
}

/// What was read of a session that runs on, or has ended.
pub struct Draining<W> {
    writer: Writer<W>,
    content: Content,
    pause: Duration,
    released: Instant,
}

impl<W: Write> Draining<W> {
    /// Writes it.
    ///
    /// # Errors
    /// [`Error::Format`] when the sink fails, which is useless then; [`Error::Contradiction`] before anything is written.
    pub fn finish(mut self) -> Result<Saved<W>, Error> {
        check(&self.content.records, [])?;
        for record in &self.content.records {
            self.writer.record(record)?;
        }
        let mut bytes = 0;
        for pages in &self.content.pages {
            for piece in pages.image.regions(pages.parts.iter().cloned()) {
                self.writer.region(pages.owner, &piece.runs, &piece.pages)?;
                bytes += piece.pages.len() as u64;
            }
        }
        let report = Report {
            pause: self.pause,
            writing: self.released.elapsed(),
            processes: self.content.processes,
            threads: self.content.threads,
            idle: self.content.idle,
            bytes,
        };
        Ok(Saved { sink: self.writer.finish()?, report, findings: self.content.findings })
    }
}

/// A save that was written.
#[derive(Debug)]
pub struct Saved<W> {
    /// The sink, not flushed.
    pub sink: W,
    /// What was done.
    pub report: Report,
    /// What it lost, that a save may lose.
    pub findings: Vec<Finding>,
}

/// Figures of a save.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Report {
    /// From when the first thread was taken hold of until the last was let go.
    pub pause: Duration,
    /// How long records and pages were written afterwards.
    pub writing: Duration,
    /// How many processes, also ended ones.
    pub processes: usize,
    /// How many threads.
    pub threads: usize,
    /// How many of the processes had done nothing between the look at them and the freeze.
    pub idle: usize,
    /// Bytes of memory, whole pages.
    pub bytes: u64,
}
