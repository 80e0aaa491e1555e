//! TCP connections that lead out of a session.
//!
//! Those within a session are saved and live on. Those to the outside cannot: the other end goes on without us, and a
//! snapshot may be resumed more than once. A resumed session finds them reset; the one that was saved keeps them.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::processes::Process;
use crate::kernel::sock_diag;

/// A TCP connection, as /proc/net/tcp (proc_pid_net(5)) tells of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Connection {
    /// This end.
    pub local: SocketAddr,
    /// The other one.
    pub remote: SocketAddr,
    /// The socket's inode number; 0 when no process has it open any more.
    pub inode: u64,
}

impl Connection {
    /// In words, for people.
    pub fn describe(&self) -> String {
        format!("TCP connection to {}", SocketAddr::new(self.remote.ip().to_canonical(), self.remote.port()))
    }
}

/// States of sockets that have another end (linux/include/net/tcp_states.h): all but SYN_SENT, which tries again by itself,
/// TIME_WAIT, CLOSE and LISTEN.
const CONNECTED: [u8; 7] = [0x01, 0x03, 0x04, 0x05, 0x08, 0x09, 0x0b];

/// The connections of process `init`'s network namespace that lead out of it.
///
/// # Errors
/// When /proc cannot be read.
pub fn to_outside(init: u32) -> io::Result<Vec<Connection>> {
    let mut all = Vec::new();
    for table in ["tcp", "tcp6"] {
        match fs::read_to_string(format!("/proc/{init}/net/{table}")) {
            Ok(text) => all.extend(text.lines().skip(1).filter_map(parse)),
            // A kernel without IPv6.
            Err(error) if error.kind() == io::ErrorKind::NotFound && table == "tcp6" => {}
            Err(error) => return Err(error),
        }
    }
    Ok(outside(&all))
}

/// Resets the connections of process `init`'s network namespace that lead out of it, as if the other end had done it:
/// whoever waits for them is told at once. Returns how many there were.
///
/// # Errors
/// When the kernel cannot do that (CONFIG_INET_DIAG_DESTROY).
pub fn reset(init: u32) -> io::Result<usize> {
    let all = to_outside(init)?;
    if !all.is_empty() {
        sock_diag::destroy(init, all.iter().map(|c| (c.local, c.remote)).collect())?;
    }
    Ok(all.len())
}

/// Which process has which of `connections`; one that several have is told of each.
pub fn held<'a>(processes: &'a [Process], connections: &'a [Connection]) -> Vec<(&'a Process, &'a Connection)> {
    let by_inode: HashMap<u64, &Connection> = connections.iter().map(|c| (c.inode, c)).collect();
    let mut found = Vec::new();
    if by_inode.is_empty() {
        return found;
    }
    for process in processes {
        // A process that ends meanwhile has nothing any more.
        let mut own: Vec<_> = sockets(process).filter_map(|inode| by_inode.get(&inode)).copied().collect();
        own.sort_by_key(|c| (c.remote, c.inode));
        own.dedup();
        found.extend(own.into_iter().map(|connection| (process, connection)));
    }
    found
}

/// Inode numbers of the sockets that a process has open.
fn sockets(process: &Process) -> impl Iterator<Item = u64> {
    let entries = fs::read_dir(process.proc("fd")).into_iter().flatten().flatten();
    let links = entries.filter_map(|entry| fs::read_link(entry.path()).ok());
    links.filter_map(|link| link.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok())
}

/// One line of the table: number, both ends, state, queues, timers, retransmissions, user, timeout and inode.
fn parse(line: &str) -> Option<Connection> {
    let fields: Vec<&str> = line.split_whitespace().collect();
    let (local, remote) = (end(fields.get(1)?)?, end(fields.get(2)?)?);
    let state = u8::from_str_radix(fields.get(3)?, 16).ok()?;
    let inode = fields.get(9)?.parse().ok()?;
    CONNECTED.contains(&state).then_some(Connection { local, remote, inode })
}

/// An address in hexadecimal digits, word by word in the machine's byte order, and a port.
fn end(text: &str) -> Option<SocketAddr> {
    let (address, port) = text.split_once(':')?;
    let words: Vec<[u8; 4]> = address
        .as_bytes()
        .chunks(8)
        .map(|digits| Some(u32::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?.to_ne_bytes()))
        .collect::<Option<_>>()?;
    let address = match words[..] {
        [word] => IpAddr::V4(Ipv4Addr::from(word)),
        [_, _, _, _] => IpAddr::V6(Ipv6Addr::from(<[u8; 16]>::try_from(words.concat()).ok()?)),
        _ => return None,
    };
    Some(SocketAddr::new(address, u16::from_str_radix(port, 16).ok()?))
}

/// Those of `all` whose other end is neither an address of the loopback nor in `all` itself.
fn outside(all: &[Connection]) -> Vec<Connection> {
    let plain = |end: SocketAddr| SocketAddr::new(end.ip().to_canonical(), end.port());
    let ends: std::collections::HashSet<_> = all.iter().map(|c| (plain(c.local), plain(c.remote))).collect();
    let within = |c: &&Connection| {
        c.remote.ip().to_canonical().is_loopback() || ends.contains(&(plain(c.remote), plain(c.local)))
    };
    all.iter().filter(|c| !within(c)).copied().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str =
        "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:C001 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 11 1 0 100 0 0 10 0
   1: 0100007F:C001 0100007F:C002 01 00000000:00000000 00:00000000 00000000  1000        0 12 1 0 20 4 0 10 -1
   2: 0F02000A:C003 4D6433C6:01BB 01 00000000:00000000 00:00000000 00000000  1000        0 13 1 0 20 4 0 10 -1
   3: 0F02000A:C004 0F02000A:C005 01 00000000:00000000 00:00000000 00000000  1000        0 14 1 0 20 4 0 10 -1
   4: 0F02000A:C005 0F02000A:C004 08 00000000:00000000 00:00000000 00000000  1000        0 15 1 0 20 4 0 10 -1
   5: 0F02000A:C006 4D6433C6:01BB 06 00000000:00000000 03:00000000 00000000     0        0 0 3 0 20 4 0 10 -1
";

    #[test]
    #[cfg(target_endian = "little")]
    fn only_what_has_its_other_end_elsewhere_leads_out() {
        let all: Vec<_> = TABLE.lines().skip(1).filter_map(parse).collect();
        let out = outside(&all);
        assert_eq!(out.len(), 1, "{out:?}");
        assert_eq!((out[0].inode, out[0].describe().as_str()), (13, "TCP connection to 198.51.100.77:443"));
        assert_eq!(out[0].local, "10.0.2.15:49155".parse().unwrap());
    }

    #[test]
    #[cfg(target_endian = "little")]
    fn the_long_addresses_are_read_too() {
        let line =
            "0: 0000000000000000FFFF00000F02000A:C003 0000000000000000FFFF00004D6433C6:0050 01 0:0 0:0 0 0 0 77 1";
        let connection = parse(line).unwrap();
        assert_eq!(connection.describe(), "TCP connection to 198.51.100.77:80");
        assert_eq!(connection.local.ip(), "::ffff:10.0.2.15".parse::<IpAddr>().unwrap());
        assert_eq!(end("00000000000000000000000001000000:0016").unwrap(), "[::1]:22".parse().unwrap());
        assert_eq!(end("0100007F"), None);
    }
}
