//! The sockets of a network namespace, as the tables of /proc/PID/net have them (proc_pid_net(5)), and sock_diag(7).

use std::collections::{HashMap, HashSet};
use std::fs;
use std::io;

use super::{netlink, tcp, udp, unix};
use crate::container::processes::{Process, has_ended};
use crate::kernel::sock_diag;

/// What the rules for sockets ask, by the sockets' inode numbers.
#[derive(Debug, Default)]
pub(super) struct Network {
    pub(super) tcp: HashMap<u64, tcp::State>,
    pub(super) udp: HashMap<u64, udp::State>,
    /// Those for which messages of the kernel wait.
    pub(super) netlink: HashSet<u64>,
    /// Unix sockets that keep messages apart.
    pub(super) apart: HashSet<u64>,
    /// Listening Unix sockets for which a connection waits that has brought data.
    pub(super) listening: HashSet<u64>,
    /// Whether any socket hears chosen senders of a group only.
    pub(super) chooses: bool,
}

impl Network {
    /// Those of the network namespace of `process`; one that has ended has none.
    ///
    /// # Errors
    /// When /proc cannot be read, or the kernel does not answer.
    pub(super) fn of(process: &Process) -> io::Result<Self> {
        match Self::read(process) {
            Err(error) if has_ended(&error) => Ok(Self::default()),
            other => other,
        }
    }

    fn read(process: &Process) -> io::Result<Self> {
        let mut all = Self::default();
        for table in ["tcp", "tcp6"] {
            all.tcp.extend(lines(process, table)?.lines().skip(1).filter_map(tcp::state));
        }
        for table in ["udp", "udp6"] {
            all.udp.extend(lines(process, table)?.lines().skip(1).filter_map(udp::state));
        }
        all.netlink.extend(lines(process, "netlink")?.lines().skip(1).filter_map(netlink::waiting));
        all.apart.extend(lines(process, "unix")?.lines().skip(1).filter_map(unix::apart));
        all.chooses = ["mcfilter", "mcfilter6"]
            .iter()
            .any(|table| lines(process, table).is_ok_and(|text| text.lines().nth(1).is_some()));
        all.listening = sock_diag::unix_listeners_with_data(process.outside)?.into_iter().collect();
        Ok(all)
    }
}

/// A table; one of a protocol that the kernel does not have is empty.
fn lines(process: &Process, table: &str) -> io::Result<String> {
    match fs::read_to_string(process.proc("net").join(table)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(String::new()),
        other => other,
    }
}

/// The two queues in a line for TCP or UDP: what is to be sent, and what is to be read; both in hexadecimal.
pub(super) fn queues(fields: &[&str]) -> Option<(u64, u64)> {
    let (unsent, unread) = fields.get(4)?.split_once(':')?;
    Some((u64::from_str_radix(unsent, 16).ok()?, u64::from_str_radix(unread, 16).ok()?))
}

/// The inode number in such a line.
pub(super) fn inode(fields: &[&str]) -> Option<u64> {
    fields.get(9)?.parse().ok()
}
