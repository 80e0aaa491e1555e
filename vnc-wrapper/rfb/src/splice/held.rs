//! A viewer's input of a time in which there is no server: kept in order, delivered when there is one again.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

/// Messages that are kept. When that many are, no more is read from the viewer, so that none is lost.
const MAX_MESSAGES: usize = 4096;
/// Bytes that are kept; one message more may come on top.
const MAX_BYTES: usize = 1 << 20;

/// What of a message decides whether a later one makes it needless.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Kind {
    /// A key, or something whose place counts.
    Key,
    /// The pointer, with these buttons held.
    Pointer { buttons: u8 },
    /// The clipboard.
    Clipboard,
    /// A wish for another size.
    Size,
}

/// Input that waits.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Held {
    queue: VecDeque<(Kind, Vec<u8>)>,
    bytes: usize,
}

impl Held {
    /// Keeps a message. Of several motions in a row only the last is kept, of wishes for a size the newest.
    pub(super) fn push(&mut self, kind: Kind, message: &[u8]) {
        match kind {
            Kind::Pointer { buttons } => {
                let held = |at: Option<&(Kind, _)>| at.is_some_and(|(kind, _)| *kind == Kind::Pointer { buttons });
                let before = self.queue.len().checked_sub(2).and_then(|at| self.queue.get(at));
                // The first with these buttons says where they went down or up, and stays.
                if held(self.queue.back()) && held(before) {
                    self.pop_back();
                }
            }
            Kind::Size => {
                if let Some(at) = self.queue.iter().position(|(kind, _)| *kind == Kind::Size)
                    && let Some((_, old)) = self.queue.remove(at)
                {
                    self.bytes -= old.len();
                }
            }
            Kind::Key | Kind::Clipboard => {}
        }
        self.bytes += message.len();
        self.queue.push_back((kind, message.to_vec()));
    }

    fn pop_back(&mut self) {
        if let Some((_, message)) = self.queue.pop_back() {
            self.bytes -= message.len();
        }
    }

    /// Whether no more is to be read.
    pub(super) fn is_full(&self) -> bool {
        self.queue.len() >= MAX_MESSAGES || self.bytes >= MAX_BYTES
    }

    /// All that was kept, in order.
    pub(super) fn take(&mut self) -> VecDeque<(Kind, Vec<u8>)> {
        self.bytes = 0;
        std::mem::take(&mut self.queue)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn motions_are_joined_and_nothing_else() {
        let mut held = Held::default();
        let at = |buttons| Kind::Pointer { buttons };
        let said = [
            (at(0), "a"),
            (at(0), "b"),
            (at(0), "c"),
            (at(1), "d"),
            (at(0), "e"),
            (Kind::Size, "f"),
            (Kind::Key, "g"),
            (Kind::Key, "g"),
            (at(0), "h"),
            (Kind::Clipboard, "i"),
            (Kind::Size, "j"),
        ];
        for (kind, message) in said {
            held.push(kind, message.as_bytes());
        }
        let kept: String = held.take().into_iter().map(|(_, m)| String::from_utf8(m).unwrap()).collect();
        assert_eq!(kept, "acdegghij");
        assert!(!held.is_full());
        for _ in 0..MAX_MESSAGES {
            held.push(Kind::Key, b"12345678");
        }
        assert!(held.is_full());
    }
}
