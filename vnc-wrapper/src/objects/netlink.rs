//! Messages of the kernel that wait in a netlink(7) socket.

use std::io;

use super::descriptor::Descriptor;
use super::{Session, Trouble, WAIT};

/// What would be lost of one.
pub(super) fn look(descriptor: &Descriptor<'_>, session: &Session<'_>) -> io::Result<Vec<Trouble>> {
    let Some(inode) = descriptor.socket() else { return Ok(Vec::new()) };
    let waits = session.network(descriptor.process)?.netlink.contains(&inode);
    let trouble = || Trouble::passing("messages of the kernel wait for it that it has not read (netlink)", WAIT);
    Ok(waits.then(trouble).into_iter().collect())
}

/// The inode number of the socket in a line of /proc/net/netlink for which something waits (linux/net/netlink/af_netlink.c).
pub(super) fn waiting(line: &str) -> Option<u64> {
    let fields: Vec<&str> = line.split_whitespace().collect();
    let (unread, inode): (u64, u64) = (fields.get(4)?.parse().ok()?, fields.get(9)?.parse().ok()?);
    (unread > 0 && inode > 0).then_some(inode)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_waits_is_told_by_the_table() {
        let line = |unread: &str| format!("00000000e4d23ba5 0 14 00000000 {unread} 0 0 2 0 31337");
        assert_eq!(waiting(&line("64")), Some(31337));
        assert_eq!(waiting(&line("0")), None);
        assert_eq!(waiting("nonsense"), None);
    }
}
