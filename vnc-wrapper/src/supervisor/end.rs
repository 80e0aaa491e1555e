//! Ending a session, and noticing that it ended.

use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use freezeframe_protocol::Failure;

use super::Directories;
use super::session::Session;
use crate::container::limits::Group;
use crate::container::processes;
use crate::failure::{ToFailure, lost_task};
use crate::kernel::process;

/// How long programs have to end by themselves once they were asked.
const GRACE: Duration = Duration::from_secs(2);

/// Completes when the process that `handle` refers to has ended.
pub(super) async fn ended(handle: &OwnedFd) -> io::Result<()> {
    process::watch(handle.try_clone()?)?.readable().await.map(|_| ())
}

/// Asks every process of the session to end, waits a little, and then ends them.
pub(super) async fn stop(session: &Arc<Session>) -> Result<(), Failure> {
    let asked = Arc::clone(session);
    let handles = tokio::task::spawn_blocking(move || {
        let mut handles = Vec::new();
        for process in asked.processes()?.iter().filter(|p| p.outside != asked.init) {
            if let Ok(handle) = process::open(process.outside) {
                process::terminate(&handle).map_err(|e| e.to_failure())?;
                handles.push(handle);
            }
        }
        Ok::<_, Failure>(handles)
    });
    let handles = handles.await.map_err(|e| lost_task("the stop", e))??;
    let all_ended = async {
        for handle in &handles {
            ended(handle).await?;
        }
        Ok::<(), io::Error>(())
    };
    if tokio::time::timeout(GRACE, all_ended).await.is_err() {
        tracing::info!("some programs did not end when asked");
    }
    kill(session).await
}

/// Ends every process of the session at once: with its init, the kernel ends all others.
pub(super) async fn kill(session: &Session) -> Result<(), Failure> {
    process::kill(&session.init_handle).map_err(|e| e.to_failure())?;
    ended(&session.init_handle).await.map_err(|e| e.to_failure())
}

/// Completes when the session has come to its end by itself, with the reason.
pub(super) async fn by_itself(session: &Session) -> &'static str {
    let watch = async |inside: u32| {
        let found = processes::find(session.init, inside).and_then(|p| process::open(p.outside));
        let seen = match found {
            Ok(handle) => ended(&handle).await,
            Err(error) => Err(error),
        };
        // What cannot be watched for another reason than that it is gone is left to the session's init.
        if seen.is_err_and(|e| e.kind() != io::ErrorKind::NotFound && e.raw_os_error() != Some(libc::ESRCH)) {
            std::future::pending::<()>().await;
        }
    };
    tokio::select! {
        _ = ended(&session.init_handle) => "its first process ended",
        () = watch(session.watched.display) => "its display server ended",
        () = watch(session.watched.desktop) => "its desktop ended",
    }
}

/// Takes away everything of a session that was stopped on purpose and whose processes have ended.
pub(super) async fn clear(session: &Arc<Session>) {
    let cleared = Arc::clone(session);
    let work = tokio::task::spawn_blocking(move || {
        cleared.unmount();
        remove(&cleared.directories);
    });
    if let Err(error) = work.await {
        tracing::error!("the clean-up was lost: {error}");
    }
    session.ended.send_replace(true);
}

/// Removes a session's directories, and its cgroup. Its mounts have to be gone.
pub(super) fn remove(directories: &Directories) {
    Group::remove(&directories.session);
    for path in [&directories.runtime, &directories.session] {
        if let Err(error) = fs::remove_dir_all(path)
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::error!("cannot remove {}: {error}", path.display());
        }
    }
}
