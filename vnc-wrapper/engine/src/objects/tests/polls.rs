use super::*;
use crate::record::objects::Epoll;
use crate::sys::descriptor;
use same::Descriptions;
use std::collections::BTreeMap;
use std::os::fd::AsRawFd;

const IN: u32 = libc::EPOLLIN as u32;

/// What the instance gives: data and events.
fn given(epoll: BorrowedFd<'_>) -> BTreeMap<u64, u32> {
    descriptor::events(epoll, 16).unwrap().into_iter().map(|(events, data)| (data, events)).collect()
}

/// The record of the instance that stands first, and all descriptions of the guest by their places.
fn taken(world: &World, count: usize) -> (Epoll, Vec<u32>) {
    let mut known = Descriptions::new();
    let numbers: Vec<u32> = (0..count).map(|at| known.number(world.guest.pid, world.number(at)).unwrap().0).collect();
    let seen = world.seen(0);
    assert_eq!(epoll::look(&seen, &known).unwrap(), None);
    (stored(world.untouched(|| epoll::take(&seen, numbers[0], &known).unwrap())), numbers)
}

/// Gives the instance with `targets` for the guest's descriptions 1 and on.
fn again(record: &Epoll, numbers: &[u32], targets: &[OwnedFd]) -> OwnedFd {
    let made = epoll::give(record).unwrap();
    let find = |id: u32| {
        let at = numbers.iter().position(|number| *number == id)?;
        targets.get(at.checked_sub(1)?).map(AsFd::as_fd)
    };
    epoll::give_watches(made.as_fd(), record, find).unwrap();
    made
}

fn eventfd(count: u64) -> OwnedFd {
    let made = descriptor::eventfd(false).unwrap();
    rustix::io::write(&made, &count.to_ne_bytes()).unwrap();
    made
}

#[test]
fn an_instance_watches_what_it_watched_under_the_same_numbers() {
    as_both_users("objects::tests::polls::an_instance_watches_what_it_watched_under_the_same_numbers", || {
        let world = World::new(|_| {
            let (epoll, full, empty) = (descriptor::epoll().unwrap(), eventfd(1), eventfd(0));
            for (target, data) in [(&full, 11), (&empty, 12)] {
                let number = target.as_raw_fd();
                descriptor::watch(epoll.as_fd(), target.as_fd(), number, IN, data).unwrap();
            }
            vec![epoll, full, empty]
        });
        let (record, numbers) = taken(&world, 3);
        let targets = [eventfd(1), eventfd(0)];
        let made = again(&record, &numbers, &targets);
        assert_eq!(given(made.as_fd()), BTreeMap::from([(11, IN)]));
        rustix::io::write(&targets[1], &1u64.to_ne_bytes()).unwrap();
        assert_eq!(given(made.as_fd()), BTreeMap::from([(11, IN), (12, IN)]));
        let info = fdinfo::read(Path::new("/proc/self"), made.as_raw_fd()).unwrap();
        let fdinfo::Kind::Poll(watches) = info.kind else { panic!("{info:?}") };
        let watched: Vec<i32> = watches.iter().map(|watch| watch.descriptor).collect();
        assert!([1, 2].iter().all(|at| watched.contains(&world.number(*at))), "{watched:?}");
    });
}

#[test]
fn a_watch_of_a_number_that_is_closed_or_another_files_by_now_is_kept() {
    let world = World::new(|_| {
        let (epoll, first, second) = (descriptor::epoll().unwrap(), eventfd(1), eventfd(1));
        // The same number twice, for two files; both are open under other numbers only.
        for (target, data) in [(&first, 21), (&second, 22)] {
            descriptor::watch(epoll.as_fd(), target.as_fd(), 200, IN, data).unwrap();
        }
        vec![epoll, first, second]
    });
    let (record, numbers) = taken(&world, 3);
    assert!(record.watches.iter().all(|watch| watch.number == 200));
    let targets = [eventfd(1), eventfd(0)];
    let made = again(&record, &numbers, &targets);
    assert_eq!(given(made.as_fd()), BTreeMap::from([(21, IN)]), "which is which");
}

#[test]
fn an_event_that_is_given_once_is_not_given_again() {
    let once = IN | libc::EPOLLONESHOT as u32;
    let world = World::new(|_| {
        let (epoll, spent, armed) = (descriptor::epoll().unwrap(), eventfd(1), eventfd(0));
        for (target, data) in [(&spent, 31), (&armed, 32)] {
            descriptor::watch(epoll.as_fd(), target.as_fd(), target.as_raw_fd(), once, data).unwrap();
        }
        assert_eq!(given(epoll.as_fd()), BTreeMap::from([(31, IN)]));
        vec![epoll, spent, armed]
    });
    let (record, numbers) = taken(&world, 3);
    let targets = [eventfd(1), eventfd(0)];
    let made = again(&record, &numbers, &targets);
    assert_eq!(given(made.as_fd()), BTreeMap::new());
    rustix::io::write(&targets[1], &1u64.to_ne_bytes()).unwrap();
    assert_eq!(given(made.as_fd()), BTreeMap::from([(32, IN)]));
    assert_eq!(given(made.as_fd()), BTreeMap::new());
}

#[test]
fn instances_watch_one_another() {
    let world = World::new(|_| {
        let (outer, inner) = (descriptor::epoll().unwrap(), descriptor::epoll().unwrap());
        descriptor::watch(outer.as_fd(), inner.as_fd(), inner.as_raw_fd(), IN, 41).unwrap();
        vec![outer, inner]
    });
    let (record, numbers) = taken(&world, 2);
    let (inner, ready) = (descriptor::epoll().unwrap(), eventfd(1));
    descriptor::watch(inner.as_fd(), ready.as_fd(), ready.as_raw_fd(), IN, 42).unwrap();
    let targets = [inner];
    let made = again(&record, &numbers, &targets);
    assert_eq!(given(made.as_fd()), BTreeMap::from([(41, IN)]));
}

#[test]
fn a_watch_of_what_nobody_has_open_is_found_before_a_save() {
    let world = World::new(|_| {
        let (epoll, kept) = (descriptor::epoll().unwrap(), eventfd(0));
        descriptor::watch(epoll.as_fd(), kept.as_fd(), kept.as_raw_fd(), IN, 1).unwrap();
        vec![epoll, kept]
    });
    let mut known = Descriptions::new();
    known.number(world.guest.pid, world.number(0)).unwrap();
    let finding = epoll::look(&world.seen(0), &known).unwrap().unwrap();
    assert!(finding.blocking && finding.lost.contains("nobody has open"), "{finding:?}");
    assert!(epoll::take(&world.seen(0), 1, &known).is_err());
}

#[test]
fn descriptors_that_share_a_description_have_one_number() {
    let world = World::new(|_| {
        let one = eventfd(0);
        let copies = [one.try_clone().unwrap(), eventfd(0), one.try_clone().unwrap()];
        std::iter::once(one).chain(copies).collect()
    });
    let mut known = Descriptions::new();
    let all: Vec<(u32, bool)> = (0..4).map(|at| known.number(world.guest.pid, world.number(at)).unwrap()).collect();
    assert_eq!(all, [(1, true), (1, false), (2, true), (1, false)]);
    // A copy of ours shares it as well.
    let copy = world.seen(2);
    assert_eq!(known.number(std::process::id() as i32, copy.copy().as_raw_fd()).unwrap(), (2, false));
}
