//! Somebody who looks at a display and uses its keyboard and pointer: a real RFB client.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use freezeframe_rfb::{Client, ClientMessage, Event, Rect, encoding};
use tokio::net::UnixStream;
use tokio::runtime::Runtime;

use crate::picture::Picture;

/// How long the server may take for one answer.
const ANSWER: Duration = Duration::from_secs(15);

/// Keys that no character stands for, as X keysyms.
pub mod keys {
    /// Enter.
    pub const RETURN: u32 = 0xff0d;
    /// Escape.
    pub const ESCAPE: u32 = 0xff1b;
    /// The left control key.
    pub const CONTROL: u32 = 0xffe3;
    /// End of line.
    pub const END: u32 = 0xff57;
    /// Page down.
    pub const PAGE_DOWN: u32 = 0xff56;
}

/// A connected viewer.
#[derive(Debug)]
pub struct Viewer {
    client: Client<UnixStream>,
    runtime: Runtime,
}

impl Viewer {
    /// Connects to a session's socket.
    ///
    /// # Errors
    /// When nobody answers there.
    pub fn connect(socket: &Path) -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let connect = async {
            let stream = UnixStream::connect(socket).await.with_context(|| socket.display().to_string())?;
            Ok::<_, anyhow::Error>(Client::connect(stream, encoding::GRAB).await?)
        };
        let client = runtime.block_on(async { tokio::time::timeout(ANSWER, connect).await })??;
        Ok(Self { client, runtime })
    }

    /// Width and height of the display.
    pub fn size(&self) -> (u16, u16) {
        (self.client.picture().width(), self.client.picture().height())
    }

    /// Waits until the server has taken all that was sent.
    ///
    /// # Errors
    /// When the connection is gone.
    pub fn sync(&mut self) -> Result<()> {
        let corner = Rect { x: 0, y: 0, width: 1, height: 1 };
        self.send(&[ClientMessage::UpdateRequest { incremental: false, rect: corner }])?;
        self.next_update()
    }

    /// Asks for the next change of the whole picture and waits for it.
    ///
    /// # Errors
    /// When the connection is gone.
    pub fn follow(&mut self) -> Result<()> {
        let rect = self.client.picture().bounds();
        self.send(&[ClientMessage::UpdateRequest { incremental: true, rect }])?;
        self.next_update()
    }

    fn next_update(&mut self) -> Result<()> {
        let client = &mut self.client;
        let wait = async {
            // The server announces another cursor or size in its own update, without pixels, before the one asked for.
            while !matches!(client.next_event().await?, Event::Updated { area: 1.., .. }) {}
            Ok(())
        };
        self.runtime.block_on(async { tokio::time::timeout(ANSWER, wait).await }).context("no update came")?
    }

    /// The whole picture, as it is now.
    ///
    /// # Errors
    /// When the connection is gone.
    pub fn whole(&mut self) -> Result<Picture> {
        let rect = self.client.picture().bounds();
        self.send(&[ClientMessage::UpdateRequest { incremental: false, rect }])?;
        let client = &mut self.client;
        let wait = async {
            let mut area = 0;
            while area < u64::from(rect.area()) {
                if let Event::Updated { area: new, .. } = client.next_event().await? {
                    area += new;
                }
            }
            Ok::<_, anyhow::Error>(client.picture().to_png()?)
        };
        let png =
            self.runtime.block_on(async { tokio::time::timeout(ANSWER, wait).await }).context("no picture came")?;
        Picture::from_png(&png?)
    }

    fn send(&mut self, messages: &[ClientMessage]) -> Result<()> {
        let send = self.client.send(messages);
        Ok(self.runtime.block_on(async { tokio::time::timeout(ANSWER, send).await })??)
    }

    /// Types text; a line feed is the Enter key.
    ///
    /// # Errors
    /// When the connection is gone.
    pub fn type_text(&mut self, text: &str) -> Result<()> {
        self.send_text(text)?;
        self.sync()
    }

    /// Types text and waits for nobody.
    ///
    /// # Errors
    /// When the connection is gone.
    pub fn send_text(&mut self, text: &str) -> Result<()> {
        for character in text.chars() {
            let keysym = if character == '\n' { keys::RETURN } else { u32::from(character) };
            self.press(&[keysym])?;
        }
        Ok(())
    }

    /// Presses keys together and lets them go.
    ///
    /// # Errors
    /// When the connection is gone.
    pub fn press(&mut self, chord: &[u32]) -> Result<()> {
        let down = chord.iter().map(|&keysym| ClientMessage::Key { down: true, keysym });
        let up = chord.iter().rev().map(|&keysym| ClientMessage::Key { down: false, keysym });
        self.send(&down.chain(up).collect::<Vec<_>>())
    }

    /// Clicks with the first button.
    ///
    /// # Errors
    /// When the connection is gone.
    pub fn click(&mut self, x: u16, y: u16) -> Result<()> {
        let pointer = |buttons| ClientMessage::Pointer { buttons, x, y };
        self.send(&[pointer(0), pointer(1), pointer(0)])?;
        self.sync()
    }
}
