//! What a server sends of its clipboard, at a pace.
//!
//! A program in the session may set the clipboard as often as it likes, a mebibyte each time. Viewers are told at
//! [`PER_SECOND`] at most; of what comes faster the newest of each kind waits, and what it takes the place of is dropped.
//! Nothing is lost by that which could still be pasted: a clipboard has one text.

use std::collections::VecDeque;
use std::time::Duration;

/// Bytes that may go to a viewer in a second, once [`BURST`] is used up.
const PER_SECOND: u64 = 1 << 20;
/// Bytes that may go at once after a while of silence: some texts of the largest size.
const BURST: u64 = 4 << 20;
/// What each message takes of that at least, so that small ones are bounded too: to 64 in a second.
const LEAST: u64 = 16 << 10;
/// Where a cut-text message's length is, and the flags of an extended one (rfbproto, "ExtendedClipboard").
const LENGTH: usize = 4;
const FLAGS: usize = 8;

/// Messages of which a later one takes the place of an earlier one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// A text in Latin-1.
    Latin1,
    /// An extended message, by the lowest of its flags that says what it is for: only one that says what its sender can
    /// has several. 32 for none.
    Extended(u32),
}

impl Kind {
    fn of(message: &[u8]) -> Self {
        let word = |at: usize| message.get(at..).and_then(<[u8]>::first_chunk).map_or(0, |b| u32::from_be_bytes(*b));
        if word(LENGTH).cast_signed() >= 0 {
            return Self::Latin1;
        }
        // Bits 24 to 28 are all that are in use: there are no more kinds than these.
        Self::Extended((word(FLAGS) & 0x1f00_0000).trailing_zeros())
    }
}

/// Messages that wait for their time.
#[derive(Debug)]
pub(super) struct Texts {
    /// At most one of each kind, in the order in which they came.
    waiting: VecDeque<(Kind, Vec<u8>)>,
    /// Bytes that may go now.
    allowance: u64,
}

impl Default for Texts {
    fn default() -> Self {
        Self { waiting: VecDeque::new(), allowance: BURST }
    }
}

fn cost(message: &[u8]) -> u64 {
    (message.len() as u64).clamp(LEAST, BURST)
}

impl Texts {
    /// A message has come, whole.
    pub(super) fn push(&mut self, message: &[u8]) {
        let kind = Kind::of(message);
        self.waiting.retain(|(there, _)| *there != kind);
        self.waiting.push_back((kind, message.to_vec()));
    }

    /// The next message that may go now.
    pub(super) fn next(&mut self) -> Option<Vec<u8>> {
        let cost = cost(&self.waiting.front()?.1);
        self.allowance = self.allowance.checked_sub(cost)?;
        self.waiting.pop_front().map(|(_, message)| message)
    }

    /// All that waits, whether it may go or not: there will be no other time.
    pub(super) fn take(&mut self) -> impl Iterator<Item = Vec<u8>> {
        std::mem::take(&mut self.waiting).into_iter().map(|(_, message)| message)
    }

    /// So much time has passed.
    pub(super) fn pass(&mut self, time: Duration) {
        let earned = time.as_micros().saturating_mul(PER_SECOND.into()) / 1_000_000;
        self.allowance = self.allowance.saturating_add(u64::try_from(earned).unwrap_or(BURST)).min(BURST);
    }

    /// How long the next message has to wait; none when nothing waits.
    pub(super) fn wait(&self) -> Option<Duration> {
        let missing = cost(&self.waiting.front()?.1).saturating_sub(self.allowance);
        Some(Duration::from_micros(missing.saturating_mul(1_000_000).div_ceil(PER_SECOND)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn latin1(text: &[u8]) -> Vec<u8> {
        [&[3, 0, 0, 0], &u32::try_from(text.len()).unwrap().to_be_bytes()[..], text].concat()
    }

    fn extended(flags: u32) -> Vec<u8> {
        [&[3, 0, 0, 0], &(-4i32).to_be_bytes()[..], &flags.to_be_bytes()].concat()
    }

    /// Issue 9, number 15.
    #[test]
    fn a_flood_is_bounded_and_the_newest_text_arrives() {
        let mut texts = Texts::default();
        let (mut bytes, mut last) = (0, Vec::new());
        for number in 0..10_000u32 {
            texts.push(&latin1(&number.to_be_bytes().repeat(1000)));
            // A millisecond each.
            texts.pass(Duration::from_millis(1));
            while let Some(message) = texts.next() {
                bytes += message.len() as u64;
                last = message;
            }
            assert!(texts.waiting.len() <= 1);
        }
        assert!(bytes <= BURST + 10 * PER_SECOND, "{bytes}");
        while let Some(wait) = texts.wait() {
            texts.pass(wait);
            last = texts.next().unwrap();
        }
        assert_eq!(last[8..12], 9999u32.to_be_bytes());
    }

    #[test]
    fn messages_for_different_purposes_do_not_drop_each_other() {
        let mut texts = Texts { allowance: 0, ..Texts::default() };
        let (can, has, gives) = (extended(0x1f00_0001), extended(1 << 27 | 1), extended(1 << 28 | 1));
        for message in [&can, &has, &latin1(b"a"), &has, &latin1(b"b"), &extended(1 << 27), &gives] {
            texts.push(message);
        }
        assert_eq!(texts.take().collect::<Vec<_>>(), [can, latin1(b"b"), extended(1 << 27), gives]);
        assert_eq!(texts.wait(), None);
    }

    #[test]
    fn what_waits_goes_when_its_time_has_come() {
        let mut texts = Texts { allowance: 0, ..Texts::default() };
        texts.push(&latin1(&vec![b'x'; 1 << 20]));
        assert!(texts.next().is_none());
        let wait = texts.wait().unwrap();
        assert!(wait > Duration::from_millis(900) && wait < Duration::from_millis(1100), "{wait:?}");
        texts.pass(wait);
        assert!(texts.next().is_some());
        assert_eq!(texts.wait(), None);
    }
}
