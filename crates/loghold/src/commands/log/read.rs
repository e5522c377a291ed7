//! `loghold log read`: records by id, by range, by type, by time, forwards and backwards.
//! Refuses to stop at damage: what lies behind it is printed, and the exit code tells.

use host::Clock;
use rtrans::{Error, Reader, Record, TransId, TypeNo};

use crate::args::log::ReadArguments;
use crate::commands::log::Context;
use crate::commands::log::records_out::RecordsOut;
use crate::exit::{Exit, Failure, Outcome};
use crate::notes::Notes;
use crate::quantity::counted;
use crate::record_range::RecordRange;

pub(crate) fn run(context: &Context, arguments: &ReadArguments) -> Outcome<Exit> {
    let single = matches!(arguments.ranges.as_slice(), [range] if range.is_single);
    let out = RecordsOut::new(context.format, arguments.print, single)?;
    let reader = context.reader()?;
    let mut reading = Reading { reader, arguments, out, trouble: Trouble::new(context.notes) };
    reading.read()?;
    reading.end()
}

/// What went wrong on the way, which does not end the reading.
#[derive(Debug)]
pub(crate) struct Trouble {
    notes: Notes,
    damaged: u64,
    trimmed: Option<TransId>,
    gaps: Vec<(TransId, TransId)>,
}

impl Trouble {
    pub(crate) fn new(notes: Notes) -> Trouble {
        Trouble { notes, damaged: 0, trimmed: None, gaps: Vec::new() }
    }

    /// Passes over what can be passed over. `gaps` are those that a repair has given up.
    pub(crate) fn pass(&mut self, reader: &Reader, error: Error) -> Outcome<()> {
        match error {
            Error::Corrupt(corruption) => {
                if self.gaps.is_empty() {
                    self.gaps = reader.gaps()?;
                }
                let is_known = corruption.ids.is_some_and(|(first, last)| {
                    self.gaps.iter().any(|(from, upto)| *from <= first && last <= *upto)
                });
                if is_known {
                    self.notes.say(&format!("passed over what a repair has given up: {corruption}"));
                } else {
                    self.damaged = self.damaged.saturating_add(1);
                    self.notes.say(&format!("damaged: {corruption}"));
                }
                Ok(())
            }
            Error::Trimmed { first } => {
                self.trimmed = Some(first);
                self.notes.say(&format!("records before {first} were trimmed"));
                Ok(())
            }
            other => Err(other.into()),
        }
    }

    /// The failure that it comes to, if any.
    pub(crate) fn outcome(&self) -> Outcome<Exit> {
        if self.damaged > 0 {
            let places = counted(usize::try_from(self.damaged).unwrap_or(usize::MAX), "place");
            return Err(Failure::new(Exit::Corrupt, format!("records are damaged in {places}"))
                .hint("`loghold log check` says what else is"));
        }
        Ok(if self.trimmed.is_some() { Exit::Incomplete } else { Exit::Done })
    }
}

struct Reading<'a> {
    reader: Reader,
    arguments: &'a ReadArguments,
    out: RecordsOut,
    trouble: Trouble,
}

impl Reading<'_> {
    fn read(&mut self) -> Outcome<()> {
        if let Some(count) = self.arguments.last {
            return self.read_last(count);
        }
        if let Some(since) = self.arguments.since {
            let time = since.at(Clock::system().wall());
            return match self.reader.seek_time(time)? {
                Some(first) => self.read_range(&RecordRange { ids: first.get()..u64::MAX, is_single: false }),
                None => Ok(()),
            };
        }
        if self.arguments.ranges.is_empty() {
            return self.read_range(&RecordRange::all());
        }
        self.arguments.ranges.iter().try_for_each(|range| self.read_range(range))
    }

    fn read_range(&mut self, range: &RecordRange) -> Outcome<()> {
        let (start, end) = range.bounds();
        if self.arguments.reverse {
            let records = if range.has_start() {
                self.reader.scan_rev(start..end)
            } else {
                self.reader.scan_rev(..end)
            };
            return records.into_iter().try_for_each(|record| self.take(record));
        }
        let records = if range.has_start() { self.reader.scan(start..end) } else { self.reader.scan(..end) };
        records.types(self.types()).try_for_each(|record| self.take(record))
    }

    fn read_last(&mut self, count: u64) -> Outcome<()> {
        if !self.arguments.reverse && self.arguments.types.is_empty() {
            return self.reader.tail(count).try_for_each(|record| self.take(record));
        }
        let mut ids = Vec::new();
        let mut left = count;
        for record in self.reader.scan_rev(..) {
            if left == 0 {
                break;
            }
            match record {
                Ok(record) if !self.is_wanted(&record) => {}
                Ok(record) if self.arguments.reverse => {
                    left = left.saturating_sub(1);
                    self.out.write(&record)?;
                }
                Ok(record) => {
                    left = left.saturating_sub(1);
                    ids.push(record.id);
                }
                Err(error) => self.trouble.pass(&self.reader, error)?,
            }
        }
        for id in ids.into_iter().rev() {
            if let Some(record) = self.reader.read(id).transpose() {
                self.take(record)?;
            }
        }
        Ok(())
    }

    fn take(&mut self, record: Result<Record, Error>) -> Outcome<()> {
        match record {
            Ok(record) if self.is_wanted(&record) => self.out.write(&record),
            Ok(_) => Ok(()),
            Err(error) => self.trouble.pass(&self.reader, error),
        }
    }

    fn is_wanted(&self, record: &Record) -> bool {
        self.arguments.types.is_empty() || self.arguments.types.contains(&record.type_no.0)
    }

    fn types(&self) -> Vec<TypeNo> {
        self.arguments.types.iter().copied().map(TypeNo).collect()
    }

    fn end(self) -> Outcome<Exit> {
        let count = self.out.count();
        self.out.finish()?;
        let asked = !self.arguments.ranges.is_empty()
            || self.arguments.since.is_some()
            || !self.arguments.types.is_empty();
        let exit = self.trouble.outcome()?;
        if count > 0 || !asked {
            return Ok(exit);
        }
        let what = match self.arguments.ranges.as_slice() {
            [] => "no record of that kind is there".to_string(),
            ranges => {
                let ranges: Vec<String> = ranges.iter().map(RecordRange::show).collect();
                format!("no record of {} is there", ranges.join(", "))
            }
        };
        let hint = match (self.reader.first(), self.reader.last()) {
            (Some(first), Some(last)) => format!("the log holds {first} to {last}"),
            _ => "the log is empty".to_string(),
        };
        Err(Failure::new(Exit::NotFound, what).hint(hint))
    }
}
