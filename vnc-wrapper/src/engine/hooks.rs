//! What CRIU calls back: its action script, which is the wrapper's own program asking the wrapper, and our plugin.

use std::fs;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use freezeframe_store::usage;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

/// Environment variable that tells a hook which socket to ask.
pub(super) const HOOK_VARIABLE: &str = "FREEZEFRAME_HOOK";
/// Environment variable in which CRIU names the stage to its action script (criu(8), --action-script).
const ACTION_VARIABLE: &str = "CRTOOLS_SCRIPT_ACTION";
/// Environment variable in which CRIU gives its action script the pid of the tree's root, from some stages on.
const INIT_VARIABLE: &str = "CRTOOLS_INIT_PID";
/// CRIU is given up when it has neither called a hook nor written anything for so long. Its own limit for stopping
/// processes is 10 seconds (criu(8), --timeout).
pub(super) const QUIET: Duration = Duration::from_secs(120);
/// How often its progress is looked at, in milliseconds.
const LOOK: u16 = 5000;
/// How long a hook may take to say what it is, or the plugin to do what it is asked; each does so at once.
const HOOK_DEADLINE: Duration = Duration::from_secs(10);

/// How the serving of hooks came to its end.
pub(super) enum Served {
    /// CRIU has ended.
    Ended,
    /// It has not, and has shown no sign of life for [`QUIET`].
    Hung,
}

/// Answers CRIU's action scripts, each of which is this program asking back.
pub(super) struct Hooks {
    listener: UnixListener,
    path: PathBuf,
}

impl Hooks {
    pub(super) fn listen(path: &Path) -> io::Result<Self> {
        let _ = fs::remove_file(path);
        Ok(Self { listener: UnixListener::bind(path)?, path: path.to_owned() })
    }

    /// Calls `act` with the name of each stage, the session's init as far as it is known, and who asks, until `child` has
    /// ended; its answer is the script's success.
    pub(super) fn serve(
        &self,
        child: &OwnedFd,
        writes: &Path,
        mut act: impl FnMut(&str, u32, &mut UnixStream) -> bool,
    ) -> io::Result<Served> {
        let mut seen = (usage::bytes_below(writes).unwrap_or(0), Instant::now());
        loop {
            let mut ready =
                [PollFd::new(self.listener.as_fd(), PollFlags::POLLIN), PollFd::new(child.as_fd(), PollFlags::POLLIN)];
            match poll(&mut ready, PollTimeout::from(LOOK)) {
                Err(nix::errno::Errno::EINTR) => continue,
                Ok(0) => {
                    let written = usage::bytes_below(writes).unwrap_or(0);
                    if written != seen.0 {
                        seen = (written, Instant::now());
                    } else if seen.1.elapsed() > QUIET {
                        return Ok(Served::Hung);
                    }
                    continue;
                }
                other => other?,
            };
            seen.1 = Instant::now();
            let is_ready = |fd: &PollFd<'_>| fd.revents().is_some_and(|events| !events.is_empty());
            if is_ready(&ready[0]) {
                let (mut stream, _) = self.listener.accept()?;
                stream.set_read_timeout(Some(HOOK_DEADLINE))?;
                let mut action = [0u8; 64];
                let length = stream.read(&mut action)?;
                let text = String::from_utf8_lossy(&action[..length]);
                let (action, init) = text.split_once(' ').unwrap_or((&text, ""));
                let answer = act(action, init.parse().unwrap_or(0), &mut stream);
                // A hook that is gone has ended with an error, and CRIU knows.
                let _ = stream.write_all(&[u8::from(answer)]);
                seen.1 = Instant::now();
            } else if is_ready(&ready[1]) {
                return Ok(Served::Ended);
            }
        }
    }
}

impl Drop for Hooks {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

/// If this process was started by CRIU as its action script: asks the wrapper, and returns the exit status.
pub fn run_as_hook() -> Option<i32> {
    let socket = std::env::var_os(HOOK_VARIABLE)?;
    let action = std::env::var(ACTION_VARIABLE).ok()?;
    let init = std::env::var(INIT_VARIABLE).unwrap_or_default();
    let asked = (|| {
        let mut stream = UnixStream::connect(socket)?;
        stream.write_all(format!("{action} {init}").as_bytes())?;
        let mut answer = [0u8; 1];
        stream.read_exact(&mut answer)?;
        Ok::<bool, io::Error>(answer[0] == 1)
    })();
    Some(i32::from(!matches!(asked, Ok(true))))
}
