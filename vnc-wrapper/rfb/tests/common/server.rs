//! Xtigervnc over a Unix socket.
#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]
#![allow(dead_code, reason = "every test file takes its own part")]

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use freezeframe_rfb::{Framebuffer, grab};
use tempfile::TempDir;
use tokio::net::UnixStream;
use tokio::time::timeout;

pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// A server of its own for one test, ended with it.
pub(crate) struct Server {
    child: Child,
    pub(crate) display: String,
    pub(crate) socket: PathBuf,
    _directory: Option<TempDir>,
}

impl Server {
    /// One with its own socket.
    pub(crate) fn start(size: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let mut server = Self::start_on(&directory.path().join("rfb"), size);
        server._directory = Some(directory);
        server
    }

    /// One with this socket.
    pub(crate) fn start_on(socket: &Path, size: &str) -> Self {
        need("Xtigervnc", "tigervnc-standalone-server");
        need("xsetroot", "x11-xserver-utils");
        let number = socket.with_extension("number");
        for old in [socket, &number] {
            let _ = std::fs::remove_file(old);
        }
        let child = Command::new("sh")
            // The server writes the number of the display that it found free. It keeps its root window's colour when the
            // last client goes.
            .arg("-c")
            .arg(r#"exec Xtigervnc -displayfd 3 -noreset -geometry "$1" -depth 24 -rfbport -1 -rfbunixpath "$2" -SecurityTypes None 3>"$3""#)
            .args(["sh", size])
            .args([socket, &number])
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let display = wait_for("the server", || {
            let number = std::fs::read_to_string(&number).ok()?;
            (number.ends_with('\n') && socket.exists()).then(|| format!(":{}", number.trim()))
        });
        Self { child, display, socket: socket.to_owned(), _directory: None }
    }

    pub(crate) fn run(&self, program: &str, arguments: &[&str]) {
        let status = Command::new(program).args(arguments).env("DISPLAY", &self.display).status().unwrap();
        assert!(status.success(), "{program} {arguments:?}: {status}");
    }

    pub(crate) async fn stream(&self) -> UnixStream {
        UnixStream::connect(&self.socket).await.unwrap()
    }

    pub(crate) async fn grab(&self) -> Framebuffer {
        timeout(PATIENCE, grab(self.stream().await)).await.expect("grab in time").unwrap()
    }
}

impl Drop for Server {
    /// As hard as can be: the server says goodbye to nobody.
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(crate) fn need(program: &str, package: &str) {
    let found = std::env::var_os("PATH")
        .is_some_and(|path| std::env::split_paths(&path).any(|directory| Path::new(&directory).join(program).exists()));
    assert!(found, "{program} is not there, and this test needs it: apt-get install {package}");
}

pub(crate) fn wait_for<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(start.elapsed() < PATIENCE, "{what} did not come");
        std::thread::sleep(Duration::from_millis(20));
    }
}
