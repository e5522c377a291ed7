//! The calls that read: each compares what it sees with the oracle.
//! Refuses to change anything, but that reading hands to the system what lies in memory.

use rtrans::{Error, Reader, TransId, TypeNo};

use super::{Op, World};
use crate::kit::id;

impl World {
    pub(super) fn read(&mut self, op: &Op) -> Result<(), Error> {
        let log = self.log();
        log.reader().refresh()?;
        if !self.is_poisoned {
            self.oracle.written = self.oracle.rows.len();
        }
        if self.is_poisoned || log.last().map_or(0, TransId::get) < self.oracle.first {
            return Ok(());
        }
        match op {
            Op::Read { back } => {
                if let Some(to) = self.back(*back) {
                    let record = log.read(to)?.expect("it is there");
                    assert_eq!(record.id, to);
                    self.oracle.compare_one(&record);
                }
            }
            Op::Scan => self.oracle.compare(log.reader(), self.oracle.rows.len()),
            Op::Reverse { count } => {
                let mut next = self.last();
                for record in log.scan_rev(..).take(usize::try_from(*count).unwrap()) {
                    let record = record?;
                    assert_eq!(record.id.get(), next);
                    self.oracle.compare_one(&record);
                    next -= 1;
                }
                let left = self.last() + 1 - self.oracle.first;
                assert_eq!(self.last() - next, left.min(*count));
            }
            Op::Types { type_no } => {
                let mut expected = (self.oracle.first..=self.last())
                    .filter(|number| self.oracle.rows[usize::try_from(*number - 1).unwrap()].0 == *type_no);
                for record in log.scan(..).types([TypeNo(*type_no)]) {
                    let record = record?;
                    assert_eq!(Some(record.id.get()), expected.next(), "records of type {type_no}");
                    self.oracle.compare_one(&record);
                }
                assert_eq!(expected.next(), None, "a record of type {type_no} was passed over");
            }
            Op::SeekTime { back } => {
                if let Some(to) = self.back(*back) {
                    let time = log.read(to)?.unwrap().appended_at.unwrap();
                    let found = log.seek_time(time)?.expect("that record at the latest");
                    assert!(found <= to && log.read(found)?.unwrap().appended_at >= Some(time));
                    if found.get() > self.oracle.first {
                        let before = log.read(id(found.get() - 1))?.unwrap();
                        assert!(before.appended_at < Some(time), "record {} is an earlier one", before.id);
                    }
                }
            }
            _ => {}
        }
        Ok(())
    }

    pub(super) fn follow(&mut self, count: usize) -> Result<(), Error> {
        let log = self.log();
        let (mut follow, mut next) = self.follow.take().unwrap_or_else(|| {
            let from = self.oracle.first;
            (log.follow(id(from)), from)
        });
        for _ in 0..count {
            match follow.next_within(std::time::Duration::ZERO) {
                Ok(Some(record)) => {
                    assert_eq!(record.id.get(), next, "the follower passes over records");
                    self.oracle.compare_one(&record);
                    next += 1;
                }
                Ok(None) => {
                    if !self.is_poisoned {
                        assert!(next > self.last(), "the follower stops at {next} of {}", self.last());
                        self.oracle.written = self.oracle.rows.len();
                    }
                    break;
                }
                Err(Error::RolledBack { after }) => {
                    let after = after.map_or(0, TransId::get);
                    assert!(
                        after + 1 < next,
                        "a rollback behind {after} does not concern a follower at {next}"
                    );
                    next = after + 1;
                }
                Err(Error::Trimmed { first }) => {
                    assert_eq!(first.get(), self.oracle.first);
                    assert!(next < first.get());
                    next = first.get();
                }
                Err(error) => return Err(error),
            }
        }
        self.follow = Some((follow, next));
        Ok(())
    }

    /// A reader of another process sees what the system has, and never what was taken back.
    pub(super) fn beside(&mut self) -> Result<(), Error> {
        let reader = match self.reader.take() {
            Some(reader) => reader,
            None => Reader::open_on(&self.sim.disk())?,
        };
        reader.refresh()?;
        let seen = usize::try_from(reader.last().map_or(0, TransId::get)).unwrap();
        let is_empty = self.oracle.first > self.last() || seen == 0;
        if !self.is_poisoned && !is_empty {
            assert!(seen >= self.oracle.written, "the reader beside sees {seen} of {}", self.oracle.written);
        }
        if !self.is_poisoned && (!is_empty || self.oracle.written == 0) {
            self.oracle.compare(&reader, seen);
        }
        self.reader = Some(reader);
        Ok(())
    }
}
