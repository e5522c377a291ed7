//! `loghold log tail`: the last records and those to come, for people, pipes and named consumers.
//! Refuses to commit what was not written to stdout: a consumer that is killed sees it again.

use std::time::Duration;

use rtrans::{Consumer, Error, Follow, Reader, TransId, TypeNo};

use crate::args::log::TailArguments;
use crate::commands::log::read::Trouble;
use crate::commands::log::records_out::RecordsOut;
use crate::commands::log::{Context, of_consumer};
use crate::exit::{Exit, Failure, Outcome};
use crate::stop::Stop;

/// Records that a consumer commits at once, at most.
const BATCH_RECORDS_MAX: usize = 1000;

/// How long a wait lasts at most before the stop is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(250);

pub(crate) fn run(context: &Context, arguments: &TailArguments) -> Outcome<Exit> {
    let mut out = RecordsOut::new(context.format, arguments.print, false)?;
    let reader = context.reader()?;
    let mut trouble = Trouble::new(context.notes);
    let mut tailing = Tailing { context, arguments, reader: &reader, out: &mut out, trouble: &mut trouble };
    let ended = match &arguments.consumer {
        Some(name) => tailing.consume(reader.consumer(name).map_err(|error| of_consumer(name, error))?),
        None => tailing.follow(),
    };
    out.finish()?;
    match ended? {
        Exit::Done => trouble.outcome(),
        exit => Ok(exit),
    }
}

struct Tailing<'a> {
    context: &'a Context,
    arguments: &'a TailArguments,
    reader: &'a Reader,
    out: &'a mut RecordsOut,
    trouble: &'a mut Trouble,
}

impl Tailing<'_> {
    /// From the last records, or a given one, on.
    fn follow(&mut self) -> Outcome<Exit> {
        let last = self.reader.last().map_or(0, TransId::get);
        let first = self.reader.first().map_or(1, TransId::get);
        let begin = match self.arguments.from {
            Some(from) => from.max(1),
            None => last.saturating_sub(self.arguments.lines).saturating_add(1).max(first),
        };
        let from = TransId::new(begin).unwrap_or(TransId::FIRST);
        let types = self.arguments.types.iter().copied().map(TypeNo);
        if !self.arguments.follow {
            for record in self.reader.scan(from..).types(types) {
                match record {
                    Ok(record) => self.out.write(&record)?,
                    Err(error) => self.trouble.pass(self.reader, error)?,
                }
            }
            return Ok(Exit::Done);
        }
        let mut follow = self.reader.follow(from);
        let handle = follow.stop_handle();
        let stop = Stop::listen_beside_reader(move |_| handle.stop())?;
        loop {
            let record = match self.next(&mut follow) {
                Ok(record) => record,
                Err(error) => {
                    self.told(error)?;
                    continue;
                }
            };
            match (record, stop.exit()) {
                (_, Some(exit)) => return Ok(exit),
                (Some(record), None) if self.is_wanted(record.type_no) => self.out.write(&record)?,
                (Some(_), None) => {}
                (None, None) => return Err(self.timed_out()),
            }
        }
    }

    /// The next record. Those before are flushed before it is waited for.
    fn next(&mut self, follow: &mut Follow) -> Result<Option<rtrans::Record>, Error> {
        if let Some(record) = follow.next_within(Duration::ZERO)? {
            return Ok(Some(record));
        }
        // A reader that has gone is a stop.
        drop(self.out.flush());
        follow.next_within(self.arguments.timeout.unwrap_or(Duration::MAX))
    }

    /// As a consumer, from its position on.
    fn consume(&mut self, mut consumer: Consumer) -> Outcome<Exit> {
        let stop = Stop::listen_beside_reader(|_| {})?;
        let mut waited = Duration::ZERO;
        loop {
            let wait = if self.arguments.follow { LOOK_EVERY } else { Duration::ZERO };
            let records = match consumer.wait_batch(BATCH_RECORDS_MAX, wait) {
                Ok(records) => records,
                Err(error) => {
                    self.told(error)?;
                    continue;
                }
            };
            if let Some(exit) = stop.exit() {
                // What was taken last is not printed, and not committed.
                return Ok(exit);
            }
            let Some(last) = records.last().map(|record| record.id) else {
                if !self.arguments.follow {
                    return Ok(Exit::Done);
                }
                waited = waited.saturating_add(wait);
                if self.arguments.timeout.is_some_and(|timeout| waited >= timeout) {
                    return Err(self.timed_out());
                }
                continue;
            };
            waited = Duration::ZERO;
            for record in &records {
                if self.is_wanted(record.type_no) {
                    self.out.write(record)?;
                }
            }
            self.out.flush()?;
            match consumer.commit(last) {
                // Rolled back meanwhile, which the next batch tells.
                Ok(()) | Err(Error::BeyondEnd { .. }) => {}
                Err(error) => return Err(of_consumer(consumer.name(), error)),
            }
        }
    }

    /// Says what a follower is told on its way.
    fn told(&mut self, error: Error) -> Outcome<()> {
        match error {
            Error::RolledBack { .. } => {
                self.context.notes.say(&error.to_string());
                Ok(())
            }
            other => self.trouble.pass(self.reader, other),
        }
    }

    fn is_wanted(&self, type_no: TypeNo) -> bool {
        self.arguments.types.is_empty() || self.arguments.types.contains(&type_no.0)
    }

    fn timed_out(&self) -> Failure {
        let time = self.arguments.timeout.unwrap_or_default();
        Failure::new(Exit::TimedOut, format!("no record came for {}", crate::quantity::show_duration(time)))
    }
}
