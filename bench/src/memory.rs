//! What memory alone costs: the raw limits of finding a chunk and pinning it.
//! Refuses to find anything: it is told by number where to look.

use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::chunks::BLOCKS;

/// As large as a chunk in the hold's memory.
type Chunk = [u64; 9];

/// As much memory as the chunks take, in arrays.
pub(crate) struct Raw {
    firsts: Vec<u64>,
    lines: Vec<[AtomicU64; 8]>,
    chunks: Vec<Arc<Chunk>>,
}

impl Raw {
    /// What so many chunks take.
    pub(crate) fn new(count: u64) -> Raw {
        Raw {
            firsts: (0..count).map(|number| number * BLOCKS).collect(),
            lines: (0..count).map(|_| Default::default()).collect(),
            chunks: (0..count).map(|number| Arc::new([number; 9])).collect(),
        }
    }
}

/// A limit: its name, and how the chunk with a number is looked at.
type Limit = (&'static str, fn(&Raw, u64));

/// The limits. Looking at the clock is in all of them, as it is in what they are compared with.
pub(crate) const LIMITS: [Limit; 4] = [
    ("looking at the clock", clock),
    ("a count in as many cache lines, up and down", count),
    ("Arcs in an array, one cloned and dropped", pin),
    ("binary search of first blocks, no pins", search),
];

fn clock(_: &Raw, number: u64) {
    black_box(number);
}

/// One cache line that is in no cache: what is left of a pin if it is found for nothing.
fn count(raw: &Raw, number: u64) {
    let Some([count, ..]) = raw.lines.get(place(number)) else { return };
    count.fetch_add(1, Ordering::Relaxed);
    black_box(count);
    count.fetch_sub(1, Ordering::Release);
}

/// Two cache lines, of which the second is known only when the first has come: a pin that is found through a pointer.
pub(crate) fn pin(raw: &Raw, number: u64) {
    let pin = raw.chunks.get(place(number)).map(Arc::clone);
    black_box(&pin);
}

fn search(raw: &Raw, number: u64) {
    black_box(raw.firsts.partition_point(|first| *first <= number * BLOCKS));
}

/// No memory at all: whether two threads are two cores.
pub(crate) fn arithmetic(number: u64) {
    let sum = (0..64).fold(number, |sum: u64, step| (sum ^ step).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    black_box(sum);
}

fn place(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}
