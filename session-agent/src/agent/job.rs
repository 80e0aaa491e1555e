//! Jobs: what takes long, as an object that can be watched and cancelled.
//!
//! A finished job stays for a minute, so that a client that subscribes late can still read how it ended.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use freezeframe_api::records::JobFailure;
use freezeframe_api::{Dict, Dictionary, Error, ErrorKind, Result, names};
use freezeframe_store::{Progress as Bytes, ProgressFn};
use freezeframe_text::{TITLE, line};
use tokio::sync::Notify;
use tracing::{info, warn};
use zbus::object_server::SignalEmitter;
use zbus::zvariant::OwnedObjectPath;

use super::control::Control;
use super::{Agent, failure};

/// How long a finished job stays.
const AFTERLIFE: Duration = Duration::from_secs(60);

/// How often a job that counts bytes reports them.
const TICK: Duration = Duration::from_millis(100);

/// How a job can be cancelled.
#[derive(Debug)]
pub(crate) enum Cancel {
    /// Not at all.
    No,
    /// Until the wrapper freezes the session.
    Save(Control),
    /// Until its verb is done.
    Verb,
    /// By a flag that the store looks at.
    Flag(Arc<AtomicBool>),
}

#[derive(Debug)]
struct Progress {
    stage: String,
    fraction: f64,
    bytes: Bytes,
    state: &'static str,
    result: Dict,
    /// When clients were last told of it.
    told: Option<Instant>,
}

/// One job: the handle for the code that does it, and its D-Bus object.
#[derive(Clone, Debug)]
pub(crate) struct Job {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    connection: zbus::Connection,
    path: OwnedObjectPath,
    kind: &'static str,
    cancel: Cancel,
    asked: Notify,
    progress: Mutex<Progress>,
}

impl Agent {
    /// Starts doing `work` in the background; answers its job object.
    pub(crate) async fn job<R, F>(
        self: &Arc<Self>,
        kind: &'static str,
        cancel: Cancel,
        work: impl FnOnce(Job) -> F + Send + 'static,
    ) -> Result<OwnedObjectPath>
    where
        R: Dictionary + Send + 'static,
        F: Future<Output = Result<R>> + Send + 'static,
    {
        let path = names::job_path(self.lock().job());
        let bytes = Bytes::default();
        let progress =
            Progress { stage: String::new(), fraction: -1.0, bytes, state: "running", result: Dict::new(), told: None };
        let job = Job {
            inner: Arc::new(Inner {
                connection: self.connection.clone(),
                path: path.clone(),
                kind,
                cancel,
                asked: Notify::new(),
                progress: Mutex::new(progress),
            }),
        };
        self.connection.object_server().at(&path, job.clone()).await?;
        let connection = self.connection.clone();
        let gone = path.clone();
        tokio::spawn(async move {
            // Its own task, so that a bug in it ends the job rather than leaving it running forever.
            let outcome = match tokio::spawn(work(job.clone())).await {
                Ok(outcome) => outcome,
                Err(lost) => Err(failure::lost(lost)),
            };
            job.finish(outcome.map(|r| r.to_dict())).await;
            tokio::time::sleep(AFTERLIFE).await;
            if let Err(error) = connection.object_server().remove::<Job, _>(&gone).await {
                warn!(%error, "cannot remove a job");
            }
        });
        Ok(path)
    }
}

impl Job {
    fn lock(&self) -> std::sync::MutexGuard<'_, Progress> {
        self.inner.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn emitter(&self) -> zbus::Result<SignalEmitter<'_>> {
        SignalEmitter::new(&self.inner.connection, &self.inner.path)
    }

    /// How many bytes the whole of it is, from now on.
    pub(crate) fn count_bytes(&self, total: u64) {
        self.lock().bytes = Bytes { done: 0, total };
    }

    /// Reports what is being done, and how much of it is.
    #[allow(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "for people"
    )]
    pub(crate) async fn progress(&self, stage: impl Into<String>, fraction: f64) {
        let stage = line(stage.into(), TITLE);
        let (new_stage, counted) = {
            let mut progress = self.lock();
            progress.fraction = if fraction.is_finite() { fraction.min(1.0) } else { -1.0 };
            progress.bytes.done = (progress.fraction.max(0.0) * progress.bytes.total as f64) as u64;
            let new = progress.stage != stage;
            progress.stage = stage;
            // More would fill a client's queue faster than it reads, and nobody sees it.
            if !new && progress.told.is_some_and(|told| told.elapsed() < TICK) {
                return;
            }
            progress.told = Some(Instant::now());
            (new, progress.bytes.total > 0)
        };
        let told = async {
            let emitter = self.emitter()?;
            if new_stage {
                self.stage_changed(&emitter).await?;
            }
            if counted {
                self.bytes_total_changed(&emitter).await?;
                self.bytes_done_changed(&emitter).await?;
            }
            self.progress_changed(&emitter).await
        };
        if let Err(error) = told.await {
            warn!(%error, "cannot tell of progress");
        }
    }

    /// Does what blocks, as the store does, and reports the bytes that it says are done.
    #[allow(clippy::cast_precision_loss, reason = "for people")]
    pub(crate) async fn blocking<T: Send + 'static>(
        &self,
        stage: &str,
        work: impl FnOnce(ProgressFn<'_>) -> T + Send + 'static,
    ) -> Result<T> {
        let far = Arc::new((AtomicU64::new(0), AtomicU64::new(0)));
        let told = far.clone();
        let mut task = tokio::task::spawn_blocking(move || {
            work(&|Bytes { done, total }| {
                told.0.store(done, Ordering::Relaxed);
                told.1.store(total, Ordering::Relaxed);
            })
        });
        let mut tick = tokio::time::interval(TICK);
        loop {
            tokio::select! {
                outcome = &mut task => {
                    return outcome.map_err(failure::lost);
                }
                _ = tick.tick() => {
                    let (done, total) = (far.0.load(Ordering::Relaxed), far.1.load(Ordering::Relaxed));
                    self.count_bytes(total);
                    self.progress(stage, if total == 0 { -1.0 } else { done as f64 / total as f64 }).await;
                }
            }
        }
    }

    /// Answers when somebody asked to cancel it.
    pub(crate) async fn cancel_asked(&self) {
        self.inner.asked.notified().await;
    }

    async fn finish(&self, outcome: Result<Dict>) {
        let kind = self.inner.kind;
        let (state, result) = match outcome {
            Ok(result) => ("done", result),
            Err(error) => {
                info!(job = kind, error = error.kind.name(), "{}", error.message);
                let state = if error.kind == ErrorKind::Cancelled { "cancelled" } else { "failed" };
                (state, JobFailure::from(error).to_dict())
            }
        };
        {
            let mut progress = self.lock();
            progress.state = state;
            progress.result.clone_from(&result);
        }
        let told = async {
            let emitter = self.emitter()?;
            self.state_changed(&emitter).await?;
            self.result_changed(&emitter).await?;
            Self::finished(&emitter, state, result).await
        };
        if let Err(error) = told.await {
            warn!(%error, "cannot tell that a job ended");
        }
    }
}

/// Something that takes long. Subscribe to `Finished`, then read `State`: a finished job stays for a minute.
#[zbus::interface(name = "io.github.freezeframe.Job1")]
impl Job {
    /// Cancels it, where that can still be done.
    async fn cancel(&self) -> Result<()> {
        if self.lock().state != "running" {
            return Ok(());
        }
        let late = || Error::new(ErrorKind::Failed, format!("the {} cannot be cancelled any more", self.inner.kind));
        match &self.inner.cancel {
            Cancel::No => {
                Err(Error::new(ErrorKind::NotAvailable, format!("a {} cannot be cancelled", self.inner.kind)))
            }
            Cancel::Verb => {
                self.inner.asked.notify_one();
                Ok(())
            }
            Cancel::Flag(flag) => {
                flag.store(true, Ordering::Relaxed);
                self.inner.asked.notify_one();
                Ok(())
            }
            Cancel::Save(control) => {
                if control.wrapper.cancel_save().await.map_err(|e| Error::from_bus(&e))? {
                    Ok(())
                } else {
                    Err(late())
                }
            }
        }
    }

    /// `start`, `save`, `pack`, `resume`, `stop`, `execute`, `verify`, `gc`, `export`, `import`, `base-build`,
    /// `base-import` or `base-remove`.
    #[zbus(property(emits_changed_signal = "const"))]
    fn kind(&self) -> &str {
        self.inner.kind
    }

    /// What is being done, in a few words.
    #[zbus(property)]
    fn stage(&self) -> String {
        self.lock().stage.clone()
    }

    /// 0 to 1 of the whole; below 0 when it is not known.
    #[zbus(property, name = "Progress")]
    fn progress_property(&self) -> f64 {
        self.lock().fraction
    }

    /// Bytes done; 0 when they are not counted.
    #[zbus(property)]
    fn bytes_done(&self) -> u64 {
        self.lock().bytes.done
    }

    /// Bytes to do, an estimate until the end; 0 when they are not counted.
    #[zbus(property)]
    fn bytes_total(&self) -> u64 {
        self.lock().bytes.total
    }

    /// `running`, `done`, `failed` or `cancelled`.
    #[zbus(property)]
    fn state(&self) -> String {
        self.lock().state.to_owned()
    }

    /// The result; of a failed or cancelled job `name`, `message` and `hint` of the error,
    /// and `key`, the public key that is not trusted, of `Untrusted`.
    #[zbus(property)]
    fn result(&self) -> Dict {
        self.lock().result.clone()
    }

    /// It ended, as `State` and `Result` say.
    #[zbus(signal)]
    async fn finished(emitter: &SignalEmitter<'_>, state: &str, result: Dict) -> zbus::Result<()>;
}
