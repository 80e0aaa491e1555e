//! Makes a session, new or resumed, and hands it to its control loop.

use std::fs::{self, DirBuilder, File};
use std::io::{self, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use freezeframe_protocol::{Failure, error_name};
use freezeframe_store::manifest::Watched;
use freezeframe_store::session::Network;
use freezeframe_store::{BaseRecord, SessionRecord, SnapshotId, Store};

use super::control::Sockets;
use super::saved::Images;
use super::session::Session;
use super::{Directories, control, exec, saved, system_bus};
use crate::container::inside::has_socket;
use crate::container::restored::{self, Expected};
use crate::container::{self, apply, connections, network, plan};
use crate::display::Display;
use crate::engine::{Connect, Engine, EngineError, Moment, RestoreRequest};
use crate::failure::{ToFailure, failure};
use crate::kernel::idmap::IdMap;
use crate::kernel::mounts::{Mount, Overlay};
use crate::kernel::{loopback, process};
use crate::layer;
use crate::report::{Report, resumed};

/// How long the display server may take to listen.
const DISPLAY_DEADLINE: Duration = Duration::from_secs(30);
/// How long a window manager may take to come; no longer than anybody would wait for an answer.
const WINDOW_MANAGER_DEADLINE: Duration = Duration::from_secs(15);
/// How often that is looked at; there is no event for it.
const POLL: Duration = Duration::from_millis(5);

/// Everything that a session is made from.
#[derive(Debug)]
pub(super) struct Boot {
    /// Held for the supervisor's life.
    pub(super) lock: File,
    /// First outside id of the user's sessions.
    pub(super) first_id: u32,
    pub(super) store: Store,
    pub(super) record: SessionRecord,
    pub(super) directories: Directories,
    pub(super) map: IdMap,
    pub(super) privileged: bool,
    pub(super) resume: Option<SnapshotId>,
    /// The raw files of that snapshot, when it is not committed yet and only tried.
    pub(super) raw: Option<PathBuf>,
}

/// Makes the session, reports, and serves it until it ends. Returns the exit status. One that could not be made leaves
/// nothing behind.
pub(super) fn run<W: Write>(boot: Boot, begun: Instant, mut report: Report<W>) -> i32 {
    tracing::info!(session = %boot.record.id, resume = ?boot.resume, "starting");
    let directories = boot.directories.clone();
    match make(boot, &mut report) {
        Ok((session, sockets)) => control::serve(session, sockets, move || {
            // From here on the session is nobody's child.
            if let Err(error) = process::end_with_parent(false) {
                tracing::error!("the session will end with whoever started it: {error}");
            }
            report.end(Ok(resumed(begun.elapsed())));
            // Whoever started us reads until the pipe is closed, as it now is.
        }),
        Err(error) => {
            tracing::warn!("not started: {}", error.message);
            let _ = fs::remove_dir_all(&directories.runtime);
            if let Err(leftover) = fs::remove_dir_all(&directories.session) {
                tracing::error!("cannot remove {}: {leftover}", directories.session.display());
            }
            report.end(Err(error))
        }
    }
}

fn make<W: Write>(boot: Boot, report: &mut Report<W>) -> Result<(Session, Sockets), Failure> {
    let sockets = Sockets::listen(&boot.directories.runtime).map_err(|e| e.to_failure())?;
    let (base, images, mount) = lay(&boot, report)?;
    let session = match boot.resume.clone().zip(images) {
        Some((snapshot, images)) => resume(boot, base, mount, &snapshot, images, report)?,
        None => start(boot, base, mount, report)?,
    };
    Ok((session, sockets))
}

/// Restores the snapshot of `boot` for nobody: its processes stay stopped, and nothing leads out.
///
/// # Errors
/// `Damaged` for what was found against the snapshot, and nothing else.
pub(super) fn rehearse(boot: &Boot) -> Result<(), Failure> {
    let (_, images, mount) = lay(boot, &mut Report::new(io::sink()))?;
    let images = images.ok_or_else(|| failure(error_name::FAILED, "there is nothing to restore", ""))?;
    let network = boot.record.network;
    let mut connect = |moment: Moment, init: u32| match (moment, network) {
        (Moment::Namespaces, Network::Outbound) => Ok(loopback::stand_in(init, network::ADDRESS)?),
        _ => Ok(()),
    };
    restore(boot, &images, &mount, true, &mut connect).map(drop)
}

fn restore(
    boot: &Boot,
    images: &Images,
    mount: &Mount,
    stopped: bool,
    connect: &mut Connect<'_>,
) -> Result<u32, Failure> {
    let engine = super::session::engine(&boot.store, &boot.directories, boot.privileged)?;
    let work = boot.directories.session.join("restore");
    DirBuilder::new().mode(0o700).create(&work).map_err(|e| e.to_failure())?;
    let (images, root) = (images.path(), mount.path());
    let request = RestoreRequest { images, work: &work, root, network: boot.record.network, stopped };
    let expected = Expected { map: &boot.map, root, devices: &plan::DEVICES };
    let mut checked = |moment: Moment, init: u32| {
        match moment {
            // Before the host's network is given to it.
            Moment::Namespaces => restored::check_namespaces(init, &boot.map)?,
            Moment::Restored => restored::check(init, &expected)?,
            Moment::BeforeRun => restored::check_open(init, &expected)?,
        }
        connect(moment, init)
    };
    engine.restore(&request, &mut checked).map_err(|e| if stopped { found(&e) } else { e.to_failure() })
}

/// What an engine's refusal to restore on the side says of the snapshot: `Damaged`, unless the cause is the machine's.
fn found(error: &EngineError) -> Failure {
    const OF_THE_MACHINE: [&str; 4] =
        ["Cannot allocate memory", "No space left on device", "Resource temporarily unavailable", "killed"];
    let against = match error {
        EngineError::Refused { reason, .. } => !OF_THE_MACHINE.iter().any(|words| reason.contains(words)),
        EngineError::InHook(source) => source
            .downcast_ref::<io::Error>()
            .is_some_and(|error| [io::ErrorKind::InvalidData, io::ErrorKind::UnexpectedEof].contains(&error.kind())),
        _ => false,
    };
    let failure = error.to_failure();
    if against { Failure { name: error_name::DAMAGED.to_owned(), ..failure } } else { failure }
}

/// Lays the layer, empty or of a snapshot, over its base; with the images, when there is a snapshot.
fn lay<W: Write>(boot: &Boot, report: &mut Report<W>) -> Result<(BaseRecord, Option<Images>, Mount), Failure> {
    let base = boot.store.base(&boot.record.base).map_err(|e| e.to_failure())?;
    check_base(boot, &base)?;
    let directories = &boot.directories;
    for path in [directories.work(), directories.root()] {
        DirBuilder::new().mode(0o700).create(&path).map_err(|e| e.to_failure())?;
    }
    let images = match &boot.resume {
        Some(snapshot) => {
            report.progress("reading the snapshot", 0.1);
            Some(match &boot.raw {
                Some(raw) => saved::lay_out_raw(raw, directories)?,
                None => saved::lay_out(&boot.store, snapshot, directories)?,
            })
        }
        None => {
            let (path, root) = (directories.layer(), boot.map.outside_uid(0).zip(boot.map.outside_gid(0)));
            DirBuilder::new().mode(0o755).create(&path).map_err(|e| e.to_failure())?;
            let (uid, gid) = root.unwrap_or_default();
            std::os::unix::fs::chown(&path, Some(uid), Some(gid)).map_err(|e| e.to_failure())?;
            None
        }
    };
    // Relative to the data directory, because the session can read in its /proc/mounts what is given here.
    let data = boot.store.root();
    std::env::set_current_dir(data).map_err(|e| e.to_failure())?;
    let below = |path: PathBuf| path.strip_prefix(data).map(Path::to_owned).unwrap_or(path);
    let overlay = Overlay {
        lower: below(boot.store.base_dir(&base.name).map_err(|e| e.to_failure())?.join("root")),
        upper: below(directories.layer()),
        work: below(directories.work()),
        user_attributes: !boot.privileged,
    };
    if boot.resume.is_some() && boot.privileged {
        relocate(&overlay, directories)?;
    }
    let mount = overlay.mount(&directories.root()).map_err(|error| {
        failure(
            error_name::MACHINE_LACKS,
            format!("cannot lay the session's layer over its base: {error}"),
            "the data directory has to be on ext4, xfs or btrfs; `sessionctl doctor` tells",
        )
    })?;
    Ok((base, images, mount))
}

/// Makes a layer that may have been made over another copy of its base one of this copy.
fn relocate(overlay: &Overlay, directories: &Directories) -> Result<(), Failure> {
    let scratch = directories.session.join("relocate");
    let dropped = layer::relocate(&overlay.upper, &directories.index(), &overlay.lower, &scratch);
    let dropped = dropped.map_err(|e| e.to_failure())?;
    if dropped > 0 {
        tracing::warn!(
            dropped,
            "files of the base with several names show the base's content under those that were not changed"
        );
    }
    Ok(())
}

fn check_base(boot: &Boot, base: &BaseRecord) -> Result<(), Failure> {
    if base.identity != boot.record.base_identity {
        return Err(failure(
            error_name::FAILED,
            format!("the base {:?} is not the one that this was saved on; it was built anew since", base.name),
            "import or build the base that it was saved on under that name",
        ));
    }
    if base.first_id != boot.first_id {
        return Err(failure(
            error_name::FAILED,
            format!("the files of the base {:?} belong to other ids than sessions have now", base.name),
            format!(
                "take back the change to /etc/subuid, or build the base anew: sessionctl base remove {}",
                base.name
            ),
        ));
    }
    Ok(())
}

fn start<W: Write>(boot: Boot, base: BaseRecord, mount: Mount, report: &mut Report<W>) -> Result<Session, Failure> {
    let root = mount.path();
    if !root.join("usr/bin/Xtigervnc").exists() {
        return Err(failure(
            error_name::FAILED,
            format!("the base {:?} has no display server: /usr/bin/Xtigervnc is not in it", base.name),
            "install the package tigervnc-standalone-server in what the base is made from, and import it again",
        ));
    }
    report.progress("making the container", 0.2);
    let init = apply::start(root, &boot.map, &plan::session(boot.record.network)).map_err(|e| e.to_failure())?;
    let guard = KillOnDrop(Some(process::open(init).map_err(|e| e.to_failure())?));
    if boot.record.network == Network::Outbound {
        network::connect(init).map_err(|e| e.to_failure())?;
    }
    report.progress("starting the display", 0.4);
    let size = format!("{}x{}", boot.record.width, boot.record.height);
    // Its own limit is a quarter of what viewers may send, and it drops what is longer without a word.
    let longest_text = freezeframe_rfb::limits::MAX_CLIPBOARD.to_string();
    let server: Vec<String> = [
        "/usr/bin/Xtigervnc",
        container::DISPLAY,
        "-geometry",
        &size,
        "-depth",
        "24",
        "-rfbport",
        "-1",
        "-rfbunixpath",
        container::RFB_SOCKET,
        "-rfbunixmode",
        "0600",
        "-SecurityTypes",
        "None",
        "-AlwaysShared",
        "-MaxCutText",
        &longest_text,
        "-nolisten",
        "tcp",
        "-desktop",
        boot.record.id.as_str(),
    ]
    .map(str::to_owned)
    .to_vec();
    let run = |argv: Vec<String>| exec::start_detached(init, &base, argv);
    let display_pid = run(server)?;
    let display = Display::new(init);
    wait_for("the display server to listen", || display.is_listening())?;
    report.progress("starting the desktop", 0.7);
    let bus = format!("--address=unix:path=/run/user/{}/bus", container::USER_ID);
    run(["dbus-daemon", "--session", "--nofork", "--nopidfile", "--nosyslog", &bus].map(str::to_owned).to_vec())?;
    let bus = format!("/run/user/{}/bus", container::USER_ID);
    system_bus::start(init, &base);
    wait_for("the session bus to listen", || has_socket(init, &bus))?;
    let desktop_pid = run(base.desktop.clone())?;
    let watched = Watched { display: display_pid, desktop: desktop_pid };
    // Windows that come before it would stay unmanaged for ever with some. A desktop that has none runs all the same.
    if wait_until(WINDOW_MANAGER_DEADLINE, || display.has_window_manager()).is_err() {
        tracing::warn!("the desktop has no window manager");
    }
    Session::new(boot, base, init, watched, display, guard, mount)
}

fn resume<W: Write>(
    boot: Boot,
    base: BaseRecord,
    mount: Mount,
    snapshot: &SnapshotId,
    images: Images,
    report: &mut Report<W>,
) -> Result<Session, Failure> {
    let manifest = boot.store.manifest(snapshot).map_err(|e| e.to_failure())?;
    report.progress("restoring the processes", 0.5);
    let outbound = manifest.network == Network::Outbound;
    let mut connect = |moment: Moment, init: u32| {
        match moment {
            Moment::Namespaces => {
                // The engine makes a network of the kernel's defaults.
                if let Err(error) = network::apply_settings(init) {
                    tracing::warn!("the session's network has not its settings: {error}");
                }
                if outbound {
                    network::connect(init)?;
                }
            }
            Moment::BeforeRun if outbound => reset_connections(init),
            Moment::Restored | Moment::BeforeRun => {}
        }
        Ok(())
    };
    let init = restore(&boot, &images, &mount, false, &mut connect)?;
    let guard = KillOnDrop(Some(process::open(init).map_err(|e| e.to_failure())?));
    images.done();
    let display = Display::new(init);
    Session::new(boot, base, init, manifest.watched, display, guard, mount)
}

/// Whoever was connected to the outside is told at once that this is over. Without that they find out when they send.
fn reset_connections(init: u32) {
    match connections::reset(init) {
        Ok(count) => tracing::info!(count, "connections to the outside were reset"),
        Err(error) => tracing::warn!("cannot reset connections to the outside: {error}"),
    }
}

fn wait_for(what: &str, ready: impl Fn() -> bool) -> Result<(), Failure> {
    wait_until(DISPLAY_DEADLINE, ready).map_err(|TimedOut| {
        let text = format!("waited {} seconds for {what}", DISPLAY_DEADLINE.as_secs());
        failure(error_name::FAILED, text, "try again; the machine may be overloaded")
    })
}

struct TimedOut;

fn wait_until(within: Duration, ready: impl Fn() -> bool) -> Result<(), TimedOut> {
    let deadline = Instant::now() + within;
    while !ready() {
        if Instant::now() > deadline {
            return Err(TimedOut);
        }
        std::thread::sleep(POLL);
    }
    Ok(())
}

/// Ends a session whose making was not finished.
#[derive(Debug)]
pub(super) struct KillOnDrop(Option<std::os::fd::OwnedFd>);

impl KillOnDrop {
    /// The session is made: its init lives on.
    pub(super) fn keep(mut self) -> Option<std::os::fd::OwnedFd> {
        self.0.take()
    }
}

impl Drop for KillOnDrop {
    fn drop(&mut self) {
        if let Some(init) = &self.0
            && let Err(error) = process::kill(init).and_then(|()| process::wait_until_ended(init))
        {
            tracing::error!("cannot end the half-made session: {error}");
        }
    }
}
