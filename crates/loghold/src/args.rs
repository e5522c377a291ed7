//! The command line as it is typed: one definition for parsing, help, completions and man pages.
//! Refuses to look at the world: no file, variable or clock is read here.

pub(crate) mod apply;
pub(crate) mod lease;
pub(crate) mod log;
mod scope;
pub(crate) mod sealing;

use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgGroup, Args, Parser, Subcommand, ValueEnum, ValueHint};
use clap_complete::Shell;

use crate::block_range::{parse_block, parse_block_range};
use crate::dataset::Dataset;
use crate::exit::EXIT_CODES;
use crate::id_prefix::IdPrefix;
use crate::import::detect::ImportFormat;
use crate::import::peer_id::PeerId;
use crate::mirror::{MirrorRule, parse_mirror};
use crate::quantity::{parse_bytes, parse_duration, parse_rate};

/// Half-open blocks. A name of its own, so that clap takes it for one value.
pub(crate) type Blocks = std::ops::Range<u64>;

/// Keeps a durable transaction log, and a worker's share of a huge history as immutable chunks on local disks.
#[derive(Debug, Parser)]
#[command(name = "loghold", version, about, after_help = EXIT_CODES, max_term_width = 100)]
#[command(propagate_version = true, subcommand_required = true, arg_required_else_help = true)]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub(crate) global: GlobalArguments,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Over the options of what fetches.
const DOWNLOAD_HEADING: &str = "Download options";

pub(crate) use self::scope::command;

/// What every command takes. Where an option has no effect, [`command`] leaves it out of the help.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Global options")]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of the command line")]
pub(crate) struct GlobalArguments {
    #[arg(
        help = "A directory that holds chunks; repeat it for several disks [env: LOGHOLD_DATA_DIR, separated by :]"
    )]
    #[arg(long, global = true, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub(crate) data_dir: Vec<PathBuf>,
    /// How results are printed on stdout
    #[arg(short, long, global = true, value_name = "FORMAT", value_enum, default_value_t)]
    pub(crate) output: OutputFormat,
    /// The same as -o json
    #[arg(long, global = true, conflicts_with = "output")]
    pub(crate) json: bool,
    #[arg(help = "When to use colours; auto: on a terminal, unless NO_COLOR is set")]
    #[arg(long, global = true, value_name = "WHEN", value_enum, default_value_t)]
    pub(crate) color: ColorWhen,
    /// Say nothing on stderr but errors
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub(crate) quiet: bool,
    /// Say more on stderr: what happens to each chunk
    #[arg(short, long, global = true)]
    pub(crate) verbose: bool,
    /// Fetch from loopback and private addresses too (link-local ones are always refused)
    #[arg(long, global = true)]
    #[arg(help_heading = DOWNLOAD_HEADING)]
    pub(crate) allow_private: bool,
    /// Fetch files of this machine too, named by file:// URLs and paths: for descriptors that you wrote or imported
    /// yourself
    #[arg(long, global = true)]
    #[arg(help_heading = DOWNLOAD_HEADING)]
    pub(crate) allow_files: bool,
    /// Fetch at most this much a second over all downloads, such as 10MiB/s
    #[arg(long, global = true, value_name = "RATE", value_parser = parse_rate)]
    #[arg(help_heading = DOWNLOAD_HEADING)]
    pub(crate) limit_rate: Option<u64>,
    /// Room that stays free on each disk, such as 10GiB: downloads wait rather than go below it [default: 1GiB]
    #[arg(long, global = true, value_name = "SIZE", value_parser = parse_bytes)]
    #[arg(help_heading = DOWNLOAD_HEADING)]
    pub(crate) keep_free: Option<u64>,
    /// Requests open at once, 1 to 1024 [default: 256]
    #[arg(long, global = true, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1024))]
    #[arg(help_heading = DOWNLOAD_HEADING)]
    pub(crate) connections: Option<u32>,
    /// A PEM file of certificate authorities to trust beside the system's; repeatable
    #[arg(long, global = true, value_name = "FILE", value_hint = ValueHint::FilePath)]
    #[arg(help_heading = DOWNLOAD_HEADING)]
    pub(crate) ca_file: Vec<PathBuf>,
    /// Another place for URLs that begin with PREFIX, tried when the first fails; repeatable
    #[arg(long, global = true, value_name = "PREFIX=OTHER", value_parser = parse_mirror)]
    #[arg(help_heading = DOWNLOAD_HEADING)]
    pub(crate) mirror: Vec<MirrorRule>,
}

/// How results are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(crate) enum OutputFormat {
    /// Columns for people.
    #[default]
    Table,
    /// One JSON document.
    Json,
    /// One JSON document a line.
    Jsonl,
    /// The bytes of records, and nothing else.
    Raw,
}

/// When colours are used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(crate) enum ColorWhen {
    #[default]
    Auto,
    Always,
    Never,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Fetch, find, check and remove chunks
    #[command(subcommand, arg_required_else_help = true)]
    Chunk(ChunkCommand),
    /// Append to a transaction log, read it, follow it, look after it
    #[command(arg_required_else_help = true)]
    Log(log::LogArguments),
    /// Print the paths of the files that hold a range of blocks, and hold them with a lease; the same as `chunk files`
    Files(FilesArguments),
    /// Take, list, renew and break leases: pins with a name and a lifetime, which every process keeps to
    #[command(subcommand, arg_required_else_help = true)]
    Lease(lease::LeaseCommand),
    /// Run a command while a lease holds the files that it reads
    #[command(after_help = lease::WITH_HELP)]
    With(lease::WithArguments),
    /// Print macros or functions that let a SQL engine read the chunks with the right types and open the right files only
    SqlInit(lease::SqlInitArguments),
    /// Seal what is final in a log into chunks of Parquet in an object store, each record exactly once
    #[command(after_help = sealing::SEAL_HELP)]
    Seal(sealing::SealArguments),
    /// Read a dataset as one line: the sealed chunks, and behind them the log
    #[command(after_help = sealing::READ_HELP)]
    Read(sealing::ReadLineArguments),
    /// Tell where the records of a block lie: in a sealed chunk, or still at the head, in the log
    #[command(after_help = sealing::FIND_HELP)]
    Find(sealing::FindArguments),
    /// Try a store before it is sealed into, and put its chunks together
    #[command(subcommand, arg_required_else_help = true)]
    Store(sealing::StoreCommand),
    /// Fetch what was sealed into a store, and follow it: new chunks come as they are sealed
    #[command(after_help = apply::APPLY_HELP)]
    Apply(apply::ApplyArguments),
    /// Tell the story of the hold on this machine, with proofs: no network, no server, under a minute
    #[command(after_help = DEMO_HELP)]
    Demo(DemoArguments),
    /// Print a completion script for a shell
    Completions {
        /// The shell
        #[arg(value_enum)]
        shell: Shell,
    },
    /// Print a man page: of the program, or of a command such as `chunk get`
    Man {
        /// The command whose page is wanted
        #[arg(value_name = "COMMAND")]
        command: Vec<String>,
    },
}

#[derive(Debug, Args)]
pub(crate) struct DemoArguments {
    /// Tell it with real records: JSON Lines with `kind`, and the block in `number` or `block_number`
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) input: Option<PathBuf>,
    /// How many chunks to make up, 2 to 1000
    #[arg(long, value_name = "N", default_value_t = 24, value_parser = clap::value_parser!(u64).range(2..=1000))]
    #[arg(conflicts_with = "input")]
    pub(crate) chunks: u64,
    /// Keep the temporary data directory, to look at it
    #[arg(long)]
    pub(crate) keep: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ChunkCommand {
    /// Fetch the chunks that descriptors name, and wait until they are ready
    #[command(after_help = DESCRIPTOR_HELP)]
    Get(GetArguments),
    /// Remove chunks: by id, or those of a dataset whose blocks all lie in a range
    Rm(RemoveArguments),
    /// List the chunks that are here
    Ls(ListArguments),
    /// Print the path and id of the chunk that holds a block
    Find(FindArguments),
    /// Say what is known of a block or a chunk: its state, where it lies, who holds it
    Why(WhyArguments),
    /// Wait until every block of a range is at hand
    Wait(WaitArguments),
    /// Print the paths of the files that hold a range of blocks
    Files(FilesArguments),
    /// Read chunks back, compare them with their digests, and fetch damaged ones again
    Verify(VerifyArguments),
    /// Print descriptors made from a listing, an assignment or a manifest of others
    #[command(after_help = IMPORT_HELP)]
    Import(ImportArguments),
}

const DESCRIPTOR_HELP: &str = r#"A descriptor is JSON; the input is one, an array of them, or one after the other:
  {"id": "0x<64 hex digits>", "dataset_id": "0x<64 hex digits>" or "<name>",
   "block_range": {"start": 0, "end": 36},
   "files": {"blocks.parquet": "https://...#sha256=<hex>&size=<bytes>"}, "priority": 0}
The end is not in the range. A dataset's name stands for its SHA-256.
What follows the # is optional, and checked: sha256, blake3, size.
priority is optional; higher is fetched first.

^C stops: what was fetched is kept, and the same command goes on from there.
Exit codes: 4 when some chunks could not be had and others could, 6 when none could."#;

const DEMO_HELP: &str = "\
Under a step that proves bytes stand the files of one chunk that it has read back and compared with their descriptor: the first digits of their SHA-256, and where they lie below the data directory.

In JSON a step has: number, what, proof, files (path and sha256 of each, whole; empty where no bytes are proved), seconds. path is null where it is no UTF-8, and path_url beside it has its bytes.";

const IMPORT_HELP: &str = "\
SOURCE is a directory, a file, or an s3://, gs://, az:// or http(s):// URL:
  a listing in SQD's layout  <top>/<first block>-<last block>-<hash>/<table>.parquet; a chunk counts
                             when its blocks.parquet is there. The dataset's name is the bucket's
                             URL, or --dataset.
  an SQD assignment          FlatBuffer, version 1, plain or gzipped; --worker picks the chunks of
                             one worker.
  a manifest                 JSON with files[{name, n_bytes}] whose names end in
                             __<first>_to_<last>.parquet.
The id of a chunk is the SHA-256 of the dataset's name, a zero byte, and the chunk's path.";

#[derive(Debug, Args)]
pub(crate) struct GetArguments {
    /// Files of descriptors, or - for stdin
    #[arg(value_name = "FILE|-", required = true, value_hint = ValueHint::FilePath)]
    pub(crate) inputs: Vec<PathBuf>,
    /// Stop waiting after this time, such as 90s, 5m or 1h
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    pub(crate) timeout: Option<Duration>,
    /// How long a source that fails is waited for: a chunk is given up when its next try is later than that, which is
    /// at once for what is not there, or when nothing at all has come for so long
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = parse_duration)]
    pub(crate) patience: Duration,
    /// Give a chunk up after this many failed tries in a row instead, however long that takes
    #[arg(long, value_name = "N", conflicts_with = "patience", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) give_up_after: Option<u32>,
}

#[derive(Debug, Args)]
#[command(group = ArgGroup::new("what").required(true).args(["ids", "dataset"]))]
pub(crate) struct RemoveArguments {
    /// Ids, or their first digits
    #[arg(value_name = "ID", value_parser = IdPrefix::parse)]
    pub(crate) ids: Vec<IdPrefix>,
    /// All chunks of this dataset
    #[arg(long, value_parser = Dataset::parse)]
    pub(crate) dataset: Option<Dataset>,
    /// Only those whose blocks all lie in this range, a..b or a..=b
    #[arg(long, value_name = "RANGE", conflicts_with = "ids", value_parser = parse_block_range)]
    pub(crate) blocks: Option<Blocks>,
}

#[derive(Debug, Args)]
pub(crate) struct ListArguments {
    /// Only chunks of this dataset
    #[arg(long, value_parser = Dataset::parse)]
    pub(crate) dataset: Option<Dataset>,
    /// Only chunks in this state; repeatable
    #[arg(long, value_enum)]
    pub(crate) state: Vec<StateName>,
}

/// The states of a chunk, as they are typed and shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum StateName {
    Queued,
    Failed,
    Staging,
    Ready,
    Retired,
    Removing,
}

#[derive(Debug, Args)]
pub(crate) struct FindArguments {
    /// The dataset: a name or an id
    #[arg(value_parser = Dataset::parse)]
    pub(crate) dataset: Dataset,
    /// The block number
    #[arg(value_parser = parse_block)]
    pub(crate) block: u64,
}

#[derive(Debug, Args)]
pub(crate) struct WhyArguments {
    /// A dataset, with a block after it; or a chunk id or its first digits
    #[arg(value_name = "DATASET|ID")]
    pub(crate) subject: String,
    /// The block number
    #[arg(value_parser = parse_block)]
    pub(crate) block: Option<u64>,
}

#[derive(Debug, Args)]
pub(crate) struct WaitArguments {
    /// The dataset: a name or an id
    #[arg(value_parser = Dataset::parse)]
    pub(crate) dataset: Dataset,
    /// The blocks, a..b or a..=b
    #[arg(value_parser = parse_block_range)]
    pub(crate) blocks: Blocks,
    /// Stop waiting after this time, such as 90s, 5m or 1h
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    pub(crate) timeout: Option<Duration>,
}

#[derive(Debug, Args)]
pub(crate) struct FilesArguments {
    /// The dataset: a name or an id
    #[arg(value_parser = Dataset::parse)]
    pub(crate) dataset: Dataset,
    /// The blocks, a..b or a..=b; all of them if left out
    #[arg(long, value_name = "RANGE", value_parser = parse_block_range)]
    pub(crate) blocks: Option<Blocks>,
    /// Only files of this table: NAME or NAME.parquet; repeatable
    #[arg(long, value_name = "NAME")]
    pub(crate) table: Vec<String>,
    /// Hold the printed files for this time, 1s to 30d, whatever is removed meanwhile
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    pub(crate) lease: Option<Duration>,
}

#[derive(Debug, Args)]
pub(crate) struct VerifyArguments {
    /// Ids, or their first digits; all chunks if left out
    #[arg(value_name = "ID", value_parser = IdPrefix::parse)]
    pub(crate) ids: Vec<IdPrefix>,
    /// Read at most this much a second, such as 100MiB/s
    #[arg(long, value_parser = parse_rate)]
    pub(crate) rate: Option<u64>,
}

#[derive(Debug, Args)]
pub(crate) struct ImportArguments {
    /// A directory, a file or a URL; a URL that ends in / is listed
    #[arg(value_name = "SOURCE", value_hint = ValueHint::AnyPath)]
    pub(crate) source: String,
    /// The dataset's name or id. Of an assignment: only this dataset's chunks
    #[arg(long, value_parser = Dataset::parse)]
    pub(crate) dataset: Option<Dataset>,
    /// What SOURCE is
    #[arg(long, value_enum, default_value = "auto")]
    pub(crate) format: ImportFormat,
    /// Of an assignment: only the chunks of the worker with this peer id
    #[arg(long, value_name = "PEERID", value_parser = PeerId::parse)]
    pub(crate) worker: Option<PeerId>,
    /// Where a manifest's files lie; without it, where the manifest lies
    #[arg(long, value_name = "URL")]
    pub(crate) base_url: Option<url::Url>,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Those with a text behind the options.
    fn with_long_lines(command: &clap::Command, found: &mut Vec<String>) {
        let text = command.get_after_help().map(ToString::to_string).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        for pair in lines.windows(2) {
            let is_cut = pair[0].len() > 80 && !pair[0].ends_with(['.', ':', ';', ')']);
            let is_prose = !pair[0].starts_with(' ') && !pair[0].starts_with("loghold ");
            if is_cut && is_prose && !pair[1].is_empty() {
                found.push(format!("{}: {}", command.get_name(), pair[0]));
            }
        }
        for below in command.get_subcommands() {
            with_long_lines(below, found);
        }
    }

    #[test]
    fn help_is_broken_into_lines_by_the_width_of_the_terminal_alone() {
        let mut found = Vec::new();
        with_long_lines(&command(), &mut found);
        assert!(found.is_empty(), "{found:#?}");
    }
}
