//! What a log keeps, and what it gives up: trims, retention, rollbacks, marks and fences.
//! Refuses to roll back what is final, and to let go of a record that a protected consumer has not seen.

use std::time::Duration;

use crate::control::Control;
use crate::error::Error;
use crate::ids::TransId;
use crate::log::Log;
use crate::outgoing::Outgoing;
use crate::store::{Shelf, Store};

/// What a log keeps at most. Each bound that is set holds; records go from the oldest on, in whole files.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Retention {
    /// Bytes of data files, about: as many files as are as large as files usually are. Format 2 only.
    pub bytes_max: Option<u64>,
    /// Age of records, by the writer's clock. Format 2 only.
    pub age_max: Option<Duration>,
    /// Records.
    pub records_max: Option<u64>,
    /// Whether records stay that a consumer has not seen.
    pub consumers: Consumers,
}

/// Whether consumers hold records back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Consumers {
    /// What a consumer has not seen stays.
    #[default]
    Protect,
    /// It goes all the same; the consumer is told.
    Ignore,
}

/// What a trim did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trimmed {
    /// The first record that is there now; `None` when there is none.
    pub first: Option<TransId>,
    /// How many records went.
    pub records: u64,
}

/// A consumer that holds records back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Blocker {
    /// Its name.
    pub consumer: String,
    /// The last record that it is done with.
    pub position: Option<TransId>,
    /// How many records it holds back.
    pub records: u64,
}

impl Log {
    /// Removes records below `first`: they can no longer be read, and their files go once all records in them have.
    ///
    /// The commit point is the sync of the new mark; in format 1 it is the removal of whole directories, which may leave
    /// more than was asked for.
    ///
    /// # Errors
    /// [`Error::BeyondEnd`] when `first` lies behind the end; as of [`Log::append`].
    pub fn trim_before(&self, first: TransId) -> Result<Trimmed, Error> {
        let (before, after) = self.group_commit().visit(|store| {
            let before = self.reader().shelf().bounds();
            // Looked at while nothing can be rolled back: a mark beyond the end would hide what is appended later.
            if first.get() > before.1 {
                return Err(Error::BeyondEnd { id: first, last: TransId::new(before.1.saturating_sub(1)) });
            }
            if first.get() > before.0 {
                if store.has_controls() {
                    note(store, Control::First(first.get()))?;
                }
                store.drop_before(first.get())?;
            }
            Ok((before, self.reader().shelf().bounds()))
        })?;
        Ok(Trimmed {
            first: TransId::new(after.0).filter(|_| after.0 < after.1),
            records: after.0.saturating_sub(before.0),
        })
    }

    /// Removes what a policy does not keep.
    ///
    /// # Errors
    /// [`Error::Unsupported`] for an age or a size in format 1; as of [`Log::trim_before`].
    pub fn retain(&self, policy: &Retention) -> Result<Trimmed, Error> {
        let (first, next) = self.reader().shelf().bounds();
        let mut keep_from = first;
        if let Some(records_max) = policy.records_max {
            keep_from = keep_from.max(next.saturating_sub(records_max));
        }
        if let Some(age_max) = policy.age_max {
            let since = self.group_commit().wall().checked_sub(age_max);
            if let Some(since) = since {
                keep_from = keep_from.max(self.seek_time(since)?.map_or(next, TransId::get));
            }
        }
        if let Some(bytes_max) = policy.bytes_max {
            keep_from = keep_from.max(self.first_within(bytes_max)?);
        }
        if policy.consumers == Consumers::Protect {
            let slowest =
                self.consumers()?.into_iter().map(|consumer| TransId::after(consumer.position)).min();
            keep_from = keep_from.min(slowest.map_or(u64::MAX, TransId::get)).max(first);
        }
        match TransId::new(keep_from) {
            Some(first) => self.trim_before(first),
            None => Ok(Trimmed { first: self.first(), records: 0 }),
        }
    }

    /// The consumers that have not seen all records below `first`.
    ///
    /// # Errors
    /// Those of reading positions.
    pub fn who_blocks(&self, first: TransId) -> Result<Vec<Blocker>, Error> {
        let behind =
            self.consumers()?.into_iter().filter(|consumer| TransId::after(consumer.position) < first);
        Ok(behind
            .map(|consumer| Blocker {
                records: first.get().saturating_sub(TransId::after(consumer.position).get()),
                consumer: consumer.name,
                position: consumer.position,
            })
            .collect())
    }

    /// Cuts the log behind a record, durably; `None` cuts everything. Followers are told, positions beyond are set back.
    ///
    /// # Errors
    /// [`Error::Finalized`] below the mark, [`Error::Trimmed`] below the first record, [`Error::BeyondEnd`].
    pub fn truncate_after(&self, last: Option<TransId>) -> Result<(), Error> {
        let after = last.map_or(0, TransId::get);
        self.group_commit().visit(|store| {
            let (first, next) = self.reader().shelf().bounds();
            if let Some(upto) = TransId::new(store.memory().finalized).filter(|upto| after < upto.get()) {
                return Err(Error::Finalized { upto });
            }
            if let Some(id) = last.filter(|id| id.get() >= next) {
                return Err(Error::BeyondEnd { id, last: TransId::new(next.saturating_sub(1)) });
            }
            if let Some(first) = TransId::new(first).filter(|first| after.saturating_add(1) < first.get()) {
                return Err(Error::Trimmed { first });
            }
            if after.saturating_add(1) >= next {
                return Ok(());
            }
            store.roll_back(after)
        })
    }

    /// Marks records up to this one as final, durably: they can no longer be rolled back. The mark never goes down.
    ///
    /// # Errors
    /// [`Error::BeyondEnd`]; [`Error::Unsupported`] in format 1.
    pub fn finalize(&self, id: TransId) -> Result<(), Error> {
        self.expect_controls()?;
        self.group_commit().visit(|store| {
            // Looked at while nothing can be rolled back: a mark beyond the end would make records final that come later.
            let last = TransId::new(store.next().saturating_sub(1));
            if Some(id) > last {
                return Err(Error::BeyondEnd { id, last });
            }
            note(store, Control::Finalized(id.get()))
        })
    }

    /// The last record that is final.
    ///
    /// # Errors
    /// Those of a log that is closed.
    pub fn finalized(&self) -> Result<Option<TransId>, Error> {
        self.group_commit().inspect(|store| TransId::new(store.memory().finalized))
    }

    /// Refuses batches of lower epochs from now on, durably, see [`Batch::epoch`](crate::Batch::epoch).
    ///
    /// # Errors
    /// [`Error::Fenced`] when the log is at a higher epoch; [`Error::Unsupported`] in format 1.
    pub fn fence(&self, epoch: u64) -> Result<(), Error> {
        self.expect_controls()?;
        self.group_commit().visit(|store| {
            let found = store.memory().epoch;
            if found > epoch {
                return Err(Error::Fenced { epoch: found });
            }
            note(store, Control::Epoch(epoch))
        })
    }

    /// Writes a control by itself, durably.
    pub(crate) fn note(&self, control: Control) -> Result<(), Error> {
        self.group_commit().visit(|store| note(store, control))
    }

    fn has_controls(&self) -> Result<bool, Error> {
        self.group_commit().inspect(Store::has_controls)
    }

    pub(crate) fn expect_controls(&self) -> Result<(), Error> {
        if self.has_controls()? {
            return Ok(());
        }
        Err(Error::Unsupported {
            what: "format 1 has no place for marks, epochs and positions in other logs",
            instead: "import the log into one of format 2",
        })
    }

    /// The first record of the files that hold the last bytes.
    fn first_within(&self, bytes_max: u64) -> Result<u64, Error> {
        let Shelf::Two(files_in_line) = self.reader().shelf() else {
            return Err(Error::Unsupported {
                what: "retention by size needs format 2",
                instead: "limit the number of records, or import the log into one of format 2",
            });
        };
        let bytes = files_in_line.parameters.max_size_data_file;
        let files = usize::try_from(bytes_max / bytes).unwrap_or(usize::MAX).max(1);
        let line = files_in_line.line();
        let first = line.len().checked_sub(files).and_then(|index| line.get(index));
        Ok(first.map_or(0, |slot| slot.head.first))
    }
}

/// Writes a control by itself, durably. On a full disk it takes the room that is kept for it.
fn note(store: &mut Store, control: Control) -> Result<(), Error> {
    let mut outgoing = Outgoing::new(store.next(), Vec::new(), Vec::new());
    outgoing.controls.push(control);
    store.write(&mut outgoing)?;
    store.sync()
}
