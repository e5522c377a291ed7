//! `Reading`: the chunks of a dataset and the head of its log as one line, while both go on.
//! Refuses seams: a record that moves from the log into a chunk meanwhile is given once.

use std::collections::VecDeque;
use std::ops::Range;
use std::time::Duration;

use rtrans::{Follow, Reader, Record, TransId};

use crate::chain::ManifestChain;
use crate::error::Error;
use crate::line::{Covered, Line};
use crate::plan::{Numbering, Plan};
use crate::rows::ChunkRows;
use crate::store::Store;
use crate::tables::{Row, Tables};
use crate::walk::{Walk, document};

/// Reads a range of blocks: from chunks as far as they go, then from the log. What is sealed, trimmed or compacted
/// meanwhile is found again where it lies now.
///
/// The place in the line is the id of the next record, which chunks and log share: so nothing is given twice, and nothing
/// is passed over without being told.
pub struct Reading {
    chain: ManifestChain,
    head: Option<(Plan, Reader)>,
    wanted: Range<u64>,
    /// The first record that was not given yet.
    next: TransId,
    phase: Phase,
    covered: Covered,
}

enum Phase {
    /// To be looked up: a chunk, or the log.
    Between,
    /// In a chunk, with its last record.
    Chunk(Box<ChunkRows>, TransId),
    /// In the log.
    Log(Box<Head>),
    Done,
}

struct Head {
    follow: Follow,
    walk: Walk,
    rows: VecDeque<Line>,
}

impl std::fmt::Debug for Reading {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reading")
            .field("wanted", &self.wanted)
            .field("next", &self.next)
            .finish_non_exhaustive()
    }
}

impl Reading {
    /// Reads blocks from the chunks in a store; and behind them from a log, if it is given with the plan by which it is
    /// sealed.
    pub fn new(store: &Store, head: Option<(Plan, Reader)>, blocks: Range<u64>) -> Reading {
        let phase = if blocks.is_empty() { Phase::Done } else { Phase::Between };
        let chain = ManifestChain::of(store);
        Reading { chain, head, wanted: blocks, next: TransId::FIRST, phase, covered: Covered::default() }
    }

    /// What was covered until now.
    pub fn covered(&self) -> &Covered {
        &self.covered
    }

    /// Whether all blocks of the range were given: nothing more will come.
    pub fn is_done(&self) -> bool {
        matches!(self.phase, Phase::Done)
    }

    /// The next line; `None` when there is none yet, also not within this time, and behind the last.
    ///
    /// # Errors
    /// [`Error::Damaged`] when a chunk is not what its manifest says; [`Error::Store`], [`Error::Log`]. After a transient
    /// one the call may be repeated: the line goes on where it was.
    pub fn next_within(&mut self, timeout: Duration) -> Result<Option<Line>, Error> {
        loop {
            let line = match &mut self.phase {
                Phase::Done => return Ok(None),
                Phase::Between => {
                    if self.look_up()? {
                        continue;
                    }
                    return Ok(None);
                }
                Phase::Chunk(rows, last) => {
                    let last = *last;
                    let Some(line) = rows.next()? else {
                        self.next = last.next();
                        self.phase = Phase::Between;
                        continue;
                    };
                    line
                }
                Phase::Log(_) => match self.next_of_log(timeout)? {
                    Some(line) => line,
                    None if matches!(self.phase, Phase::Between) => continue,
                    None => return Ok(None),
                },
            };
            let Some(block) = line.block() else { return Ok(Some(line)) };
            if block >= self.wanted.end {
                self.phase = Phase::Done;
                return Ok(None);
            }
            // A chunk that took the place of others may begin before the next record.
            let is_new = !matches!(self.phase, Phase::Chunk(..)) || line.id() >= Some(self.next);
            if block >= self.wanted.start && is_new {
                self.covered.add(&self.wanted, block);
                return Ok(Some(line));
            }
        }
    }

    /// Finds where the next record lies: `false` when it lies nowhere yet.
    fn look_up(&mut self) -> Result<bool, Error> {
        self.chain.refresh()?;
        let (start, next) = (self.wanted.start, self.next.get());
        let live = self.chain.live();
        let chunk = live.into_iter().find(|chunk| chunk.last_transid >= next && chunk.last_block >= start);
        if let Some(chunk) = chunk {
            let Some(last) = TransId::new(chunk.last_transid) else { return Ok(false) };
            if chunk.first_block >= self.wanted.end {
                self.phase = Phase::Done;
                return Ok(false);
            }
            let rows = ChunkRows::open(self.chain.store(), chunk)?;
            self.phase = Phase::Chunk(Box::new(rows), last);
            return Ok(true);
        }
        let sealed = self.chain.head();
        if let Some(head) = sealed.and_then(|head| TransId::new(head.last_transid)) {
            self.next = self.next.max(head.next());
        }
        let Some((plan, log)) = &self.head else { return Ok(false) };
        if plan.numbering == Numbering::OnePerBlock {
            // The record of the first block that is wanted, as it is known.
            let wanted = self.wanted.start.saturating_sub(plan.first_block).saturating_add(1);
            self.next = self.next.max(TransId::new(wanted).unwrap_or(TransId::FIRST));
        }
        log.refresh()?;
        let least = sealed.map_or(plan.first_block, |head| head.last_block.saturating_add(1));
        // Links are for the sealer to judge: a reader gives what the log holds.
        let plan_walk = Walk::new(least, None);
        let head = Head { follow: log.follow(self.next), walk: plan_walk, rows: VecDeque::new() };
        self.phase = Phase::Log(Box::new(head));
        Ok(true)
    }

    fn next_of_log(&mut self, timeout: Duration) -> Result<Option<Line>, Error> {
        let (Phase::Log(head), Some((plan, _))) = (&mut self.phase, &self.head) else { return Ok(None) };
        loop {
            if let Some(line) = head.rows.pop_front() {
                return Ok(Some(line));
            }
            match head.follow.next_within(timeout) {
                Ok(None) => return Ok(None),
                Ok(Some(record)) => {
                    let id = record.id;
                    match rows_of(plan, &mut head.walk, record) {
                        Ok(rows) => head.rows.extend(rows),
                        Err(error) => {
                            // The next call begins with this record again.
                            self.phase = Phase::Between;
                            return Err(error);
                        }
                    }
                    // Its rows are waiting: from here on it counts as given.
                    self.next = id.next();
                }
                Err(rtrans::Error::Trimmed { first }) => return self.trimmed(first).map(|()| None),
                Err(rtrans::Error::RolledBack { after }) => return Ok(self.rolled_back(after)),
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// The log begins later than the next record: it lies in a chunk by now, or is lost.
    fn trimmed(&mut self, first: TransId) -> Result<(), Error> {
        self.chain.refresh()?;
        let sealed = self.chain.head().map_or(0, |head| head.last_transid);
        if sealed < self.next.get() {
            if let Some(last) = first.previous().filter(|last| *last >= self.next) {
                self.covered.lost.push((self.next, last));
            }
            self.next = self.next.max(first);
        }
        self.phase = Phase::Between;
        Ok(())
    }

    fn rolled_back(&mut self, after: Option<TransId>) -> Option<Line> {
        let again = TransId::after(after);
        // What was not given yet needs no taking back.
        let is_given = self.next > again && self.covered.lines > 0;
        self.next = self.next.min(again);
        self.phase = Phase::Between;
        if let Some((plan, log)) = &self.head {
            let from = match (&plan.numbering, after) {
                (Numbering::OnePerBlock, _) => plan.first_block.saturating_add(again.get().saturating_sub(1)),
                (Numbering::Fields(_), Some(after)) => block_after(plan, log, after),
                (Numbering::Fields(_), None) => plan.first_block,
            };
            self.covered.take_back(from);
        }
        is_given.then_some(Line::RolledBack { after })
    }
}

/// The block behind that of a record; 0 when it cannot be read any more.
fn block_after(plan: &Plan, log: &Reader, id: TransId) -> u64 {
    let Ok(Some(record)) = log.read(id) else { return 0 };
    let document = document(plan, record.type_no.0, &record.bytes);
    let placed = Walk::new(0, None).step_unlinked(plan, id, &document);
    placed.map_or(0, |placed| placed.block.saturating_add(1))
}

/// A record of the log as the lines that a chunk with it would give.
fn rows_of(plan: &Plan, walk: &mut Walk, record: Record) -> Result<Vec<Line>, Error> {
    let document = document(plan, record.type_no.0, &record.bytes);
    let placed = walk.step_unlinked(plan, record.id, &document)?;
    if plan.raw_table().is_some() {
        return Ok(vec![Line::Record { block: placed.block, record }]);
    }
    let mut tables = Tables::new(plan);
    let (transid, type_no, appended_at) = (record.id.get(), record.type_no.0, record.appended_at);
    tables.push(Row {
        placed: &placed,
        transid,
        type_no,
        appended_at,
        bytes: &record.bytes,
        document: &document,
    });
    let mut rows = ChunkRows::of(tables.finish()?);
    let mut lines = Vec::new();
    while let Some(line) = rows.next()? {
        lines.push(line);
    }
    Ok(lines)
}
