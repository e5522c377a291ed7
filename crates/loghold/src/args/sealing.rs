//! What `loghold seal`, `loghold find`, `loghold read` and `loghold store` take: one definition for parsing, help and man pages.
//! Refuses to look at the world, as `args` does.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueHint};

pub(crate) const SEAL_HELP: &str = "\
A plan is TOML:
  dataset = \"ethereum-mainnet\"
  store = \"s3://bucket/prefix\"        # or file:///dir, gs://, az://; the environment has the credentials
  first_block = 0                     # default
  numbering = \"one-per-block\"         # block = first_block + id - 1; or { field = \"number\" } of a JSON payload
  finality = { lag = 64 }             # blocks; or \"mark\": what the log's mark says
  parent = { type = 1, hash = \"hash\", parent = \"parent_hash\" }   # optional: links are checked
  layout = \"loghold\"                  # default; or \"sqd\"
  retain = \"all\"                      # default; or \"unsealed\": the log is trimmed behind what was sealed
  [cut]                               # any of these ends a chunk, at the end of a block
  records = 100000
  bytes = \"256MiB\"                    # default
  age = \"10m\"
  [[table]]
  file = \"records.parquet\"
  columns = \"raw\"                     # every record as it is
  [[table]]
  type = 1
  file = \"blocks.parquet\"
  columns = [ { name = \"hash\", type = \"binary\" }, { name = \"time\", type = \"timestamp_s\", from = \"header.time\" } ]
Types: bool, i64, u64, f64, utf8, json, binary (of hex), timestamp_s, timestamp_ms, timestamp_us. What does not fit goes into \
_rejected.parquet with the reason; `optional = true` lets a column be missing.

It may be stopped at any moment: the same command goes on, and no record is sealed twice.
Exit codes: 1 when somebody has to decide (a block names another parent, the log was rolled back below what is sealed), 6 when \
the store fails or does not keep the first of several writers.";

pub(crate) const READ_HELP: &str = "\
loghold read --plan plan.toml --log DIR 0..100     chunks, and behind them the log
loghold read s3://bucket/prefix 0..=99             chunks alone
A range is a..b (without b), a..=b, or a.. for all from a on. Where a raw table holds every record, records come as they were \
appended; otherwise the rows of the typed tables come, and those of _rejected. -o raw prints the bytes of records alone.
Exit codes: 3 when the directory of the store is not there, 4 when some of the range is not there, or records are gone that were never sealed; 5 when a chunk is damaged.";

#[derive(Debug, Args)]
pub(crate) struct SealArguments {
    /// The directory of the log
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath, env = "LOGHOLD_LOG")]
    pub(crate) log: PathBuf,
    /// The plan, or - for stdin
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) plan: PathBuf,
    /// Seal what can be sealed now, and end; the default
    #[arg(long, conflicts_with = "follow")]
    pub(crate) once: bool,
    /// Go on with what comes
    #[arg(long)]
    pub(crate) follow: bool,
    /// Seal nothing: say how far sealing has come, and why it is not further. It may run beside a sealer
    #[arg(long, conflicts_with_all = ["follow", "once"])]
    pub(crate) why: bool,
}

#[derive(Debug, Args)]
pub(crate) struct ReadLineArguments {
    /// The store of sealed chunks, unless --plan names it; and the blocks
    #[arg(value_names = ["URL", "RANGE"], num_args = 0..=2)]
    pub(crate) words: Vec<String>,
    /// The plan by which the dataset is sealed, or - for stdin
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) plan: Option<PathBuf>,
    /// The directory of the log, to read on behind the chunks
    #[arg(help = "The directory of the log, to look behind the chunks [env: LOGHOLD_LOG, with --plan]")]
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath, requires = "plan")]
    pub(crate) log: Option<PathBuf>,
    /// Go on with records to come
    #[arg(long, requires = "plan")]
    pub(crate) follow: bool,
}

pub(crate) const FIND_HELP: &str = "\
loghold find --plan plan.toml --log DIR 17         `chunk`, with its path in the store, or `head`: still in the log
loghold find s3://bucket/prefix 17                 chunks alone
What a hold has of it at hand: loghold chunk find. Exit codes: 3 when no record of the block, or no store, is there.";

#[derive(Debug, Args)]
pub(crate) struct FindArguments {
    /// The store of sealed chunks, unless --plan names it; and the block
    #[arg(value_names = ["URL", "BLOCK"], num_args = 0..=2)]
    pub(crate) words: Vec<String>,
    /// The plan by which the dataset is sealed, or - for stdin
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) plan: Option<PathBuf>,
    /// The directory of the log, to look behind the chunks
    #[arg(help = "The directory of the log, to look behind the chunks [env: LOGHOLD_LOG, with --plan]")]
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath, requires = "plan")]
    pub(crate) log: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum StoreCommand {
    /// Try whether a store keeps the first of several writers of one name, which sealing depends on
    Check {
        #[arg(
            help = "The store: file:///dir, s3://bucket/prefix, gs://bucket/prefix or az://container/prefix"
        )]
        #[arg(value_name = "URL", value_parser = parse_store)]
        url: url::Url,
        /// Another way to the same store, beside that of the environment, such as that of a second node; repeatable
        #[arg(long, value_name = "ENDPOINT")]
        endpoint: Vec<String>,
    },
    /// Put small chunks that follow each other together; the old ones stay
    Compact(CompactArguments),
}

#[derive(Debug, Args)]
pub(crate) struct CompactArguments {
    /// The plan by which the dataset is sealed, or - for stdin
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) plan: PathBuf,
    /// A new chunk has at most so many bytes of files, up to 2 GiB
    #[arg(long, value_name = "BYTES", default_value_t = 256 << 20, value_parser = clap::value_parser!(u64).range(1..=2 << 30))]
    pub(crate) bytes_max: u64,
    /// And is made of at least so many
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u32).range(2..=100_000))]
    pub(crate) chunks_min: u32,
}

/// The URL of a store. A path is what people try first.
pub(crate) fn parse_store(text: &str) -> Result<url::Url, String> {
    url::Url::parse(text).map_err(|error| match error {
        url::ParseError::RelativeUrlWithoutBase => {
            "a store is a URL; that of a directory is file:// and its absolute path".to_string()
        }
        other => other.to_string(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_in_place_of_a_store_is_told_how_to_write_it() {
        for path in ["/dir", "dir/below", "./dir", ""] {
            assert!(parse_store(path).unwrap_err().contains("file://"), "{path}");
        }
        assert_eq!(parse_store("file:///dir").unwrap().path(), "/dir");
    }
}
