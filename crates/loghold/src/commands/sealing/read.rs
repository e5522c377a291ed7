//! `loghold read`: chunks and the head of the log as one line of records.
//! Refuses to hide what was not there: the account says it, and the exit code.

use std::io::{self, BufWriter, StdoutLock, Write};
use std::ops::Range;
use std::time::Duration;

use rtrans::Record;
use sealer::{Covered, Line, Reading, Store, time_text};
use serde_json::{Value, json};

use super::{log_behind, named, read_plan};
use crate::args::OutputFormat;
use crate::args::sealing::ReadLineArguments;
use crate::block_range::{parse_block, parse_block_range, show_block_ranges};
use crate::exit::{Exit, Failure, Outcome};
use crate::notes::Notes;
use crate::settings::Settings;
use crate::stop::Stop;
use crate::store_dir::expect_store;

/// How long a wait for more lasts at most before the stop is looked at. What comes ends it at once.
const WAIT: Duration = Duration::from_millis(250);

pub(crate) fn run(arguments: &ReadLineArguments, settings: &Settings) -> Outcome<Exit> {
    let (mut reading, blocks) = open(arguments)?;
    let mut out = Out { stdout: BufWriter::new(io::stdout().lock()), format: settings.format, count: 0 };
    let stop = Stop::listen_beside_reader(|_| {})?;
    while stop.exit().is_none() {
        // What is there comes at once; only then is it time to show it, and to wait.
        let line = match reading.next_within(Duration::ZERO)? {
            Some(line) => Some(line),
            None if arguments.follow && !reading.is_done() => {
                out.flush()?;
                reading.next_within(WAIT)?
            }
            None => break,
        };
        if let Some(line) = line {
            out.write(&line)?;
        }
    }
    out.finish()?;
    let covered = account(&reading, &blocks, Notes::new(settings));
    Ok(stop.exit().unwrap_or(covered))
}

fn open(arguments: &ReadLineArguments) -> Outcome<(Reading, Range<u64>)> {
    let plan = arguments.plan.as_deref().map(read_plan).transpose()?;
    let (url, range) = named(&arguments.words, plan.as_ref(), "RANGE")?;
    let blocks = blocks(range)?;
    if plan.is_none() {
        expect_store(url)?;
    }
    let store = Store::open(url)?;
    let log = log_behind(arguments.log.as_ref(), plan.as_ref())?;
    if arguments.follow && log.is_none() {
        return Err(Failure::usage("--follow goes on with the log, and none is named")
            .hint("give --log DIR, or set LOGHOLD_LOG"));
    }
    Ok((Reading::new(&store, plan.zip(log), blocks.clone()), blocks))
}

/// Also `a..`, which ends where the line does.
fn blocks(text: &str) -> Outcome<Range<u64>> {
    let parsed = match text.strip_suffix("..") {
        Some(start) => parse_block(start).map(|start| start..u64::MAX),
        None => parse_block_range(text),
    };
    parsed.map_err(Failure::usage)
}

/// Says what was covered, and ends with 4 when that is less than was asked for.
fn account(reading: &Reading, blocks: &Range<u64>, notes: Notes) -> Exit {
    let Covered { first, last, lines, gaps, lost } = reading.covered();
    let whole =
        reading.is_done() || blocks.end == u64::MAX || last.is_some_and(|last| last + 1 >= blocks.end);
    let from_to = match (first, last) {
        (Some(first), Some(last)) => format!("{lines} lines of blocks {first}..={last}"),
        _ => "no lines".to_string(),
    };
    let without =
        if gaps.is_empty() { String::new() } else { format!("; none of {}", show_block_ranges(gaps)) };
    if !notes.is_quiet() && (!whole || !gaps.is_empty() || notes.is_verbose()) {
        notes.say(&format!("{from_to}{without}"));
    }
    for (first, last) in lost {
        notes.say(&format!("records {first}..={last} are neither in a chunk nor in the log any more"));
    }
    if whole && lost.is_empty() { Exit::Done } else { Exit::Incomplete }
}

struct Out {
    stdout: BufWriter<StdoutLock<'static>>,
    format: OutputFormat,
    count: u64,
}

impl Out {
    fn write(&mut self, line: &Line) -> Outcome<()> {
        let written = match (self.format, line) {
            (OutputFormat::Raw, Line::Record { record, .. }) => {
                self.stdout.write_all(&record.bytes).and_then(|()| self.stdout.write_all(b"\n"))
            }
            (OutputFormat::Raw, _) => {
                let what = "bytes alone are printed of records only, and these are rows or a rollback";
                return Err(Failure::usage(what).hint("use -o jsonl"));
            }
            (OutputFormat::Json, _) => {
                let before: &[u8] = if self.count == 0 { b"[\n" } else { b",\n" };
                self.stdout
                    .write_all(before)
                    .and_then(|()| Ok(serde_json::to_writer(&mut self.stdout, &report(line))?))
            }
            _ => serde_json::to_writer(&mut self.stdout, &report(line))
                .map_err(io::Error::from)
                .and_then(|()| self.stdout.write_all(b"\n")),
        };
        self.count = self.count.saturating_add(1);
        written.map_err(|error| failed(&error))
    }

    fn flush(&mut self) -> Outcome<()> {
        self.stdout.flush().map_err(|error| failed(&error))
    }

    fn finish(&mut self) -> Outcome<()> {
        let ended = match (self.format, self.count) {
            (OutputFormat::Json, 0) => self.stdout.write_all(b"[]\n"),
            (OutputFormat::Json, _) => self.stdout.write_all(b"\n]\n"),
            _ => Ok(()),
        };
        ended.and_then(|()| self.stdout.flush()).map_err(|error| failed(&error))
    }
}

/// A line as JSON. Its fields are an interface.
fn report(line: &Line) -> Value {
    match line {
        Line::Record { block, record } => record_report(*block, record),
        Line::Row { block, id, table, values } => {
            json!({"block": block, "id": id.get(), "table": table, "row": values})
        }
        Line::RolledBack { after } => json!({"rolled_back_after": after.map_or(0, rtrans::TransId::get)}),
    }
}

/// With the bytes as text where they are UTF-8, as hexadecimal digits where they are not.
fn record_report(block: u64, record: &Record) -> Value {
    let (key, payload) = match std::str::from_utf8(&record.bytes) {
        Ok(text) => ("text", text.to_owned()),
        Err(_) => {
            ("hex", record.bytes.iter().fold(String::new(), |digits, byte| digits + &format!("{byte:02x}")))
        }
    };
    let mut report = json!({"block": block, "id": record.id.get(), "type": record.type_no.0, key: payload});
    if let (Some(time), Value::Object(fields)) = (record.appended_at, &mut report) {
        fields.insert("appended_at".to_string(), time_text(time).into());
    }
    report
}

fn failed(error: &io::Error) -> Failure {
    match error.kind() {
        // The reader of the pipe has seen enough, as `head` does.
        io::ErrorKind::BrokenPipe => Failure::new(Exit::PipeClosed, ""),
        _ => Failure::io("writing to stdout", error),
    }
}
