//! Datagrams of UDP with any sender, as packets with their headers (raw(7)). They never leave the machine, which looks at no
//! checksum of IPv4 that is 0.

use std::net::{IpAddr, SocketAddr};

const UDP: u8 = libc::IPPROTO_UDP as u8;
const HOPS: u8 = 64;

/// The whole packet; both addresses are of one family, else none.
#[must_use]
pub fn udp(from: SocketAddr, to: SocketAddr, bytes: &[u8]) -> Option<Vec<u8>> {
    let length = u16::try_from(8 + bytes.len()).ok()?;
    let mut datagram = Vec::with_capacity(length.into());
    datagram.extend(from.port().to_be_bytes());
    datagram.extend(to.port().to_be_bytes());
    datagram.extend(length.to_be_bytes());
    datagram.extend([0; 2]);
    datagram.extend(bytes);
    let mut packet = Vec::new();
    match (from.ip(), to.ip()) {
        (IpAddr::V4(from), IpAddr::V4(to)) => {
            // Version and length of the header; the kernel fills in length, number and checksum.
            packet.extend([0x45, 0, 0, 0, 0, 0, 0, 0, HOPS, UDP, 0, 0]);
            packet.extend(from.octets());
            packet.extend(to.octets());
        }
        (IpAddr::V6(from), IpAddr::V6(to)) => {
            let addresses = [from.octets(), to.octets()].concat();
            let pseudo = [&addresses[..], &[0, 0], &length.to_be_bytes(), &[0, 0, 0, UDP]].concat();
            let sum = checksum(&[&pseudo[..], &datagram].concat());
            datagram[6..8].copy_from_slice(&sum.to_be_bytes());
            packet.extend([0x60, 0, 0, 0]);
            packet.extend(length.to_be_bytes());
            packet.extend([UDP, HOPS]);
            packet.extend(addresses);
        }
        _ => return None,
    }
    packet.extend(datagram);
    Some(packet)
}

/// That of RFC 1071; 0 means that there is none.
fn checksum(bytes: &[u8]) -> u16 {
    let word = |pair: &[u8]| u32::from(pair[0]) << 8 | pair.get(1).copied().map_or(0, u32::from);
    let mut sum: u32 = bytes.chunks(2).map(word).sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    match !(sum as u16) {
        0 => 0xffff,
        sum => sum,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksums_are_those_of_the_standard() {
        // The example of RFC 1071.
        assert_eq!(checksum(&[0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7]), !0xddf2);
        assert_eq!(checksum(&[0xff, 0xff]), 0xffff);
        assert_eq!(checksum(&[1]), !0x0100);
    }

    #[test]
    fn addresses_of_two_families_make_no_packet() {
        let [v4, v6] = ["1.2.3.4:5", "[::1]:6"].map(|text| text.parse().unwrap());
        assert_eq!(udp(v4, v6, b""), None);
        assert_eq!(udp(v4, v4, b"ab").map(|packet| packet.len()), Some(30));
        assert_eq!(udp(v6, v6, b"ab").map(|packet| packet.len()), Some(50));
        assert_eq!(udp(v4, v4, &vec![0; 65_528]), None);
    }
}
