//! Somebody who drags a file from another program and drops it: the source's side of XDND 5
//! (freedesktop.org's "Drag-and-Drop Protocol for the X Window System").

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use x11rb::connection::Connection as _;
use x11rb::protocol::Event;
use x11rb::protocol::xproto::{
    AtomEnum, ClientMessageEvent, ConnectionExt as _, CreateWindowAux, EventMask, PropMode, SELECTION_NOTIFY_EVENT,
    SelectionNotifyEvent, SelectionRequestEvent, Window, WindowClass,
};
use x11rb::rust_connection::RustConnection;
use x11rb::wrapper::ConnectionExt as _;

/// How long the other program may take for all of it.
const LIMIT: Duration = Duration::from_secs(30);
/// Where the other program has not decided yet, it is told the place again.
const AGAIN: Duration = Duration::from_millis(200);

x11rb::atom_manager! {
    Atoms: AtomsCookie {
        XdndAware, XdndSelection, XdndEnter, XdndPosition, XdndStatus, XdndDrop, XdndFinished, XdndActionCopy,
        UriList: b"text/uri-list",
    }
}

struct Drag {
    connection: RustConnection,
    atoms: Atoms,
    source: Window,
    target: Window,
    uris: String,
}

/// Drops a file at a place of the display; answers once the program there has taken it.
///
/// # Errors
/// When nobody there takes files.
pub(crate) fn drop_file(display: &str, file: &Path, (x, y): (i16, i16)) -> Result<()> {
    let (connection, screen) = x11rb::connect(Some(display))?;
    let atoms = Atoms::new(&connection)?.reply()?;
    let root = connection.setup().roots.get(screen).context("a screen")?.root;
    let source = connection.generate_id()?;
    let looks = CreateWindowAux::new();
    connection.create_window(0, source, root, 0, 0, 1, 1, 0, WindowClass::INPUT_ONLY, 0, &looks)?.check()?;
    let target = aware(&connection, root, atoms.XdndAware, (x, y))?.context("nobody there takes anything")?;
    let uris = format!("file://{}\r\n", file.display());
    Drag { connection, atoms, source, target, uris }.play((x, y))
}

/// The innermost window at a place that takes what is dropped.
fn aware(connection: &RustConnection, root: Window, mark: u32, (x, y): (i16, i16)) -> Result<Option<Window>> {
    let (mut at, mut found) = (root, None);
    loop {
        let below = connection.translate_coordinates(root, at, x, y)?.reply()?.child;
        if below == x11rb::NONE {
            return Ok(found);
        }
        at = below;
        if connection.get_property(false, at, mark, AtomEnum::ANY, 0, 1)?.reply()?.type_ != x11rb::NONE {
            found = Some(at);
        }
    }
}

impl Drag {
    fn say(&self, kind: u32, rest: [u32; 4]) -> Result<()> {
        let data = [self.source, rest[0], rest[1], rest[2], rest[3]];
        let message = ClientMessageEvent::new(32, self.target, kind, data);
        self.connection.send_event(false, self.target, EventMask::NO_EVENT, message)?.check()?;
        Ok(())
    }

    fn play(&self, (x, y): (i16, i16)) -> Result<()> {
        let atoms = &self.atoms;
        self.connection.set_selection_owner(self.source, atoms.XdndSelection, x11rb::CURRENT_TIME)?.check()?;
        self.say(atoms.XdndEnter, [5 << 24, atoms.UriList, 0, 0])?;
        let place = u32::from(x.cast_unsigned()) << 16 | u32::from(y.cast_unsigned());
        let point = || self.say(atoms.XdndPosition, [0, place, x11rb::CURRENT_TIME, atoms.XdndActionCopy]);
        point()?;
        let (mut dropped, mut pointed, deadline) = (false, Instant::now(), Instant::now() + LIMIT);
        while Instant::now() < deadline {
            match self.connection.poll_for_event()? {
                Some(Event::ClientMessage(message)) if message.type_ == atoms.XdndStatus && !dropped => {
                    dropped = message.data.as_data32()[1] & 1 == 1;
                    if dropped {
                        self.say(atoms.XdndDrop, [0, x11rb::CURRENT_TIME, 0, 0])?;
                    }
                }
                Some(Event::ClientMessage(message)) if message.type_ == atoms.XdndFinished => {
                    ensure!(message.data.as_data32()[1] & 1 == 1, "what was dropped is refused");
                    return Ok(());
                }
                Some(Event::SelectionRequest(request)) => self.give(&request)?,
                Some(_) => {}
                None if !dropped && pointed.elapsed() > AGAIN => {
                    pointed = Instant::now();
                    point()?;
                }
                None => std::thread::sleep(Duration::from_millis(5)),
            }
        }
        bail!("what was dropped is not taken (it may be dropped here: {dropped})")
    }

    fn give(&self, request: &SelectionRequestEvent) -> Result<()> {
        let ours = request.target == self.atoms.UriList;
        let property = if ours { request.property } else { x11rb::NONE };
        if ours {
            let uris = self.uris.as_bytes();
            self.connection
                .change_property8(PropMode::REPLACE, request.requestor, property, request.target, uris)?
                .check()?;
        }
        let answer = SelectionNotifyEvent {
            response_type: SELECTION_NOTIFY_EVENT,
            sequence: 0,
            time: request.time,
            requestor: request.requestor,
            selection: request.selection,
            target: request.target,
            property,
        };
        self.connection.send_event(false, request.requestor, EventMask::NO_EVENT, answer)?.check()?;
        Ok(())
    }
}
