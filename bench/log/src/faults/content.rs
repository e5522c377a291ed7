//! The records of the faults: each tells its number, and nothing in it can change unseen.
//! Refuses to be compressible, so that each record lies in a file as it is.

/// Bytes of a record.
pub(super) const BYTES: usize = 128;

/// Each record begins so: by this it is found in a file.
pub(super) const MARK: [u8; 8] = *b"\xf5record:";

/// The record with this number.
pub(super) fn content(number: u64) -> Vec<u8> {
    let mut bytes = MARK.to_vec();
    bytes.extend(number.to_le_bytes());
    let mut state = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    while bytes.len() < BYTES {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend(state.to_le_bytes());
    }
    bytes
}

/// The number that a record tells.
pub(super) fn number_of(bytes: &[u8]) -> u64 {
    let number = bytes.get(MARK.len()..).and_then(<[u8]>::first_chunk::<8>);
    number.map_or(0, |number| u64::from_le_bytes(*number))
}
