//! The beginning of a viewer's connection, seen from the server's side: versions 3.3, 3.7 and 3.8, security type None.

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

use crate::error::{Error, Result};
use crate::handshake::ServerInit;

/// Security type None.
const NONE: u8 = 1;

/// Lets a viewer in; what comes next is [`show`].
pub(super) async fn greet<S: AsyncRead + AsyncWrite + Unpin>(viewer: &mut S) -> Result<()> {
    viewer.write_all(b"RFB 003.008\n").await?;
    let mut version = [0; 12];
    viewer.read_exact(&mut version).await?;
    match &version {
        b"RFB 003.008\n" => {
            choose(viewer).await?;
            viewer.write_u32(0).await?;
        }
        // Before 3.8 nothing answers to None.
        b"RFB 003.007\n" => choose(viewer).await?,
        // Later ones do not come unless offered; odd ones count as the oldest (RFC 6143, section 7.1.1).
        _ if version.starts_with(b"RFB 003.") => viewer.write_u32(NONE.into()).await?,
        other => {
            let text = format!("{:?} is no RFB version", String::from_utf8_lossy(other));
            return Err(Error::protocol("a viewer's greeting", text));
        }
    }
    // Whether others may stay: they always do.
    viewer.read_u8().await?;
    Ok(())
}

async fn choose<S: AsyncRead + AsyncWrite + Unpin>(viewer: &mut S) -> Result<()> {
    viewer.write_all(&[1, NONE]).await?;
    match viewer.read_u8().await? {
        NONE => Ok(()),
        other => Err(Error::protocol("a viewer's greeting", format!("security type {other} was not offered"))),
    }
}

/// Greets a viewer and describes the screen to it.
pub(super) async fn show<S: AsyncWrite + Unpin>(viewer: &mut S, init: &ServerInit) -> Result<()> {
    let mut bytes = Vec::new();
    bytes.extend([init.width, init.height].into_iter().flat_map(u16::to_be_bytes));
    init.format.encode(&mut bytes);
    // It came in a text of bounded length.
    bytes.extend((init.name.len() as u32).to_be_bytes());
    bytes.extend(init.name.as_bytes());
    Ok(viewer.write_all(&bytes).await?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::PixelFormat;

    #[tokio::test]
    async fn our_own_client_comes_in() {
        let (mut viewer, mut server) = tokio::io::duplex(1000);
        let init = ServerInit { width: 640, height: 480, format: PixelFormat::BGRX, name: "desk".into() };
        let told = init.clone();
        let served = tokio::spawn(async move {
            greet(&mut server).await?;
            show(&mut server, &told).await
        });
        assert_eq!(crate::handshake(&mut viewer, true).await.unwrap(), init);
        served.await.unwrap().unwrap();
    }

    #[tokio::test]
    async fn every_version_is_answered_in_its_way() {
        for (said, answer) in [
            (&b"RFB 003.003\n\x01"[..], &b"RFB 003.008\n\0\0\0\x01"[..]),
            (b"RFB 003.005\n\x01", b"RFB 003.008\n\0\0\0\x01"),
            (b"RFB 003.007\n\x01\x00", b"RFB 003.008\n\x01\x01"),
            (b"RFB 003.008\n\x01\x01", b"RFB 003.008\n\x01\x01\0\0\0\0"),
        ] {
            let mut heard = Vec::new();
            greet(&mut tokio::io::join(said, &mut heard)).await.unwrap();
            assert_eq!(heard, answer);
        }
        for nonsense in [&b"GET / HTTP/1.1\r\n"[..], b"RFB 003.008\n\x02\x01"] {
            let mut heard = Vec::new();
            assert!(greet(&mut tokio::io::join(nonsense, &mut heard)).await.is_err());
        }
    }
}
