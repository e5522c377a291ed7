//! Records as they come in: lines or frames of stdin, or files.
//! Refuses a record that is longer than a log takes, before it fills the memory.

use std::io::{self, BufRead, ErrorKind, Read};
use std::path::PathBuf;

use crate::commands::log::RECORD_BYTES_MAX;
use crate::exit::{Exit, Failure, Outcome};
use crate::input::read_input;

/// Where records come from.
#[derive(Debug, Clone)]
pub(crate) enum Source {
    /// Each line of stdin, without its line feed.
    Lines,
    /// stdin, with each record's length in front: 4 bytes, little-endian.
    Frames,
    /// Each file.
    Files(Vec<PathBuf>),
}

/// Where a record ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// Where whoever wrote it said.
    Told,
    /// Where the input ended, which may have been cut off within the record.
    OfInput,
}

/// Hands records to `take`, each as soon as it is there, until there are no more, or `take` has had enough.
pub(crate) fn each_record(source: Source, mut take: impl FnMut(&[u8], End) -> Outcome<Go>) -> Outcome<()> {
    match source {
        Source::Lines => each_line(&mut io::stdin().lock(), &mut take),
        Source::Frames => each_frame(&mut io::stdin().lock(), &mut take),
        Source::Files(paths) => {
            for path in paths {
                let bytes = read_input(&path, RECORD_BYTES_MAX as usize)?;
                if take(&bytes, End::Told)? == Go::Stop {
                    break;
                }
            }
            Ok(())
        }
    }
}

/// Whether more records are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Go {
    On,
    Stop,
}

fn each_line(input: &mut impl BufRead, take: &mut impl FnMut(&[u8], End) -> Outcome<Go>) -> Outcome<()> {
    let mut line = Vec::new();
    loop {
        line.clear();
        let bytes_max = u64::from(RECORD_BYTES_MAX).saturating_add(1);
        input.by_ref().take(bytes_max).read_until(b'\n', &mut line).map_err(|error| failed(&error))?;
        if line.is_empty() {
            return Ok(());
        }
        let end = if line.last() == Some(&b'\n') { End::Told } else { End::OfInput };
        if end == End::Told {
            line.pop();
        } else if line.len() as u64 == bytes_max {
            return Err(Failure::usage(format!("a line is longer than {} MiB", RECORD_BYTES_MAX >> 20)));
        }
        if take(&line, end)? == Go::Stop {
            return Ok(());
        }
    }
}

fn each_frame(input: &mut impl BufRead, take: &mut impl FnMut(&[u8], End) -> Outcome<Go>) -> Outcome<()> {
    let mut record = Vec::new();
    loop {
        if input.fill_buf().map_err(|error| failed(&error))?.is_empty() {
            return Ok(());
        }
        let mut len = [0; 4];
        input.read_exact(&mut len).map_err(|error| failed(&error))?;
        let len = u32::from_le_bytes(len);
        if len > RECORD_BYTES_MAX {
            return Err(Failure::usage(format!(
                "a frame of {len} bytes is longer than {} MiB",
                RECORD_BYTES_MAX >> 20
            ))
            .hint("--framed wants each record's length in front of it: 4 bytes, little-endian"));
        }
        record.clear();
        // Grows with what really comes: a wrong length takes no memory.
        input.by_ref().take(u64::from(len)).read_to_end(&mut record).map_err(|error| failed(&error))?;
        if record.len() < len as usize {
            return Err(failed(&ErrorKind::UnexpectedEof.into()));
        }
        if take(&record, End::Told)? == Go::Stop {
            return Ok(());
        }
    }
}

fn failed(error: &io::Error) -> Failure {
    match error.kind() {
        ErrorKind::UnexpectedEof => Failure::usage("stdin ended in the middle of a frame"),
        _ => Failure::new(Exit::Error, format!("reading stdin: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Records = (Vec<Vec<u8>>, Option<String>);

    fn last_end(text: &str) -> Option<End> {
        let mut last = None;
        let mut take = |_: &[u8], end| {
            last = Some(end);
            Ok(Go::On)
        };
        each_line(&mut text.as_bytes(), &mut take).unwrap();
        last
    }

    fn collect(read: impl FnOnce(&mut dyn FnMut(&[u8], End) -> Outcome<Go>) -> Outcome<()>) -> Records {
        let mut records = Vec::new();
        let done = read(&mut |record, _| {
            records.push(record.to_vec());
            Ok(Go::On)
        });
        (records, done.err().map(|failure| failure.message))
    }

    #[test]
    fn lines_are_records_with_or_without_a_last_line_feed() {
        let lines = |text: &str| collect(|mut take| each_line(&mut text.as_bytes(), &mut take)).0;
        assert_eq!(lines(""), Vec::<Vec<u8>>::new());
        assert_eq!(lines("a\nb"), [b"a", b"b"]);
        assert_eq!(lines("a\n\nb\r\n"), [b"a".as_slice(), b"", b"b\r"]);
        assert_eq!((last_end("a\n"), last_end("a\nb")), (Some(End::Told), Some(End::OfInput)));
    }

    #[test]
    fn frames_are_records_and_a_half_one_is_refused() {
        let frames = |bytes: &[u8]| collect(|mut take| each_frame(&mut { bytes }, &mut take));
        assert_eq!(frames(b"\x02\0\0\0ab\0\0\0\0"), (vec![b"ab".to_vec(), Vec::new()], None));
        let (records, error) = frames(b"\x01\0\0\0a\x05\0\0\0bcd");
        assert_eq!(
            (records, error.unwrap().as_str()),
            (vec![b"a".to_vec()], "stdin ended in the middle of a frame")
        );
        assert!(frames(b"\xff\xff\xff\xff").1.unwrap().contains("longer than 1024 MiB"));
    }
}
