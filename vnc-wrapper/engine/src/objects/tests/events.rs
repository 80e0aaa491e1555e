use super::*;
use crate::process::fdinfo::Kind as Info;
use crate::sys::descriptor;
use std::time::Duration;

const AGAIN: Option<i32> = Some(libc::EAGAIN);

#[test]
fn an_eventfd_has_its_count_and_stays_a_semaphore() {
    as_both_users("objects::tests::events::an_eventfd_has_its_count_and_stays_a_semaphore", || {
        let world = World::new(|_| {
            let made =
                [(false, 0), (false, 5), (true, 2), (false, u64::MAX - 1)].map(|(semaphore, count): (bool, u64)| {
                    let made = descriptor::eventfd(semaphore).unwrap();
                    rustix::io::write(&made, &count.to_ne_bytes()).unwrap();
                    made
                });
            nonblocking(made[2].as_fd());
            made.into_iter().collect()
        });
        for at in 0..4 {
            let seen = world.seen(at);
            assert_eq!(kind::Kind::of(&seen), kind::Kind::Event);
            let record = stored(world.untouched(|| event::take(&seen, 1).unwrap()));
            let made = event::give(&record).unwrap();
            assert_eq!(descriptor::flags(made.as_fd()).unwrap(), descriptor::flags(seen.copy()).unwrap());
            assert_eq!(ready(&made), ready(seen.copy()));
            if matches!(seen.info.kind, Info::Event { semaphore: Some(_), .. }) {
                assert_eq!(event::look(&seen), None);
                nonblocking(made.as_fd());
                nonblocking(seen.copy());
                assert_eq!(reads(made.as_fd()), reads(seen.copy()));
            }
        }
    });
}

#[test]
fn a_signalfd_takes_the_same_signals() {
    let world = World::new(|_| {
        let all = descriptor::signalfd(1 << 9 | 1 << 11 | 1 << 40).unwrap();
        nonblocking(all.as_fd());
        vec![all]
    });
    let seen = world.seen(0);
    let record = stored(world.untouched(|| signal::take(&seen, 3).unwrap()));
    assert_eq!((record.common.id, record.mask), (3, 1 << 9 | 1 << 11 | 1 << 40));
    let made = signal::give(&record).unwrap();
    assert_eq!(descriptor::flags(made.as_fd()).unwrap(), descriptor::flags(seen.copy()).unwrap());
    let info = fdinfo::read(Path::new("/proc/self"), made.into_raw_fd()).unwrap();
    assert_eq!(info.kind, seen.info.kind);
}

fn expiries(timer: &OwnedFd) -> u64 {
    let mut count = [0; 8];
    rustix::io::read(timer, &mut count).unwrap();
    u64::from_ne_bytes(count)
}

#[test]
fn a_timer_that_runs_runs_on_and_unread_expiries_wait() {
    as_both_users("objects::tests::events::a_timer_that_runs_runs_on_and_unread_expiries_wait", || {
        let hour = Duration::from_secs(3600);
        let world = World::new(|_| {
            let once = descriptor::timerfd(libc::CLOCK_MONOTONIC).unwrap();
            descriptor::set_timer(once.as_fd(), 0, hour, Duration::ZERO).unwrap();
            let over = descriptor::timerfd(libc::CLOCK_BOOTTIME).unwrap();
            descriptor::set_timer(over.as_fd(), 0, Duration::from_nanos(1), Duration::ZERO).unwrap();
            let never = descriptor::timerfd(libc::CLOCK_REALTIME).unwrap();
            nonblocking(never.as_fd());
            let wall = descriptor::timerfd(libc::CLOCK_REALTIME).unwrap();
            let at = descriptor::clock(libc::CLOCK_REALTIME).unwrap() + hour;
            descriptor::set_timer(wall.as_fd(), 1 | 2, at, Duration::ZERO).unwrap();
            until("it goes off", || ready(&over) != 0);
            vec![once, over, never, wall]
        });
        let records: Vec<_> = (0..4).map(|at| stored(timer::take(&world.seen(at), 1).unwrap())).collect();
        let [once, over, never, wall] = &records[..] else { unreachable!() };
        let near = |left: Duration| (hour - Duration::from_secs(60)..=hour).contains(&left);
        assert!(near(Duration::from_nanos(once.time.left)) && once.ticks == 0);
        assert_eq!((over.time.left, over.ticks, over.clock), (0, 1, libc::CLOCK_BOOTTIME));
        let given: Vec<OwnedFd> = records.iter().map(|it| timer::give(it, Duration::ZERO).unwrap()).collect();
        for (at, given) in given.iter().enumerate() {
            let seen = world.seen(at);
            assert_eq!(descriptor::flags(given.as_fd()).unwrap(), descriptor::flags(seen.copy()).unwrap());
            assert_eq!(ready(given), ready(seen.copy()), "{at}");
        }
        assert!(near(descriptor::timer(given[0].as_fd()).unwrap().0));
        assert_eq!(expiries(&given[1]), 1);
        assert_eq!(descriptor::timer(given[2].as_fd()).unwrap(), (Duration::ZERO, Duration::ZERO));
        assert!(near(descriptor::timer(given[3].as_fd()).unwrap().0) && never.ticks == 0);
        let info = fdinfo::read(Path::new("/proc/self"), {
            use std::os::fd::AsRawFd;
            given[3].as_raw_fd()
        })
        .unwrap();
        assert!(matches!(info.kind, Info::Timer { flags: 3, .. }), "{info:?}");
        // An hour and more later, the one that is set to a time of day goes off at once.
        let late = timer::give(wall, 2 * hour).unwrap();
        until("it goes off", || ready(&late) == libc::POLLIN);
        let other = timer::give(once, 2 * hour).unwrap();
        assert!(near(descriptor::timer(other.as_fd()).unwrap().0));
    });
}

/// Issue 10, `timerfd_periods`: the kernel counts one expiry until somebody looks.
#[test]
fn no_expiry_of_a_timer_that_repeats_is_lost() {
    let (period, started) = (Duration::from_millis(2), std::time::Instant::now());
    let world = World::new(|_| {
        let timer = descriptor::timerfd(libc::CLOCK_MONOTONIC).unwrap();
        descriptor::set_timer(timer.as_fd(), 0, period, period).unwrap();
        vec![timer]
    });
    until("it has gone off often", || started.elapsed() > 20 * period && ready(world.seen(0).copy()) != 0);
    // What comes in between is not more than the time that it took, however long that was.
    let most = |since: std::time::Instant| (since.elapsed().as_nanos() / period.as_nanos()) as u64 + 1;
    let before = std::time::Instant::now();
    let record = stored(timer::take(&world.seen(0), 1).unwrap());
    let theirs = expiries(&world.seen(0).copy().try_clone_to_owned().unwrap());
    assert!(record.ticks >= 5 && record.time.left > 0, "{record:?}");
    assert!((record.ticks..=record.ticks + most(before)).contains(&theirs), "{record:?}: {theirs}");
    let before = std::time::Instant::now();
    let ours = expiries(&timer::give(&record, Duration::ZERO).unwrap());
    assert!((record.ticks..=record.ticks + most(before)).contains(&ours), "{record:?}: {ours}");
}

#[test]
fn timers_end_with_an_error_where_nothing_waits() {
    let world = World::new(|_| {
        let timer = descriptor::timerfd(libc::CLOCK_MONOTONIC).unwrap();
        nonblocking(timer.as_fd());
        vec![timer]
    });
    let record = stored(world.untouched(|| timer::take(&world.seen(0), 1).unwrap()));
    assert_eq!(reads(timer::give(&record, Duration::ZERO).unwrap().as_fd()), (vec![], AGAIN));
    assert_eq!(timer::look(&world.seen(0)), None);
}
