//! Window: how many requests may move bytes at once. Pure.
//! Refuses to know requests: it is told how many bytes came in and answers a number.

use std::time::Duration;

/// Where it begins, and the least it is halved to: enough for a fast link, few enough for a slow disk.
const FIRST: u32 = 8;

/// The rate is judged over at least this long.
const STEP: Duration = Duration::from_millis(100);

/// The first requests become faster for so long, whatever the window is.
const WARM: Duration = Duration::from_millis(250);

/// A longer pause between bytes is no step: nobody asked for anything, or nobody answered.
const PAUSE: Duration = Duration::from_millis(500);

/// A larger window is kept if it moves this much more, in percent.
const WORTH_PERCENT: u64 = 8;

/// A smaller window is kept if it moves this much of what the larger one did, in percent.
const KEPT_PERCENT: u64 = 95;

/// From step to step the best rate loses this part.
const BEST_KEPT: u64 = 16;

/// After a window was found large enough, a larger one is tried again this much later.
const CALM: Duration = Duration::from_secs(3);

/// After a smaller window was found too small, it is tried again this much later at first, then after twice as long.
const DOWN_CALM_MIN: Duration = Duration::from_secs(2);
const DOWN_CALM_MAX: Duration = Duration::from_secs(32);

/// The number of requests that may move bytes, found by trying: half as many more, then doubled while that raises the rate,
/// halved where half as many move as much, tried again from time to time because links change. So few that the urgent ones do not share the link
/// with the others, and so many that it is full.
#[derive(Debug)]
pub(crate) struct Window {
    limit: u32,
    limit_max: u32,
    step: Step,
    trial: Option<Trial>,
    /// Bytes a second of the last steps: a larger window has to move more than the best of them, which noise does not.
    recent: [u64; 4],
    /// Bytes a second that were moved at best, of late.
    best: u64,
    calm_until: Duration,
    down_calm: Duration,
    down_calm_until: Duration,
}

/// What was seen since the last judgement.
#[derive(Debug, Default)]
struct Step {
    /// `None` until bytes come in.
    since: Option<Duration>,
    bytes: u64,
    /// Requests that ended.
    ended: u32,
    /// Whether somebody had to wait for the window.
    was_full: bool,
}

/// Another limit than the one before, whose rate is not known yet.
#[derive(Debug, Clone, Copy)]
struct Trial {
    from: u32,
    /// Bytes a second that were moved under the limit before.
    rate_before: u64,
    /// Whether a whole step has passed under it: what came in the first was in part asked for under the limit before.
    is_settled: bool,
}

/// By how much a larger limit is larger.
#[derive(Debug, Clone, Copy)]
enum More {
    /// Enough to see whether it brings anything. If not, what is urgent has shared the link with few.
    Half,
    /// The last one was worth it.
    Double,
}

impl Window {
    pub(crate) fn new(limit_max: u32) -> Window {
        Window {
            limit: FIRST.min(limit_max).max(1),
            limit_max: limit_max.max(1),
            step: Step::default(),
            trial: None,
            recent: [0; 4],
            best: 0,
            calm_until: Duration::ZERO,
            down_calm: DOWN_CALM_MIN,
            down_calm_until: Duration::ZERO,
        }
    }

    pub(crate) fn limit(&self) -> u32 {
        self.limit
    }

    /// Bytes a second that were moved at best, of late: what the link can do, also when few ask. `None` if so few have come
    /// that it is not known.
    pub(crate) fn best_rate(&self) -> Option<u64> {
        (self.best > 0).then_some(self.best)
    }

    pub(crate) fn set_limit_max(&mut self, limit_max: u32) {
        if self.limit_max == limit_max.max(1) {
            return;
        }
        self.limit_max = limit_max.max(1);
        // A larger maximum ends what a smaller one has cut: below the first limit nothing is tried.
        self.limit = self.limit.max(FIRST).min(self.limit_max);
        // It would go back to a limit of the old maximum.
        self.trial = None;
    }

    /// Somebody waits because the window is full.
    pub(crate) fn is_short(&mut self) {
        self.step.was_full = true;
    }

    /// A request that was in the window has ended.
    pub(crate) fn on_end(&mut self) {
        self.step.ended = self.step.ended.saturating_add(1);
    }

    /// Bytes came in while `moving` requests moved them. Returns whether the limit has changed.
    pub(crate) fn on_bytes(&mut self, now: Duration, bytes: u64, moving: u32) -> bool {
        let elapsed =
            self.step.since.map(|since| now.saturating_sub(since)).filter(|elapsed| *elapsed < PAUSE);
        let Some(elapsed) = elapsed else {
            if self.best == 0 {
                self.calm_until = now.saturating_add(WARM);
            }
            // Whatever the time before the first bytes was spent on, it is no measure of the link.
            self.step = Step { since: Some(now), was_full: self.step.was_full, ..Step::default() };
            return false;
        };
        self.step.bytes = self.step.bytes.saturating_add(bytes);
        if elapsed < STEP {
            return false;
        }
        let elapsed_ms = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX).max(1);
        let rate = self.step.bytes.saturating_mul(1_000) / elapsed_ms;
        let step = std::mem::replace(&mut self.step, Step { since: Some(now), ..Step::default() });
        self.recent.rotate_right(1);
        self.recent[0] = rate;
        self.best = rate.max(self.best / BEST_KEPT * (BEST_KEPT - 1));
        let before = self.limit;
        match self.trial {
            Some(trial) => self.judge(now, trial, rate, (&step, moving)),
            None => self.try_another(now, rate, (&step, More::Half)),
        }
        self.limit != before
    }

    /// Keeps the limit under trial, or goes back to the one before.
    fn judge(&mut self, now: Duration, trial: Trial, rate: u64, (step, moving): (&Step, u32)) {
        let is_up = trial.from < self.limit;
        if !trial.is_settled {
            // Small requests are exchanged within a step: where that shows a gain already, more will follow.
            let are_small = step.ended >= trial.from / 2;
            if is_up && are_small && rate >= percent(trial.rate_before, 100 + WORTH_PERCENT) {
                self.trial = None;
                self.try_another(now, rate, (step, More::Double));
            } else if moving <= self.limit {
                self.trial = Some(Trial { is_settled: true, ..trial });
            }
            return;
        }
        self.trial = None;
        if is_up && rate >= percent(trial.rate_before, 100 + WORTH_PERCENT) {
            self.try_another(now, rate, (step, More::Double));
        } else if is_up {
            self.limit = trial.from.min(self.limit_max);
            self.calm_until = now.saturating_add(CALM);
            self.down_calm_until = self.down_calm_until.max(now.saturating_add(STEP * 4));
        } else if rate >= percent(trial.rate_before, KEPT_PERCENT) || !step.was_full {
            self.down_calm = DOWN_CALM_MIN;
            self.calm_until = now.saturating_add(CALM);
            self.try_another(now, rate, (step, More::Half));
        } else {
            self.limit = trial.from.min(self.limit_max);
            self.down_calm_until = now.saturating_add(self.down_calm);
            self.down_calm = self.down_calm.saturating_mul(2).min(DOWN_CALM_MAX);
        }
    }

    /// Tries another limit, if one is due. Nothing is learnt while nobody waits.
    fn try_another(&mut self, now: Duration, rate: u64, (step, more): (&Step, More)) {
        if !step.was_full {
            return;
        }
        let limit = if now >= self.calm_until && self.limit < self.limit_max {
            let added = match more {
                More::Half => (self.limit / 2).max(1),
                More::Double => self.limit,
            };
            self.limit.saturating_add(added).min(self.limit_max)
        } else if now >= self.down_calm_until {
            (self.limit / 2).max(FIRST.min(self.limit_max))
        } else {
            self.limit
        };
        if limit != self.limit {
            let best = self.recent.iter().copied().max().unwrap_or(rate);
            let rate_before = if limit > self.limit { best } else { rate };
            self.trial = Some(Trial { from: self.limit, rate_before, is_settled: false });
            self.limit = limit;
        }
    }
}

fn percent(rate: u64, percent: u64) -> u64 {
    rate.saturating_mul(percent) / 100
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A link that moves `each` bytes a second per request and `all` at most, beginning `first` after the first request and
    /// following the limit as much later. Its rate varies by a few percent.
    struct Link {
        each: u64,
        all: u64,
        first: Duration,
        /// The size of a request: how many end follows from it.
        request_bytes: u64,
    }

    const SLOW_START: Duration = Duration::from_millis(80);
    const TICK: Duration = Duration::from_millis(5);

    impl Link {
        /// The limits over this time, one for each tick.
        fn run(&self, window: &mut Window, from: Duration, ticks: u64) -> Vec<u32> {
            let mut limits = Vec::new();
            let mut carried = 0;
            for tick in 0..ticks {
                let now = from + TICK * u32::try_from(tick).unwrap();
                window.is_short();
                let lag = usize::try_from(self.first.as_millis() / TICK.as_millis()).unwrap();
                if let Some(seen) = limits.len().checked_sub(lag + 1) {
                    let moving: u32 = limits[seen];
                    let bytes = (self.each * u64::from(moving)).min(self.all) / 200;
                    let varied = bytes * (98 + tick * 7 % 5) / 100;
                    carried += varied;
                    while carried >= self.request_bytes {
                        carried -= self.request_bytes;
                        window.on_end();
                    }
                    window.on_bytes(now, varied, moving.min(window.limit()));
                }
                limits.push(window.limit());
            }
            limits
        }
    }

    const LARGE: Link = Link { each: 10_000_000, all: 60_000_000, first: SLOW_START, request_bytes: 8 << 20 };

    #[test]
    fn a_link_that_six_requests_fill_keeps_eight_from_its_first_bytes_on() {
        let limits = LARGE.run(&mut Window::new(256), Duration::ZERO, 2_000);
        let mean = limits.iter().sum::<u32>() / 2_000;
        assert!(limits.iter().all(|limit| *limit <= 16) && mean <= 9, "{mean}");
    }

    #[test]
    fn what_the_first_requests_gain_while_they_begin_is_no_reason_for_more() {
        // A link that eight fill, though they take 300 ms to be as fast as they can be.
        let mut window = Window::new(256);
        for (tick, rate) in [10_u64, 25, 40, 60, 60, 61, 60].into_iter().enumerate() {
            window.is_short();
            (0..8).for_each(|_| window.on_end());
            let now = STEP * u32::try_from(tick + 1).unwrap();
            window.on_bytes(now, rate * 100_000, window.limit());
        }
        assert_eq!(window.limit(), 8, "sixteen brought no more than eight");
    }

    #[test]
    fn a_link_that_more_requests_fill_gets_more() {
        let link = Link { each: 1_000_000, all: 100_000_000, ..LARGE };
        let limits = link.run(&mut Window::new(256), Duration::ZERO, 400);
        assert!(limits.iter().any(|limit| (64..=256).contains(limit)));
        let last = *limits.last().unwrap();
        assert!((64..=256).contains(&last), "{last}");
    }

    #[test]
    fn small_requests_have_the_window_they_need_within_half_a_second() {
        // 64 KiB in 86 ms each. They wait for most of that, and eight have the place of one that does not.
        let link = Link { each: 8 * 760_000, request_bytes: 64 << 10, ..LARGE };
        let limits = link.run(&mut Window::new(256), Duration::ZERO, 120);
        let grown = limits.iter().position(|limit| 8 * *limit >= 80).expect("it grows");
        assert!(TICK * u32::try_from(grown).unwrap() <= Duration::from_millis(550), "{grown} ticks");
    }

    #[test]
    fn a_window_that_became_too_large_shrinks_again() {
        let mut window = Window::new(256);
        let small = Link { each: 500_000, request_bytes: 64 << 10, ..LARGE };
        small.run(&mut window, Duration::ZERO, 400);
        assert!(window.limit() >= 64, "{}", window.limit());
        let limits = LARGE.run(&mut window, Duration::from_secs(2), 1_000);
        assert_eq!(limits.iter().min(), Some(&FIRST));
        assert!(window.limit() <= 16, "{}", window.limit());
    }

    #[test]
    fn a_smaller_window_that_moves_less_is_left_again_and_tried_ever_more_rarely() {
        let link = Link { each: 1_000_000, all: 60_000_000, ..LARGE };
        let mut window = Window::new(64);
        let limits = link.run(&mut window, Duration::ZERO, 12_000);
        let small = limits[400..].iter().filter(|limit| **limit < 64).count();
        assert!(small * 100 / limits.len() <= 3, "{small} of {}", limits.len());
    }

    #[test]
    fn without_bytes_nothing_changes() {
        let mut window = Window::new(256);
        for second in 1..100 {
            window.is_short();
            window.on_bytes(Duration::from_secs(second), 1, 8);
            assert_eq!(window.limit(), FIRST);
        }
    }

    #[test]
    fn while_nobody_waits_nothing_changes() {
        let mut window = Window::new(256);
        for step in 1..100 {
            window.on_bytes(STEP * step, u64::from(step) * 1_000_000, 8);
            assert_eq!(window.limit(), FIRST);
        }
    }

    #[test]
    fn it_never_leaves_its_bounds() {
        let mut window = Window::new(1);
        for step in 1..100 {
            window.is_short();
            window.on_bytes(Duration::from_millis(step * 150), step * 1_000_000, 1);
            assert_eq!(window.limit(), 1);
        }
    }
}
