//! A client over a stream.

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadHalf, WriteHalf};

use crate::damage::Damage;
use crate::decoder::{Decoder, Event, Screen};
use crate::encoding;
use crate::error::{Error, Result};
use crate::framebuffer::{Framebuffer, Rect};
use crate::handshake::handshake;
use crate::message::ClientMessage;
use crate::pixel_format::PixelFormat;

/// How much is read at once.
const READ: usize = 128 << 10;

/// A connected client, with its two halves joined. Nothing was asked for yet: send an update request.
#[derive(Debug)]
pub struct Client<S> {
    reader: Reader<ReadHalf<S>>,
    writer: Writer<WriteHalf<S>>,
    name: String,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Client<S> {
    /// Connects, leaving other viewers connected, and says what pixels and which encodings the client wants.
    pub async fn connect(mut stream: S, encodings: &[i32]) -> Result<Self> {
        let init = handshake(&mut stream, true).await?;
        let decoder = Decoder::new(init.width, init.height)?;
        let (read, write) = tokio::io::split(stream);
        let reader = Reader { stream: read, decoder, buffer: BytesMut::new() };
        let mut client = Self { reader, writer: Writer { stream: write }, name: init.name };
        client
            .writer
            .send(&[ClientMessage::SetPixelFormat(PixelFormat::BGRX), ClientMessage::SetEncodings(encodings.to_vec())])
            .await?;
        Ok(client)
    }

    /// The display's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The picture as of now.
    pub fn picture(&self) -> &Framebuffer {
        self.reader.picture()
    }

    /// The size of the picture, and whether another one can be asked for.
    pub fn screen(&self) -> Screen {
        self.reader.screen()
    }

    /// Waits for the next event. May be dropped at any time without losing one.
    pub async fn next_event(&mut self) -> Result<Event> {
        self.reader.next_event().await
    }

    /// Sends messages, in order.
    pub async fn send(&mut self, messages: &[ClientMessage]) -> Result<()> {
        self.writer.send(messages).await
    }

    /// Asks for an update of the whole picture.
    pub async fn request_update(&mut self, incremental: bool) -> Result<()> {
        let rect = self.picture().bounds();
        self.send(&[ClientMessage::UpdateRequest { incremental, rect }]).await
    }

    /// The two halves, so that sending never waits for reading.
    pub fn into_split(self) -> (Reader<ReadHalf<S>>, Writer<WriteHalf<S>>) {
        (self.reader, self.writer)
    }
}

/// The half that listens, and keeps the picture.
pub struct Reader<R> {
    stream: R,
    decoder: Decoder,
    buffer: BytesMut,
}

impl<R> std::fmt::Debug for Reader<R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reader").field("picture", self.decoder.picture()).finish_non_exhaustive()
    }
}

impl<R: AsyncRead + Unpin> Reader<R> {
    /// Waits for the next event. May be dropped at any time without losing one.
    pub async fn next_event(&mut self) -> Result<Event> {
        loop {
            if let Some(event) = self.decoder.decode(&mut self.buffer)? {
                return Ok(event);
            }
            // The decoder has made room for what it needs; more than that is taken when it is there already.
            self.buffer.reserve(READ);
            if self.stream.read_buf(&mut self.buffer).await? == 0 {
                return Err(Error::Closed);
            }
        }
    }

    /// The picture as of now.
    pub fn picture(&self) -> &Framebuffer {
        self.decoder.picture()
    }

    /// Where the picture changed since this was last called; at first, and after a change of size, all of it.
    pub fn take_damage(&mut self) -> Damage {
        self.decoder.take_damage()
    }

    /// The size of the picture, and whether another one can be asked for.
    pub fn screen(&self) -> Screen {
        self.decoder.screen()
    }
}

/// The half that speaks.
#[derive(Debug)]
pub struct Writer<W> {
    stream: W,
}

impl<W: AsyncWrite + Unpin> Writer<W> {
    /// Sends messages, in order. When this is dropped before its end a message may be half sent, and the connection is
    /// of no use: keep it out of `select!`.
    pub async fn send(&mut self, messages: &[ClientMessage]) -> Result<()> {
        let mut bytes = Vec::new();
        for message in messages {
            message.encode(&mut bytes);
        }
        self.stream.write_all(&bytes).await?;
        self.stream.flush().await?;
        Ok(())
    }

    /// Ends the stream to the server: nothing more will be sent.
    pub async fn shutdown(&mut self) -> Result<()> {
        Ok(self.stream.shutdown().await?)
    }
}

/// Connects, takes the whole picture once, and leaves. Other viewers stay connected and notice nothing.
///
/// It waits as long as the server lets it: put it into `tokio::time::timeout`.
pub async fn grab<S: AsyncRead + AsyncWrite + Unpin>(stream: S) -> Result<Framebuffer> {
    let mut client = Client::connect(stream, encoding::GRAB).await?;
    client.request_update(false).await?;
    // A server may send the picture in parts. Every part counts until the size changes.
    let mut area = 0;
    loop {
        match client.next_event().await? {
            Event::Updated { area: new, .. } => {
                area += new;
                let Rect { width, height, .. } = client.picture().bounds();
                if area >= u64::from(width) * u64::from(height) {
                    return Ok(client.reader.decoder.into_picture());
                }
                client.request_update(area > 0).await?;
            }
            Event::Resized(_) => area = 0,
            _ => {}
        }
    }
}
