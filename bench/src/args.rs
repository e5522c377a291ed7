//! The command line of the benches, parsed: text in, options out.
//! Refuses to look at the machine.

use std::path::PathBuf;

use bench_kit::args::Shared;

/// What `bench` prints when it is asked for nothing it knows.
pub(crate) const USAGE: &str = "\
usage: cargo xtask bench hold [CASE...] [OPTION...]

cases (all of them when none is named)
  fill        time for each new chunk, with more and more chunks already here
  find        find, pin and unpin a chunk by block number
  restart     open a data directory to the first find; memory for each chunk
  poison      good chunks among others that never come
  latency     unpin to unlink, cancel, and what a kill at half of a chunk costs
  throughput  2 GB over HTTP and S3, a long link, many small files; with rivals
  damaged     a fifth of the answers wrong
  order       mean time to ready, beside first-come order
  clean       removes what the cases keep for the next run (only when named)

options
  --json           one JSON object for each figure, in place of the table
  --rounds N       rounds of each comparison (3)
  --scale X        sizes and counts times X, to try a case out quickly (1)
  --only WORD      of the cases that have parts: those parts whose name has WORD in it
  --no-rivals      without other programs
  --dir PATH       a directory on the disk to be measured (/tmp/loghold-bench)
  --memory PATH    a directory in memory (/dev/shm/loghold-bench)";

/// The cases in the order in which they run.
pub(crate) const CASES: [&str; 8] =
    ["fill", "find", "restart", "poison", "latency", "throughput", "damaged", "order"];

/// What is to be measured, and how.
#[derive(Debug, Clone)]
pub(crate) struct Options {
    pub(crate) shared: Shared,
    pub(crate) only: Option<String>,
    pub(crate) memory: PathBuf,
}

impl Options {
    /// A count or size at the scale that was asked for, and at least one.
    pub(crate) fn scaled(&self, full: u64) -> u64 {
        self.shared.scaled(full, 1)
    }

    /// Whether a part of a case was asked for.
    pub(crate) fn wants(&self, part: &str) -> bool {
        self.only.as_deref().is_none_or(|only| part.contains(only))
    }
}

/// Reads the arguments that follow `hold`.
pub(crate) fn parse(arguments: &[String]) -> Result<Options, String> {
    let (mut only, mut memory) = (None, PathBuf::from("/dev/shm/loghold-bench"));
    let shared = Shared::new(3, "/tmp/loghold-bench");
    let shared = shared.parse(arguments, &CASES, &["clean"], |word, value| {
        match word {
            "--only" => only = Some(value()?),
            "--memory" => memory = value()?.into(),
            _ => return Ok(false),
        }
        Ok(true)
    })?;
    Ok(Options { shared, only, memory })
}
