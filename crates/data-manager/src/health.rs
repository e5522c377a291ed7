//! How well a source answers: a breaker that rests a failing one, and how long to wait before asking again.
//! Refuses to read a clock, to sleep or to ask: it is told what happened, and says what may be done.

use std::time::Duration;

use crate::data_source::{SourceError, SourceErrorKind};
use crate::usual::{LONG_BYTES_MIN, Usual};

/// Failures in a row after which a source is left to rest.
const FAILURES_TO_OPEN: u32 = 8;
/// The first rest, doubled with each that did not help.
const REST_MIN: Duration = Duration::from_millis(500);
const REST_MAX: Duration = Duration::from_mins(1);
/// How long a probe is waited for before another is let through: whoever had it may have been cancelled.
const PROBE_MAX: Duration = Duration::from_secs(30);
/// When to ask again while a probe is out: most are answered within a second, and then all may start.
const PROBE_LOOK: Duration = Duration::from_secs(1);
/// Bodies of fewer bytes say little of how fast bytes come.
const BODY_BYTES_MIN: u64 = 64 << 10;
/// How fast a source's bodies come is known from this many on.
const BODIES_MIN: u16 = 8;
/// The longest wait that a source may ask of us.
const RETRY_AFTER_MAX: Duration = Duration::from_mins(5);

/// Whether a request to a source may start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It may.
    Yes,
    /// It may, and it alone: how it ends decides for the others.
    Probe,
    /// Not before this time, on the clock that `now` was read from.
    NotBefore(Duration),
}

/// What is known of one source (a scheme, host and port).
#[derive(Debug, Default)]
pub(crate) struct Health {
    state: State,
    failures_in_row: u32,
    rests_in_row: u32,
    silences_in_row: u32,
    /// Until when others are asked in its place, where there are others.
    shunned_until: Duration,
    success_count: u64,
    failure_count: u64,
    last_error: Option<String>,
    first_bytes: Times,
    /// The same of long bodies only.
    long_waits: Times,
    /// What bodies took for each MiB.
    bodies: Times,
}

#[derive(Debug, Default, Clone, Copy)]
enum State {
    #[default]
    Closed,
    Open {
        until: Duration,
    },
    /// One request is out to see whether the source is back.
    Probing {
        until: Duration,
    },
}

impl Health {
    pub(crate) fn new() -> Health {
        Health::default()
    }

    /// Whether a request may start now. [`Verdict::Probe`] is given to one caller, who then reports the outcome.
    pub(crate) fn may_start(&mut self, now: Duration) -> Verdict {
        match self.state {
            State::Closed => Verdict::Yes,
            State::Open { until } if now < until => Verdict::NotBefore(until),
            State::Probing { until } if now < until => {
                Verdict::NotBefore(until.min(now.saturating_add(PROBE_LOOK)))
            }
            State::Open { .. } | State::Probing { .. } => {
                self.state = State::Probing { until: now.saturating_add(PROBE_MAX) };
                Verdict::Probe
            }
        }
    }

    /// A request was answered; `first_byte` is how long after it was sent. One answer is enough to trust the source again.
    pub(crate) fn on_success(&mut self, first_byte: Duration) {
        self.success_count = self.success_count.saturating_add(1);
        self.first_bytes.add(first_byte);
        self.close();
    }

    /// A request failed. `random` is any number; it spreads the rests of many workers.
    pub(crate) fn on_failure(&mut self, now: Duration, error: &SourceError, random: u64) {
        self.failure_count = self.failure_count.saturating_add(1);
        self.last_error = Some(error.message.clone());
        match error.kind {
            SourceErrorKind::Transient | SourceErrorKind::Busy => {
                self.failures_in_row = self.failures_in_row.saturating_add(1);
                self.rest_if_due(now, error.retry_after, random);
            }
            // The source answered; it is the object that is wrong.
            SourceErrorKind::Internal | SourceErrorKind::Permanent | SourceErrorKind::Changed => self.close(),
            SourceErrorKind::Refused => self.on_cancelled(now),
        }
    }

    /// A request failed, and that says nothing new of the source: it answered others meanwhile, or this object has failed
    /// before. It is counted, and decides nothing.
    pub(crate) fn on_known_failure(&mut self, now: Duration, error: &SourceError) {
        self.failure_count = self.failure_count.saturating_add(1);
        self.last_error = Some(error.message.clone());
        self.on_cancelled(now);
    }

    /// A request was not answered in time. That may be the object's fault, so the source is not closed; but where the
    /// object can be had elsewhere, it is had there for as long as a closed source would rest.
    pub(crate) fn on_silence(&mut self, now: Duration, error: &SourceError, random: u64) {
        self.on_known_failure(now, error);
        self.silences_in_row = self.silences_in_row.saturating_add(1);
        if let Some(times) = self.silences_in_row.checked_sub(FAILURES_TO_OPEN)
            && self.shunned_until <= now
        {
            self.shunned_until = now.saturating_add(share(doubled(REST_MIN, times, REST_MAX), random));
        }
    }

    /// Whether another source is to be asked in its place, if there is one.
    pub(crate) fn is_shunned(&self, now: Duration) -> bool {
        self.shunned_until > now || self.rests_until().is_some_and(|until| until > now)
    }

    /// A request ended without an outcome. If it was the probe, the next caller gets it.
    pub(crate) fn on_cancelled(&mut self, now: Duration) {
        if let State::Probing { .. } = self.state {
            self.state = State::Open { until: now };
        }
    }

    /// Until when the source rests, if it does.
    pub(crate) fn rests_until(&self) -> Option<Duration> {
        match self.state {
            State::Closed => None,
            State::Open { until } => Some(until),
            State::Probing { until } => Some(until.saturating_sub(PROBE_MAX).saturating_add(PROBE_LOOK)),
        }
    }

    /// Requests answered.
    pub(crate) fn success_count(&self) -> u64 {
        self.success_count
    }

    /// Requests failed.
    pub(crate) fn failure_count(&self) -> u64 {
        self.failure_count
    }

    /// What the last failed request failed of.
    pub(crate) fn last_error(&self) -> Option<&str> {
        self.last_error.as_deref()
    }

    /// The time within which 95 of 100 requests had their first byte; `None` until enough are known.
    pub(crate) fn first_byte_p95(&self) -> Option<Duration> {
        self.first_bytes.percentile(95, COUNT_MIN)
    }

    /// The same out of however few are known; `None` if it is none.
    pub(crate) fn first_byte_usual(&self) -> Option<Duration> {
        self.first_bytes.percentile(95, 1)
    }

    /// What half of its answers need, or less, out of however few are known.
    pub(crate) fn usual(&self) -> Usual {
        Usual {
            wait: self.first_bytes.percentile(50, 1),
            wait_long: self.long_waits.percentile(50, 1),
            per_mib: self.bodies.percentile(50, 1),
        }
    }

    /// A body has come whole: how long its first byte took, and the rest.
    pub(crate) fn on_body(&mut self, bytes: u64, first_byte: Duration, took: Duration) {
        if bytes >= BODY_BYTES_MIN {
            let per_mib_ns = took.as_nanos().saturating_mul(1 << 20) / u128::from(bytes);
            self.bodies.add(Duration::from_nanos(u64::try_from(per_mib_ns).unwrap_or(u64::MAX)));
        }
        if bytes >= LONG_BYTES_MIN {
            self.long_waits.add(first_byte);
        }
    }

    /// Bytes a second of half of all bodies, or less; `None` until enough are known.
    pub(crate) fn body_rate(&self) -> Option<u64> {
        let per_mib_ms = self.bodies.percentile(50, BODIES_MIN)?.as_millis().max(1);
        u64::try_from((1_000 << 20) / per_mib_ms).ok()
    }

    fn close(&mut self) {
        self.state = State::Closed;
        self.failures_in_row = 0;
        self.rests_in_row = 0;
        self.silences_in_row = 0;
        self.shunned_until = Duration::ZERO;
    }

    fn rest_if_due(&mut self, now: Duration, retry_after: Option<Duration>, random: u64) {
        let asked = retry_after.unwrap_or_default().min(RETRY_AFTER_MAX);
        match self.state {
            State::Closed if self.failures_in_row < FAILURES_TO_OPEN => {}
            // Requests that were out when the rest began end one by one: they say nothing new, except how long to wait.
            State::Open { until } => {
                self.state = State::Open { until: until.max(now.saturating_add(asked)) };
            }
            State::Closed | State::Probing { .. } => {
                let rest = share(doubled(REST_MIN, self.rests_in_row, REST_MAX), random).max(asked);
                self.rests_in_row = self.rests_in_row.saturating_add(1);
                self.state = State::Open { until: now.saturating_add(rest) };
            }
        }
    }
}

/// How long to leave one object alone after its `failures`th failure in a row (from 1). `None`: do not ask again.
///
/// The wait is spread over the upper half of its bound by `random`, and is never shorter than what the source asked for
/// (of which five minutes are granted at most).
pub(crate) fn backoff(failures: u32, error: &SourceError, random: u64) -> Option<Duration> {
    let (first, last) = match error.kind {
        SourceErrorKind::Transient | SourceErrorKind::Internal => {
            (Duration::from_millis(200), Duration::from_mins(1))
        }
        SourceErrorKind::Busy => (Duration::from_secs(1), Duration::from_mins(2)),
        SourceErrorKind::Permanent => (Duration::from_mins(1), Duration::from_hours(1)),
        SourceErrorKind::Changed => return Some(Duration::ZERO),
        SourceErrorKind::Refused => return None,
    };
    let half = doubled(first, failures.saturating_sub(1), last) / 2;
    let asked = error.retry_after.unwrap_or_default().min(RETRY_AFTER_MAX);
    Some(half.saturating_add(share(half, random)).max(asked))
}

/// `first`, doubled `times` times, at most `last`.
fn doubled(first: Duration, times: u32, last: Duration) -> Duration {
    2u32.checked_pow(times).and_then(|factor| first.checked_mul(factor)).unwrap_or(last).min(last)
}

/// The part of `whole` that `random` is of 2^64.
fn share(whole: Duration, random: u64) -> Duration {
    let part_ns = (whole.as_nanos() * u128::from(random)) >> 64;
    u64::try_from(part_ns).map_or(whole, Duration::from_nanos)
}

/// Times, counted in steps of a quarter octave from 1 ms to about a minute.
#[derive(Debug)]
struct Times {
    counts: [u16; STEPS],
    total: u16,
}

const STEPS: usize = 64;
/// When this many are counted, all counts are halved, so that the estimate follows the source.
const COUNT_MAX: u16 = 512;
const COUNT_MIN: u16 = 20;

impl Default for Times {
    fn default() -> Times {
        Times { counts: [0; STEPS], total: 0 }
    }
}

impl Times {
    fn add(&mut self, time: Duration) {
        if self.total >= COUNT_MAX {
            self.counts.iter_mut().for_each(|count| *count /= 2);
            self.total = self.counts.iter().sum();
        }
        if let Some(count) = self.counts.get_mut(step_of(time)) {
            *count += 1;
            self.total += 1;
        }
    }

    fn percentile(&self, percent: u32, count_min: u16) -> Option<Duration> {
        if self.total < count_min {
            return None;
        }
        let wanted = u32::from(self.total) * percent / 100;
        let mut seen = 0;
        for (step, &count) in self.counts.iter().enumerate() {
            seen += u32::from(count);
            if seen > wanted {
                return Some(step_end(step));
            }
        }
        None
    }
}

/// Times below 4 ms share the steps of their whole octave; from there each octave has four steps.
fn step_of(time: Duration) -> usize {
    let ms = u64::try_from(time.as_millis()).unwrap_or(u64::MAX).max(1);
    let octave = ms.ilog2();
    let quarter = if octave < 2 { 0 } else { (ms >> (octave - 2)) & 3 };
    let step = u64::from(octave) * 4 + quarter;
    usize::try_from(step).map_or(STEPS - 1, |step| step.min(STEPS - 1))
}

fn step_end(step: usize) -> Duration {
    let (octave, quarter) = (step / 4, step % 4);
    let quarters = if octave < 2 { 8 } else { 5 + quarter as u64 };
    Duration::from_millis((quarters << octave) / 4)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    fn failure(kind: SourceErrorKind) -> SourceError {
        SourceError::new(kind, "the source said no")
    }

    fn opened() -> Health {
        let mut health = Health::new();
        for _ in 0..FAILURES_TO_OPEN {
            assert_eq!(health.may_start(at(0)), Verdict::Yes);
            health.on_failure(at(0), &failure(SourceErrorKind::Transient), u64::MAX);
        }
        health
    }

    #[test]
    fn eight_failures_in_a_row_rest_the_source_and_seven_do_not() {
        let mut health = opened();
        assert!(matches!(health.may_start(at(0)), Verdict::NotBefore(until) if until <= at(500)));
        let mut health = Health::new();
        for _ in 0..4 {
            for _ in 0..7 {
                health.on_failure(at(0), &failure(SourceErrorKind::Busy), u64::MAX);
                assert_eq!(health.may_start(at(0)), Verdict::Yes);
            }
            health.on_success(at(5));
        }
        assert_eq!(health.may_start(at(0)), Verdict::Yes);
        assert_eq!((health.success_count(), health.failure_count()), (4, 28));
    }

    #[test]
    fn one_probe_goes_out_after_the_rest_and_its_end_decides() {
        let mut health = opened();
        assert_eq!(health.may_start(at(500)), Verdict::Probe);
        assert_eq!(health.may_start(at(500)), Verdict::NotBefore(at(500) + PROBE_LOOK));
        health.on_failure(at(600), &failure(SourceErrorKind::Transient), u64::MAX);
        let Verdict::NotBefore(until) = health.may_start(at(600)) else { panic!("the source rests again") };
        assert!(until > at(1_500) && until <= at(1_600), "the second rest is twice the first: {until:?}");
        assert_eq!(health.may_start(until), Verdict::Probe);
        health.on_success(at(5));
        assert_eq!(health.may_start(until), Verdict::Yes);
        for _ in 0..FAILURES_TO_OPEN {
            health.on_failure(until, &failure(SourceErrorKind::Transient), u64::MAX);
        }
        assert!(health.rests_until() <= Some(until + REST_MIN), "after a success the rests begin anew");
    }

    #[test]
    fn a_failure_that_says_nothing_new_gives_the_probe_to_another() {
        let mut health = opened();
        assert_eq!(health.may_start(at(500)), Verdict::Probe);
        health.on_known_failure(at(600), &failure(SourceErrorKind::Transient));
        assert_eq!(health.may_start(at(600)), Verdict::Probe);
        assert_eq!(health.failure_count(), u64::from(FAILURES_TO_OPEN) + 1);
    }

    #[test]
    fn a_silent_source_is_shunned_but_never_closed() {
        let mut health = Health::new();
        for _ in 0..FAILURES_TO_OPEN {
            assert!(!health.is_shunned(at(0)));
            health.on_silence(at(0), &failure(SourceErrorKind::Transient), u64::MAX);
        }
        assert!(health.is_shunned(at(400)) && !health.is_shunned(at(500)));
        assert_eq!(health.may_start(at(0)), Verdict::Yes);
        health.on_silence(at(500), &failure(SourceErrorKind::Transient), u64::MAX);
        assert!(health.is_shunned(at(1_400)), "the second time is twice the first");
        health.on_success(at(5));
        assert!(!health.is_shunned(at(1_400)));
    }

    #[test]
    fn a_lost_probe_is_given_to_another() {
        let mut health = opened();
        assert_eq!(health.may_start(at(500)), Verdict::Probe);
        assert_eq!(health.may_start(at(500) + PROBE_MAX), Verdict::Probe);
        health.on_cancelled(at(31_000));
        assert_eq!(health.may_start(at(31_000)), Verdict::Probe);
    }

    #[test]
    fn an_object_that_is_not_there_is_no_failure_of_the_source() {
        let mut health = Health::new();
        for _ in 0..100 {
            health.on_failure(at(0), &failure(SourceErrorKind::Permanent), 0);
        }
        assert_eq!(health.may_start(at(0)), Verdict::Yes);
        assert_eq!(health.last_error(), Some("the source said no"));
    }

    #[test]
    fn failures_during_the_rest_do_not_lengthen_it_unless_the_source_asks() {
        let mut health = opened();
        let until = health.rests_until();
        for _ in 0..200 {
            health.on_failure(at(1), &failure(SourceErrorKind::Transient), u64::MAX);
        }
        assert_eq!(health.rests_until(), until);
        let mut busy = failure(SourceErrorKind::Busy);
        busy.retry_after = Some(Duration::from_secs(1 << 40));
        health.on_failure(at(1), &busy, 0);
        assert_eq!(health.rests_until(), Some(at(1) + RETRY_AFTER_MAX));
    }

    proptest! {
        #[test]
        fn a_wait_is_within_its_bound_and_never_shorter_than_asked(
            failures in 0u32.., random: u64, asked in proptest::option::of(0u64..1_000),
        ) {
            for (kind, first_ms, last_ms) in [
                (SourceErrorKind::Transient, 200, 60_000),
                (SourceErrorKind::Busy, 1_000, 120_000),
                (SourceErrorKind::Permanent, 60_000, 3_600_000),
            ] {
                let mut error = failure(kind);
                error.retry_after = asked.map(Duration::from_secs);
                let granted = error.retry_after.unwrap_or_default().min(RETRY_AFTER_MAX);
                let wait = backoff(failures, &error, random).expect("these are asked again");
                prop_assert!(wait >= granted && wait >= at(first_ms / 2));
                prop_assert!(wait <= at(last_ms).max(granted));
                if failures <= 1 {
                    prop_assert!(wait <= at(first_ms).max(granted));
                }
            }
            prop_assert_eq!(backoff(failures, &failure(SourceErrorKind::Changed), random), Some(at(0)));
            prop_assert_eq!(backoff(failures, &failure(SourceErrorKind::Refused), random), None);
        }

        #[test]
        fn more_failures_never_shorten_the_wait(failures in 1u32..40, random: u64) {
            let error = failure(SourceErrorKind::Transient);
            prop_assert!(backoff(failures, &error, random) <= backoff(failures + 1, &error, random));
        }

        #[test]
        fn the_estimate_is_the_95th_of_100_within_a_quarter(times in proptest::collection::vec(4u64..60_000, 20..400)) {
            let mut health = Health::new();
            for &ms in &times {
                health.on_success(at(ms));
            }
            let mut sorted = times.clone();
            sorted.sort_unstable();
            let exact = sorted[sorted.len() * 95 / 100];
            let estimate = health.first_byte_p95().expect("enough are known").as_millis();
            prop_assert!(estimate >= u128::from(exact) && estimate <= u128::from(exact) * 5 / 4 + 1);
        }
    }
}
