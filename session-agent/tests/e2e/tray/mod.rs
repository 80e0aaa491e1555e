//! `freezeframe-tray`: with a real host of status notifier items (Xfce's panel) on its own screen, and with a
//! notification server that writes down what it is told.

mod host;
mod notifications;

use std::collections::HashMap;
use std::fs;
use std::process::{Child, Command, Stdio};

use serde_json::json;
use tokio::runtime::Runtime;
use zbus::Message;
use zbus::zvariant::{DynamicType, OwnedValue, Value};

use crate::world::{World, until};
use host::{Panel, Screen};
use notifications::Notifications;

/// A program that ends with its owner.
pub(crate) struct Program(Child);

impl Program {
    pub(crate) fn start(command: &mut Command) -> Self {
        Self(command.stdin(Stdio::null()).spawn().unwrap_or_else(|e| panic!("{command:?}: {e}")))
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A connection to the world's bus.
pub(crate) struct Bus {
    runtime: Runtime,
    connection: zbus::Connection,
}

impl Bus {
    pub(crate) fn connect(world: &World) -> Self {
        Self::build(world, |builder| builder)
    }

    pub(crate) fn build(
        world: &World,
        add: impl FnOnce(zbus::connection::Builder<'static>) -> zbus::connection::Builder<'static>,
    ) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let builder = zbus::connection::Builder::address(world.address().as_str()).unwrap();
        let connection = runtime.block_on(add(builder).build()).unwrap();
        Self { runtime, connection }
    }

    /// Calls `INTERFACE.METHOD`.
    pub(crate) fn call<B: serde::Serialize + DynamicType>(
        &self,
        name: &str,
        path: &str,
        method: &str,
        body: &B,
    ) -> zbus::Result<Message> {
        let (interface, method) = method.rsplit_once('.').unwrap();
        self.runtime.block_on(self.connection.call_method(Some(name), path, Some(interface), method, body))
    }

    /// Emits `INTERFACE.SIGNAL`.
    pub(crate) fn emit<B: serde::Serialize + DynamicType>(&self, path: &str, signal: &str, body: &B) {
        let (interface, signal) = signal.rsplit_once('.').unwrap();
        let sent = self.connection.emit_signal(None::<&str>, path, interface, signal, body);
        self.runtime.block_on(sent).unwrap();
    }
}

/// A tray that runs, and its item on the bus.
struct Tray {
    program: Program,
    bus: Bus,
    name: String,
}

impl Tray {
    fn start(world: &World) -> Self {
        Self::start_in(world, "en")
    }

    /// One that speaks that language, by its code. The locale has no name of a language, so that every machine has it.
    fn start_in(world: &World, language: &str) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_freezeframe-tray"));
        command
            .env("DBUS_SESSION_BUS_ADDRESS", world.address())
            .env("XDG_RUNTIME_DIR", world.runtime())
            .env("HOME", world.dir.path().join("home"))
            .env("FREEZEFRAME_DATA_FILES", concat!(env!("CARGO_MANIFEST_DIR"), "/../data"))
            .env("TZ", "UTC")
            .env("LC_ALL", "C.UTF-8")
            .env("LANGUAGE", language)
            .stderr(fs::File::create(world.dir.path().join("tray.log")).unwrap());
        let program = Program::start(&mut command);
        let name = format!("org.kde.StatusNotifierItem-{}-1", program.0.id());
        let tray = Self { program, bus: Bus::connect(world), name };
        until("the tray is on the bus", || tray.try_menu().is_some());
        tray
    }

    /// Labels of the menu with their ids and what else is known of them, those of submenus behind their own.
    fn try_menu(&self) -> Option<Vec<Line>> {
        let body = (0i32, -1i32, Vec::<String>::new());
        let answer = self.bus.call(&self.name, "/MenuBar", "com.canonical.dbusmenu.GetLayout", &body).ok()?;
        let body = answer.body();
        let (_, (id, properties, children)): (u32, Node) = body.deserialize().ok()?;
        let mut lines = Vec::new();
        let children: Vec<Value<'_>> = children.into_iter().map(Value::from).collect();
        collect(id, &properties, &children, &mut lines);
        Some(lines)
    }

    fn menu(&self) -> Vec<Line> {
        self.try_menu().unwrap()
    }

    fn line(&self, label: &str) -> Option<Line> {
        self.menu().into_iter().find(|line| line.label == label)
    }

    /// Clicks, as a host does when somebody clicks in the menu that it draws.
    fn click(&self, label: &str) {
        let wanted = || self.line(label).filter(|line| line.enabled);
        until(&format!("{label:?} can be clicked: {:?}", self.menu()), || wanted().is_some());
        let body = (wanted().unwrap().id, "clicked", Value::from(0i32), 0u32);
        self.bus.call(&self.name, "/MenuBar", "com.canonical.dbusmenu.Event", &body).unwrap();
    }

    fn property(&self, name: &str) -> OwnedValue {
        let body = ("org.kde.StatusNotifierItem", name);
        let get = "org.freedesktop.DBus.Properties.Get";
        let answer = self.bus.call(&self.name, "/StatusNotifierItem", get, &body).unwrap();
        answer.body().deserialize().unwrap()
    }

    fn icon(&self) -> String {
        self.property("IconName").try_into().unwrap()
    }
}

/// A line of the menu.
#[derive(Clone, Debug)]
struct Line {
    id: i32,
    label: String,
    enabled: bool,
    checked: bool,
}

/// As an item has it: icon's name, icon, title, text.
type ToolTip = (String, Vec<(i32, i32, Vec<u8>)>, String, String);

/// As `GetLayout` has it: id, properties, children.
type Node = (i32, HashMap<String, OwnedValue>, Vec<OwnedValue>);

fn collect(id: i32, properties: &HashMap<String, OwnedValue>, children: &[Value<'_>], lines: &mut Vec<Line>) {
    let flag = |name: &str| properties.get(name).map(|value| bool::try_from(value).unwrap());
    let label = properties.get("label").map(|label| String::try_from(label.clone()).unwrap()).unwrap_or_default();
    let checked = properties.get("toggle-state").is_some_and(|state| i32::try_from(state).unwrap() == 1);
    lines.push(Line { id, label, enabled: flag("enabled").unwrap_or(true), checked });
    for child in children {
        let child = if let Value::Value(inner) = child { inner } else { child };
        let Value::Structure(child) = child else { panic!("{child:?}") };
        let [Value::I32(id), Value::Dict(properties), Value::Array(children)] = child.fields() else {
            panic!("{child:?}");
        };
        let properties = properties.try_clone().unwrap().try_into().unwrap();
        collect(*id, &properties, children.inner(), lines);
    }
}

fn count(world: &World) -> usize {
    world.json(&["timeline"]).done().as_array().unwrap().len()
}

#[test]
fn a_panel_shows_the_icon_and_its_menu_makes_a_snapshot() {
    let world = World::with_session();
    let screen = Screen::start(&world);
    let panel = Panel::start(&world, &screen);
    let empty = panel.picture();
    let tray = Tray::start(&world);
    until("the panel shows it", || panel.items(&world).iter().any(|item| item.contains(&tray.name)));
    until("there are pixels of it", || host::differ(&empty, &panel.picture()) > 30);
    until("all is well", || tray.icon() == "io.github.freezeframe.Freezeframe-symbolic");
    tray.click("Snapshot session");
    until("there is a snapshot", || count(&world) == 1);
    let row = world.json(&["timeline"]).done()[0].clone();
    assert_eq!((&row["session"], &row["automatic"]), (&json!("desktop"), &json!(false)));
    until("the menu offers it", || tray.menu().iter().any(|line| line.label.ends_with(" – desktop")));
    // The icon shows a save for as long as it lasts.
    let mut held = world.command(&["save", "--label", "hold"]).spawn().unwrap();
    until("it shows the save", || tray.icon() == "io.github.freezeframe.Freezeframe-saving-symbolic");
    assert!(!tray.line("Snapshot session").unwrap().enabled);
    held.kill().unwrap();
    held.wait().unwrap();
    world.kill_wrapper("desktop");
    until("it shows the crash", || tray.icon() == "io.github.freezeframe.Freezeframe-trouble-symbolic");
    // Xfce's panel keeps pictures of a theme's icons; it must have drawn this one again.
    keep(&panel, "tray");
}

/// Pictures to look at, where somebody asks for them.
fn keep(panel: &Panel, name: &str) {
    if let Some(directory) = std::env::var_os("FREEZEFRAME_PICTURES") {
        panel.picture().save(std::path::Path::new(&directory).join(format!("{name}.png"))).unwrap();
    }
}

#[test]
fn the_icon_waits_for_a_panel_and_comes_back_with_the_next() {
    let world = World::with_session();
    let tray = Tray::start(&world);
    until("it knows the session", || tray.line("Snapshot session").is_some_and(|line| line.enabled));
    for _ in 0..2 {
        let screen = Screen::start(&world);
        let panel = Panel::start(&world, &screen);
        until("the panel shows it", || panel.items(&world).iter().any(|item| item.contains(&tray.name)));
        drop(panel);
        until("the panel is gone", || !host::watched(&tray.bus));
    }
    tray.click("Snapshot session");
    until("there is a snapshot", || count(&world) == 1);
    tray.click("Quit tray");
    let Tray { mut program, .. } = tray;
    assert!(program.0.wait().unwrap().success());
}

#[test]
fn an_agent_that_is_away_is_told_and_found_again() {
    let mut world = World::with_session();
    let tray = Tray::start(&world);
    until("it knows the agent", || tray.line("Snapshot session").is_some_and(|line| line.enabled));
    tray.click("Snapshot session");
    until("there is a snapshot", || count(&world) == 1);
    world.end_agent();
    until("it says so", || tray.line("The session agent is not running").is_some());
    assert_eq!(tray.icon(), "io.github.freezeframe.Freezeframe-trouble-symbolic");
    // The look at it has started none.
    assert_eq!(world.agent_pid(), None);
    world.start_agent(true);
    until("it is there again", || tray.line("Snapshot session").is_some_and(|line| line.enabled));
    tray.click("Resume alongside");
    until("it runs", || world.state("desktop-2").as_deref() == Some("running"));
    until("there is one line for each", || tray.line("Snapshot session “desktop-2”").is_some());
    tray.click("Snapshot session “desktop-2”");
    until("there is another", || count(&world) == 2);
    // A second tray has nothing to do.
    let mut second = Command::new(env!("CARGO_BIN_EXE_freezeframe-tray"));
    second.env("DBUS_SESSION_BUS_ADDRESS", world.address()).env("XDG_RUNTIME_DIR", world.runtime());
    assert!(second.stderr(Stdio::null()).status().unwrap().success());
}

#[test]
fn automatic_snapshots_are_paused_by_a_click() {
    let world = World::new();
    let tray = Tray::start(&world);
    let line = || tray.line("Pause automatic snapshots");
    until("there is nothing to pause", || line().is_some_and(|line| !line.enabled));
    world.json(&["settings", "automatic=true"]).done();
    until("there is", || line().is_some_and(|line| line.enabled && !line.checked));
    tray.click("Pause automatic snapshots");
    until("they are paused", || line().is_some_and(|line| line.checked));
    tray.click("Pause automatic snapshots");
    until("they go on", || line().is_some_and(|line| !line.checked));
}

#[test]
fn a_snapshot_is_told_with_its_picture_and_can_be_undone() {
    let world = World::with_session();
    let server = Notifications::start(&world);
    let tray = Tray::start(&world);
    until("it knows the session", || tray.line("Snapshot session").is_some_and(|line| line.enabled));
    tray.click("Snapshot session");
    until("it is told", || server.told().len() == 1);
    let told = server.told().remove(0);
    assert_eq!(told.title, "Snapshot of desktop taken");
    assert_eq!(told.text, "notes.txt");
    assert_eq!(told.actions, ["default", "Show", "undo", "Undo", "show", "Show"]);
    let (width, height, pixels) = told.picture.clone().unwrap();
    assert_eq!((width, height, pixels.len()), (256, 160, 256 * 160 * 3));
    let pixel = |x: usize, y: usize| pixels[(y * 256 + x) * 3..][..3].to_vec();
    assert_eq!((pixel(60, 80), pixel(200, 80)), (vec![255, 255, 255], vec![28, 113, 216]));
    // A signal about somebody else's notification means nothing.
    server.act(told.number + 1000, "undo");
    server.act(told.number, "undo");
    until("it is deleted", || count(&world) == 0);
    let offered = || tray.menu().iter().any(|line| line.label.ends_with(" – desktop"));
    until("the menu offers it no more", || !offered());
    assert_eq!(world.json(&["timeline", "--deleted"]).done()[0]["state"], "deleted");
    // Not told: what is set so, and what failed for a client that asked elsewhere.
    world.json(&["settings", "notify=off"]).done();
    world.json(&["save"]).done();
    until("the tray knows it", offered);
    world.json(&["settings", "notify=on"]).done();
    world.json(&["save", "--label", "refuse"]).refused(4, "Refused");
    tray.click("Snapshot session");
    until("the next is told", || server.told().len() == 2);
    assert_eq!(server.told()[1].title, "Snapshot of desktop taken");
    assert_eq!(count(&world), 2);
}

#[test]
fn the_tray_speaks_german() {
    let mut world = World::with_session();
    let server = Notifications::start(&world);
    let tray = Tray::start_in(&world, "de");
    tray.click("Schnappschuss der Sitzung aufnehmen");
    until("it is told", || server.told().len() == 1);
    let told = server.told().remove(0);
    assert_eq!(told.title, "Schnappschuss von desktop aufgenommen");
    assert_eq!(told.actions, ["default", "Zeigen", "undo", "Rückgängig", "show", "Zeigen"]);
    // The test may run over midnight.
    let offered = |line: &Line| ["Heute, ", "Gestern, "].iter().any(|day| line.label.starts_with(day));
    until("the menu offers it", || tray.menu().iter().any(|line| offered(line) && line.label.ends_with(" – desktop")));
    until("all is well", || tray.icon() == "io.github.freezeframe.Freezeframe-symbolic");
    let lines =
        |tray: &Tray| tray.menu().into_iter().map(|line| line.label).filter(|label| !label.is_empty()).collect();
    let menu: Vec<String> = lines(&tray);
    let german =
        ["Zeitleiste öffnen", "„desktop“ sichern, dann fortsetzen", "Daneben fortsetzen", "Dieses Symbol beenden"];
    assert!(german.iter().all(|label| menu.iter().any(|line| line == label)), "{menu:?}");
    let tip: ToolTip = tray.property("ToolTip").try_into().unwrap();
    assert_eq!(tip.3, "desktop läuft");
    world.end_agent();
    until("it says so", || tray.line("Der Sitzungsdienst läuft nicht").is_some());
    assert!(tray.line("Den Dienst starten").is_some());
}

#[test]
fn a_session_that_cannot_be_saved_by_itself_is_told_once() {
    let mut world = World::with_session();
    world.end_agent();
    crate::automatic::make_old(&world, "desktop");
    fs::write(world.runtime().join("refuse-automatic"), "").unwrap();
    fs::write(world.dir.path().join("config.toml"), "[automatic]\nenabled = true\n").unwrap();
    let server = Notifications::start(&world);
    let tray = Tray::start(&world);
    world.start_agent(true);
    until("it is told", || !server.told().is_empty());
    let told = server.told().remove(0);
    assert_eq!(told.title, "desktop could not be saved by itself");
    assert_eq!((told.text.as_str(), told.actions.len()), ("Gdb traces process 12. End gdb.", 0));
    until("the menu says so", || tray.line("desktop could not be saved").is_some());
    // A snapshot that is asked for ends it; that is told next, and the failure is not told again before it.
    tray.click("Snapshot session");
    until("that is told", || server.told().len() == 2);
    assert_eq!(server.told()[1].title, "Snapshot of desktop taken");
    until("all is well", || tray.line("desktop could not be saved").is_none());
}

#[test]
fn a_snapshot_that_turns_out_bad_is_told_while_the_session_runs() {
    let mut world = World::with_session();
    world.end_agent();
    fs::write(world.runtime().join("refuse-rehearsal"), "").unwrap();
    let settings = "verify_saves = true\n[notifications]\nsnapshots = false\n";
    fs::write(world.dir.path().join("config.toml"), settings).unwrap();
    world.start_agent(true);
    let server = Notifications::start(&world);
    let tray = Tray::start(&world);
    let id = world.json(&["save"]).done()["snapshot"].as_str().unwrap().to_owned();
    until("it is told", || !server.told().is_empty());
    let told = server.told().remove(0);
    assert_eq!(told.title, "The snapshot of desktop cannot be resumed");
    assert!(told.text.contains(&id) && told.text.ends_with("The session runs on: save it again."), "{}", told.text);
    assert_eq!(
        (world.show(&id)["state"].as_str(), world.state("desktop").as_deref()),
        (Some("damaged"), Some("running"))
    );
    let line = "desktop was saved, but the snapshot is not verified";
    until("the menu says so", || tray.line(line).is_some());
    // Another save, which is found good, ends it.
    fs::remove_file(world.runtime().join("refuse-rehearsal")).unwrap();
    let id = world.json(&["save"]).done()["snapshot"].as_str().unwrap().to_owned();
    until("that one is verified", || world.show(&id)["verified"] == true);
    until("all is well", || tray.line(line).is_none());
    assert_eq!(server.told().len(), 1);
}
