//! A `vnc-wrapper` for the tests of agent and `sessionctl`: it speaks the protocol and keeps the store as the real one
//! does, and has no container, no engine and no need for root.
//!
//! What it is told by names: a session called `fails` does not start; a save labelled `refuse` is refused by
//! pre-flight, one labelled `hold` lasts until it is cancelled, one labelled `die` kills the wrapper. Nothing is packed
//! while there is a file `hold-packing` in the runtime directory, and no save that nobody asked for goes through while there
//! is a file `refuse-automatic`. Whatever is tried is found bad while there is a file `refuse-rehearsal`, and
//! the attempt is killed while there is a file `kill-rehearsal`; nothing is resumed while there is a file `refuse-resume`.

#![allow(missing_docs, reason = "zbus::interface makes items without documentation")]
#![allow(clippy::unwrap_used, reason = "a program for tests: a panic is its way to fail")]

use std::fs;
use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream as StdUnixStream;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::{Parser, Subcommand};
use freezeframe_api::{Error, ErrorKind, Result};
use freezeframe_protocol::{
    BaseContent, BaseToPut, CheckItem, CheckReport, ExecOptions, Failure, Line, OBJECT_PATH, Resumed, SaveOptions,
    Status, control_socket, session_runtime_dir,
};
use freezeframe_store::export::{Bases, InPlace, Watch};
use freezeframe_store::manifest::{Watched, Window};
use freezeframe_store::record::{Record, write};
use freezeframe_store::{BaseRecord, Content, Manifest, SessionId, SnapshotId, Source, Store};
use jiff::Timestamp;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Notify;
use zbus::object_server::SignalEmitter;
use zbus::zvariant::OwnedFd;

#[derive(Parser)]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
    #[arg(long, global = true, default_value = "/nonexistent")]
    data: PathBuf,
    #[arg(long, global = true, default_value = "/nonexistent")]
    runtime: PathBuf,
}

#[derive(Subcommand)]
enum Verb {
    Session {
        #[arg(long)]
        id: String,
        #[arg(long)]
        resume: Option<String>,
        #[arg(long)]
        max_processes: Option<u32>,
        #[arg(long)]
        max_memory_percent: Option<u32>,
    },
    Supervise {
        #[arg(long)]
        id: String,
    },
    Discard {
        #[arg(long)]
        id: String,
    },
    Pack {
        #[arg(long)]
        id: String,
    },
    Rehearse {
        #[arg(long)]
        id: String,
    },
    #[command(subcommand)]
    Base(Base),
    Doctor,
}

#[derive(Subcommand)]
enum Base {
    Build {
        #[arg(long)]
        name: String,
        #[arg(long)]
        recipe: PathBuf,
    },
    Import {
        #[arg(long)]
        name: String,
        #[arg(long)]
        origin: String,
    },
    Remove {
        #[arg(long)]
        name: String,
    },
    TakeUp {
        #[arg(long)]
        name: String,
        #[arg(long)]
        id: String,
    },
    Put,
}

fn say(line: &Line) {
    let mut out = std::io::stdout().lock();
    // An agent that was killed does not listen any more, and the work goes on.
    let _ = writeln!(out, "{}", serde_json::to_string(line).unwrap()).and_then(|()| out.flush());
}

fn failed(name: &str, message: &str) {
    say(&Line::Failed(Failure { name: name.into(), message: message.into(), hint: "try again".into() }));
}

fn main() {
    let cli = Cli::parse();
    let store = Store::open(&cli.data).unwrap();
    match &cli.verb {
        Verb::Session { id, resume, max_processes, max_memory_percent } => {
            fs::write(cli.data.join("limits"), format!("{max_processes:?} {max_memory_percent:?}")).unwrap();
            start(&cli, &store, id, resume.as_deref());
        }
        Verb::Supervise { id } => {
            let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
            runtime.block_on(supervise(&cli.runtime, store, SessionId::new(id.clone()).unwrap()));
        }
        Verb::Discard { id } => {
            let _ = fs::remove_dir_all(store.session_dir(&SessionId::new(id.clone()).unwrap()));
            say(&Line::Done(serde_json::Value::Null));
        }
        Verb::Pack { id } => pack(&cli, &store, id),
        Verb::Rehearse { id } if cli.runtime.join("refuse-rehearsal").exists() => {
            failed("Damaged", &format!("an image of {id} cannot be read"));
        }
        Verb::Rehearse { .. } if cli.runtime.join("kill-rehearsal").exists() => std::process::abort(),
        Verb::Rehearse { .. } => say(&Line::Done(serde_json::Value::Null)),
        Verb::Base(verb) => base(&store, verb),
        Verb::Doctor => {
            let item = |name: &str, ok: bool, remedy: &str| CheckItem {
                name: name.into(),
                ok,
                needed_for: if ok { String::new() } else { "save".into() },
                found: "as told".into(),
                remedy: remedy.into(),
            };
            let mut items = vec![item("user-namespaces", true, ""), item("criu", false, "apt install criu")];
            if cli.runtime.join("lacks-the-network-only").exists() {
                items[1] = CheckItem { needed_for: "network".into(), ..item("pasta", false, "apt install passt") };
            }
            say(&Line::Done(serde_json::to_value(items).unwrap()));
        }
    }
}

fn pack(cli: &Cli, store: &Store, id: &str) {
    remember(cli, std::process::id());
    say(&Line::Progress { stage: "Packing".into(), fraction: 0.0 });
    while cli.runtime.join("hold-packing").exists() {
        std::thread::sleep(Duration::from_millis(10));
    }
    let never = std::sync::atomic::AtomicBool::new(false);
    match store.pack(&SnapshotId::new(id).unwrap(), &never, &|_| {}) {
        Ok(report) => {
            let report = serde_json::json!({"raw_bytes": report.raw_bytes, "new_bytes": report.new_bytes});
            say(&Line::Done(report));
        }
        Err(freezeframe_store::Error::Busy { .. }) => failed("Busy", "another packs it"),
        Err(error) => failed("Failed", &error.to_string()),
    }
}

/// So that nothing of a test outlives it.
fn remember(cli: &Cli, pid: u32) {
    let mut pids = fs::OpenOptions::new().create(true).append(true).open(cli.runtime.join("pids")).unwrap();
    writeln!(pids, "{pid}").unwrap();
}

fn base(store: &Store, verb: &Base) {
    let never = std::sync::atomic::AtomicBool::new(false);
    let watch = Watch { cancel: &never, progress: &|_| {} };
    say(&Line::Progress { stage: "Unpacking".into(), fraction: 0.5 });
    let (name, origin, bytes) = match verb {
        Base::Build { name, recipe } => (name, format!("recipe:{}", recipe.display()), 0),
        Base::Import { name, origin } => {
            let mut tar = Vec::new();
            std::io::stdin().read_to_end(&mut tar).unwrap();
            (name, origin.clone(), tar.len() as u64)
        }
        Base::Remove { name } => {
            fs::remove_dir_all(store.base_dir(name).unwrap()).unwrap();
            return say(&Line::Done(serde_json::Value::Null));
        }
        Base::TakeUp { name, id } => {
            let (id, base) = (SnapshotId::new(id.clone()).unwrap(), store.base(name).unwrap());
            let bytes = InPlace.take_up(store, &id, &base, &watch).unwrap().to_bytes();
            return say(&Line::Done(serde_json::to_value(BaseContent { bytes }).unwrap()));
        }
        Base::Put => {
            let asked: BaseToPut = serde_json::from_reader(std::io::stdin()).unwrap();
            let content = Content::from_bytes(&asked.content.bytes, Path::new("base")).unwrap();
            InPlace.put(store, &serde_json::from_value(asked.record).unwrap(), &content, &watch).unwrap();
            return say(&Line::Done(serde_json::Value::Null));
        }
    };
    let directory = store.base_dir(name).unwrap();
    fs::create_dir_all(directory.join("root")).unwrap();
    fs::write(directory.join("root/etc"), "a base").unwrap();
    let record = BaseRecord {
        format: BaseRecord::FORMAT,
        name: name.clone(),
        created: Timestamp::now(),
        origin,
        identity: SnapshotId::random().to_string(),
        first_id: 0,
        bytes,
        desktop: vec!["true".into()],
        environment: vec![],
    };
    write(&directory.join("base.json"), &record).unwrap();
    say(&Line::Done(serde_json::Value::Null));
}

#[allow(clippy::zombie_processes, reason = "the supervisor outlives this process, and init reaps it")]
fn start(cli: &Cli, store: &Store, id: &str, resume: Option<&str>) {
    let began = Instant::now();
    let session = SessionId::new(id).unwrap();
    say(&Line::Progress { stage: "Starting the desktop".into(), fraction: 0.2 });
    if id == "fails" {
        return failed("Failed", "the desktop did not come up");
    }
    if resume.is_some() && cli.runtime.join("refuse-resume").exists() {
        return failed("Failed", "the processor lacks a feature");
    }
    if let Some(snapshot) = resume {
        let snapshot = SnapshotId::new(snapshot).unwrap();
        match store.source(&snapshot).unwrap() {
            Source::Raw(raw) => assert!(raw.layer.join("upper/file").is_file(), "a snapshot without layer"),
            Source::Packed => {
                let never = std::sync::atomic::AtomicBool::new(false);
                let (images, layer) =
                    (store.session_dir(&session).join("images"), store.session_dir(&session).join("layer"));
                store.materialise(&snapshot, &images, &layer, &never, &|_| {}).unwrap();
                assert!(layer.join("upper/file").is_file(), "a snapshot without layer");
            }
        }
    }
    let runtime = session_runtime_dir(&cli.runtime, id);
    freezeframe_store::layout::make_private(&runtime).unwrap();
    let socket = control_socket(&runtime);
    let _ = fs::remove_file(&socket);
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["supervise", "--id", id, "--data"]).arg(&cli.data).arg("--runtime").arg(&cli.runtime);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).process_group(0);
    let child = command.spawn().unwrap();
    fs::write(store.session_dir(&session).join("pid"), child.id().to_string()).unwrap();
    remember(cli, child.id());
    // Like the real one it may say so a little before its supervisor listens.
    let result = Resumed { elapsed_ms: began.elapsed().as_secs_f64() * 1e3 };
    say(&Line::Done(serde_json::to_value(result).unwrap()));
}

async fn supervise(runtime: &Path, store: Store, id: SessionId) {
    let listener = UnixListener::bind(control_socket(&session_runtime_dir(runtime, id.as_str()))).unwrap();
    let ending = Arc::new(Notify::new());
    let wrapper = Arc::new(Shared {
        store,
        id,
        cancel: Notify::new(),
        ending: ending.clone(),
        saving: false.into(),
        runtime: runtime.to_owned(),
    });
    loop {
        let stream = tokio::select! {
            accepted = listener.accept() => accepted.unwrap().0,
            () = ending.notified() => break,
        };
        tokio::spawn(serve(stream, wrapper.clone()));
    }
    // The answer to whoever ended it is on its way; and a wrapper that is slow to clear away must not hit its heir.
    tokio::time::sleep(Duration::from_millis(50)).await;
    fs::remove_dir_all(session_runtime_dir(runtime, wrapper.id.as_str())).unwrap();
}

async fn serve(stream: UnixStream, wrapper: Arc<Shared>) -> zbus::Result<()> {
    let connection = zbus::connection::Builder::unix_stream(stream)
        .server(zbus::Guid::generate())?
        .p2p()
        .auth_mechanism(zbus::AuthMechanism::Anonymous)
        .serve_at(OBJECT_PATH, Wrapper(wrapper))?
        .build()
        .await?;
    connection.closed().await;
    Ok(())
}

struct Shared {
    store: Store,
    id: SessionId,
    cancel: Notify,
    ending: Arc<Notify>,
    saving: std::sync::atomic::AtomicBool,
    runtime: PathBuf,
}

impl Shared {
    fn end(&self) {
        fs::remove_dir_all(self.store.session_dir(&self.id)).unwrap();
        self.ending.notify_one();
    }
}

struct Wrapper(Arc<Shared>);

/// A desktop of 640x400: blue, and a white window in its left half.
fn thumbnail() -> Vec<u8> {
    let white = |x: u32, y: u32| (40..300).contains(&x) && (40..360).contains(&y);
    let colour = |x: u32, y: u32| image::Rgb(if white(x, y) { [255, 255, 255] } else { [28u8, 113, 216] });
    let mut png = std::io::Cursor::new(Vec::new());
    image::RgbImage::from_fn(640, 400, colour).write_to(&mut png, image::ImageFormat::Png).unwrap();
    png.into_inner()
}

fn manifest(wrapper: &Shared, options: &SaveOptions) -> Manifest {
    let mut session = wrapper.store.session(&wrapper.id).unwrap();
    let id = SnapshotId::new(options.snapshot.clone()).unwrap();
    let parent = session.last_snapshot.replace(id.clone());
    wrapper.store.write_session(&session).unwrap();
    Manifest {
        format: Manifest::FORMAT,
        id,
        session: session.id,
        lineage: session.lineage,
        parent,
        created: Timestamp::now(),
        label: options.label.clone(),
        automatic: options.automatic,
        base: session.base,
        base_identity: session.base_identity,
        first_id: None,
        attributes: None,
        width: session.width,
        height: session.height,
        network: session.network,
        engine: "fake 1".into(),
        kernel: "6.0".into(),
        pause_ms: 12.5,
        freeze_ms: 2.5,
        memory_bytes: 1000,
        layer_bytes: 234,
        processes: 24,
        threads: 74,
        windows: vec![Window { title: "notes.txt".into(), application: "Mousepad".into(), pid: 7 }],
        closed: vec![],
        watched: Watched::default(),
    }
}

#[zbus::interface(name = "io.github.freezeframe.Wrapper1")]
impl Wrapper {
    async fn save(&self, options: String, #[zbus(signal_emitter)] emitter: SignalEmitter<'_>) -> Result<String> {
        use std::sync::atomic::Ordering::SeqCst;
        let options: SaveOptions = serde_json::from_str(&options).unwrap();
        Self::progress(&emitter, "Looking for what cannot be saved", 0.1).await?;
        if options.automatic && self.0.runtime.join("refuse-automatic").exists() {
            return Err(Error::new(ErrorKind::Refused, "gdb traces process 12").hint("End gdb."));
        }
        match options.label.as_str() {
            "refuse" => return Err(Error::new(ErrorKind::Refused, "gdb traces process 12").hint("End gdb.")),
            "die" => std::process::abort(),
            "hold" => {
                self.0.saving.store(true, SeqCst);
                self.0.cancel.notified().await;
                self.0.saving.store(false, SeqCst);
                return Err(Error::new(ErrorKind::Cancelled, "the save was cancelled"));
            }
            _ => {}
        }
        Self::progress(&emitter, "Freezing", 0.5).await?;
        let manifest = manifest(&self.0, &options);
        let writer = self.0.store.begin_snapshot(manifest.id.clone()).unwrap();
        fs::create_dir_all(writer.layer_dir().join("upper")).unwrap();
        // Something that no other snapshot has.
        let unique = |length: usize| manifest.id.as_str().bytes().cycle().take(length).collect::<Vec<u8>>();
        fs::write(writer.layer_dir().join("upper/file"), unique(234)).unwrap();
        fs::write(writer.images_dir().join("core.img"), unique(1000)).unwrap();
        writer.commit(&manifest, Some(&thumbnail())).unwrap();
        if options.stop {
            self.0.end();
        }
        Ok(serde_json::to_string(&manifest).unwrap())
    }

    async fn cancel_save(&self) -> bool {
        let saving = self.0.saving.load(std::sync::atomic::Ordering::SeqCst);
        if saving {
            self.0.cancel.notify_one();
        }
        saving
    }

    async fn check(&self) -> String {
        serde_json::to_string(&CheckReport { savable: true, findings: vec![] }).unwrap()
    }

    async fn execute(&self, options: String, descriptors: Vec<OwnedFd>) -> i32 {
        let options: ExecOptions = serde_json::from_str(&options).unwrap();
        if !options.wait {
            assert!(descriptors.is_empty());
            return 4242;
        }
        let stdio = |n: usize| Stdio::from(descriptors[n].as_fd().try_clone_to_owned().unwrap());
        let mut command = Command::new(&options.argv[0]);
        command.args(&options.argv[1..]).envs(options.environment).stdin(stdio(0)).stdout(stdio(1)).stderr(stdio(2));
        let status = tokio::task::spawn_blocking(move || command.status().unwrap()).await.unwrap();
        status.code().unwrap_or_else(|| 128 + status.signal().unwrap())
    }

    async fn open_display(&self) -> OwnedFd {
        let (ours, theirs) = StdUnixStream::pair().unwrap();
        (&ours).write_all(b"RFB 003.008\n").unwrap();
        std::os::fd::OwnedFd::from(theirs).into()
    }

    async fn hand_over(&self, _heir: OwnedFd) {}

    async fn take_over(&self, _viewers: OwnedFd) {}

    async fn screenshot(&self) -> Vec<u8> {
        b"a screenshot".to_vec()
    }

    async fn status(&self) -> String {
        let saving = self.0.saving.load(std::sync::atomic::Ordering::SeqCst);
        let state = if saving { "saving" } else { "running" };
        let status = Status { state: state.into(), ..Status::default() };
        serde_json::to_string(&status).unwrap()
    }

    async fn stop(&self) {
        self.0.end();
    }

    #[zbus(signal)]
    async fn progress(emitter: &SignalEmitter<'_>, stage: &str, fraction: f64) -> zbus::Result<()>;
}
