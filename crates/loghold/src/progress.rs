//! Progress on stderr: bars on a terminal, a plain line every few seconds elsewhere.
//! Refuses to measure: it shows the figures that it is given.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::io::{IsTerminal, Write};
use std::time::Duration;

use data_manager::data_chunk::ChunkId;
use data_manager::status::ChunkProgress;
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use crate::block_range::show_block_range;
use crate::id_prefix::short_id;
use crate::notes::Notes;
use crate::output::note_line;
use crate::quantity::{show_bytes, show_duration};

/// How often a plain line is printed.
const LINE_EVERY: Duration = Duration::from_secs(5);

/// How many chunks get a bar of their own.
const CHUNK_BARS_MAX: usize = 8;

/// How long the shown rate remembers: it follows changes in a few seconds and does not jump.
const RATE_MEMORY_MS: u128 = 3_000;

/// When nothing came for so long, what came before says nothing of when the rest will.
const SILENCE: Duration = Duration::from_secs(3);

/// All chunks together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Overall {
    pub(crate) chunks_ready: usize,
    pub(crate) chunks_given_up: usize,
    pub(crate) chunks_all: usize,
    pub(crate) bytes_done: u64,
    /// `None` while a size is unknown.
    pub(crate) bytes_all: Option<u64>,
    /// Bytes received by this run.
    pub(crate) bytes_fetched: u64,
}

/// Shows how far a run is.
#[derive(Debug)]
pub(crate) struct Progress {
    shown: Shown,
    rate: Rate,
}

#[derive(Debug)]
enum Shown {
    Bars { all: MultiProgress, total: ProgressBar, chunks: HashMap<ChunkId, ProgressBar> },
    Lines { next_at: Duration },
    Nothing,
}

impl Progress {
    pub(crate) fn new(notes: Notes) -> Progress {
        let shown = if notes.is_quiet() {
            Shown::Nothing
        } else if std::io::stderr().is_terminal() {
            let all = MultiProgress::new();
            let total = all.add(ProgressBar::new(0).with_style(style("{prefix:>9} [{bar:30}] {msg}")));
            Shown::Bars { all, total: total.with_prefix("total"), chunks: HashMap::new() }
        } else {
            Shown::Lines { next_at: LINE_EVERY }
        };
        Progress { shown, rate: Rate::default() }
    }

    /// Shows the state at `elapsed` since the run began.
    pub(crate) fn show(&mut self, elapsed: Duration, overall: &Overall, chunks: &[ChunkProgress]) {
        let rate = self.rate.at(elapsed, overall.bytes_fetched);
        match &mut self.shown {
            Shown::Nothing => {}
            Shown::Lines { next_at } => {
                if elapsed >= *next_at {
                    *next_at = elapsed.saturating_add(LINE_EVERY);
                    // When stderr is closed there is nobody left to tell.
                    let _nobody_to_tell =
                        writeln!(std::io::stderr(), "{}", summary(overall, chunks.len(), rate));
                }
            }
            Shown::Bars { all, total, chunks: bars } => {
                let length = overall
                    .bytes_all
                    .unwrap_or_else(|| u64::try_from(overall.chunks_all).unwrap_or(u64::MAX));
                let position = match overall.bytes_all {
                    Some(_) => overall.bytes_done,
                    None => u64::try_from(overall.chunks_ready).unwrap_or(u64::MAX),
                };
                total.set_length(length);
                total.set_position(position);
                total.set_message(summary(overall, chunks.len(), rate));
                show_chunks(all, total, bars, chunks);
            }
        }
    }

    /// Something that happened, above the bars.
    pub(crate) fn say(&self, text: &str) {
        let line = note_line(text);
        let _nobody_to_tell = match &self.shown {
            Shown::Nothing => Ok(()),
            Shown::Lines { .. } => writeln!(anstream::stderr().lock(), "{line}"),
            Shown::Bars { all, .. } => all.println(line),
        };
    }

    /// Does what prints elsewhere, without the bars in between.
    pub(crate) fn aside<T>(&self, print: impl FnOnce() -> T) -> T {
        match &self.shown {
            Shown::Bars { all, .. } => all.suspend(print),
            Shown::Lines { .. } | Shown::Nothing => print(),
        }
    }

    /// Takes the bars away.
    pub(crate) fn finish(self) {
        if let Shown::Bars { all, total, chunks } = self.shown {
            for bar in chunks.values() {
                bar.finish_and_clear();
            }
            total.finish_and_clear();
            let _nobody_to_tell = all.clear();
        }
    }
}

/// A bar for each of the first chunks; bars of chunks that are done vanish.
fn show_chunks(
    all: &MultiProgress,
    total: &ProgressBar,
    bars: &mut HashMap<ChunkId, ProgressBar>,
    chunks: &[ChunkProgress],
) {
    bars.retain(|id, bar| {
        let is_shown = chunks.iter().any(|chunk| chunk.id == *id);
        if !is_shown {
            bar.finish_and_clear();
            all.remove(bar);
        }
        is_shown
    });
    for chunk in chunks {
        if !bars.contains_key(&chunk.id) && bars.len() < CHUNK_BARS_MAX {
            let bar =
                all.insert_before(total, ProgressBar::new(0).with_style(style("{prefix} [{bar:30}] {msg}")));
            let id: String = short_id(&chunk.id).chars().take(9).collect();
            bars.insert(chunk.id, bar.with_prefix(id));
        }
        if let Some(bar) = bars.get(&chunk.id) {
            bar.set_length(chunk.bytes_total.unwrap_or(0));
            bar.set_position(chunk.bytes_done);
            let total = chunk.bytes_total.map_or_else(|| "?".to_string(), show_bytes);
            let blocks = show_block_range(&chunk.block_range);
            bar.set_message(format!("{} of {total}, blocks {blocks}", show_bytes(chunk.bytes_done)));
        }
    }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template)
        .unwrap_or_else(|_| ProgressStyle::default_bar())
        .progress_chars("=> ")
}

/// The run in a line: `12 of 40 chunks, 1.20 GiB of 3.40 GiB, 35.0 MiB/s, 1m 04s left`.
fn summary(overall: &Overall, in_flight: usize, rate: u64) -> String {
    let mut line = format!("{} of {} chunks", overall.chunks_ready, overall.chunks_all);
    let mut add = |text: String| {
        let _cannot_fail = write!(line, ", {text}");
    };
    if overall.chunks_given_up > 0 {
        add(format!("{} given up", overall.chunks_given_up));
    }
    match overall.bytes_all {
        Some(all) => add(format!("{} of {}", show_bytes(overall.bytes_done), show_bytes(all))),
        None => add(show_bytes(overall.bytes_done)),
    }
    add(format!("{}/s", show_bytes(rate)));
    if in_flight > 0 {
        add(format!("{in_flight} in flight"));
    }
    let left = overall.bytes_all.map(|all| all.saturating_sub(overall.bytes_done));
    if let Some(seconds) = left.filter(|&left| left > 0).and_then(|left| left.checked_div(rate)) {
        add(format!("{} left", show_duration(Duration::from_secs(seconds.max(1)))));
    }
    line
}

/// A smoothed rate.
#[derive(Debug, Default)]
struct Rate {
    at: Duration,
    bytes: u64,
    /// When the counter last grew.
    grew_at: Duration,
    /// Bytes a second; `None` before the first reading.
    smooth: Option<u128>,
}

impl Rate {
    /// The rate in bytes a second, after a reading of a counter that only grows.
    fn at(&mut self, now: Duration, bytes: u64) -> u64 {
        let past_ms = now.saturating_sub(self.at).as_millis();
        if past_ms >= 50 {
            let latest = u128::from(bytes.saturating_sub(self.bytes)) * 1_000 / past_ms;
            self.smooth = Some(self.smooth.map_or(latest, |smooth| {
                (smooth * RATE_MEMORY_MS + latest * past_ms) / (RATE_MEMORY_MS + past_ms)
            }));
            self.at = now;
            if bytes > self.bytes {
                self.grew_at = now;
            }
            self.bytes = bytes;
        }
        if now.saturating_sub(self.grew_at) >= SILENCE {
            return 0;
        }
        self.smooth.map_or(0, |rate| u64::try_from(rate).unwrap_or(u64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OVERALL: Overall = Overall {
        chunks_ready: 12,
        chunks_given_up: 0,
        chunks_all: 40,
        bytes_done: 1 << 30,
        bytes_all: Some(3 << 30),
        bytes_fetched: 0,
    };

    #[test]
    fn the_line_says_how_far_how_fast_and_how_long() {
        assert_eq!(
            summary(&OVERALL, 8, 32 << 20),
            "12 of 40 chunks, 1.00 GiB of 3.00 GiB, 32.0 MiB/s, 8 in flight, 1m 04s left"
        );
    }

    #[test]
    fn what_is_not_known_is_not_said() {
        let unknown = Overall { bytes_all: None, chunks_given_up: 2, ..OVERALL };
        assert_eq!(summary(&unknown, 0, 0), "12 of 40 chunks, 2 given up, 1.00 GiB, 0 B/s");
        assert!(!summary(&OVERALL, 0, 0).contains("left"));
    }

    #[test]
    fn the_rate_follows_the_counter() {
        let mut rate = Rate::default();
        for second in 1..=30u64 {
            rate.at(Duration::from_secs(second), second * 1_000_000);
        }
        let steady = rate.at(Duration::from_secs(31), 31_000_000);
        let pausing = Rate { ..rate }.at(Duration::from_secs(33), 31_000_000);
        assert!((300_000..900_000).contains(&pausing), "{pausing}");
        assert!((990_000..=1_010_000).contains(&steady), "{steady}");
        let stopped =
            (32..=60).map(|second| rate.at(Duration::from_secs(second), 31_000_000)).last().unwrap();
        assert_eq!(stopped, 0);
        assert_eq!(rate.at(Duration::from_mins(1), 31_000_000), stopped);
    }
}
