use super::*;
use crate::record::objects::{Pipe, PipeEnd};
use crate::sys::descriptor;
use rustix::fs::{Mode, OFlags};
use rustix::io::write;
use rustix::pipe::{PipeFlags, fcntl_setpipe_size, pipe_with};

const AGAIN: Option<i32> = Some(libc::EAGAIN);

/// The records of the pipe with all `ends` of the guest, the first for reading if there is one.
fn taken(world: &World, ends: &[usize]) -> (Pipe, Vec<PipeEnd>) {
    let (pipe, records) = world.untouched(|| {
        let pipe = pipe::take(&world.seen(ends[0]), 7).unwrap();
        let end = |at: &usize| pipe::take_end(&world.seen(*at), *at as u32 + 1, 7).unwrap();
        (pipe, ends.iter().map(end).collect::<Vec<PipeEnd>>())
    });
    (stored(pipe), records.into_iter().map(stored).collect())
}

fn given(pipe: &Pipe, ends: &[PipeEnd]) -> Vec<OwnedFd> {
    pipe::give(pipe, &ends.iter().collect::<Vec<_>>(), &Nowhere).unwrap()
}

/// Flags, and what is ready.
fn shown(descriptor: BorrowedFd<'_>) -> (u32, i16) {
    (descriptor::flags(descriptor).unwrap(), ready(descriptor))
}

/// A guest that another test forks has what this process has open, for a moment: only then are all ends closed that are.
fn shows(made: &OwnedFd, expected: (u32, i16)) {
    until(&format!("it shows {expected:?}"), || shown(made.as_fd()) == expected);
}

/// Takes the pipe and gives it here.
fn again(world: &World, ends: &[usize]) -> (Pipe, Vec<OwnedFd>) {
    let (pipe, records) = taken(world, ends);
    let made = given(&pipe, &records);
    for (at, made) in ends.iter().zip(&made) {
        shows(made, shown(world.seen(*at).copy()));
    }
    (pipe, made)
}

/// The same for a FIFO, which is one for the guest and for us: the guest ends before.
fn again_without(world: World, ends: &[usize]) -> (Pipe, Vec<OwnedFd>) {
    let (pipe, records) = taken(&world, ends);
    let before: Vec<_> = ends.iter().map(|at| shown(world.seen(*at).copy())).collect();
    drop(world);
    let made = given(&pipe, &records);
    made.iter().zip(before).for_each(|(made, before)| shows(made, before));
    (pipe, made)
}

/// What is read from a made end is what is read from the guest's.
fn read_alike(world: &World, at: usize, made: &OwnedFd) -> (Vec<Vec<u8>>, Option<i32>) {
    let theirs = world.seen(at);
    nonblocking(theirs.copy());
    nonblocking(made.as_fd());
    let (ours, theirs) = (reads(made.as_fd()), reads(theirs.copy()));
    assert_eq!(ours, theirs);
    ours
}

#[test]
fn what_waits_in_a_pipe_is_copied_and_stays() {
    as_both_users("objects::tests::pipes::what_waits_in_a_pipe_is_copied_and_stays", || {
        let world = World::new(|_| {
            let (from, to) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK).unwrap();
            write(&to, &vec![b'a'; 20_000]).unwrap();
            write(&to, b"end").unwrap();
            rustix::io::read(&from, &mut [0; 10]).unwrap();
            vec![from, to]
        });
        let (pipe, made) = again(&world, &[0, 1]);
        assert_eq!((pipe.capacity, pipe.queue.len(), pipe.packets.len()), (65_536, 1, 0));
        let (read, end) = read_alike(&world, 0, &made[0]);
        assert_eq!((read[0].len(), &read[0][19_990..], end), (19_993, &b"end"[..], AGAIN));
        write(&made[1], b"more").unwrap();
        assert_eq!(reads(made[0].as_fd()).0, [b"more"]);
    });
}

#[test]
fn a_full_pipe_of_another_capacity_is_full_again() {
    let world = World::new(|_| {
        let (from, to) = pipe_with(PipeFlags::NONBLOCK).unwrap();
        fcntl_setpipe_size(&to, 8192).unwrap();
        write(&to, &[b'a'; 8192]).unwrap();
        vec![from, to]
    });
    let (pipe, made) = again(&world, &[0, 1]);
    assert_eq!(pipe.capacity, 8192);
    assert_eq!(write(&made[1], b"x"), Err(rustix::io::Errno::AGAIN));
    read_alike(&world, 0, &made[0]);
}

#[test]
fn packets_stay_packets_and_what_is_between_them_does_not_become_one() {
    let world = World::new(|_| {
        let (from, to) = pipe_with(PipeFlags::DIRECT | PipeFlags::NONBLOCK).unwrap();
        for packet in [&b"a"[..], b"bcd", &[b'e'; 4096], b"f"] {
            write(&to, packet).unwrap();
        }
        let flags = descriptor::flags(to.as_fd()).unwrap();
        descriptor::set_flags(to.as_fd(), flags & !(libc::O_DIRECT as u32)).unwrap();
        write(&to, b"plain ").unwrap();
        write(&to, b"text").unwrap();
        descriptor::set_flags(to.as_fd(), flags).unwrap();
        // One that a write would append to the text.
        write(&to, &[b'g'; 4095]).unwrap();
        write(&to, b"h").unwrap();
        vec![from, to]
    });
    let (pipe, made) = again(&world, &[0, 1]);
    assert_eq!(&pipe.packets[..], [true, true, true, true, false, true, true]);
    let (read, _) = read_alike(&world, 0, &made[0]);
    assert_eq!(read.len(), 6, "the text ends with the packet behind it");
    // A single packet is one too.
    let world = World::new(|_| {
        let (from, to) = pipe_with(PipeFlags::DIRECT | PipeFlags::NONBLOCK).unwrap();
        write(&to, b"only").unwrap();
        vec![from, to]
    });
    let (_, made) = again(&world, &[0, 1]);
    rustix::io::read(&made[0], &mut [0; 1]).unwrap();
    assert_eq!(reads(made[0].as_fd()), (vec![], AGAIN));
}

#[test]
fn a_pipe_that_nobody_writes_ends_and_one_that_nobody_reads_breaks() {
    let world = World::new(|_| {
        let (from, to) = pipe_with(PipeFlags::CLOEXEC).unwrap();
        write(&to, b"last").unwrap();
        drop(to);
        let (closed, left) = pipe_with(PipeFlags::CLOEXEC).unwrap();
        drop(closed);
        vec![from, left]
    });
    let (_, made) = again(&world, &[0]);
    assert_eq!(ready(&made[0]), libc::POLLIN | libc::POLLHUP);
    assert_eq!(read_alike(&world, 0, &made[0]), (vec![b"last".to_vec()], None));
    let (_, made) = again(&world, &[1]);
    assert_eq!(ready(&made[0]), libc::POLLOUT | libc::POLLERR);
}

#[test]
fn ends_that_were_opened_once_more_are_descriptions_too() {
    let world = World::new(|_| {
        let (from, to) = pipe_with(PipeFlags::CLOEXEC).unwrap();
        let more = [libc::O_RDONLY, libc::O_WRONLY, libc::O_RDWR | libc::O_NONBLOCK];
        let more = more.map(|flags| descriptor::reopen(from.as_fd(), flags as u32).unwrap());
        write(&to, b"x").unwrap();
        [from, to].into_iter().chain(more).collect()
    });
    let (_, made) = again(&world, &[0, 1, 2, 3, 4]);
    assert_eq!(made.len(), 5);
    let mut same = same::Descriptions::new();
    let own = std::process::id() as i32;
    for made in &made {
        use std::os::fd::AsRawFd;
        assert!(same.number(own, made.as_raw_fd()).unwrap().1, "each is one of its own");
    }
    read_alike(&world, 2, &made[2]);
}

#[test]
fn a_fifo_is_opened_at_its_place_and_its_readers_get_hang_ups_as_before() {
    let name = "objects::tests::pipes::a_fifo_is_opened_at_its_place_and_its_readers_get_hang_ups_as_before";
    as_both_users(name, || {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("fifo");
        let open =
            |flags: OFlags| rustix::fs::open(&path, flags | OFlags::NONBLOCK | OFlags::CLOEXEC, Mode::empty()).unwrap();
        rustix::fs::mkfifoat(rustix::fs::CWD, &path, Mode::from_raw_mode(0o600)).unwrap();
        // A reader before any writer; one that had a writer, and one that came after.
        let (pipe, made) = again_without(World::new(|_| vec![open(OFlags::RDONLY)]), &[0]);
        assert_eq!((ready(&made[0]), pipe.path.is_some()), (0, true));
        drop(made);
        let world = World::new(|_| {
            let met = open(OFlags::RDONLY);
            let writer = open(OFlags::WRONLY);
            write(&writer, b"left").unwrap();
            drop(writer);
            vec![met, open(OFlags::RDONLY)]
        });
        let (_, made) = again_without(world, &[0, 1]);
        assert_eq!((ready(&made[0]), ready(&made[1])), (libc::POLLIN | libc::POLLHUP, libc::POLLIN));
        assert_eq!(reads(made[1].as_fd()), (vec![b"left".to_vec()], None));
        drop(made);
        // Only a writer: what waits is for the next reader.
        let world = World::new(|_| {
            let reader = open(OFlags::RDONLY);
            let writer = open(OFlags::WRONLY | OFlags::APPEND);
            write(&writer, b"waits").unwrap();
            drop(reader);
            vec![writer]
        });
        let (_, made) = again_without(world, &[0]);
        assert_eq!(ready(&made[0]), libc::POLLOUT | libc::POLLERR);
        assert_eq!(reads(open(OFlags::RDONLY).as_fd()).0, [b"waits"]);
    });
}

#[test]
fn a_fifo_without_a_name_is_found_before_a_save() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("fifo");
    rustix::fs::mkfifoat(rustix::fs::CWD, &path, Mode::from_raw_mode(0o600)).unwrap();
    let world = World::new(|_| {
        let both = rustix::fs::open(&path, OFlags::RDWR | OFlags::CLOEXEC, Mode::empty()).unwrap();
        std::fs::remove_file(&path).unwrap();
        vec![both]
    });
    assert!(pipe::look(&world.seen(0)).is_some_and(|finding| finding.blocking));
    assert!(pipe::take(&world.seen(0), 1).unwrap_err().to_string().contains("no name any more"));
}
