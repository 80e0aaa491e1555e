//! One clipboard for the user's desktop and the session, for text, while the view has the keyboard.
//!
//! A text travels only where it is needed. Copied outside: the session is told that there is something, and is given
//! it when it asks. Copied in the session: fetched at once, up to [`MAX_CLIPBOARD`], since the session may be frozen
//! when somebody pastes. A session that does not have the keyboard is told nothing, given nothing, and not listened to:
//! its last text waits until it has.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use freezeframe_rfb::limits::MAX_CLIPBOARD;
use freezeframe_rfb::{ClientMessage, Clipboard as Said};
use gtk::prelude::*;
use gtk::{gdk, gio, glib};

use super::connection::Input;

/// Text as programs of today offer it, the best first.
const TEXT_TYPES: [&str; 3] = ["text/plain;charset=utf-8", "UTF8_STRING", "text/plain"];
/// How much is read at once.
const READ: usize = 64 << 10;

/// The user's clipboard and a session's, joined until this is dropped.
pub(crate) struct SharedClipboard {
    clipboard: gdk::Clipboard,
    input: Input,
    /// Whether the server speaks of its clipboard in UTF-8.
    extended: Cell<bool>,
    /// Whether the view has the keyboard.
    focused: Cell<bool>,
    /// Whether the session has a text that was not fetched yet.
    waiting: Cell<bool>,
    /// Whether a text was asked for that has not come yet.
    asked: Cell<bool>,
    /// Whether the user's text is being read for the session.
    answering: Cell<bool>,
    /// What came from the session: it is not told its own text.
    theirs: RefCell<Option<gdk::ContentProvider>>,
    changes: RefCell<Option<glib::SignalHandlerId>>,
    /// Shows that the user's text is too long for the session.
    too_long: Box<dyn Fn()>,
}

impl SharedClipboard {
    /// Joins them; nothing is said before the view has the keyboard. `too_long` is called when a text of the user's is
    /// asked for that cannot be given.
    pub(crate) fn new(clipboard: &gdk::Clipboard, input: Input, too_long: impl Fn() + 'static) -> Rc<Self> {
        let shared = Rc::new(Self {
            clipboard: clipboard.clone(),
            input,
            extended: Cell::default(),
            focused: Cell::default(),
            waiting: Cell::default(),
            asked: Cell::default(),
            answering: Cell::default(),
            theirs: RefCell::default(),
            changes: RefCell::default(),
            too_long: Box::new(too_long),
        });
        let weak = Rc::downgrade(&shared);
        let changes = clipboard.connect_changed(move |_| {
            if let Some(shared) = weak.upgrade() {
                shared.announce();
            }
        });
        shared.changes.replace(Some(changes));
        shared
    }

    /// A new connection: its server has said nothing yet.
    pub(crate) fn reset(&self) {
        self.extended.set(false);
        self.waiting.set(false);
        self.asked.set(false);
    }

    /// The view has the keyboard now, or has it no more.
    pub(crate) fn set_focused(&self, focused: bool) {
        if self.focused.replace(focused) == focused || !focused {
            return;
        }
        self.announce();
        if self.waiting.take() {
            self.fetch();
        }
    }

    /// The session says something of its clipboard.
    pub(crate) fn hear(self: &Rc<Self>, said: Said) {
        match said {
            Said::Can => {
                self.say(Said::Can);
                self.extended.set(true);
                self.announce();
            }
            Said::Has { text: false } => self.waiting.set(false),
            Said::Has { text: true } if self.focused.get() => self.fetch(),
            Said::Has { text: true } => self.waiting.set(true),
            Said::Asks => self.announce(),
            Said::Wants => self.answer(),
            Said::Text(text) => {
                if self.asked.take() {
                    self.take(&text);
                }
            }
        }
    }

    /// An old server has this text.
    pub(crate) fn hear_latin1(&self, text: &str) {
        if self.focused.get() {
            self.take(text);
        }
    }

    fn take(&self, text: &str) {
        // Not as a value: of a text that takes several turns, GTK 4.8 then ends the conversion in one that waits for the
        // main loop, which is itself, and the window would hang forever.
        let provider = gdk::ContentProvider::for_bytes(TEXT_TYPES[0], &glib::Bytes::from(text.as_bytes()));
        self.theirs.replace(Some(provider.clone()));
        if let Err(error) = self.clipboard.set_content(Some(&provider)) {
            tracing::debug!(%error, "the clipboard takes no text");
        }
    }

    fn fetch(&self) {
        self.asked.set(true);
        self.say(Said::Wants);
    }

    /// Whether the user has a text that is not the session's own.
    fn announce(&self) {
        if !self.focused.get() || !self.extended.get() {
            return;
        }
        let content = self.clipboard.content();
        if content.is_some() && content == *self.theirs.borrow() {
            return;
        }
        self.say(Said::Has { text: self.has_text() });
    }

    fn has_text(&self) -> bool {
        let formats = self.clipboard.formats();
        formats.contains_type(glib::Type::STRING) || TEXT_TYPES.iter().any(|name| formats.contain_mime_type(name))
    }

    /// Gives the user's text. One at a time, and not to a session that takes none: what waits stays small.
    fn answer(self: &Rc<Self>) {
        if !self.focused.get() || !self.has_text() || self.input.is_behind() || self.answering.replace(true) {
            return;
        }
        let shared = Rc::clone(self);
        glib::spawn_future_local(async move {
            let text = read(&shared.clipboard).await;
            shared.answering.set(false);
            shared.say(match text {
                Copied::Text(text) => Said::Text(text),
                Copied::TooLong => {
                    (shared.too_long)();
                    Said::Has { text: false }
                }
                Copied::Nothing => Said::Has { text: false },
            });
        });
    }

    fn say(&self, message: Said) {
        self.input.send([ClientMessage::Clipboard(message)]);
    }
}

impl Drop for SharedClipboard {
    fn drop(&mut self) {
        if let Some(changes) = self.changes.take() {
            self.clipboard.disconnect(changes);
        }
    }
}

/// What the user has copied.
enum Copied {
    Text(String),
    TooLong,
    Nothing,
}

async fn read(clipboard: &gdk::Clipboard) -> Copied {
    let read = clipboard.read_future(&TEXT_TYPES, glib::Priority::DEFAULT).await;
    let Ok((stream, _)) = read else { return Copied::Nothing };
    let mut text = Vec::new();
    // One that goes on forever is not read to its end.
    while text.len() <= MAX_CLIPBOARD as usize {
        match stream.read_bytes_future(READ, glib::Priority::DEFAULT).await {
            Ok(part) if part.is_empty() => break,
            Ok(part) => text.extend_from_slice(&part),
            Err(_) => return Copied::Nothing,
        }
    }
    close(&stream);
    let text = String::from_utf8_lossy(&text).into_owned();
    if Said::fits(&text) { Copied::Text(text) } else { Copied::TooLong }
}

fn close(stream: &gio::InputStream) {
    stream.close_async(glib::Priority::DEFAULT, gio::Cancellable::NONE, |_| {});
}
