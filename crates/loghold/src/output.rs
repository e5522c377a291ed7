//! Output: results on stdout as a table, JSON or JSON Lines; words to the user on stderr.
//! Refuses to mix the two, and to let foreign text steer the terminal.

use std::borrow::Cow;
use std::io::{self, BufWriter, Write};

use anstream::{AutoStream, ColorChoice};
use clap::builder::styling::{AnsiColor, Style};
use serde::Serialize;

use crate::args::{ColorWhen, OutputFormat};
use crate::exit::{Exit, Failure, Outcome};

const BOLD: Style = Style::new().bold();
const ERROR: Style = AnsiColor::Red.on_default().bold();
const HINT: Style = AnsiColor::Cyan.on_default().bold();
const NOTE: Style = AnsiColor::Yellow.on_default().bold();

/// Settles for the whole process when colours are used.
pub(crate) fn use_colors(when: ColorWhen) {
    let choice = match when {
        ColorWhen::Auto => ColorChoice::Auto,
        ColorWhen::Always => ColorChoice::Always,
        ColorWhen::Never => ColorChoice::Never,
    };
    choice.write_global();
}

/// Prints results, one after the other or all at once, as `format` wants it. `cells` makes a table's row.
pub(crate) fn print_rows<R: Serialize>(
    format: OutputFormat,
    headings: &[&str],
    rows: &[R],
    cells: impl Fn(&R) -> Vec<String>,
) -> Outcome<()> {
    print(|out| match format {
        OutputFormat::Table => {
            write_table(out, heading_style(), headings, &rows.iter().map(&cells).collect::<Vec<_>>())
        }
        OutputFormat::Json => write_json_pretty(out, rows),
        OutputFormat::Jsonl | OutputFormat::Raw => write_json_lines(out, rows),
    })
}

/// Prints one result: a line for each of its parts, or an object.
pub(crate) fn print_object<R: Serialize>(
    format: OutputFormat,
    object: &R,
    parts: impl FnOnce() -> Vec<(&'static str, String)>,
) -> Outcome<()> {
    print(|out| match format {
        OutputFormat::Table => {
            let parts = parts();
            let width = parts.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
            let bold = heading_style();
            parts
                .iter()
                .try_for_each(|(name, value)| writeln!(out, "{bold}{name:<width$}{bold:#}  {}", plain(value)))
        }
        OutputFormat::Json => {
            serde_json::to_writer_pretty(&mut *out, object)?;
            out.write_all(b"\n")
        }
        OutputFormat::Jsonl | OutputFormat::Raw => write_json_lines(out, std::slice::from_ref(object)),
    })
}

/// Prints results that are lines of text for people and scripts alike, and objects in the JSON formats.
pub(crate) fn print_lines<R: Serialize>(
    format: OutputFormat,
    rows: &[R],
    line: impl Fn(&R) -> Vec<u8>,
) -> Outcome<()> {
    print(|out| match format {
        OutputFormat::Table => rows.iter().try_for_each(|row| {
            out.write_all(&line(row))?;
            out.write_all(b"\n")
        }),
        OutputFormat::Json => write_json_pretty(out, rows),
        OutputFormat::Jsonl | OutputFormat::Raw => write_json_lines(out, rows),
    })
}

/// Results that come one by one: an array in JSON, and one heading over a table.
#[derive(Debug)]
pub(crate) struct Stream {
    format: OutputFormat,
    count: u64,
}

impl Stream {
    pub(crate) fn new(format: OutputFormat) -> Stream {
        Stream { format, count: 0 }
    }

    /// Prints a result that is a line of text for people and scripts alike.
    pub(crate) fn print_line<R: Serialize>(&mut self, row: &R, line: &[u8]) -> Outcome<()> {
        self.print(row, |out, _| {
            out.write_all(line)?;
            out.write_all(b"\n")
        })
    }

    /// Prints a result that is a row of a table.
    pub(crate) fn print_row<R: Serialize>(
        &mut self,
        headings: &[&str],
        row: &R,
        cells: impl Fn(&R) -> Vec<String>,
    ) -> Outcome<()> {
        self.print(row, |out, is_first| {
            let mut table = Vec::new();
            write_table(&mut table, heading_style(), headings, &[cells(row)])?;
            let mut lines = table.split_inclusive(|&byte| byte == b'\n');
            lines.by_ref().take(usize::from(!is_first)).for_each(drop);
            lines.try_for_each(|line| out.write_all(line))
        })
    }

    /// Nothing more comes.
    pub(crate) fn end(&self) -> Outcome<()> {
        match (self.format, self.count) {
            (OutputFormat::Json, 0) => print(|out| out.write_all(b"[]\n")),
            (OutputFormat::Json, _) => print(|out| out.write_all(b"\n]\n")),
            _ => Ok(()),
        }
    }

    fn print<R: Serialize>(
        &mut self,
        row: &R,
        table: impl FnOnce(&mut dyn Write, bool) -> io::Result<()>,
    ) -> Outcome<()> {
        let is_first = self.count == 0;
        self.count = self.count.saturating_add(1);
        print(|out| match self.format {
            OutputFormat::Table => table(out, is_first),
            OutputFormat::Json => {
                out.write_all(if is_first { b"[\n" } else { b",\n" })?;
                Ok(serde_json::to_writer(out, row)?)
            }
            OutputFormat::Jsonl | OutputFormat::Raw => write_json_lines(out, std::slice::from_ref(row)),
        })
    }
}

/// Writes to stdout through a buffer, byte for byte: what takes colours out of a stream takes bytes out of paths too.
pub(crate) fn print(write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Outcome<()> {
    let mut out = BufWriter::new(io::stdout().lock());
    write(&mut out).and_then(|()| out.flush()).map_err(|error| match error.kind() {
        // The reader of the pipe has seen enough, as `head` does. That is no error of ours to talk about.
        io::ErrorKind::BrokenPipe => Failure::new(Exit::PipeClosed, ""),
        _ => Failure::io("writing to stdout", &error),
    })
}

/// Says on stderr why the run failed. When stderr is closed there is nobody left to tell.
pub(crate) fn print_failure(failure: &Failure) {
    if failure.exit == Exit::PipeClosed {
        return;
    }
    let mut err = anstream::stderr().lock();
    let _nobody_to_tell =
        writeln!(err, "{ERROR}error:{ERROR:#} {}", plain(&failure.message)).and_then(|()| {
            failure.hint.as_ref().map_or(Ok(()), |hint| writeln!(err, "{HINT}hint:{HINT:#} {}", plain(hint)))
        });
}

/// A line for the user that is not a result.
pub(crate) fn note_line(text: &str) -> String {
    format!("{NOTE}note:{NOTE:#} {}", plain(text))
}

/// Text from elsewhere without control characters.
pub(crate) fn plain(text: &str) -> Cow<'_, str> {
    if text.chars().any(char::is_control) {
        text.chars()
            .flat_map(|c| if c.is_control() { c.escape_default().collect::<Vec<_>>() } else { vec![c] })
            .collect()
    } else {
        Cow::Borrowed(text)
    }
}

fn write_json_pretty<R: Serialize>(out: &mut dyn Write, rows: &[R]) -> io::Result<()> {
    serde_json::to_writer_pretty(&mut *out, rows)?;
    out.write_all(b"\n")
}

fn write_json_lines<R: Serialize>(out: &mut dyn Write, rows: &[R]) -> io::Result<()> {
    rows.iter().try_for_each(|row| {
        serde_json::to_writer(&mut *out, row)?;
        out.write_all(b"\n")
    })
}

/// Bold where stdout takes colours.
fn heading_style() -> Style {
    match AutoStream::choice(&io::stdout()) {
        ColorChoice::Never => Style::new(),
        _ => BOLD,
    }
}

/// Columns as wide as their widest cell; the last one is not filled up.
fn write_table(out: &mut dyn Write, bold: Style, headings: &[&str], rows: &[Vec<String>]) -> io::Result<()> {
    if rows.is_empty() {
        return Ok(());
    }
    let width_of = |text: &str| text.chars().count();
    let mut widths: Vec<usize> = headings.iter().map(|heading| width_of(heading)).collect();
    let rows: Vec<Vec<Cow<'_, str>>> =
        rows.iter().map(|row| row.iter().map(|cell| plain(cell)).collect()).collect();
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(width_of(cell));
        }
    }
    let line = |cells: &mut dyn Iterator<Item = &str>| {
        let padded: Vec<_> = cells.zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        padded.join("  ").trim_end().to_string()
    };
    writeln!(out, "{bold}{}{bold:#}", line(&mut headings.iter().copied()))?;
    rows.iter().try_for_each(|row| writeln!(out, "{}", line(&mut row.iter().map(|cell| &**cell))))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(rows: &[Vec<String>]) -> String {
        let mut out = Vec::new();
        write_table(&mut out, Style::new(), &["ID", "STATE"], rows).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn columns_are_aligned_and_lines_do_not_end_in_blanks() {
        let rows = [vec!["0x0102".into(), "ready".into()], vec!["0x03".into(), String::new()]];
        assert_eq!(table(&rows), "ID      STATE\n0x0102  ready\n0x03\n");
    }

    #[test]
    fn a_table_without_rows_has_no_heading() {
        assert_eq!(table(&[]), "");
    }

    #[test]
    fn foreign_text_cannot_steer_the_terminal() {
        assert_eq!(plain("a\u{1b}[31mb\n"), "a\\u{1b}[31mb\\n");
        assert_eq!(plain("plain é"), "plain é");
    }
}
