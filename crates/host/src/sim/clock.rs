//! `ManualClock`: time that passes only when it is told to.
//! It refuses to go back: only the time of day may be set to any value.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use crate::clock::{Clock, TimeSource};

/// A clock moved by hand. Cloning is cheap, all clones show the same time.
#[derive(Clone, Debug)]
pub struct ManualClock {
    times: Arc<Mutex<Times>>,
}

#[derive(Debug)]
struct Times {
    monotonic: Duration,
    wall: SystemTime,
}

impl ManualClock {
    /// A clock that stands at this time of day; its monotonic time starts at zero.
    pub fn new(wall: SystemTime) -> ManualClock {
        ManualClock { times: Arc::new(Mutex::new(Times { monotonic: Duration::ZERO, wall })) }
    }

    /// The clock as the program sees it.
    pub fn clock(&self) -> Clock {
        Clock::custom(Arc::new(self.clone()))
    }

    /// Lets time pass; the time of day moves along.
    pub fn advance(&self, by: Duration) {
        let mut times = self.times();
        times.monotonic = times.monotonic.saturating_add(by);
        times.wall = times.wall.checked_add(by).unwrap_or(times.wall);
    }

    /// Lets time pass until the monotonic time is `monotonic`; a time that has passed changes nothing.
    pub fn set(&self, monotonic: Duration) {
        let by = monotonic.saturating_sub(self.times().monotonic);
        self.advance(by);
    }

    /// Sets the time of day alone, as an operator or a time server does.
    pub fn set_wall(&self, wall: SystemTime) {
        self.times().wall = wall;
    }

    fn times(&self) -> MutexGuard<'_, Times> {
        self.times.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl TimeSource for ManualClock {
    fn monotonic(&self) -> Duration {
        self.times().monotonic
    }

    fn wall(&self) -> SystemTime {
        self.times().wall
    }
}
