//! Internet sockets of a session. What all have sent is read before what any has received; see [`crate::objects::inet::tcp`].

use std::collections::BTreeMap;
use std::fs;
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use libc::pid_t;

use super::Error;
use super::sockets::Inside;
use super::table::{Descriptions, Later};
use crate::objects::Seen;
use crate::objects::inet::network::Network;
use crate::objects::inet::{Which, tcp, udp};
use crate::record::inet::Inet;
use crate::sys::{diag, inet as calls};

/// How often all sockets are listed, until that is done within so short a time.
const TRIES: u32 = 20;
const AT_ONCE: Duration = Duration::from_millis(5);

/// The internet sockets that were found.
#[derive(Default)]
pub(super) struct InetSockets {
    tcp: Vec<Later>,
    udp: Vec<Later>,
    /// Numbers of descriptions, by inode.
    numbers: BTreeMap<u64, u32>,
    /// How many UDP sockets have a port.
    ports: BTreeMap<u16, u32>,
}

impl InetSockets {
    /// One more, of process `pid`.
    pub(super) fn add(&mut self, pid: pid_t, seen: &Seen, which: Which, id: u32) -> Result<(), Error> {
        let later = Later { pid, tid: seen.pid, number: seen.number, id };
        match which {
            Which::Tcp => {
                self.numbers.insert(seen.stat.st_ino, id);
                self.tcp.push(later);
            }
            Which::Udp => {
                let name = calls::name(seen.copy(), false).map_err(Error::read(pid, seen.pid, "a socket's address"))?;
                *self.ports.entry(name.map_or(0, |name| name.port())).or_default() += 1;
                self.udp.push(later);
            }
            Which::Other(name) => {
                let what = format!("descriptor {}, {} ({name})", seen.number, seen.link.escape_ascii());
                return Err(Error::refused(pid, what, "this kind of socket cannot be recorded"));
            }
        }
        Ok(())
    }
}

impl Descriptions<'_> {
    /// The records of all internet sockets.
    pub(super) fn finish_inet(&mut self, inside: &mut Inside<'_, '_>) -> Result<(), Error> {
        let found = std::mem::take(&mut self.inet);
        for later in found.tcp.iter().chain(&found.udp) {
            in_namespace_of(inside.pid, later)?;
        }
        self.finish_tcp(&found, inside)?;
        if found.udp.is_empty() {
            return Ok(());
        }
        let groups = groups(inside.pid);
        for later in &found.udp {
            let (pid, seen) = (later.pid, later.seen()?);
            let name = calls::name(seen.copy(), false).map_err(Error::read(pid, seen.pid, "a socket's address"))?;
            let shared = name.and_then(|name| found.ports.get(&name.port())).is_some_and(|count| *count > 1);
            self.judge(pid, udp::look(&seen, shared).map_err(Error::object(pid))?)?;
            let mut record = udp::take(&seen, later.id, &groups).map_err(Error::object(pid))?;
            self.own(&mut record.inet);
            self.keep(record.into());
        }
        Ok(())
    }

    fn finish_tcp(&mut self, found: &InetSockets, inside: &mut Inside<'_, '_>) -> Result<(), Error> {
        if found.tcp.is_empty() {
            return Ok(());
        }
        let netlink = inside.netlink()?;
        let mut all = Vec::new();
        // Which of two that wait came first shows by their age: all are to be asked at once.
        for _ in 0..TRIES {
            let begun = Instant::now();
            let read = Error::read(inside.pid, inside.tid, "its TCP sockets");
            all = diag::tcp(netlink.as_fd()).map_err(read)?;
            if begun.elapsed() < AT_ONCE {
                break;
            }
        }
        let network = Network::new(all);
        let known = |inode: u64| found.numbers.get(&inode).copied();
        let mut begun = Vec::new();
        for later in &found.tcp {
            let (pid, seen) = (later.pid, later.seen()?);
            for finding in tcp::look(&seen, &network, &known).map_err(Error::object(pid))? {
                self.judge(pid, Some(finding))?;
            }
            begun.push(tcp::begin(&seen, &network, &known).map_err(Error::object(pid))?);
        }
        for (later, begun) in found.tcp.iter().zip(begun) {
            let (pid, seen) = (later.pid, later.seen()?);
            let mut record = tcp::take(&seen, later.id, begun, &network, &known).map_err(Error::object(pid))?;
            self.own(&mut record.inet);
            self.keep(record.into());
        }
        Ok(())
    }

    /// Names whose it is as the session does.
    fn own(&self, inet: &mut Inet) {
        let (user, group) = self.view.owner(inet.user, inet.group);
        // Somebody outside is nobody in the session: there it belongs to its root.
        let inside = |id: u32| if id == u32::MAX { 0 } else { id };
        (inet.user, inet.group) = (inside(user), inside(group));
    }
}

/// Refuses a socket of another net namespace than the session's first process is in.
fn in_namespace_of(first: pid_t, later: &Later) -> Result<(), Error> {
    let seen = later.seen()?;
    let read = || Error::read(later.pid, seen.pid, "a socket's net namespace");
    let theirs = match calls::namespace(seen.copy()) {
        Ok(theirs) => rustix::fs::fstat(&theirs).map_err(|error| read()(error.into()))?,
        // Without rights in it there is nothing that could be looked at in a connection either, and that is said then.
        Err(error) if error.raw_os_error() == Some(libc::EPERM) => return Ok(()),
        Err(error) => return Err(read()(error)),
    };
    let ours = fs::metadata(format!("/proc/{first}/ns/net")).map_err(read())?;
    if (ours.dev(), ours.ino()) == (theirs.st_dev, theirs.st_ino) {
        return Ok(());
    }
    let what = format!("descriptor {}, {}", seen.number, seen.link.escape_ascii());
    Err(Error::refused(later.pid, what, "it is of another net namespace than the session's"))
}

/// The groups in the net namespace of a process.
fn groups(pid: pid_t) -> Vec<udp::Group> {
    // A kernel without multicast, or without IPv6, has no such file.
    let read = |name: &str| fs::read_to_string(PathBuf::from(format!("/proc/{pid}/net/{name}"))).unwrap_or_default();
    udp::groups(&read("igmp"), &read("igmp6"))
}
