//! The command line of the benches, parsed: text in, options out.
//! Refuses to look at the machine.

use bench_kit::args::Shared;

/// What `bench-joint` prints when it is asked for nothing it knows.
pub(crate) const USAGE: &str = "\
usage: cargo xtask bench joint [CASE...] [OPTION...]

cases (all of them when none is named)
  seal    a log into Parquet, raw and typed, beside a bare loop of the same writer, and DuckDB
  pinned  append of a chunk's last record to the chunk in the hand of a reader, over S3 on loopback
  read    records across the seam of chunks and log, beside both apart
  files   a query of the files of a range, named by the hold, beside a pattern over all files
  clean   removes what is left (only when named)

options
  --json           one JSON object for each figure, in place of the table
  --rounds N       rounds of each comparison (5)
  --scale X        counts times X, to try a case out quickly (1)
  --no-rivals      without DuckDB; `files` is left out
  --dir PATH       a directory on the disk to be measured (/tmp/loghold-bench-joint)

DuckDB and moto are looked for in the Python of `cargo xtask test`, and on PATH.";

/// The cases in the order in which they run.
pub(crate) const CASES: [&str; 4] = ["seal", "pinned", "read", "files"];

/// Reads the arguments that follow `joint`.
pub(crate) fn parse(arguments: &[String]) -> Result<Shared, String> {
    Shared::new(5, "/tmp/loghold-bench-joint").parse(arguments, &CASES, &["clean"], |_, _| Ok(false))
}
