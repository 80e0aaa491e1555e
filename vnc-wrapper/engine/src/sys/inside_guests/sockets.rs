//! Guests with Unix sockets.

use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::Path;
use std::sync::atomic::Ordering;

use super::{child, judged, ready, wait_for_go};
use crate::sys::descriptor;
use crate::sys::guests::{block, until};
use crate::sys::inside::Words;
use crate::sys::unix::{self, Message};

const STREAM: u32 = libc::SOCK_STREAM as u32;
const DATAGRAM: u32 = libc::SOCK_DGRAM as u32;
const PACKETS: u32 = libc::SOCK_SEQPACKET as u32;
/// `SO_PEERPIDFD`, `SO_SNDBUF`, `SO_PASSCRED` (asm-generic/socket.h).
const PEER_PIDFD: u32 = 77;
const SEND_BUFFER: u32 = 7;
const PASS_CREDENTIALS: u32 = 16;

fn send(socket: impl AsFd, bytes: &[u8]) {
    assert_eq!(unix::send(socket.as_fd(), None, bytes, &[], None).unwrap(), bytes.len());
}

fn receive(socket: impl AsFd) -> Option<Message> {
    unix::receive(socket.as_fd(), 1 << 18).unwrap_or_default()
}

/// What waits, text by text.
fn texts(socket: impl AsFd) -> Vec<Vec<u8>> {
    let next = || receive(socket.as_fd()).filter(|message| !message.bytes.is_empty());
    std::iter::from_fn(next).map(|message| message.bytes).collect()
}

fn peer(socket: impl AsFd) -> i32 {
    unix::peer_credentials(socket.as_fd()).unwrap().pid
}

/// Whether the peer is a process that lives; true where the kernel has no way to say it.
fn lives(socket: impl AsFd) -> bool {
    match unix::option(socket.as_fd(), PEER_PIDFD) {
        Ok(number) => {
            let number = i32::from_ne_bytes(number.try_into().unwrap());
            // SAFETY: numbers only; the descriptor was just made.
            unsafe { libc::close(number) == 0 }
        }
        Err(error) => error.raw_os_error() == Some(libc::ENOPROTOOPT),
    }
}

fn listener(name: &[u8]) -> OwnedFd {
    let socket = unix::socket(STREAM).unwrap();
    unix::bind(socket.as_fd(), name).unwrap();
    unix::listen(socket.as_fd(), 5).unwrap();
    socket
}

fn connected(name: &[u8]) -> OwnedFd {
    let socket = unix::socket(STREAM).unwrap();
    unix::connect(socket.as_fd(), name).unwrap();
    socket
}

struct Wrong(Vec<String>);

impl Wrong {
    fn unless(&mut self, right: bool, what: impl FnOnce() -> String) {
        if !right {
            self.0.push(what());
        }
    }
}

/// Pairs of all types, with what waits in them, directions that are shut, an end that is closed, options; datagrams by name.
pub(crate) fn pairs(words: Words, directory: &Path) -> i32 {
    let mut wrong = Wrong(Vec::new());
    let kinds = [STREAM, DATAGRAM, PACKETS].map(|kind| (kind, unix::pair(kind).unwrap()));
    for (kind, (one, two)) in &kinds {
        for text in ["first", "second"] {
            send(one, text.as_bytes());
        }
        send(two, b"back");
        unix::set_option(one.as_fd(), SEND_BUFFER, &30_000i32.to_ne_bytes()).unwrap();
        if *kind == STREAM {
            unix::shutdown(one.as_fd(), libc::SHUT_WR).unwrap();
        }
    }
    let (left, closed) = unix::pair(STREAM).unwrap();
    send(&closed, b"left");
    drop(closed);
    let name = [b"\0datagrams ", directory.as_os_str().as_bytes()].concat();
    let (from, to) = (unix::socket(DATAGRAM).unwrap(), unix::socket(DATAGRAM).unwrap());
    unix::bind(to.as_fd(), &name).unwrap();
    unix::set_option(to.as_fd(), PASS_CREDENTIALS, &1i32.to_ne_bytes()).unwrap();
    unix::connect(from.as_fd(), &name).unwrap();
    send(&from, b"known");
    let pid = std::process::id().cast_signed();
    ready(words);
    wait_for_go(words);
    for (kind, (one, two)) in &kinds {
        let there = texts(two);
        let joined = *kind == STREAM && there == [b"firstsecond"];
        wrong.unless(joined || there == [&b"first"[..], b"second"], || format!("{kind}: {there:?}"));
        wrong.unless(texts(one) == [b"back"], || format!("{kind}: nothing came back"));
        wrong.unless(peer(one) == pid && peer(two) == pid && lives(one), || format!("{kind}: peer {}", peer(one)));
        let buffer = unix::option(one.as_fd(), SEND_BUFFER).unwrap();
        wrong.unless(buffer == 60_000i32.to_ne_bytes(), || format!("{kind}: buffer {buffer:?}"));
        let sent = unix::send(one.as_fd(), None, b"more", &[], None);
        let shut = *kind == STREAM;
        wrong.unless(sent.is_err() == shut, || format!("{kind}: {sent:?}"));
        send(two, b"again");
        wrong.unless(texts(one) == [b"again"], || format!("{kind}: it is not connected"));
    }
    wrong.unless(texts(&left) == [b"left"], || "what a closed end had sent is lost".to_owned());
    wrong.unless(unix::send(left.as_fd(), None, b"x", &[], None).is_err(), || "an end is not closed".to_owned());
    let message = receive(&to).unwrap_or_default();
    let sender = message.credentials.map(|who| who.pid);
    wrong.unless(message.bytes == b"known" && sender == Some(pid), || format!("{message:?} from {pid}"));
    send(&from, b"on");
    wrong.unless(texts(&to) == [b"on"], || "a datagram was lost".to_owned());
    judged(&wrong.0, directory)
}

/// A server with names of both kinds, and clients in two processes: one connected, one that waits. A third and a fourth have pairs that
/// processes have made which have ended; the second of those is a zombie.
pub(crate) fn serves(words: Words, directory: &Path) -> i32 {
    let mut wrong = Wrong(Vec::new());
    block(&[libc::SIGCHLD]);
    let path = directory.join("server");
    let names = [path.as_os_str().as_bytes().to_vec(), [b"\0server ", path.as_os_str().as_bytes()].concat()];
    let listeners = names.clone().map(|name| listener(&name));
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
    let own = std::process::id().cast_signed();
    let clients: Vec<i32> = names
        .iter()
        .zip(10..)
        .map(|(name, word)| {
            let pid = child(|| {
                let (now, later) = (connected(name), connected(name));
                send(&now, b"hello");
                words[word].store(1, Ordering::SeqCst);
                ready(words);
                wait_for_go(words);
                let mut right = [&now, &later].into_iter().all(|socket| peer(socket) == own && lives(socket));
                send(&later, b"later");
                until("the server answers", || texts(&now) == [b"answer"]);
                right &= texts(&now).is_empty();
                i32::from(!right)
            });
            until("it is connected", || words[word].load(Ordering::SeqCst) == 1);
            pid
        })
        .collect();
    let accepted: Vec<OwnedFd> = listeners.iter().map(|listener| unix::accept(listener.as_fd()).unwrap()).collect();
    let orphan = |word: usize| {
        child(|| {
            let (one, two) = unix::pair(STREAM).unwrap();
            let maker = std::process::id().cast_signed();
            child(|| {
                ready(words);
                wait_for_go(words);
                send(&one, b"x");
                let right = peer(&one) == maker && peer(&two) == maker && texts(&two) == [b"x"];
                words[word].store(if right { 1 } else { 2 }, Ordering::SeqCst);
                0
            });
            0
        })
    };
    let (gone, zombie) = (orphan(20), orphan(21));
    let mut status = 0;
    // SAFETY: one int is written to `status`.
    unsafe { libc::waitpid(gone, &raw mut status, 0) };
    // SAFETY: all zeroes is a valid siginfo_t.
    let mut info: libc::siginfo_t = unsafe { std::mem::zeroed() };
    let flags = libc::WEXITED | libc::WNOWAIT;
    // SAFETY: `info` is written.
    assert_eq!(unsafe { libc::waitid(libc::P_PID, zombie.cast_unsigned(), &raw mut info, flags) }, 0);
    ready(words);
    wait_for_go(words);
    for ((accepted, listener), client) in accepted.iter().zip(&listeners).zip(&clients) {
        let hello = texts(accepted);
        wrong.unless(hello == [b"hello"], || format!("{hello:?}"));
        wrong.unless(peer(accepted) == *client && lives(accepted), || format!("{} for {client}", peer(accepted)));
        send(accepted, b"answer");
        let late = unix::accept(listener.as_fd()).unwrap();
        wrong.unless(peer(&late) == *client && lives(&late), || format!("{} waited for {client}", peer(&late)));
        until("it sends", || descriptor::ready(late.as_fd(), libc::POLLIN).is_ok_and(|events| events != 0));
        wrong.unless(texts(&late) == [b"later"], || "who waited sends something else".to_owned());
        // SAFETY: one int is written to `status`.
        unsafe { libc::waitpid(*client, &raw mut status, 0) };
        wrong.unless(status == 0, || format!("client {client} ended with {status}"));
    }
    for (listener, name) in listeners.iter().zip(&names) {
        let bound = unix::name(listener.as_fd(), false).unwrap();
        wrong.unless(bound.as_ref() == Some(name), || format!("it is bound to {bound:?}"));
        let (new, again) = (connected(name), unix::accept(listener.as_fd()));
        wrong.unless(again.is_ok_and(|again| peer(again) == own) && peer(new) == own, || "no new client".to_owned());
    }
    let found = std::fs::symlink_metadata(&path).unwrap();
    let right = found.file_type().is_socket() && found.permissions().mode() & 0o7777 == 0o640;
    wrong.unless(right, || format!("the file is {found:?}"));
    for word in [20, 21] {
        let said = || words[word].load(Ordering::SeqCst);
        until("who has a pair of somebody else says it", || said() != 0);
        wrong.unless(said() == 1, || format!("the pair of {word}"));
    }
    judged(&wrong.0, directory)
}

/// Names whose files were removed, replaced, or bound relative to a directory that it left; a connection to one that does not listen.
pub(crate) fn names(words: Words, directory: &Path) -> i32 {
    let mut wrong = Wrong(Vec::new());
    let path = |name: &str| directory.join(name).into_os_string().into_vec();
    let removed = listener(&path("removed"));
    std::fs::remove_file(directory.join("removed")).unwrap();
    let replaced = listener(&path("replaced"));
    let held = connected(&path("replaced"));
    let accepted = unix::accept(replaced.as_fd()).unwrap();
    std::fs::remove_file(directory.join("replaced")).unwrap();
    std::fs::write(directory.join("replaced"), "another").unwrap();
    let below = directory.join("below");
    std::fs::create_dir(&below).unwrap();
    std::env::set_current_dir(&below).unwrap();
    let relative = listener(b"../relative");
    std::env::set_current_dir("/").unwrap();
    std::fs::rename(directory.join("relative"), directory.join("moved")).unwrap();
    let ended = connected(&path("moved"));
    let end = unix::accept(relative.as_fd()).unwrap();
    let closed = listener(&path("closed"));
    let orphan = connected(&path("closed"));
    let orphaned = unix::accept(closed.as_fd()).unwrap();
    drop(closed);
    ready(words);
    wait_for_go(words);
    let bound = [&removed, &replaced, &relative, &orphaned].map(|socket| unix::name(socket.as_fd(), false).unwrap());
    let right = [path("removed"), path("replaced"), b"../relative".to_vec(), path("closed")].map(Some);
    wrong.unless(bound == right, || format!("{bound:?}"));
    for (one, other) in [(&held, &accepted), (&ended, &end), (&orphan, &orphaned)] {
        send(one, b"ping");
        wrong.unless(texts(other) == [b"ping"], || "a connection is lost".to_owned());
    }
    let new = connected(&path("moved"));
    wrong.unless(unix::accept(relative.as_fd()).is_ok() && peer(&new) > 0, || "the moved file".to_owned());
    let text = std::fs::read_to_string(directory.join("replaced")).unwrap_or_default();
    wrong.unless(text == "another", || format!("what stands in its place: {text}"));
    wrong.unless(!directory.join("removed").exists(), || "a file came back".to_owned());
    let mut left: Vec<String> = std::fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .collect();
    left.sort();
    wrong.unless(left == ["below", "closed", "moved", "replaced", "words"], || format!("left: {left:?}"));
    judged(&wrong.0, directory)
}

/// What is in flight: a file, an event counter, a socket that nobody has open, whose peer somebody has.
pub(crate) fn in_flight(words: Words, directory: &Path) -> i32 {
    let mut wrong = Wrong(Vec::new());
    let (one, two) = unix::pair(STREAM).unwrap();
    let (near, far) = unix::pair(PACKETS).unwrap();
    let event = descriptor::eventfd(false).unwrap();
    rustix::io::write(&event, &77u64.to_ne_bytes()).unwrap();
    std::fs::write(directory.join("file"), "content").unwrap();
    let file = OwnedFd::from(std::fs::File::open(directory.join("file")).unwrap());
    send(&far, b"deep");
    unix::send(near.as_fd(), None, b"with", &[event.as_fd()], None).unwrap();
    send(&one, b"before");
    let rights = [far.as_fd(), file.as_fd(), one.as_fd()];
    unix::send(one.as_fd(), None, b"with", &rights, None).unwrap();
    drop((far, file));
    ready(words);
    wait_for_go(words);
    let first = unix::receive(two.as_fd(), 6).unwrap().unwrap();
    wrong.unless(first.bytes == b"before" && first.rights.is_empty(), || format!("{first:?}"));
    let second = unix::receive(two.as_fd(), 4).unwrap().unwrap();
    wrong.unless(second.bytes == b"with" && second.rights.len() == 3, || format!("{second:?}"));
    if let [far, file, own] = &second.rights[..] {
        wrong.unless(texts(&near) == [b"deep"], || "what it had sent is lost".to_owned());
        let deep = receive(far).unwrap_or_default();
        let mut count = [0; 8];
        let read = deep.rights.first().map(|event| rustix::io::read(event, &mut count).is_ok());
        wrong.unless(read == Some(true) && u64::from_ne_bytes(count) == 77, || format!("{deep:?}, {count:?}"));
        let mut content = [0; 7];
        let read = rustix::io::read(file, &mut content);
        wrong.unless(read == Ok(7) && &content == b"content", || format!("{content:?}"));
        send(own, b"own");
        wrong.unless(texts(&two) == [b"own"], || "it is another socket".to_owned());
    }
    judged(&wrong.0, directory)
}
