//! Sockets in a state that the engine cannot save: something is on its way in them, and nobody has taken it yet.
//!
//! All of these pass when the application does its next step, so a save waits for them a little.

use std::collections::HashMap;
use std::fs;
use std::io;

use super::finding::Trouble;
use crate::container::processes::Process;
use crate::kernel::sock_diag;

/// Troubles of sockets, by the sockets' inode numbers, which are those of the network namespace of `process`.
///
/// # Errors
/// When /proc cannot be read, or the kernel does not tell.
pub(super) fn troubles(process: &Process) -> io::Result<HashMap<u64, Trouble>> {
    let mut found = HashMap::new();
    for table in ["tcp", "tcp6", "udp", "udp6", "netlink"] {
        // Without IPv6 two of them are not there.
        match fs::read_to_string(process.proc("net").join(table)) {
            Ok(text) => found.extend(text.lines().skip(1).filter_map(|line| judge(table, line))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    found.extend(sock_diag::unix_listeners_with_data(process.outside)?.into_iter().map(|inode| (inode, waiting())));
    Ok(found)
}

fn waiting() -> Trouble {
    Trouble::passing(
        "a connection waits for it that it has not accepted",
        "wait until the application answers again, or close it",
    )
}

/// One line of a table of /proc/net (proc_pid_net(5); for netlink, linux/net/netlink/af_netlink.c).
fn judge(table: &str, line: &str) -> Option<(u64, Trouble)> {
    let fields: Vec<&str> = line.split_whitespace().collect();
    if table == "netlink" {
        let (unread, inode): (u64, u64) = (fields.get(4)?.parse().ok()?, fields.get(9)?.parse().ok()?);
        let remedy = "wait until the application answers again, or close it";
        return (unread > 0 && inode > 0).then(|| {
            (inode, Trouble::passing("messages of the kernel wait for it that it has not read (netlink)", remedy))
        });
    }
    let (unsent, unread) = fields.get(4)?.split_once(':')?;
    let (unsent, unread) = (u64::from_str_radix(unsent, 16).ok()?, u64::from_str_radix(unread, 16).ok()?);
    let inode = fields.get(9)?.parse().ok()?;
    let listens = fields.get(3) == Some(&"0A");
    if table.starts_with("udp") {
        let object = "it holds back a datagram that it is still writing (UDP_CORK)";
        return (unsent > 0).then(|| (inode, Trouble::passing(object, "close the application")));
    }
    // Of a listening socket it is the number of connections.
    (listens && unread > 0).then(|| (inode, waiting()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inode(table: &str, line: &str) -> Option<u64> {
        judge(table, line).map(|(inode, _)| inode)
    }

    #[test]
    fn what_waits_is_told_by_the_queues() {
        let tcp = |state: &str, queue: &str| {
            format!("0: 0100007F:C001 00000000:0000 {state} 00000000:{queue} 00:00000000 00000000 1000 0 11 1 0 100")
        };
        assert_eq!(inode("tcp", &tcp("0A", "00000001")), Some(11));
        assert_eq!(inode("tcp", &tcp("0A", "00000000")), None);
        assert_eq!(inode("tcp6", &tcp("01", "00000001")), None);
        let udp = "0: 0100007F:C001 0100007F:0009 01 00000300:00000000 00:00000000 00000000 1000 0 12 2 0 0";
        assert_eq!(inode("udp", udp), Some(12));
        let netlink = |unread: &str| format!("00000000e4d23ba5 0 14 00000000 {unread} 0 0 2 0 31337");
        assert_eq!(inode("netlink", &netlink("64")), Some(31337));
        assert_eq!(inode("netlink", &netlink("0")), None);
        assert_eq!(inode("netlink", "nonsense"), None);
    }
}
