//! `loghold seal`, `find`, `read` and `store`: a log made into chunks, and both as one line.
//! Refuses to keep anything between runs; the log and the store do.

pub(crate) mod find;
pub(crate) mod read;
pub(crate) mod seal;
pub(crate) mod store;
mod why;

use std::path::{Path, PathBuf};

use rtrans::Reader;
use sealer::{Error, FileKind, Manifest, Plan};
use serde::Serialize;

use crate::exit::{Exit, Failure, Outcome};
use crate::input::read_input;

/// A plan names at most some tables and their columns.
const PLAN_BYTES_MAX: usize = 1 << 20;

fn read_plan(path: &Path) -> Outcome<Plan> {
    let bytes = read_input(path, PLAN_BYTES_MAX)?;
    let text = String::from_utf8(bytes).map_err(|_| Failure::usage("the plan is not UTF-8 text"))?;
    Ok(Plan::parse(&text)?)
}

/// The log behind the chunks: the one that is named, or that of the environment where a plan says how it is read.
fn log_behind(named: Option<&PathBuf>, plan: Option<&Plan>) -> Outcome<Option<Reader>> {
    let of_environment = || std::env::var_os("LOGHOLD_LOG").filter(|dir| !dir.is_empty()).map(PathBuf::from);
    let dir = named.cloned().or_else(|| plan.and_then(|_| of_environment()));
    Ok(dir.map(Reader::open).transpose().map_err(Error::from)?)
}

/// The store, and the last word: `URL WORD`, or `WORD` alone where a plan names the store.
fn named<'a>(words: &'a [String], plan: Option<&'a Plan>, word: &str) -> Outcome<(&'a str, &'a str)> {
    match (words, plan) {
        ([last], Some(plan)) => Ok((&plan.store, last)),
        ([url, last], None) => Ok((url, last)),
        ([], Some(_)) => Err(Failure::usage(format!("{word} is missing: the plan names the store alone"))),
        ([_, _], Some(_)) => Err(Failure::usage("a URL and --plan: the plan names the store already")),
        _ => Err(Failure::usage(format!("name the store: URL {word}, or --plan FILE {word}"))),
    }
}

/// A chunk that was sealed. Its fields are an interface.
#[derive(Debug, Serialize)]
struct ChunkReport {
    sequence: u64,
    chunk: String,
    first_block: u64,
    last_block: u64,
    first_transid: u64,
    last_transid: u64,
    files: usize,
    bytes: u64,
    rejected: u64,
    path: String,
}

const CHUNK_HEADINGS: [&str; 6] = ["SEQUENCE", "BLOCKS", "RECORDS", "BYTES", "REJECTED", "PATH"];

impl ChunkReport {
    fn new(chunk: &Manifest) -> ChunkReport {
        let rejected = chunk.files.values().filter(|file| file.kind == FileKind::Rejected);
        ChunkReport {
            sequence: chunk.sequence,
            chunk: format!("0x{}", chunk.chunk),
            first_block: chunk.first_block,
            last_block: chunk.last_block,
            first_transid: chunk.first_transid,
            last_transid: chunk.last_transid,
            files: chunk.files.len(),
            bytes: chunk.files.values().fold(0, |sum, file| sum.saturating_add(file.bytes)),
            rejected: rejected.fold(0, |sum, file| sum.saturating_add(file.rows)),
            path: chunk.path.clone(),
        }
    }

    fn cells(&self) -> Vec<String> {
        vec![
            self.sequence.to_string(),
            format!("{}..={}", self.first_block, self.last_block),
            format!("{}..={}", self.first_transid, self.last_transid),
            self.bytes.to_string(),
            self.rejected.to_string(),
            self.path.clone(),
        ]
    }
}

/// What went wrong. A store is called that, for not all who name one have a plan.
pub(crate) fn shown(error: &Error) -> String {
    match error {
        Error::Plan { key, what } if key == "store" => format!("the store: {what}"),
        other => other.to_string(),
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Failure {
        let message = shown(&error);
        let exit = match &error {
            Error::Plan { .. } => Exit::Usage,
            Error::Store { .. } | Error::StoreRefused { .. } => Exit::SourceFails,
            Error::Damaged { .. } | Error::Log(rtrans::Error::Corrupt(_)) => Exit::Corrupt,
            Error::Log(rtrans::Error::Locked { .. }) => Exit::Locked,
            Error::Log(rtrans::Error::NotALog { .. }) => Exit::NotFound,
            Error::Log(rtrans::Error::DiskFull(_)) => Exit::DiskFull,
            _ => Exit::Error,
        };
        let failure = Failure::new(exit, message);
        match error {
            Error::Halted(_) => {
                failure.hint("what was sealed stays; the same command goes on once the log is right (`--why` says where it is)")
            }
            Error::StoreRefused { .. } => failure.hint("try another with `loghold store check URL`"),
            Error::Log(rtrans::Error::Locked { .. }) => {
                failure.hint("a plan with finality \"mark\" or retain \"unsealed\" needs the log for itself")
            }
            _ => failure,
        }
    }
}
