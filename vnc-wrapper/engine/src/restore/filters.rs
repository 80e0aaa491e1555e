//! Seccomp filters: the one that all begin with, and those that each thread has installed.
//!
//! Filters deny calls, so each thread gets its own ones as the last thing but its registers. A thread that may not install any then,
//! having neither no_new_privs nor CAP_SYS_ADMIN, gets them before its capabilities go; what they deny of what is left to do
//! fails by name.

use std::io;
use std::os::fd::OwnedFd;

use crate::record::process::Thread;
use crate::record::rights::{Credentials, Filter};
use crate::remote::Call;

use super::content::Content;
use super::error::{Error, Object, Result};
use super::stub::Stub;
use super::threads::{self, Pair};

/// Bytes of an instruction (`struct sock_filter`, linux/filter.h).
const INSTRUCTION: usize = 8;
/// CAP_SYS_ADMIN (capabilities(7)).
const ADMIN: u64 = 1 << 21;

/// The filter that every process of a session begins with, which tells of others that are installed
/// ([`crate::filters::watch`]).
pub struct Own<'p> {
    /// Its `struct sock_filter` instructions.
    pub program: Vec<u8>,
    /// `SECCOMP_FILTER_FLAG_SPEC_ALLOW` and others.
    pub flags: u32,
    /// Gets its listener. Calls that the restore makes are answered there, too, by another thread.
    pub listener: Box<dyn FnMut(OwnedFd) -> io::Result<()> + 'p>,
}

/// Gives the first process the filter that everything which descends from it inherits. It has CAP_SYS_ADMIN in its user namespace,
/// and so needs no PR_SET_NO_NEW_PRIVS.
pub(super) fn own(first: &Stub, own: Option<&mut Own<'_>>) -> Result {
    let Some(own) = own else { return Ok(()) };
    let object = Object::OwnFilter;
    let listener = libc::SECCOMP_FILTER_FLAG_NEW_LISTENER;
    let call = written(first, object, &own.program, u64::from(own.flags) | listener)?;
    let listener = first.take_descriptor(object, &call)?;
    (own.listener)(listener).map_err(|error| first.failed(object, "hand over its listener", error))
}

/// Writes a program into its memory; the call that installs it.
fn written(stub: &Stub, object: Object, program: &[u8], flags: u64) -> Result<Call> {
    let data = stub.area().data();
    let at = data + 16;
    // `struct sock_fprog`: how many instructions, and where.
    let described = [((program.len() / INSTRUCTION) as u64).to_ne_bytes(), at.to_ne_bytes()].concat();
    stub.write(object, data, &[&described, program].concat())?;
    let operation = libc::SECCOMP_SET_MODE_FILTER.into();
    Ok(Call::new(libc::SYS_seccomp, [operation, flags, data, 0, 0, 0]))
}

fn install(stub: &Stub, filter: &Filter, flags: u64) -> Result {
    let object = Object::Filter(filter.id);
    let call = written(stub, object, &filter.program, u64::from(filter.flags) | flags)?;
    stub.call(object, &call).map(drop)
}

fn filters<'c>(thread: &Thread, content: &'c Content) -> Result<Vec<&'c Filter>> {
    let find = |id: &u32| {
        let unknown = || Error::unable(Object::Filter(*id).to_string(), "the content has no record of it");
        content.filters.get(id).ok_or_else(unknown)
    };
    thread.filters.iter().map(find).collect()
}

/// Whether a thread with these credentials may install filters.
fn may(credentials: &Credentials) -> bool {
    credentials.no_new_privileges || credentials.effective & ADMIN != 0
}

/// Those of a thread that will not be able to install any, while it still has CAP_SYS_ADMIN.
pub(super) fn early(pair: &Pair<'_>, content: &Content) -> Result {
    if may(&content.credentials[&pair.record.credentials]) {
        return Ok(());
    }
    filters(pair.record, content)?.into_iter().try_for_each(|filter| install(&pair.stub, filter, 0))
}

/// Those of all other threads of a process.
pub(super) fn late(threads: &[Pair<'_>], content: &Content) -> Result {
    let credentials = |pair: &Pair<'_>| &content.credentials[&pair.record.credentials];
    let Some(first) = threads.first() else { return Ok(()) };
    if threads.iter().all(|pair| pair.record.filters.is_empty()) {
        return Ok(());
    }
    // Where the kernel writes while a thread makes calls.
    let sequences = threads.iter().map(threads::sequence).collect::<Result<Vec<_>>>()?;
    // With TSYNC all have the same filter, and one of them can later do so again; they get no_new_privs from who installs it.
    let alike = |pair: &Pair<'_>| {
        may(credentials(pair)) && credentials(pair).no_new_privileges == credentials(first).no_new_privileges
    };
    let common = if threads.iter().all(alike) {
        let same = |pair: &Pair<'_>| {
            let both = pair.record.filters.iter().zip(first.record.filters.iter());
            both.take_while(|(one, other)| one == other).count()
        };
        threads.iter().map(same).min().unwrap_or(0)
    } else {
        0
    };
    let together = libc::SECCOMP_FILTER_FLAG_TSYNC | libc::SECCOMP_FILTER_FLAG_TSYNC_ESRCH;
    let together = if threads.len() > 1 { together } else { 0 };
    for filter in &filters(first.record, content)?[..common] {
        install(&first.stub, filter, together)?;
    }
    for pair in threads.iter().filter(|pair| may(credentials(pair))) {
        for filter in &filters(pair.record, content)?[common..] {
            install(&pair.stub, filter, 0)?;
        }
    }
    threads.iter().zip(sequences).try_for_each(|(pair, sequence)| threads::put_sequence(pair, sequence))
}
