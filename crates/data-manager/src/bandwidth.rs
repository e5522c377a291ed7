//! A limit of bytes a second that all downloads share, and that can be changed while they run.
//! Refuses to know who passes: it counts bytes, first come first served.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

/// What may be saved up while nothing passes, as a part of a second: far below the accuracy asked of a one-second
/// window, and above the one millisecond that timers are late.
const BURST_DIVISOR: u64 = 50;

/// Lets bytes pass at a limited rate.
#[derive(Debug)]
pub(crate) struct Bandwidth {
    /// Held for arithmetic only.
    bucket: Mutex<Bucket>,
    rate_changed: Notify,
    /// Tokio's clock, because tokio's timers end the waits.
    started: Instant,
}

impl Bandwidth {
    /// `None` is no limit.
    pub(crate) fn new(bytes_per_second: Option<u64>) -> Bandwidth {
        Bandwidth {
            bucket: Mutex::new(Bucket::new(bytes_per_second)),
            rate_changed: Notify::new(),
            started: Instant::now(),
        }
    }

    /// Returns when `bytes` may pass. Dropped while it waits, the bytes stay counted: they have come over the wire.
    pub(crate) async fn pass(&self, bytes: u64) {
        let ticket = self.bucket().take(self.now(), bytes);
        loop {
            let changed = self.rate_changed.notified();
            tokio::pin!(changed);
            // Armed before the rate is read, so that no change is missed.
            changed.as_mut().enable();
            let wait = self.bucket().wait(self.now(), ticket);
            if wait.is_zero() {
                return;
            }
            tokio::select! {
                biased;
                () = tokio::time::sleep(wait) => {}
                () = changed => {}
            }
        }
    }

    /// Changes the rate for all, those that wait included.
    pub(crate) fn set_rate(&self, bytes_per_second: Option<u64>) {
        self.bucket().set_rate(self.now(), bytes_per_second);
        self.rate_changed.notify_waiters();
    }

    fn now(&self) -> Duration {
        self.started.elapsed()
    }

    fn bucket(&self) -> MutexGuard<'_, Bucket> {
        self.bucket.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Byte-nanoseconds to one byte: rates times elapsed nanoseconds are exact whole numbers.
const UNIT: u128 = 1_000_000_000;

/// Bytes that may pass, as a line that rises with time, and tickets as marks on it.
#[derive(Debug)]
struct Bucket {
    rate: Option<u64>,
    /// What may have passed since the start, in byte-nanoseconds, at `at`.
    risen: u128,
    /// What was taken since the start, in the same unit; ahead of `risen` while somebody waits, and at most a burst behind it.
    taken: u128,
    at: Duration,
}

/// A place on the line: it may pass when the line has risen to it.
#[derive(Debug, Clone, Copy)]
struct Ticket(u128);

impl Bucket {
    fn new(rate: Option<u64>) -> Bucket {
        Bucket { rate: rate.map(|rate| rate.max(1)), risen: 0, taken: 0, at: Duration::ZERO }
    }

    fn take(&mut self, now: Duration, bytes: u64) -> Ticket {
        self.rise(now);
        self.taken = self.taken.saturating_add(u128::from(bytes) * UNIT);
        Ticket(self.taken)
    }

    fn wait(&mut self, now: Duration, ticket: Ticket) -> Duration {
        self.rise(now);
        let Some(rate) = self.rate else { return Duration::ZERO };
        let missing = ticket.0.saturating_sub(self.risen);
        u64::try_from(missing.div_ceil(u128::from(rate))).map_or(Duration::MAX, Duration::from_nanos)
    }

    fn set_rate(&mut self, now: Duration, rate: Option<u64>) {
        self.rise(now);
        self.rate = rate.map(|rate| rate.max(1));
    }

    fn rise(&mut self, now: Duration) {
        let elapsed = now.saturating_sub(self.at);
        self.at = self.at.max(now);
        self.risen = match self.rate {
            Some(rate) => {
                let burst = u128::from(rate / BURST_DIVISOR) * UNIT;
                let grown = elapsed.as_nanos().saturating_mul(u128::from(rate));
                self.risen.saturating_add(grown).min(self.taken.saturating_add(burst))
            }
            None => self.taken,
        };
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::prelude::*;

    use super::*;

    /// Passes pieces in several tasks for `seconds`, and returns the bytes passed in each.
    async fn passed_by_second(bandwidth: &Arc<Bandwidth>, seconds: usize, piece_bytes: u64) -> Vec<u64> {
        let (sender, mut receiver) = tokio::sync::mpsc::channel(16);
        for _ in 0..8 {
            let (bandwidth, sender) = (Arc::clone(bandwidth), sender.clone());
            tokio::spawn(async move {
                loop {
                    bandwidth.pass(piece_bytes).await;
                    if sender.send(Instant::now()).await.is_err() {
                        return;
                    }
                }
            });
        }
        let started = Instant::now();
        let mut bytes = vec![0; seconds];
        loop {
            let passed_at = receiver.recv().await.expect("the tasks run");
            let second = usize::try_from((passed_at - started).as_secs()).expect("a short test");
            match bytes.get_mut(second) {
                Some(count) => *count += piece_bytes,
                None => return bytes,
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn each_second_carries_the_rate_within_three_percent() {
        for megabits in [10, 50, 200] {
            let rate = megabits * 125_000;
            let bandwidth = Arc::new(Bandwidth::new(Some(rate)));
            for bytes in passed_by_second(&bandwidth, 5, 16 << 10).await {
                assert!(bytes.abs_diff(rate) * 100 <= rate * 3, "{bytes} bytes in a second at {rate}");
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_change_of_rate_wakes_those_who_wait() {
        for rate in [None, Some(1 << 30)] {
            let bandwidth = Arc::new(Bandwidth::new(Some(1_024)));
            let waiting = Arc::clone(&bandwidth);
            let waiter = tokio::spawn(async move { waiting.pass(100 << 20).await });
            tokio::task::yield_now().await;
            let changed_at = Instant::now();
            bandwidth.set_rate(rate);
            waiter.await.expect("the waiter passes");
            assert!(changed_at.elapsed() <= Duration::from_millis(200));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_lower_rate_holds_from_the_moment_it_is_set() {
        let bandwidth = Arc::new(Bandwidth::new(None));
        bandwidth.pass(1 << 40).await;
        bandwidth.set_rate(Some(1 << 20));
        let started = Instant::now();
        bandwidth.pass(1 << 20).await;
        assert!(
            started.elapsed() >= Duration::from_millis(970),
            "unlimited bytes leave neither debt nor credit"
        );
        assert!(started.elapsed() <= Duration::from_millis(1_030));
    }

    #[tokio::test(start_paused = true)]
    async fn little_is_saved_up_while_nothing_passes() {
        let bandwidth = Bandwidth::new(Some(1 << 20));
        bandwidth.pass(1).await;
        tokio::time::advance(Duration::from_secs(10)).await;
        let started = Instant::now();
        bandwidth.pass(1 << 20).await;
        assert!(started.elapsed() >= Duration::from_millis(970), "{:?}", started.elapsed());
    }

    proptest! {
        #[test]
        fn never_more_than_the_rate_and_one_burst_passes(
            rate in 1_024u64..1 << 40,
            steps in proptest::collection::vec((0u64..2_000_000_000, 0u64..1 << 30), 1..50),
        ) {
            let mut bucket = Bucket::new(Some(rate));
            let (mut now, mut bytes) = (Duration::ZERO, 0u128);
            for (pause_ns, piece) in steps {
                now += Duration::from_nanos(pause_ns);
                let ticket = bucket.take(now, piece);
                now += bucket.wait(now, ticket);
                prop_assert!(bucket.wait(now, ticket).is_zero(), "it may pass when it was told");
                bytes += u128::from(piece);
                let allowed = now.as_nanos() * u128::from(rate) / UNIT + u128::from(rate / BURST_DIVISOR);
                prop_assert!(bytes <= allowed, "{bytes} bytes passed, {allowed} allowed");
            }
        }
    }
}
