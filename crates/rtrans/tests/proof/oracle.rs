//! The log as it has to be: a plain vector, and what of it may be missing after a crash.
//! Refuses to guess: of each call that was cut short it knows the two outcomes that are right.

use std::collections::BTreeMap;

use rtrans::{Error, Log, Parameters, Reader, Record};

use crate::kit::id;

/// A record: its type and its bytes.
pub(crate) type Row = (u32, Vec<u8>);

/// How a program ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// The log was closed.
    Closed,
    /// The process was killed: what the system has, stays.
    Killed,
    /// The power was cut.
    Cut,
}

/// What the log must hold.
#[derive(Clone, Debug)]
pub(crate) struct Oracle {
    /// Record 1 first. Trimmed ones stay in here.
    pub(crate) rows: Vec<Row>,
    /// So many were acknowledged as safe from a power cut, and from a kill.
    pub(crate) durable: usize,
    pub(crate) written: usize,
    /// Records in a directory of format 1, where batches may be cut, and whole directories are trimmed.
    per_dir: Option<u64>,
    /// Lengths between these two cannot be: a batch is there or not.
    atomic: Vec<(usize, usize)>,
    pub(crate) first: u64,
    pub(crate) positions: BTreeMap<&'static str, u64>,
    pub(crate) finalized: u64,
    pub(crate) epoch: u64,
    /// Positions in another log, and with how many records they came.
    pub(crate) elsewhere: Vec<(usize, u64)>,
    /// The other outcomes of the calls that were cut short.
    pub(crate) maybe_cut: Vec<usize>,
    pub(crate) maybe_first: Option<u64>,
    pub(crate) maybe_positions: Vec<(&'static str, u64)>,
    pub(crate) maybe_finalized: Option<u64>,
    pub(crate) maybe_epoch: Option<u64>,
    may_keep_elsewhere: Vec<u64>,
}

impl Oracle {
    pub(crate) fn new(parameters: Option<Parameters>) -> Oracle {
        let of_1 = parameters.filter(|parameters| parameters.format_version == 1);
        Oracle {
            per_dir: of_1.map(|parameters| {
                u64::from(parameters.index_num_per_file) * u64::from(parameters.index_file_num_per_dir)
            }),
            rows: Vec::new(),
            durable: 0,
            written: 0,
            atomic: Vec::new(),
            first: 1,
            positions: BTreeMap::new(),
            finalized: 0,
            epoch: 0,
            elsewhere: Vec::new(),
            maybe_cut: Vec::new(),
            maybe_first: None,
            maybe_positions: Vec::new(),
            maybe_finalized: None,
            maybe_epoch: None,
            may_keep_elsewhere: Vec::new(),
        }
    }

    pub(crate) fn last(&self) -> u64 {
        self.rows.len() as u64
    }

    /// Records that are put in one step.
    pub(crate) fn push(&mut self, rows: Vec<Row>) {
        let before = self.rows.len();
        self.rows.extend(rows);
        if !self.is_format_1() {
            self.atomic.push((before, self.rows.len()));
        }
    }

    pub(crate) fn is_format_1(&self) -> bool {
        self.per_dir.is_some()
    }

    /// Where a log begins after a trim before this record.
    pub(crate) fn first_for(&self, first: u64) -> u64 {
        self.per_dir.map_or(first, |per_dir| first.saturating_sub(1) / per_dir * per_dir + 1)
    }

    /// What a trim makes of the records before it: it is durable in either format, they only in format 2.
    pub(crate) fn trimmed(&mut self) {
        if self.is_format_1() {
            self.written = self.rows.len();
        } else {
            self.settle();
        }
    }

    /// Takes back what was refused.
    pub(crate) fn pop(&mut self, count: usize) {
        let left = self.rows.len() - count;
        self.cut(left);
    }

    /// All that was put in so far is safe from a power cut.
    pub(crate) fn settle(&mut self) {
        (self.durable, self.written) = (self.rows.len(), self.rows.len());
        self.atomic.clear();
    }

    /// The log was cut behind record `after`.
    pub(crate) fn roll_back(&mut self, after: usize) {
        self.cut(after);
        self.keep_elsewhere(after);
        self.settle();
        for position in self.positions.values_mut() {
            *position = (*position).min(after as u64);
        }
    }

    fn cut(&mut self, left: usize) {
        self.rows.truncate(left);
        self.durable = self.durable.min(left);
        self.written = self.written.min(left);
        self.atomic.retain(|(_, end)| *end <= left);
    }

    /// A rollback does not take positions in other logs back.
    fn keep_elsewhere(&mut self, after: usize) {
        for (count, _) in &mut self.elsewhere {
            *count = (*count).min(after);
        }
    }

    /// Takes an opened log for what it is, if it is right; what was uncertain is known then.
    pub(crate) fn accept(&mut self, log: &Log, ended: Ended) {
        let recovery = log.recovery();
        assert!(recovery.damaged.is_empty(), "nothing was damaged, but: {recovery}");
        assert!(recovery.clamped.is_empty(), "no position was ahead, but: {recovery}");
        assert!(ended != Ended::Closed || recovery.is_clean(), "it was closed, but: {recovery}");
        let found = log.last().map_or(0, rtrans::TransId::get);
        let found = if found == 0 { log.first().map_or(self.trimmed_to_nothing(), |_| 0) } else { found };
        let found = usize::try_from(found).unwrap();
        self.accept_length(found, ended);
        self.accept_first(log);
        self.compare(log.reader(), found);
        self.accept_memory(log);
        self.settle();
    }

    /// The last record of a log that has none left because all were trimmed.
    fn trimmed_to_nothing(&self) -> u64 {
        let first = self.maybe_first.unwrap_or(self.first).max(self.first);
        if first > self.last() { self.last() } else { 0 }
    }

    fn accept_length(&mut self, found: usize, ended: Ended) {
        let least = match ended {
            Ended::Closed => self.rows.len(),
            Ended::Killed => self.written,
            Ended::Cut => self.durable,
        };
        // A rollback of format 1 goes file by file.
        let is_on_the_way = |after: &usize| self.is_format_1() && (*after..=self.rows.len()).contains(&found);
        let is_cut = self.maybe_cut.contains(&found) || self.maybe_cut.iter().any(is_on_the_way);
        let is_prefix = (least..=self.rows.len()).contains(&found);
        assert!(
            is_cut || is_prefix,
            "{found} records are there, but {least} were safe of {} (cuts: {:?})",
            self.rows.len(),
            self.maybe_cut
        );
        let broken = self.atomic.iter().find(|(start, end)| *start < found && found < *end);
        assert!(is_cut || broken.is_none(), "{found} records end within the batch {broken:?}");
        if is_cut && !is_prefix {
            for position in self.positions.values_mut() {
                *position = (*position).min(found as u64);
            }
        }
        if is_cut {
            self.may_keep_elsewhere = self.elsewhere.iter().map(|(_, position)| *position).collect();
            // In format 1 positions are set back before anything goes.
            let lengths = self.maybe_cut.iter().filter(|_| self.per_dir.is_some()).chain([&found]);
            let clamped = lengths.flat_map(|length| {
                self.positions.iter().map(|(name, position)| (*name, (*position).min(*length as u64)))
            });
            self.maybe_positions.extend(clamped.collect::<Vec<_>>());
        }
        self.maybe_cut.clear();
        self.cut(found);
    }

    fn accept_first(&mut self, log: &Log) {
        let firsts = [Some(self.first), self.maybe_first.take()];
        if let Some(first) = log.first() {
            // A trim of format 1 goes directory by directory.
            let is_on_the_way = self.is_format_1()
                && self.first_for(first.get()) == first.get()
                && (Some(self.first)..=firsts[1]).contains(&Some(first.get()));
            assert!(
                is_on_the_way || firsts.contains(&Some(first.get())),
                "the log begins at {first}, not at one of {firsts:?}"
            );
            self.first = first.get();
        } else {
            let is_empty = firsts.into_iter().flatten().any(|first| first > self.last());
            assert!(is_empty, "the log is empty, but should begin at {firsts:?} and end at {}", self.last());
            self.first = firsts.into_iter().flatten().max().unwrap_or(1);
        }
    }

    fn accept_memory(&mut self, log: &Log) {
        let maybe = std::mem::take(&mut self.maybe_positions);
        let consumers = log.consumers().unwrap();
        for (name, position) in &mut self.positions {
            let found = consumers.iter().find(|consumer| consumer.name == *name);
            let found = found.and_then(|consumer| consumer.position).map_or(0, rtrans::TransId::get);
            let is_right = found == *position || maybe.contains(&(*name, found));
            assert!(is_right, "consumer {name} is at {found}, but was at {position} (or {maybe:?})");
            assert!(found <= self.rows.len() as u64, "consumer {name} is ahead");
            *position = found;
        }
        let finalized = log.finalized().unwrap().map_or(0, rtrans::TransId::get);
        let marks = [Some(self.finalized), self.maybe_finalized.take()];
        assert!(marks.contains(&Some(finalized)), "final up to {finalized}, not one of {marks:?}");
        self.finalized = finalized;
        if let Some(epoch) = self.maybe_epoch.take() {
            // Only a look with a batch of the lower epoch would tell; the higher one is set again instead.
            log.fence(epoch.max(self.epoch)).unwrap();
            self.epoch = epoch.max(self.epoch);
        }
        let elsewhere = log.position("elsewhere").unwrap().map_or(0, rtrans::TransId::get);
        let came = |(count, _): &&(usize, u64)| *count <= self.rows.len();
        let expected = self.elsewhere.iter().rfind(came).map_or(0, |(_, position)| *position);
        let is_right =
            elsewhere == expected || std::mem::take(&mut self.may_keep_elsewhere).contains(&elsewhere);
        assert!(
            is_right,
            "the position in the other log is {elsewhere}, but {expected} came with the batches"
        );
        self.elsewhere = vec![(0, elsewhere)];
    }

    /// Compares everything that a reader sees with the first `count` records.
    pub(crate) fn compare(&self, reader: &Reader, count: usize) {
        self.compare_all(reader.scan(..), count);
        if let Some(last) = reader.last() {
            assert_eq!(last.get(), count as u64);
            self.compare_one(&reader.read(last).unwrap().unwrap());
            assert_eq!(reader.read(last.next()).unwrap(), None);
        }
        if self.first > 1 && self.first <= count as u64 {
            assert!(matches!(reader.read(id(self.first - 1)), Err(Error::Trimmed { .. })));
        }
    }

    /// Compares the records of a scan with the first `count` ones.
    pub(crate) fn compare_all(&self, scan: impl Iterator<Item = Result<Record, Error>>, count: usize) {
        let mut next = self.first;
        for record in scan {
            let record = record.unwrap_or_else(|error| panic!("a scan fails before record {next}: {error}"));
            assert_eq!(record.id.get(), next, "the scan has a hole or a repetition");
            self.compare_one(&record);
            next += 1;
        }
        assert_eq!(next, (count as u64 + 1).max(self.first), "the scan ends too early or too late");
    }

    pub(crate) fn compare_one(&self, record: &Record) {
        let row = usize::try_from(record.id.get() - 1).ok().and_then(|index| self.rows.get(index));
        let Some((type_no, bytes)) = row else { panic!("record {} was never appended", record.id) };
        assert!(
            record.bytes == *bytes && record.type_no.0 == *type_no,
            "record {} has other bytes",
            record.id
        );
    }
}
