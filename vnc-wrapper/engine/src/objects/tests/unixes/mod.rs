use super::super::unix;
use super::*;
use crate::record::sockets::{UnixSocket, UnixState};
use crate::sys::unix::{self as calls, Message};
use crate::sys::{descriptor, diag};
use same::Descriptions;
use std::collections::HashMap;
use std::os::fd::AsRawFd;
use std::path::PathBuf;

mod names;

const STREAM: u32 = libc::SOCK_STREAM as u32;
const DATAGRAM: u32 = libc::SOCK_DGRAM as u32;
const PACKETS: u32 = libc::SOCK_SEQPACKET as u32;

/// The guest's sockets, numbered by their places from 1 on; files of sockets are looked for in one directory.
struct Session {
    inodes: HashMap<u32, u32>,
    place: PathBuf,
    known: Descriptions,
    in_flight: HashMap<u32, OwnedFd>,
}

impl unix::Session for Session {
    fn socket(&self, inode: u32) -> Option<u32> {
        self.inodes.get(&inode).copied()
    }
    fn file(&mut self, _: &Seen, _: &[u8], _: u32, inode: u32) -> Result<Option<(Vec<u8>, u32)>, Error> {
        use std::os::unix::ffi::OsStrExt;
        use std::os::unix::fs::MetadataExt;
        let mut found = std::fs::read_dir(&self.place).unwrap().map(|entry| entry.unwrap());
        let found = found.find(|entry| entry.metadata().is_ok_and(|found| found.ino() as u32 == inode));
        Ok(found.map(|found| (found.path().as_os_str().as_bytes().to_vec(), found.metadata().unwrap().mode() & 0o7777)))
    }
    fn in_flight(&mut self, descriptor: OwnedFd) -> Result<u32, Error> {
        let (number, _) = self.known.number(std::process::id() as i32, descriptor.as_raw_fd()).unwrap();
        self.in_flight.entry(number).or_insert(descriptor);
        Ok(number)
    }
}

/// Records of all that the guest has made.
fn taken(world: &World, count: usize, place: &Path) -> (Vec<UnixSocket>, Session) {
    let seen: Vec<Seen> = (0..count).map(|at| world.seen(at)).collect();
    let mut session = Session {
        inodes: seen.iter().zip(1..).map(|(seen, number)| (seen.stat.st_ino as u32, number)).collect(),
        place: place.to_owned(),
        known: Descriptions::new(),
        in_flight: HashMap::new(),
    };
    for at in 0..count {
        assert_eq!(session.known.number(world.guest.pid, world.number(at)).unwrap(), (at as u32 + 1, true));
    }
    let records = world.untouched(|| {
        let all = unix::diagnosis().unwrap();
        let take = |(seen, number)| unix::take(seen, number, &all, &mut session).unwrap();
        seen.iter().zip(1..).map(take).collect::<Vec<_>>()
    });
    (records.into_iter().map(stored).collect(), session)
}

/// Takes all, ends the guest, whose names are then free, and gives all here.
fn again(world: World, count: usize, place: &Path) -> (Vec<UnixSocket>, Vec<OwnedFd>) {
    let (records, session) = taken(&world, count, place);
    let before: Vec<_> = (0..count).map(|at| shown(world.seen(at).copy())).collect();
    drop(world);
    let find = |number: u32| session.in_flight.get(&number).map(AsFd::as_fd);
    let mut given = unix::give::give(&records, &unix::calls::Here, find).unwrap();
    let given: Vec<OwnedFd> = (1..=count as u32).map(|number| given.remove(&number).unwrap()).collect();
    for (at, (given, before)) in given.iter().zip(before).enumerate() {
        // Until nobody else has the other ends: see `pipes`.
        until("others have closed what they inherited", || ready(given) == before.1);
        assert_eq!(shown(given.as_fd()), before, "{at}");
    }
    (records, given)
}

type Shown = (u32, i16, Option<Vec<u8>>, Option<Option<Vec<u8>>>, u8);

/// Flags, what is ready, names and directions.
fn shown(socket: BorrowedFd<'_>) -> Shown {
    let inode = rustix::fs::fstat(socket).unwrap().st_ino as u32;
    let shut = unix::diagnosis().unwrap()[&inode].shutdown;
    let (name, peer) = (calls::name(socket, false).unwrap(), calls::name(socket, true).ok());
    (descriptor::flags(socket).unwrap(), ready(socket), name, peer, shut)
}

/// Takes out what waits, message by message.
fn receive(socket: impl AsFd) -> Vec<Message> {
    let mut all = Vec::new();
    while let Some(message) = calls::receive(socket.as_fd(), 1 << 20).unwrap() {
        all.push(message);
        assert!(all.len() < 100, "it does not end");
    }
    all
}

fn texts(socket: impl AsFd) -> Vec<Vec<u8>> {
    receive(socket).into_iter().map(|message| message.bytes).collect()
}

fn send(socket: &OwnedFd, bytes: &[u8]) {
    assert_eq!(calls::send(socket.as_fd(), None, bytes, &[], None).unwrap(), bytes.len());
}

fn nowhere() -> &'static Path {
    Path::new("/proc/self/task")
}

#[test]
fn pairs_of_all_types_have_their_queues_with_boundaries() {
    as_both_users("objects::tests::unixes::pairs_of_all_types_have_their_queues_with_boundaries", || {
        for kind in [STREAM, DATAGRAM, PACKETS] {
            let world = World::new(|_| {
                let (one, two) = calls::pair(kind).unwrap();
                for text in [&b"first"[..], b"second"] {
                    send(&one, text);
                }
                if kind != STREAM {
                    send(&one, b"");
                    send(&one, &[7; 40_000]);
                }
                send(&two, b"back");
                nonblocking(two.as_fd());
                vec![one, two]
            });
            let (_, given) = again(world, 2, nowhere());
            let texts = texts(&given[1]);
            if kind == STREAM {
                assert_eq!(texts, [b"firstsecond"]);
            } else {
                assert_eq!(texts, [&b"first"[..], b"second", b"", &[7; 40_000]]);
            }
            send(&given[1], b"more");
            assert_eq!(receive(&given[0]).into_iter().flat_map(|it| it.bytes).collect::<Vec<_>>(), b"backmore");
        }
    });
}

#[test]
fn a_stream_longer_than_a_look_comes_whole() {
    let world = World::new(|_| {
        let (one, two) = calls::pair(STREAM).unwrap();
        calls::set_option(one.as_fd(), 7, &(200_000i32).to_ne_bytes()).unwrap();
        let bytes: Vec<u8> = (0..150_000u32).map(|at| (at % 251) as u8).collect();
        let mut rest = &bytes[..];
        while let Ok(sent) = calls::send(one.as_fd(), None, rest, &[], None) {
            rest = &rest[sent..];
            if rest.is_empty() {
                break;
            }
        }
        vec![one, two]
    });
    let (records, given) = again(world, 2, nowhere());
    let expected: Vec<u8> = records[1].queue.iter().flat_map(|message| message.bytes.to_vec()).collect();
    assert!(expected.len() > 60_000 && expected.iter().zip(0u32..).all(|(byte, at)| u32::from(*byte) == at % 251));
    assert_eq!(texts(&given[1]).concat(), expected);
}

#[test]
fn descriptors_in_flight_come_with_their_bytes() {
    as_both_users("objects::tests::unixes::descriptors_in_flight_come_with_their_bytes", || {
        for kind in [STREAM, DATAGRAM, PACKETS] {
            let world = World::new(|_| {
                let (one, two) = calls::pair(kind).unwrap();
                let (event, more) = (descriptor::eventfd(false).unwrap(), calls::pair(STREAM).unwrap());
                rustix::io::write(&event, &77u64.to_ne_bytes()).unwrap();
                send(&one, b"before");
                let rights = [event.as_fd(), more.0.as_fd()];
                calls::send(one.as_fd(), None, b"with", &rights, None).unwrap();
                send(&one, b"after");
                calls::send(one.as_fd(), None, b"!", &[one.as_fd()], None).unwrap();
                vec![one, two, more.0]
            });
            let (records, given) = again(world, 3, nowhere());
            let queue = &records[1].queue;
            let rights: Vec<usize> = queue.iter().map(|message| message.rights.len()).collect();
            assert_eq!(rights, [0, 2, 0, 1], "{queue:?}");
            assert_eq!((queue[1].rights[1], queue[3].rights[0]), (3, 1), "those that somebody has open");
            let first = calls::receive(given[1].as_fd(), 6).unwrap().unwrap();
            assert_eq!((&first.bytes[..], first.rights.len()), (&b"before"[..], 0));
            let second = calls::receive(given[1].as_fd(), 4).unwrap().unwrap();
            assert_eq!((&second.bytes[..], second.rights.len()), (&b"with"[..], 2));
            let mut count = [0; 8];
            rustix::io::read(&second.rights[0], &mut count).unwrap();
            assert_eq!(u64::from_ne_bytes(count), 77);
        }
    });
}

#[test]
fn directions_that_are_shut_and_peers_that_are_closed_stay_so() {
    as_both_users("objects::tests::unixes::directions_that_are_shut_and_peers_that_are_closed_stay_so", || {
        let world = World::new(|_| {
            let (half, other) = calls::pair(STREAM).unwrap();
            send(&half, b"last");
            calls::shutdown(half.as_fd(), libc::SHUT_WR).unwrap();
            let (left, closed) = calls::pair(STREAM).unwrap();
            send(&closed, b"left");
            drop(closed);
            let (reset, unread) = calls::pair(PACKETS).unwrap();
            send(&reset, b"never read");
            drop(unread);
            vec![half, other, left, reset]
        });
        let (records, given) = again(world, 4, nowhere());
        assert!(!records[2].reset && records[3].reset);
        assert_eq!(texts_and_end(&given[1]), (b"last".to_vec(), None));
        send(&given[1], b"still");
        assert_eq!(calls::receive(given[0].as_fd(), 9).unwrap().unwrap().bytes, b"still");
        assert_eq!(texts_and_end(&given[2]), (b"left".to_vec(), None));
        assert_eq!(texts_and_end(&given[3]).1, Some(libc::ECONNRESET));
    });
}

/// All bytes, and how it ended.
fn texts_and_end(socket: &OwnedFd) -> (Vec<u8>, Option<i32>) {
    nonblocking(socket.as_fd());
    let (texts, end) = reads(socket.as_fd());
    (texts.concat(), end)
}

#[test]
fn options_and_credentials_are_recorded() {
    let world = World::new(|_| {
        let (one, two) = calls::pair(STREAM).unwrap();
        send(&one, b"unknown");
        calls::set_option(two.as_fd(), 16, &1i32.to_ne_bytes()).unwrap();
        calls::set_option(two.as_fd(), 7, &30_000i32.to_ne_bytes()).unwrap();
        calls::set_option(two.as_fd(), 18, &3i32.to_ne_bytes()).unwrap();
        calls::set_option(two.as_fd(), 42, &2i32.to_ne_bytes()).unwrap();
        send(&one, b"known");
        vec![one, two]
    });
    let pid = world.guest.pid as u32;
    let (records, _) = taken(&world, 2, nowhere());
    assert_eq!(records[0].peer.as_ref().map(|peer| peer.pid), Some(pid));
    let senders: Vec<_> = records[1].queue.iter().map(|it| it.sender.as_ref().map(|who| who.pid)).collect();
    assert_eq!(senders, [None, Some(pid)]);
    // Only who may speak for the guest can send as it did.
    let mut records = records;
    records.iter_mut().for_each(|record| record.queue = Default::default());
    let given = unix::give::give(&records, &unix::calls::Here, |_| None).unwrap();
    for name in [7, 16, 18, 42] {
        let (ours, theirs) = (given[&2].as_fd(), world.seen(1));
        assert_eq!(calls::option(ours, name).unwrap(), calls::option(theirs.copy(), name).unwrap(), "{name}");
    }
}

#[test]
fn a_connection_with_the_world_outside_is_found_before_a_save() {
    let (ours, theirs) = calls::pair(STREAM).unwrap();
    let name = format!("\0outside {}", std::process::id()).into_bytes();
    let listener = calls::socket(STREAM).unwrap();
    calls::bind(listener.as_fd(), &name).unwrap();
    calls::listen(listener.as_fd(), 1).unwrap();
    // A guest closes what it has inherited; what is in flight it gets.
    let (way, end) = calls::pair(STREAM).unwrap();
    let world = World::new(|_| {
        let client = calls::socket(STREAM).unwrap();
        calls::connect(client.as_fd(), &name).unwrap();
        vec![client]
    });
    let session = |world: &World| Session {
        inodes: HashMap::from([(world.seen(0).stat.st_ino as u32, 1)]),
        place: nowhere().to_owned(),
        known: Descriptions::new(),
        in_flight: HashMap::new(),
    };
    let all = unix::diagnosis().unwrap();
    let finding = unix::look(&world.seen(0), &all, &session(&world)).unwrap().unwrap();
    assert!(finding.blocking && finding.lost.contains("outside of the session"), "{finding:?}");
    drop((way, end, ours, theirs));
    let accepted = calls::accept(listener.as_fd()).unwrap();
    let all = unix::diagnosis().unwrap();
    let finding = unix::look(&world.seen(0), &all, &session(&world)).unwrap().unwrap();
    assert!(finding.lost.contains("outside of the session"), "{finding:?}");
    assert!(unix::take(&world.seen(0), 1, &all, &mut session(&world)).is_err());
    drop(accepted);
}

#[test]
fn what_was_sent_before_it_was_accepted_is_found_before_a_save() {
    let name = format!("\0early {}", std::process::id()).into_bytes();
    let world = World::new(|_| {
        let (listener, client) = (calls::socket(STREAM).unwrap(), calls::socket(STREAM).unwrap());
        calls::bind(listener.as_fd(), &name).unwrap();
        calls::listen(listener.as_fd(), 1).unwrap();
        calls::connect(client.as_fd(), &name).unwrap();
        send(&client, b"early");
        vec![listener, client]
    });
    let inodes = (0..2).map(|at| (world.seen(at).stat.st_ino as u32, at as u32 + 1)).collect();
    let session =
        Session { inodes, place: nowhere().to_owned(), known: Descriptions::new(), in_flight: HashMap::new() };
    let all = diag::sockets(diag::open().unwrap().as_fd()).unwrap();
    let finding = unix::look(&world.seen(1), &all, &session).unwrap().unwrap();
    assert!(finding.blocking && finding.lost.contains("passes in a moment"), "{finding:?}");
}
