//! Little-endian fields at fixed offsets of a buffer.
//! Refuses to read or write beyond it: a short buffer reads as `None` and is a bug when written.

/// The `u16` at an offset.
pub(crate) fn u16_at(bytes: &[u8], offset: usize) -> Option<u16> {
    Some(u16::from_le_bytes(*bytes.get(offset..)?.first_chunk()?))
}

/// The `u32` at an offset.
pub(crate) fn u32_at(bytes: &[u8], offset: usize) -> Option<u32> {
    Some(u32::from_le_bytes(*bytes.get(offset..)?.first_chunk()?))
}

/// The `u64` at an offset.
pub(crate) fn u64_at(bytes: &[u8], offset: usize) -> Option<u64> {
    Some(u64::from_le_bytes(*bytes.get(offset..)?.first_chunk()?))
}

/// Writes a field at an offset of a buffer that is large enough by construction.
pub(crate) fn put(bytes: &mut [u8], offset: usize, field: &[u8]) {
    if let Some(place) = offset.checked_add(field.len()).and_then(|end| bytes.get_mut(offset..end)) {
        place.copy_from_slice(field);
    } else {
        debug_assert!(false, "a field of {} bytes at {offset} of {}", field.len(), bytes.len());
    }
}
