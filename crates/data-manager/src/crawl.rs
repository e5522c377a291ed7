//! Crawl: whether a body comes so slowly that it is better asked for anew. Pure.
//! Refuses to read a clock or to ask: it is told how long a piece was waited for, and answers a pace.

use std::time::Duration;

/// A body is given up when it brings less than this many bytes in this much time of waiting for it.
pub(crate) const CRAWL_BYTES: u64 = 16 << 10;
pub(crate) const CRAWL_TIME: Duration = Duration::from_secs(15);

/// A body is outpaced when it brings less than this part of what others bring, for this much time of waiting for it; doubled
/// from one to the next of a run, for it may be the object that is slow.
const OUTPACED_PART: u64 = 8;
const OUTPACED_TIME: Duration = Duration::from_secs(1);

/// After this many bodies of a run were outpaced, the next one may be.
const OUTPACED_MAX: u32 = 4;

/// A body that would have to begin anew is given up after this much time, doubled from one try of its chunk to the next, so often.
const HOPELESS_TIME: Duration = Duration::from_secs(15);
const HOPELESS_DOUBLED_MAX: u32 = 8;

/// How the bodies of one run come.
#[derive(Debug, Default)]
pub(crate) struct Crawl {
    body: Part,
    /// Since it was last looked whether it crawls at all, and beside others.
    of_late: Part,
    since_outpaced: Part,
    outpaced: u32,
}

/// What came of a body in how much time of waiting for it.
#[derive(Debug, Default, Clone, Copy)]
struct Part {
    bytes: u64,
    waited: Duration,
}

/// What is to become of a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pace {
    Sound,
    /// Others bring many times as much: what is left is asked for anew.
    Outpaced,
    /// It brings next to nothing.
    Crawling,
}

impl Crawl {
    /// Another body begins.
    pub(crate) fn begin(&mut self) {
        *self = Crawl { outpaced: self.outpaced, ..Crawl::default() };
    }

    /// How many bodies of the run were outpaced.
    pub(crate) fn outpaced(&self) -> u32 {
        self.outpaced
    }

    /// The bytes of this body so far, and how long they were waited for.
    pub(crate) fn body(&self) -> (u64, Duration) {
        (self.body.bytes, self.body.waited)
    }

    /// A piece came. `others` is what other bodies bring in a second, where that is known.
    pub(crate) fn on_piece(&mut self, bytes: u64, waited: Duration, others: Option<u64>) -> Pace {
        for part in [&mut self.body, &mut self.of_late, &mut self.since_outpaced] {
            part.bytes = part.bytes.saturating_add(bytes);
            part.waited = part.waited.saturating_add(waited);
        }
        if self.of_late.waited >= CRAWL_TIME && std::mem::take(&mut self.of_late).bytes < CRAWL_BYTES {
            return Pace::Crawling;
        }
        let Some(time) = self.outpaced_time().filter(|time| self.since_outpaced.waited >= *time) else {
            return Pace::Sound;
        };
        let part = std::mem::take(&mut self.since_outpaced);
        let waited_ms = u64::try_from(time.max(part.waited).as_millis()).unwrap_or(u64::MAX);
        let usual = others.unwrap_or_default().saturating_mul(waited_ms) / 1_000;
        if part.bytes.saturating_mul(OUTPACED_PART) >= usual {
            return Pace::Sound;
        }
        self.outpaced += 1;
        Pace::Outpaced
    }

    /// Whether a body that nobody can go on with is better begun anew: what it has brought is worth little of its time by what
    /// bodies brought `before`. After `tries` of its chunk it gets longer, for the object or the link may have become slow.
    pub(crate) fn is_hopeless(&self, tries: u32, before: Option<u64>) -> bool {
        let time = HOPELESS_TIME * (1 << tries.min(HOPELESS_DOUBLED_MAX));
        let waited_ms = u64::try_from(self.body.waited.as_millis()).unwrap_or(u64::MAX);
        let usual = before.unwrap_or_default().saturating_mul(waited_ms) / 1_000;
        self.body.waited >= time && self.body.bytes.saturating_mul(OUTPACED_PART) < usual
    }

    /// How long nothing may come until it is outpaced; `None` if it cannot be any more.
    pub(crate) fn silence_max(&self) -> Option<Duration> {
        Some(self.outpaced_time()?.saturating_sub(self.since_outpaced.waited))
    }

    fn outpaced_time(&self) -> Option<Duration> {
        (self.outpaced < OUTPACED_MAX).then(|| OUTPACED_TIME * (1 << self.outpaced))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn a_body_is_outpaced_after_a_second_at_less_than_an_eighth_of_what_others_bring() {
        let mut crawl = Crawl::default();
        for _ in 0..9 {
            assert_eq!(crawl.on_piece(12_000, 100 * MS, Some(1_000_000)), Pace::Sound);
        }
        assert_eq!(crawl.silence_max(), Some(100 * MS));
        assert_eq!(crawl.on_piece(12_000, 100 * MS, Some(1_000_000)), Pace::Outpaced);
        let mut crawl = Crawl::default();
        for _ in 0..100 {
            assert_eq!(crawl.on_piece(13_000, 100 * MS, Some(1_000_000)), Pace::Sound);
            assert_eq!(crawl.outpaced(), 0);
        }
    }

    #[test]
    fn each_body_of_a_run_has_twice_the_time_and_the_fifth_is_left_alone() {
        let mut crawl = Crawl::default();
        for seconds in [1, 2, 4, 8] {
            crawl.begin();
            assert_eq!(crawl.silence_max(), Some(Duration::from_secs(seconds)));
            assert_eq!(crawl.on_piece(1, 999 * MS, Some(1 << 30)), Pace::Sound);
            assert_eq!(crawl.on_piece(1, Duration::from_secs(seconds), Some(1 << 30)), Pace::Outpaced);
        }
        assert_eq!(crawl.silence_max(), None);
        crawl.begin();
        assert_eq!(crawl.on_piece(1, 14_999 * MS, Some(1 << 30)), Pace::Sound);
        assert_eq!(crawl.on_piece(1, MS, Some(1 << 30)), Pace::Crawling);
    }

    #[test]
    fn a_body_that_nobody_can_go_on_with_is_given_up_later_at_each_try() {
        for tries in 0..12 {
            let mut crawl = Crawl::default();
            let seconds = 15 << tries.min(8);
            for second in 1..=seconds {
                assert!(!crawl.is_hopeless(tries, Some(1_000_000)), "try {tries}, second {second}");
                assert_eq!(crawl.on_piece(8_000, 1_000 * MS, None), Pace::Sound);
            }
            assert!(crawl.is_hopeless(tries, Some(1_000_000)), "try {tries}");
            assert!(!crawl.is_hopeless(tries, Some(64_000)) && !crawl.is_hopeless(tries, None));
        }
    }

    #[test]
    fn where_nothing_is_known_of_others_a_body_may_be_slow_but_not_crawl() {
        let mut crawl = Crawl::default();
        for _ in 0..14 {
            assert_eq!(crawl.on_piece(1_000, 1_000 * MS, None), Pace::Sound);
        }
        assert_eq!(crawl.on_piece(1_000, 1_000 * MS, None), Pace::Crawling);
        assert_eq!(crawl.body(), (15_000, Duration::from_secs(15)));
    }
}
