//! Waiting for what has no event.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};

/// How often a condition is looked at.
const LOOK: Duration = Duration::from_millis(25);

/// Waits until `condition` holds; fails, naming `what`, when it does not within `limit`.
///
/// # Errors
/// When the time is over.
pub fn wait_until(limit: Duration, what: &str, mut condition: impl FnMut() -> bool) -> Result<()> {
    eventually(limit, what, || Ok(condition().then_some(())))
}

/// Waits until `look` finds something; an error of it counts as "not yet", and the last one is told.
///
/// # Errors
/// When the time is over.
pub fn eventually<T>(limit: Duration, what: &str, mut look: impl FnMut() -> Result<Option<T>>) -> Result<T> {
    let deadline = Instant::now() + limit;
    loop {
        let last = match look() {
            Ok(Some(found)) => return Ok(found),
            Ok(None) => None,
            Err(error) => Some(error),
        };
        if Instant::now() > deadline {
            let why = last.map(|e| format!(" ({e:#})")).unwrap_or_default();
            bail!("waited {:.0} s for this in vain: {what}{why}", limit.as_secs_f64());
        }
        std::thread::sleep(LOOK);
    }
}
