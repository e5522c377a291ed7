//! The copy in the log of what a hold fetches from a store: kept until the hold has the chunks, by being a consumer of the log.
//! Refuses to pass over a chunk that is not here yet or could not be had, and to be the consumer of another log.

use std::path::Path;

use rtrans::{Consumer, Reader, TransId};
use sealer::Manifest;

use crate::commands::log::of_consumer;
use crate::exit::{Exit, Failure, Outcome};

/// A consumer whose position is the last record that is here as a chunk, with all before it that are wanted.
#[derive(Debug)]
pub(crate) struct HotCopy {
    log: Reader,
    consumer: Consumer,
    /// The chunk with the last record that was sealed, as far as the store was read.
    sealed: Option<Manifest>,
    /// Whether this log was found to be the one that is sealed there.
    is_compared: bool,
    /// The first record of the chunks that could not be had.
    lost: Option<u64>,
}

impl HotCopy {
    /// Becomes the log's consumer of this name. From here on the log is not trimmed behind what is here.
    pub(crate) fn open(log: &Path, name: &str) -> Outcome<HotCopy> {
        let log = Reader::open(log)?;
        let mut consumer = log.consumer(name).map_err(|error| of_consumer(name, error))?;
        if consumer.position().is_none() {
            // Only who has a position is waited for.
            consumer.reset(None)?;
        }
        Ok(HotCopy { log, consumer, sealed: None, is_compared: false, lost: None })
    }

    /// This chunk is sealed.
    pub(crate) fn seen(&mut self, chunk: &Manifest) {
        if self.sealed.as_ref().is_none_or(|sealed| sealed.last_transid < chunk.last_transid) {
            self.sealed = Some(chunk.clone());
        }
    }

    /// A chunk with this first record could not be had: what is in the log is all there is.
    pub(crate) fn lose(&mut self, first_transid: u64) {
        self.lost = Some(self.lost.map_or(first_transid, |lost| lost.min(first_transid)));
    }

    /// Lets go of what is here, when chunks with these first records are still waited for.
    pub(crate) fn let_go(&mut self, waiting: impl Iterator<Item = u64>) -> Outcome<()> {
        let Some(sealed) = &self.sealed else { return Ok(()) };
        let upto = held_upto(sealed.last_transid, waiting.chain(self.lost));
        let Some(upto) = TransId::new(upto).filter(|upto| Some(*upto) > self.consumer.position()) else {
            return Ok(());
        };
        if !self.is_compared {
            self.log.refresh()?;
            sealer::compare_log(sealed, &self.log).map_err(|error| match error {
                sealer::Error::Halted(halt) => Failure::new(Exit::Error, format!("another log: {halt}"))
                    .hint("name with --log the log that is sealed into this store"),
                other => other.into(),
            })?;
            self.is_compared = true;
        }
        Ok(self.consumer.commit(upto)?)
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
