//! Makes a session, new or resumed, and hands it to its control loop.

use std::fs::{self, DirBuilder, File};
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use freezeframe_engine::filters::watch::{Mailbox, Watch};
use freezeframe_protocol::{Failure, error_name};
use freezeframe_store::manifest::Watched;
use freezeframe_store::session::Network;
use freezeframe_store::{BaseRecord, Local, SessionRecord, SnapshotId, Store};

use super::control::Sockets;
use super::saved::Images;
use super::session::{Session, is_native};
use super::{Directories, control, exec, ids, saved, system_bus};
use crate::container::inside::has_socket;
use crate::container::limits::Group;
use crate::container::ranges::OwnRange;
use crate::container::restored::{self, Expected};
use crate::container::{self, apply, connections, network, plan};
use crate::display::Display;
use crate::engine::native;
use crate::engine::{Connect, EngineError, Moment, RestoreRequest};
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
    pub(super) store: Store,
    pub(super) record: SessionRecord,
    pub(super) directories: Directories,
    /// First outside id of the user's range: files of bases that are made here belong to it.
    pub(super) first_id: u32,
    /// The ids of that range.
    pub(super) map: IdMap,
    /// The range of this session's processes.
    pub(super) range: Option<OwnRange>,
    /// What counts what they take.
    pub(super) group: Option<Group>,
    pub(super) privileged: bool,
    pub(super) resume: Option<SnapshotId>,
    /// The raw files of that snapshot, when it is not committed yet and only tried.
    pub(super) raw: Option<PathBuf>,
    /// First id of the range that the layer's files belonged to when it was saved; the base's where it is not known.
    pub(super) layer_first_id: Option<u32>,
}

/// What a session's processes are made on.
pub(super) struct Laid {
    pub(super) base: BaseRecord,
    /// The snapshot's, when there is one.
    images: Option<Images>,
    /// Its root.
    pub(super) mount: Mount,
    /// The ids of its processes.
    map: IdMap,
    /// First id of the range that the files of its layer belong to.
    pub(super) layer_first_id: u32,
    /// The copies of its own files, with the ids of its processes, where its snapshot has them.
    own: Option<OwnedFd>,
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
            Group::remove(&directories.session);
            if let Err(leftover) = fs::remove_dir_all(&directories.session) {
                tracing::error!("cannot remove {}: {leftover}", directories.session.display());
            }
            report.end(Err(error))
        }
    }
}

fn make<W: Write>(boot: Boot, report: &mut Report<W>) -> Result<(Session, Sockets), Failure> {
    let sockets = Sockets::listen(&boot.directories.runtime).map_err(|e| e.to_failure())?;
    let mut laid = lay(&boot, report)?;
    let session = match boot.resume.clone().zip(laid.images.take()) {
        Some((snapshot, images)) => resume(boot, laid, &snapshot, images, report)?,
        None => start(boot, laid, report)?,
    };
    if let Some(Err(error)) = session.group.as_ref().map(Group::limit) {
        tracing::warn!("the session is not limited: {error}");
    }
    Ok((session, sockets))
}

/// Restores the snapshot of `boot` for nobody: its processes stay stopped, and nothing leads out.
///
/// # Errors
/// `Damaged` for what was found against the snapshot, and nothing else.
pub(super) fn rehearse(boot: &Boot) -> Result<(), Failure> {
    let mut laid = lay(boot, &mut Report::new(io::sink()))?;
    let images = laid.images.take().ok_or_else(|| failure(error_name::FAILED, "there is nothing to restore", ""))?;
    let network = boot.record.network;
    let mut connect = |moment: Moment, init: u32| match (moment, network) {
        (Moment::Namespaces, Network::Outbound) => Ok(loopback::stand_in(init, network::ADDRESS)?),
        _ => Ok(()),
    };
    restore(boot, &images, &laid, true, &mut connect).map(drop)
}

fn restore(
    boot: &Boot,
    images: &Images,
    laid: &Laid,
    stopped: bool,
    connect: &mut Connect<'_>,
) -> Result<(u32, Option<Watch>), Failure> {
    let engine = super::session::engine_of(images.path(), &boot.store, &boot.directories, boot.privileged)?;
    let work = boot.directories.session.join("restore");
    DirBuilder::new().mode(0o700).create(&work).map_err(|e| e.to_failure())?;
    let (images, root, map) = (images.path(), laid.mount.path(), &laid.map);
    let (group, network) = (boot.group.as_ref(), boot.record.network);
    let own = laid.own.as_ref();
    let answers = || Mailbox::new().and_then(native::watch).map_err(|e| e.to_failure());
    let watch = if native::wrote(images) { Some(answers()?) } else { None };
    let filters = watch.as_ref();
    let request = RestoreRequest { images, work: &work, root, map, group, own, network, filters, stopped };
    let expected = Expected { map, root, devices: &plan::DEVICES };
    let mut checked = |moment: Moment, init: u32| {
        match moment {
            // Before the host's network is given to it.
            Moment::Namespaces => restored::check_namespaces(init, map)?,
            Moment::Restored => restored::check(init, &expected)?,
            Moment::BeforeRun => restored::check_open(init, &expected)?,
        }
        connect(moment, init)
    };
    let restored = engine.restore(&request, &mut checked);
    let init = restored.map_err(|e| if stopped { found(&e) } else { e.to_failure() })?;
    Ok((init, watch))
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
fn lay<W: Write>(boot: &Boot, report: &mut Report<W>) -> Result<Laid, Failure> {
    let base = boot.store.base(&boot.record.base).map_err(|e| e.to_failure())?;
    check_base(boot, &base)?;
    let mut layer_first_id = boot.layer_first_id.unwrap_or(base.first_id);
    let here = if boot.privileged { Local::of_root(base.first_id) } else { Local::of_user() };
    let directories = &boot.directories;
    for path in [directories.work(), directories.root()] {
        DirBuilder::new().mode(0o700).create(&path).map_err(|e| e.to_failure())?;
    }
    let images = match &boot.resume {
        Some(snapshot) => {
            report.progress("reading the snapshot", 0.1);
            Some(match &boot.raw {
                Some(raw) => saved::lay_out_raw(raw, directories)?,
                None => {
                    let (images, laid) = saved::lay_out(&boot.store, snapshot, directories, here)?;
                    if laid.is_some() {
                        layer_first_id = base.first_id;
                    }
                    images
                }
            })
        }
        None => {
            let path = directories.layer();
            DirBuilder::new().mode(0o755).create(&path).map_err(|e| e.to_failure())?;
            // Without root, ids are as the session has them.
            let root = if boot.privileged { layer_first_id } else { 0 };
            std::os::unix::fs::chown(&path, Some(root), Some(root)).map_err(|e| e.to_failure())?;
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
    if boot.resume.is_some() {
        if boot.privileged {
            relocate(&overlay, directories)?;
        } else {
            layer::without_index(&overlay.upper, &directories.index(), &overlay.lower).map_err(|e| e.to_failure())?;
        }
    }
    let on_disk = ids::OnDisk { base: base.first_id, layer: layer_first_id };
    let (mount, map) = ids::mount(boot, &overlay, &on_disk)?;
    let own = ids::show_own(boot, layer_first_id, &map).map_err(|e| e.to_failure())?;
    Ok(Laid { base, images, mount, map, layer_first_id, own })
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
    Ok(())
}

fn start<W: Write>(boot: Boot, laid: Laid, report: &mut Report<W>) -> Result<Session, Failure> {
    let (base, root) = (&laid.base, laid.mount.path());
    if !root.join("usr/bin/Xtigervnc").exists() {
        return Err(failure(
            error_name::FAILED,
            format!("the base {:?} has no display server: /usr/bin/Xtigervnc is not in it", base.name),
            "install the package tigervnc-standalone-server in what the base is made from, and import it again",
        ));
    }
    let group = boot.group.as_ref();
    report.progress("making the container", 0.2);
    let mailbox = if is_native(boot.privileged) { Some(Mailbox::new().map_err(|e| e.to_failure())?) } else { None };
    let slot = mailbox.as_ref().map(Mailbox::slot);
    let init = apply::start(root, &laid.map, &plan::session(boot.record.network), slot, &|pid| {
        group.map_or(Ok(()), |group| group.place(pid))
    });
    let init = init.map_err(|e| e.to_failure())?;
    let guard = KillOnDrop(Some(process::open(init).map_err(|e| e.to_failure())?));
    // It is a thread, so after the last fork.
    let filters = mailbox.map(native::watch).transpose().map_err(|e| e.to_failure())?;
    let puts = (group, filters.as_ref());
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
    let run = |argv: Vec<String>| exec::start_detached(init, base, puts, argv);
    let display_pid = run(server)?;
    let display = Display::new(init);
    wait_for("the display server to listen", || display.is_listening())?;
    report.progress("starting the desktop", 0.7);
    let bus = format!("--address=unix:path=/run/user/{}/bus", container::USER_ID);
    run(["dbus-daemon", "--session", "--nofork", "--nopidfile", "--nosyslog", &bus].map(str::to_owned).to_vec())?;
    let bus = format!("/run/user/{}/bus", container::USER_ID);
    system_bus::start(init, base, puts);
    wait_for("the session bus to listen", || has_socket(init, &bus))?;
    let desktop_pid = run(base.desktop.clone())?;
    let watched = Watched { display: display_pid, desktop: desktop_pid };
    // Windows that come before it would stay unmanaged for ever with some. A desktop that has none runs all the same.
    if wait_until(WINDOW_MANAGER_DEADLINE, || display.has_window_manager()).is_err() {
        tracing::warn!("the desktop has no window manager");
    }
    Session::new(boot, laid, (init, filters), watched, display, guard)
}

fn resume<W: Write>(
    boot: Boot,
    laid: Laid,
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
    let (init, filters) = restore(&boot, &images, &laid, false, &mut connect)?;
    let guard = KillOnDrop(Some(process::open(init).map_err(|e| e.to_failure())?));
    images.done();
    let display = Display::new(init);
    Session::new(boot, laid, (init, filters), manifest.watched, display, guard)
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
pub(super) struct KillOnDrop(Option<OwnedFd>);

impl KillOnDrop {
    /// The session is made: its init lives on.
    pub(super) fn keep(mut self) -> Option<OwnedFd> {
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
