//! What each side waits for from the other: answers to fences, and the end of continuous updates.
//!
//! Both are answered in the order in which they were asked (rfbproto, "Fence", "ContinuousUpdates"), so counting is
//! enough.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use super::outbox::Outbox;
use crate::error::{Error, Result};

/// The bit of a fence that asks for an answer.
const REQUEST: u32 = 1 << 31;
/// The bits that an answer may repeat: BlockBefore, BlockAfter, SyncNext.
const UNDERSTOOD: u32 = 7;
/// What a viewer may have open; more is nonsense.
const MAX_OPEN: usize = 1024;

/// Questions without answers.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Promises {
    /// Fences that the server put and the viewer has not answered.
    of_server: u32,
    /// The same of servers that have gone: their answers are for nobody.
    of_gone: u32,
    /// Fences that the viewer put and the server has not answered.
    of_viewer: VecDeque<(u32, Vec<u8>)>,
    /// How often the viewer waits for the end of continuous updates.
    ends: u32,
    /// Whether the viewer has ever been told one: the first says that there are such updates.
    ends_known: bool,
    /// Whether the server's next says the same again.
    end_repeated: bool,
}

impl Promises {
    /// The viewer put a fence, or answered one. Whether it is to be passed on.
    pub(super) fn viewer_fence(&mut self, flags: u32, data: Vec<u8>) -> Result<bool> {
        if flags & REQUEST != 0 {
            if self.of_viewer.len() >= MAX_OPEN {
                return Err(too_many("fences"));
            }
            self.of_viewer.push_back((flags, data));
            return Ok(true);
        }
        if self.of_gone > 0 {
            self.of_gone -= 1;
            return Ok(false);
        }
        self.of_server = self.of_server.saturating_sub(1);
        Ok(true)
    }

    /// The server put a fence, or answered one.
    pub(super) fn server_fence(&mut self, flags: u32) {
        if flags & REQUEST != 0 {
            self.of_server = self.of_server.saturating_add(1);
        } else {
            self.of_viewer.pop_front();
        }
    }

    /// The viewer waits for the end of continuous updates.
    pub(super) fn ask_for_end(&mut self) -> Result<()> {
        if self.ends as usize >= MAX_OPEN {
            return Err(too_many("ends of continuous updates"));
        }
        self.ends += 1;
        Ok(())
    }

    /// Whether it does.
    pub(super) fn owes_end(&self) -> bool {
        self.ends > 0
    }

    /// The server told it. Whether that is news to the viewer.
    pub(super) fn end(&mut self) -> bool {
        if std::mem::take(&mut self.end_repeated) {
            return false;
        }
        if self.ends_known {
            self.ends = self.ends.saturating_sub(1);
        }
        self.ends_known = true;
        true
    }

    /// The server has gone.
    pub(super) fn leave(&mut self) {
        self.of_gone = self.of_gone.saturating_add(std::mem::take(&mut self.of_server));
        self.end_repeated = false;
    }

    /// Gives all the answers that the viewer waits for.
    pub(super) fn keep(&mut self, to_viewer: &mut Outbox) {
        for (flags, data) in self.of_viewer.drain(..) {
            to_viewer.push(&[248, 0, 0, 0]);
            to_viewer.push(&(flags & UNDERSTOOD).to_be_bytes());
            // At most `said::MAX_FENCE` bytes.
            to_viewer.push(&[data.len() as u8]);
            to_viewer.push(&data);
        }
        for _ in 0..std::mem::take(&mut self.ends) {
            to_viewer.push(&[150]);
        }
    }

    /// Another server is there, which will say that it has continuous updates if the viewer asked for such.
    pub(super) fn arrive(&mut self, continuous: bool) {
        self.end_repeated = continuous && self.ends_known;
    }
}

fn too_many(what: &'static str) -> Error {
    Error::TooLarge { what, found: MAX_OPEN as u64 + 1, limit: MAX_OPEN as u64 }
}
