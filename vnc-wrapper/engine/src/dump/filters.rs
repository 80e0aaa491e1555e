//! Seccomp filters: what each thread has by the log, and what these forbid a save to do.

use std::collections::BTreeMap;
use std::sync::Arc;

use libc::pid_t;

use super::Error;
use super::error::fit;
use crate::filters::{Chain, Filter, Shared, look, watch};
use crate::process::status::Status;
use crate::record::{self, Record};
use crate::remote::{Call, Stopped};

/// SECCOMP_MODE_STRICT (linux/seccomp.h).
const STRICT: u32 = 1;

/// The filters of the session's threads.
pub(super) struct Filters<'l> {
    log: Option<&'l Shared>,
    /// By thread: those beyond the session's own.
    above: BTreeMap<pid_t, Vec<Arc<Filter>>>,
    /// Each once; its number is its place, counted from 1.
    records: Vec<Arc<Filter>>,
}

impl<'l> Filters<'l> {
    pub(super) fn new(log: Option<&'l Shared>) -> Self {
        Self { log, above: BTreeMap::new(), records: Vec::new() }
    }

    /// Finds those of a thread that stands still.
    pub(super) fn look(
        &mut self,
        pid: pid_t,
        tid: pid_t,
        status: &Status,
        stopped: Option<&mut Stopped<'_>>,
    ) -> Result<(), Error> {
        let refused = |why: String| Error::refused(pid, format!("thread {tid}"), why);
        if status.seccomp == Some(STRICT) {
            return Err(refused("it may do nothing but read and write (strict seccomp)".to_owned()));
        }
        let (above, chain) = of(self.log, tid, status).map_err(refused)?;
        if let Some(stopped) = stopped {
            stopped.set_filters(chain);
            if !above.is_empty() {
                // With this call a resume gives up the last that is its own.
                let call = Call::new(libc::SYS_munmap, [0, 4096, 0, 0, 0, 0]);
                if stopped.thread()?.denies(&call) {
                    return Err(refused(format!(
                        "its seccomp filters deny it {call}, without which it cannot be resumed"
                    )));
                }
            }
        }
        self.above.insert(tid, above);
        Ok(())
    }

    /// The numbers of those of a thread.
    pub(super) fn numbers<const MOST: usize>(
        &mut self,
        pid: pid_t,
        tid: pid_t,
    ) -> Result<record::List<u32, MOST>, Error> {
        let above = self.above.get(&tid).map_or(&[][..], Vec::as_slice);
        let mut numbers = Vec::new();
        for filter in above {
            let at = self.records.iter().position(|known| known == filter).unwrap_or_else(|| {
                self.records.push(Arc::clone(filter));
                self.records.len() - 1
            });
            numbers.push(at as u32 + 1);
        }
        fit(pid, "seccomp filters", numbers)
    }

    /// The records of all.
    pub(super) fn records(&self, root: pid_t) -> Result<Vec<Record>, Error> {
        let record = |(at, filter): (usize, &Arc<Filter>)| {
            let program = fit(root, "instructions of a seccomp filter", filter.bytes.clone())?;
            Ok(record::rights::Filter { id: at as u32 + 1, program, flags: filter.flags }.into())
        };
        self.records.iter().enumerate().map(record).collect()
    }
}

/// What a thread has beyond the session's own filters, and all that it has; why that is not known.
fn of(log: Option<&Shared>, tid: pid_t, status: &Status) -> Result<(Vec<Arc<Filter>>, Chain), String> {
    let depth = look::count(status).map_err(|error| error.to_string())?;
    let Some(log) = log else {
        let unseen = || format!("it has {depth} seccomp filters that were not seen when they were installed");
        return if depth == 0 { Ok((Vec::new(), Chain::from([]))) } else { Err(unseen()) };
    };
    let base = watch::lock(log).base().to_vec();
    let above = if depth == base.len() {
        Vec::new()
    } else {
        let seen = look::seen(tid).map_err(|error| error.to_string())?;
        watch::lock(log).chain(&seen).map_err(|unclear| unclear.to_string())?
    };
    let chain = base.into_iter().chain(above.iter().cloned()).collect();
    Ok((above, chain))
}

/// Has a thread that was stopped for a moment make no call that its filters deny; false where they are not known.
pub(super) fn guard(log: Option<&Shared>, stopped: &mut Stopped<'_>) -> bool {
    let who = stopped.who();
    let status = crate::process::status::read(format!("/proc/{}/task/{}", who.pid, who.tid).as_ref());
    let Some((_, chain)) = status.ok().and_then(|status| of(log, who.tid, &status).ok()) else { return false };
    stopped.set_filters(chain);
    true
}
