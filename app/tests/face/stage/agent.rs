//! A bus of its own, and an agent that stands in for the real one: its sessions are displays that the test made.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};

use freezeframe_api::records::{
    BaseRow, CheckReport, Collected, Comparison, DamageRow, FileChange, FindingRow, RetentionOptions, RetentionReport,
    RetentionRow, SaveOptions, Saved, SessionRow, Settings, SnapshotRow, StorageUse, TimelineFilter, Verified,
    WindowRow,
};
use freezeframe_api::{Dict, Dictionary as _, ErrorKind, names};
use zbus::object_server::SignalEmitter;
use zbus::zvariant::{OwnedFd, OwnedObjectPath};
use zbus::{Connection, ObjectServer, fdo};

use super::{Program, wait_for};

/// A session bus.
pub(crate) struct Bus {
    pub(crate) address: String,
    _daemon: Program,
    directory: tempfile::TempDir,
}

/// The three rules of the session bus's own configuration; without all of them zbus waits forever.
const CONFIGURATION: &str = r#"<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>session</type>
  <listen>unix:path=SOCKET</listen>
  <policy context="default">
    <allow send_destination="*" eavesdrop="true"/>
    <allow eavesdrop="true"/>
    <allow own="*"/>
  </policy>
</busconfig>
"#;

impl Bus {
    pub(crate) fn start() -> Self {
        super::need(&[("dbus-daemon", "dbus-daemon")]);
        let directory = tempfile::tempdir().unwrap();
        let socket = directory.path().join("bus");
        let configuration = directory.path().join("bus.conf");
        std::fs::write(&configuration, CONFIGURATION.replace("SOCKET", socket.to_str().unwrap())).unwrap();
        let daemon =
            Program::start(Command::new("dbus-daemon").arg("--config-file").arg(&configuration).arg("--nofork"));
        wait_for("the bus", || socket.exists().then_some(()));
        Self { address: format!("unix:path={}", socket.display()), _daemon: daemon, directory }
    }

    /// A directory that lives as long as the bus.
    pub(crate) fn directory(&self) -> &Path {
        self.directory.path()
    }
}

/// What the agent knows, and what it was told to do.
#[derive(Default)]
struct World {
    /// Sessions by name, with the socket of each one's display.
    displays: HashMap<String, PathBuf>,
    sessions: HashMap<String, SessionRow>,
    snapshots: BTreeMap<String, SnapshotRow>,
    /// A picture of each snapshot and session, by id and name.
    pictures: HashMap<String, PathBuf>,
    settings: Settings,
    jobs: u64,
}

type Shared = Arc<Mutex<World>>;

/// An agent with the sessions and snapshots that the test gives it.
pub(crate) struct FakeAgent {
    connection: Connection,
    world: Shared,
}

impl FakeAgent {
    pub(crate) async fn start(bus: &Bus) -> Self {
        Self::start_with(bus, Vec::new()).await
    }

    /// With snapshots from the start, each with a picture or none.
    pub(crate) async fn start_with(bus: &Bus, snapshots: Vec<(SnapshotRow, Option<PathBuf>)>) -> Self {
        let world = Shared::default();
        world.lock().unwrap().settings = Settings {
            automatic_minutes: 30,
            keep_last: 5,
            default_base: "xfce".into(),
            default_width: 1280,
            default_height: 800,
            ..Settings::default()
        };
        let mut builder = zbus::connection::Builder::address(bus.address.as_str())
            .unwrap()
            .serve_at(names::ROOT, Manager { world: Arc::clone(&world) })
            .unwrap()
            .serve_at(names::ROOT, fdo::ObjectManager)
            .unwrap();
        for (row, picture) in snapshots {
            let id = row.snapshot.clone();
            let object = Snapshot { id: id.clone(), world: Arc::clone(&world) };
            builder = builder.serve_at(names::snapshot_path(&id), object).unwrap();
            let mut world = world.lock().unwrap();
            world.snapshots.insert(id.clone(), row);
            world.pictures.extend(picture.map(|picture| (id, picture)));
        }
        let connection = builder.name(names::BUS_NAME).unwrap().build().await.unwrap();
        Self { connection, world }
    }

    pub(crate) async fn add(&self, id: &str, socket: &Path) {
        let row = SessionRow {
            session: id.into(),
            state: "running".into(),
            base: "xfce".into(),
            size: "800x600".into(),
            ..SessionRow::default()
        };
        self.add_session(row, socket, None).await;
    }

    pub(crate) async fn add_session(&self, row: SessionRow, socket: &Path, picture: Option<PathBuf>) {
        let id = row.session.clone();
        {
            let mut world = self.world.lock().unwrap();
            world.displays.insert(id.clone(), socket.to_owned());
            world.sessions.insert(id.clone(), row);
            world.pictures.extend(picture.map(|picture| (id.clone(), picture)));
        }
        let session = Session { id: id.clone(), world: Arc::clone(&self.world) };
        self.connection.object_server().at(names::session_path(&id), session).await.unwrap();
    }

    /// What was set last.
    pub(crate) fn settings(&self) -> Settings {
        self.world.lock().unwrap().settings.clone()
    }

    /// Other shortcuts than the app comes with, as by another program.
    pub(crate) async fn set_shortcuts(&self, shortcuts: &[(&str, &str)]) {
        let shortcuts = shortcuts.iter().map(|(id, keys)| ((*id).to_owned(), (*keys).to_owned())).collect();
        self.world.lock().unwrap().settings.shortcuts = shortcuts;
        let manager = self.connection.object_server().interface::<_, Manager>(names::ROOT).await.unwrap();
        Manager::settings_changed(manager.signal_emitter()).await.unwrap();
    }

    pub(crate) async fn remove(&self, id: &str) {
        self.world.lock().unwrap().displays.remove(id);
        self.world.lock().unwrap().sessions.remove(id);
        self.connection.object_server().remove::<Session, _>(names::session_path(id)).await.unwrap();
    }

    /// What is known of a snapshot now.
    pub(crate) fn snapshot(&self, id: &str) -> Option<SnapshotRow> {
        self.world.lock().unwrap().snapshots.get(id).cloned()
    }

    /// All snapshots, by id.
    pub(crate) fn snapshots(&self) -> Vec<SnapshotRow> {
        self.world.lock().unwrap().snapshots.values().cloned().collect()
    }

    /// Another label, as by somebody else.
    pub(crate) async fn relabel(&self, id: &str, label: &str) {
        let object = self.connection.object_server().interface::<_, Snapshot>(names::snapshot_path(id)).await.unwrap();
        object.get().await.change(object.signal_emitter(), |row| row.label = label.into()).await;
    }

    /// Off the bus, as after a crash.
    pub(crate) async fn stop(self) {
        self.connection.close().await.unwrap();
    }
}

struct Manager {
    world: Shared,
}

#[zbus::interface(name = "io.github.freezeframe.Manager1")]
impl Manager {
    fn list_sessions(&self, _options: Dict) -> Vec<Dict> {
        let mut rows: Vec<SessionRow> = self.world.lock().unwrap().sessions.values().cloned().collect();
        rows.sort_by(|a, b| a.session.cmp(&b.session));
        rows.iter().map(SessionRow::to_dict).collect()
    }

    fn find_session(&self, name: &str) -> Result<OwnedObjectPath, Refusal> {
        if self.world.lock().unwrap().displays.contains_key(name) {
            return Ok(names::session_path(name));
        }
        Err(Refusal::NotFound(format!("there is no session {name:?}")))
    }

    #[allow(clippy::needless_pass_by_value, reason = "zbus gives it so")]
    fn timeline(&self, filter: Dict) -> Vec<Dict> {
        let filter = TimelineFilter::from_options(&filter).unwrap();
        let world = self.world.lock().unwrap();
        let wanted = |row: &&SnapshotRow| {
            row.state != "deleted" && (filter.snapshots.is_empty() || filter.snapshots.contains(&row.snapshot))
        };
        let mut rows: Vec<&SnapshotRow> = world.snapshots.values().filter(wanted).collect();
        rows.sort_by(|a, b| a.created.cmp(&b.created));
        let most = filter.newest.map_or(rows.len(), |most| most as usize);
        rows[rows.len().saturating_sub(most)..].iter().map(|row| row.to_dict()).collect()
    }

    /// Whoever signed it is not known.
    fn import_snapshot(&self, _file: OwnedFd, _options: Dict) -> Result<OwnedObjectPath, freezeframe_api::Error> {
        let key =
            "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE8xOUetsCa8EfOlDEBAfREhJqspDoyEh6Szz2in47Tv5n52m9dLYyPCbqZkOB5nTS";
        Err(freezeframe_api::Error::new(ErrorKind::Untrusted, "the key is not known here").key(key))
    }

    fn list_bases(&self) -> Vec<Dict> {
        let base = |name: &str| BaseRow { base: name.into(), state: "whole".into(), ..BaseRow::default() }.to_dict();
        ["minimal", "xfce"].map(base).into()
    }

    fn settings(&self) -> Dict {
        self.world.lock().unwrap().settings.to_dict()
    }

    async fn set_settings(&self, changed: Dict, #[zbus(signal_emitter)] emitter: SignalEmitter<'_>) {
        {
            let mut world = self.world.lock().unwrap();
            let mut all = world.settings.to_dict();
            all.extend(changed);
            world.settings = Settings::from_dict(&all).unwrap();
        }
        Self::settings_changed(&emitter).await.unwrap();
    }

    #[zbus(signal)]
    async fn settings_changed(emitter: &SignalEmitter<'_>) -> zbus::Result<()>;

    /// Of forty snapshots the newest stay, as many as the first rule says.
    #[allow(clippy::needless_pass_by_value, reason = "zbus gives it so")]
    fn retention(&self, options: Dict) -> Dict {
        let keep = RetentionOptions::from_dict(&options).unwrap().keep_last.unwrap_or_default() as usize;
        let row = |number: usize| RetentionRow {
            snapshot: format!("s{number:02}"),
            created: format!("2026-01-01T{:02}:{:02}:00Z", number / 2, number % 2 * 30),
            own_bytes: 50 << 20,
            ..RetentionRow::default()
        };
        let (remove, keep) = ((0..40 - keep.min(40)).map(row), (40 - keep.min(40)..40).map(row));
        RetentionReport { rules: true, remove: remove.collect(), keep: keep.collect(), ..RetentionReport::default() }
            .to_dict()
    }

    fn storage_use(&self) -> Vec<Dict> {
        let line = |session: &str, snapshots, own_bytes, raw_bytes| {
            StorageUse { session: session.into(), snapshots, own_bytes, raw_bytes }.to_dict()
        };
        vec![
            line("amber-fox", 28, 1_400 << 20, 9_000 << 20),
            line("blue-heron", 12, 600 << 20, 3_500 << 20),
            line("", 40, 2_100 << 20, 12_500 << 20),
        ]
    }

    /// A collection that is done at once.
    async fn collect_garbage(&self, _options: Dict, #[zbus(object_server)] server: &ObjectServer) -> OwnedObjectPath {
        let collected =
            Collected { snapshots_removed: vec!["s01".into()], freed_bytes: 300 << 20, ..Collected::default() };
        done(server, &self.world, collected.to_dict()).await
    }

    fn compare(&self, first: &str, second: &str) -> Dict {
        let file = |path: &str, change: &str, bytes| FileChange { path: path.into(), change: change.into(), bytes };
        Comparison {
            first: first.into(),
            second: second.into(),
            files: vec![
                file("/home/user/notes.txt", "changed", 1_204),
                file("/home/user/report/draft-2.odt", "added", 48_311),
                file("/tmp/build.log", "removed", 90_112),
            ],
            files_total: 3,
            windows_opened: vec![WindowRow { title: "draft-2.odt".into(), application: "LibreOffice Writer".into() }],
            windows_closed: vec![WindowRow { title: "Terminal".into(), application: "xfce4-terminal".into() }],
        }
        .to_dict()
    }
}

/// A job that is done as soon as it is begun.
async fn done(server: &ObjectServer, world: &Shared, result: Dict) -> OwnedObjectPath {
    let number = {
        let mut world = world.lock().unwrap();
        world.jobs += 1;
        world.jobs
    };
    let path = names::job_path(number);
    server.at(&path, Job { result }).await.unwrap();
    path
}

struct Job {
    result: Dict,
}

#[zbus::interface(name = "io.github.freezeframe.Job1")]
impl Job {
    #[zbus(property)]
    fn state(&self) -> String {
        "done".into()
    }

    #[zbus(property)]
    fn result(&self) -> Dict {
        self.result.iter().map(|(key, value)| (key.clone(), value.try_clone().unwrap())).collect()
    }
}

struct Snapshot {
    id: String,
    world: Shared,
}

impl Snapshot {
    async fn change(&self, emitter: &SignalEmitter<'_>, change: impl FnOnce(&mut SnapshotRow)) {
        change(self.world.lock().unwrap().snapshots.get_mut(&self.id).unwrap());
        self.state_changed(emitter).await.unwrap();
    }
}

#[zbus::interface(name = "io.github.freezeframe.Snapshot1")]
impl Snapshot {
    fn open_thumbnail(&self) -> Result<OwnedFd, Refusal> {
        let picture = self.world.lock().unwrap().pictures.get(&self.id).cloned();
        let picture = picture.ok_or_else(|| Refusal::NotFound("it has no picture".into()))?;
        Ok(OwnedFd::from(std::os::fd::OwnedFd::from(std::fs::File::open(picture).unwrap())))
    }

    /// One that is damaged says where.
    async fn verify(&self, #[zbus(object_server)] server: &ObjectServer) -> OwnedObjectPath {
        let damaged = self.world.lock().unwrap().snapshots[&self.id].state == "damaged";
        let damage = DamageRow {
            path: "store/chunks/3f/3fa9c1".into(),
            reason: "its bytes are not those that were written; restore the file from a backup, then verify again"
                .into(),
            snapshots: vec![self.id.clone()],
        };
        let verified = Verified { damages: damaged.then_some(damage).into_iter().collect(), ..Verified::default() };
        done(server, &self.world, verified.to_dict()).await
    }

    async fn set_label(&self, label: String, #[zbus(signal_emitter)] emitter: SignalEmitter<'_>) {
        self.change(&emitter, |row| row.label = label).await;
    }

    async fn pin(&self, #[zbus(signal_emitter)] emitter: SignalEmitter<'_>) {
        self.change(&emitter, |row| row.pinned = true).await;
    }

    async fn unpin(&self, #[zbus(signal_emitter)] emitter: SignalEmitter<'_>) {
        self.change(&emitter, |row| row.pinned = false).await;
    }

    async fn delete(&self, #[zbus(signal_emitter)] emitter: SignalEmitter<'_>) {
        self.change(&emitter, |row| row.state = "deleted".into()).await;
    }

    async fn undelete(&self, #[zbus(signal_emitter)] emitter: SignalEmitter<'_>) {
        self.change(&emitter, |row| row.state = "whole".into()).await;
    }

    #[zbus(property)]
    fn state(&self) -> String {
        self.world.lock().unwrap().snapshots[&self.id].state.clone()
    }
}

/// Errors by the real agent's names.
#[derive(Debug, zbus::DBusError)]
#[zbus(prefix = "io.github.freezeframe.Error")]
enum Refusal {
    #[zbus(error)]
    ZBus(zbus::Error),
    NotFound(String),
}

struct Session {
    id: String,
    world: Shared,
}

#[zbus::interface(name = "io.github.freezeframe.Session1")]
impl Session {
    fn open_display(&self) -> fdo::Result<OwnedFd> {
        let socket = self.world.lock().unwrap().displays.get(&self.id).cloned();
        let socket = socket.ok_or_else(|| fdo::Error::UnknownObject("it has ended".into()))?;
        let stream = std::os::unix::net::UnixStream::connect(socket).map_err(|e| fdo::Error::Failed(e.to_string()))?;
        Ok(OwnedFd::from(std::os::fd::OwnedFd::from(stream)))
    }

    /// One application is in the way, one would be closed.
    fn check(&self) -> Dict {
        let finding = |application: &str, object: &str, blocking| FindingRow {
            application: application.into(),
            window: "A document with a name that nobody cut short — Writer".into(),
            object: object.into(),
            blocking,
            remedy: "Save your work there and close its window, then try again".into(),
            ..FindingRow::default()
        };
        let findings = vec![
            finding(
                "libreoffice-writer",
                "a lock on /home/user/.config/libreoffice/4/user/registrymodifications.xcu",
                true,
            ),
            finding("firefox-esr", "a connection that leaves the session", false),
        ];
        CheckReport { savable: false, findings }.to_dict()
    }

    fn screenshot(&self) -> Result<Vec<u8>, Refusal> {
        let picture = self.world.lock().unwrap().pictures.get(&self.id).cloned();
        let picture = picture.ok_or_else(|| Refusal::NotFound("it has no picture".into()))?;
        Ok(std::fs::read(picture).unwrap())
    }

    /// Makes a snapshot of no picture.
    async fn save(&self, options: Dict, #[zbus(object_server)] server: &ObjectServer) -> OwnedObjectPath {
        let options = SaveOptions::from_options(&options).unwrap();
        let id = {
            let mut world = self.world.lock().unwrap();
            let id = format!("5a7ed{:07}", world.snapshots.len());
            let row = SnapshotRow {
                snapshot: id.clone(),
                session: self.id.clone(),
                created: jiff::Timestamp::now().to_string(),
                label: options.label.unwrap_or_default(),
                state: "whole".into(),
                pause_ms: 41.0,
                ..SnapshotRow::default()
            };
            world.snapshots.insert(id.clone(), row);
            id
        };
        let object = Snapshot { id: id.clone(), world: Arc::clone(&self.world) };
        server.at(names::snapshot_path(&id), object).await.unwrap();
        let saved = Saved { snapshot: id, session: self.id.clone(), pause_ms: 41.0 };
        done(server, &self.world, saved.to_dict()).await
    }

    #[zbus(property)]
    fn state(&self) -> String {
        "running".into()
    }
}
