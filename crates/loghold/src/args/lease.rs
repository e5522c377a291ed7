//! What `lease`, `with` and `sql-init` take.
//! Refuses to look at the world.

use std::ffi::OsString;
use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum, ValueHint};

use crate::args::Blocks;
use crate::block_range::parse_block_range;
use crate::dataset::Dataset;
use crate::quantity::parse_duration;

#[derive(Debug, Subcommand)]
pub(crate) enum LeaseCommand {
    /// List leases: who holds what for how long, and what that keeps from being removed
    Ls,
    /// Take a lease of the chunks that hold a range of blocks, and print its name
    New(LeaseNewArguments),
    /// Let a lease live for a time from now on
    Renew(LeaseRenewArguments),
    /// End leases, whoever holds them: files that are being read may go away
    Break(LeaseBreakArguments),
}

pub(crate) const WITH_HELP: &str = "\
The command finds in its environment:
  LOGHOLD_FILES       the paths of the files, one a line; not set when they take more than 96 KiB
  LOGHOLD_FILES_JSON  the name of a file with what `loghold files -o json` prints, of any length
  LOGHOLD_LEASE       the name of the lease
  LOGHOLD_DATA_DIR    the data directories
The lease is renewed while the command runs, and released when it ends. The data directory is free meanwhile: other \
commands may work there, and nothing that they do takes the files away.

Exit codes: that of the command, or 128 and the number of the signal that ended it; 126 when it cannot be run, 127 when it \
is not there. What goes wrong before it runs has the codes of loghold itself. SIGTERM, SIGHUP, SIGINT and SIGQUIT are passed \
on; the last two not at a terminal, which sends them to the command itself.";

#[derive(Debug, Args)]
pub(crate) struct LeaseNewArguments {
    /// The dataset: a name or an id
    #[arg(value_parser = Dataset::parse)]
    pub(crate) dataset: Dataset,
    /// The blocks, a..b or a..=b
    #[arg(value_parser = parse_block_range)]
    pub(crate) blocks: Blocks,
    /// Its name: 1 to 64 of a-z 0-9 . _ - [default: made up]
    #[arg(long)]
    pub(crate) name: Option<String>,
    /// Who holds it, in words for people
    #[arg(long, default_value = "")]
    pub(crate) owner: String,
    /// How long it lives unless renewed, 1s to 30d
    #[arg(long = "for", value_name = "TIME", default_value = "10m", value_parser = parse_duration)]
    pub(crate) lifetime: Duration,
    /// Take it even when some of the blocks are not at hand
    #[arg(long)]
    pub(crate) allow_gaps: bool,
}

#[derive(Debug, Args)]
pub(crate) struct LeaseRenewArguments {
    /// The lease
    pub(crate) name: String,
    /// How long it lives from now on, 1s to 30d
    #[arg(long = "for", value_name = "TIME", default_value = "10m", value_parser = parse_duration)]
    pub(crate) lifetime: Duration,
}

#[derive(Debug, Args)]
pub(crate) struct LeaseBreakArguments {
    /// The leases
    #[arg(value_name = "NAME", required = true)]
    pub(crate) names: Vec<String>,
}

#[derive(Debug, Args)]
pub(crate) struct WithArguments {
    /// The dataset: a name or an id
    #[arg(value_parser = Dataset::parse)]
    pub(crate) dataset: Dataset,
    /// The blocks, a..b or a..=b
    #[arg(value_parser = parse_block_range)]
    pub(crate) blocks: Blocks,
    /// Only files of this table: NAME or NAME.parquet; repeatable
    #[arg(long, value_name = "NAME")]
    pub(crate) table: Vec<String>,
    /// Run the command even when some of the blocks are not at hand
    #[arg(long)]
    pub(crate) allow_gaps: bool,
    /// How long the lease lives after its last renewal, which comes three times as often; 3s to 30d
    #[arg(long, value_name = "TIME", default_value = "10m", value_parser = parse_duration)]
    pub(crate) lease: Duration,
    /// Wait so long for another process that owns the data directory
    #[arg(long, value_name = "TIME", default_value = "0s", value_parser = parse_duration)]
    pub(crate) wait: Duration,
    /// The command and its arguments
    #[arg(last = true, required = true, value_name = "COMMAND", value_hint = ValueHint::CommandWithArguments)]
    pub(crate) command: Vec<OsString>,
}

#[derive(Debug, Args)]
pub(crate) struct SqlInitArguments {
    /// The engine
    #[arg(value_enum)]
    pub(crate) engine: SqlEngine,
}

/// Engines that something is printed for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum SqlEngine {
    /// SQL for `duckdb -init` and `connection.sql`.
    Duckdb,
    /// A Python module.
    Polars,
    /// A Python module.
    Datafusion,
}
