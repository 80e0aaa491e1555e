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
#[derive(Debug)]
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
}

impl SharedClipboard {
    /// Joins them; nothing is said before the view has the keyboard.
    pub(crate) fn new(clipboard: &gdk::Clipboard, input: Input) -> Rc<Self> {
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
        let provider = gdk::ContentProvider::for_value(&text.to_value());
        self.theirs.replace(Some(provider.clone()));
        if let Err(error) = self.clipboard.set_content(Some(&provider)) {
            tracing::debug!(%error, "the clipboard takes no text");
        }
    }

    fn fetch(&self) {
        self.asked.set(true);
        self.say(Said::Wants);
    }

    /// Tells whether the user has a text that is not the session's own.
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
            shared.say(text.map_or(Said::Has { text: false }, Said::Text));
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

/// The user's text, if it is not too long.
async fn read(clipboard: &gdk::Clipboard) -> Option<String> {
    let (stream, _) = clipboard.read_future(&TEXT_TYPES, glib::Priority::DEFAULT).await.ok()?;
    let mut text = Vec::new();
    loop {
        let part = stream.read_bytes_future(READ, glib::Priority::DEFAULT).await.ok()?;
        if part.is_empty() {
            break;
        }
        text.extend_from_slice(&part);
        if text.len() >= MAX_CLIPBOARD as usize {
            close(&stream);
            return None;
        }
    }
    close(&stream);
    Some(String::from_utf8_lossy(&text).into_owned())
}

fn close(stream: &gio::InputStream) {
    stream.close_async(glib::Priority::DEFAULT, gio::Cancellable::NONE, |_| {});
}
