//! `FilePlan`: which parts of a file are here, which are being fetched, and which to fetch next. Pure.
//! Refuses to fetch, and to say how long a request is: it gives out stretches of segments, each to one request, which takes
//! as much of it as it is told to.

use std::collections::BTreeMap;
use std::ops::Range;

use crate::data_source::Validator;
use crate::digest::{ChainingValue, SEGMENT_BYTES, file_hash, segment_count, segment_len};

/// One file's way onto the disk.
#[derive(Debug, Default)]
pub(crate) struct FilePlan {
    /// Bytes in all, once known.
    total: Option<u64>,
    /// Which version of the object the parts are of.
    validator: Option<Validator>,
    /// Segments that are written and hashed.
    done: BTreeMap<u64, ChainingValue>,
    /// Bytes that are being fetched, by where the run begins. The end of a run of unknown length is `u64::MAX`.
    claimed: BTreeMap<u64, u64>,
    /// Where the run begins that has everything up to the next one, until its request is made: at most one at a time.
    unsettled: Option<u64>,
    /// The source gives no parts that could be joined: one request fetches it all.
    is_whole_only: bool,
    /// Whether the part map knows the total and the validator that are known here.
    is_noted: bool,
}

/// What was learnt of an object is not what was known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mismatch(pub(crate) String);

impl FilePlan {
    /// `total` is what the descriptor says.
    pub(crate) fn new(total: Option<u64>) -> FilePlan {
        FilePlan { total, ..FilePlan::default() }
    }

    /// Takes up where an earlier run of the program stopped.
    pub(crate) fn resume(
        &mut self,
        total: u64,
        validator: Option<Validator>,
        done: BTreeMap<u64, ChainingValue>,
    ) {
        self.total = Some(total);
        self.validator = validator;
        self.done = done;
        self.is_noted = true;
    }

    pub(crate) fn total(&self) -> Option<u64> {
        self.total
    }

    pub(crate) fn validator(&self) -> Option<&Validator> {
        self.validator.as_ref()
    }

    /// Bytes that are written and hashed.
    pub(crate) fn done_bytes(&self) -> u64 {
        self.total.map_or(0, |total| self.done.keys().map(|index| segment_len(*index, total)).sum())
    }

    /// Whether every segment is done.
    pub(crate) fn is_complete(&self) -> bool {
        self.total.is_some_and(|total| u64::try_from(self.done.len()) == Ok(segment_count(total)))
    }

    /// The file's digest, when it is complete.
    pub(crate) fn digest(&self) -> Option<[u8; 32]> {
        let values: Vec<ChainingValue> = self.done.values().copied().collect();
        file_hash(self.total?, &values).filter(|_| self.is_complete())
    }

    /// The bytes that the next request may fetch, which are its own until it settles for some of them. An empty range asks
    /// for an object of unknown length from its beginning.
    pub(crate) fn claim(&mut self) -> Option<Range<u64>> {
        if self.unsettled.is_some() {
            return None;
        }
        let Some(total) = self.total else {
            // One request finds out how long the object is.
            if !self.claimed.is_empty() {
                return None;
            }
            self.take(0, u64::MAX);
            return Some(0..0);
        };
        if self.is_whole_only {
            if !self.claimed.is_empty() || self.is_complete() {
                return None;
            }
            self.done.clear();
            self.take(0, total);
            return Some(0..total);
        }
        let segments = segment_count(total);
        let first = (0..segments).find(|index| self.is_free(*index))?;
        let start = first * SEGMENT_BYTES;
        let claimed = self.claimed.range(start..).next().map(|(next, _)| *next);
        let done = self.done.range(first..).next().map(|(next, _)| next * SEGMENT_BYTES);
        let range = start..[claimed, done].into_iter().flatten().fold(total, u64::min);
        self.take(range.start, range.end);
        Some(range)
    }

    fn take(&mut self, start: u64, end: u64) {
        self.claimed.insert(start, end);
        self.unsettled = Some(start);
    }

    /// The first request of the run that begins at `start` is made now, for `bytes` or a little more: the rest is for others.
    /// Returns where the run ends, if it was not settled yet and that is known.
    pub(crate) fn settle(&mut self, start: u64, bytes: u64) -> Option<u64> {
        self.unsettled.take_if(|unsettled| *unsettled == start)?;
        self.total?;
        let end = self.claimed.get_mut(&start)?;
        if !self.is_whole_only {
            let cut = start.saturating_add(bytes.max(1)).checked_next_multiple_of(SEGMENT_BYTES);
            *end = u64::min(*end, cut.unwrap_or(u64::MAX));
        }
        Some(*end)
    }

    fn is_free(&self, index: u64) -> bool {
        let begin = index * SEGMENT_BYTES;
        let is_claimed = self.claimed.range(..=begin).next_back().is_some_and(|(_, end)| *end > begin);
        !is_claimed && !self.done.contains_key(&index)
    }

    /// What an answer says of the whole object. The first one decides, the others must agree. Returns whether the part map
    /// is to be told.
    ///
    /// # Errors
    /// When the object is another version than before.
    pub(crate) fn learn(
        &mut self,
        total: Option<u64>,
        validator: Option<&Validator>,
    ) -> Result<bool, Mismatch> {
        if let (Some(known), Some(total)) = (self.total, total)
            && known != total
        {
            return Err(Mismatch(format!("the object has {total} bytes, and {known} were expected")));
        }
        if let (Some(known), Some(validator)) = (&self.validator, validator)
            && known != validator
        {
            return Err(Mismatch("the object has changed since its download began".to_string()));
        }
        let is_new_version = self.validator.is_none() && validator.is_some();
        self.total = self.total.or(total);
        self.validator = self.validator.take().or_else(|| validator.cloned());
        let is_news = self.total.is_some() && (is_new_version || !self.is_noted);
        self.is_noted |= is_news;
        Ok(is_news)
    }

    /// The run that begins at `start` ends at `end`: its length has become known, or it was cut.
    pub(crate) fn set_claim_end(&mut self, start: u64, end: u64) {
        if let Some(claimed) = self.claimed.get_mut(&start) {
            *claimed = end;
        }
    }

    pub(crate) fn segment_done(&mut self, index: u64, value: ChainingValue) {
        self.done.insert(index, value);
    }

    /// A run ended, with all its bytes or not: what is not done may be claimed anew.
    pub(crate) fn release(&mut self, start: u64) {
        self.claimed.remove(&start);
        self.unsettled.take_if(|unsettled| *unsettled == start);
    }

    /// All runs were stopped.
    pub(crate) fn release_all(&mut self) {
        self.claimed.clear();
        self.unsettled = None;
    }

    /// From now on the object is fetched by one request from its beginning.
    pub(crate) fn fetch_whole(&mut self) {
        self.is_whole_only = true;
    }

    /// Whether the object is fetched by one request, which nothing can continue.
    pub(crate) fn is_whole_only(&self) -> bool {
        self.is_whole_only
    }

    /// Forgets everything but what the descriptor says, and that the source gives no parts.
    pub(crate) fn start_over(&mut self, total: Option<u64>) {
        self.total = total;
        self.validator = None;
        self.is_noted = false;
        self.done.clear();
        self.release_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOTAL: u64 = 8 * SEGMENT_BYTES;

    fn drain(plan: &mut FilePlan) -> Vec<Range<u64>> {
        std::iter::from_fn(|| plan.claim().inspect(|run| assert!(plan.settle(run.start, TOTAL).is_some())))
            .collect()
    }

    #[test]
    fn what_a_request_does_not_settle_for_is_for_the_next_one() {
        let mut plan = FilePlan::new(Some(TOTAL + 5));
        assert_eq!(plan.claim(), Some(0..TOTAL + 5));
        assert_eq!(plan.claim(), None, "until its request is made, the first has all of it");
        assert_eq!(plan.settle(0, SEGMENT_BYTES + 1), Some(2 * SEGMENT_BYTES), "segments are not cut");
        assert_eq!(plan.settle(0, 1), None, "its later requests are for the same");
        assert_eq!(plan.claim(), Some(2 * SEGMENT_BYTES..TOTAL + 5));
        assert_eq!(plan.settle(2 * SEGMENT_BYTES, TOTAL), Some(TOTAL + 5));
        assert_eq!(plan.claim(), None);
    }

    #[test]
    fn an_object_that_is_fetched_whole_is_not_shared() {
        let mut plan = FilePlan::new(Some(TOTAL));
        plan.fetch_whole();
        assert_eq!(plan.claim(), Some(0..TOTAL));
        assert_eq!(plan.settle(0, 1), Some(TOTAL));
        assert_eq!(plan.claim(), None);
    }

    #[test]
    fn a_run_that_ends_before_its_request_was_made_leaves_all_of_it() {
        let mut plan = FilePlan::new(Some(TOTAL));
        for _ in 0..2 {
            assert_eq!(plan.claim(), Some(0..TOTAL));
            plan.release(0);
        }
        assert_eq!(plan.claim(), Some(0..TOTAL));
        plan.release_all();
        assert_eq!(plan.claim(), Some(0..TOTAL));
    }

    #[test]
    fn an_empty_file_is_complete_without_a_request() {
        let mut plan = FilePlan::new(Some(0));
        assert_eq!(plan.claim(), None);
        assert_eq!(plan.digest(), Some(*blake3::hash(b"").as_bytes()));
    }

    #[test]
    fn one_request_finds_out_the_length_before_others_start() {
        let mut plan = FilePlan::new(None);
        assert_eq!(plan.claim(), Some(0..0));
        assert_eq!(plan.settle(0, TOTAL), None);
        assert_eq!(plan.claim(), None);
        plan.learn(Some(100 << 20), None).expect("first answer");
        plan.set_claim_end(0, 16 << 20);
        assert_eq!(plan.claim(), Some(16 << 20..100 << 20));
    }

    #[test]
    fn what_was_done_before_is_not_fetched_again() {
        let mut plan = FilePlan::new(None);
        let done = BTreeMap::from([(0, [0; 32]), (2, [2; 32])]);
        plan.resume(3 * SEGMENT_BYTES + 1, None, done);
        assert_eq!(
            drain(&mut plan),
            [SEGMENT_BYTES..2 * SEGMENT_BYTES, 3 * SEGMENT_BYTES..3 * SEGMENT_BYTES + 1]
        );
    }

    #[test]
    fn another_version_of_the_object_is_refused() {
        let mut plan = FilePlan::new(None);
        let first = Validator("\"a\"".to_string());
        plan.learn(Some(10), Some(&first)).expect("first answer");
        assert!(plan.learn(Some(11), Some(&first)).is_err());
        assert!(plan.learn(Some(10), Some(&Validator("\"b\"".to_string()))).is_err());
        assert_eq!(plan.learn(Some(10), Some(&first)), Ok(false));
    }

    #[test]
    fn a_released_run_is_claimed_again_without_its_done_segments() {
        let mut plan = FilePlan::new(Some(TOTAL));
        assert_eq!(plan.claim(), Some(0..TOTAL));
        plan.segment_done(0, [0; 32]);
        plan.release(0);
        assert_eq!(plan.claim(), Some(SEGMENT_BYTES..TOTAL));
    }
}
