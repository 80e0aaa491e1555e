//! The connection to the wrapper of a running session.

use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use freezeframe_api::{Error, ErrorKind, Result};
use freezeframe_protocol::{Status, Wrapper1Proxy};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use tokio::net::UnixStream;
use tokio::time::timeout;
use zbus::{AuthMechanism, MatchRule, MessageStream};

/// How long a wrapper may take to shake hands and say what it does.
const GREETING: Duration = Duration::from_secs(5);

/// How often a wrapper that does not listen yet is tried.
const LOOK: Duration = Duration::from_millis(10);

/// How long a wrapper may live on once it has closed the connection.
const LAST_STEPS: Duration = Duration::from_secs(10);

/// A live wrapper. Calls have no time limit: a save takes as long as it takes, and a dead wrapper ends the connection.
#[derive(Clone, Debug)]
pub(crate) struct Control {
    connection: zbus::Connection,
    /// Readable once the wrapper's process has ended.
    process: Arc<OwnedFd>,
    pub(crate) wrapper: Wrapper1Proxy<'static>,
}

impl Control {
    /// Connects to the wrapper that serves `socket`, and asks what it is doing.
    pub(crate) async fn connect(socket: &Path) -> Result<(Self, Status)> {
        let failed = |reason: String| {
            Error::new(ErrorKind::Failed, format!("cannot reach the wrapper at {}: {reason}", socket.display()))
        };
        let greeting = async {
            let stream = UnixStream::connect(socket).await.map_err(|e| failed(e.to_string()))?;
            let process = process_of(&stream).map_err(|e| failed(e.to_string()))?;
            let builder = zbus::connection::Builder::unix_stream(stream).p2p().auth_mechanism(AuthMechanism::Anonymous);
            let connection = builder.build().await.map_err(|e| failed(e.to_string()))?;
            // Without a bus nobody has a name; the proxy wants one all the same.
            let wrapper = Wrapper1Proxy::new(&connection, "io.github.freezeframe.Wrapper1").await;
            let wrapper = wrapper.map_err(|e| failed(e.to_string()))?;
            let control = Self { connection, process: Arc::new(process), wrapper };
            let status = control.status().await?;
            Ok((control, status))
        };
        timeout(GREETING, greeting).await.map_err(|_| failed("it does not answer".to_owned()))?
    }

    /// As [`Control::connect`], of a wrapper that has just said that it is up and may not listen yet.
    pub(crate) async fn connect_soon(socket: &Path) -> Result<Self> {
        let deadline = Instant::now() + GREETING;
        loop {
            match Self::connect(socket).await {
                Ok((control, _)) => return Ok(control),
                Err(error) if Instant::now() > deadline => return Err(error),
                Err(_) => tokio::time::sleep(LOOK).await,
            }
        }
    }

    /// What the wrapper is doing.
    pub(crate) async fn status(&self) -> Result<Status> {
        let text = self.wrapper.status().await?;
        serde_json::from_str(&text)
            .map_err(|e| Error::new(ErrorKind::Failed, format!("the wrapper's answer cannot be read: {e}")))
    }

    /// The `Progress` signals from now on. (A proxy's own stream asks a bus who the sender is, and here is no bus.)
    pub(crate) async fn progress(&self) -> zbus::Result<MessageStream> {
        let rule = MatchRule::builder()
            .msg_type(zbus::message::Type::Signal)
            .interface("io.github.freezeframe.Wrapper1")?
            .member("Progress")?
            .build();
        MessageStream::for_match_rule(rule, &self.connection, None).await
    }

    /// Ends a wrapper that has nothing left to do and does not end.
    pub(crate) fn kill(&self) {
        if let Err(error) = pidfd_send_signal(&*self.process, Signal::KILL) {
            tracing::warn!(%error, "cannot end a wrapper");
        }
    }

    /// Answers once the wrapper is gone: it has closed the connection and its process has ended, so that nothing it
    /// still clears away can be that of a later session of the same name.
    pub(crate) async fn closed(&self) {
        self.connection.closed().await;
        let process = self.process.clone();
        let ended = tokio::task::spawn_blocking(move || has_ended(&process)).await;
        if !ended.unwrap_or(false) {
            tracing::warn!("a wrapper closed its connection and does not end");
        }
    }
}

fn process_of(stream: &UnixStream) -> std::io::Result<OwnedFd> {
    let gone = || std::io::Error::from(std::io::ErrorKind::NotFound);
    let pid = stream.peer_cred()?.pid().and_then(Pid::from_raw).ok_or_else(gone)?;
    Ok(pidfd_open(pid, PidfdFlags::empty())?)
}

/// Waits, not forever, until the process has ended.
fn has_ended(process: &OwnedFd) -> bool {
    let deadline = Instant::now() + LAST_STEPS;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let left = Timespec::try_from(left).ok();
        match poll(&mut [PollFd::new(process, PollFlags::IN)], left.as_ref()) {
            Ok(ready) => return ready > 0,
            Err(rustix::io::Errno::INTR) => {}
            Err(_) => return false,
        }
    }
}
