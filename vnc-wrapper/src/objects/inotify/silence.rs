//! Keeps the watches of a frozen session from hearing what CRIU does to its files, when it saves and when it resumes.

use std::io;

use super::Mask;
use super::group::{self, Group, SILENT};
use crate::container::processes::Process;

/// All watches of a session are silent; dropping it gives them their masks back.
#[derive(Debug)]
pub(crate) struct Silence(Vec<Group>);

impl Silence {
    /// Makes the watches of these processes silent, all of which have stopped; the first is the session's init.
    ///
    /// # Errors
    /// When one cannot be made silent; all hear again then.
    pub(crate) fn begin(processes: &[Process]) -> io::Result<Self> {
        let silence = Self(group::all(processes)?);
        for group in &silence.0 {
            group.watches.keys().try_for_each(|wd| group.set(*wd, SILENT))?;
        }
        Ok(silence)
    }

    /// They are to listen for what `masks` say, those that are not named for what they did.
    pub(crate) fn then(mut self, masks: &[Mask]) -> Self {
        for group in &mut self.0 {
            let (process, number) = (group.process, group.number);
            for (wd, (watch, _)) in &mut group.watches {
                watch.mask = masks.iter().find(|m| m.is_of(process, number, *wd)).map_or(watch.mask, |m| m.mask);
            }
        }
        self
    }

    /// Gives the watches their masks back, in a session that was restored.
    ///
    /// # Errors
    /// When one hears nothing any more.
    pub(crate) fn end(mut self) -> io::Result<()> {
        // What is dropped has nothing left to do then.
        std::mem::take(&mut self.0)
            .iter()
            .try_for_each(|group| group.watches.iter().try_for_each(|(wd, (watch, _))| group.set(*wd, watch.mask)))
    }

    /// What the watches listen for otherwise.
    pub(crate) fn masks(&self) -> Vec<Mask> {
        let of = |group: &Group| {
            let (process, descriptor) = (group.process, group.number);
            let masks = group.watches.values().map(move |(watch, _)| (watch.wd, watch.mask));
            masks.map(move |(wd, mask)| Mask { process, descriptor, wd, mask }).collect::<Vec<_>>()
        };
        self.0.iter().flat_map(of).collect()
    }
}

impl Drop for Silence {
    fn drop(&mut self) {
        for group in &self.0 {
            for (wd, (watch, _)) in &group.watches {
                if let Err(error) = group.set(*wd, watch.mask) {
                    tracing::error!("watch {wd} of process {} hears nothing any more: {error}", group.process);
                }
            }
        }
    }
}
