//! Window: how many requests may move bytes at once. Pure.
//! Refuses to know requests: it is told how many bytes came in and answers a number.

use std::time::Duration;

/// Where it begins: enough for a fast link, few enough for a slow disk.
const FIRST: u32 = 8;

/// The rate is judged over at least this long.
const STEP: Duration = Duration::from_millis(100);

/// A longer pause between bytes is no step: nobody asked for anything, or nobody answered.
const PAUSE: Duration = Duration::from_secs(1);

/// A larger window is kept if it moves this much more, in percent.
const WORTH_PERCENT: u64 = 8;

/// After a window was found large enough, a larger one is tried again this much later.
const CALM: Duration = Duration::from_secs(3);

/// The number of requests that may move bytes, found by trying: doubled while that raises the rate, stepped back when it
/// does not, tried again from time to time because links change.
#[derive(Debug)]
pub(crate) struct Window {
    limit: u32,
    limit_max: u32,
    bytes: u64,
    since: Duration,
    /// Bytes a second that the last smaller window moved.
    rate_before: u64,
    /// The smaller window, while the step under way is a trial of a larger one.
    trial_from: Option<u32>,
    calm_until: Duration,
    /// Whether somebody had to wait for the window during the step.
    was_full: bool,
}

impl Window {
    pub(crate) fn new(limit_max: u32, now: Duration) -> Window {
        Window {
            limit: FIRST.min(limit_max).max(1),
            limit_max: limit_max.max(1),
            bytes: 0,
            since: now,
            rate_before: 0,
            trial_from: None,
            calm_until: Duration::ZERO,
            was_full: false,
        }
    }

    pub(crate) fn limit(&self) -> u32 {
        self.limit
    }

    pub(crate) fn set_limit_max(&mut self, limit_max: u32) {
        self.limit_max = limit_max.max(1);
        self.limit = self.limit.min(self.limit_max);
    }

    /// Somebody waits because the window is full.
    pub(crate) fn is_short(&mut self) {
        self.was_full = true;
    }

    /// Bytes came in. Returns whether the limit has changed.
    pub(crate) fn on_bytes(&mut self, now: Duration, bytes: u64) -> bool {
        let elapsed = now.saturating_sub(self.since);
        if elapsed >= PAUSE {
            self.bytes = 0;
            self.since = now;
            return false;
        }
        self.bytes = self.bytes.saturating_add(bytes);
        if elapsed < STEP {
            return false;
        }
        let elapsed_ms = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX).max(1);
        let rate = self.bytes.saturating_mul(1_000) / elapsed_ms;
        let before = self.limit;
        self.judge(now, rate);
        self.bytes = 0;
        self.since = now;
        self.was_full = false;
        self.limit != before
    }

    fn judge(&mut self, now: Duration, rate: u64) {
        if let Some(smaller) = self.trial_from.take() {
            let worth = self.rate_before.saturating_add(self.rate_before.saturating_mul(WORTH_PERCENT) / 100);
            if rate < worth {
                self.limit = smaller.min(self.limit_max);
                self.calm_until = now.saturating_add(CALM);
                return;
            }
        }
        if self.was_full && self.limit < self.limit_max && now >= self.calm_until {
            self.rate_before = rate;
            self.trial_from = Some(self.limit);
            self.limit = self.limit.saturating_mul(2).min(self.limit_max);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs the window against a link that moves `each` bytes a second per request, and `all` at most.
    fn settle(each: u64, all: u64, seconds: u64) -> u32 {
        let mut window = Window::new(256, Duration::ZERO);
        let mut now = Duration::ZERO;
        for _ in 0..seconds * 100 {
            now += Duration::from_millis(10);
            window.is_short();
            let rate = (each * u64::from(window.limit())).min(all);
            window.on_bytes(now, rate / 100);
        }
        window.limit()
    }

    #[test]
    fn a_link_that_more_requests_fill_gets_more() {
        assert!((64..=256).contains(&settle(1_000_000, 100_000_000, 2)));
    }

    #[test]
    fn a_link_that_few_requests_fill_keeps_few() {
        assert!(settle(100_000_000, 100_000_000, 2) <= 16);
    }

    #[test]
    fn the_window_grows_to_the_need_within_a_second() {
        assert!(settle(500_000, 60_000_000, 1) >= 64);
    }

    #[test]
    fn a_trial_that_failed_leaves_the_window_as_it_was() {
        let mut window = Window::new(10, Duration::ZERO);
        let mut now = Duration::ZERO;
        for _ in 0..200 {
            now += STEP;
            window.is_short();
            window.on_bytes(now, 1_000_000);
            assert!(window.limit() >= FIRST, "{}", window.limit());
        }
    }

    #[test]
    fn it_never_leaves_its_bounds() {
        let mut window = Window::new(1, Duration::ZERO);
        for step in 1..100 {
            window.is_short();
            window.on_bytes(Duration::from_millis(step * 150), step * 1_000_000);
            assert_eq!(window.limit(), 1);
        }
    }
}
