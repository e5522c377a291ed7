//! A log with everything around it, and the oracle that follows each call.
//! Refuses to let a call return what the oracle does not know.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::time::{Duration, UNIX_EPOCH};

use host::sim::{ManualClock, Random, SimDisk};
use rtrans::{
    Batch, Consumer, Consumers, Error, Follow, Level, Log, Options, Reader, Record, Retention, Ticket,
    TransId, TypeNo,
};

use crate::kit::id;
use crate::oracle::{Ended, Oracle, Row};

pub(crate) const NAMES: [&str; 3] = ["alpha", "beta", "gamma"];

/// One call. Numbers are of the oracle's size where they name a record; they are brought into bounds.
#[derive(Clone, Debug)]
pub(crate) enum Op {
    Append { level: Level, bytes: usize },
    Batch { level: Level, count: usize, bytes: usize },
    Async { bytes: usize },
    Wait,
    Sync,
    Commit { name: usize, back: u64 },
    CommitAsync { name: usize, back: u64 },
    Reset { name: usize, back: u64 },
    Trim { back: u64 },
    Retain { records: u64, is_protecting: bool },
    Truncate { back: u64 },
    Finalize { back: u64 },
    Fence,
    Close,
    Read { back: u64 },
    Scan,
    Reverse { count: u64 },
    Types { type_no: u32 },
    SeekTime { back: u64 },
    Follow { count: usize },
    Beside,
}

impl Op {
    pub(crate) fn is_of_a_consumer(&self) -> bool {
        matches!(self, Op::Commit { .. } | Op::CommitAsync { .. } | Op::Reset { .. })
    }

    /// Whether nothing comes of it but what is compared at once.
    pub(crate) fn is_read(&self) -> bool {
        matches!(
            self,
            Op::Read { .. }
                | Op::Scan
                | Op::Reverse { .. }
                | Op::Types { .. }
                | Op::SeekTime { .. }
                | Op::Follow { .. }
                | Op::Beside
        )
    }
}

pub(crate) struct World {
    pub(crate) sim: SimDisk,
    pub(crate) clock: ManualClock,
    pub(crate) options: Options,
    pub(crate) log: Option<Log>,
    pub(crate) oracle: Oracle,
    pub(crate) random: Random,
    reader: Option<Reader>,
    follow: Option<(Follow, u64)>,
    consumers: BTreeMap<usize, Consumer>,
    tickets: Vec<(Ticket, u64)>,
    commits: Vec<(Ticket, &'static str, u64)>,
    /// Whether appends were refused for good.
    pub(crate) is_poisoned: bool,
}

impl World {
    pub(crate) fn new(seed: u64, options: Options) -> World {
        World {
            sim: SimDisk::new(seed),
            clock: ManualClock::new(UNIX_EPOCH + Duration::from_secs(1_000_000)),
            log: None,
            oracle: Oracle::new(options.parameters),
            options,
            random: Random::new(seed),
            reader: None,
            follow: None,
            consumers: BTreeMap::new(),
            tickets: Vec::new(),
            commits: Vec::new(),
            is_poisoned: false,
        }
    }

    pub(crate) fn open(&mut self) -> Result<(), Error> {
        let log = Log::open_on(&self.sim.disk(), &self.clock.clock(), self.options.clone())?;
        self.log = Some(log);
        Ok(())
    }

    /// Lets everything go that belongs to the program.
    pub(crate) fn end(&mut self) {
        self.consumers.clear();
        self.tickets.clear();
        self.commits.clear();
        (self.follow, self.reader, self.log) = (None, None, None);
        self.is_poisoned = false;
    }

    /// Ends the program, opens the log again, and takes what is there for right if it is.
    pub(crate) fn restart(&mut self, ended: Ended) {
        self.restart_after(ended, ended);
    }

    /// The same behind a start that was not looked at: what counts is how the program before it ended.
    pub(crate) fn restart_after(&mut self, now: Ended, ended: Ended) {
        match now {
            Ended::Cut => self.sim.crash(),
            Ended::Killed => self.sim.kill(),
            Ended::Closed => {}
        }
        self.end();
        // Who only reads finds the end that the next writer will make.
        let seen = (ended != Ended::Closed).then(|| self.seen_by_a_reader());
        self.open().unwrap_or_else(|error| panic!("the log does not open after {ended:?}: {error}"));
        let log = self.log.clone().unwrap();
        self.oracle.accept(&log, ended);
        if let Some(seen) = seen.flatten() {
            self.oracle.compare_all(seen.into_iter().map(Ok), self.oracle.rows.len());
        }
        let reader = Reader::open_on(&self.sim.disk()).unwrap();
        self.oracle.compare(&reader, self.oracle.rows.len());
    }

    /// What is left behind a power cut with this outcome, if it makes sense; this world stays as it is.
    pub(crate) fn cut_as(&self, outcome: u64) -> Option<World> {
        let sim = self.sim.fork();
        let makes_sense = sim.crash_as(outcome);
        let world = World { sim, oracle: self.oracle.clone(), ..World::new(outcome, self.options.clone()) };
        makes_sense.then_some(world)
    }

    /// The records of a log that nobody writes; `None` before there is a log.
    fn seen_by_a_reader(&self) -> Option<Vec<Record>> {
        let seen = match Reader::open_on(&self.sim.disk()) {
            Err(Error::NotALog { .. }) => return None,
            reader => reader.and_then(|reader| reader.scan(..).collect()),
        };
        Some(seen.unwrap_or_else(|error| panic!("nothing was damaged, but a reader says: {error}")))
    }

    /// Does something, and prints what led to it when it fails.
    pub(crate) fn watched<T>(&mut self, what: &str, body: impl FnOnce(&mut World) -> T) -> T {
        let done = catch_unwind(AssertUnwindSafe(|| body(self)));
        done.unwrap_or_else(|panic| {
            let trace = self.sim.trace();
            for line in &trace[trace.len().saturating_sub(100)..] {
                eprintln!("    {line}");
            }
            eprintln!("{what}");
            resume_unwind(panic)
        })
    }

    fn log(&self) -> Log {
        self.log.clone().expect("the log is open")
    }

    fn last(&self) -> u64 {
        self.oracle.last()
    }

    /// The record that lies so many before the last one, not before the first.
    fn back(&self, back: u64) -> Option<TransId> {
        TransId::new(self.last().saturating_sub(back).max(self.oracle.first))
            .filter(|id| id.get() <= self.last())
    }

    fn row(&mut self, bytes: usize) -> Row {
        let number = self.random.next();
        let mut row = number.to_le_bytes().repeat(bytes.div_ceil(8));
        row.truncate(bytes);
        ((number % 5) as u32, row)
    }

    /// Opens the log and runs a scene until the machine turns off at a call of it.
    pub(crate) fn run_until_off(&mut self, scene: &[Op], call: u64) {
        self.sim.crash_at(call);
        if self.open().is_err() {
            return;
        }
        for op in scene {
            // A scene that closes opens again in the middle of a call: there, too, the machine may turn off.
            if matches!(op, Op::Close) {
                let log = self.log.clone().unwrap();
                self.end();
                if log.close().is_err() {
                    return;
                }
                self.oracle.settle();
                if self.open().is_err() {
                    return;
                }
            } else if self.apply(op).is_err() {
                return;
            }
            if self.sim.calls() >= call {
                // Chores fail silently; what follows is done by a dead machine.
                return;
            }
        }
        self.end();
    }

    /// Does one call, and compares what comes of it. An error is returned when the oracle allows for it.
    pub(crate) fn apply(&mut self, op: &Op) -> Result<(), Error> {
        if self.is_poisoned {
            // What is refused now leaves nothing behind, whatever an earlier call may have left.
            let before = self.oracle.clone();
            let done = self.call(op);
            if done.is_err() {
                self.oracle = before;
            }
            return done;
        }
        let done = self.call(op);
        if let Err(error) = &done {
            self.look_after(error);
        }
        done
    }

    fn call(&mut self, op: &Op) -> Result<(), Error> {
        match op {
            Op::Append { level, bytes } => self.append(*level, 1, *bytes, false),
            Op::Batch { level, count, bytes } => self.append(*level, *count, *bytes, true),
            Op::Async { bytes } => self.append_async(*bytes),
            Op::Wait => self.wait(),
            Op::Sync => {
                let last = self.log().sync()?;
                assert_eq!(last.map_or(0, TransId::get), self.last());
                self.oracle.settle();
                Ok(())
            }
            Op::CommitAsync { name, back } => self.commit_async(*name, *back),
            Op::Commit { name, back } => self.commit(*name, *back, false),
            Op::Reset { name, back } => self.commit(*name, *back, true),
            Op::Trim { back } => self.trim(*back),
            Op::Retain { records, is_protecting } => self.retain(*records, *is_protecting),
            Op::Truncate { back } => self.truncate(*back),
            Op::Finalize { back } => self.finalize(*back),
            Op::Fence => self.fence(),
            Op::Close => self.close(),
            Op::Read { .. } | Op::Scan | Op::Reverse { .. } | Op::Types { .. } | Op::SeekTime { .. } => {
                self.read(op)
            }
            Op::Follow { count } => self.follow(*count),
            Op::Beside => self.beside(),
        }
    }

    fn append(&mut self, level: Level, count: usize, bytes: usize, is_batch: bool) -> Result<(), Error> {
        let rows: Vec<Row> = (0..count).map(|_| self.row(bytes)).collect();
        let log = self.log();
        let before = self.last();
        self.oracle.push(rows.clone());
        let position = before * 10 + 1;
        let done = if is_batch {
            let mut batch = Batch::new().level(level).expect_last(TransId::new(before));
            if !self.oracle.is_format_1() {
                batch = batch.epoch(self.oracle.epoch);
            }
            // A crash tells by the records whether the position came. Format 1 has no place for it.
            if count > 0 && !self.oracle.is_format_1() {
                self.oracle.elsewhere.push((self.oracle.rows.len(), position));
                batch = batch.position("elsewhere", id(position));
            }
            for (type_no, bytes) in &rows {
                batch = batch.push(TypeNo(*type_no), bytes);
            }
            log.append_batch(&batch).map(|appended| (appended.first, appended.reached))
        } else {
            log.append_at(level, TypeNo(rows[0].0), &rows[0].1).map(|ack| (Some(ack.id), ack.reached))
        };
        match done {
            Ok((first, reached)) => {
                assert!(!self.is_poisoned, "a poisoned log acknowledges");
                assert_eq!(first, (count > 0).then(|| id(before + 1)), "the id of the record");
                assert!(reached >= level);
                match reached {
                    Level::Disk => self.oracle.settle(),
                    Level::Os => self.oracle.written = self.oracle.rows.len(),
                    Level::Memory => {}
                }
                Ok(())
            }
            Err(error) => {
                self.refused(&error, count);
                if is_batch
                    && self.oracle.elsewhere.last().is_some_and(|(_, found)| *found == position)
                    && self.last() == before
                {
                    self.oracle.elsewhere.pop();
                }
                Err(error)
            }
        }
    }

    /// What an error of an append means for its records.
    fn refused(&mut self, error: &Error, count: usize) {
        match error {
            Error::Poisoned(_) if self.is_poisoned => self.oracle.pop(count),
            Error::Poisoned(_) | Error::DiskFull(_) | Error::NoHandles(_) => {}
            other => panic!("an append fails with {other}"),
        }
    }

    /// What an error leaves: a full disk takes what lay in memory as well, which had been promised nothing; so does the
    /// want of a file handle.
    fn look_after(&mut self, error: &Error) {
        let log = self.log();
        if matches!(error, Error::DiskFull(_) | Error::NoHandles(_)) && log.failure().is_none() {
            let last = log.reader().last().map_or(self.oracle.first - 1, TransId::get);
            let last = usize::try_from(last).unwrap();
            let safe = self.oracle.written..=self.oracle.rows.len();
            assert!(safe.contains(&last), "{last} records are left, but of {safe:?}");
            self.oracle.pop(self.oracle.rows.len() - last);
            self.oracle.elsewhere.retain(|(count, _)| *count <= last);
            self.oracle.written = last;
            self.tickets.clear();
        }
        self.is_poisoned |= log.failure().is_some();
    }

    fn append_async(&mut self, bytes: usize) -> Result<(), Error> {
        let row = self.row(bytes);
        let log = self.log();
        self.oracle.push(vec![row.clone()]);
        match log.append_async(TypeNo(row.0), &row.1) {
            Ok(ticket) => {
                let last = self.last();
                assert_eq!(ticket.id(), Some(id(last)));
                self.tickets.push((ticket, last));
                Ok(())
            }
            Err(error) => {
                self.refused(&error, 1);
                Err(error)
            }
        }
    }

    fn wait(&mut self) -> Result<(), Error> {
        for (ticket, last) in std::mem::take(&mut self.tickets) {
            let appended = ticket.wait()?;
            assert_eq!((appended.first, appended.reached), (ticket.id(), Level::Disk));
            assert!(ticket.is_done());
            let last = usize::try_from(last).unwrap().min(self.oracle.rows.len());
            self.oracle.durable = self.oracle.durable.max(last);
            self.oracle.written = self.oracle.written.max(last);
        }
        self.wait_for_commits()
    }

    fn trim(&mut self, back: u64) -> Result<(), Error> {
        let Some(to) = self.back(back) else { return Ok(()) };
        let first = self.oracle.first_for(to.get());
        let maybe = (first > self.oracle.first).then_some(first);
        self.oracle.maybe_first = maybe.or(self.oracle.maybe_first);
        let trimmed = self.log().trim_before(to)?;
        self.oracle.maybe_first = None;
        assert_eq!(trimmed.records, first.saturating_sub(self.oracle.first));
        if trimmed.records > 0 {
            self.oracle.trimmed();
        }
        self.oracle.first = self.oracle.first.max(first);
        assert_eq!(trimmed.first, TransId::new(self.oracle.first).filter(|first| first.get() <= self.last()));
        Ok(())
    }

    fn retain(&mut self, records: u64, is_protecting: bool) -> Result<(), Error> {
        let log = self.log();
        log.reader().refresh()?;
        let consumers = if is_protecting { Consumers::Protect } else { Consumers::Ignore };
        let policy = Retention { records_max: Some(records), consumers, ..Retention::default() };
        let mut expected = (self.last() + 1).saturating_sub(records);
        let slowest =
            log.consumers()?.iter().map(|consumer| consumer.position.map_or(1, |id| id.get() + 1)).min();
        if is_protecting {
            expected = expected.min(slowest.unwrap_or(u64::MAX));
        }
        let expected = self.oracle.first_for(expected).max(self.oracle.first);
        self.oracle.maybe_first = Some(expected);
        let trimmed = log.retain(&policy)?;
        self.oracle.maybe_first = None;
        assert_eq!(trimmed.records, expected - self.oracle.first, "retention of {policy:?}");
        if trimmed.records > 0 {
            self.oracle.trimmed();
        }
        self.oracle.first = expected;
        Ok(())
    }

    fn truncate(&mut self, back: u64) -> Result<(), Error> {
        let after = self.last().saturating_sub(back);
        self.oracle.maybe_cut.push(usize::try_from(after).unwrap());
        let done = self.log().truncate_after(TransId::new(after));
        match done {
            Ok(()) => {
                assert!(after >= self.oracle.finalized && after + 1 >= self.oracle.first);
                self.oracle.maybe_cut.pop();
                self.know_commits();
                if after < self.last() {
                    self.oracle.roll_back(usize::try_from(after).unwrap());
                    self.tickets.clear();
                }
                Ok(())
            }
            Err(Error::Finalized { upto }) => {
                assert_eq!(upto.get(), self.oracle.finalized);
                assert!(after < upto.get());
                self.oracle.maybe_cut.pop();
                Ok(())
            }
            Err(Error::Trimmed { first }) => {
                assert!(after + 1 < first.get() && first.get() == self.oracle.first);
                self.oracle.maybe_cut.pop();
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    fn finalize(&mut self, back: u64) -> Result<(), Error> {
        let Some(to) = self.back(back) else { return Ok(()) };
        self.oracle.maybe_finalized = Some(to.get().max(self.oracle.finalized));
        self.log().finalize(to)?;
        self.oracle.maybe_finalized = None;
        self.oracle.finalized = self.oracle.finalized.max(to.get());
        self.oracle.settle();
        Ok(())
    }

    fn fence(&mut self) -> Result<(), Error> {
        let epoch = self.oracle.epoch + 1;
        self.oracle.maybe_epoch = Some(epoch);
        self.log().fence(epoch)?;
        self.oracle.maybe_epoch = None;
        self.oracle.settle();
        let stale = Batch::new().push(TypeNo(1), b"stale").epoch(self.oracle.epoch);
        let stale = self.log().append_batch(&stale);
        self.oracle.epoch = epoch;
        match stale {
            Err(Error::Fenced { epoch: found }) if found == epoch => Ok(()),
            Err(error) => Err(error),
            Ok(_) => panic!("a batch of epoch {} is taken after the fence {epoch}", epoch - 1),
        }
    }

    fn close(&mut self) -> Result<(), Error> {
        let log = self.log();
        self.end();
        log.close()?;
        self.restart(Ended::Closed);
        Ok(())
    }
}

mod positions;
mod reading;
