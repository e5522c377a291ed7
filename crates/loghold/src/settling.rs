//! Settling: how far a set of wanted chunks is, until each is ready or given up.
//! Refuses to watch and to wait: what happened is told to it.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::Duration;

use data_manager::data_chunk::ChunkId;

/// How long a source that fails is waited for, unless the user says otherwise.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// When a chunk is given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Patience {
    /// When its next try is this far away or farther: the hold expects nothing of its source soon.
    Time(Duration),
    /// After so many failed tries in a row, or when the hold does not try again.
    Tries(u32),
}

impl Patience {
    fn is_over(self, tries: u32, next_try: Option<Duration>) -> bool {
        let Some(next_try) = next_try else { return true };
        match self {
            Patience::Time(time) => next_try >= time,
            Patience::Tries(tries_max) => tries >= tries_max,
        }
    }

    /// Whether a chunk that failed `tries` times is given up after nothing at all has come for `silence`. A source that
    /// the hold leaves alone fails no tries, so a number of tries alone would never end the waiting for it.
    fn is_over_after(self, silence: Duration, tries: u32) -> bool {
        match self {
            Patience::Time(time) => silence >= time,
            Patience::Tries(_) => silence >= PATIENCE && tries == 0,
        }
    }
}

/// The chunks that are waited for.
#[derive(Debug)]
pub(crate) struct Settling {
    patience: Patience,
    waiting: HashSet<ChunkId>,
    /// Bytes of each chunk that is ready.
    ready: HashMap<ChunkId, u64>,
    ready_bytes: u64,
    /// Why each chunk was given up.
    given_up: BTreeMap<ChunkId, String>,
}

impl Settling {
    pub(crate) fn new(wanted: impl IntoIterator<Item = ChunkId>, patience: Patience) -> Settling {
        let waiting = wanted.into_iter().collect();
        Settling { patience, waiting, ready: HashMap::new(), ready_bytes: 0, given_up: BTreeMap::new() }
    }

    /// A chunk is ready, one that was given up as well: the hold goes on trying while others are waited for.
    pub(crate) fn became_ready(&mut self, id: ChunkId, bytes: u64) {
        let is_wanted = self.waiting.remove(&id) | self.given_up.remove(&id).is_some();
        if is_wanted && self.ready.insert(id, bytes).is_none() {
            self.ready_bytes += bytes;
        }
    }

    /// A chunk that was ready turned out to be damaged: it is waited for again.
    pub(crate) fn lost(&mut self, id: ChunkId) {
        if let Some(bytes) = self.ready.remove(&id) {
            self.ready_bytes = self.ready_bytes.saturating_sub(bytes);
            self.waiting.insert(id);
        }
    }

    /// A try failed. Answers whether the chunk is now given up.
    pub(crate) fn failed(
        &mut self,
        id: ChunkId,
        tries: u32,
        reason: &str,
        next_try: Option<Duration>,
    ) -> bool {
        let is_over = self.waiting.contains(&id) && self.patience.is_over(tries, next_try);
        if is_over {
            self.give_up(id, reason);
        }
        is_over
    }

    /// Nothing at all has come for `silence`, and this chunk waits after a failure. Answers whether it is now given up.
    pub(crate) fn got_nothing(&mut self, id: ChunkId, tries: u32, reason: &str, silence: Duration) -> bool {
        let is_over = self.waiting.contains(&id) && self.patience.is_over_after(silence, tries);
        if is_over {
            self.give_up(id, reason);
        }
        is_over
    }

    fn give_up(&mut self, id: ChunkId, reason: &str) {
        if self.waiting.remove(&id) {
            self.given_up.insert(id, reason.to_string());
        }
    }

    /// Whether nothing is waited for any more.
    pub(crate) fn is_settled(&self) -> bool {
        self.waiting.is_empty()
    }

    pub(crate) fn waiting(&self) -> impl Iterator<Item = ChunkId> + '_ {
        self.waiting.iter().copied()
    }

    pub(crate) fn is_waiting_for(&self, id: &ChunkId) -> bool {
        self.waiting.contains(id)
    }

    pub(crate) fn is_wanted(&self, id: &ChunkId) -> bool {
        self.waiting.contains(id) || self.given_up.contains_key(id) || self.ready.contains_key(id)
    }

    pub(crate) fn is_ready(&self, id: &ChunkId) -> bool {
        self.ready.contains_key(id)
    }

    pub(crate) fn ready_len(&self) -> usize {
        self.ready.len()
    }

    pub(crate) fn ready_bytes(&self) -> u64 {
        self.ready_bytes
    }

    pub(crate) fn wanted_len(&self) -> usize {
        self.waiting.len() + self.ready.len() + self.given_up.len()
    }

    pub(crate) fn given_up(&self) -> &BTreeMap<ChunkId, String> {
        &self.given_up
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: ChunkId = [1; 32];
    const TWO: ChunkId = [2; 32];

    #[test]
    fn a_set_is_settled_when_each_chunk_is_ready_or_given_up() {
        let mut settling = Settling::new([ONE, TWO], Patience::Time(PATIENCE));
        settling.became_ready(ONE, 10);
        settling.became_ready(ONE, 10);
        assert!(!settling.is_settled());
        assert!(settling.failed(TWO, 1, "404", Some(Duration::from_secs(45))));
        assert!(settling.is_settled());
        assert_eq!((settling.ready_len(), settling.ready_bytes(), settling.wanted_len()), (1, 10, 2));
        assert_eq!(settling.given_up()[&TWO], "404");
    }

    #[test]
    fn what_is_tried_again_soon_is_waited_for() {
        let mut settling = Settling::new([ONE], Patience::Time(PATIENCE));
        assert!(!settling.failed(ONE, 7, "reset", Some(Duration::from_secs(12))));
        assert!(settling.failed(ONE, 8, "refused", None));
    }

    #[test]
    fn a_number_of_tries_overrules_the_time_to_the_next() {
        let mut settling = Settling::new([ONE, TWO], Patience::Tries(3));
        assert!(!settling.failed(ONE, 2, "404", Some(Duration::from_hours(1))));
        assert!(settling.failed(ONE, 3, "404", Some(Duration::from_hours(1))));
        assert!(settling.failed(TWO, 1, "refused", None));
    }

    #[test]
    fn silence_ends_the_waiting_for_what_failed() {
        let seconds = Duration::from_secs;
        let mut settling = Settling::new([ONE], Patience::Time(seconds(5)));
        assert!(!settling.got_nothing(ONE, 4, "503", seconds(4)));
        assert!(settling.got_nothing(ONE, 4, "503", seconds(5)));
        let mut settling = Settling::new([ONE, TWO], Patience::Tries(9));
        assert!(!settling.got_nothing(ONE, 1, "503", Duration::from_hours(1)));
        assert!(settling.got_nothing(TWO, 0, "left alone", PATIENCE));
    }

    #[test]
    fn a_chunk_that_turns_out_damaged_is_waited_for_again() {
        let mut settling = Settling::new([ONE], Patience::Time(PATIENCE));
        settling.became_ready(ONE, 5);
        settling.lost(ONE);
        settling.lost(TWO);
        assert!(!settling.is_settled() && settling.is_waiting_for(&ONE));
        assert_eq!((settling.ready_len(), settling.ready_bytes(), settling.wanted_len()), (0, 0, 1));
    }

    #[test]
    fn a_chunk_that_was_given_up_and_comes_after_all_counts() {
        let mut settling = Settling::new([ONE, TWO], Patience::Tries(1));
        settling.failed(ONE, 1, "reset", Some(Duration::ZERO));
        settling.became_ready(ONE, 5);
        assert!(settling.given_up().is_empty());
        assert!(settling.is_ready(&ONE));
        settling.became_ready([9; 32], 100);
        assert_eq!(settling.ready_bytes(), 5);
    }
}
