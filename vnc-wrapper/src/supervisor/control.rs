//! What the agent calls, and the loop that a supervisor spends its life in.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use freezeframe_protocol::{
    ERROR_PREFIX, ExecOptions, Failure, OBJECT_PATH, SaveOptions, control_socket, display_socket, error_name,
};
use freezeframe_text::{MESSAGE, lines};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::net::{UnixListener, UnixStream};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::mpsc;
use zbus::object_server::SignalEmitter;
use zbus::{Connection, zvariant};

use super::peer::Peer;
use super::session::{Doing, Session};
use super::{end, exec, save};
use crate::failure::{ToFailure, failure, lost_task};

/// Serves the session until it ends. Calls `ready` once the agent and viewers can connect. Returns the exit status.
pub(super) fn serve(session: Session, sockets: Sockets, ready: impl FnOnce()) -> i32 {
    let session = Arc::new(session);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let outcome = runtime.and_then(|runtime| {
        let outcome = runtime.block_on(run(&session, sockets, ready));
        runtime.shutdown_background();
        outcome
    });
    // One that was stopped on purpose has done so already, and its name may be another session's by now.
    if !*session.ended.borrow() {
        session.unmount();
        let _ = std::fs::remove_dir_all(&session.directories.runtime);
    }
    match outcome {
        Ok(()) => 0,
        Err(error) => {
            tracing::error!("the supervisor failed: {error}");
            1
        }
    }
}

async fn run(session: &Arc<Session>, sockets: Sockets, ready: impl FnOnce()) -> io::Result<()> {
    let control = UnixListener::from_std(sockets.control)?;
    let viewers = UnixListener::from_std(sockets.display)?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut ended = session.ended.subscribe();
    let (arrive, mut arrivals) = mpsc::channel(8);
    let mut callers: Vec<Caller> = Vec::new();
    let by_itself = end::by_itself(session);
    tokio::pin!(by_itself);
    let mut gone = None;
    ready();
    loop {
        tokio::select! {
            // In this order: what was ended on purpose has not ended by itself.
            biased;
            _ = ended.wait_for(|ended| *ended) => break,
            accepted = control.accept() => match accepted {
                Ok((stream, _)) => {
                    let (session, arrive) = (Arc::clone(session), arrive.clone());
                    // Beside the loop: a caller that says nothing holds up nobody else.
                    tokio::spawn(async move {
                        match tokio::time::timeout(GREETING, welcome(stream, &session)).await {
                            Ok(Ok(caller)) => drop(arrive.send(caller).await),
                            Ok(Err(error)) => tracing::warn!("a control connection was refused: {error}"),
                            Err(_) => tracing::warn!("a control connection said nothing"),
                        }
                    });
                }
                Err(error) => rest(&error).await,
            },
            Some(caller) = arrivals.recv() => {
                callers.retain(|c| !c.connection.is_closed());
                callers.push(caller);
            }
            accepted = viewers.accept() => match accepted {
                Ok((viewer, _)) if is_ours(&viewer).unwrap_or(false) => session.display.serve(viewer),
                Ok(_) => tracing::warn!("a viewer of another user was refused"),
                Err(error) => rest(&error).await,
            },
            reason = &mut by_itself, if gone.is_none() => gone = Some(reason),
            // A save that stops the session ends its processes, too, and says so itself before it is done.
            () = session.until_idle(), if gone.is_some() => {
                tracing::warn!("the session ended: {}", gone.unwrap_or_default());
                break;
            }
            _ = terminate.recv() => {
                tracing::warn!("told to end");
                break;
            }
        }
    }
    if let Err(error) = end::kill(session).await {
        tracing::error!("cannot end the session's processes: {}", error.message);
    }
    for Caller { connection, progress } in callers {
        // It holds the connection, too.
        progress.abort();
        let _ = progress.await;
        // Sends the answers that are still on their way.
        if tokio::time::timeout(FAREWELL, connection.graceful_shutdown()).await.is_err() {
            tracing::warn!("a control connection did not close in time");
        }
    }
    Ok(())
}

/// Waits a little after an error of accept(2), of which the usual cause is a lack of descriptors that will pass.
async fn rest(error: &io::Error) {
    tracing::warn!("cannot accept a connection now: {error}");
    tokio::time::sleep(Duration::from_millis(100)).await;
}

/// The sockets of a session.
#[derive(Debug)]
pub(super) struct Sockets {
    control: std::os::unix::net::UnixListener,
    display: std::os::unix::net::UnixListener,
}

impl Sockets {
    /// Makes them below `runtime`.
    pub(super) fn listen(runtime: &Path) -> io::Result<Self> {
        Ok(Self { control: listen(&control_socket(runtime))?, display: listen(&display_socket(runtime))? })
    }
}

fn listen(path: &Path) -> io::Result<std::os::unix::net::UnixListener> {
    let _ = std::fs::remove_file(path);
    let listener = std::os::unix::net::UnixListener::bind(path)
        .map_err(|error| io::Error::new(error.kind(), format!("cannot make the socket {}: {error}", path.display())))?;
    listener.set_nonblocking(true)?;
    // The directory is 0700 already; this is for those who move it.
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
    Ok(listener)
}

/// Whether the peer is the user whom the session belongs to.
fn is_ours(stream: &UnixStream) -> io::Result<bool> {
    Ok(stream.peer_cred()?.uid() == rustix::process::geteuid().as_raw())
}

/// How long a caller may take to say who it is.
const GREETING: Duration = Duration::from_secs(5);
/// How long a caller may take to read its last answer.
const FAREWELL: Duration = Duration::from_secs(1);

/// A connection of the agent, and the task that tells it of progress.
struct Caller {
    connection: Connection,
    progress: tokio::task::JoinHandle<()>,
}

async fn welcome(stream: UnixStream, session: &Arc<Session>) -> zbus::Result<Caller> {
    if !is_ours(&stream)? {
        return Err(zbus::Error::Failure("the peer is another user".into()));
    }
    let uid = stream.peer_cred()?.uid();
    let object = Control { session: Arc::clone(session) };
    let connection = zbus::connection::Builder::socket(Peer { stream, uid })
        .server(zbus::Guid::generate())?
        .p2p()
        .auth_mechanism(zbus::AuthMechanism::Anonymous)
        .serve_at(OBJECT_PATH, object)?
        .build()
        .await?;
    let emitter = SignalEmitter::new(&connection, OBJECT_PATH)?.into_owned();
    let mut progress = session.progress.subscribe();
    let progress = tokio::spawn(async move {
        loop {
            let told = match progress.recv().await {
                Ok((stage, fraction)) => Control::progress(&emitter, stage, fraction).await.is_ok(),
                // Progress that came too fast to be told is not missed.
                Err(RecvError::Lagged(_)) => true,
                Err(RecvError::Closed) => false,
            };
            if !told {
                break;
            }
        }
    });
    Ok(Caller { connection, progress })
}

/// Does `work` in a task, so that a bug in it is an answer: a method that panics would leave its caller waiting for ever.
async fn answered<T: Send + 'static>(
    what: &'static str,
    work: impl Future<Output = Result<T, Failure>> + Send + 'static,
) -> Result<T, Told> {
    match tokio::spawn(work).await {
        Ok(outcome) => Ok(outcome?),
        Err(error) => {
            tracing::error!("{what} came to a bug: {error}");
            Err(lost_task(what, error).into())
        }
    }
}

/// The object behind [`OBJECT_PATH`]. Only decodes, calls, and maps errors.
struct Control {
    session: Arc<Session>,
}

/// A failure on its way to the agent.
#[derive(Debug)]
struct Told(Failure);

impl From<Failure> for Told {
    fn from(failure: Failure) -> Self {
        Self(failure)
    }
}

impl From<zbus::Error> for Told {
    fn from(error: zbus::Error) -> Self {
        Self(failure(error_name::FAILED, error.to_string(), ""))
    }
}

impl zbus::DBusError for Told {
    fn create_reply(&self, call: &zbus::message::Header<'_>) -> zbus::Result<zbus::Message> {
        // Built elsewhere, too, of what may come from inside the session; a NUL in it would leave the agent without an answer.
        let (message, hint) = (lines(&self.0.message, MESSAGE), lines(&self.0.hint, MESSAGE));
        zbus::Message::error(call, self.name())?.build(&(message, hint))
    }

    fn name(&self) -> zbus::names::ErrorName<'_> {
        let name = format!("{ERROR_PREFIX}{}", self.0.name);
        zbus::names::ErrorName::try_from(name)
            .unwrap_or_else(|_| zbus::names::ErrorName::from_static_str_unchecked("org.freedesktop.DBus.Error.Failed"))
    }

    fn description(&self) -> Option<&str> {
        Some(&self.0.message)
    }
}

fn decode<T: DeserializeOwned>(text: &str) -> Result<T, Told> {
    let problem = |e| failure(error_name::INVALID_ARGUMENT, format!("the request cannot be read: {e}"), "");
    Ok(serde_json::from_str(text).map_err(problem)?)
}

fn encode(value: &impl Serialize) -> Result<String, Told> {
    let problem = |e| failure(error_name::FAILED, format!("the answer cannot be written: {e}"), "");
    Ok(serde_json::to_string(value).map_err(problem)?)
}

#[zbus::interface(name = "io.github.freezeframe.Wrapper1")]
impl Control {
    async fn save(&self, options: &str) -> Result<String, Told> {
        let options: SaveOptions = decode(options)?;
        let session = Arc::clone(&self.session);
        encode(&answered("the save", async move { save::save(&session, options).await }).await?)
    }

    async fn cancel_save(&self) -> bool {
        match &*self.session.doing() {
            Doing::Saving { cancel, frozen: false, .. } => {
                cancel.store(true, Ordering::Relaxed);
                true
            }
            _ => false,
        }
    }

    async fn check(&self) -> Result<String, Told> {
        let session = Arc::clone(&self.session);
        let report = answered("the check", async move {
            // Not while the session is frozen: nobody may be connected to its display then.
            let _entering = session.entering.read().await;
            let windows = session.windows().await;
            session.check_all(&windows).await
        });
        encode(&report.await?)
    }

    async fn execute(&self, options: &str, descriptors: Vec<zvariant::OwnedFd>) -> Result<i32, Told> {
        let options: ExecOptions = decode(options)?;
        let descriptors = descriptors.into_iter().map(OwnedFd::from).collect();
        let session = Arc::clone(&self.session);
        answered("starting the program", async move { exec::execute(&session, options, descriptors).await }).await
    }

    async fn open_display(&self) -> Result<zvariant::OwnedFd, Told> {
        let (ours, theirs) = UnixStream::pair().map_err(|e| e.to_failure())?;
        self.session.display.serve(ours);
        let theirs = theirs.into_std().map_err(|e| e.to_failure())?;
        theirs.set_nonblocking(false).map_err(|e| e.to_failure())?;
        Ok(OwnedFd::from(theirs).into())
    }

    async fn hand_over(&self, heir: zvariant::OwnedFd) {
        *self.session.heir() = Some(heir.into());
    }

    async fn take_over(&self, viewers: zvariant::OwnedFd) -> Result<(), Told> {
        Ok(self.session.display.take_over(&viewers.into()).map_err(|e| e.to_failure())?)
    }

    async fn screenshot(&self) -> Result<Vec<u8>, Told> {
        let session = Arc::clone(&self.session);
        let picture = async move {
            let told = |text: String| failure(error_name::FAILED, text, "");
            let picture = session.display.grab().await.map_err(|e| told(e.to_string()))?;
            let png = tokio::task::spawn_blocking(move || picture.to_png()).await;
            png.map_err(|e| lost_task("the picture", e))?.map_err(|e| told(e.to_string()))
        };
        answered("the picture", picture).await
    }

    async fn status(&self) -> Result<String, Told> {
        encode(&self.session.status())
    }

    async fn stop(&self) -> Result<(), Told> {
        let session = Arc::clone(&self.session);
        let stop = async move {
            let _exclusive = session.begin(Doing::Stopping)?;
            end::stop(&session).await?;
            end::clear(&session).await;
            Ok(())
        };
        answered("the stop", stop).await
    }

    #[zbus(signal)]
    async fn progress(emitter: &SignalEmitter<'_>, stage: String, fraction: f64) -> zbus::Result<()>;
}
