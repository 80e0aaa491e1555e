//! A server of notifications (`org.freedesktop.Notifications`) that shows nothing and writes everything down.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use zbus::zvariant::{OwnedValue, Structure, Value};

use super::Bus;
use crate::world::World;

const NAME: &str = "org.freedesktop.Notifications";
const PATH: &str = "/org/freedesktop/Notifications";

/// What it was told once.
#[derive(Clone, Debug)]
pub(crate) struct Told {
    pub(crate) number: u32,
    pub(crate) title: String,
    pub(crate) text: String,
    pub(crate) actions: Vec<String>,
    /// Width, height, and three bytes a pixel.
    pub(crate) picture: Option<(i32, i32, Vec<u8>)>,
}

struct Server(Arc<Mutex<Vec<Told>>>);

#[zbus::interface(name = "org.freedesktop.Notifications")]
impl Server {
    #[allow(clippy::too_many_arguments, clippy::needless_pass_by_value, reason = "the specification's")]
    fn notify(
        &self,
        _application: String,
        _replaces: u32,
        _icon: String,
        title: String,
        text: String,
        actions: Vec<String>,
        hints: HashMap<String, OwnedValue>,
        _timeout: i32,
    ) -> u32 {
        let mut told = self.0.lock().unwrap();
        let number = 7 + u32::try_from(told.len()).unwrap();
        told.push(Told { number, title, text, actions, picture: hints.get("image-data").map(picture) });
        number
    }
}

fn picture(value: &OwnedValue) -> (i32, i32, Vec<u8>) {
    let fields = Structure::try_from(value.try_clone().unwrap()).unwrap().into_fields();
    let numbers: Vec<i32> = fields.iter().filter_map(|field| i32::try_from(field).ok()).collect();
    let [width, height, row, bits, samples] = numbers[..] else { panic!("{numbers:?}") };
    assert_eq!((row, bits, samples, &fields[3]), (width * 3, 8, 3, &Value::Bool(false)));
    (width, height, Vec::<u8>::try_from(fields[6].try_clone().unwrap()).unwrap())
}

pub(crate) struct Notifications {
    bus: Bus,
    told: Arc<Mutex<Vec<Told>>>,
}

impl Notifications {
    pub(crate) fn start(world: &World) -> Self {
        let told = Arc::new(Mutex::new(Vec::new()));
        let server = Server(told.clone());
        let bus = Bus::build(world, |bus| bus.serve_at(PATH, server).unwrap().name(NAME).unwrap());
        Self { bus, told }
    }

    pub(crate) fn told(&self) -> Vec<Told> {
        self.told.lock().unwrap().clone()
    }

    /// Somebody clicks an action.
    pub(crate) fn act(&self, number: u32, action: &str) {
        self.bus.emit(PATH, "org.freedesktop.Notifications.ActionInvoked", &(number, action));
    }
}
