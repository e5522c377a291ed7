//! Where the next chunk ends: a look ahead over the final records of a log.
//! Refuses to look at a record twice while nothing that it builds on has changed.

use std::collections::VecDeque;
use std::time::SystemTime;

use rtrans::{Reader, RecordBatch, RecordRef, TransId};

use crate::cut::Pending;
use crate::error::Error;
use crate::plan::{Finality, Numbering, Plan};
use crate::sealing::{Behind, digest, record_digest, trimmed};
use crate::walk::{Walk, document_to_walk};

/// How far the look ahead has come.
#[derive(Clone, Debug)]
pub(crate) struct Scout {
    /// The first record of the next chunk: what all else builds on.
    first: TransId,
    walk: Walk,
    /// The next record to look at.
    next: TransId,
    /// What lies in blocks that are whole and final.
    whole: Pending,
    /// The last record of them.
    whole_last: Option<TransId>,
    /// The same with the block that is looked at, which may go on.
    open: Pending,
    open_block: Option<(u64, TransId)>,
    /// Blocks that were seen whole, and are final once so many follow: block and last record, with what lies before.
    waiting: VecDeque<(u64, TransId, Pending)>,
    /// The last record that was looked at.
    seen: Option<(TransId, Seen)>,
}

/// By what a record is known again, also when one with the same bytes took its place.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Seen {
    digest: String,
    appended_at: Option<SystemTime>,
}

impl Seen {
    fn of(record: RecordRef<'_>) -> Seen {
        let digest = digest(record.id, record.type_no, record.bytes);
        Seen { digest, appended_at: record.appended_at }
    }
}

impl Scout {
    pub(crate) fn new(plan: &Plan, behind: &Behind<'_>) -> Scout {
        Scout {
            first: behind.next(),
            walk: behind.walk(plan),
            next: behind.next(),
            whole: Pending::default(),
            whole_last: None,
            open: Pending::default(),
            open_block: None,
            waiting: VecDeque::new(),
            seen: None,
        }
    }

    /// Whether it still builds on what is there: it began behind what is sealed now, and the last record that it saw is
    /// still the same, so that nothing before was rolled back either.
    pub(crate) fn is_on(&self, first: TransId, log: &Reader) -> bool {
        let seen = self.seen.as_ref();
        let is_there = |(id, mark): &(TransId, Seen)| match log.read(*id) {
            Ok(Some(record)) => {
                let found = Seen { digest: record_digest(&record), appended_at: record.appended_at };
                found == *mark
            }
            _ => false,
        };
        self.first == first && seen.is_none_or(is_there)
    }

    /// What waits to be sealed, as far as it is whole and final.
    pub(crate) fn pending(&self) -> &Pending {
        &self.whole
    }

    /// Looks on until a chunk is full or the log ends; the last record of the next chunk, if there is one.
    pub(crate) fn look(
        &mut self,
        plan: &Plan,
        log: &Reader,
        mark: Option<TransId>,
        now: SystemTime,
    ) -> Result<Option<TransId>, Error> {
        self.settle(plan, mark);
        if !plan.cut.is_full(&self.whole) {
            let first = self.first;
            for batch in log.batches(self.next..) {
                let batch = batch.map_err(|error| trimmed(first, error))?;
                if !self.take(plan, &batch, mark)? {
                    break;
                }
            }
        }
        let is_chunk = plan.cut.is_full(&self.whole) || plan.cut.is_due(&self.whole, now);
        Ok(self.whole_last.filter(|_| is_chunk))
    }

    /// Looks at the records of a batch; whether those behind it are to be looked at too.
    fn take(&mut self, plan: &Plan, batch: &RecordBatch, mark: Option<TransId>) -> Result<bool, Error> {
        let (mut seen, mut goes_on) = (None, true);
        for record in batch.records() {
            if plan.finality == Finality::Mark && Some(record.id) > mark {
                goes_on = false;
                break;
            }
            self.add(plan, record)?;
            self.settle(plan, mark);
            if plan.cut.is_full(&self.whole) {
                goes_on = false;
                break;
            }
            seen = Some(record);
        }
        if let Some(record) = seen {
            self.seen = Some((record.id, Seen::of(record)));
        }
        Ok(goes_on)
    }

    fn add(&mut self, plan: &Plan, record: RecordRef<'_>) -> Result<(), Error> {
        let document = document_to_walk(plan, record.type_no.0, record.bytes);
        let placed = self.walk.step(plan, record.id, record.type_no.0, &document)?;
        if let Some((block, last)) = self.open_block.filter(|(block, _)| *block != placed.block) {
            self.waiting.push_back((block, last, self.open));
        }
        self.open.add(record.bytes.len(), record.appended_at);
        self.open_block = Some((placed.block, record.id));
        self.next = record.id.next();
        Ok(())
    }

    /// Moves blocks that became final to those that may be sealed, until they fill a chunk.
    fn settle(&mut self, plan: &Plan, mark: Option<TransId>) {
        let Some((newest, newest_last)) = self.open_block else { return };
        let is_final = |block: u64, last: TransId| match plan.finality {
            Finality::Lag(lag) => block.saturating_add(lag) <= newest,
            Finality::Mark => Some(last) <= mark,
        };
        while !plan.cut.is_full(&self.whole)
            && let Some((block, last, pending)) = self.waiting.front().copied()
            && is_final(block, last)
        {
            (self.whole, self.whole_last) = (pending, Some(last));
            self.waiting.pop_front();
        }
        // The newest block is whole when each record is one, or when the mark says so: marks are put behind blocks.
        let is_whole = match (&plan.numbering, plan.finality) {
            (Numbering::OnePerBlock, Finality::Lag(lag)) => lag == 0,
            (_, Finality::Mark) => mark == Some(newest_last) || plan.numbering == Numbering::OnePerBlock,
            (Numbering::Fields(_), Finality::Lag(_)) => false,
        };
        if is_whole
            && self.waiting.is_empty()
            && !plan.cut.is_full(&self.whole)
            && is_final(newest, newest_last)
        {
            (self.whole, self.whole_last) = (self.open, Some(newest_last));
        }
    }
}
