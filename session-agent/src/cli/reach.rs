//! Reaching the agent: find the bus, let it activate the agent, or start the agent ourselves.
//!
//! Two clients may start two agents at once: one gets the name, the other ends, and both clients find the one.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use freezeframe_api::names::BUS_NAME;
use freezeframe_api::{Error, ErrorKind, Manager1Proxy, Result};
use zbus::fdo::DBusProxy;
use zbus::names::WellKnownName;
use zbus::proxy::CacheProperties;

use crate::bus::Bus;
use crate::dirs::Directories;
use crate::programs::Programs;

/// How long an agent may take to have its name.
const DEADLINE: Duration = Duration::from_secs(20);

/// How often a started agent is looked for.
const LOOK: Duration = Duration::from_millis(20);

/// The agent, reached.
#[derive(Debug)]
pub(super) struct Agent {
    pub(super) connection: zbus::Connection,
    /// Address of the bus that it was reached on.
    pub(super) bus: String,
    pub(super) manager: Manager1Proxy<'static>,
}

fn unreachable(text: impl Into<String>) -> Error {
    Error::new(ErrorKind::Unreachable, text)
}

/// Reaches the agent, starting it where needed.
pub(super) async fn agent() -> Result<Agent> {
    let dirs = Directories::find()?;
    let bus = Bus::from_environment(&dirs);
    bus.ensure(&dirs)?;
    let address = bus.address();
    let connection = zbus::connection::Builder::address(address.as_str());
    let connection = async { connection?.build().await }.await.map_err(|e| {
        unreachable(format!("cannot connect to the session bus at {address}: {e}"))
            .hint("Unset DBUS_SESSION_BUS_ADDRESS to let sessionctl find or start one.")
    })?;
    let deadline = Instant::now() + DEADLINE;
    loop {
        ensure_agent(&connection, &dirs, &address).await?;
        let manager = Manager1Proxy::builder(&connection).cache_properties(CacheProperties::No).build().await?;
        // One that was killed a moment ago may still have the name; the next one answers.
        let answer = tokio::time::timeout(DEADLINE, manager.version()).await;
        match answer.map(|a| a.map_err(Error::from)) {
            Ok(Ok(_)) => return Ok(Agent { connection, bus: address, manager }),
            Ok(Err(error)) if error.kind == ErrorKind::Unreachable && Instant::now() < deadline => {
                tokio::time::sleep(LOOK).await;
            }
            Ok(Err(error)) => return Err(unreachable(format!("the agent cannot be reached: {}", error.message))),
            Err(_) => {
                return Err(
                    unreachable("the agent does not answer").hint(format!("Its log: {}", log_file(&dirs).display()))
                );
            }
        }
    }
}

async fn ensure_agent(connection: &zbus::Connection, dirs: &Directories, address: &str) -> Result<()> {
    let bus = DBusProxy::new(connection).await?;
    let name = || WellKnownName::from_static_str(BUS_NAME).map_err(zbus::Error::from);
    let is_there = async || -> Result<bool> { Ok(bus.name_has_owner(name()?.into()).await?) };
    if is_there().await? {
        return Ok(());
    }
    if bus.start_service_by_name(name()?, 0).await.is_ok() {
        return Ok(());
    }
    let mut child = start(dirs, address)?;
    let deadline = Instant::now() + DEADLINE;
    while !is_there().await? {
        let ended = child.try_wait().ok().flatten();
        // One that lost a race for the name ends while the winner has it.
        if (ended.is_some() && !is_there().await?) || Instant::now() > deadline {
            return Err(unreachable(format!("the agent did not start{}", last_words(dirs)))
                .hint(format!("Its log: {}", log_file(dirs).display())));
        }
        tokio::time::sleep(LOOK).await;
    }
    Ok(())
}

fn log_file(dirs: &Directories) -> std::path::PathBuf {
    dirs.runtime_own().join("agent.log")
}

fn start(dirs: &Directories, address: &str) -> Result<Child> {
    let program = Programs::from_environment().find("session-agent").ok_or_else(|| {
        unreachable("the agent does not run, and the program session-agent was not found")
            .hint("Install Freezeframe whole (`make install`).")
    })?;
    dirs.make_runtime_own()?;
    let log = OpenOptions::new().create(true).append(true).mode(0o600).open(log_file(dirs));
    let log = log.map_or_else(|_| Stdio::null(), Stdio::from);
    let mut command = Command::new(&program);
    command.arg("--detach").env("DBUS_SESSION_BUS_ADDRESS", address).current_dir("/");
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
    command.spawn().map_err(|e| unreachable(format!("cannot start {}: {e}", program.display())))
}

fn last_words(dirs: &Directories) -> String {
    use std::io::{Read, Seek, SeekFrom};
    let tail = || -> std::io::Result<String> {
        let mut file = File::open(log_file(dirs))?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(4096)))?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    };
    let tail = tail().unwrap_or_default();
    tail.lines().rfind(|l| l.starts_with("session-agent: ")).map(|l| format!(": {}", &l[15..])).unwrap_or_default()
}
