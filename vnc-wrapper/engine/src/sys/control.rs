//! What comes with a message of a socket (cmsg(3)), as bytes: descriptors and credentials.

use std::io;
use std::os::fd::{FromRawFd, OwnedFd, RawFd};

use super::unix::Credentials;

/// `struct cmsghdr`: length with the head, level, kind. Heads stand at multiples of its length's size.
const HEAD: usize = 16;
const ALIGN: usize = size_of::<usize>();

/// Appends one to `out`.
fn put(out: &mut Vec<u8>, kind: i32, data: &[u8]) {
    out.extend((HEAD + data.len()).to_ne_bytes());
    out.extend(libc::SOL_SOCKET.to_ne_bytes());
    out.extend(kind.to_ne_bytes());
    out.extend(data);
    out.resize(out.len().next_multiple_of(ALIGN), 0);
}

/// The bytes for these descriptors and credentials.
pub(crate) fn of(rights: &[RawFd], credentials: Option<Credentials>) -> Vec<u8> {
    let mut out = Vec::new();
    if !rights.is_empty() {
        let numbers: Vec<u8> = rights.iter().flat_map(|number| number.to_ne_bytes()).collect();
        put(&mut out, libc::SCM_RIGHTS, &numbers);
    }
    if let Some(Credentials { pid, user, group }) = credentials {
        let words = [pid.to_ne_bytes(), user.to_ne_bytes(), group.to_ne_bytes()].concat();
        put(&mut out, libc::SCM_CREDENTIALS, &words);
    }
    out
}

/// Descriptors and credentials in what the kernel has just written to `bytes`: the descriptors are ours from here on.
///
/// # Errors
/// When it is not of the kernel's form.
pub(super) fn take(mut bytes: &[u8]) -> io::Result<(Vec<OwnedFd>, Option<Credentials>)> {
    let (mut rights, mut credentials) = (Vec::new(), None);
    let malformed = || io::Error::new(io::ErrorKind::InvalidData, "what comes with a message is malformed");
    while let Some((head, rest)) = bytes.split_first_chunk::<HEAD>() {
        let (length, kinds) = head.split_first_chunk::<ALIGN>().ok_or_else(malformed)?;
        let length = usize::from_ne_bytes(*length).checked_sub(HEAD).ok_or_else(malformed)?;
        let data = rest.get(..length).ok_or_else(malformed)?;
        let words = data.as_chunks::<4>().0;
        let kind = |kind: i32| *kinds == [libc::SOL_SOCKET.to_ne_bytes(), kind.to_ne_bytes()].concat();
        if kind(libc::SCM_RIGHTS) {
            // SAFETY: the kernel has made these descriptors for us with this message; nobody else owns them.
            rights.extend(words.iter().map(|word| unsafe { OwnedFd::from_raw_fd(RawFd::from_ne_bytes(*word)) }));
        } else if let ([pid, user, group], true) = (words, kind(libc::SCM_CREDENTIALS)) {
            credentials = Some(Credentials {
                pid: i32::from_ne_bytes(*pid),
                user: u32::from_ne_bytes(*user),
                group: u32::from_ne_bytes(*group),
            });
        }
        bytes = rest.get(length.next_multiple_of(ALIGN)..).unwrap_or_default();
    }
    Ok((rights, credentials))
}
