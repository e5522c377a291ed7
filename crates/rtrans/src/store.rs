//! `Store` and `Shelf`: the writing and the reading side of a log, whichever its format is.
//! Refuses to hide what one format cannot do: that is an error with a way out.

use std::collections::BTreeMap;
use std::sync::Arc;

use host::Disk;

use crate::consumer_name::ConsumerName;
use crate::control::{Control, Memory, Position};
use crate::error::Error;
use crate::format2::depot::Chore;
use crate::ids::TransId;
use crate::outgoing::Outgoing;
use crate::position_file;
use crate::record::{Record, RecordBatch};
use crate::selected::Selected;
use crate::tail_page::Tail;
use crate::{format1, format2};

/// The writing side. Whoever leads a group commit owns it.
#[derive(Debug)]
pub(crate) enum Store {
    One(Box<One>),
    Two(Box<format2::Writer>),
}

/// Format 1 has no place for positions in its data: they are files, written and synced behind it.
#[derive(Debug)]
pub(crate) struct One {
    pub(crate) disk: Disk,
    pub(crate) writer: format1::Writer,
    pub(crate) memory: Memory,
    pub(crate) durable_next: u64,
    /// Positions that were taken and not yet written. The records that they count may not be durable: a file that had
    /// one of them already could be ahead of the log after a power cut.
    pub(crate) positions: BTreeMap<ConsumerName, (position_file::Place, Position)>,
}

/// The reading side, shared by everybody.
#[derive(Clone, Debug)]
pub(crate) enum Shelf {
    One(Arc<format1::Shelf>),
    Two(Arc<format2::Shelf>),
}

impl Store {
    /// Writes a batch to the system. After an error the log is as before if the error [`is_harmless`](Error::is_harmless).
    pub(crate) fn write(&mut self, outgoing: &mut Outgoing) -> Result<(), Error> {
        self.memory().renew(&mut outgoing.controls);
        match self {
            Store::One(one) => one.write(outgoing),
            Store::Two(writer) => writer.write(outgoing),
        }
    }

    /// Makes what was written durable. After an error, which is never harmless, nothing since the last sync may be
    /// called durable.
    pub(crate) fn sync(&mut self) -> Result<(), Error> {
        let synced = match self {
            Store::One(one) => one.sync(),
            Store::Two(writer) => writer.sync(),
        };
        synced.map_err(Error::unclean)
    }

    /// The id of the next record.
    pub(crate) fn next(&self) -> u64 {
        match self {
            Store::One(one) => one.writer.next(),
            Store::Two(writer) => writer.next(),
        }
    }

    pub(crate) fn memory(&self) -> &Memory {
        match self {
            Store::One(one) => &one.memory,
            Store::Two(writer) => writer.memory(),
        }
    }

    pub(crate) fn tail(&self) -> Tail {
        match self {
            Store::One(one) => one.tail(),
            Store::Two(writer) => writer.tail(),
        }
    }

    pub(crate) fn take_chores(&mut self) -> Vec<Chore> {
        match self {
            Store::One(_) => Vec::new(),
            Store::Two(writer) => writer.take_chores(),
        }
    }

    /// Cuts the log behind a record, durably.
    pub(crate) fn roll_back(&mut self, after: u64) -> Result<(), Error> {
        match self {
            Store::One(one) => one.roll_back(after).map_err(Error::unclean),
            Store::Two(writer) => writer.roll_back(after),
        }
    }

    /// Lets what lies before a record go. In format 2 the mark was written and synced before.
    pub(crate) fn drop_before(&mut self, first: u64) -> Result<(), Error> {
        match self {
            Store::One(one) => one.writer.trim_before(first).map(|first| one.memory.first = first),
            Store::Two(writer) => {
                writer.drop_before(first);
                Ok(())
            }
        }
    }

    /// Notes what another process has written into a consumer's file.
    pub(crate) fn learn(&mut self, control: &Control) {
        match self {
            Store::One(one) => one.memory.apply(control),
            Store::Two(writer) => writer.learn(control),
        }
    }

    /// Sets positions back that lie beyond the last record; tells which, from where, to where.
    pub(crate) fn clamp_positions(&mut self) -> Vec<(String, u64, u64)> {
        match self {
            Store::One(one) => one.clamp_positions(),
            Store::Two(writer) => writer.clamp_positions(),
        }
    }

    /// Whether marks, epochs and atomic batches can be kept.
    pub(crate) fn has_controls(&self) -> bool {
        matches!(self, Store::Two(_))
    }
}

impl One {
    fn write(&mut self, outgoing: &mut Outgoing) -> Result<(), Error> {
        // First, as it may find no room and no handle: nothing is in the log then.
        let mut places = Vec::new();
        for control in &outgoing.controls {
            if let Control::Position { name, position } = control {
                places.push((name.clone(), (position_file::Place::open(&self.disk, name)?, *position)));
            }
        }
        self.writer.write(outgoing)?;
        outgoing.controls.iter().for_each(|control| self.memory.apply(control));
        // The last one of a name counts, and is the only one that is written: the other slot keeps what is durable.
        self.positions.extend(places);
        Ok(())
    }

    fn sync(&mut self) -> Result<(), Error> {
        self.writer.sync()?;
        // Behind the records: a position is never ahead of the log.
        for (place, position) in std::mem::take(&mut self.positions).into_values() {
            place.put(position)?;
        }
        self.durable_next = self.writer.next();
        Ok(())
    }

    fn tail(&self) -> Tail {
        Tail {
            log_id: 1,
            next: self.writer.next(),
            durable_next: self.durable_next,
            durable_seq: self.durable_next.saturating_sub(1),
            first: self.memory.first,
            pid: std::process::id(),
            ..Tail::default()
        }
    }

    fn roll_back(&mut self, after: u64) -> Result<(), Error> {
        // Positions first: after a crash in between they are behind, never ahead.
        for (name, position) in &mut self.memory.positions {
            if position.transid > after {
                position.transid = after;
                position.generation = position.generation.saturating_add(1);
                position_file::write(&self.disk, name, *position)?.sync()?;
            }
        }
        // Whatever fails on the way: what goes now is not told as durable any more, or a start would take it for lost.
        self.durable_next = self.durable_next.min(after.saturating_add(1));
        self.writer.truncate_after(after)?;
        // What is left counts as durable from here on.
        self.writer.sync()?;
        self.durable_next = self.writer.next();
        Ok(())
    }

    fn clamp_positions(&mut self) -> Vec<(String, u64, u64)> {
        let last = self.writer.next().saturating_sub(1);
        let mut clamped = Vec::new();
        for (name, position) in &mut self.memory.positions {
            if position.transid > last {
                clamped.push((name.as_str().to_owned(), position.transid, last));
                position.transid = last;
                position.generation = position.generation.saturating_add(1);
            }
        }
        clamped
    }
}

impl Shelf {
    /// The directory that the log lies in.
    pub(crate) fn disk(&self) -> &Disk {
        match self {
            Shelf::One(one) => one.files().disk(),
            Shelf::Two(two) => two.disk(),
        }
    }

    /// The first record, and the id behind the last one; both the same when there is none.
    pub(crate) fn bounds(&self) -> (u64, u64) {
        match self {
            Shelf::One(one) => one.bounds(),
            Shelf::Two(two) => two.bounds(),
        }
    }

    pub(crate) fn read(&self, id: u64) -> Result<Record, Error> {
        match self {
            Shelf::One(one) => one.read(id),
            Shelf::Two(two) => two.read(id),
        }
    }

    /// Reads records from `from` on: at least one, none from `end` on, about `bytes_max` bytes of them. They may be
    /// put into an old buffer, whatever is in it.
    pub(crate) fn run(
        &self,
        from: u64,
        end: u64,
        bytes_max: usize,
        buffer: Vec<u8>,
    ) -> Result<RecordBatch, Error> {
        match self {
            Shelf::One(one) => one.read_run(from, end, bytes_max),
            Shelf::Two(two) => two.run(from, end, bytes_max, buffer),
        }
    }

    /// Adds records from `from` on that are of one of these types, about `bytes_max` bytes of them at most. Returns the id
    /// with which the search goes on: that none was added does not mean that none is left.
    pub(crate) fn select(
        &self,
        types: &[u32],
        (from, end): (u64, u64),
        bytes_max: usize,
        selected: &mut Selected,
    ) -> Result<u64, Error> {
        match self {
            // The index entries would tell, but reading them is not cheaper than reading on.
            Shelf::One(one) => {
                let batch = one.read_run(from, end, bytes_max)?;
                batch
                    .records()
                    .filter(|record| types.contains(&record.type_no.0))
                    .for_each(|record| selected.push(record));
                Ok(batch.first().get().saturating_add(batch.len() as u64))
            }
            Shelf::Two(two) => two.select(types, (from, end), bytes_max, selected),
        }
    }

    pub(crate) fn seek_time(&self, micros: u64) -> Result<Option<TransId>, Error> {
        match self {
            Shelf::One(_) => Err(Error::Unsupported {
                what: "format 1 does not know when records were appended",
                instead: "import the log into one of format 2, or search by what the records say",
            }),
            Shelf::Two(two) => Ok(two.seek_time(micros)?.and_then(TransId::new)),
        }
    }

    /// How many rollbacks there were.
    pub(crate) fn rolled(&self) -> u64 {
        match self {
            Shelf::One(_) => 0,
            Shelf::Two(two) => two.rolled(),
        }
    }

    /// The lowest record behind which the log was cut since there were `seen` rollbacks.
    pub(crate) fn rolled_after(&self, seen: u64) -> Option<u64> {
        match self {
            Shelf::One(_) => None,
            Shelf::Two(two) => two.rolled_after(seen),
        }
    }
}
