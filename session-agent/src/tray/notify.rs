//! What is told by notifications.

use std::collections::HashMap;
use std::fs::File;
use std::io::{Cursor, Read};

use freezeframe_api::names::snapshot_path;
use freezeframe_api::{Error, ErrorKind, Result, Snapshot1Proxy};
use freezeframe_i18n::{gettext, gettext_f};
use image::{ImageFormat, ImageReader, Limits};
use tracing::{debug, info};
use zbus::message::Type;
use zbus::proxy::CacheProperties;
use zbus::zvariant::Value;
use zbus::{MatchRule, Message, MessageStream};

use super::model::Act;
use super::news::Told;

const SERVICE: &str = "org.freedesktop.Notifications";
const PATH: &str = "/org/freedesktop/Notifications";

/// No thumbnail is larger, in bytes and in pixels of a side.
const MAX_FILE: u64 = 16 << 20;
const MAX_SIDE: u32 = 8192;
/// The longest side of a picture in a notification.
const SIDE: u32 = 256;

/// Sends them, and knows what they were about.
#[derive(Debug)]
pub(super) struct Notifier {
    connection: zbus::Connection,
    /// What users and servers do with them.
    pub(super) signals: MessageStream,
    open: HashMap<u32, String>,
}

impl Notifier {
    pub(super) async fn new(connection: &zbus::Connection) -> Result<Self> {
        let rule = MatchRule::builder().msg_type(Type::Signal).interface(SERVICE)?.path(PATH)?.build();
        let signals = MessageStream::for_match_rule(rule, connection, None).await?;
        Ok(Self { connection: connection.clone(), signals, open: HashMap::new() })
    }

    /// Shows it. Where nobody shows notifications, nobody misses them.
    pub(super) async fn tell(&mut self, told: &Told) {
        let (title, text, snapshot) = match told {
            Told::Snapshot { id, session, windows } => {
                (gettext_f("Snapshot of {session} taken", &[("session", session)]), windows.join(", "), Some(id))
            }
            Told::Failure { title, text } => (title.clone(), text.clone(), None),
        };
        let picture = match snapshot {
            Some(id) => self.picture(id).await.inspect_err(|error| debug!(%error, "no picture")).ok(),
            None => None,
        };
        match self.send(&title, &text, snapshot.is_some(), picture).await {
            Ok(number) => {
                if let Some(id) = snapshot {
                    self.open.insert(number, id.clone());
                }
            }
            Err(error) => info!(%error, title, "cannot be told by a notification"),
        }
    }

    async fn send(&self, title: &str, text: &str, taken: bool, picture: Option<Picture>) -> zbus::Result<u32> {
        let (show, undo) = (gettext("Show"), gettext("Undo"));
        let actions: &[&str] = if taken { &["default", &show, "undo", &undo, "show", &show] } else { &[] };
        let icon = if taken { "" } else { "dialog-warning" };
        let mut hints: HashMap<&str, Value<'_>> = HashMap::new();
        hints.insert("desktop-entry", "io.github.freezeframe.Freezeframe".into());
        hints.insert("category", if taken { "transfer.complete" } else { "transfer.error" }.into());
        if let Some(picture) = picture {
            hints.insert("image-data", picture.into_value()?);
        }
        // Its text may have markup, and titles of windows come from inside sessions.
        let text = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
        let body = ("Freezeframe", 0u32, icon, title, text, actions, hints, -1i32);
        let answer = self.connection.call_method(Some(SERVICE), PATH, Some(SERVICE), "Notify", &body).await?;
        answer.body().deserialize()
    }

    async fn picture(&self, id: &str) -> Result<Picture> {
        let snapshot = Snapshot1Proxy::builder(&self.connection).path(snapshot_path(id))?;
        let snapshot = snapshot.cache_properties(CacheProperties::No).build().await?;
        let file = File::from(std::os::fd::OwnedFd::from(snapshot.open_thumbnail().await?));
        let drawn = tokio::task::spawn_blocking(move || draw(file)).await;
        drawn.map_err(|e| Error::new(ErrorKind::Failed, e.to_string()))?
    }

    /// What a signal asks for; none of a notification that is not ours.
    pub(super) fn answer(&mut self, signal: &Message) -> Option<Act> {
        match signal.header().member()?.as_str() {
            "ActionInvoked" => {
                let (number, action): (u32, String) = signal.body().deserialize().ok()?;
                let snapshot = self.open.get(&number)?;
                match action.as_str() {
                    "undo" => Some(Act::Delete(snapshot.clone())),
                    _ => Some(Act::Show(snapshot.clone())),
                }
            }
            "NotificationClosed" => {
                let (number, _reason): (u32, u32) = signal.body().deserialize().ok()?;
                self.open.remove(&number);
                None
            }
            _ => None,
        }
    }
}

/// A picture, three bytes a pixel.
#[derive(Debug)]
struct Picture {
    width: u32,
    height: u32,
    pixels: Vec<u8>,
}

impl Picture {
    /// As the hint `image-data` has it: width, height, bytes a row, has alpha, bits a sample, samples a pixel, bytes.
    fn into_value(self) -> zbus::Result<Value<'static>> {
        let side = |n: u32| i32::try_from(n).unwrap_or(i32::MAX);
        let fields = (side(self.width), side(self.height), side(self.width * 3), false, 8i32, 3i32, self.pixels);
        Ok(Value::from(zbus::zvariant::Structure::from(fields)))
    }
}

/// Reads a thumbnail, which is not believed, and makes it small.
fn draw(file: File) -> Result<Picture> {
    let bad = |e: &dyn std::fmt::Display| Error::new(ErrorKind::Damaged, format!("the thumbnail cannot be read: {e}"));
    let mut bytes = Vec::new();
    file.take(MAX_FILE).read_to_end(&mut bytes).map_err(|e| bad(&e))?;
    let mut reader = ImageReader::with_format(Cursor::new(bytes), ImageFormat::Png);
    let mut limits = Limits::default();
    (limits.max_image_width, limits.max_image_height) = (Some(MAX_SIDE), Some(MAX_SIDE));
    reader.limits(limits);
    let picture = reader.decode().map_err(|e| bad(&e))?;
    let small = if picture.width().max(picture.height()) > SIDE { picture.thumbnail(SIDE, SIDE) } else { picture };
    let small = small.into_rgb8();
    Ok(Picture { width: small.width(), height: small.height(), pixels: small.into_raw() })
}
