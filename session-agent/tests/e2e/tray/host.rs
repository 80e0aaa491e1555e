//! A real host of status notifier items: Xfce's panel with nothing but its tray, on its own screen.

use std::fs;
use std::process::{Command, Stdio};

use image::RgbImage;
use zbus::zvariant::OwnedValue;

use super::{Bus, Program};
use crate::world::{World, until};

const PANEL: &str = r#"<?xml version="1.0" encoding="UTF-8"?>
<channel name="xfce4-panel" version="1.0">
  <property name="configver" type="int" value="2"/>
  <property name="panels" type="array">
    <value type="int" value="1"/>
    <property name="panel-1" type="empty">
      <property name="position" type="string" value="p=6;x=0;y=0"/>
      <property name="length" type="uint" value="100"/>
      <property name="position-locked" type="bool" value="true"/>
      <property name="size" type="uint" value="32"/>
      <property name="plugin-ids" type="array">
        <value type="int" value="1"/>
      </property>
    </property>
  </property>
  <property name="plugins" type="empty">
    <property name="plugin-1" type="string" value="systray"/>
  </property>
</channel>
"#;

/// An X server.
pub(crate) struct Screen {
    display: String,
    _server: Program,
}

impl Screen {
    pub(crate) fn start(world: &World) -> Self {
        let number = world.dir.path().join("display");
        let _ = fs::remove_file(&number);
        let mut command = Command::new("sh");
        command.args(["-c", r#"exec Xvfb -screen 0 640x200x24 -nolisten tcp -displayfd 3 3>"$1" 2>/dev/null"#, "sh"]);
        let server = Program::start(command.arg(&number));
        let read = || fs::read_to_string(&number).unwrap_or_default();
        until("Xvfb starts (apt install xvfb)", || read().ends_with('\n'));
        Self { display: format!(":{}", read().trim()), _server: server }
    }
}

/// The panel; it ends with its owner, before the screen does.
pub(crate) struct Panel {
    display: String,
    _panel: Program,
    _settings: Program,
}

impl Panel {
    pub(crate) fn start(world: &World, screen: &Screen) -> Self {
        let config = world.dir.path().join("panel");
        let channels = config.join("xfce4/xfconf/xfce-perchannel-xml");
        fs::create_dir_all(&channels).unwrap();
        fs::write(channels.join("xfce4-panel.xml"), PANEL).unwrap();
        let log = || fs::File::create(world.dir.path().join("panel.log")).unwrap();
        let command = |program: &str| {
            let mut command = Command::new(program);
            command
                .env("DISPLAY", &screen.display)
                .env("DBUS_SESSION_BUS_ADDRESS", world.address())
                .env("HOME", world.dir.path().join("home"))
                .env("XDG_CONFIG_HOME", &config)
                .env("XDG_CACHE_HOME", world.dir.path().join("cache"))
                .env("XDG_RUNTIME_DIR", world.runtime())
                .env("GTK_THEME", "Adwaita")
                .env("NO_AT_BRIDGE", "1")
                .env("GSETTINGS_BACKEND", "memory")
                .stdout(Stdio::null())
                .stderr(log());
            command
        };
        let daemon = xfconfd();
        let settings = Program::start(&mut command(&daemon));
        let bus = Bus::connect(world);
        until("xfconfd is there", || owned(&bus, "org.xfce.Xfconf"));
        let panel = Program::start(command("xfce4-panel").arg("--disable-wm-check"));
        let started = Self { display: screen.display.clone(), _panel: panel, _settings: settings };
        until("the panel has a tray (apt install xfce4-panel)", || watched(&bus));
        started
    }

    /// The items that it shows, as the watcher in it lists them.
    pub(crate) fn items(&self, world: &World) -> Vec<String> {
        let bus = Bus::connect(world);
        let body = ("org.kde.StatusNotifierWatcher", "RegisteredStatusNotifierItems");
        let get = "org.freedesktop.DBus.Properties.Get";
        let watcher = "org.kde.StatusNotifierWatcher";
        let Ok(answer) = bus.call(watcher, "/StatusNotifierWatcher", get, &body) else { return Vec::new() };
        answer.body().deserialize::<OwnedValue>().unwrap().try_into().unwrap()
    }

    /// What is on the screen.
    pub(crate) fn picture(&self) -> RgbImage {
        let mut command = Command::new("import");
        command.args(["-silent", "-window", "root", "png:-"]).env("DISPLAY", &self.display);
        let output = command.output().expect("import is needed: apt install imagemagick");
        assert!(output.status.success(), "{output:?}");
        image::load_from_memory(&output.stdout).unwrap().into_rgb8()
    }
}

fn xfconfd() -> String {
    let all = fs::read_dir("/usr/lib").unwrap().map(|entry| entry.unwrap().path().join("xfce4/xfconf/xfconfd"));
    let found = all.into_iter().find(|path| path.exists());
    found.expect("xfconfd is needed: apt install xfce4-panel").display().to_string()
}

fn owned(bus: &Bus, name: &str) -> bool {
    let driver = "org.freedesktop.DBus";
    let answer = bus.call(driver, "/org/freedesktop/DBus", "org.freedesktop.DBus.NameHasOwner", &name).unwrap();
    answer.body().deserialize().unwrap()
}

/// Whether there is a host.
pub(crate) fn watched(bus: &Bus) -> bool {
    owned(bus, "org.kde.StatusNotifierWatcher")
}

/// How many pixels differ.
pub(crate) fn differ(one: &RgbImage, other: &RgbImage) -> usize {
    assert_eq!(one.dimensions(), other.dimensions());
    one.pixels().zip(other.pixels()).filter(|(a, b)| a != b).count()
}
