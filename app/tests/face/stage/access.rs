//! What a screen reader is told: the accessible tree, over AT-SPI on a bus of the test's own.

use std::process::{Command, Stdio};

use zbus::Connection;
use zbus::zvariant::OwnedObjectPath;

use super::{Bus, Program, wait_for};

/// Bits of AT-SPI's set of states (`atspi-constants.h`).
const FOCUSABLE: u64 = 1 << 11;
const FOCUSED: u64 = 1 << 12;
const SENSITIVE: u64 = 1 << 24;
const SHOWING: u64 = 1 << 25;
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
    pub(crate) name: String,
    pub(crate) role: String,
    pub(crate) depth: usize,
    /// Whether it can be operated: focused, or acted on.
    pub(crate) operable: bool,
    states: u64,
}

impl Accessible {
    pub(crate) fn showing(&self) -> bool {
        let all = SHOWING | VISIBLE;
        self.states & all == all
    }

    pub(crate) fn focusable(&self) -> bool {
        self.states & FOCUSABLE != 0 && self.states & SENSITIVE != 0
    }

    pub(crate) fn focused(&self) -> bool {
        self.states & FOCUSED != 0
    }
}

impl Access {
    pub(crate) async fn start(bus: &Bus) -> Self {
        let launcher = ["/usr/libexec/at-spi-bus-launcher", "/usr/lib/at-spi2-core/at-spi-bus-launcher"]
            .into_iter()
            .find(|path| std::path::Path::new(path).exists())
            .expect("this test needs: apt-get install at-spi2-core");
        let program = Program::start(
            Command::new(launcher)
                .arg("--launch-immediately")
                .env("DBUS_SESSION_BUS_ADDRESS", &bus.address)
                .env_remove("DISPLAY")
                .stderr(Stdio::null()),
        );
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

    /// All that is in the tree of the only program, in its order. Empty while there is none; a widget that goes away
    /// meanwhile is left out.
    pub(crate) async fn tree(&self) -> Vec<Accessible> {
        let root = ("org.a11y.atspi.Registry".to_owned(), "/org/a11y/atspi/accessible/root".to_owned());
        let mut open: Vec<(String, String, usize)> = Vec::new();
        for (bus, path) in self.children(&root.0, &root.1).await.into_iter().rev() {
            open.push((bus, path, 0));
        }
        let mut all = Vec::new();
        while let Some((bus, path, depth)) = open.pop() {
            let Some(one) = self.look(&bus, &path, depth).await else { continue };
            all.push(one);
            for (bus, path) in self.children(&bus, &path).await.into_iter().rev() {
                open.push((bus, path, depth + 1));
            }
        }
        all
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
        let answer =
            self.connection.call_method(Some(bus), path, Some("org.a11y.atspi.Accessible"), "GetChildren", &()).await;
        let Ok(answer) = answer else { return Vec::new() };
        let Ok(children) = answer.body().deserialize::<Vec<(String, OwnedObjectPath)>>() else { return Vec::new() };
        children
            .into_iter()
            .map(|(bus, path)| (bus, path.to_string()))
            .filter(|(_, path)| path != "/org/a11y/atspi/null")
            .collect()
    }

    async fn look(&self, bus: &str, path: &str, depth: usize) -> Option<Accessible> {
        let call = |method: &'static str| {
            self.connection.call_method(Some(bus), path, Some("org.a11y.atspi.Accessible"), method, &())
        };
        let role = call("GetRoleName").await.ok()?.body().deserialize::<String>().ok()?;
        let state = call("GetState").await.ok()?.body().deserialize::<Vec<u32>>().ok()?;
        let states = state.iter().take(2).enumerate().fold(0, |all, (at, bits)| all | u64::from(*bits) << (32 * at));
        let interfaces = call("GetInterfaces").await.ok()?.body().deserialize::<Vec<String>>().ok()?;
        let name = self
            .connection
            .call_method(
                Some(bus),
                path,
                Some("org.freedesktop.DBus.Properties"),
                "Get",
                &("org.a11y.atspi.Accessible", "Name"),
            )
            .await
            .ok()?
            .body()
            .deserialize::<zbus::zvariant::OwnedValue>()
            .ok()
            .and_then(|value| String::try_from(value).ok())?;
        let actions = interfaces.iter().any(|name| name == "org.a11y.atspi.Action");
        let operable = states & SENSITIVE != 0 && (states & FOCUSABLE != 0 || actions);
        Some(Accessible { path: format!("{bus}{path}"), name, role, depth, operable, states })
    }
}
