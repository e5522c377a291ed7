//! Ourselves, in format 2 and in format 1, through the public interface of the log.
//! Refuses any setting that a user would not find: all are defaults unless a case says otherwise.

use std::collections::VecDeque;
use std::path::Path;
use std::time::{Duration, Instant};

use rtrans::{Level, Log, Options, Parameters, TransId, TypeNo};

use super::{Ability, Peer, Purpose, Rival};
use crate::Outcome;
use crate::records::Records;

/// The type of every record that has no other.
pub(crate) const TYPE: TypeNo = TypeNo(1);

/// The name of the contestant in format 2.
pub(crate) const FORMAT_2: &str = "loghold";

/// The name of the contestant in format 1.
pub(crate) const FORMAT_1: &str = "loghold format 1";

/// One of our formats.
#[derive(Debug)]
pub(crate) struct Loghold {
    pub(crate) name: &'static str,
    pub(crate) parameters: Parameters,
}

impl Loghold {
    pub(crate) fn format_2() -> Loghold {
        Loghold { name: FORMAT_2, parameters: Parameters::format_2() }
    }

    pub(crate) fn format_1() -> Loghold {
        Loghold { name: FORMAT_1, parameters: Parameters::format_1() }
    }

    /// Opens a log for a case that needs more than the trait.
    pub(crate) fn log(&self, dir: &Path) -> Outcome<Log> {
        let options = Options { parameters: Some(self.parameters), ..Options::default() };
        Ok(Log::open(dir, options)?)
    }
}

struct Open(Log);

impl Rival for Loghold {
    fn name(&self) -> &'static str {
        self.name
    }

    fn abilities(&self) -> &'static [Ability] {
        &[
            Ability::Buffered,
            Ability::Durable,
            Ability::Pipelined,
            Ability::Read,
            Ability::Scan,
            Ability::Reopen,
        ]
    }

    fn open(&self, dir: &Path, _purpose: Purpose) -> Outcome<Box<dyn Peer>> {
        Ok(Box::new(Open(self.log(dir)?)))
    }
}

/// The id of the record with this number, counted from 0.
pub(crate) fn id(number: u64) -> Outcome<TransId> {
    TransId::new(number + 1).ok_or_else(|| "0 is no id".into())
}

/// Appends records in memory, and hands all of them to the system.
pub(crate) fn fill(log: &Log, records: &Records, count: u64) -> Outcome<()> {
    for number in 1..count {
        log.append_at(Level::Memory, TYPE, records.get(number - 1))?;
    }
    log.append_at(Level::Os, TYPE, records.get(count - 1))?;
    Ok(())
}

/// Reads everything, a batch at a time.
pub(crate) fn scan_batches(log: &Log) -> Outcome<u64> {
    let mut count = 0;
    for batch in log.reader().batches(..) {
        for record in batch?.records() {
            std::hint::black_box(record.bytes);
            count += 1;
        }
    }
    Ok(count)
}

impl Peer for Open {
    fn append_buffered(&mut self, records: &Records, from: u64, count: u64) -> Outcome<()> {
        for number in from..from + count {
            self.0.append_at(Level::Memory, TYPE, records.get(number))?;
        }
        Ok(())
    }

    fn flush(&mut self) -> Outcome<()> {
        // What was appended before it has to be handed over before it can be.
        self.0.append_at(Level::Os, TYPE, b"the last one")?;
        Ok(())
    }

    fn fill(&mut self, records: &Records, count: u64) -> Outcome<()> {
        fill(&self.0, records, count)
    }

    fn append_durable(&self, _thread: usize, bytes: &[u8]) -> Outcome<()> {
        self.0.append_at(Level::Disk, TYPE, bytes)?;
        Ok(())
    }

    fn append_pipelined(&self, records: &Records, in_flight: usize, span: Duration) -> Outcome<u64> {
        let mut tickets = VecDeque::with_capacity(in_flight);
        let begin = Instant::now();
        let mut number = 0;
        while begin.elapsed() < span {
            // The clock is not read for each record: that would be a good part of the time.
            for _ in 0..64 {
                if tickets.len() == in_flight {
                    let oldest: Option<rtrans::Ticket> = tickets.pop_front();
                    if let Some(oldest) = oldest {
                        oldest.wait()?;
                    }
                }
                tickets.push_back(self.0.append_async(TYPE, records.get(number))?);
                number += 1;
            }
        }
        for ticket in tickets {
            ticket.wait()?;
        }
        Ok(number)
    }

    fn read_random(&mut self, numbers: &[u64]) -> Outcome<u64> {
        let mut bytes = 0;
        for number in numbers {
            let record = self.0.reader().read(id(*number)?)?.ok_or("a record is missing")?;
            bytes += record.bytes.len() as u64;
        }
        Ok(bytes)
    }

    fn scan(&mut self) -> Outcome<u64> {
        scan_batches(&self.0)
    }

    fn found(&self) -> Outcome<u64> {
        Ok(self.0.reader().last().map_or(0, TransId::get))
    }
}
