//! What a TCP socket holds, asked of a descriptor of our own (tcp(7)).
#![allow(unsafe_code)]

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};

use nix::errno::Errno;

/// include/uapi/linux/sockios.h
const SIOCOUTQNSD: libc::c_ulong = 0x894b;

/// How many bytes have not been sent even once.
///
/// # Errors
/// When it is no TCP socket, or one that listens.
pub fn unsent(socket: &OwnedFd) -> io::Result<u32> {
    let mut count: libc::c_int = 0;
    // SAFETY: the kernel writes one `int` to where `count` is.
    Errno::result(unsafe { libc::ioctl(socket.as_raw_fd(), SIOCOUTQNSD, &raw mut count) })?;
    Ok(count.unsigned_abs())
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::net::{TcpListener, TcpStream};

    use super::*;

    #[test]
    fn what_nobody_takes_stays_unsent() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut near = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let _far = listener.accept().unwrap();
        near.write_all(b"taken").unwrap();
        assert_eq!(unsent(&near.try_clone().unwrap().into()).unwrap(), 0);
        near.set_nonblocking(true).unwrap();
        while near.write(&[0; 1 << 16]).is_ok() {}
        assert!(unsent(&near.into()).unwrap() > 0);
        assert!(unsent(&listener.into()).is_err());
    }
}
