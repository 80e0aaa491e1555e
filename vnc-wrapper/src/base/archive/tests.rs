//! Archives of friends and strangers, without unpacking them.

use super::*;
use crate::base::header::{Contents, Member, record};

/// A member with any type flag and link.
fn member(name: &str, kind: u8, link: &str, contents: &[u8]) -> Vec<u8> {
    let mut bytes = Member::file("x", 0o644, contents).to_bytes(0);
    bytes[..100].fill(0);
    bytes[..name.len()].copy_from_slice(name.as_bytes());
    bytes[157..157 + link.len()].copy_from_slice(link.as_bytes());
    bytes[156] = kind;
    sum(&mut bytes);
    bytes
}

/// Writes the checksum of the first block anew.
fn sum(bytes: &mut [u8]) {
    bytes[148..156].fill(b' ');
    let sum: u64 = bytes[..BLOCK].iter().map(|b| u64::from(*b)).sum();
    bytes[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
}

/// A small root file system with `extra` in it, not closed.
fn root(extra: &[Vec<u8>]) -> Vec<u8> {
    let mut all = vec![
        member("./", b'5', "", b""),
        member("./etc/", b'5', "", b""),
        member("./etc/passwd", b'0', "", b"root:x:0:0:root:/root:/bin/sh\n"),
        member("./usr/", b'5', "", b""),
        member("./usr/bin/xterm", b'0', "", b"#!"),
    ];
    all.extend_from_slice(extra);
    all.concat()
}

fn closed(mut bytes: Vec<u8>) -> Vec<u8> {
    bytes.extend([0; 2 * BLOCK]);
    bytes
}

fn copied(bytes: &[u8]) -> Result<(Summary, Vec<u8>), String> {
    let mut out = Vec::new();
    let result = copy(&mut &bytes[..], &mut out, "f00d");
    result.map(|summary| (summary, out)).map_err(|e| e.to_string())
}

/// Names of all members of an archive of ours.
fn names(mut bytes: &[u8]) -> Vec<String> {
    let mut names = Vec::new();
    while let Some((block, rest)) = bytes.split_first_chunk::<BLOCK>() {
        if block.iter().all(|b| *b == 0) {
            break;
        }
        let header = parse(block).unwrap();
        names.push(String::from_utf8(header.name).unwrap());
        bytes = &rest[usize::try_from(header.size).unwrap().next_multiple_of(BLOCK)..];
    }
    names
}

#[test]
fn a_root_file_system_passes_with_what_a_session_needs() {
    let (summary, out) = copied(&closed(root(&[]))).unwrap();
    let names = names(&out);
    assert_eq!(names.iter().filter(|n| n.ends_with("etc/passwd")).count(), 1, "the old one is kept back: {names:?}");
    for made in ["etc/hosts", "etc/machine-id", "etc/passwd", "home/user", "proc"] {
        assert!(names.iter().any(|n| n == made), "{made}: {names:?}");
    }
    assert!(summary.programs.contains("xterm"));
    assert_eq!(summary.members, names.len() as u64);
}

#[test]
fn what_would_leave_the_tree_is_refused_with_its_name() {
    let pax = |key: &str, value: &str| member("p", b'x', "", record(key, value).as_bytes());
    let long = |name: &str| member("././@LongLink", b'L', "", name.as_bytes());
    let cases: [(&str, Vec<Vec<u8>>); 9] = [
        ("absolute", vec![member("/etc/cron.d/x", b'0', "", b"x")]),
        ("\"..\"", vec![member("../x", b'0', "", b"x")]),
        ("\"..\"", vec![member("usr/../../x", b'0', "", b"x")]),
        ("absolute", vec![pax("path", "/etc/xx"), member("usr/x", b'0', "", b"x")]),
        ("\"..\"", vec![pax("GNU.sparse.name", "../../xx"), member("usr/x", b'0', "", b"x")]),
        ("absolute", vec![long("/etc/x\0"), member("usr/x", b'0', "", b"x")]),
        ("\"..\"", vec![member("usr/x", b'1', "../../etc/passwd", b"")]),
        ("behind a symbolic link", vec![member("usr/l", b'2', "/etc", b""), member("usr/l/x", b'0', "", b"x")]),
        ("behind a symbolic link", vec![member("l", b'2', "usr/../..", b""), member("./l/a/x", b'5', "", b"")]),
    ];
    for (why, extra) in cases {
        let error = copied(&closed(root(&extra))).unwrap_err();
        assert!(error.contains("outside of the base"), "{error}");
        assert!(error.contains(why), "{error}: {why}");
    }
}

#[test]
fn symbolic_links_themselves_may_point_anywhere() {
    let links = [member("bin", b'2', "usr/bin", b""), member("usr/mtab", b'2', "/proc/mounts", b"")];
    let behind = [member("bin/y", b'0', "", b"y"), member("usr/mtab2", b'0', "", b"")];
    let (_, out) = copied(&closed(root(&[links.concat(), behind.concat()]))).unwrap();
    assert!(names(&out).iter().any(|n| n == "bin/y"));
}

#[test]
fn device_nodes_and_dev_are_left_out() {
    let extra = [
        member("dev/", b'5', "", b""),
        member("./dev/null", b'3', "", b""),
        member("dev/fd", b'2', "/proc/self/fd", b""),
        member("usr/sda", b'4', "", b""),
    ];
    let (summary, out) = copied(&closed(root(&extra))).unwrap();
    let names = names(&out);
    assert_eq!(summary.devices, 2);
    assert!(
        names.iter().any(|n| n == "dev/") && !names.iter().any(|n| n.contains("null") || n.contains("sda")),
        "{names:?}"
    );
}

#[test]
fn extended_headers_go_with_their_member_or_not_at_all() {
    let pax = member("p", b'x', "", record("path", "etc/hosts").as_bytes());
    let (_, out) = copied(&closed(root(&[pax, member("etc/cut", b'0', "", b"127.0.0.1 x\n")]))).unwrap();
    assert!(!names(&out).iter().any(|n| n == "p" || n == "etc/cut"), "{:?}", names(&out));
}

#[test]
fn an_archive_cut_short_anywhere_is_refused() {
    let whole = root(&[member("usr/big", b'0', "", &[7; 3000])]);
    assert!(copied(&closed(whole.clone())).is_ok());
    for length in [1, 511, 700, whole.len() - 1, whole.len() - BLOCK, whole.len() - 2000] {
        let error = copied(&whole[..length]).unwrap_err();
        let fits = if length < BLOCK { error.contains("not a tar") } else { error.contains("cut short") };
        assert!(fits, "{length}: {error}");
    }
    assert!(copied(&whole).unwrap_err().contains("cut short"), "without the mark of its end");
}

#[test]
fn what_is_no_root_file_system_is_told_apart() {
    assert_eq!(copied(b"").unwrap_err(), "it is empty");
    assert_eq!(copied(&closed(Vec::new())).unwrap_err(), "it is empty");
    assert!(copied(&[b'x'; 4096]).unwrap_err().contains("not a tar archive"));
    let photos = closed(member("photo.jpg", b'0', "", b"x"));
    assert_eq!(copied(&photos).unwrap_err(), "it holds no root file system: it has no /usr");
    let image = closed([member("manifest.json", b'0', "", b"[]"), member("a/layer.tar", b'0', "", b"x")].concat());
    assert!(copied(&image).unwrap_err().contains("layers of an image"));
}

#[test]
fn sizes_and_ids_are_bounded() {
    let mut huge = member("usr/x", b'0', "", b"");
    huge[124..136].copy_from_slice(&[0x80, 0, 0, 0, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]);
    sum(&mut huge);
    assert!(copied(&closed(root(&[huge]))).unwrap_err().contains("cut short"));
    let mut extended = member("p", b'x', "", b"");
    extended[124..136].copy_from_slice(b"77777777777\0");
    sum(&mut extended);
    assert!(copied(&closed(root(&[extended]))).unwrap_err().contains("longer than"));
    let mut foreign = member("usr/x", b'0', "", b"");
    foreign[108..116].copy_from_slice(b"0200000\0");
    sum(&mut foreign);
    assert!(copied(&closed(root(&[foreign]))).unwrap_err().contains("belongs to id 65536"));
    let link_with_contents = member("usr/l", b'2', "x", &[1; 512]);
    assert!(copied(&closed(root(&[link_with_contents]))).unwrap_err().contains("cannot have contents"));
}

/// Issue 9, number 15.
#[test]
fn headers_without_end_are_refused() {
    let name = member("x", b'L', "", &vec![b'n'; MAX_PATH]);
    let error = copied(&closed(root(&vec![name; MAX_PRELUDE / MAX_PATH + 1]))).unwrap_err();
    assert!(error.contains("bytes of headers"), "{error}");
}

#[test]
fn no_damage_to_any_byte_makes_it_panic() {
    let good = closed(root(&[
        member("usr/l", b'2', "x", b""),
        member("p", b'x', "", record("path", "usr/hosts").as_bytes()),
        member("usr/h", b'0', "", b"x"),
    ]));
    for at in 0..good.len() {
        let mut bad = good.clone();
        bad[at] ^= 0x55;
        let _ = copied(&bad);
        // And with a checksum that fits.
        let start = at / BLOCK * BLOCK;
        sum(&mut bad[start..start + BLOCK]);
        let _ = copied(&bad);
    }
}

#[test]
fn members_of_ours_have_nothing_in_directories() {
    let bytes = Member { path: "d".into(), mode: 0o755, id: 0, contents: Contents::Directory }.to_bytes(0);
    assert_eq!(bytes.len(), BLOCK);
}

#[test]
fn what_is_put_in_does_not_follow_a_link_out_either() {
    let dpkg = member("./usr/bin/dpkg", b'0', "", b"#!");
    let manuals = [dpkg.clone(), member("./usr/share/man", b'2', "/srv/man", b"")];
    let (_, out) = copied(&closed(root(&manuals))).unwrap();
    let names = names(&out);
    assert!(names.iter().any(|name| name == "etc/dpkg/dpkg.cfg.d/zz-freezeframe"));
    assert!(!names.iter().any(|name| name.contains("man1")), "{names:?}");
    let options = [dpkg, member("./etc/dpkg", b'2', "../../etc/dpkg", b"")];
    let refused = copied(&closed(root(&options))).unwrap_err();
    assert!(refused.contains("zz-freezeframe") && refused.contains("symbolic link"), "{refused}");
}
