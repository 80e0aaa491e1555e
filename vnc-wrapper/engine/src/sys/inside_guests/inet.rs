//! Guests with internet sockets, in a net namespace of their own.

use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::Path;
use std::sync::atomic::Ordering;

use super::{child, judged, ready, wait, wait_for_go};
use crate::sys::guests::until;
use crate::sys::inet::{self, number, set_number, set_option};
use crate::sys::inside::{Words, loopback_up};
use crate::sys::{descriptor, unix};

const SOCKET: i32 = libc::SOL_SOCKET;
const TCP: i32 = libc::IPPROTO_TCP;
const STREAM: u32 = libc::SOCK_STREAM as u32;

fn own_network() {
    // SAFETY: numbers only.
    assert_eq!(unsafe { libc::unshare(libc::CLONE_NEWNET) }, 0, "{}", io::Error::last_os_error());
    loopback_up();
}

struct Wrong(Vec<String>);

impl Wrong {
    fn unless(&mut self, right: bool, what: impl FnOnce() -> String) {
        if !right {
            self.0.push(what());
        }
    }
}

/// Both ends of a connection to `listener`: the client's and the accepted one. Neither waits.
fn pair(listener: &TcpListener) -> (TcpStream, TcpStream) {
    let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (server, _) = listener.accept().unwrap();
    for end in [&client, &server] {
        end.set_nonblocking(true).unwrap();
    }
    (client, server)
}

fn listener(ip: IpAddr) -> TcpListener {
    TcpListener::bind(SocketAddr::new(ip, 0)).unwrap()
}

/// The bytes of a stream from `at` on.
fn bytes(at: usize, length: usize) -> Vec<u8> {
    (at..at + length).map(|at| (at % 251) as u8).collect()
}

/// Writes bytes of a stream until the kernel takes no more; how many.
fn fill(mut end: &TcpStream) -> usize {
    let mut sent = 0;
    loop {
        match end.write(&bytes(sent, 50_000)) {
            Ok(more) => sent += more,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return sent,
            Err(error) => panic!("{error}"),
        }
    }
}

/// Reads that much of a stream; whether it is right.
fn reads(mut end: &TcpStream, length: usize) -> bool {
    let mut all: Vec<u8> = Vec::new();
    let mut part = vec![0; 1 << 16];
    until("all arrives", || {
        let most = part.len().min(length - all.len());
        match end.read(&mut part[..most]) {
            Ok(read) => all.extend(&part[..read]),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => panic!("{error}"),
        }
        all.len() == length
    });
    all == bytes(0, length)
}

/// What the next read gives: a length, or an error.
fn next(mut end: &TcpStream) -> Result<usize, Option<i32>> {
    end.read(&mut [0; 100]).map_err(|error| error.raw_os_error())
}

/// Whether what one end writes is read at the other.
fn talks(mut from: &TcpStream, to: &TcpStream) -> bool {
    from.write(&bytes(0, 1000)).is_ok_and(|sent| sent == 1000) && reads(to, 1000)
}

fn ips() -> [IpAddr; 3] {
    [Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into(), Ipv4Addr::LOCALHOST.to_ipv6_mapped().into()]
}

/// Connections of all families with what waits in them.
pub(crate) fn connections(words: Words, directory: &Path) -> i32 {
    own_network();
    let mut wrong = Wrong(Vec::new());
    let all: Vec<_> = ips()
        .into_iter()
        .map(|ip| {
            let listener = listener(ip);
            let (client, server) = pair(&listener);
            let there = fill(&client);
            (&server).write_all(&bytes(0, 5000)).unwrap();
            (listener, client, server, there)
        })
        .collect();
    let before: Vec<_> = all.iter().map(|(_, client, server, _)| addresses([client, server])).collect();
    ready(words);
    wait_for_go(words);
    for ((listener, client, server, there), before) in all.iter().zip(before) {
        let ip = listener.local_addr().unwrap().ip();
        wrong.unless(addresses([client, server]) == before, || format!("{ip}: other addresses than {before:?}"));
        wrong.unless(reads(server, *there), || format!("{ip}: {there} bytes are wrong"));
        wrong.unless(reads(client, 5000), || format!("{ip}: what came back is wrong"));
        let nothing = Err(Some(libc::EAGAIN));
        wrong.unless([next(client), next(server)] == [nothing; 2], || format!("{ip}: something is too much"));
        wrong.unless(talks(client, server) && talks(server, client), || format!("{ip}: they do not go on"));
        let more = fill(server);
        wrong.unless(reads(client, more), || format!("{ip}: more bytes are wrong"));
        let (one, two) = pair(listener);
        wrong.unless(talks(&one, &two), || format!("{ip}: it does not listen"));
    }
    judged(&wrong.0, directory)
}

fn addresses(ends: [&TcpStream; 2]) -> Vec<Option<SocketAddr>> {
    ends.into_iter().flat_map(|end| [end.local_addr().ok(), end.peer_addr().ok()]).collect()
}

fn events(end: impl AsFd) -> i16 {
    let all = libc::POLLIN | libc::POLLOUT | libc::POLLPRI | libc::POLLRDHUP;
    descriptor::ready(end.as_fd(), all).unwrap()
}

/// Ends of streams in all orders, resets, and what was never connected.
pub(crate) fn ends(words: Words, directory: &Path) -> i32 {
    own_network();
    let mut wrong = Wrong(Vec::new());
    let listener = listener(ips()[0]);
    let [half, other, closed, reset, failed_to_read, deaf] = std::array::from_fn(|_| pair(&listener));
    // One direction has ended, either way.
    (&half.0).write_all(&bytes(0, 3000)).unwrap();
    half.0.shutdown(Shutdown::Write).unwrap();
    (&other.1).write_all(&bytes(0, 10)).unwrap();
    other.1.shutdown(Shutdown::Write).unwrap();
    // The other end is closed, with and without an answer; both directions have ended.
    let (closed, gone) = closed;
    (&gone).write_all(&bytes(0, 70)).unwrap();
    drop(gone);
    let (over, peer) = pair(&listener);
    (&peer).write_all(&bytes(0, 30)).unwrap();
    peer.shutdown(Shutdown::Write).unwrap();
    until("the end arrives", || events(&over) & libc::POLLRDHUP != 0);
    over.shutdown(Shutdown::Write).unwrap();
    until("both have ended", || events(&over) & libc::POLLHUP != 0);
    // Closed before all was read.
    let (reset, unread) = reset;
    (&reset).write_all(b"never read").unwrap();
    until("it arrives", || events(&unread) & libc::POLLIN != 0);
    drop(unread);
    until("it is reset", || events(&reset) & libc::POLLERR != 0);
    let (finished, peer_of_it) = failed_to_read;
    finished.shutdown(Shutdown::Both).unwrap();
    deaf.0.shutdown(Shutdown::Read).unwrap();
    // Nobody listens there.
    let refused = inet::socket(libc::AF_INET as u32, STREAM, 0).unwrap();
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let _ = inet::connect(refused.as_fd(), free);
    until("it is refused", || events(&refused) & libc::POLLERR != 0);
    let new = inet::socket(libc::AF_INET6 as u32, STREAM, 0).unwrap();
    let bound = inet::socket(libc::AF_INET as u32, STREAM, 0).unwrap();
    inet::bind(bound.as_fd(), "127.0.0.1:0".parse().unwrap()).unwrap();
    let at = inet::name(bound.as_fd(), false).unwrap();
    let names = [&half.0, &half.1, &other.0, &other.1, &closed, &over, &peer].map(|end| end.local_addr().ok());
    let shown: Vec<i16> = [&half.0, &half.1, &other.0, &other.1, &closed, &over, &reset].map(events).to_vec();
    let raw: Vec<i16> = [&refused, &new, &bound].map(events).to_vec();
    ready(words);
    wait_for_go(words);
    let now: Vec<i16> = [&half.0, &half.1, &other.0, &other.1, &closed, &over, &reset].map(events).to_vec();
    wrong.unless(now == shown, || format!("events {now:?} instead of {shown:?}"));
    let now: Vec<i16> = [&refused, &new, &bound].map(events).to_vec();
    wrong.unless(now == raw, || format!("events {now:?} instead of {raw:?}"));
    let now = [&half.0, &half.1, &other.0, &other.1, &closed, &over, &peer].map(|end| end.local_addr().ok());
    wrong.unless(now == names, || format!("{now:?} instead of {names:?}"));
    wrong.unless(reads(&half.1, 3000) && next(&half.1) == Ok(0), || "the end of a half is lost".to_owned());
    wrong.unless(talks(&half.1, &half.0), || "a half does not go on".to_owned());
    wrong.unless((&half.0).write(b"x").is_err(), || "an end can be written to".to_owned());
    drop(half.1);
    until("the other half ends", || next(&half.0) == Ok(0));
    wrong.unless(reads(&other.0, 10) && next(&other.0) == Ok(0), || "the other end is lost".to_owned());
    wrong.unless(talks(&other.0, &other.1), || "the other half does not go on".to_owned());
    wrong.unless(reads(&closed, 70) && next(&closed) == Ok(0), || "what a closed end sent is lost".to_owned());
    let _ = (&closed).write(b"x");
    until("a closed end resets", || events(&closed) & libc::POLLERR != 0);
    let left = reads(&over, 30) && next(&over) == Ok(0) && (&over).write(b"x").is_err();
    wrong.unless(left, || "what was over is not".to_owned());
    let came = next(&reset);
    wrong.unless(came == Err(Some(libc::ECONNRESET)), || format!("a reset end: {came:?}"));
    wrong.unless(next(&finished) == Ok(0), || "a finished end goes on".to_owned());
    wrong.unless(next(&peer_of_it) == Ok(0), || "the peer of a finished end goes on".to_owned());
    let came = (next(&deaf.0), talks(&deaf.0, &deaf.1));
    wrong.unless(came == (Ok(0), true), || format!("a deaf end: {came:?}"));
    let error = number(refused.as_fd(), SOCKET, libc::SO_ERROR).unwrap();
    wrong.unless(error == libc::ECONNREFUSED, || format!("error {error}"));
    let _ = inet::connect(new.as_fd(), listener_of_both(&listener));
    until("a new one connects", || inet::name(new.as_fd(), true).is_ok());
    wrong.unless(inet::name(bound.as_fd(), false).unwrap() == at, || "it is bound elsewhere".to_owned());
    let listens = unix::listen(bound.as_fd(), 5).is_ok() && TcpStream::connect(at.unwrap()).is_ok();
    wrong.unless(listens, || "a bound one cannot listen".to_owned());
    judged(&wrong.0, directory)
}

fn listener_of_both(listener: &TcpListener) -> SocketAddr {
    SocketAddr::new(Ipv4Addr::LOCALHOST.to_ipv6_mapped().into(), listener.local_addr().unwrap().port())
}

/// Connections that wait to be accepted: of this process, and one that was closed since. The backlog is full.
pub(crate) fn backlog(words: Words, directory: &Path) -> i32 {
    own_network();
    let mut wrong = Wrong(Vec::new());
    let listeners: Vec<_> = ips()
        .into_iter()
        .map(|ip| {
            let listener = listener(ip);
            unix::listen(listener.as_fd(), 2).unwrap();
            let at = listener.local_addr().unwrap();
            let mut clients = Vec::new();
            for number in 0..3 {
                let client = TcpStream::connect(at).unwrap();
                until("it waits", || waiting(&listener) == number + 1);
                clients.push(client);
                // Their order shows in milliseconds.
                std::thread::sleep(std::time::Duration::from_millis(20));
            }
            drop(clients.remove(1));
            listener.set_nonblocking(true).unwrap();
            // There is no room for it: it tries again from time to time.
            let family = if ip.is_ipv4() { libc::AF_INET } else { libc::AF_INET6 };
            let tries = inet::socket(family as u32, STREAM, 0).unwrap();
            let _ = inet::connect(tries.as_fd(), at);
            (listener, clients, TcpStream::from(tries))
        })
        .collect();
    ready(words);
    wait_for_go(words);
    for (listener, clients, tries) in &listeners {
        let at = listener.local_addr().unwrap();
        wrong.unless(waiting(listener) == 3, || format!("{at}: {} wait", waiting(listener)));
        let backlog = word(listener, 28);
        wrong.unless(backlog == 2, || format!("{at}: a backlog of {backlog}"));
        for place in 0..3 {
            let (server, peer) = listener.accept().unwrap();
            server.set_nonblocking(true).unwrap();
            let client = match place {
                1 => {
                    wrong.unless(next(&server) == Ok(0), || format!("{at}: a closed one is open"));
                    continue;
                }
                0 => &clients[0],
                _ => &clients[1],
            };
            client.set_nonblocking(true).unwrap();
            wrong.unless(client.local_addr().unwrap() == peer, || format!("{at}: {peer} is number {place}"));
            wrong.unless(talks(client, &server) && talks(&server, client), || format!("{at}: they do not talk"));
        }
        until("who tried connects", || tries.peer_addr().is_ok());
        let mut accepted = None;
        until("it is accepted", || {
            accepted = listener.accept().ok();
            accepted.is_some()
        });
        let (last, peer) = accepted.unwrap();
        last.set_nonblocking(true).unwrap();
        tries.set_nonblocking(true).unwrap();
        let right = peer == tries.local_addr().unwrap() && talks(tries, &last);
        wrong.unless(right, || format!("{at}: who tried does not talk"));
    }
    judged(&wrong.0, directory)
}

/// A word of `struct tcp_info`.
fn word(of: impl AsFd, at: usize) -> u32 {
    let info = inet::option(of.as_fd(), TCP, libc::TCP_INFO, 256).unwrap();
    u32::from_ne_bytes(info[at..at + 4].try_into().unwrap())
}

fn waiting(listener: &TcpListener) -> u32 {
    word(listener, 24)
}

/// Datagrams that wait, from whom they came; groups, and whom sockets are connected to.
pub(crate) fn datagrams(words: Words, directory: &Path) -> i32 {
    own_network();
    let mut wrong = Wrong(Vec::new());
    let all: Vec<_> = ips()
        .into_iter()
        .map(|ip| {
            let [to, from, other] = std::array::from_fn(|_| UdpSocket::bind((ip, 0)).unwrap());
            for (text, sender) in [(&b"first"[..], &from), (b"", &other), (&[7; 40_000], &from)] {
                sender.send_to(text, to.local_addr().unwrap()).unwrap();
            }
            from.connect(to.local_addr().unwrap()).unwrap();
            to.send_to(b"back", from.local_addr().unwrap()).unwrap();
            for socket in [&to, &from, &other] {
                socket.set_nonblocking(true).unwrap();
            }
            (to, from, other)
        })
        .collect();
    let new = UdpSocket::bind("0.0.0.0:0").unwrap();
    new.join_multicast_v4(&Ipv4Addr::new(224, 0, 0, 251), &Ipv4Addr::LOCALHOST).unwrap();
    let newer = UdpSocket::bind("[::]:0").unwrap();
    newer.join_multicast_v6(&"ff02::fb".parse().unwrap(), 1).unwrap();
    let late = UdpSocket::bind("127.0.0.1:0").unwrap();
    late.send_to(b"to any", ("127.0.0.1", new.local_addr().unwrap().port())).unwrap();
    ready(words);
    wait_for_go(words);
    for (to, from, other) in &all {
        let at = to.local_addr().unwrap();
        for (text, sender) in [(&b"first"[..], from), (b"", other), (&[7; 40_000], from)] {
            let mut into = vec![0; 1 << 16];
            let came = to.recv_from(&mut into).map(|(length, from)| (into[..length].to_vec(), from));
            let right = came.as_ref().is_ok_and(|(found, by)| found == text && *by == sender.local_addr().unwrap());
            wrong.unless(right, || format!("{at}: a datagram of {} bytes from {:?}", text.len(), came.map(|it| it.1)));
        }
        wrong.unless(to.recv_from(&mut [0; 9]).is_err(), || format!("{at}: too many"));
        wrong.unless(from.peer_addr().ok() == Some(at), || format!("{at}: its peer is not connected"));
        let mut into = [0; 9];
        let came = from.recv(&mut into);
        wrong.unless(came.as_ref().is_ok_and(|length| into[..*length] == *b"back"), || format!("{at}: {came:?} back"));
        from.send(b"more").unwrap();
        wrong.unless(to.recv(&mut into).is_ok(), || format!("{at}: nothing more comes"));
        other.send_to(b"ignored", from.local_addr().unwrap()).unwrap();
        wrong.unless(from.recv(&mut into).is_err(), || format!("{at}: others are heard"));
    }
    let mut into = [0; 9];
    wrong.unless(new.recv(&mut into).is_ok_and(|length| into[..length] == *b"to any"), || "any address".to_owned());
    let left = new.leave_multicast_v4(&Ipv4Addr::new(224, 0, 0, 251), &Ipv4Addr::LOCALHOST);
    wrong.unless(left.is_ok(), || format!("it was no member: {left:?}"));
    let left = newer.leave_multicast_v6(&"ff02::fb".parse().unwrap(), 1);
    wrong.unless(left.is_ok(), || format!("it was no member of ff02::fb: {left:?}"));
    judged(&wrong.0, directory)
}

/// Options of all levels that a program may have set: level, number, value.
const NUMBERS: [(i32, i32, i32); 21] = [
    (SOCKET, libc::SO_KEEPALIVE, 1),
    (SOCKET, libc::SO_BROADCAST, 1),
    (SOCKET, libc::SO_OOBINLINE, 1),
    (SOCKET, libc::SO_PRIORITY, 4),
    (SOCKET, libc::SO_RCVLOWAT, 3),
    (SOCKET, libc::SO_TIMESTAMP, 1),
    (libc::IPPROTO_IP, libc::IP_TTL, 33),
    (libc::IPPROTO_IP, libc::IP_TOS, 0x10),
    (libc::IPPROTO_IP, libc::IP_PKTINFO, 1),
    (libc::IPPROTO_IP, libc::IP_RECVERR, 1),
    (libc::IPPROTO_IP, libc::IP_MULTICAST_TTL, 5),
    (libc::IPPROTO_IPV6, libc::IPV6_UNICAST_HOPS, 44),
    (libc::IPPROTO_IPV6, libc::IPV6_RECVPKTINFO, 1),
    (libc::IPPROTO_IPV6, libc::IPV6_V6ONLY, 1),
    (TCP, libc::TCP_NODELAY, 1),
    (TCP, libc::TCP_KEEPIDLE, 77),
    (TCP, libc::TCP_KEEPINTVL, 8),
    (TCP, libc::TCP_KEEPCNT, 3),
    (TCP, libc::TCP_USER_TIMEOUT, 9000),
    (TCP, libc::TCP_NOTSENT_LOWAT, 4096),
    (libc::IPPROTO_UDP, 104, 1),
];

fn shown(socket: &OwnedFd) -> Vec<Option<Vec<u8>>> {
    let numbers = NUMBERS.iter().map(|(level, name, _)| (*level, *name));
    let more = [
        libc::SO_REUSEADDR,
        libc::SO_REUSEPORT,
        libc::SO_LINGER,
        libc::SO_RCVTIMEO,
        libc::SO_SNDTIMEO,
        libc::SO_RCVBUF,
        libc::SO_BINDTODEVICE,
    ];
    let more = more.into_iter().map(|name| (SOCKET, name));
    // Of a stream, that of multicast is something else.
    let stream = number(socket.as_fd(), TCP, libc::TCP_NODELAY).is_ok();
    let numbers = numbers.filter(move |option| !stream || *option != (libc::IPPROTO_IP, libc::IP_MULTICAST_TTL));
    numbers.chain(more).map(|(level, name)| inet::option(socket.as_fd(), level, name, 16).ok()).collect()
}

/// Sockets of all kinds with options: of each kind one with all and one with none; two share a port.
pub(crate) fn options(words: Words, directory: &Path) -> i32 {
    own_network();
    let mut wrong = Wrong(Vec::new());
    let mut all = Vec::new();
    for family in [libc::AF_INET, libc::AF_INET6] {
        for kind in [libc::SOCK_STREAM, libc::SOCK_DGRAM] {
            let [with, without] = [(); 2].map(|()| inet::socket(family as u32, kind as u32, 0).unwrap());
            for (level, name, value) in NUMBERS {
                // Those that it does not have.
                let _ = set_number(with.as_fd(), level, name, value);
            }
            set_option(with.as_fd(), SOCKET, libc::SO_LINGER, &[1i32, 7].map(i32::to_ne_bytes).concat()).unwrap();
            set_option(with.as_fd(), SOCKET, libc::SO_RCVTIMEO, &[3i64, 0].map(i64::to_ne_bytes).concat()).unwrap();
            set_number(with.as_fd(), SOCKET, libc::SO_RCVBUF, 20_000).unwrap();
            set_option(with.as_fd(), SOCKET, libc::SO_BINDTODEVICE, b"lo").unwrap();
            all.extend([with, without]);
        }
    }
    let [one, two] = [(); 2].map(|()| inet::socket(libc::AF_INET as u32, STREAM, 0).unwrap());
    for shares in [&one, &two] {
        set_number(shares.as_fd(), SOCKET, libc::SO_REUSEPORT, 1).unwrap();
        let at = inet::name(one.as_fd(), false).unwrap().filter(|at| at.port() != 0);
        inet::bind(shares.as_fd(), at.unwrap_or_else(|| "127.0.0.1:0".parse().unwrap())).unwrap();
        unix::listen(shares.as_fd(), 5).unwrap();
    }
    all.extend([one, two]);
    let reuse = inet::socket(libc::AF_INET as u32, STREAM, 0).unwrap();
    set_number(reuse.as_fd(), SOCKET, libc::SO_REUSEADDR, 1).unwrap();
    all.push(reuse);
    // Connected, and not read from while they are saved.
    let listener = listener(ips()[0]);
    let (client, server) = pair(&listener);
    set_number(client.as_fd(), SOCKET, libc::SO_REUSEADDR, 1).unwrap();
    set_number(server.as_fd(), TCP, libc::TCP_CORK, 1).unwrap();
    all.extend([OwnedFd::from(client), OwnedFd::from(server)]);
    let before: Vec<_> = all.iter().map(shown).collect();
    ready(words);
    wait_for_go(words);
    for (socket, before) in all.iter().zip(before) {
        let now = shown(socket);
        let other: Vec<_> = now.iter().zip(&before).enumerate().filter(|(_, (now, before))| now != before).collect();
        wrong.unless(other.is_empty(), || format!("descriptor {}: {other:?}", socket.as_raw_fd()));
    }
    judged(&wrong.0, directory)
}

/// Two processes exchange numbers until they are told to stop, and then how many.
pub(crate) fn exchange(words: Words, directory: &Path) -> i32 {
    own_network();
    let listener = listener(ips()[1]);
    let at = listener.local_addr().unwrap();
    // Each sends numbers, and answers each that comes; so both directions are never empty for long.
    let talk = move |mut stream: TcpStream, word: usize| {
        stream.set_nodelay(true).unwrap();
        let (mut sent, mut came) = (0u64, 0u64);
        loop {
            let last = words[1].load(Ordering::SeqCst) != 0;
            for _ in 0..20 {
                stream.write_all(&if last { u64::MAX } else { sent }.to_be_bytes()).unwrap();
                sent += 1;
                if last {
                    break;
                }
            }
            loop {
                let mut number = [0; 8];
                stream.read_exact(&mut number).unwrap();
                let number = u64::from_be_bytes(number);
                if number == u64::MAX {
                    if !last {
                        stream.write_all(&number.to_be_bytes()).unwrap();
                    }
                    return i32::from(words[1].load(Ordering::SeqCst) == 0);
                }
                if number != came {
                    return 1;
                }
                came += 1;
                words[word].store(came as u32, Ordering::SeqCst);
                if came.is_multiple_of(20) && !last {
                    break;
                }
            }
        }
    };
    let other = child(|| talk(TcpStream::connect(at).unwrap(), 20));
    let own = talk_ready(words, &listener, talk);
    let mut wrong = Wrong(Vec::new());
    let theirs = wait(other);
    wrong.unless(own == 0 && theirs == 0, || format!("{own} {theirs}: a number was lost or came twice"));
    judged(&wrong.0, directory)
}

fn talk_ready(words: Words, listener: &TcpListener, talk: impl Fn(TcpStream, usize) -> i32) -> i32 {
    let (stream, _) = listener.accept().unwrap();
    ready(words);
    talk(stream, 21)
}

/// Connections whose other ends somebody else takes: words 10 and 11 say their numbers. Closed here once word 2 is 1.
pub(crate) fn leads_out(words: Words, directory: &Path) -> i32 {
    own_network();
    let mut wrong = Wrong(Vec::new());
    let listener = listener(ips()[0]);
    let [waits, reads_later] = std::array::from_fn(|_| pair(&listener));
    (&reads_later.1).write_all(&bytes(0, 3000)).unwrap();
    for (word, end) in [(10, &waits.1), (11, &reads_later.1)] {
        words[word].store(end.as_raw_fd().cast_unsigned(), Ordering::SeqCst);
    }
    ready(words);
    until("the ends are taken", || words[2].load(Ordering::SeqCst) == 1);
    let ((waits, _), (reads_later, _)) = (waits, reads_later);
    ready(words);
    wait_for_go(words);
    let came = next(&waits);
    wrong.unless(came == Err(Some(libc::ECONNRESET)), || format!("{came:?}"));
    wrong.unless(reads(&reads_later, 3000), || "what had come is lost".to_owned());
    let came = next(&reads_later);
    wrong.unless(came == Err(Some(libc::ECONNRESET)), || format!("behind it: {came:?}"));
    judged(&wrong.0, directory)
}

/// Something that cannot be saved, by its number.
pub(crate) fn refused(words: Words, which: u32) -> i32 {
    own_network();
    let listener = listener(ips()[0]);
    let (client, server) = pair(&listener);
    let socket = |family: i32, kind: i32, protocol: i32| {
        inet::socket(family as u32, kind as u32, protocol as u32).map(drop_later).unwrap();
    };
    match which {
        0 => socket(libc::AF_INET, libc::SOCK_RAW, libc::IPPROTO_UDP),
        1 => socket(libc::AF_PACKET, libc::SOCK_RAW, 0),
        2 => {
            // SAFETY: one byte is read.
            unsafe { libc::send(client.as_raw_fd(), b"!".as_ptr().cast(), 1, libc::MSG_OOB) };
            until("it arrives", || events(&server) & libc::POLLPRI != 0);
        }
        3 => {
            let mut early = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            early.write_all(b"early").unwrap();
            drop_later(early);
        }
        4 => set_number(listener.as_fd(), TCP, 23, 5).unwrap(),
        _ => set_number(client.as_fd(), TCP, 19, 1).unwrap(),
    }
    ready(words);
    wait_for_go(words);
    0
}

fn drop_later(it: impl Into<OwnedFd>) {
    std::mem::forget(it.into());
}
