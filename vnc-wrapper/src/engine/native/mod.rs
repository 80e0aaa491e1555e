//! The native engine (crate `freezeframe-engine`), which needs no root, as the engine of a session.
//!
//! ```text
//! images/processes     process content: records and pages (freezeframe_engine::record)
//! images/instant.json  what the session's clocks said ([`instant`])
//! ```
//!
//! The files of the session's file systems in memory are not its affair: a save puts them into the layer
//! ([`crate::container::own_files`]), and [`crate::container::furnish`] gives them back.

mod instant;
mod talk;

use std::cell::OnceCell;
use std::fs::File;
use std::io::{self, BufReader, BufWriter, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant as Begin};

use freezeframe_engine::dump::{self, Session, Then, prepare};
use freezeframe_engine::filters::watch::{Mailbox, Watch, put};
use freezeframe_engine::filters::{Filter, Log, Shared};
use freezeframe_engine::freeze::{Limits, OwnProc};
use freezeframe_engine::remote::Tracer;
use freezeframe_engine::restore::{self, Files, Own, Plan, Root, Terminals};
use freezeframe_protocol::engine::NATIVE;

use super::{After, Connect, DumpReport, DumpRequest, Engine, EngineError, Moment, RestoreRequest, WhileFrozen};
use crate::container::furnish;
use crate::kernel::{namespaces, seccomp, userns};
use crate::objects::{CLOSE, Found, Trouble};
use instant::Instant;
use talk::Asking;

/// Name of the file with the process content.
const PROCESSES: &str = "processes";
/// How long any one wait for a process that is being made may take.
const PATIENCE: Duration = Duration::from_secs(20);
/// How long the session may take to stand still. It is let go of, and tried again, if it does not.
const LIMITS: Limits = Limits { deadline: Duration::from_millis(500), tries: 5, patience: Duration::from_secs(5) };

/// The engine of this program.
#[derive(Clone, Copy, Debug, Default)]
pub struct NativeEngine;

/// Whether the native engine wrote these images.
pub fn wrote(images: &Path) -> bool {
    images.join(PROCESSES).exists()
}

/// What a save of the session would refuse, in the same words, as far as that shows while it runs; `init` is its first process.
///
/// # Errors
/// When its processes cannot be looked at.
pub fn look(init: u32, filters: Option<Shared>) -> io::Result<Vec<Found>> {
    let looked =
        dump::look(session(init.cast_signed(), filters)?).map_err(|error| io::Error::other(error.to_string()))?;
    Ok(looked.iter().map(found).collect())
}

/// `filters`: what was seen of them, where the session's own filter asks; else there are no others that are known.
fn session<'s>(init: i32, filters: Option<Shared>) -> io::Result<Session<'s>> {
    let source = OwnProc::new(init, format!("/proc/{init}/root/proc"))?;
    let filters = filters.unwrap_or_else(|| Arc::new(Mutex::new(Log::new(own_filter(false)))));
    Ok(Session::new(init, source).with_filters(filters))
}

/// A refusal of the engine as one of ours.
fn found(refused: &dump::Refused) -> Found {
    let make = if refused.is_passing() { Trouble::passing } else { Trouble::blocking };
    let trouble = make(format!("{}: {}", refused.what, refused.why), CLOSE);
    Found { process: refused.process.pid.unsigned_abs(), trouble }
}

impl NativeEngine {
    fn refused(self, action: &'static str, reason: &impl ToString) -> EngineError {
        EngineError::Refused { engine: self.describe(), action, process: None, reason: reason.to_string() }
    }

    fn not_saved(self, error: &dump::Error) -> EngineError {
        match error {
            dump::Error::Refused(refused) => {
                EngineError::WouldLose { engine: self.describe(), found: vec![found(refused)] }
            }
            other => self.refused("save", other),
        }
    }

    fn save(
        self,
        tracer: &Tracer,
        request: &DumpRequest<'_>,
        asking: &Asking<DumpReport>,
    ) -> Result<DumpReport, EngineError> {
        let io = |what: &'static str| move |error: io::Error| self.refused("save", &format!("{what}: {error}"));
        let refused = move |error: dump::Error| self.not_saved(&error);
        let init = request.init.cast_signed();
        let path = request.images.join(PROCESSES);
        let file = File::create_new(&path).map_err(io("make its file"))?;
        let session = session(init, request.filters.clone()).map_err(io("look into it"))?;
        let prepared = prepare(session, BufWriter::new(file)).map_err(refused)?;
        let begun = Begin::now();
        let frozen = prepared.freeze(tracer, LIMITS).map_err(refused)?;
        let freeze = begun.elapsed();
        let instant = Instant::of(init).map_err(io("read its clocks"))?;
        let collected = frozen.collect().map_err(refused)?;
        instant.write(request.images).map_err(io("note its clocks"))?;
        let so_far = DumpReport { pause: collected.since(), freeze };
        let (saved, mut sink) = match request.after {
            After::Run => {
                asking.ask(so_far)?;
                let saved = collected.release(Then::Run).and_then(dump::Draining::finish).map_err(refused)?;
                (saved.report, saved.sink)
            }
            After::End => {
                let mut still = collected.write().map_err(refused)?;
                still.sink().flush().map_err(io("write it"))?;
                asking.ask(so_far)?;
                let saved = still.release(Then::End).map_err(refused)?;
                (saved.report, saved.sink)
            }
        };
        sink.flush().map_err(io("write it"))?;
        tracing::info!(?saved, "saved natively");
        Ok(DumpReport { pause: saved.pause, freeze })
    }

    fn make(
        self,
        tracer: &Tracer,
        request: &RestoreRequest<'_>,
        own: &OwnedFd,
        asking: &Asking<(Moment, u32)>,
    ) -> Result<u32, EngineError> {
        let io = |what: &'static str| move |error: io::Error| self.refused("resume", &format!("{what}: {error}"));
        let content = File::open(request.images.join(PROCESSES)).map_err(io("open its file"))?;
        let instant = Instant::read(request.images).map_err(io("read what its clocks said"))?;
        let files = Later::default();
        let mut failed = None;
        let mut prepare = |first: i32| {
            let pid = first.unsigned_abs();
            if let Some(group) = request.group {
                group.place(pid)?;
            }
            userns::write_maps(pid, request.map)?;
            let wanted = furnish::Request { first: pid, root: request.root.to_owned(), network: request.network };
            furnish::ask(&wanted, own)?;
            files.set(userns::open_directory(Path::new(&format!("/proc/{first}/root")))?);
            asking.ask((Moment::Namespaces, pid)).map_err(|error| {
                let text = error.to_string();
                failed = Some(error);
                io::Error::other(text)
            })
        };
        let filters = request.filters.ok_or_else(|| self.refused("resume", &"nobody answers for its filters"))?;
        let own = Own {
            program: seccomp::program(true),
            flags: seccomp::FLAGS,
            listener: Box::new(|listener| put(filters.slot(), listener.as_fd())),
        };
        let plan = Plan {
            namespaces: u64::from(namespaces::of_a_session().bits().cast_unsigned()),
            prepare: &mut prepare,
            clocks: Some(instant.clocks()),
            terminals: Terminals::There,
            filter: Some(own),
            files: &files,
            passed: instant.passed(),
            patience: PATIENCE,
        };
        let restored = restore::restore(tracer, BufReader::new(content), plan);
        let restored = match restored {
            Ok(restored) => restored,
            Err(error) => return Err(failed.unwrap_or_else(|| self.refused("resume", &error))),
        };
        let first = restored.first().unsigned_abs();
        asking.ask((Moment::Restored, first))?;
        asking.ask((Moment::BeforeRun, first))?;
        if request.stopped {
            restored.discard();
        } else {
            restored.run().map_err(|error| self.refused("resume", &error))?;
        }
        Ok(first)
    }
}

/// Answers for a session whose processes begin with the filter that asks, and whose listeners come by `mailbox`.
///
/// # Errors
/// When there is no thread for it.
pub fn watch(mailbox: Mailbox) -> io::Result<Watch> {
    Watch::start(own_filter(true), mailbox)
}

/// The filter that [`crate::container::settings`] gives every process of a session.
fn own_filter(asks: bool) -> Vec<Filter> {
    Filter::new(seccomp::program(asks), seccomp::FLAGS).into_iter().collect()
}

/// Files of a root that is there only when the session's mounts have been made.
#[derive(Default)]
struct Later(OnceCell<Root>);

impl Later {
    fn set(&self, root: OwnedFd) {
        // Set once: by the one call of `prepare`.
        let _ = self.0.set(Root::new(root));
    }

    fn root(&self) -> io::Result<&Root> {
        self.0.get().ok_or_else(|| io::Error::other("the session has no root yet"))
    }
}

impl Files for Later {
    fn open(&self, path: &[u8], flags: u32) -> io::Result<OwnedFd> {
        self.root()?.open(path, flags)
    }
}

impl Engine for NativeEngine {
    fn describe(&self) -> String {
        format!("{NATIVE} {}", env!("CARGO_PKG_VERSION"))
    }

    fn can_call(&self) -> bool {
        true
    }

    fn saves_own_files(&self) -> bool {
        false
    }

    fn dump(&self, request: &DumpRequest<'_>, while_frozen: &mut WhileFrozen<'_>) -> Result<DumpReport, EngineError> {
        let engine = *self;
        talk::traced(|tracer, asking| engine.save(tracer, request, asking), while_frozen)
    }

    fn restore(&self, request: &RestoreRequest<'_>, connect: &mut Connect<'_>) -> Result<u32, EngineError> {
        let engine = *self;
        let own = request.own.ok_or_else(|| self.refused("resume", &"its own files are not there"))?;
        talk::traced(
            |tracer, asking| engine.make(tracer, request, own, asking),
            |(moment, first)| connect(moment, first),
        )
    }
}
