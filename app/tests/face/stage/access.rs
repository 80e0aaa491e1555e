//! What a screen reader is told: the accessible tree, over AT-SPI on a bus of the test's own.

use std::collections::{HashMap, HashSet};

use futures_util::future::join_all;
use zbus::Connection;
use zbus::zvariant::OwnedObjectPath;

use super::{Bus, Program, wait_for};

const ACCESSIBLE: &str = "org.a11y.atspi.Accessible";
const COMPONENT: &str = "org.a11y.atspi.Component";
const PROPERTIES: &str = "org.freedesktop.DBus.Properties";

/// Bits of AT-SPI's set of states (`atspi-constants.h`).
const ACTIVE: u64 = 1 << 1;
const FOCUSABLE: u64 = 1 << 11;
const FOCUSED: u64 = 1 << 12;
const SENSITIVE: u64 = 1 << 24;
const VISIBLE: u64 = 1 << 30;

/// The bus that accessible programs are on.
pub(crate) struct Access {
    connection: Connection,
    _launcher: Program,
}

/// One thing in the tree.
#[derive(Debug, Clone)]
pub(crate) struct Accessible {
    /// Where it is on its program's connection.
    pub(crate) path: String,
    /// The paths of all that it is in.
    pub(crate) parents: Vec<String>,
    pub(crate) name: String,
    pub(crate) role: String,
    states: u64,
    /// Whether its window has the keyboard, and the pointer would meet it or something in it. GTK 4.8 itself calls everything visible,
    /// on pages that are not seen too.
    showing: bool,
}

impl Accessible {
    pub(crate) fn showing(&self) -> bool {
        self.showing
    }

    pub(crate) fn focusable(&self) -> bool {
        let all = FOCUSABLE | SENSITIVE | VISIBLE;
        self.states & all == all
    }

    /// Whether it is this one, or in it.
    pub(crate) fn within(&self, other: &Accessible) -> bool {
        self.path == other.path || self.parents.contains(&other.path)
    }

    pub(crate) fn focused(&self) -> bool {
        self.states & FOCUSED != 0
    }

    /// What stands in for a name where there is none is the name of GTK's class.
    pub(crate) fn nameless(&self) -> bool {
        let name = self.name.trim();
        let class = |prefix| name.strip_prefix(prefix).is_some_and(|rest: &str| rest.starts_with(char::is_uppercase));
        name.is_empty() || ["Gtk", "Adw", "Freezeframe"].into_iter().any(class)
    }
}

impl Access {
    pub(crate) async fn start(bus: &Bus) -> Self {
        let launcher = ["/usr/libexec/at-spi-bus-launcher", "/usr/lib/at-spi2-core/at-spi-bus-launcher"]
            .into_iter()
            .find(|path| std::path::Path::new(path).exists())
            .expect("this test needs: apt-get install at-spi2-core");
        let program = Program::start_family(launcher, |command| {
            command
                .arg("--launch-immediately")
                .env("DBUS_SESSION_BUS_ADDRESS", &bus.address)
                // Its own bus lies there, under a name that is always the same.
                .env("XDG_RUNTIME_DIR", bus.directory())
                .env_remove("DISPLAY")
        });
        let session = zbus::connection::Builder::address(bus.address.as_str()).unwrap().build().await.unwrap();
        let mut address = None;
        for _ in 0..400 {
            let answer = session
                .call_method(Some("org.a11y.Bus"), "/org/a11y/bus", Some("org.a11y.Bus"), "GetAddress", &())
                .await;
            if let Ok(answer) = answer {
                address = Some(answer.body().deserialize::<String>().unwrap());
                break;
            }
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
        let address = address.expect("the bus of accessibility");
        let connection = zbus::connection::Builder::address(address.as_str()).unwrap().build().await.unwrap();
        Self { connection, _launcher: program }
    }

    /// All that is in the tree of the only program, from the top down. Empty while there is none; a widget that goes
    /// away meanwhile is left out.
    pub(crate) async fn tree(&self) -> Vec<Accessible> {
        let root = self.children("org.a11y.atspi.Registry", "/org/a11y/atspi/accessible/root").await;
        let mut level: Vec<Place> = root.into_iter().map(|(bus, path)| Place { bus, line: vec![path] }).collect();
        let mut found: Vec<(Place, Accessible)> = Vec::new();
        let mut parents: HashMap<String, String> = HashMap::new();
        while !level.is_empty() {
            let looks = join_all(level.iter().map(|place| self.look(place))).await;
            let mut below = Vec::new();
            for (place, look) in std::mem::take(&mut level).into_iter().zip(looks) {
                let Some((one, children)) = look else { continue };
                for (bus, path) in children {
                    parents.insert(path.clone(), place.path().to_owned());
                    below.push(Place { bus, line: [&place.line[..], &[path]].concat() });
                }
                found.push((place, one));
            }
            level = below;
        }
        let met = join_all(found.iter().map(|(place, one)| self.is_met(place, one, &parents))).await;
        // Only one window has the keyboard: what is in another is behind it.
        let windows = found.iter().filter(|(place, one)| place.line.len() == 2 && one.states & ACTIVE != 0);
        let active: HashSet<String> = windows.map(|(place, _)| place.path().to_owned()).collect();
        let front = |place: &Place| place.line.get(1).is_some_and(|window| active.contains(window));
        let pairs = found.into_iter().zip(met);
        pairs.map(|((place, one), met)| Accessible { showing: met == Some(true) && front(&place), ..one }).collect()
    }

    /// Waits for something in the tree that fits.
    pub(crate) fn wait(&self, what: &str, fits: impl Fn(&Accessible) -> bool) -> Accessible {
        wait_for(what, || self.now().into_iter().find(|one| fits(one)))
    }

    /// [`Self::tree`], for a test that waits.
    pub(crate) fn now(&self) -> Vec<Accessible> {
        tokio::task::block_in_place(|| tokio::runtime::Handle::current().block_on(self.tree()))
    }

    async fn children(&self, bus: &str, path: &str) -> Vec<(String, String)> {
        let answer = self.connection.call_method(Some(bus), path, Some(ACCESSIBLE), "GetChildren", &()).await;
        let Ok(answer) = answer else { return Vec::new() };
        let Ok(children) = answer.body().deserialize::<Vec<(String, OwnedObjectPath)>>() else { return Vec::new() };
        children
            .into_iter()
            .map(|(bus, path)| (bus, path.to_string()))
            .filter(|(_, path)| path != "/org/a11y/atspi/null")
            .collect()
    }

    /// What it is, and what is in it.
    async fn look(&self, place: &Place) -> Option<(Accessible, Vec<(String, String)>)> {
        let call = |method: &'static str| self.call(&place.bus, place.path(), ACCESSIBLE, method, ());
        let name = self.call(&place.bus, place.path(), PROPERTIES, "Get", (ACCESSIBLE, "Name"));
        let children = self.children(&place.bus, place.path());
        let (role, state, name, children) = tokio::join!(call("GetRoleName"), call("GetState"), name, children);
        let role = role?.body().deserialize::<String>().ok()?;
        let state = state?.body().deserialize::<Vec<u32>>().ok()?;
        let states = state.iter().take(2).enumerate().fold(0, |all, (at, bits)| all | u64::from(*bits) << (32 * at));
        let name = name?.body().deserialize::<zbus::zvariant::OwnedValue>().ok()?;
        let name = String::try_from(name).ok()?;
        let path = format!("{}{}", place.bus, place.path());
        let above = &place.line[..place.line.len() - 1];
        let parents = above.iter().map(|path| format!("{}{path}", place.bus)).collect();
        Some((Accessible { path, parents, name, role, states, showing: false }, children))
    }

    /// Whether the pointer would meet it: at its middle, or beside an icon that is in the middle and in no tree.
    async fn is_met(&self, place: &Place, one: &Accessible, parents: &HashMap<String, String>) -> Option<bool> {
        if one.states & VISIBLE == 0 {
            return Some(false);
        }
        // Coordinates of the window.
        let window = 1u32;
        let extents = self.call(&place.bus, place.path(), COMPONENT, "GetExtents", (window,)).await?;
        let ((x, y, width, height),) = extents.body().deserialize::<((i32, i32, i32, i32),)>().ok()?;
        if width <= 0 || height <= 0 {
            return Some(false);
        }
        // The first of the line is the program, the second its window.
        let top = place.line.get(1)?;
        for (x, y) in [(x + width / 2, y + height / 2), (x + 1, y + height / 2), (x + width / 2, y + 1)] {
            let met = self.call(&place.bus, top, COMPONENT, "GetAccessibleAtPoint", (x, y, window)).await?;
            let Ok(((_, met),)) = met.body().deserialize::<((String, OwnedObjectPath),)>() else { continue };
            let mut met = Some(met.as_str());
            while let Some(path) = met {
                if path == place.path() {
                    return Some(true);
                }
                met = parents.get(path).map(String::as_str);
            }
        }
        Some(false)
    }

    async fn call<A>(&self, bus: &str, path: &str, interface: &str, method: &str, arguments: A) -> Option<zbus::Message>
    where
        A: serde::Serialize + zbus::zvariant::DynamicType,
    {
        self.connection.call_method(Some(bus), path, Some(interface), method, &arguments).await.ok()
    }
}

/// Where something is: on whose connection, and below what.
struct Place {
    bus: String,
    /// From the program down to itself.
    line: Vec<String>,
}

impl Place {
    fn path(&self) -> &str {
        self.line.last().map_or("/", String::as_str)
    }
}
