//! A session's way out: pasta (passt.top), which turns the packets of a tap device into connections of an ordinary process.
//!
//! The session's addresses are the same on every machine, so that a resumed session finds its own again. Nothing comes
//! in, and the outside's loopback is out of reach.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::net::Ipv4Addr;
use std::process::{Command, Stdio};

use super::plan::NETWORK_SETTINGS;
use crate::kernel::namespaces;

/// Address of the session on its own little network.
pub const ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 15);
/// Its prefix length.
const PREFIX: &str = "24";
/// Its router.
const ROUTER: &str = "10.0.2.2";
/// Its name server: pasta passes what is sent there on to the outside's.
pub const NAME_SERVER: &str = "10.0.2.3";

/// Why there is no way out.
#[derive(Debug, thiserror::Error)]
pub enum NetworkError {
    /// pasta could not be run.
    #[error("cannot run pasta, which --network outbound needs: {0}")]
    Run(#[source] io::Error),
    /// pasta could not do it; its own words.
    #[error("pasta cannot connect the session: {0}")]
    Refused(String),
}

/// Connects the network namespace of process `init` to the outside, its loopback interface included. pasta goes on in the
/// background and ends with the supervisor.
///
/// # Errors
/// When pasta is missing or fails.
pub fn connect(init: u32) -> Result<(), NetworkError> {
    let mut command = Command::new("pasta");
    // Nobody's id would keep it from opening the session's namespaces.
    command.args(["--runas", "0:0", "--quiet", "--config-net", "--ipv4-only"]);
    command.arg("--address").arg(ADDRESS.to_string());
    command.args(["--netmask", PREFIX, "--gateway", ROUTER, "--dns-forward", NAME_SERVER]);
    // No port either way, and no address that stands for the outside itself.
    command.args(["-t", "none", "-u", "none", "-T", "none", "-U", "none", "--no-map-gw", "--no-netns-quit"]);
    command.args(["--ns-ifname", "eth0"]);
    command.arg("--userns").arg(format!("/proc/{init}/ns/user"));
    command.arg("--netns").arg(format!("/proc/{init}/ns/net"));
    command.stdin(Stdio::null()).stdout(Stdio::null());
    // It answers once the interface is there, and leaves a child behind, which keeps standard error: a file, no pipe.
    let mut said = tempfile().map_err(NetworkError::Run)?;
    let status = command.stderr(said.try_clone().map_err(NetworkError::Run)?).status().map_err(NetworkError::Run)?;
    if status.success() {
        return Ok(());
    }
    let mut text = String::new();
    let read = io::Seek::rewind(&mut said)
        .and_then(|()| io::Read::read_to_string(&mut io::Read::take(&mut said, 1 << 20), &mut text));
    let last = text.lines().rfind(|line| !line.contains("syslog")).unwrap_or_default();
    Err(NetworkError::Refused(match read {
        Ok(_) if !last.is_empty() => last.to_owned(),
        _ => status.to_string(),
    }))
}

/// Gives the network namespace of process `init` the settings of a session's, as far as the kernel has them.
///
/// # Errors
/// When we may not.
pub fn apply_settings(init: u32) -> io::Result<()> {
    // /proc/sys/net is that of whoever looks (linux/net/sysctl_net.c).
    namespaces::in_network_of(init, || NETWORK_SETTINGS.iter().try_for_each(|(path, value)| set(path, value)))
}

/// Writes a setting of the kernel, if it has that.
///
/// # Errors
/// When it may not be written.
pub fn set(path: &str, value: &str) -> io::Result<()> {
    match OpenOptions::new().write(true).open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other?.write_all(value.as_bytes()),
    }
}

/// A file without a name.
fn tempfile() -> io::Result<std::fs::File> {
    Ok(rustix::fs::memfd_create("pasta", rustix::fs::MemfdFlags::CLOEXEC)?.into())
}
