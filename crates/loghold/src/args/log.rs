//! What `loghold log` takes: one definition for parsing, help, completions and man pages.
//! Refuses to look at the world, as `args` does.

use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgGroup, Args, Subcommand, ValueEnum, ValueHint};
use rtrans::{Level, Parameters, Scheduling};

use crate::quantity::{parse_duration, parse_rate};
use crate::record_range::{RecordRange, parse_record, parse_record_range};
use crate::timestamp::{Since, parse_since};

#[derive(Debug, Args)]
pub(crate) struct LogArguments {
    /// The directory of the log
    #[arg(long, global = true, value_name = "DIR", value_hint = ValueHint::DirPath, env = "LOGHOLD_LOG")]
    #[arg(help_heading = "Log options")]
    pub(crate) log: Option<PathBuf>,
    #[command(subcommand)]
    pub(crate) command: LogCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum LogCommand {
    /// Create an empty log
    Init(ParametersArguments),
    /// Append records from stdin or files, and print each id once its record is as durable as asked for
    #[command(after_help = APPEND_HELP)]
    Append(AppendArguments),
    /// Print records: one, a range, the last ones, those of a type
    #[command(after_help = READ_HELP)]
    Read(ReadArguments),
    /// Print the last records, or those that a consumer has not seen; -f goes on with those to come
    Tail(TailArguments),
    /// Say what a log is: parameters, first and last record, files, bytes
    Ls,
    /// List the consumers: how far each has got, and how many records it is behind
    Consumers,
    /// Set a consumer's position: it is done with all records up to ID; 0 for none
    Commit(CommitArguments),
    /// Roll the log back: remove all records behind one
    Truncate(TruncateArguments),
    /// Remove records before one, from the oldest on
    Trim(TrimArguments),
    /// Read all of the log, and say everything that is not as it was written; changes nothing
    Check(CheckArguments),
    /// Print what could be mended, and with --yes mend it
    Repair(RepairArguments),
    /// Copy all records of another log, of any format, behind those of this one; goes on with a copy that was cut off
    Import(ImportLogArguments),
    /// Copy the log as it is now into an empty directory, beside its writer, and read the copy back
    Backup(BackupArguments),
    /// Measure what a durable append costs in a directory, and whether its disk can be trusted
    Doctor(DoctorArguments),
}

const APPEND_HELP: &str = "\
Each line of stdin is a record, without its line feed. Ids come on stdout, one a line, in order, each only after its \
record survives what --durability says: a script that has read an id can count on it.
Exit codes: 7 when the disk is full (what was printed is kept), 8 when another process writes the log.";

const READ_HELP: &str = "\
A range is FIRST..END (without END), FIRST..=LAST, FIRST.. or ..=LAST; a single number is one record.
-o raw prints the bytes alone: of a single record exactly, of a range with a line feed behind each, or --framed.
A time is 2026-01-31, 2026-01-31T12:00:00Z, or how long ago: 90s, 15m, 2h, 7d. Format 1 keeps no times.
Exit codes: 3 when nothing is found, 4 when some of it was trimmed, 5 when a record is damaged (others are printed).";

/// The parameters of a log that is created. They can never be changed.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Parameters, which never change")]
pub(crate) struct ParametersArguments {
    /// 1: the format of the original program; 2: Loghold's own
    #[arg(long, value_name = "1|2", value_parser = clap::value_parser!(u16).range(1..=2))]
    pub(crate) format_version: Option<u16>,
    /// Bytes of an index entry [default: 36, format 2: 4]
    #[arg(long, value_name = "BYTES")]
    pub(crate) size_per_index: Option<u32>,
    /// Records in an index file [default: 1000, format 2: 1048576]
    #[arg(long, value_name = "N")]
    pub(crate) index_num_per_file: Option<u32>,
    /// Index files in a directory [default: 64]
    #[arg(long, value_name = "N")]
    pub(crate) index_file_num_per_dir: Option<u32>,
    /// Bytes of a data file [default: 20971520, format 2: 16777216]
    #[arg(long, value_name = "BYTES")]
    pub(crate) max_size_data_file: Option<u64>,
    /// Bytes of a block [default: 64, format 2: 8]
    #[arg(long, value_name = "BYTES")]
    pub(crate) data_blk_size: Option<u32>,
    /// 0 none, 1 zlib; format 2 also 2 LZ4, 3 Zstandard [default: 0]
    #[arg(long, value_name = "0..3")]
    pub(crate) need_compress: Option<u16>,
}

impl ParametersArguments {
    /// The parameters; `None` when none was given.
    pub(crate) fn given(&self) -> Option<Parameters> {
        let is_given = self.format_version.is_some()
            || self.size_per_index.is_some()
            || self.index_num_per_file.is_some()
            || self.index_file_num_per_dir.is_some()
            || self.max_size_data_file.is_some()
            || self.data_blk_size.is_some()
            || self.need_compress.is_some();
        is_given.then(|| self.resolved())
    }

    /// The parameters, with the format's defaults for those that were not given.
    pub(crate) fn resolved(&self) -> Parameters {
        let usual = match self.format_version {
            Some(1) => Parameters::format_1(),
            _ => Parameters::format_2(),
        };
        Parameters {
            format_version: usual.format_version,
            size_per_index: self.size_per_index.unwrap_or(usual.size_per_index),
            index_num_per_file: self.index_num_per_file.unwrap_or(usual.index_num_per_file),
            index_file_num_per_dir: self.index_file_num_per_dir.unwrap_or(usual.index_file_num_per_dir),
            max_size_data_file: self.max_size_data_file.unwrap_or(usual.max_size_data_file),
            data_blk_size: self.data_blk_size.unwrap_or(usual.data_blk_size),
            need_compress: self.need_compress.unwrap_or(usual.need_compress),
        }
    }
}

/// What an id that is printed survives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(crate) enum Durability {
    /// Nothing: it lies in memory for some milliseconds
    Memory,
    /// The end of the program, also by kill -9
    Os,
    /// A power cut
    #[default]
    Disk,
}

impl From<Durability> for Level {
    fn from(durability: Durability) -> Level {
        match durability {
            Durability::Memory => Level::Memory,
            Durability::Os => Level::Os,
            Durability::Disk => Level::Disk,
        }
    }
}

/// What the threads that append ask the system's scheduler for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(crate) enum SchedulingWord {
    /// Nothing
    Inherited,
    /// Their share of the cores in short slices: anybody may, with Linux 6.12 or later
    #[default]
    ShortSlice,
    /// That, and the lowest nice value that is allowed
    Favoured,
    /// The class `SCHED_FIFO`, before every ordinary thread
    RealTime,
}

impl From<SchedulingWord> for Scheduling {
    fn from(word: SchedulingWord) -> Scheduling {
        match word {
            SchedulingWord::Inherited => Scheduling::Inherited,
            SchedulingWord::ShortSlice => Scheduling::ShortSlice,
            SchedulingWord::Favoured => Scheduling::Favoured,
            SchedulingWord::RealTime => Scheduling::RealTime,
        }
    }
}

#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct SchedulingArguments {
    /// How soon appends get a core when others want it too; the next lesser where this is not permitted
    #[arg(long, value_name = "CLASS", value_enum, default_value_t)]
    pub(crate) scheduling: SchedulingWord,
}

#[derive(Debug, Args)]
pub(crate) struct AppendArguments {
    /// Create the log when it is missing; parameters as of `init`
    #[arg(long)]
    pub(crate) create: bool,
    /// The type number of the records
    #[arg(long = "type", value_name = "N", default_value_t = 0)]
    pub(crate) type_no: u32,
    /// What a record whose id is printed survives
    #[arg(long, value_name = "LEVEL", value_enum, default_value_t)]
    pub(crate) durability: Durability,
    /// stdin holds records with their lengths in front: 4 bytes, little-endian
    #[arg(long, conflicts_with = "file")]
    pub(crate) framed: bool,
    /// A file that becomes one record, instead of stdin; repeatable
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) file: Vec<PathBuf>,
    #[command(flatten)]
    pub(crate) scheduling: SchedulingArguments,
    #[command(flatten)]
    pub(crate) parameters: ParametersArguments,
}

/// How the bytes of records are printed.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct PrintArguments {
    /// Print ids alone, one a line
    #[arg(long)]
    pub(crate) ids: bool,
    /// With -o raw: put each record's length in front, 4 bytes, little-endian, as `append --framed` reads it
    #[arg(long, conflicts_with = "ids")]
    pub(crate) framed: bool,
}

#[derive(Debug, Args)]
#[command(group = ArgGroup::new("which").args(["ranges", "last", "since"]))]
pub(crate) struct ReadArguments {
    /// Ids and ranges; all records if left out
    #[arg(value_name = "ID|RANGE", value_parser = parse_record_range)]
    pub(crate) ranges: Vec<RecordRange>,
    /// The last N records
    #[arg(long, value_name = "N")]
    pub(crate) last: Option<u64>,
    /// Records that were appended at this time or later
    #[arg(long, value_name = "TIME", value_parser = parse_since)]
    pub(crate) since: Option<Since>,
    /// Only records of this type; repeatable
    #[arg(long = "type", value_name = "N")]
    pub(crate) types: Vec<u32>,
    /// The last record first
    #[arg(long)]
    pub(crate) reverse: bool,
    #[command(flatten)]
    pub(crate) print: PrintArguments,
}

#[derive(Debug, Args)]
pub(crate) struct TailArguments {
    /// Go on with records to come, from any process, until ^C
    #[arg(short, long)]
    pub(crate) follow: bool,
    /// How many records to begin with
    #[arg(short = 'n', long, value_name = "N", default_value_t = 10, conflicts_with_all = ["consumer", "from"])]
    pub(crate) lines: u64,
    /// Begin with this record
    #[arg(long, value_name = "ID", value_parser = parse_record, conflicts_with = "consumer")]
    pub(crate) from: Option<u64>,
    /// Be this consumer: begin behind its position, and commit each record once it was written to stdout
    #[arg(long, value_name = "NAME")]
    pub(crate) consumer: Option<String>,
    /// Only records of this type; repeatable. A consumer is done with the others as well
    #[arg(long = "type", value_name = "N")]
    pub(crate) types: Vec<u32>,
    /// With --follow: end when no record came for this time
    #[arg(long, value_name = "TIME", value_parser = parse_duration, requires = "follow")]
    pub(crate) timeout: Option<Duration>,
    #[command(flatten)]
    pub(crate) print: PrintArguments,
}

#[derive(Debug, Args)]
pub(crate) struct CommitArguments {
    /// The consumer; it is made when it is new
    #[arg(value_name = "NAME")]
    pub(crate) consumer: String,
    /// The last record that it is done with, 0 for none
    #[arg(value_name = "ID", value_parser = parse_record)]
    pub(crate) id: u64,
}

#[derive(Debug, Args)]
pub(crate) struct TruncateArguments {
    /// The last record that stays, 0 to remove all
    #[arg(long, value_name = "ID", value_parser = parse_record)]
    pub(crate) after: u64,
}

#[derive(Debug, Args)]
pub(crate) struct TrimArguments {
    /// The first record that stays
    #[arg(long, value_name = "ID", value_parser = parse_record)]
    pub(crate) before: u64,
    /// Also remove what a consumer has not seen
    #[arg(long)]
    pub(crate) force: bool,
}

#[derive(Debug, Args)]
pub(crate) struct CheckArguments {
    /// Read at most this much a second, such as 100MiB/s
    #[arg(long, value_parser = parse_rate)]
    pub(crate) rate: Option<u64>,
}

#[derive(Debug, Args)]
pub(crate) struct RepairArguments {
    /// Do what the plan says
    #[arg(long)]
    pub(crate) yes: bool,
    /// Also give up records that cannot be read, so that the log opens without a complaint
    #[arg(long)]
    pub(crate) give_up: bool,
}

#[derive(Debug, Args)]
pub(crate) struct ImportLogArguments {
    /// The other log's directory
    #[arg(value_name = "FROM", value_hint = ValueHint::DirPath)]
    pub(crate) from: PathBuf,
    /// Create this log when it is missing; parameters as of `init`
    #[arg(long)]
    pub(crate) create: bool,
    #[command(flatten)]
    pub(crate) scheduling: SchedulingArguments,
    #[command(flatten)]
    pub(crate) parameters: ParametersArguments,
}

#[derive(Debug, Args)]
pub(crate) struct BackupArguments {
    /// Where the copy goes: a directory that is empty or missing
    #[arg(value_name = "TO", value_hint = ValueHint::DirPath)]
    pub(crate) to: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct DoctorArguments {
    /// The directory; that of the log if left out
    #[arg(value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub(crate) dir: Option<PathBuf>,
}
