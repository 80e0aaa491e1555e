//! Records of internet sockets that do not fit together.

use super::super::Record;
use super::super::check::check;
use super::super::inet::{Address, Connection, Datagram, Inet, Membership, Scales, TcpSocket, TcpState, UdpSocket};
use super::super::objects::Common;
use super::{bytes, list, sound};

fn address(port: u32) -> Address {
    Address { ip: bytes([127, 0, 0, 1]), port, ..Address::default() }
}

fn inet(port: u32) -> Inet {
    Inet { family: libc::AF_INET as u32, local: Some(address(port)), ..Inet::default() }
}

fn common(id: u32) -> Common {
    Common { id, ..Common::default() }
}

fn tcp(id: u32, state: TcpState) -> TcpSocket {
    TcpSocket { common: common(id), inet: inet(1000 + id), state, ..TcpSocket::default() }
}

fn connected(peer: Option<u32>, connection: Connection) -> TcpState {
    TcpState::Connected { peer, outside: false, connection: Connection { remote: address(80), ..connection } }
}

/// A connection, a listener and who waits for it, and a UDP socket.
fn sockets() -> (Vec<TcpSocket>, UdpSocket) {
    let sends = Connection { sent: 2, unacknowledged: bytes("abc"), ..Connection::default() };
    let receives = Connection { received: u32::MAX, ..Connection::default() };
    let datagram = Datagram { bytes: bytes("x"), from: address(5), to: address(6) };
    let udp = UdpSocket {
        common: common(15),
        inet: inet(6),
        memberships: list(vec![Membership { group: bytes([224, 0, 0, 1]), interface: bytes("lo") }]),
        queue: list(vec![datagram]),
        ..UdpSocket::default()
    };
    let tcp = vec![
        tcp(11, connected(Some(12), sends)),
        tcp(12, connected(Some(11), receives)),
        tcp(13, TcpState::Listening { backlog: 5, waiting: list(vec![None, Some(14)]) }),
        tcp(14, connected(None, Connection::default())),
    ];
    (tcp, udp)
}

fn connection(of: &mut TcpSocket) -> &mut Connection {
    match &mut of.state {
        TcpState::Connected { connection, .. } => connection,
        other => panic!("{other:?}"),
    }
}

#[test]
fn internet_sockets_that_do_not_fit_together_are_refused() {
    type Change<'a> = &'a dyn Fn(&mut Vec<TcpSocket>, &mut UdpSocket);
    let with = |change: Change<'_>| {
        let (mut tcp, mut udp) = sockets();
        change(&mut tcp, &mut udp);
        let sockets = tcp.into_iter().map(Record::from).chain([udp.into()]);
        let records: Vec<Record> = sound().into_iter().chain(sockets).collect();
        check(&records, []).map_err(|error| error.to_string())
    };
    assert_eq!(with(&|_, _| ()), Ok(()));
    let cases: [(&str, Change<'_>); 19] = [
        ("socket 14 waits for it and elsewhere", &|tcp, _| {
            tcp[2].state = TcpState::Listening { backlog: 1, waiting: list(vec![Some(14); 2]) };
        }),
        ("socket 11 does not wait for it", &|tcp, _| {
            tcp[2].state = TcpState::Listening { backlog: 1, waiting: list(vec![Some(11)]) };
        }),
        ("refers to socket 99", &|tcp, _| tcp[0].state = connected(Some(99), Connection::default())),
        ("socket 14 is not connected to it", &|tcp, _| tcp[0].state = connected(Some(14), Connection::default())),
        ("socket 12 lacks 4 bytes that are not there", &|tcp, _| connection(&mut tcp[0]).sent = 3),
        ("windows are shifted by 15 and 0", &|tcp, _| {
            connection(&mut tcp[0]).scales = Some(Scales { received: 15, sent: 0 });
        }),
        ("socket 12 is not outside", &|tcp, _| {
            tcp[0].state =
                TcpState::Connected { peer: Some(12), outside: true, connection: connection(&mut tcp[0]).clone() };
        }),
        ("it listens nowhere", &|tcp, _| tcp[2].inet.local = None),
        ("it cannot listen", &|tcp, _| tcp[2].received = bytes("x")),
        ("it is connected from nowhere", &|tcp, _| tcp[0].inet.local = None),
        ("from nobody", &|all, _| all.push(TcpSocket { received: bytes("x"), ..tcp(16, TcpState::Failed) })),
        ("an address of 5 bytes", &|tcp, _| connection(&mut tcp[0]).remote.ip = bytes([1; 5])),
        ("port 65536", &|tcp, _| connection(&mut tcp[0]).remote.port = 65_536),
        ("there is no family 77", &|tcp, _| tcp[0].inet.family = 77),
        ("buffers 4 are set", &|tcp, _| tcp[0].inet.buffers = 4),
        ("interface \"a/b\"", &|_, udp| udp.inet.interface = bytes("a/b")),
        ("a group of 3 bytes", &|_, udp| {
            udp.memberships = list(vec![Membership { group: bytes([1; 3]), ..Membership::default() }]);
        }),
        ("it receives nowhere", &|_, udp| udp.inet.local = None),
        ("between addresses of [4, 16] bytes", &|_, udp| {
            let to = Address { ip: bytes([0; 16]), ..Address::default() };
            udp.queue = list(vec![Datagram { to, from: address(5), ..Datagram::default() }]);
        }),
    ];
    for (text, change) in cases {
        let error = with(change).expect_err(text);
        assert!(error.contains(text), "\"{error}\" instead of \"{text}\"");
    }
    let long = |_: &mut Vec<TcpSocket>, udp: &mut UdpSocket| {
        udp.queue = list(vec![Datagram { bytes: bytes([0; 65_508]), from: address(1), to: address(2) }]);
    };
    assert!(with(&long).unwrap_err().contains("a datagram of 65508 bytes"));
}
