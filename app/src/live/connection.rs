//! The display's traffic, on [`crate::runtime`]: pictures to the page, input from it, and another try whenever the
//! connection drops while the session lives.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_channel::{Receiver, Sender};
use freezeframe_api::{Error as ApiError, ErrorKind};
use freezeframe_rfb::{Client, ClientMessage, Clipboard, Cursor, Event, Reader, Screen, Writer, encoding};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::UnixStream;
use tokio::sync::mpsc;

use super::tiles::{Patch, Pending};
use crate::agent::{self, NoDisplay};
use crate::runtime::runtime;

/// How long a handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// Between tries. The first comes at once: a save keeps its viewers, so what ended the connection is a fault that may be over,
/// or the session's end, which the next try reports.
const RETRY: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(2));
/// A connection that showed a picture for this long was a good one: the next is tried at once again.
const GOOD: Duration = Duration::from_secs(1);
/// Input older than this when a connection comes back is not what the user means any more.
const STALE: Duration = Duration::from_secs(5);
/// Input that may wait. When that many wait, the display takes none.
const INPUT_QUEUE: usize = 1024;
/// When more than this waits, the display is behind, and nothing large is put on top.
const INPUT_BEHIND: usize = 8;

/// Where a display is.
#[derive(Debug, Clone)]
pub(crate) enum Source {
    /// A session, through the agent.
    Session(String),
    /// An RFB server's Unix socket.
    Socket(PathBuf),
}

impl Source {
    async fn open(&self) -> Result<UnixStream, NoDisplay> {
        match self {
            Self::Session(id) => agent::open_display(id).await,
            Self::Socket(path) => UnixStream::connect(path).await.map_err(|error| {
                let message = format!("cannot connect to {}: {error}", path.display());
                NoDisplay::Away(ApiError::new(ErrorKind::Failed, message))
            }),
        }
    }
}

/// What the page has to show.
#[derive(Debug)]
pub(crate) enum View {
    /// A connection stands; pictures follow.
    Connected,
    /// A newer picture waits in [`Connection::pictures`].
    Picture,
    /// The pointer looks like this.
    Cursor(Cursor),
    /// The picture's size, and whether another one can be asked for.
    Screen(Screen),
    /// The bell rang.
    Bell,
    /// Something about the session's clipboard.
    Clipboard(Clipboard),
    /// The session's clipboard has this text, from a server that knows no better way to say it.
    CutText(String),
    /// The session's clipboard has a text that is too long to be taken.
    CutTextTooLong,
    /// The connection is lost, or not yet there; it is being tried.
    Away(ApiError),
    /// The session is no more. The last thing said.
    Ended(ApiError),
}

/// The main thread's end of a display. Dropping it ends the connection.
#[derive(Debug)]
pub(crate) struct Connection {
    /// What to show, in order.
    pub(crate) views: Receiver<View>,
    /// The newest pictures. While nobody takes them, no newer ones are asked for.
    pub(crate) pictures: Arc<Pending>,
    /// Where keyboard and pointer go.
    pub(crate) input: Input,
}

/// Takes input at once, without waiting.
#[derive(Debug, Clone)]
pub(crate) struct Input {
    queue: Sender<(Instant, ClientMessage)>,
}

impl Input {
    /// Sends, in order.
    pub(crate) fn send(&self, messages: impl IntoIterator<Item = ClientMessage>) {
        for message in messages {
            // Full: the display takes nothing. Nothing of use can be done with more.
            let _ = self.queue.try_send((Instant::now(), message));
        }
    }

    /// Whether the display takes less than it is given.
    pub(crate) fn is_behind(&self) -> bool {
        self.queue.len() > INPUT_BEHIND
    }
}

/// Connects in the background.
pub(crate) fn connect(source: Source) -> Connection {
    // Room for little: a page that is behind is told no more.
    let (tell, views) = async_channel::bounded(1);
    let (queue, input) = async_channel::bounded(INPUT_QUEUE);
    let pictures = Arc::new(Pending::default());
    runtime().spawn(keep_connected(source, Teller { tell, pictures: Arc::clone(&pictures) }, input));
    Connection { views, pictures, input: Input { queue } }
}

/// The connection's end of what the page shows.
struct Teller {
    tell: Sender<View>,
    pictures: Arc<Pending>,
}

impl Teller {
    async fn send(&self, view: View) -> Result<(), End> {
        self.tell.send(view).await.map_err(|_| End::Unwatched)
    }
}

/// Why a connection ended.
enum End {
    /// The page is gone.
    Unwatched,
    /// The display is.
    Lost(freezeframe_rfb::Error),
}

impl From<freezeframe_rfb::Error> for End {
    fn from(error: freezeframe_rfb::Error) -> Self {
        Self::Lost(error)
    }
}

async fn keep_connected(source: Source, tell: Teller, input: Receiver<(Instant, ClientMessage)>) {
    let mut wait = Duration::ZERO;
    loop {
        let away = match source.open().await {
            Ok(stream) => {
                let start = Instant::now();
                let error = match show(stream, &tell, &input).await {
                    End::Unwatched => return,
                    End::Lost(error) => error,
                };
                if start.elapsed() > GOOD {
                    wait = Duration::ZERO;
                }
                ApiError::new(ErrorKind::Failed, error.to_string())
            }
            Err(NoDisplay::Ended(error)) => {
                let _ = tell.send(View::Ended(error)).await;
                return;
            }
            Err(NoDisplay::Away(error)) => error,
        };
        tracing::debug!(?source, ?away, ?wait, "the display is away");
        if tell.send(View::Away(away)).await.is_err() {
            return;
        }
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            () = tell.tell.closed() => return,
        }
        wait = (wait * 2).clamp(RETRY.0, RETRY.1);
    }
}

/// One connection, from its handshake to its end.
async fn show<S>(stream: S, tell: &Teller, input: &Receiver<(Instant, ClientMessage)>) -> End
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let wanted = [encoding::LIVE, &[encoding::EXTENDED_CLIPBOARD]].concat();
    let client = match tokio::time::timeout(HANDSHAKE, Client::connect(stream, &wanted)).await {
        Ok(Ok(client)) => client,
        Ok(Err(error)) => return End::Lost(error),
        Err(_) => return End::Lost(freezeframe_rfb::Error::Closed),
    };
    if tell.send(View::Connected).await.is_err() {
        return End::Unwatched;
    }
    let rect = client.picture().bounds();
    let (reader, mut writer) = client.into_split();
    if let Err(error) = writer.send(&coalesce(fresh(input))).await {
        return End::Lost(error);
    }
    // One request stands at a time, so this never grows.
    let (ask, asked) = mpsc::unbounded_channel();
    let _ = ask.send(ClientMessage::UpdateRequest { incremental: false, rect });
    // Either side's end is the connection's: what the other has half done is of no use then.
    tokio::select! {
        Err(end) = read(reader, ask, tell) => end,
        Err(end) = write(writer, asked, input) => end,
        () = tell.tell.closed() => End::Unwatched,
        else => End::Unwatched,
    }
}

/// What was typed while no connection stood, and is recent enough to be still meant.
fn fresh(input: &Receiver<(Instant, ClientMessage)>) -> Vec<ClientMessage> {
    let mut fresh = Vec::new();
    while let Ok((at, message)) = input.try_recv() {
        // What was said of the clipboard was said to another server.
        if at.elapsed() < STALE && !matches!(message, ClientMessage::Clipboard(_)) {
            fresh.push(message);
        }
    }
    fresh
}

async fn read<R: AsyncRead + Unpin>(
    mut reader: Reader<R>,
    ask: mpsc::UnboundedSender<ClientMessage>,
    tell: &Teller,
) -> Result<(), End> {
    let mut size = reader.picture().bounds();
    // A request that waits until the page has taken what it was told of.
    let mut owed = None;
    loop {
        let event = tokio::select! {
            () = tell.pictures.taken(), if owed.is_some() => {
                if let Some(request) = owed.take() {
                    let _ = ask.send(request);
                }
                continue;
            }
            event = reader.next_event() => event?,
        };
        let view = match event {
            Event::Updated { area, .. } => {
                // Asked before it is cut and shown: the server prepares the next one meanwhile. After a change of size
                // the whole picture is asked for.
                let rect = reader.picture().bounds();
                let same = rect == std::mem::replace(&mut size, rect);
                let incremental =
                    same && !matches!(owed, Some(ClientMessage::UpdateRequest { incremental: false, .. }));
                let request = ClientMessage::UpdateRequest { incremental, rect };
                if tell.pictures.is_empty() {
                    let _ = ask.send(request);
                } else {
                    owed = Some(request);
                }
                if area == 0 {
                    continue;
                }
                let damage = reader.take_damage();
                if !tell.pictures.put(Patch::cut(reader.picture(), &damage, tell.pictures.packed())) {
                    continue;
                }
                View::Picture
            }
            Event::Cursor(cursor) => View::Cursor(cursor),
            Event::Bell => View::Bell,
            Event::Resized(screen) => View::Screen(screen),
            Event::Clipboard(said) => View::Clipboard(said),
            Event::CutText(text) => View::CutText(text),
            Event::CutTextTooLong { .. } => View::CutTextTooLong,
            Event::ResizeRefused { status } => {
                tracing::debug!(status, "the display keeps its size");
                continue;
            }
            _ => continue,
        };
        tell.send(view).await?;
    }
}

async fn write<W: AsyncWrite + Unpin>(
    mut writer: Writer<W>,
    mut asked: mpsc::UnboundedReceiver<ClientMessage>,
    input: &Receiver<(Instant, ClientMessage)>,
) -> Result<(), End> {
    loop {
        let mut messages = tokio::select! {
            request = asked.recv() => vec![request.ok_or(End::Unwatched)?],
            message = input.recv() => vec![message.map_err(|_| End::Unwatched)?.1],
        };
        while let Ok((_, message)) = input.try_recv() {
            messages.push(message);
        }
        writer.send(&coalesce(messages)).await?;
    }
}

/// Of several motions in a row only the last means anything. A press or a release keeps its place.
fn coalesce(messages: Vec<ClientMessage>) -> Vec<ClientMessage> {
    let buttons = |message: Option<&ClientMessage>| match message {
        Some(ClientMessage::Pointer { buttons, .. }) => Some(*buttons),
        _ => None,
    };
    let mut kept: Vec<ClientMessage> = Vec::with_capacity(messages.len());
    for message in messages {
        let held = buttons(Some(&message));
        let before = kept.len().checked_sub(2).and_then(|at| kept.get(at));
        if held.is_some() && held == buttons(kept.last()) && held == buttons(before) {
            kept.pop();
        }
        kept.push(message);
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(x: u16, buttons: u8) -> ClientMessage {
        ClientMessage::Pointer { buttons, x, y: 0 }
    }

    #[test]
    fn motions_are_joined_and_clicks_stay_where_they_were() {
        let key = ClientMessage::Key { down: true, keysym: 0x61 };
        let drag = vec![at(1, 0), at(2, 0), at(3, 0), at(4, 1), at(5, 1), at(6, 1), at(7, 1), key.clone(), at(8, 1)];
        assert_eq!(coalesce(drag), [at(1, 0), at(3, 0), at(4, 1), at(7, 1), key, at(8, 1)]);
        let wheel = vec![at(1, 16), at(1, 0), at(1, 16), at(1, 0)];
        assert_eq!(coalesce(wheel.clone()), wheel);
    }
}
