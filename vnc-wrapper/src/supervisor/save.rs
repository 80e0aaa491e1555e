//! Saving a session: the way of one snapshot (DESIGN.md), step by step.
//!
//! Until the freeze a save can be cancelled. Whatever fails, at whatever step, leaves the session running as before and
//! nothing of the snapshot: the writer removes what it wrote, the engine lets the processes run, the viewers are connected again.

use std::collections::HashSet;
use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use freezeframe_engine::filters::watch::Watch;
use freezeframe_protocol::{CheckReport, Failure, Finding, SaveOptions, error_name};
use freezeframe_rfb::Framebuffer;
use freezeframe_store::manifest::{Closed, Window};
use freezeframe_store::record::Record;
use freezeframe_store::session::Network;
use freezeframe_store::{Attributes, Manifest, SnapshotId, SnapshotWriter, usage};
use jiff::Timestamp;

use super::session::{Doing, Session, engine, is_native, needs_root};
use super::{end, rehearsal};
use crate::container::connections;
use crate::container::own_files;
use crate::container::processes::{self, Process};
use crate::engine::{After, BoxedError, DumpReport, DumpRequest, Engine, EngineError};
use crate::failure::{ToFailure, Told, failure, lost_task};
use crate::fault;
use crate::layer::{self, Cancelled, Capture};
use crate::objects::inotify;
use crate::preflight;

/// How long a program may be on its way into the session when a save waits for it.
const ENTERING_DEADLINE: Duration = Duration::from_secs(15);
/// How often a dump is tried that cannot be done because of what programs are about to take: events, connections.
const TRIES: u32 = 5;
/// How long programs have between two of those tries.
const BETWEEN_TRIES: Duration = Duration::from_millis(100);

/// What is known of the session just before the freeze.
#[derive(Debug)]
struct Scene {
    windows: Vec<Window>,
    picture: Option<Framebuffer>,
}

/// Saves the session as `options` say. Returns the manifest of the snapshot, which is then whole and durable.
pub(super) async fn save(session: &Arc<Session>, options: SaveOptions) -> Result<Manifest, Failure> {
    // Before anything is touched: whether it can be done at all.
    if !session.privileged && !is_native(session.privileged) {
        return Err(needs_root());
    }
    let id = SnapshotId::new(&*options.snapshot).map_err(|e| e.to_failure())?;
    let cancel = Arc::new(Cancelled::new(false));
    let saving = Doing::Saving { snapshot: id.to_string(), cancel: Arc::clone(&cancel), frozen: false };
    let exclusive = session.begin(saving)?;
    // For this save alone, whatever becomes of it.
    let heir = session.heir().take();

    session.tell("looking for what cannot be saved", 0.0);
    point("preflight")?;
    refuse(&session.check_all(&session.windows().await).await?)?;
    let asking = Arc::clone(session);
    let engine = blocking(move || engine(&asking.store, &asking.directories, asking.privileged)).await?;

    session.tell("copying files", 0.1);
    point("precopy")?;
    let writer = session.store.begin_snapshot(id).map_err(|e| e.to_failure())?;
    let (layer, index) = (session.directories.layer(), session.directories.index());
    let (copy, stop_early) = (writer.layer_dir(), Arc::clone(&cancel));
    let capture = blocking(move || {
        let mut capture = Capture::new(&layer::parts(&layer, &index), &copy)?;
        capture.precopy(&stop_early)?;
        Ok::<_, layer::LayerError>(capture)
    });
    let capture = capture.await?;

    session.tell("taking the picture", 0.3);
    let entering = tokio::time::timeout(ENTERING_DEADLINE, session.entering.write())
        .await
        .map_err(|_| failure(error_name::BUSY, "a program is being put into the session", "try again in a moment"))?;
    // A program that was started since the first look may be tied to the outside.
    let windows = session.windows().await;
    refuse(&session.check(&windows).await?)?;
    point("picture")?;
    let picture = session.display.grab().await;
    let picture = picture.inspect_err(|error| tracing::warn!("the snapshot will have no picture: {error}")).ok();
    let suspended = session.display.suspend(picture.clone()).await;
    let scene = Scene { windows, picture };
    let suspended = suspended.map_err(|e| failure(error_name::FAILED, e.to_string(), ""))?;
    point("freeze")?;
    pass_the_point_of_no_return(session, &cancel)?;

    session.tell("saving the memory", 0.4);
    let stop = options.stop;
    let saved = {
        let session = Arc::clone(session);
        let work = Work { session, options, capture, writer: Some(writer), scene, manifest: None };
        tokio::task::spawn_blocking(move || work.dump(&*engine)).await
    };
    let mut work = saved.map_err(|e| lost_task("the save", e))??;
    if stop && let Some(heir) = heir {
        // While the server is away anyway: it will not be back.
        session.display.give_away(&heir).await;
    }
    drop((suspended, entering));
    if !stop {
        session.tell("writing the snapshot", 0.7);
        work = blocking(move || work.commit().map(|()| work)).await?;
    }
    let manifest = work.manifest.ok_or_else(|| failure(error_name::FAILED, "the snapshot has no manifest", ""))?;
    if stop {
        end::kill(session).await?;
        end::clear(session).await;
    } else {
        let (noting, id) = (Arc::clone(session), manifest.id.clone());
        blocking(move || {
            remember(&noting, &id);
            Ok::<_, Failure>(())
        })
        .await?;
    }
    drop(exclusive);
    session.tell("saved", 1.0);
    Ok(manifest)
}

fn point(name: &str) -> Result<(), Failure> {
    fault::point(name).map_err(|e| e.to_failure())
}

async fn blocking<T: Send + 'static, E: ToFailure + Send + 'static>(
    work: impl FnOnce() -> Result<T, E> + Send + 'static,
) -> Result<T, Failure> {
    match tokio::task::spawn_blocking(work).await {
        Ok(outcome) => outcome.map_err(|e| e.to_failure()),
        Err(lost) => Err(lost_task("the save", lost)),
    }
}

/// Refuses when something stops the save.
fn refuse(report: &CheckReport) -> Result<(), Failure> {
    if report.savable {
        return Ok(());
    }
    Err(refusal(&report.findings.iter().filter(|f| f.blocking).collect::<Vec<_>>()))
}

/// The text of a refusal: every blocking finding with its remedy.
fn refusal(blocking: &[&Finding]) -> Failure {
    let message = blocking.iter().map(|f| preflight::sentence(f)).collect::<Vec<_>>().join("; ");
    let mut remedies: Vec<&str> = blocking.iter().map(|f| f.remedy.as_str()).collect();
    // One remedy for several is said once.
    let mut seen = HashSet::new();
    remedies.retain(|remedy| seen.insert(*remedy));
    failure(error_name::REFUSED, format!("the session cannot be saved now: {message}"), remedies.join("; "))
}

/// From here on `CancelSave` answers that it is too late.
fn pass_the_point_of_no_return(session: &Session, cancel: &Cancelled) -> Result<(), Failure> {
    let mut doing = session.doing();
    if cancel.load(Ordering::Relaxed) {
        return Err(failure(error_name::CANCELLED, "the save was cancelled", ""));
    }
    if let Doing::Saving { frozen, .. } = &mut *doing {
        *frozen = true;
    }
    Ok(())
}

/// The next snapshot's parent is this one. Only the timeline's order depends on it, so a failure is told, not returned.
fn remember(session: &Session, id: &SnapshotId) {
    let record = {
        let mut record = session.record();
        record.last_snapshot = Some(id.clone());
        record.clone()
    };
    if let Err(error) = session.store.write_session(&record) {
        tracing::error!("cannot note the session's last snapshot: {error}");
    }
}

/// The part of a save that blocks a thread.
#[derive(Debug)]
struct Work {
    session: Arc<Session>,
    options: SaveOptions,
    capture: Capture,
    writer: Option<SnapshotWriter>,
    scene: Scene,
    manifest: Option<Manifest>,
}

impl Work {
    /// Freezes, dumps and thaws, or ends the session when that was asked for and the snapshot is whole.
    fn dump(mut self, engine: &dyn Engine) -> Result<Self, Failure> {
        let (images, layer, root) = match &self.writer {
            Some(writer) => (writer.images_dir(), writer.layer_dir(), self.session.directories.root()),
            None => return Err(failure(error_name::FAILED, "the snapshot was written already", "")),
        };
        let after = if self.options.stop { After::End } else { After::Run };
        let network = self.session.record().network;
        let (init, filters) = (self.session.init, self.session.filters.as_ref().map(Watch::log));
        let request = DumpRequest { init, images: &images, root: &root, network, filters, after };
        let mut tries = 0;
        let report = loop {
            // The kernel may have forgotten some since the look before.
            let names = self.names();
            let dumped = engine.dump(&request, &mut |so_far| {
                fault::point("layer")?;
                self.capture.finish()?;
                if !engine.saves_own_files() {
                    own_files::save(self.session.init, &layer, self.session.shift_of_layer()?)?;
                }
                let processes = processes::list(self.session.init)?;
                self.manifest = Some(self.describe(engine, so_far, &processes)?);
                fault::damage("damage-images", &images.join("pstree.img"))?;
                if after == After::End {
                    // The session must not end before its snapshot is safe, and known to come back.
                    self.try_it()?;
                    self.commit().map_err(|e| Told(e.to_failure()))?;
                }
                Ok(())
            });
            drop(names);
            tries += 1;
            match dumped {
                // Programs take what waits for them as soon as they run, so the next try finds something else or nothing.
                Err(error) if error.is_passing() && tries < TRIES => {
                    empty(&images).map_err(|e| e.to_failure())?;
                    std::thread::sleep(BETWEEN_TRIES);
                }
                other => break other.map_err(|e| self.explain(&e))?,
            }
        };
        if after == After::Run
            && let Some(manifest) = &mut self.manifest
        {
            (manifest.pause_ms, manifest.freeze_ms) = (milliseconds(report.pause), milliseconds(report.freeze));
        }
        Ok(self)
    }

    /// Has the kernel know the names of all that is watched, for as long as what is returned lives.
    fn names(&self) -> inotify::Named {
        let held = processes::list(self.session.init).and_then(|all| inotify::hold_names(&all, &self.session.tree()));
        // The engine then refuses those that are not known.
        held.inspect_err(|error| tracing::warn!("watched names are not looked up: {error}")).unwrap_or_default()
    }

    /// Why the engine failed: the application and its window, when it is about one of them.
    fn explain(&self, error: &EngineError) -> Failure {
        let processes = self.session.processes().unwrap_or_default();
        let (windows, essential) = (&self.scene.windows, self.session.essential());
        let findings = match error {
            EngineError::WouldLose { found, .. } => preflight::of_found(found, &processes, windows, &essential),
            EngineError::Refused { reason, process: Some(process), .. } => {
                // A thread of it may be what CRIU names.
                let leader = fs::read_to_string(format!("/proc/{process}/status"))
                    .ok()
                    .and_then(|status| status.lines().find_map(|line| line.strip_prefix("Tgid:")?.trim().parse().ok()));
                let process = leader.unwrap_or(*process);
                preflight::of_refusal(reason, process, &processes, windows, &essential).into_iter().collect()
            }
            _ => Vec::new(),
        };
        if findings.is_empty() { error.to_failure() } else { refusal(&findings.iter().collect::<Vec<_>>()) }
    }

    fn describe(&self, engine: &dyn Engine, so_far: DumpReport, processes: &[Process]) -> Result<Manifest, BoxedError> {
        let record = self.session.record().clone();
        Ok(Manifest {
            format: Manifest::FORMAT,
            id: SnapshotId::new(&*self.options.snapshot)?,
            session: record.id,
            lineage: record.lineage,
            parent: record.last_snapshot.or(record.parent),
            created: Timestamp::now(),
            label: self.options.label.clone(),
            automatic: self.options.automatic,
            base: record.base,
            base_identity: record.base_identity,
            first_id: Some(self.session.layer_first_id),
            attributes: Some(if self.session.privileged { Attributes::Trusted } else { Attributes::User }),
            width: self.scene.picture.as_ref().map_or(record.width, Framebuffer::width),
            height: self.scene.picture.as_ref().map_or(record.height, Framebuffer::height),
            network: record.network,
            engine: engine.describe(),
            kernel: rustix::system::uname().release().to_string_lossy().into_owned(),
            pause_ms: milliseconds(so_far.pause),
            freeze_ms: milliseconds(so_far.freeze),
            memory_bytes: 0,
            layer_bytes: 0,
            processes: u32::try_from(processes.len())?,
            threads: processes.iter().map(|p| p.threads).sum(),
            windows: self.scene.windows.clone(),
            closed: self.closed(processes)?,
            watched: self.session.watched,
        })
    }

    /// What a session that is resumed from this will find closed.
    fn closed(&self, processes: &[Process]) -> io::Result<Vec<Closed>> {
        if self.session.record().network == Network::None {
            return Ok(Vec::new());
        }
        let outside = connections::to_outside(self.session.init)?;
        let held = connections::held(processes, &outside).into_iter().map(|(process, connection)| Closed {
            object: connection.describe(),
            application: process.name.clone(),
            pid: process.inside,
        });
        Ok(held.collect())
    }

    /// Restores on the side what was just saved.
    fn try_it(&self) -> Result<(), BoxedError> {
        self.session.tell("making sure that it can be resumed", 0.6);
        fault::point("rehearsal")?;
        let begun = Instant::now();
        let raw = self.writer.as_ref().map(|writer| writer.images_dir().with_file_name(""));
        let (Some(manifest), Some(raw)) = (&self.manifest, raw) else { return Err(CommitError::Nothing.into()) };
        rehearsal::of_unsaved(&self.session, manifest, &raw).map_err(|error| {
            let text = format!("the session was not ended, since what was saved of it cannot be resumed: {}", error.message);
            let hint = "the session runs on, and nothing of this save is kept; `sessionctl save` keeps a snapshot without ending it";
            Told(Failure { name: error.name, message: text, hint: hint.to_owned() })
        })?;
        tracing::info!(milliseconds = milliseconds(begun.elapsed()), "it was restored on the side");
        Ok(())
    }

    /// Makes the snapshot whole and visible.
    fn commit(&mut self) -> Result<(), CommitError> {
        fault::point("commit")?;
        let (Some(writer), Some(mut manifest)) = (self.writer.take(), self.manifest.take()) else {
            return Err(CommitError::Nothing);
        };
        let (index, base) = (writer.layer_dir().join(layer::INDEX), &self.session.base.name);
        let noted = self.session.store.base_dir(base).map_err(io::Error::other);
        let noted = match noted {
            Ok(base) if index.is_dir() => layer::note_names(&writer.layer_dir(), &base.join("root")),
            other => other.map(|_| 0),
        };
        match noted {
            Ok(0) => {}
            Ok(noted) => tracing::info!(noted, "changed files have other or several names in the base"),
            // It is right on this copy of the base all the same.
            Err(error) => tracing::warn!("names of changed files are not noted: {error}"),
        }
        manifest.memory_bytes = usage::bytes_below(&writer.images_dir())?;
        manifest.layer_bytes = usage::bytes_below(&writer.layer_dir())?;
        let picture = self.scene.picture.as_ref().map(Framebuffer::to_png).transpose()?;
        writer.commit(&manifest, picture.as_deref())?;
        self.manifest = Some(manifest);
        Ok(())
    }
}

/// Removes what a failed dump wrote.
fn empty(images: &Path) -> io::Result<()> {
    for entry in fs::read_dir(images)? {
        fs::remove_file(entry?.path())?;
    }
    Ok(())
}

fn milliseconds(time: Duration) -> f64 {
    (time.as_secs_f64() * 1e6).round() / 1e3
}

/// Why a snapshot that was taken could not be kept.
#[derive(Debug, thiserror::Error)]
enum CommitError {
    #[error(transparent)]
    Store(#[from] freezeframe_store::Error),
    #[error("cannot write the snapshot: {0}")]
    Io(#[from] io::Error),
    #[error("cannot write the snapshot's picture: {0}")]
    Picture(#[from] freezeframe_rfb::Error),
    #[error("there is nothing to write")]
    Nothing,
}

impl ToFailure for CommitError {
    fn to_failure(&self) -> Failure {
        match self {
            Self::Store(error) => error.to_failure(),
            Self::Io(error) => Failure { message: self.to_string(), ..error.to_failure() },
            Self::Picture(_) | Self::Nothing => failure(error_name::FAILED, self.to_string(), ""),
        }
    }
}
