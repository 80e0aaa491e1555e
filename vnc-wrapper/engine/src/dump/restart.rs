//! Interrupted sleeps that the kernel goes on with from what only it keeps (restart_syscall(2)).
//!
//! What is left of the time is known only where the kernel wrote it down for the program (nanosleep(2)); else the call is
//! made again with its whole time.

use libc::pid_t;

use crate::record::process::Restart;
use crate::remote::processor::Registers;
use crate::sys::memory;

/// `FUTEX_WAIT`, and the bits of the operation beside `FUTEX_PRIVATE_FLAG` and `FUTEX_CLOCK_REALTIME`.
const FUTEX_WAIT: u64 = 0;
const FUTEX_COMMAND: u64 = 0x7f;
/// The most that clocks are numbered to; everything above is an address.
const CLOCKS: u64 = 64;

/// The registers to record, and the call that goes on; `place`: where in the kernel the thread waited, as far as that was seen
/// before. Err: why it cannot be known.
pub(super) fn of(
    tid: pid_t,
    registers: &Registers,
    place: Option<&str>,
) -> Result<(Registers, Option<Restart>), String> {
    let Some(call) = registers.interrupted_call().filter(|_| registers.goes_on()) else {
        return Ok((registers.begun_again().unwrap_or(*registers), None));
    };
    let number = match call as i64 {
        libc::SYS_restart_syscall => made(tid, registers, place)?,
        number => number,
    };
    let arguments = registers.arguments();
    let left = match number {
        libc::SYS_nanosleep => left(tid, arguments[0], arguments[1])?,
        libc::SYS_clock_nanosleep => left(tid, arguments[2], arguments[3])?,
        libc::SYS_poll => u64::try_from(arguments[2] as i32).ok().map(|milliseconds| milliseconds * 1_000_000),
        libc::SYS_futex if arguments[1] & FUTEX_COMMAND == FUTEX_WAIT => left(tid, arguments[3], 0)?,
        // Until a time that stands in its arguments.
        libc::SYS_futex => return Ok((registers.from_the_start(), None)),
        other => return Err(format!("system call {other} sleeps in a way that is not known")),
    };
    let arguments = arguments.to_vec().try_into().unwrap_or_default();
    Ok((*registers, Some(Restart { call: number as u32, arguments, left })))
}

/// What is left, in nanoseconds: what the kernel wrote to `rest`, else all that was `asked` for.
fn left(tid: pid_t, asked: u64, rest: u64) -> Result<Option<u64>, String> {
    let place = if rest == 0 { asked } else { rest };
    if place == 0 {
        return Ok(None);
    }
    let mut bytes = [0; 16];
    memory::read(tid, place, &mut bytes).map_err(|error| format!("its time cannot be read: {error}"))?;
    let [seconds, nanoseconds] = [0, 8].map(|at| u64::from_ne_bytes(bytes[at..at + 8].try_into().unwrap_or_default()));
    Ok(Some(seconds.saturating_mul(1_000_000_000).saturating_add(nanoseconds)))
}

/// Which call was made by a thread that was interrupted a second time, when the kernel has put restart_syscall(2) in its
/// place: the kernel's place says which, or the number that is still in the code that made it.
fn made(tid: pid_t, registers: &Registers, place: Option<&str>) -> Result<i64, String> {
    if let Some(number) = place.and_then(|place| number_at(place, registers.arguments()[0])) {
        return Ok(number);
    }
    /// Bytes before the instruction that are searched.
    const SEARCHED: usize = 48;
    let at = registers.instruction().saturating_sub(2);
    let mut code = [0; SEARCHED];
    memory::read(tid, at - SEARCHED as u64, &mut code).map_err(|error| format!("its code cannot be read: {error}"))?;
    number_in(&code, registers.arguments())
        .ok_or_else(|| "it sleeps in a call that was interrupted before, and its code does not say in which".to_owned())
}

/// The number of the call that waits at `place` with that first argument. The calls that go on so are these four
/// (`restart_block` in the kernel's sources); a sleep that was begun again has no place of its own there.
fn number_at(place: &str, first: u64) -> Option<i64> {
    const SLEEPS: [&str; 3] = ["nanosleep", "nsleep", "do_syscall_64"];
    if place.contains("futex") {
        return Some(libc::SYS_futex);
    }
    if place.contains("poll") {
        return Some(libc::SYS_poll);
    }
    let sleeps = SLEEPS.iter().any(|name| place.contains(name));
    sleeps.then_some(if is_clock(first) { libc::SYS_clock_nanosleep } else { libc::SYS_nanosleep })
}

/// Whether an argument is a clock rather than an address.
fn is_clock(argument: u64) -> bool {
    argument < CLOCKS || (argument as i32) < 0 && argument >> 32 == 0
}

/// The number of the sleeping call that `code`, which ends with the instruction that makes it, loads last and that fits its
/// arguments.
fn number_in(code: &[u8], arguments: [u64; 6]) -> Option<i64> {
    /// `mov eax, imm32`.
    const LOAD: u8 = 0xb8;
    let clock = is_clock(arguments[0]);
    code.windows(5).rev().find_map(|five| {
        let number = i64::from(i32::from_le_bytes(five[1..].try_into().ok()?));
        let fits = match number {
            libc::SYS_clock_nanosleep => clock && arguments[1] == 0,
            libc::SYS_nanosleep => !clock,
            libc::SYS_poll => arguments[1] < 1 << 32,
            libc::SYS_futex => !clock,
            _ => false,
        };
        (five[0] == LOAD && fits).then_some(number)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_call_is_found_by_its_place_in_the_kernel() {
        let address = 0x7fff_0000;
        for (place, first, number) in [
            ("hrtimer_nanosleep", 1, Some(libc::SYS_clock_nanosleep)),
            ("do_syscall_64", address, Some(libc::SYS_nanosleep)),
            ("poll_schedule_timeout.constprop.0", 0, Some(libc::SYS_poll)),
            ("futex_do_wait", address, Some(libc::SYS_futex)),
            ("0", address, None),
        ] {
            assert_eq!(number_at(place, first), number, "{place}");
        }
    }

    #[test]
    fn the_call_is_found_in_the_code_that_made_it() {
        // mov eax, 0xe6; mov r10, rcx
        let code = [0x90, 0xb8, 0xe6, 0, 0, 0, 0x49, 0x89, 0xca];
        assert_eq!(number_in(&code, [1, 0, 0x7fff_0000, 0, 0, 0]), Some(libc::SYS_clock_nanosleep));
        assert_eq!(number_in(&code, [0x7fff_0000, 0, 0, 0, 0, 0]), None, "a clock is no address");
        // The nearest one that fits.
        let code = [0xb8, 7, 0, 0, 0, 0xb8, 0xca, 0, 0, 0, 0xb8, 1, 0, 0, 0];
        assert_eq!(number_in(&code, [0x7fff_0000, 0, 1, 2, 0, 0]), Some(libc::SYS_futex));
        assert_eq!(number_in(&[0xb8, 7, 0, 0], [0; 6]), None);
    }
}
