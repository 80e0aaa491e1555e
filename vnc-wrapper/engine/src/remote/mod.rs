//! The guard over a stopped thread of somebody else.
//!
//! | | |
//! | --- | --- |
//! | [`tracing`] | runs work in a thread that may trace; what it still holds at its end runs on, whatever happened |
//! | [`Stopped`] | a thread that was stopped; dropped, it runs on and its interrupted call goes on, without `EINTR` |
//! | [`Thread`] | a stopped thread in which calls are made; dropped, it is as it was |
//! | [`Call`] | a system call; [`Thread::call`] makes one (12 to 30 µs), [`Thread::run`] a list of them (0.3 µs each) |
//!
//! ```no_run
//! use std::time::Duration;
//! use freezeframe_engine::remote::{self, Call, Stopped};
//!
//! # fn main() -> Result<(), remote::Error> {
//! # let (pid, tid) = (1, 1);
//! let page = remote::tracing(|tracer| {
//!     let mut stopped = Stopped::take(tracer, pid, tid, Duration::from_millis(50))?;
//!     let mut thread = stopped.thread()?;
//!     // Unmapped, closed and put back when `thread` is dropped; `close` says if that failed.
//!     let memory = thread.map(4096)?;
//!     let notifier = thread.open(&Call::new(libc::SYS_eventfd2, [0, 0, 0, 0, 0, 0]))?;
//!     let copy = thread.copy_descriptor(notifier)?;
//!     let mut calls = [Call::new(libc::SYS_getpid, [0; 6]), Call::new(libc::SYS_getppid, [0; 6])];
//!     thread.run(&mut calls)?;
//!     thread.close()?;
//!     Ok::<_, remote::Error>((memory, copy, calls[0].result))
//! })?;
//! # Ok(()) }
//! ```
//!
//! What holds while a [`Thread`] lives: all of the thread's signals are blocked (they stay in their queues), its registers and
//! mask are kept, its vector registers are not touched, no call is made inside a restartable sequence, none that would
//! overwrite what the kernel keeps to go on with an interrupted sleep. A stop signal that comes meanwhile takes effect. A
//! thread that ends meanwhile is [`Error::Gone`]. Every wait has a deadline.
//!
//! One thing cannot be given back: should *our* process be killed while a call is made, the kernel lets the thread run on
//! with the call's registers.

mod call;
mod error;
mod list;
pub mod processor;
mod scratch;
mod step;
mod stopped;
mod thread;

pub use call::{Call, ENTRY};
pub use error::{Error, Who};
pub(crate) use stopped::begin_again;
pub use stopped::{Stopped, Tracer, tracing};
pub use thread::Thread;

#[cfg(test)]
mod tests;
