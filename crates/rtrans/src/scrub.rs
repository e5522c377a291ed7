//! `Log::scrub`: reads all of a log that is in use, slowly, to find damage while there are still copies to mend it from.
//! Refuses to be in anybody's way: it has a rate, and ends when it is told to.

use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use host::Clock;

use crate::check::{CheckProgress, Findings, check_watched};
use crate::error::Error;
use crate::log::Log;

/// How a log is scrubbed.
#[derive(Clone, Debug, Default)]
pub struct Scrub {
    /// Bytes a second, about: after each file it waits until as much time has passed. `None`: as fast as the disk is.
    pub bytes_per_second_max: Option<u64>,
    /// What ends it early.
    pub stop: ScrubStop,
}

/// Ends a scrub from another thread. Cloning is cheap, and all clones end the same scrub.
#[derive(Clone, Debug, Default)]
pub struct ScrubStop {
    inner: Arc<Stop>,
}

#[derive(Debug, Default)]
struct Stop {
    is_stopped: Mutex<bool>,
    told: Condvar,
}

impl ScrubStop {
    /// Lets the scrub end with [`Error::Closed`] behind the file that it reads.
    pub fn stop(&self) {
        *self.inner.is_stopped.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.inner.told.notify_all();
    }

    /// Waits for so long; an error when it was told to stop meanwhile or before.
    fn pause(&self, time: Duration) -> Result<(), Error> {
        let is_stopped = self.inner.is_stopped.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.inner.told.wait_timeout_while(is_stopped, time, |is_stopped| !*is_stopped);
        let (is_stopped, _) = waited.unwrap_or_else(PoisonError::into_inner);
        if *is_stopped { Err(Error::Closed) } else { Ok(()) }
    }
}

impl Log {
    /// Reads every record and index of the log from its files, beside all appends and reads, and says what is wrong.
    ///
    /// It runs in the caller's thread: spawn one, and come back in some days.
    ///
    /// ```
    /// use rtrans::{Log, Options, Scrub, TypeNo};
    ///
    /// # let dir = tempfile::tempdir()?;
    /// let log = Log::open(dir.path(), Options::default())?;
    /// log.append(TypeNo(7), b"bytes")?;
    /// let findings = log.scrub(&Scrub { bytes_per_second_max: Some(64 << 20), ..Scrub::default() })?;
    /// assert!(findings.is_sound());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Closed`] when it was stopped, or the log was closed; as of [`check`](crate::check()).
    pub fn scrub(&self, scrub: &Scrub) -> Result<Findings, Error> {
        let clock = Clock::system();
        let began = clock.monotonic();
        check_watched(self.disk(), &mut |progress: CheckProgress| {
            if matches!(self.failure(), Some(Error::Closed)) {
                return Err(Error::Closed);
            }
            let due =
                scrub.bytes_per_second_max.map_or(Duration::ZERO, |rate| time_for(progress.bytes_done, rate));
            scrub.stop.pause(due.saturating_sub(clock.monotonic().saturating_sub(began)))
        })
    }
}

/// How long so many bytes take at this rate.
fn time_for(bytes: u64, bytes_per_second: u64) -> Duration {
    let millis = u128::from(bytes).saturating_mul(1000) / u128::from(bytes_per_second.max(1));
    Duration::from_millis(u64::try_from(millis).unwrap_or(u64::MAX))
}
