//! A batch of format 2: a head of 48 bytes, the frames of its records, and its controls. All of it is valid, or nothing.
//! Refuses stale bytes: the head's checksum starts from the file's generation, and sums up the checks of the frames.

use crate::bytes::{put, u16_at, u32_at, u64_at};
use crate::checksum::crc32_of;
use crate::codec::{compress, decompress};
use crate::control::{self, Control};
use crate::frame::{digest, read_frame};
use crate::outgoing::{BATCH_HEAD_BYTES, Outgoing};
use crate::parameters::Codec;

/// How every batch begins.
pub(crate) const MAGIC: [u8; 2] = *b"LB";

/// Flags: the codec in the low four bits.
const CODEC_MASK: u16 = 0x000f;
const HAS_CONTROLS: u16 = 0x0010;

/// In front of compressed frames: their length when they are not, and the checksum of what is stored.
const PACKED_HEAD_BYTES: usize = 8;

/// What a batch says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BatchHead {
    pub(crate) flags: u16,
    /// The batch's number: 1, 2, 3 over all files of the log, rollbacks included.
    pub(crate) seq: u64,
    /// The id of the first record; that of the next one when it has none.
    pub(crate) first: u64,
    /// Microseconds since 1970.
    pub(crate) appended_at: u64,
    /// Bytes behind the head, without the padding to the next block.
    pub(crate) body_len: u32,
    pub(crate) count: u32,
    /// The sum of the records' checks.
    pub(crate) digest: u32,
    /// How many of the batches before it, counted back from it, were not known to be durable when it was built.
    pub(crate) durable_lag: u32,
}

impl BatchHead {
    /// All batches up to this one were durable when the batch was built.
    pub(crate) fn durable_upto(&self) -> u64 {
        self.seq.saturating_sub(u64::from(self.durable_lag))
    }

    /// The id behind the last record.
    pub(crate) fn next(&self) -> u64 {
        self.first.saturating_add(u64::from(self.count))
    }

    pub(crate) fn codec(&self) -> Option<Codec> {
        Codec::from_number(self.flags & CODEC_MASK)
    }

    fn encode(&self, generation: u64) -> [u8; BATCH_HEAD_BYTES] {
        let mut bytes = [0; BATCH_HEAD_BYTES];
        put(&mut bytes, 0, &MAGIC);
        put(&mut bytes, 2, &self.flags.to_le_bytes());
        put(&mut bytes, 8, &self.seq.to_le_bytes());
        put(&mut bytes, 16, &self.first.to_le_bytes());
        put(&mut bytes, 24, &self.appended_at.to_le_bytes());
        put(&mut bytes, 32, &self.body_len.to_le_bytes());
        put(&mut bytes, 36, &self.count.to_le_bytes());
        put(&mut bytes, 40, &self.digest.to_le_bytes());
        put(&mut bytes, 44, &self.durable_lag.to_le_bytes());
        let crc = head_crc(&bytes, generation);
        put(&mut bytes, 4, &crc.to_le_bytes());
        bytes
    }

    /// Reads a head; `None` when there is none of this generation.
    pub(crate) fn decode(bytes: &[u8], generation: u64) -> Option<BatchHead> {
        let bytes: &[u8; BATCH_HEAD_BYTES] = bytes.first_chunk()?;
        if !bytes.starts_with(&MAGIC) || u32_at(bytes, 4)? != head_crc(bytes, generation) {
            return None;
        }
        Some(BatchHead {
            flags: u16_at(bytes, 2)?,
            seq: u64_at(bytes, 8)?,
            first: u64_at(bytes, 16)?,
            appended_at: u64_at(bytes, 24)?,
            body_len: u32_at(bytes, 32)?,
            count: u32_at(bytes, 36)?,
            digest: u32_at(bytes, 40)?,
            durable_lag: u32_at(bytes, 44)?,
        })
    }
}

fn head_crc(bytes: &[u8; BATCH_HEAD_BYTES], generation: u64) -> u32 {
    let (before, rest) = bytes.split_at(4);
    let after = rest.get(4..).unwrap_or_default();
    crc32_of(&[&generation.to_le_bytes(), before, after])
}

/// What a batch is given besides its records, when it is written.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stamp {
    pub(crate) generation: u64,
    pub(crate) seq: u64,
    pub(crate) durable_upto: u64,
    pub(crate) codec: Codec,
}

/// A batch as it is written.
#[derive(Debug)]
pub(crate) struct Encoded {
    /// Head and body.
    pub(crate) bytes: Vec<u8>,
}

/// Completes a batch. The buffer is taken out of `outgoing`, and becomes the batch's bytes.
pub(crate) fn encode(outgoing: &mut Outgoing, stamp: Stamp) -> Encoded {
    let mut bytes = std::mem::take(&mut outgoing.buffer);
    let mut flags = 0;
    if stamp.codec != Codec::None
        && let Some(packed) = pack(bytes.get(BATCH_HEAD_BYTES..).unwrap_or_default(), stamp)
    {
        bytes.truncate(BATCH_HEAD_BYTES);
        bytes.extend_from_slice(&packed);
        flags |= stamp.codec.number();
    }
    if !outgoing.controls.is_empty() {
        flags |= HAS_CONTROLS;
        control::encode(&outgoing.controls, &mut bytes);
    }
    let head = BatchHead {
        flags,
        seq: stamp.seq,
        first: outgoing.first,
        appended_at: outgoing.appended_at,
        body_len: u32::try_from(bytes.len().saturating_sub(BATCH_HEAD_BYTES)).unwrap_or(u32::MAX),
        count: u32::try_from(outgoing.count()).unwrap_or(u32::MAX),
        digest: outgoing.digest,
        durable_lag: u32::try_from(stamp.seq.saturating_sub(stamp.durable_upto)).unwrap_or(u32::MAX),
    };
    put(&mut bytes, 0, &head.encode(stamp.generation));
    Encoded { bytes }
}

/// Compresses frames; `None` when that does not save a sixteenth of them.
fn pack(frames: &[u8], stamp: Stamp) -> Option<Vec<u8>> {
    let raw_len = u32::try_from(frames.len()).ok()?;
    let packed = compress(stamp.codec, frames)?;
    let is_worth_it = packed.len().saturating_add(PACKED_HEAD_BYTES) <= frames.len() - frames.len() / 16;
    if !is_worth_it {
        return None;
    }
    let raw_len = raw_len.to_le_bytes();
    let crc = crc32_of(&[&stamp.generation.to_le_bytes(), &raw_len, &packed]);
    let mut bytes = Vec::with_capacity(PACKED_HEAD_BYTES.saturating_add(packed.len()));
    bytes.extend_from_slice(&raw_len);
    bytes.extend_from_slice(&crc.to_le_bytes());
    bytes.extend_from_slice(&packed);
    Some(bytes)
}

/// The frames of a batch, and its controls.
#[derive(Debug)]
pub(crate) struct Body<'a> {
    pub(crate) frames: std::borrow::Cow<'a, [u8]>,
    pub(crate) controls: Vec<Control>,
}

/// Takes a body apart, verifying controls and compressed bytes, but not the records.
///
/// `raw_bytes_max` bounds what compressed frames may become: a damaged length must not take memory.
pub(crate) fn open<'a>(
    head: &BatchHead,
    body: &'a [u8],
    generation: u64,
    raw_bytes_max: usize,
) -> Option<Body<'a>> {
    let body = body.get(..head.body_len as usize)?;
    let (frames, controls) =
        if head.flags & HAS_CONTROLS == 0 { (body, Vec::new()) } else { control::decode(body)? };
    let codec = head.codec()?;
    if codec == Codec::None {
        return Some(Body { frames: frames.into(), controls });
    }
    let (raw_len, packed) = (u32_at(frames, 0)?, frames.get(PACKED_HEAD_BYTES..)?);
    let crc = crc32_of(&[&generation.to_le_bytes(), &raw_len.to_le_bytes(), packed]);
    if crc != u32_at(frames, 4)? || raw_len as usize > raw_bytes_max {
        return None;
    }
    Some(Body { frames: decompress(codec, packed, raw_len as usize)?.into(), controls })
}

/// Verifies every record of a body, and tells where each begins, counted from the first.
pub(crate) fn verify(
    head: &BatchHead,
    frames: &[u8],
    offsets: &mut Vec<u32>,
    types: &mut Vec<u32>,
) -> Option<()> {
    let (mut rest, mut sum) = (frames, 0);
    for id in head.first..head.next() {
        let offset = frames.len().checked_sub(rest.len())?;
        let (frame, behind) = read_frame(rest, id)?;
        offsets.push(u32::try_from(offset).ok()?);
        types.push(frame.type_no);
        sum = digest(sum, frame.check);
        rest = behind;
    }
    (sum == head.digest && rest.is_empty()).then_some(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::Unframed;

    fn batch(codec: Codec, generation: u64) -> Vec<u8> {
        let mut outgoing = Outgoing::new(5, Vec::new(), Vec::new());
        for number in 0..20u32 {
            outgoing.push(&Unframed::new(number % 3, &[b'x'; 40]));
        }
        outgoing.controls.push(Control::Finalized(4));
        outgoing.appended_at = 99;
        encode(&mut outgoing, Stamp { generation, seq: 8, durable_upto: 6, codec }).bytes
    }

    fn read(bytes: &[u8], generation: u64) -> Option<(BatchHead, Vec<Control>, usize)> {
        let head = BatchHead::decode(bytes, generation)?;
        let body = open(&head, bytes.get(BATCH_HEAD_BYTES..)?, generation, 1 << 16)?;
        let (mut offsets, mut types) = (Vec::new(), Vec::new());
        verify(&head, &body.frames, &mut offsets, &mut types)?;
        assert_eq!(offsets.len(), types.len());
        Some((head, body.controls, offsets.len()))
    }

    #[test]
    fn a_batch_is_read_back_whatever_the_codec() {
        for codec in [Codec::None, Codec::Zlib, Codec::Lz4, Codec::Zstd] {
            let bytes = batch(codec, 3);
            let (head, controls, count) = read(&bytes, 3).unwrap();
            assert_eq!((head.seq, head.first, head.next(), head.durable_upto()), (8, 5, 25, 6));
            assert_eq!((controls, count), (vec![Control::Finalized(4)], 20));
            assert_eq!(head.codec(), Some(codec));
            assert_eq!(codec == Codec::None, bytes.len() > 20 * 52);
        }
    }

    #[test]
    fn a_batch_of_another_generation_is_none() {
        assert!(read(&batch(Codec::None, 3), 4).is_none());
    }

    #[test]
    fn every_flipped_bit_of_a_batch_is_found() {
        for codec in [Codec::None, Codec::Lz4] {
            let mut bytes = batch(codec, 3);
            for bit in 0..bytes.len() * 8 {
                bytes[bit / 8] ^= 1 << (bit % 8);
                assert!(read(&bytes, 3).is_none(), "bit {bit} with {codec:?}");
                bytes[bit / 8] ^= 1 << (bit % 8);
            }
        }
    }

    #[test]
    fn an_old_frame_under_a_new_head_is_found() {
        let old = batch(Codec::None, 3);
        let mut outgoing = Outgoing::new(5, Vec::new(), Vec::new());
        for number in 0..20u32 {
            outgoing.push(&Unframed::new(number % 3, &[b'y'; 40]));
        }
        outgoing.controls.push(Control::Finalized(4));
        let stamp = Stamp { generation: 3, seq: 8, durable_upto: 6, codec: Codec::None };
        let mut torn = encode(&mut outgoing, stamp).bytes;
        assert!(read(&torn, 3).is_some());
        torn[100..200].copy_from_slice(&old[100..200]);
        assert!(read(&torn, 3).is_none(), "half of the old bytes");
        let at = BATCH_HEAD_BYTES;
        torn[at..at + 1040].copy_from_slice(&old[at..at + 1040]);
        assert!(read(&torn, 3).is_none(), "all of the old frames");
    }
}
