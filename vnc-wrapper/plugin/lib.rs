//! A plugin for CRIU (criu-plugin.h): waiting system calls of a session that is saved go on waiting, and what CRIU cannot
//! restore is asked of the threads of a session that is resumed.
//!
//! CRIU stops every thread (ptrace(2), PTRACE_INTERRUPT), which interrupts what it waits in. Most calls are entered again;
//! some return EINTR (signal(7)), and others do so because CRIU cannot take their `restart_block` along. This plugin is
//! called when every thread has stopped and nothing has been looked at yet, by the process that traces them. It changes
//! what such a call is about to return into `-ERESTARTNOHAND` (of poll(2), nanosleep(2) and futex(2) with long timeouts the wrapper is told
//! instead, which knows what is left: `src/engine/waits.rs`): in the session that runs on the kernel enters it again or,
//! where a signal's handler is to be called, returns EINTR; in the images CRIU has it entered again.
//!
//! When CRIU has done everything and has not yet let go of the threads, it notifies the wrapper, as the action script does.
//! It then does with ptrace(2) what the wrapper asks for, in a session that is resumed too: only CRIU's own process can,
//! since it traces the threads (`src/engine/traced.rs`).
//!
//! It is linked with no C library, since it is loaded beside that of whatever CRIU it meets. Whatever fails here leaves EINTR.

#![no_std]

mod decide;
mod kernel;
mod peers;
mod person;

use core::ffi::{CStr, c_char, c_int};
use core::sync::atomic::{AtomicBool, Ordering};

/// `CRIU_PLUGIN_VERSION`, 0.2.0.
const VERSION: u32 = 2 << 8;
/// `CR_PLUGIN_HOOK__RESUME_DEVICES_LATE`: called for each process when all is restored and every thread has stopped right
/// before its own first instruction.
const RESUME_DEVICES_LATE: usize = 9;
/// `CR_PLUGIN_HOOK__CHECKPOINT_DEVICES`: called for each process between stopping and dumping, since CRIU 4.0.
const CHECKPOINT_DEVICES: usize = 11;

/// `cr_plugin_desc_t`, as long as our last hook needs it.
#[repr(C)]
pub struct Description {
    name: *const c_char,
    init: Option<extern "C" fn(c_int) -> c_int>,
    exit: Option<extern "C" fn(c_int, c_int)>,
    version: u32,
    hooks_count: u32,
    hooks: [Option<extern "C" fn(c_int) -> c_int>; CHECKPOINT_DEVICES + 1],
}

// SAFETY: it is never changed, and its pointers are of values that live forever.
unsafe impl Sync for Description {}

/// The variable that names the wrapper's socket, and what is told (`src/engine/criu.rs`, `src/engine/plugin.rs`).
const HOOK: &CStr = c"FREEZEFRAME_HOOK";
const LET_GO: &[u8] = b"let-go ";
const TRACE: &[u8] = b"trace ";
const WAITS: &[u8] = b"waits ";

unsafe extern "C" {
    // Of the C library that is there.
    safe fn getenv(name: *const c_char) -> *const c_char;
    safe fn unsetenv(name: *const c_char) -> c_int;
}

const NAME: &CStr = c"freezeframe";

#[unsafe(no_mangle)]
pub static CR_PLUGIN_DESC: Description = Description {
    name: NAME.as_ptr(),
    init: Some(begin),
    exit: Some(end),
    version: VERSION,
    hooks_count: (CHECKPOINT_DEVICES + 1) as u32,
    hooks: {
        let mut hooks: [Option<extern "C" fn(c_int) -> c_int>; CHECKPOINT_DEVICES + 1] = [None; CHECKPOINT_DEVICES + 1];
        hooks[CHECKPOINT_DEVICES] = Some(process);
        hooks[RESUME_DEVICES_LATE] = Some(late);
        hooks
    },
};

/// `CR_PLUGIN_STAGE__RESTORE`.
const RESTORE: c_int = 2;
/// The variable that names a file ([`peers`]).
const PEERS: &CStr = c"FREEZEFRAME_PEERS";

extern "C" fn begin(stage: c_int) -> c_int {
    let path = getenv(PEERS.as_ptr());
    if stage == RESTORE && !path.is_null() {
        // Not for what CRIU runs.
        unsetenv(c"LD_PRELOAD".as_ptr());
        // SAFETY: getenv(3) returned a string, and nobody changes the environment meanwhile.
        peers::begin(unsafe { CStr::from_ptr(path) });
    }
    0
}

/// Goes over the threads of process `pid`.
extern "C" fn process(pid: c_int) -> c_int {
    kernel::threads(pid, thread);
    0
}

/// Every thread of every process has stopped; the wrapper has all of them looked after at once.
extern "C" fn late(_pid: c_int) -> c_int {
    static DONE: AtomicBool = AtomicBool::new(false);
    if !DONE.swap(true, Ordering::Relaxed) {
        tell(TRACE);
    }
    0
}

/// All is done, well or not.
extern "C" fn end(_stage: c_int, _result: c_int) {
    tell(LET_GO);
}

fn tell(text: &[u8]) {
    let path = getenv(HOOK.as_ptr());
    if !path.is_null() {
        // SAFETY: getenv(3) returned a string, and nobody changes the environment meanwhile.
        kernel::tell(unsafe { CStr::from_ptr(path) }, text);
    }
}

fn thread(tid: c_int) {
    let Some(registers) = kernel::registers(tid) else { return };
    let time = |address: u64| kernel::peek(tid, address).zip(kernel::peek(tid, address.checked_add(8)?));
    if decide::is_to_wait_on(&registers, time) && !kernel::has_signal(tid) {
        kernel::set_result(tid, decide::RESTART);
    } else if decide::is_counted(&registers) && !kernel::has_signal(tid) {
        let mut text = [0u8; 24];
        if let Some(text) = kernel::with_number(&mut text, WAITS, tid) {
            tell(text);
        }
    }
}

/// Named by the core library, whose unwinding is never used.
#[unsafe(no_mangle)]
extern "C" fn rust_eh_personality() {}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    // Nothing here panics; if it did, EINTR would be the least of it.
    kernel::exit()
}
