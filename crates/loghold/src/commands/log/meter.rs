//! Progress of what takes more than a second: a line that is redrawn on a terminal, a line every few seconds elsewhere.
//! Refuses to show anything for what is over at once.

use std::io::{IsTerminal, Write};
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::thread;
use std::time::Duration;

use host::Clock;
use indicatif::{ProgressBar, ProgressStyle};

use crate::exit::{Failure, Outcome};
use crate::notes::Notes;
use crate::quantity::{show_bytes, show_duration};

/// What is over before is not worth a line.
const QUIET: Duration = Duration::from_secs(1);

/// How often a plain line is printed.
const LINE_EVERY: Duration = Duration::from_secs(5);

/// How often a terminal's line is drawn.
const DRAW_EVERY: Duration = Duration::from_millis(200);

/// Shows how far something is.
#[derive(Debug)]
pub(crate) struct Meter {
    verb: &'static str,
    clock: Clock,
    began: Duration,
    next_at: Duration,
    bar: Option<ProgressBar>,
    is_quiet: bool,
}

impl Meter {
    /// `verb` is what is said before the figures, such as `checked`.
    pub(crate) fn new(notes: Notes, verb: &'static str) -> Meter {
        let clock = Clock::system();
        let began = clock.monotonic();
        let bar = (!notes.is_quiet() && std::io::stderr().is_terminal()).then(|| {
            let style =
                ProgressStyle::with_template("{msg}").unwrap_or_else(|_| ProgressStyle::default_bar());
            ProgressBar::new(0).with_style(style)
        });
        let next_at = if bar.is_some() { QUIET } else { LINE_EVERY };
        Meter { verb, clock, began, next_at, bar, is_quiet: notes.is_quiet() }
    }

    /// Shows figures, unless some were shown a moment ago. `more` is only made when they are.
    pub(crate) fn show(&mut self, bytes_done: u64, bytes_all: Option<u64>, more: impl FnOnce() -> String) {
        let elapsed = self.clock.monotonic().saturating_sub(self.began);
        if self.is_quiet || elapsed < self.next_at {
            return;
        }
        self.next_at = elapsed.saturating_add(if self.bar.is_some() { DRAW_EVERY } else { LINE_EVERY });
        let line = format!("{}{}", summary(self.verb, elapsed, bytes_done, bytes_all), more());
        match &self.bar {
            Some(bar) => bar.set_message(line),
            // When stderr is closed there is nobody left to tell.
            None => drop(writeln!(std::io::stderr(), "{line}")),
        }
    }

    /// Takes the line away.
    pub(crate) fn finish(self) {
        if let Some(bar) = self.bar {
            bar.finish_and_clear();
        }
    }
}

/// `checked 1.20 GiB of 3.40 GiB, 350 MiB/s, 6s left`.
fn summary(verb: &str, elapsed: Duration, done: u64, all: Option<u64>) -> String {
    let millis = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX).max(1);
    let rate = done.saturating_mul(1000) / millis;
    let of = all.map_or_else(String::new, |all| format!(" of {}", show_bytes(all)));
    let left = all.map(|all| all.saturating_sub(done)).filter(|left| *left > 0);
    let left = left.and_then(|left| left.checked_div(rate)).map_or_else(String::new, |seconds| {
        format!(", {} left", show_duration(Duration::from_secs(seconds.max(1))))
    });
    if done == 0 {
        return format!("{verb}, for {} now", show_duration(elapsed));
    }
    format!("{verb} {}{of}, {}/s{left}", show_bytes(done), show_bytes(rate))
}

/// Does something in a thread of its own, and shows how far it is: bytes done, and all of them where that is known.
pub(crate) fn while_working<T: Send + 'static>(
    mut meter: Meter,
    progress: impl Fn() -> (u64, Option<u64>),
    work: impl FnOnce() -> T + Send + 'static,
) -> Outcome<T> {
    let (sender, receiver) = sync_channel(1);
    thread::Builder::new()
        .name("work".to_string())
        .spawn(move || drop(sender.send(work())))
        .map_err(|error| Failure::io("starting a thread", &error))?;
    loop {
        match receiver.recv_timeout(DRAW_EVERY) {
            Ok(done) => {
                meter.finish();
                return Ok(done);
            }
            Err(RecvTimeoutError::Timeout) => {
                let (done, all) = progress();
                meter.show(done, all, String::new);
            }
            Err(RecvTimeoutError::Disconnected) => {
                return Err(Failure::new(crate::exit::Exit::Error, "the work ended without an outcome"));
            }
        }
    }
}

/// Keeps to a rate.
#[derive(Debug)]
pub(crate) struct Pace {
    clock: Clock,
    began: Duration,
    bytes_per_second_max: Option<u64>,
}

impl Pace {
    pub(crate) fn new(clock: Clock, bytes_per_second_max: Option<u64>) -> Pace {
        let began = clock.monotonic();
        Pace { clock, began, bytes_per_second_max }
    }

    /// Waits until so many bytes are due: the wait is the rate itself.
    pub(crate) fn keep(&self, bytes: u64) {
        let Some(rate) = self.bytes_per_second_max else { return };
        let millis = u128::from(bytes).saturating_mul(1000) / u128::from(rate.max(1));
        let due = Duration::from_millis(u64::try_from(millis).unwrap_or(u64::MAX));
        loop {
            let left = due.saturating_sub(self.clock.monotonic().saturating_sub(self.began));
            if left.is_zero() {
                return;
            }
            // Parking may end early; nobody unparks this thread.
            thread::park_timeout(left);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_says_how_far_how_fast_and_how_long() {
        let line = summary("checked", Duration::from_secs(4), 1 << 30, Some(3 << 30));
        assert_eq!(line, "checked 1.00 GiB of 3.00 GiB, 256 MiB/s, 8s left");
        assert_eq!(
            summary("imported", Duration::from_secs(4), 4 << 20, None),
            "imported 4.00 MiB, 1.00 MiB/s"
        );
        assert_eq!(summary("copying", Duration::from_secs(4), 0, None), "copying, for 4s now");
    }
}
