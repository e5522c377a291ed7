//! The copy in the log of what a hold fetches from a store: kept until the hold has the chunks, by being a consumer of the log.
//! Refuses to pass over a chunk that is not here yet, or could not be had.

use std::path::Path;

use rtrans::{Consumer, Reader, TransId};

use crate::exit::{Exit, Failure, Outcome};

/// A consumer whose position is the last record that is here as a chunk, with all before it that are wanted.
#[derive(Debug)]
pub(crate) struct HotCopy {
    consumer: Consumer,
    /// The last record that was sealed, as far as the store was read.
    sealed: u64,
    /// The first record of the chunks that could not be had.
    lost: Option<u64>,
}

impl HotCopy {
    /// Becomes the log's consumer of this name. From here on the log is not trimmed behind what is here.
    pub(crate) fn open(log: &Path, name: &str) -> Outcome<HotCopy> {
        let mut consumer = Reader::open(log)?.consumer(name)?;
        if consumer.position().is_none() {
            // Only who has a position is waited for.
            consumer.reset(None)?;
        }
        Ok(HotCopy { consumer, sealed: 0, lost: None })
    }

    /// Chunks up to this record are sealed.
    pub(crate) fn seen(&mut self, last_transid: u64) {
        self.sealed = self.sealed.max(last_transid);
    }

    /// A chunk with this first record could not be had: what is in the log is all there is.
    pub(crate) fn lose(&mut self, first_transid: u64) {
        self.lost = Some(self.lost.map_or(first_transid, |lost| lost.min(first_transid)));
    }

    /// Lets go of what is here, when chunks with these first records are still waited for.
    pub(crate) fn let_go(&mut self, waiting: impl Iterator<Item = u64>) -> Outcome<()> {
        let upto = held_upto(self.sealed, waiting.chain(self.lost));
        match TransId::new(upto).filter(|upto| Some(*upto) > self.consumer.position()) {
            Some(upto) => self.consumer.commit(upto).map_err(|error| match error {
                rtrans::Error::BeyondEnd { .. } => {
                    Failure::new(Exit::Error, format!("the store holds what the log does not: {error}"))
                        .hint("name with --log the log that is sealed into this store")
                }
                other => other.into(),
            }),
            None => Ok(()),
        }
    }
}

/// The last record before the first one that is still needed.
fn held_upto(sealed: u64, needed: impl Iterator<Item = u64>) -> u64 {
    needed.map(|first| first.saturating_sub(1)).min().map_or(sealed, |before| before.min(sealed))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_needed_first_bounds_what_is_let_go() {
        assert_eq!(held_upto(30, [].into_iter()), 30);
        assert_eq!(held_upto(30, [21, 11].into_iter()), 10);
        assert_eq!(held_upto(30, [1].into_iter()), 0);
        assert_eq!(held_upto(30, [51].into_iter()), 30);
    }
}
