//! Records on stdout: a line each for people, JSON, or nothing but their bytes.
//! Refuses to hold them back: whoever waits for the next one has flushed this one.

use std::io::{self, BufWriter, StdoutLock, Write};

use rtrans::Record;
use serde::Serialize;

use crate::args::OutputFormat;
use crate::args::log::PrintArguments;
use crate::exit::{Exit, Failure, Outcome};
use crate::output::plain;
use crate::timestamp::show_time;

/// How much of a record is shown to people.
const SHOWN_CHARS_MAX: usize = 120;

/// A record as JSON: with its bytes as text where they are UTF-8, as hex digits where they are not.
#[derive(Debug, Serialize)]
struct RecordReport<'a> {
    id: u64,
    #[serde(rename = "type")]
    type_no: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    appended_at: Option<String>,
    bytes: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    hex: Option<String>,
}

/// Writes records to stdout.
#[derive(Debug)]
pub(crate) struct RecordsOut {
    out: BufWriter<StdoutLock<'static>>,
    format: OutputFormat,
    print: PrintArguments,
    /// Of raw records: what stands behind each.
    ends: &'static [u8],
    count: u64,
}

impl RecordsOut {
    /// `is_single`: one record was asked for by its id; raw, its bytes come exactly.
    pub(crate) fn new(format: OutputFormat, print: PrintArguments, is_single: bool) -> Outcome<RecordsOut> {
        if print.framed && format != OutputFormat::Raw {
            return Err(Failure::usage("--framed is about bytes alone").hint("add -o raw"));
        }
        let ends: &[u8] = if is_single || print.framed { b"" } else { b"\n" };
        Ok(RecordsOut { out: BufWriter::new(io::stdout().lock()), format, print, ends, count: 0 })
    }

    /// How many records were written.
    pub(crate) fn count(&self) -> u64 {
        self.count
    }

    pub(crate) fn write(&mut self, record: &Record) -> Outcome<()> {
        let written = self.write_one(record);
        self.count = self.count.saturating_add(1);
        written.map_err(|error| failed(&error))
    }

    /// Lets everybody have what was written.
    pub(crate) fn flush(&mut self) -> Outcome<()> {
        self.out.flush().map_err(|error| failed(&error))
    }

    /// Ends the output.
    pub(crate) fn finish(mut self) -> Outcome<()> {
        let ended = match (self.format, self.count) {
            (OutputFormat::Json, 0) => self.out.write_all(b"[]\n"),
            (OutputFormat::Json, _) => self.out.write_all(b"\n]\n"),
            _ => Ok(()),
        };
        ended.map_err(|error| failed(&error))?;
        self.flush()
    }

    fn write_one(&mut self, record: &Record) -> io::Result<()> {
        if self.format == OutputFormat::Json {
            self.out.write_all(if self.count == 0 { b"[\n  " } else { b",\n  " })?;
        }
        let (out, id) = (&mut self.out, record.id);
        match self.format {
            OutputFormat::Json if self.print.ids => write!(out, "{id}"),
            _ if self.print.ids => writeln!(out, "{id}"),
            OutputFormat::Json => Ok(serde_json::to_writer(out, &report(record))?),
            OutputFormat::Jsonl => {
                serde_json::to_writer(&mut *out, &report(record))?;
                out.write_all(b"\n")
            }
            OutputFormat::Raw => {
                if self.print.framed {
                    let len = u32::try_from(record.bytes.len()).map_err(io::Error::other)?;
                    out.write_all(&len.to_le_bytes())?;
                }
                out.write_all(&record.bytes)?;
                out.write_all(self.ends)
            }
            OutputFormat::Table => {
                if self.count == 0 {
                    writeln!(out, "{:>10}  {:>10}  {:<27}  {:>8}  RECORD", "ID", "TYPE", "TIME", "BYTES")?;
                }
                let time = record.appended_at.map_or_else(|| "-".to_string(), show_time);
                let (type_no, len) = (record.type_no.0, record.bytes.len());
                writeln!(
                    out,
                    "{:>10}  {type_no:>10}  {time:<27}  {len:>8}  {}",
                    id.get(),
                    shown(&record.bytes)
                )
            }
        }
    }
}

fn report(record: &Record) -> RecordReport<'_> {
    let text = std::str::from_utf8(&record.bytes).ok();
    RecordReport {
        id: record.id.get(),
        type_no: record.type_no.0,
        appended_at: record.appended_at.map(show_time),
        bytes: record.bytes.len(),
        text,
        hex: text.is_none().then(|| hex(&record.bytes)),
    }
}

fn hex(bytes: &[u8]) -> String {
    let digit = |nibble: u8| char::from_digit(u32::from(nibble), 16).unwrap_or('0');
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

/// The beginning of a record, for people.
fn shown(bytes: &[u8]) -> String {
    let head = bytes.get(..bytes.len().min(SHOWN_CHARS_MAX * 4)).unwrap_or_default();
    let text = String::from_utf8_lossy(head);
    let plain = plain(&text);
    let mut shown: String = plain.chars().take(SHOWN_CHARS_MAX).collect();
    if shown.len() < plain.len() || head.len() < bytes.len() {
        shown.push('…');
    }
    shown
}

pub(crate) fn failed(error: &io::Error) -> Failure {
    match error.kind() {
        // The reader of the pipe has seen enough, as `head` does.
        io::ErrorKind::BrokenPipe => Failure::new(Exit::PipeClosed, ""),
        _ => Failure::io("writing to stdout", error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_record_is_cut_and_says_so() {
        assert_eq!(shown(b"short\n"), "short\\n");
        let long = shown(&[b'x'; 1000]);
        assert!(long.ends_with("x…") && long.chars().count() == SHOWN_CHARS_MAX + 1, "{long}");
    }
}
