//! Values for tests, drawn from the bytes that proptest makes, so that it can shrink them.

/// Bytes that values are made of; when they are used up, zeros.
pub(crate) struct Dice(pub(crate) std::vec::IntoIter<u8>);

impl Dice {
    pub(crate) fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        // Small numbers and large ones.
        let short = self.0.next()? & 1 == 1;
        let mut bytes = [0; N];
        for byte in bytes.iter_mut().take(if short { 1 } else { N }) {
            *byte = self.0.next()?;
        }
        Some(bytes)
    }

    pub(crate) fn below(&mut self, end: usize) -> usize {
        usize::from(self.0.next().unwrap_or(0)) % end
    }
}
