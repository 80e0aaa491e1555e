//! timerfd_create(2): the time that is left and what nobody has read. One that runs runs on.

use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use super::{Error, Finding, Seen, common};
use crate::process::fdinfo::{self, Kind};
use crate::record::objects::TimerFd;
use crate::record::process::Time;
use crate::sys::descriptor;

/// `CLOCK_REALTIME_ALARM`, `CLOCK_BOOTTIME_ALARM` (linux/time.h): they need CAP_WAKE_ALARM.
const ALARMS: [i32; 2] = [8, 9];
/// `TFD_TIMER_ABSTIME`, `TFD_TIMER_CANCEL_ON_SET`.
const ABSOLUTE: u32 = 1;
const CANCEL_ON_SET: u32 = 2;

/// What would be lost: a clock that wakes the machine, which a normal user cannot set.
#[must_use]
pub fn look(seen: &Seen) -> Option<Finding> {
    let Kind::Timer { clock, .. } = seen.info.kind else { return None };
    ALARMS
        .contains(&clock)
        .then(|| seen.finding("it wakes the machine from sleep, which a normal user cannot set again"))
}

/// Its record; the number in the snapshot is `id`.
///
/// # Errors
/// When it is no timerfd, or the kernel does not answer.
pub fn take(seen: &Seen, id: u32) -> Result<TimerFd, Error> {
    // One that repeats and has gone off counts no further until it is looked at: fdinfo would show one expiry and nothing left.
    // The call counts them all and lets it run on, as a read would; none is taken.
    let (left, interval) = descriptor::timer(seen.copy()).map_err(seen.failed("timerfd_gettime"))?;
    let directory = std::path::PathBuf::from(format!("/proc/{}", seen.pid));
    let info = fdinfo::read(&directory, seen.number).map_err(seen.failed("read its fdinfo"))?;
    let Kind::Timer { clock, ticks, flags, .. } = info.kind else { return Err(seen.refused("it is no timerfd")) };
    let nanoseconds = |time: Duration| {
        u64::try_from(time.as_nanos()).map_err(|_| seen.refused(format!("a time of {time:?} is too long")))
    };
    let time = Time { left: nanoseconds(left)?, interval: nanoseconds(interval)? };
    Ok(TimerFd { common: common::take(seen, id)?, clock, flags, time, ticks })
}

/// Makes it. `passed`: how far the time of day has moved since the record was taken, by which absolute timers of CLOCK_REALTIME are
/// nearer. The other clocks stand still in a snapshot.
///
/// # Errors
/// When the kernel does not; EPERM for a clock that wakes the machine.
pub fn give(record: &TimerFd, passed: Duration) -> Result<OwnedFd, Error> {
    let who = || format!("timerfd ({})", record.common.id);
    let made = descriptor::timerfd(record.clock).map_err(Error::given(who(), "timerfd_create"))?;
    let (mut value, interval) = (Duration::from_nanos(record.time.left), Duration::from_nanos(record.time.interval));
    let flags = record.flags & (ABSOLUTE | CANCEL_ON_SET);
    if flags & ABSOLUTE != 0 && !value.is_zero() {
        let now = descriptor::clock(record.clock).map_err(Error::given(who(), "clock_gettime"))?;
        let wall = record.clock == libc::CLOCK_REALTIME || record.clock == ALARMS[0];
        value = (now + value).saturating_sub(if wall { passed } else { Duration::ZERO });
        // The beginning of time would mean: not set.
        value = value.max(Duration::from_nanos(1));
    }
    descriptor::set_timer(made.as_fd(), flags, value, interval).map_err(Error::given(who(), "timerfd_settime"))?;
    if record.ticks > 0 {
        descriptor::set_ticks(made.as_fd(), record.ticks).map_err(Error::given(who(), "TFD_IOC_SET_TICKS"))?;
    }
    common::give(made.as_fd(), &record.common).map_err(Error::given(who(), "F_SETFL"))?;
    Ok(made)
}
