//! The command line of the benches, parsed: text in, options out.
//! Refuses to look at the machine.

use std::path::PathBuf;

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
    pub(crate) cases: Vec<String>,
    pub(crate) is_json: bool,
    pub(crate) rounds: usize,
    pub(crate) scale: f64,
    pub(crate) only: Option<String>,
    pub(crate) has_rivals: bool,
    pub(crate) dir: PathBuf,
    pub(crate) memory: PathBuf,
}

impl Options {
    /// A count or size at the scale that was asked for, and at least one.
    pub(crate) fn scaled(&self, full: u64) -> u64 {
        ((full as f64 * self.scale).round() as u64).max(1)
    }

    /// Whether a part of a case was asked for.
    pub(crate) fn wants(&self, part: &str) -> bool {
        self.only.as_deref().is_none_or(|only| part.contains(only))
    }
}

/// Reads the arguments that follow `hold`.
pub(crate) fn parse(arguments: &[String]) -> Result<Options, String> {
    let mut options = Options {
        cases: Vec::new(),
        is_json: false,
        rounds: 3,
        scale: 1.0,
        only: None,
        has_rivals: true,
        dir: PathBuf::from("/tmp/loghold-bench"),
        memory: PathBuf::from("/dev/shm/loghold-bench"),
    };
    let mut rest = arguments.iter();
    while let Some(word) = rest.next() {
        let mut value = || rest.next().cloned().ok_or_else(|| format!("{word} needs a value"));
        match word.as_str() {
            "--json" => options.is_json = true,
            "--rounds" => options.rounds = number::<usize>(word, &value()?)?.max(1),
            "--scale" => options.scale = number(word, &value()?)?,
            "--only" => options.only = Some(value()?),
            "--no-rivals" => options.has_rivals = false,
            "--dir" => options.dir = value()?.into(),
            "--memory" => options.memory = value()?.into(),
            case if CASES.contains(&case) || case == "clean" => options.cases.push(case.to_owned()),
            other => return Err(format!("`{other}` is no case and no option")),
        }
    }
    if options.cases.is_empty() {
        options.cases = CASES.map(str::to_owned).to_vec();
    }
    Ok(options)
}

fn number<T: std::str::FromStr>(word: &str, text: &str) -> Result<T, String> {
    text.parse().map_err(|_| format!("{word} needs a number, and got `{text}`"))
}
