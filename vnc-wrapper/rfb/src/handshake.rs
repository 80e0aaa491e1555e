//! The beginning of a connection, versions 3.3, 3.7 and 3.8, without authentication.

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

use crate::error::{Error, Result};
use crate::limits;
use crate::pixel_format::PixelFormat;

/// What a server says of its display when a connection begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerInit {
    /// Width in pixels.
    pub width: u16,
    /// Height in pixels.
    pub height: u16,
    /// How the server sends pixels unless it is asked for something else; unchecked.
    pub format: PixelFormat,
    /// The display's name.
    pub name: String,
}

/// Security type None.
const NONE: u8 = 1;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Version {
    V3_3,
    V3_7,
    V3_8,
}

/// Goes through the handshake. `shared` leaves other viewers connected.
pub async fn handshake<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut S, shared: bool) -> Result<ServerInit> {
    let mut greeting = [0; 12];
    stream.read_exact(&mut greeting).await?;
    let version = parse_version(&greeting)?;
    let answer: &[u8; 12] = match version {
        Version::V3_3 => b"RFB 003.003\n",
        Version::V3_7 => b"RFB 003.007\n",
        Version::V3_8 => b"RFB 003.008\n",
    };
    stream.write_all(answer).await?;
    stream.flush().await?;
    security(stream, version).await?;
    stream.write_all(&[shared.into()]).await?;
    stream.flush().await?;

    let width = stream.read_u16().await?;
    let height = stream.read_u16().await?;
    let mut format = [0; PixelFormat::LENGTH];
    stream.read_exact(&mut format).await?;
    let name = read_text(stream, "a display name").await?;
    Ok(ServerInit { width, height, format: PixelFormat::decode(&format), name })
}

/// Versions in between count as the older one, later ones as 3.8.
fn parse_version(greeting: &[u8; 12]) -> Result<Version> {
    let wrong = || Error::protocol("greeting", format!("{:?} is no RFB version", String::from_utf8_lossy(greeting)));
    let number = |digits: &[u8]| -> Option<u16> {
        if !digits.iter().all(u8::is_ascii_digit) {
            return None;
        }
        std::str::from_utf8(digits).ok()?.parse().ok()
    };
    if &greeting[..4] != b"RFB " || greeting[7] != b'.' || greeting[11] != b'\n' {
        return Err(wrong());
    }
    let major = number(&greeting[4..7]).ok_or_else(wrong)?;
    let minor = number(&greeting[8..11]).ok_or_else(wrong)?;
    match (major, minor) {
        (3, 3..=6) => Ok(Version::V3_3),
        (3, 7) => Ok(Version::V3_7),
        (3, 8..) | (4.., _) => Ok(Version::V3_8),
        _ => Err(wrong()),
    }
}

async fn security<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut S, version: Version) -> Result<()> {
    if version == Version::V3_3 {
        return match stream.read_u32().await? {
            0 => Err(Error::Refused(read_text(stream, "a reason").await?)),
            1 => Ok(()),
            // Only the lowest byte of a type is ever used.
            other => Err(Error::NeedsAuthentication { offered: vec![other.to_be_bytes()[3]] }),
        };
    }
    let count = stream.read_u8().await?;
    if count == 0 {
        return Err(Error::Refused(read_text(stream, "a reason").await?));
    }
    let mut offered = vec![0; usize::from(count)];
    stream.read_exact(&mut offered).await?;
    if !offered.contains(&NONE) {
        return Err(Error::NeedsAuthentication { offered });
    }
    stream.write_all(&[NONE]).await?;
    stream.flush().await?;
    // Before 3.8 nothing answers to None.
    if version == Version::V3_8 && stream.read_u32().await? != 0 {
        return Err(Error::Refused(read_text(stream, "a reason").await?));
    }
    Ok(())
}

async fn read_text<S: AsyncRead + Unpin>(stream: &mut S, what: &'static str) -> Result<String> {
    let length = stream.read_u32().await?;
    if length > limits::MAX_TEXT {
        return Err(Error::TooLarge { what, found: length.into(), limit: limits::MAX_TEXT.into() });
    }
    let mut text = vec![0; length as usize];
    stream.read_exact(&mut text).await?;
    Ok(String::from_utf8_lossy(&text).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Plays a server that says all it has to say at once; answers with what the client said.
    async fn play(server: &[u8]) -> (Result<ServerInit>, Vec<u8>) {
        let mut said = Vec::new();
        let result = handshake(&mut tokio::io::join(server, &mut said), true).await;
        (result, said)
    }

    fn init() -> Vec<u8> {
        let mut bytes = vec![2, 128, 1, 224];
        PixelFormat::BGRX.encode(&mut bytes);
        bytes.extend([0, 0, 0, 2, b'h', b'i']);
        bytes
    }

    fn expected() -> ServerInit {
        ServerInit { width: 640, height: 480, format: PixelFormat::BGRX, name: "hi".into() }
    }

    #[tokio::test]
    async fn every_version() {
        for (greeting, security, answer, client) in [
            (b"RFB 003.003\n", &[0, 0, 0, 1][..], b"RFB 003.003\n", &[1][..]),
            (b"RFB 003.005\n", &[0, 0, 0, 1], b"RFB 003.003\n", &[1]),
            (b"RFB 003.007\n", &[2, 2, 1], b"RFB 003.007\n", &[1, 1]),
            (b"RFB 003.008\n", &[1, 1, 0, 0, 0, 0], b"RFB 003.008\n", &[1, 1]),
            (b"RFB 003.889\n", &[1, 1, 0, 0, 0, 0], b"RFB 003.008\n", &[1, 1]),
        ] {
            let server = [greeting, security, &init()].concat();
            let (result, said) = play(&server).await;
            assert_eq!(result.unwrap(), expected());
            assert_eq!(said, [answer, client].concat());
        }
    }

    #[tokio::test]
    async fn refusals_are_told() {
        let mut server = b"RFB 003.008\n\0\0\0\0\x04full".to_vec();
        let (result, _) = play(&server).await;
        assert!(matches!(result, Err(Error::Refused(reason)) if reason == "full"));
        server = b"RFB 003.008\n\x02\x02\x13".to_vec();
        let (result, _) = play(&server).await;
        assert!(matches!(result, Err(Error::NeedsAuthentication { offered }) if offered == [2, 19]));
        server = b"RFB 003.008\n\x01\x01\0\0\0\x01\0\0\0\x02no".to_vec();
        let (result, _) = play(&server).await;
        assert!(matches!(result, Err(Error::Refused(reason)) if reason == "no"));
    }

    #[tokio::test]
    async fn nonsense_is_refused() {
        for greeting in [b"HTTP/1.1 400", b"RFB 00-.008\n", b"RFB 003.008 ", b"RFB 002.000\n"] {
            assert!(matches!(play(greeting).await.0, Err(Error::Protocol { .. })));
        }
        let server = b"RFB 003.008\n\0\xff\xff\xff\xff".to_vec();
        assert!(matches!(play(&server).await.0, Err(Error::TooLarge { .. })));
        assert!(matches!(play(b"RFB 003").await.0, Err(Error::Closed)));
    }
}
