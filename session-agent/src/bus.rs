//! Which bus: the session bus of the environment, the user's bus in the runtime directory, or a private one of ours.

use std::fs::{OpenOptions, Permissions};
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use freezeframe_api::{Error, ErrorKind, Result};

use crate::dirs::Directories;

/// Which bus agent and clients of one user meet on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Bus {
    /// One that somebody else runs, by its address.
    Given(String),
    /// Ours, at this socket; started when nobody answers there.
    Private(PathBuf),
}

impl Bus {
    /// `$DBUS_SESSION_BUS_ADDRESS`, else `<runtime>/bus` if it is a socket, else `<runtime>/freezeframe/bus`.
    pub fn choose(address: Option<String>, dirs: &Directories) -> Self {
        if let Some(address) = address.filter(|a| !a.is_empty()) {
            return Self::Given(address);
        }
        let usual = dirs.runtime.join("bus");
        // Where the runtime directory is open to others, theirs may be there.
        let ours = |m: &std::fs::Metadata| m.uid() == rustix::process::geteuid().as_raw();
        if std::fs::metadata(&usual).is_ok_and(|m| m.file_type().is_socket() && ours(&m)) {
            return Self::Given(unix_address(&usual));
        }
        Self::Private(dirs.runtime_own().join("bus"))
    }

    /// The bus of this process's environment.
    pub fn from_environment(dirs: &Directories) -> Self {
        Self::choose(std::env::var("DBUS_SESSION_BUS_ADDRESS").ok(), dirs)
    }

    /// Its address.
    pub fn address(&self) -> String {
        match self {
            Self::Given(address) => address.clone(),
            Self::Private(socket) => unix_address(socket),
        }
    }

    /// Starts the private bus where it is needed and nobody answers yet. Two callers at once start one bus.
    ///
    /// # Errors
    /// [`ErrorKind::Unreachable`] when dbus-daemon is missing or does not start.
    pub fn ensure(&self, dirs: &Directories) -> Result<()> {
        let Self::Private(socket) = self else { return Ok(()) };
        let own = dirs.make_runtime_own()?;
        let failed = |text: String| Error::new(ErrorKind::Unreachable, text);
        let lock = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(own.join(".bus.lock"));
        let lock = lock.map_err(|e| failed(format!("cannot lock {}: {e}", own.display())))?;
        rustix::fs::flock(&lock, rustix::fs::FlockOperation::LockExclusive)
            .map_err(|e| failed(format!("cannot lock {}: {e}", own.display())))?;
        if UnixStream::connect(socket).is_ok() {
            return Ok(());
        }
        let mut command = Command::new("dbus-daemon");
        command.args(["--session", "--fork", "--nopidfile"]).arg(format!("--address={}", self.address()));
        let status = command.current_dir("/").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status();
        match status {
            // With --fork it answers before the first process ends.
            Ok(status) if status.success() => std::fs::set_permissions(socket, Permissions::from_mode(0o600))
                .map_err(|e| failed(format!("cannot protect {}: {e}", socket.display()))),
            Ok(status) => Err(failed(format!("there is no session bus, and dbus-daemon did not start ({status})"))
                .hint("Try `dbus-run-session -- sessionctl …` to see why.")),
            Err(e) => Err(failed(format!("there is no session bus, and dbus-daemon cannot be started: {e}"))
                .hint("Install it: apt install dbus-daemon")),
        }
    }
}

fn unix_address(socket: &Path) -> String {
    let escaped: String = socket.to_string_lossy().bytes().fold(String::new(), |mut text, byte| {
        if byte.is_ascii_alphanumeric() || b"-_/.\\*".contains(&byte) {
            text.push(char::from(byte));
        } else {
            text.push_str(&format!("%{byte:02x}"));
        }
        text
    });
    format!("unix:path={escaped}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bus_is_chosen_in_order() {
        let dir = tempfile::tempdir().unwrap();
        let runtime = dir.path().to_owned();
        let dirs = Directories { data: "/d".into(), config_file: "/c".into(), runtime: runtime.clone() };
        assert_eq!(Bus::choose(Some("unix:path=/x".into()), &dirs), Bus::Given("unix:path=/x".into()));
        assert_eq!(Bus::choose(None, &dirs), Bus::Private(runtime.join("freezeframe/bus")));
        let _socket = std::os::unix::net::UnixListener::bind(runtime.join("bus")).unwrap();
        assert_eq!(Bus::choose(Some(String::new()), &dirs), Bus::Given(unix_address(&runtime.join("bus"))));
    }

    #[test]
    fn addresses_are_escaped() {
        assert_eq!(unix_address(Path::new("/a b/c,d")), "unix:path=/a%20b/c%2cd");
    }
}
