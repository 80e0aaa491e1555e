//! What waits in pseudo-terminals is read and put back.

use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;

use proptest::prelude::*;

use super::reads;
use crate::objects::pty::queue::{self, Ends, Queues};
use crate::sys::guests::until;
use crate::sys::terminal::{self, Settings};
use crate::testing::as_both_users;

const BOTH: u32 = (libc::O_RDWR | libc::O_NONBLOCK) as u32;

/// Both ends of a new pseudo-terminal, which nobody waits for.
fn pair() -> (OwnedFd, OwnedFd) {
    let flags = libc::O_NONBLOCK | libc::O_NOCTTY;
    let master: OwnedFd = File::options().read(true).write(true).custom_flags(flags).open("/dev/ptmx").unwrap().into();
    terminal::set_locked(master.as_fd(), false).unwrap();
    let slave = terminal::peer(master.as_fd(), BOTH).unwrap();
    (master, slave)
}

/// Types `bytes`.
fn types((master, _): &(OwnedFd, OwnedFd), bytes: &[u8]) {
    for piece in bytes.chunks(256) {
        assert_eq!(rustix::io::write(master, piece).unwrap(), piece.len());
    }
}

fn set((master, _): &(OwnedFd, OwnedFd), change: impl FnOnce(&mut Settings)) -> Settings {
    let mut settings = terminal::settings(master.as_fd()).unwrap();
    change(&mut settings);
    terminal::set_settings(master.as_fd(), &settings).unwrap();
    terminal::settings(master.as_fd()).unwrap()
}

/// What the kernel shows of both ends.
fn shown((master, slave): &(OwnedFd, OwnedFd)) -> impl PartialEq + std::fmt::Debug {
    let flags = |end: &OwnedFd| crate::sys::descriptor::flags(end.as_fd()).unwrap();
    (
        terminal::settings(master.as_fd()).unwrap(),
        terminal::packet(master.as_fd()).unwrap(),
        [queue::unread(master.as_fd()).unwrap(), queue::unread(slave.as_fd()).unwrap()],
        [super::ready(master), super::ready(slave)],
        [flags(master), flags(slave)],
    )
}

/// Takes what waits, leaving it; gives it to another one; and both have the same.
fn keeps(pair: &(OwnedFd, OwnedFd)) -> Queues {
    let before = shown(pair);
    let taken = queue::take(Ends::new(&pair.0, &pair.1)).unwrap();
    // Echo that waits until output goes on is shown.
    assert!(taken.stopped || shown(pair) == before, "{:?} was {before:?}", shown(pair));
    assert_eq!(queue::take(Ends::new(&pair.0, &pair.1)).unwrap(), taken, "it was not put back as it was");
    let other = self::pair();
    let settings = terminal::settings(pair.0.as_fd()).unwrap();
    queue::give(Ends::new(&other.0, &other.1), &settings, &taken).unwrap();
    assert_eq!(queue::take(Ends::new(&other.0, &other.1)).unwrap(), taken, "it was not given");
    // As programs see it: lines, and what is typed behind them.
    for pair in [pair, &other] {
        if taken.stopped {
            terminal::flow(pair.1.as_fd(), true).unwrap();
            terminal::flow(pair.1.as_fd(), false).unwrap();
        }
    }
    assert_eq!(reads(pair.0.as_fd()), reads(other.0.as_fd()));
    if !taken.typed.is_empty() && !taken.lines.is_empty() {
        let lines = |end: &OwnedFd| (0..taken.lines.len()).map(|_| line(end)).collect::<Vec<_>>();
        assert_eq!(lines(&pair.1), lines(&other.1));
    }
    taken
}

fn line(slave: &OwnedFd) -> Vec<u8> {
    let mut bytes = vec![0; 8192];
    let read = rustix::io::read(slave, &mut bytes).unwrap();
    bytes.truncate(read);
    bytes
}

fn waiting(pair: &(OwnedFd, OwnedFd), count: usize) {
    until("what was typed arrives", || queue::unread(pair.1.as_fd()).unwrap() == count);
}

#[test]
fn issue_10_typed_lines_partial_lines_and_end_of_file_are_kept() {
    as_both_users("objects::tests::terminals::issue_10_typed_lines_partial_lines_and_end_of_file_are_kept", || {
        let pair = pair();
        types(&pair, b"first\nsecond\n\x04end\x04\x16\x03 literal\x16\n\x16\x04\nhal");
        waiting(&pair, 5 + 1 + 6 + 1 + 3 + 11 + 1);
        let taken = keeps(&pair);
        let lines: Vec<(&[u8], bool)> = taken.lines.iter().map(|(bytes, end)| (&bytes[..], *end)).collect();
        let right: [(&[u8], bool); 5] =
            [(b"first\n", false), (b"second\n", false), (b"", true), (b"end", true), (b"\x03 literal\n\x04\n", false)];
        assert_eq!((lines, &taken.typed[..]), (right.to_vec(), &b"hal"[..]));
        // The line goes on where it was: what was typed can be erased.
        types(&pair, b"\x7f\x7fello\n");
        waiting(&pair, 6);
        assert_eq!(line(&pair.1), b"hello\n");
    });
}

#[test]
fn issue_10_output_is_kept_in_packet_mode_and_where_it_was_stopped() {
    as_both_users("objects::tests::terminals::issue_10_output_is_kept_in_packet_mode_and_where_it_was_stopped", || {
        let pair = pair();
        terminal::set_packet(pair.0.as_fd(), true).unwrap();
        let output = [b'o'; 6000];
        assert_eq!(rustix::io::write(&pair.1, &output).unwrap(), output.len());
        until("as much has arrived as fits", || queue::unread(pair.0.as_fd()).unwrap() == 4095);
        let before = shown(&pair);
        assert_eq!(queue::take(Ends::new(&pair.0, &pair.1)).unwrap().output, output);
        assert_eq!(shown(&pair), before);
        terminal::set_packet(pair.0.as_fd(), false).unwrap();
        for by_key in [true, false] {
            if by_key {
                types(&pair, b"\x13");
                until("output stops", || super::ready(&pair.1) & libc::POLLOUT == 0);
            } else {
                set(&pair, |settings| settings.input &= !libc::IXON);
                terminal::flow(pair.1.as_fd(), true).unwrap();
            }
            let taken = keeps(&pair);
            assert!(taken.stopped);
            assert_eq!(taken.output, if by_key { &output[..] } else { &[] });
        }
    });
}

#[test]
fn issue_10_raw_bytes_are_kept() {
    as_both_users("objects::tests::terminals::issue_10_raw_bytes_are_kept", || {
        let pair = pair();
        set(&pair, |settings| (settings.local, settings.input, settings.output) = (0, 0, 0));
        let all: Vec<u8> = (0..=255).chain(0..=255).collect();
        types(&pair, &all);
        waiting(&pair, all.len());
        assert_eq!(keeps(&pair).typed, all);
        assert_eq!(reads(pair.1.as_fd()).0.concat(), all);
    });
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]

    /// Whatever was typed and shown, in whatever settings, is the same after it was looked at and in another terminal.
    #[test]
    fn issue_10_whatever_waits_is_kept(
        typed in proptest::collection::vec(
            prop_oneof![Just(b'\n'), Just(4), Just(0x16), Just(0x13), Just(b'x'), Just(0x7f), any::<u8>()],
            0..200,
        ),
        shown in proptest::collection::vec(any::<u8>(), 0..300),
        bits in any::<[bool; 7]>(),
        ends in any::<[u8; 2]>(),
    ) {
        let pair = pair();
        set(&pair, |settings| {
            let set = |flags: &mut u32, bit: u32, on: bool| if on { *flags |= bit } else { *flags &= !bit };
            let [canonical, echo, extended, flow, translate, marks, post] = bits;
            set(&mut settings.local, libc::ICANON, canonical);
            set(&mut settings.local, libc::ECHO, echo);
            set(&mut settings.local, libc::IEXTEN, extended);
            set(&mut settings.local, libc::ISIG, false);
            set(&mut settings.input, libc::IXON, flow);
            set(&mut settings.input, libc::ICRNL, translate);
            set(&mut settings.input, libc::PARMRK, marks);
            set(&mut settings.output, libc::OPOST, post);
            settings.characters[libc::VEOL] = ends[0];
            settings.characters[libc::VEOL2] = ends[1];
        });
        let _ = rustix::io::write(&pair.1, &shown);
        types(&pair, &typed);
        // Until all has arrived, at the latest with what was typed last.
        let mut last = None;
        until("all has arrived", || {
            let now = format!("{:?}", self::shown(&pair));
            let same = last.as_ref() == Some(&now);
            last = Some(now);
            same
        });
        keeps(&pair);
    }
}
