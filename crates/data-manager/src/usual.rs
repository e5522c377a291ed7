//! What is usual of a source: how long its answers are waited for and how fast they come, and how large a request follows.
//! Refuses to measure: it is told.

use std::time::Duration;

/// A request that moves bytes all of its time. One that waits for its first byte for most of its time is a part of it, though
/// no less than an eighth, in the count of those that fill the link.
pub(crate) const FULL_LOAD: u32 = 1_024;
const LOAD_MIN: u32 = FULL_LOAD / 8;

/// One request to a far source brings of a longer file what comes in this time, so that what is more urgent by then waits no
/// longer for its connection.
const RUN_TIME_MS: u64 = 250;
const RUN_BYTES_MIN: u64 = 1 << 20;
/// The most that time alone is a reason for. It is asked for while nothing is known, and of near sources, where shorter
/// requests gain nothing and a kill finds more of them open.
const RUN_BYTES_MAX: u64 = 16 << 20;

/// A source whose long answers take so long to their first byte is far.
const FAR: Duration = Duration::from_millis(10);

/// It brings as much more as makes the wait for its first byte a small part of its time, in so far as the server is the reason:
/// some read the whole object before they send a part of it. What the way alone may take costs nobody anything while others
/// have their bytes.
const RUN_WAITS: u64 = 10;
const WAY_MS: u64 = 50;
/// Connections that would be idle otherwise bring less, though this many times what comes in the whole wait.
const RUN_WAITS_IDLE: u64 = 2;

/// A request for so much is a long one. It may be waited for much longer than others.
pub(crate) const LONG_BYTES_MIN: u64 = 1 << 20;

/// What half of a source's answers need, or less; `None` where none is known.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Usual {
    /// To the first byte.
    pub(crate) wait: Option<Duration>,
    /// The same of long ones only.
    pub(crate) wait_long: Option<Duration>,
    /// From there for each MiB, by bodies that are long enough.
    pub(crate) per_mib: Option<Duration>,
}

impl Usual {
    /// Bytes that come in so many milliseconds.
    fn bytes_in(&self, ms: u64) -> Option<u64> {
        let per_mib_ms = u64::try_from(self.per_mib?.as_millis()).unwrap_or(u64::MAX).max(1);
        Some((ms << 20) / per_mib_ms)
    }

    fn wait_ms(&self, bytes: u64) -> Option<u64> {
        let wait = self.wait_long.filter(|_| bytes >= LONG_BYTES_MIN).or(self.wait)?;
        // A day is as good as for ever, and nothing overflows.
        u64::try_from(wait.min(Duration::from_hours(24)).as_millis()).ok()
    }

    /// How much a request is to bring of the next `rest` bytes of a file that `idle` connections could share.
    pub(crate) fn run_bytes(&self, rest: u64, idle: u32) -> u64 {
        let wait_ms = self.wait_ms(rest).unwrap_or(0);
        let in_time = |ms: u64| self.bytes_in(ms).unwrap_or(RUN_BYTES_MAX);
        let is_far = self.wait_long.is_some_and(|wait| wait >= FAR);
        let run =
            if is_far { in_time(RUN_TIME_MS).clamp(RUN_BYTES_MIN, RUN_BYTES_MAX) } else { RUN_BYTES_MAX };
        let least = run.max(in_time(RUN_WAITS_IDLE * wait_ms));
        let most = least.max(in_time(RUN_WAITS * wait_ms.saturating_sub(WAY_MS)));
        let bytes = (rest / u64::from(idle.max(1))).clamp(least, most);
        // A rest that would be no request worth making goes along.
        if rest.saturating_sub(bytes) < least { rest } else { bytes }
    }

    /// The part of its time for which a request for at most `bytes` moves them. All of it where that is not known, as of sources
    /// that have sent short bodies only: so many would be asked for at once that those that are never answered wait for each
    /// other to give way.
    pub(crate) fn load(&self, bytes: u64) -> u32 {
        let wait_bytes = self.wait_ms(bytes).and_then(|wait_ms| self.bytes_in(wait_ms)).unwrap_or(0);
        let all = u128::from(bytes.max(1)) + u128::from(wait_bytes);
        let part = u128::from(bytes.max(1)) * u128::from(FULL_LOAD) / all;
        u32::try_from(part).unwrap_or(FULL_LOAD).clamp(LOAD_MIN, FULL_LOAD)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    /// A source that is waited for so long, and then needs so long for each MiB.
    fn usual(wait_ms: u64, per_mib_ms: u64) -> Usual {
        let ms = |ms| Some(Duration::from_millis(ms));
        Usual { wait: ms(wait_ms), wait_long: ms(wait_ms), per_mib: ms(per_mib_ms) }
    }

    #[test]
    fn a_request_brings_16_mib_of_a_source_that_is_unknown_or_fast_or_near() {
        let without_long = Usual { wait_long: None, ..usual(1, 100) };
        for usual in [Usual::default(), without_long, usual(10, 4), usual(5, 0), usual(9, 100)] {
            assert_eq!(usual.run_bytes(100 * MIB, 1), 16 * MIB);
            assert_eq!(usual.run_bytes(31 * MIB, 8), 31 * MIB, "no request is made for less");
            assert_eq!(usual.run_bytes(5, 8), 5);
        }
    }

    #[test]
    fn a_request_to_a_far_source_ends_in_a_quarter_of_a_second() {
        assert_eq!(usual(10, 50).run_bytes(100 * MIB, 1), 5 * MIB);
        assert_eq!(usual(10, 10_000).run_bytes(100 * MIB, 1), MIB, "though it is worth making");
    }

    #[test]
    fn a_file_is_shared_among_connections_that_would_be_idle() {
        assert_eq!(usual(1_000, 100).run_bytes(180 * MIB, 6), 30 * MIB);
        assert_eq!(
            usual(1_000, 100).run_bytes(400 * MIB, 400),
            20 * MIB,
            "but not for requests that mostly wait"
        );
    }

    #[test]
    fn a_source_that_is_waited_for_long_is_asked_for_more_at_once() {
        assert_eq!(usual(1_050, 100).run_bytes(1_000 * MIB, 1), 100 * MIB);
        assert_eq!(usual(1_050, 100).run_bytes(115 * MIB, 1), 115 * MIB);
        assert_eq!(usual(80, 100).run_bytes(1_000 * MIB, 1), 3 * MIB, "which the way does not count for");
        let most = usual(u64::MAX, 1).run_bytes(u64::MAX, 1);
        assert!(most > 1_000_000 * MIB, "and no wait is too long to be reckoned with");
    }

    #[test]
    fn long_requests_are_judged_by_long_ones() {
        let usual = Usual { wait_long: Some(Duration::from_millis(1_050)), ..usual(10, 100) };
        assert_eq!(usual.run_bytes(1_000 * MIB, 1), 100 * MIB);
        assert!(usual.load(MIB) < usual.load(MIB - 1));
    }

    #[test]
    fn a_request_that_mostly_waits_is_an_eighth_of_one_that_moves_bytes_at_least() {
        let even = usual(100, 100);
        assert_eq!(even.load(MIB), FULL_LOAD / 2);
        assert_eq!(even.load(1), FULL_LOAD / 8);
        assert_eq!(even.load(0), FULL_LOAD / 8);
        assert_eq!(usual(0, 100).load(0), FULL_LOAD, "nothing is waited for");
        assert!(even.load(u64::MAX) >= FULL_LOAD - 1);
    }

    #[test]
    fn a_source_of_which_not_both_are_known_is_asked_for_no_more_than_the_window_holds() {
        let wait = Some(Duration::from_millis(1));
        for usual in [Usual::default(), Usual { wait, wait_long: wait, per_mib: None }] {
            assert_eq!(usual.load(1), FULL_LOAD);
        }
    }
}
