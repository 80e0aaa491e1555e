//! What a screen reader is told of the programs on a stage's bus, over AT-SPI: what there is to click, and where.
//!
//! The interfaces are those of at-spi2-core (`xml/Accessible.xml`, `xml/Component.xml`).

use std::path::Path;
use std::process::{Child, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use futures_util::future::join_all;
use zbus::Connection;
use zbus::zvariant::{OwnedObjectPath, OwnedValue};

use crate::stage::Stage;
use crate::wait::eventually;

const ACCESSIBLE: &str = "org.a11y.atspi.Accessible";
const COMPONENT: &str = "org.a11y.atspi.Component";
const PROPERTIES: &str = "org.freedesktop.DBus.Properties";
/// Extents in pixels of the window that something is in (`AtspiCoordType`).
const OF_WINDOW: u32 = 1;

/// How long a program may take for one answer.
const ANSWER: Duration = Duration::from_secs(20);

/// Bits of AT-SPI's set of states (`atspi-constants.h`).
const FOCUSED: u64 = 1 << 12;
const SENSITIVE: u64 = 1 << 24;
const VISIBLE: u64 = 1 << 30;

/// Where at-spi2-core has its launcher.
const LAUNCHERS: [&str; 2] = ["/usr/libexec/at-spi-bus-launcher", "/usr/lib/at-spi2-core/at-spi-bus-launcher"];

/// The accessibility bus of a stage, ended when dropped.
#[derive(Debug)]
pub(crate) struct Access {
    runtime: tokio::runtime::Runtime,
    connection: Connection,
    launcher: Child,
}

/// A widget that the pointer would meet, in the window that has the keyboard.
#[derive(Clone, Debug)]
pub struct Widget {
    /// Name for a screen reader.
    pub name: String,
    /// Kind, in AT-SPI's words: "button", "list item".
    pub role: String,
    /// Whether it can be used now.
    pub usable: bool,
    /// Left, top, width and height in pixels of its window.
    pub extents: (i32, i32, i32, i32),
}

/// Somewhere in the tree.
struct Place {
    bus: String,
    /// From the program down to itself.
    line: Vec<String>,
    name: String,
    role: String,
    states: u64,
}

impl Place {
    fn path(&self) -> &str {
        self.line.last().map_or("/", String::as_str)
    }
}

impl Access {
    /// Starts it on the stage's bus.
    ///
    /// # Errors
    /// When it does not answer.
    pub(crate) fn start(stage: &Stage) -> Result<Self> {
        let program = LAUNCHERS.into_iter().find(|path| Path::new(path).exists());
        let program = program.context("this test needs: apt install at-spi2-core")?;
        let mut command = stage.command(program.as_ref());
        command.arg("--launch-immediately").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let launcher = command.spawn().context(program)?;
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let bus = stage.bus_address();
        let limit = Duration::from_secs(40);
        let connection = eventually(limit, "the bus of accessibility", || {
            let connection = runtime.block_on(async {
                let session = zbus::connection::Builder::address(bus.as_str())?.build().await?;
                let place = "/org/a11y/bus";
                let name = "org.a11y.Bus";
                let answer = session.call_method(Some(name), place, Some(name), "GetAddress", &()).await?;
                let address: String = answer.body().deserialize()?;
                zbus::connection::Builder::address(address.as_str())?.build().await
            })?;
            Ok(Some(connection))
        })?;
        Ok(Self { runtime, connection, launcher })
    }

    /// All that is in sight and fits by role and name in the window of that title, from the top down.
    ///
    /// # Errors
    /// When there is no program.
    pub(crate) fn in_sight(&self, title: &str, fits: impl Fn(&str, &str) -> bool) -> Result<Vec<Widget>> {
        self.runtime.block_on(async {
            let places = self.places().await;
            ensure!(!places.is_empty(), "no program is on the accessibility bus");
            // GTK 4.8 calls no dialog active, and closed ones may be there still: the window manager knows better.
            let windows = || places.iter().rev().filter(|place| place.line.len() == 2 && place.states & VISIBLE != 0);
            let front = windows().find(|window| window.name == title);
            let Some(front) = front.map(|front| front.path().to_owned()) else { return Ok(Vec::new()) };
            let in_front = |place: &&Place| place.line.get(1) == Some(&front) && place.states & VISIBLE != 0;
            let fitting = places.iter().filter(in_front).filter(|place| fits(&place.role, &place.name));
            let found = join_all(fitting.map(|place| self.meet(place, &places))).await;
            Ok(found.into_iter().flatten().collect())
        })
    }

    /// The name of what the keys go to in the window of that title, if it is of this kind. A menu over the window is part
    /// of it, whose place AT-SPI does not tell.
    pub(crate) fn focused(&self, title: &str, role: &str) -> Option<String> {
        let places = self.runtime.block_on(self.places());
        let window = places.iter().rev().find(|place| place.line.len() == 2 && place.name == title)?;
        let inside = |place: &&Place| place.line.starts_with(&window.line) && place.states & FOCUSED != 0;
        // The innermost is what the keys go to.
        let focused = places.iter().rfind(inside)?;
        focused.role.contains(role).then(|| focused.name.clone())
    }

    async fn places(&self) -> Vec<Place> {
        let root = self.children("org.a11y.atspi.Registry", "/org/a11y/atspi/accessible/root").await;
        let mut level: Vec<(String, Vec<String>)> = root.into_iter().map(|(bus, path)| (bus, vec![path])).collect();
        let mut places = Vec::new();
        while !level.is_empty() {
            let looks = join_all(level.into_iter().map(|(bus, line)| self.look(bus, line))).await;
            let mut below = Vec::new();
            for (place, children) in looks.into_iter().flatten() {
                below.extend(children.into_iter().map(|(bus, path)| (bus, [&place.line[..], &[path]].concat())));
                places.push(place);
            }
            level = below;
        }
        places
    }

    /// What it is and what is in it; none when it is gone meanwhile.
    async fn look(&self, bus: String, line: Vec<String>) -> Option<(Place, Vec<(String, String)>)> {
        let path = line.last()?.clone();
        let (role, states, name, children) = tokio::join!(
            self.call(&bus, &path, ACCESSIBLE, "GetRoleName", ()),
            self.call(&bus, &path, ACCESSIBLE, "GetState", ()),
            self.call(&bus, &path, PROPERTIES, "Get", (ACCESSIBLE, "Name")),
            self.children(&bus, &path),
        );
        let role = role?.body().deserialize::<String>().ok()?;
        let words = states?.body().deserialize::<Vec<u32>>().ok()?;
        let states = words.iter().take(2).enumerate().fold(0, |all, (at, bits)| all | u64::from(*bits) << (32 * at));
        let name = String::try_from(name?.body().deserialize::<OwnedValue>().ok()?).ok()?;
        Some((Place { bus, line, name, role, states }, children))
    }

    async fn children(&self, bus: &str, path: &str) -> Vec<(String, String)> {
        let Some(answer) = self.call(bus, path, ACCESSIBLE, "GetChildren", ()).await else { return Vec::new() };
        let children = answer.body().deserialize::<Vec<(String, OwnedObjectPath)>>().unwrap_or_default();
        let children = children.into_iter().map(|(bus, path)| (bus, path.to_string()));
        children.filter(|(_, path)| path != "/org/a11y/atspi/null").collect()
    }

    /// The widget, if the pointer would meet it or something in it at its middle or at two of its edges. GTK 4.8 itself
    /// calls everything visible, on pages that are not seen too.
    async fn meet(&self, place: &Place, places: &[Place]) -> Option<Widget> {
        let answer = self.call(&place.bus, place.path(), COMPONENT, "GetExtents", (OF_WINDOW,)).await?;
        let (extents,) = answer.body().deserialize::<((i32, i32, i32, i32),)>().ok()?;
        let (x, y, width, height) = extents;
        if width <= 0 || height <= 0 {
            return None;
        }
        let window = place.line.get(1)?;
        for (x, y) in [(x + width / 2, y + height / 2), (x + 1, y + height / 2), (x + width / 2, y + 1)] {
            let met = self.call(&place.bus, window, COMPONENT, "GetAccessibleAtPoint", (x, y, OF_WINDOW)).await?;
            let Ok(((_, met),)) = met.body().deserialize::<((String, OwnedObjectPath),)>() else { continue };
            let met = places.iter().find(|other| other.path() == met.as_str());
            if met.is_some_and(|met| met.line.iter().any(|path| path == place.path())) {
                let usable = place.states & SENSITIVE != 0;
                return Some(Widget { name: place.name.clone(), role: place.role.clone(), usable, extents });
            }
        }
        None
    }

    async fn call<A>(&self, bus: &str, path: &str, interface: &str, method: &str, arguments: A) -> Option<zbus::Message>
    where
        A: serde::Serialize + zbus::zvariant::DynamicType,
    {
        let call = self.connection.call_method(Some(bus), path, Some(interface), method, &arguments);
        // A program that hangs is to fail the test, not to hang it.
        tokio::time::timeout(ANSWER, call).await.ok()?.ok()
    }
}

impl Drop for Access {
    fn drop(&mut self) {
        let _ = self.launcher.kill();
        let _ = self.launcher.wait();
    }
}
