//! Bytes that a program would not write: noise, and honest files with a few wrong numbers and checksums that fit.
//! Refuses to use the log's own code: the layout is that of `docs/formats`.

use crate::drive::{Part, honest_bytes};

/// Where the first batch of a data file begins, and how long heads are.
const FIRST_BATCH: usize = 80;
const SEGMENT_HEAD: usize = 80;
const BATCH_HEAD: usize = 48;
const INDEX_HEAD: usize = 96;

pub(crate) struct Mutator(u64);

impl Mutator {
    pub(crate) fn new(seed: u64) -> Mutator {
        Mutator(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB) >> 7
    }

    fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % (bound.max(1) as u64)).unwrap()
    }

    pub(crate) fn noise(&mut self) -> Vec<u8> {
        let len = [0, 1, 28, 80, 200, 4096][self.below(6)];
        (0..len).map(|_| self.next().to_le_bytes()[0]).collect()
    }

    /// A number that breaks sums: small, large, or near a power of two.
    fn number(&mut self) -> u64 {
        match self.below(5) {
            0 => self.next() % 100,
            1 => u64::MAX - self.next() % 3,
            2 => (1 << self.below(64)) - self.next() % 2,
            3 => u64::from(u32::MAX) - self.next() % 3,
            _ => self.next(),
        }
    }

    pub(crate) fn mutated(&mut self, part: Part) -> Vec<u8> {
        let mut bytes = honest_bytes(part).to_vec();
        for _ in 0..=self.below(3) {
            self.change(part, &mut bytes);
        }
        if self.below(20) == 0 {
            let len = self.below(bytes.len());
            bytes.truncate(len);
        }
        bytes
    }

    fn change(&mut self, part: Part, bytes: &mut [u8]) {
        let heads = batch_heads(bytes);
        let (start, end) = match part {
            Part::Metadata | Part::Tail | Part::Transid => (0, bytes.len()),
            Part::Index if self.below(2) == 0 => (0, INDEX_HEAD),
            Part::Index => (INDEX_HEAD, bytes.len()),
            Part::Sealed | Part::Last => match self.below(4) {
                0 => (0, SEGMENT_HEAD),
                1 => (FIRST_BATCH, bytes.len()),
                _ => {
                    let head = heads[self.below(heads.len())];
                    (head, head + BATCH_HEAD)
                }
            },
        };
        let width = [1, 2, 4, 8][self.below(4)].min(end - start);
        let at = start + self.below((end - start) / width) * width;
        let number = self.number().to_le_bytes();
        bytes[at..at + width].copy_from_slice(&number[..width]);
        seal(part, bytes, &heads);
    }
}

/// The last data file, beginning with this record, and with nothing but its first batch, which has no records.
pub(crate) fn far_beyond(first: u64) -> Vec<u8> {
    let mut bytes = honest_bytes(Part::Last).to_vec();
    let heads = batch_heads(&bytes);
    bytes[40..48].copy_from_slice(&first.to_le_bytes());
    bytes[FIRST_BATCH + 16..FIRST_BATCH + 24].copy_from_slice(&first.to_le_bytes());
    bytes[heads[1]..].fill(0);
    seal(Part::Last, &mut bytes, &heads[..1]);
    bytes
}

/// Where the batches of a data file begin, by the lengths that they tell.
fn batch_heads(bytes: &[u8]) -> Vec<usize> {
    let mut heads = Vec::new();
    let mut at = FIRST_BATCH;
    while bytes.len() >= at + BATCH_HEAD && &bytes[at..at + 2] == b"LB" {
        heads.push(at);
        let len = u32::from_le_bytes(bytes[at + 32..at + 36].try_into().unwrap()) as usize;
        at = at.saturating_add(BATCH_HEAD).saturating_add(len).next_multiple_of(8);
    }
    if heads.is_empty() { vec![FIRST_BATCH] } else { heads }
}

/// Makes all checksums fit that stand over numbers.
fn seal(part: Part, bytes: &mut [u8], heads: &[usize]) {
    let put = |bytes: &mut [u8], at: usize, crc: u32| bytes[at..at + 4].copy_from_slice(&crc.to_le_bytes());
    match part {
        Part::Metadata => {}
        Part::Tail => put(bytes, 76, crc32(&bytes[..76])),
        Part::Transid => {
            for slot in (0..bytes.len() / 32).map(|number| number * 32) {
                put(bytes, slot + 28, crc32(&bytes[slot..slot + 28]));
            }
        }
        Part::Index => {
            put(bytes, 84, crc32(&bytes[INDEX_HEAD..]));
            put(bytes, INDEX_HEAD - 4, crc32(&bytes[..INDEX_HEAD - 4]));
        }
        Part::Sealed | Part::Last => {
            put(bytes, 76, crc32(&bytes[..76]));
            let len = bytes.len();
            for at in heads.iter().copied().filter(|at| at + BATCH_HEAD <= len) {
                let checked = [&bytes[32..40], &bytes[at..at + 4], &bytes[at + 8..at + BATCH_HEAD]].concat();
                put(bytes, at + 4, crc32(&checked));
            }
        }
    }
}

/// CRC-32 as of IEEE 802.3, bit by bit.
fn crc32(bytes: &[u8]) -> u32 {
    let mut crc = u32::MAX;
    for byte in bytes {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = (crc >> 1) ^ (0xEDB8_8320 & (crc & 1).wrapping_neg());
        }
    }
    !crc
}
