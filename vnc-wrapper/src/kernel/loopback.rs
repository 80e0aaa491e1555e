//! The loopback interface of a new network namespace, which starts down (netdevice(7)).

use std::io;
use std::net::Ipv4Addr;
use std::os::fd::AsRawFd;

use nix::errno::Errno;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socket};

use super::namespaces;

/// Brings `lo` of this network namespace up; the kernel then gives it 127.0.0.1 and ::1.
///
/// # Errors
/// When this process has no CAP_NET_ADMIN in the namespace.
pub fn bring_up() -> io::Result<()> {
    let control = socket(AddressFamily::Inet, SockType::Datagram, SockFlag::SOCK_CLOEXEC, None)?;
    // SAFETY: ifreq is plain data, for which all zeroes is a value.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(b"lo\0") {
        *to = *from as libc::c_char;
    }
    request.ifr_ifru.ifru_flags = (libc::IFF_UP | libc::IFF_RUNNING) as libc::c_short;
    // SAFETY: SIOCSIFFLAGS reads one ifreq, which lives until the call returns.
    Errno::result(unsafe { libc::ioctl(control.as_raw_fd(), libc::SIOCSIFFLAGS, &raw const request) })?;
    Ok(())
}

/// Gives the loopback interface of the network namespace of process `of` the address `own`, and every route: sockets of a
/// session that had a way out find what they need, and nothing leaves.
///
/// # Errors
/// When we have no CAP_NET_ADMIN there.
pub fn stand_in(of: u32, own: Ipv4Addr) -> io::Result<()> {
    namespaces::in_network_of(of, || {
        bring_up()?;
        add_address(own)?;
        route_all()
    })
}

fn ipv4(address: Ipv4Addr) -> libc::sockaddr {
    // SAFETY: sockaddr is plain data, for which all zeroes is a value.
    let mut wanted: libc::sockaddr = unsafe { std::mem::zeroed() };
    wanted.sa_family = libc::AF_INET as libc::sa_family_t;
    // As in sockaddr_in: two bytes of port, four of address.
    for (to, from) in wanted.sa_data[2..6].iter_mut().zip(address.octets()) {
        *to = from as libc::c_char;
    }
    wanted
}

fn add_address(address: Ipv4Addr) -> io::Result<()> {
    let control = socket(AddressFamily::Inet, SockType::Datagram, SockFlag::SOCK_CLOEXEC, None)?;
    // SAFETY: ifreq is plain data, for which all zeroes is a value.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(b"lo:1\0") {
        *to = *from as libc::c_char;
    }
    request.ifr_ifru.ifru_addr = ipv4(address);
    // SAFETY: SIOCSIFADDR reads one ifreq, which lives until the call returns.
    Errno::result(unsafe { libc::ioctl(control.as_raw_fd(), libc::SIOCSIFADDR, &raw const request) })?;
    Ok(())
}

fn route_all() -> io::Result<()> {
    let control = socket(AddressFamily::Inet, SockType::Datagram, SockFlag::SOCK_CLOEXEC, None)?;
    let mut device = *b"lo\0";
    // SAFETY: rtentry is plain data, for which all zeroes is a value.
    let mut request: libc::rtentry = unsafe { std::mem::zeroed() };
    request.rt_dst = ipv4(Ipv4Addr::UNSPECIFIED);
    request.rt_genmask = ipv4(Ipv4Addr::UNSPECIFIED);
    request.rt_flags = libc::RTF_UP;
    request.rt_dev = device.as_mut_ptr().cast();
    // SAFETY: SIOCADDRT reads one rtentry and the name that it points to, which both live until the call returns.
    Errno::result(unsafe { libc::ioctl(control.as_raw_fd(), libc::SIOCADDRT, &raw const request) })?;
    Ok(())
}
