//! The records that everybody appends: the same ones, of the same size, not compressible.
//! Refuses to make them while somebody is measured.

/// The usual size of a record.
pub(crate) const RECORD_BYTES: usize = 128;

/// How many different records there are; then they repeat. All of them stay in the second cache.
const DIFFERENT: u64 = 2_048;

/// Records of one size.
#[derive(Debug)]
pub(crate) struct Records {
    size: usize,
    bytes: Vec<u8>,
}

impl Records {
    /// Records of this size.
    pub(crate) fn new(size: usize) -> Records {
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        let bytes = std::iter::repeat_with(|| next(&mut state).to_le_bytes()).flatten();
        Records { size, bytes: bytes.take(size * DIFFERENT as usize).collect() }
    }

    /// The record with this number.
    #[inline]
    pub(crate) fn get(&self, number: u64) -> &[u8] {
        let begin = (number % DIFFERENT) as usize * self.size;
        self.bytes.get(begin..begin + self.size).unwrap_or_default()
    }

    /// Bytes of each.
    pub(crate) fn size(&self) -> usize {
        self.size
    }
}

/// `count` numbers below `end`, the same in each run.
pub(crate) fn random_numbers(count: u64, end: u64) -> Vec<u64> {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    (0..count).map(|_| next(&mut state) % end).collect()
}

/// Xorshift: quick, and good enough to defeat caches and compressors.
fn next(state: &mut u64) -> u64 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    *state
}
