//! The command line of the benches, parsed: text in, options out.
//! Refuses to look at the machine.

use bench_kit::args::Shared;

/// What `bench-log` prints when it is asked for nothing it knows.
pub(crate) const USAGE: &str = "\
usage: cargo xtask bench log [CASE...] [OPTION...]

cases (all of them when none is named)
  buffered  append 128 B without a sync
  durable   append 128 B with a sync, by 1, 8 and 64 producers, and by one with 1,024 in flight
  rotation  the slowest appends of 8 producers while files change
  pressure  a durable append while every core is busy, and while it is crowded
  read      random records by their id
  scan      all records; those of one type of 100
  recover   open after a kill: records validated in a second
  open      open a log of 64 files, and one of 2
  space     bytes on disk
  follow    another process learns of a record
  cursors   64 consumers that note how far they are
  seed      beside the published rates of the original Ruby program
  faults    failed syncs, full disks, kills, flipped bits, torn tails, power cuts (only when named; wants strace and root)
  clean     removes what is left (only when named)

options
  --json           one JSON object for each figure, in place of the table
  --rounds N       rounds of each comparison (5)
  --scale X        counts and times times X, to try a case out quickly (1)
  --who WORD       only contestants with WORD in their name, beside the raw loops and ours
  --no-rivals      without rivals
  --real-time      everybody in the class SCHED_FIFO, by chrt: for a machine that others use, and not for `pressure`
  --dir PATH       a directory on the disk to be measured (/tmp/loghold-bench-log)";

/// The cases in the order in which they run.
pub(crate) const CASES: [&str; 12] = [
    "buffered", "durable", "rotation", "pressure", "read", "scan", "recover", "open", "space", "follow",
    "cursors", "seed",
];

/// What is to be measured, and how.
#[derive(Debug, Clone)]
pub(crate) struct Options {
    pub(crate) shared: Shared,
    pub(crate) who: Option<String>,
    /// Whether everybody runs in the real-time class, so that other programs do not disturb.
    pub(crate) is_real_time: bool,
}

impl Options {
    /// A count at the scale that was asked for, and at least 1,024.
    pub(crate) fn scaled(&self, full: u64) -> u64 {
        self.shared.scaled(full, 1_024)
    }

    /// A time at the scale that was asked for, and at least 50 ms.
    pub(crate) fn span(&self, full_ms: u64) -> std::time::Duration {
        std::time::Duration::from_millis(((full_ms as f64 * self.shared.scale) as u64).max(50))
    }
}

/// Reads the arguments that follow `log`.
pub(crate) fn parse(arguments: &[String]) -> Result<Options, String> {
    let (mut who, mut is_real_time) = (None, false);
    let shared = Shared::new(5, "/tmp/loghold-bench-log");
    let shared = shared.parse(arguments, &CASES, &["clean", "faults"], |word, value| {
        match word {
            "--who" => who = Some(value()?),
            "--real-time" => is_real_time = true,
            _ => return Ok(false),
        }
        Ok(true)
    })?;
    Ok(Options { shared, who, is_real_time })
}
