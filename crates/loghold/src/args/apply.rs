//! What `apply` takes.
//! Refuses to look at the world.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueHint};

use crate::args::sealing::parse_store;
use crate::block_range::parse_block_range_from;
use crate::quantity::parse_duration;

use super::Blocks;

pub(crate) const APPLY_HELP: &str = "\
URL is where chunks were sealed to: file:///directory, s3://bucket/prefix, gs://bucket/prefix or az://container/prefix.
Every chunk of it with a block in the range is fetched, in the order in which it was sealed, and printed when it is ready. A \
chunk that others replace goes when those are ready. What is not of this store stays as it is.

With --log the log that is sealed there keeps its records until their chunks are here: this hold is one of its consumers, whom \
trims and retention wait for. `loghold log consumers` shows how far it is; `loghold log trim` names it when it is in the way.

^C stops: what was fetched is kept, and the same command goes on from there.
Exit codes: 3 when the directory of the store is not there, 4 when some chunks could not be had, 5 when a manifest is damaged or missing, 6 when the store fails, 7 when there is \
no room. With --follow the directory and the room are waited for. A store that is there and that nobody has sealed into is no error: \
nothing is to be fetched yet. So is a prefix of a bucket, where none of that name cannot be told from an empty one.";

#[derive(Debug, Args)]
pub(crate) struct ApplyArguments {
    /// The store that chunks were sealed into
    #[arg(long, value_name = "URL", value_parser = parse_store)]
    pub(crate) from: url::Url,
    /// The blocks, a..b, a..=b, or a.. for all from a on
    #[arg(long, value_name = "RANGE", default_value = "0..", value_parser = parse_block_range_from)]
    pub(crate) blocks: Blocks,
    /// Go on with what is sealed from now on
    #[arg(long)]
    pub(crate) follow: bool,
    /// The directory of the log that is sealed there, which keeps what is not here yet
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub(crate) log: Option<PathBuf>,
    /// The name of this hold among the log's consumers
    #[arg(long, value_name = "NAME", default_value = "hold", requires = "log")]
    pub(crate) consumer: String,
    /// How long a source that fails is waited for before its chunk is given up
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = parse_duration)]
    pub(crate) patience: Duration,
}
