//! Whose turn it is: the order of downloads, and who waits for a later try. Pure.
//! Refuses to know what a download is.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::assignment::Priority;
use crate::data_chunk::ChunkId;

/// Waiting one second counts as much as being this many bytes shorter, so that large chunks do not starve.
const AGEING_BYTES_PER_SECOND: u64 = 8 << 20;

/// What a chunk of unknown size is taken for.
pub(crate) const UNKNOWN_BYTES: u64 = 64 << 20;

/// A place in the order: higher priority first, then the one that would be done soonest. Less is sooner.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Turn {
    priority_reversed: i32,
    due_ms: u64,
    id: ChunkId,
}

impl Turn {
    /// The turn of a chunk that asked at `arrived` and has `bytes` still to fetch.
    ///
    /// The key is static (arrival plus a size in time), which orders exactly as if every waiting chunk aged at the same
    /// rate, and never has to be recomputed.
    pub(crate) fn new(priority: Priority, arrived: Duration, bytes: u64, id: ChunkId) -> Turn {
        let arrived_ms = u64::try_from(arrived.as_millis()).unwrap_or(u64::MAX);
        let size_ms = bytes.saturating_mul(1_000) / AGEING_BYTES_PER_SECOND;
        Turn {
            priority_reversed: priority.0.saturating_neg(),
            due_ms: arrived_ms.saturating_add(size_ms),
            id,
        }
    }
}

/// The chunks that wait: for their turn, or for a time.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    due: BTreeSet<Turn>,
    later: BTreeSet<(Duration, Turn)>,
}

impl Queue {
    /// Adds a chunk that may start at `not_before`.
    pub(crate) fn push(&mut self, turn: Turn, not_before: Duration, now: Duration) {
        if not_before <= now {
            self.due.insert(turn);
        } else {
            self.later.insert((not_before, turn));
        }
    }

    /// Takes a chunk out, wherever it waits; `not_before` is what it was pushed with.
    pub(crate) fn remove(&mut self, turn: Turn, not_before: Duration) {
        if !self.due.remove(&turn) {
            self.later.remove(&(not_before, turn));
        }
    }

    /// Takes the chunk whose turn it is.
    pub(crate) fn pop(&mut self, now: Duration) -> Option<ChunkId> {
        self.ripen(now);
        self.due.pop_first().map(|turn| turn.id)
    }

    /// Takes the chunk whose turn would be last among those of the priority whose turn it is.
    pub(crate) fn pop_last(&mut self, now: Duration) -> Option<ChunkId> {
        self.ripen(now);
        let end = Turn { due_ms: u64::MAX, id: [u8::MAX; 32], ..*self.due.first()? };
        let turn = *self.due.range(..=end).next_back()?;
        self.due.remove(&turn);
        Some(turn.id)
    }

    fn ripen(&mut self, now: Duration) {
        while let Some(&(at, turn)) = self.later.first() {
            if at > now {
                break;
            }
            self.later.pop_first();
            self.due.insert(turn);
        }
    }

    /// When the next waiting chunk becomes due.
    pub(crate) fn next_time(&self) -> Option<Duration> {
        self.later.first().map(|&(at, _)| at)
    }

    /// How many wait, for their turn or for a time.
    pub(crate) fn len(&self) -> usize {
        self.due.len() + self.later.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn turn(priority: i32, arrived_s: u64, bytes: u64, id: u8) -> Turn {
        Turn::new(Priority(priority), Duration::from_secs(arrived_s), bytes, [id; 32])
    }

    #[test]
    fn the_shortest_goes_first_among_equals_and_priority_before_all() {
        let mut queue = Queue::default();
        for turn in [turn(0, 0, 900, 1), turn(0, 0, 9 << 30, 2), turn(5, 9, 1 << 40, 3)] {
            queue.push(turn, Duration::ZERO, Duration::ZERO);
        }
        let order: Vec<u8> = std::iter::from_fn(|| queue.pop(Duration::ZERO)).map(|id| id[0]).collect();
        assert_eq!(order, [3, 1, 2]);
    }

    #[test]
    fn a_large_chunk_does_not_starve_behind_small_ones_that_keep_coming() {
        let mut queue = Queue::default();
        queue.push(turn(0, 0, 800 << 20, 1), Duration::ZERO, Duration::ZERO);
        let small = turn(0, 101, 1, 2);
        queue.push(small, Duration::ZERO, Duration::ZERO);
        assert_eq!(queue.pop(Duration::ZERO), Some([1; 32]), "100 s of waiting outweigh 800 MiB");
    }

    #[test]
    fn a_chunk_that_waits_for_a_time_is_not_given_out_before() {
        let mut queue = Queue::default();
        queue.push(turn(0, 0, 1, 1), Duration::from_secs(5), Duration::ZERO);
        assert_eq!(queue.pop(Duration::from_secs(4)), None);
        assert_eq!(queue.next_time(), Some(Duration::from_secs(5)));
        assert_eq!(queue.pop(Duration::from_secs(5)), Some([1; 32]));
    }

    #[test]
    fn the_last_one_is_taken_among_those_of_the_highest_priority() {
        let mut queue = Queue::default();
        for turn in [turn(1, 0, 5 << 30, 1), turn(1, 0, 9 << 30, 2), turn(0, 0, 20 << 30, 3)] {
            queue.push(turn, Duration::ZERO, Duration::ZERO);
        }
        let order: Vec<u8> = std::iter::from_fn(|| queue.pop_last(Duration::ZERO)).map(|id| id[0]).collect();
        assert_eq!(order, [2, 1, 3]);
    }
}
