//! `Clock`: where everything takes the time from.
//! It refuses to wait: waiting is for events, with a time limit that the waiter computes.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rustix::time::{ClockId, clock_gettime};

/// The time, from the machine or from a source of one's own. Cloning is cheap.
#[derive(Clone, Debug)]
pub struct Clock {
    source: Source,
}

/// A time of one's own making, for [`Clock::custom`]: the simulation, or a test.
pub trait TimeSource: fmt::Debug + Send + Sync {
    /// Time since an arbitrary start. It never goes back.
    fn monotonic(&self) -> Duration;

    /// The time of day. It may jump both ways.
    fn wall(&self) -> SystemTime;
}

#[derive(Clone, Debug)]
enum Source {
    System,
    Custom(Arc<dyn TimeSource>),
}

impl Clock {
    /// The machine's own clocks.
    pub fn system() -> Clock {
        Clock { source: Source::System }
    }

    /// A clock that shows what `source` says.
    pub fn custom(source: Arc<dyn TimeSource>) -> Clock {
        Clock { source: Source::Custom(source) }
    }

    /// Time since an arbitrary start. It never goes back, whatever the time of day does.
    pub fn monotonic(&self) -> Duration {
        match &self.source {
            Source::System => read(ClockId::Monotonic),
            Source::Custom(source) => source.monotonic(),
        }
    }

    /// The monotonic time in milliseconds, some 10 ms late at most and several times cheaper: for each read of a chunk.
    ///
    /// It has the start of [`Clock::monotonic`], and is never ahead of it.
    pub fn monotonic_coarse_ms(&self) -> u64 {
        let time = match &self.source {
            Source::System => read(ClockId::MonotonicCoarse),
            Source::Custom(source) => source.monotonic(),
        };
        // Not `as_millis`: its division of 128 bits costs more than reading the clock.
        time.as_secs().saturating_mul(1000).saturating_add(u64::from(time.subsec_millis()))
    }

    /// The time of day, to show it and for what must outlive the process. It may jump both ways.
    #[expect(clippy::disallowed_methods, reason = "this is the one place where the time of day comes from")]
    pub fn wall(&self) -> SystemTime {
        match &self.source {
            Source::System => SystemTime::now(),
            Source::Custom(source) => source.wall(),
        }
    }
}

fn read(clock: ClockId) -> Duration {
    let time = clock_gettime(clock);
    // Neither part is ever negative on a monotonic clock.
    Duration::new(u64::try_from(time.tv_sec).unwrap_or(0), u32::try_from(time.tv_nsec).unwrap_or(0))
}
