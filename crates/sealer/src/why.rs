//! `why`: what a sealer would do next, and what stops it, without being one.
//! Refuses to change anything: it reads the log and the store, also while a sealer runs.

use host::Clock;
use rtrans::{Reader, TransId};

use crate::agreement::agree;
use crate::chain::ManifestChain;
use crate::cut::Pending;
use crate::error::{Error, Halt};
use crate::manifest::Manifest;
use crate::plan::Plan;
use crate::scout::Scout;
use crate::sealing::Behind;
use crate::store::Store;

/// What a sealer would do now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SealState {
    /// Seal a chunk up to this record.
    Ready {
        /// The last record of the chunk.
        last: TransId,
    },
    /// Wait: what is final makes no chunk yet.
    Waiting,
    /// Stop: somebody has to decide.
    Halted(Halt),
}

/// How far sealing has come, and why it is not further.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Why {
    /// The last chunk that was sealed.
    pub sealed: Option<Manifest>,
    /// The last record of the log.
    pub last: Option<TransId>,
    /// How many records of the log lie behind that chunk, final or not.
    pub unsealed: u64,
    /// What is final of them, as far as a chunk of it would reach. Of a plan with finality `mark` nothing: marks are known to
    /// the process that writes the log.
    pub pending: Pending,
    /// What a sealer would do now.
    pub state: SealState,
}

/// Says why a log is sealed no further.
///
/// # Errors
/// [`Error::Plan`] when the store is of another dataset; [`Error::Store`], [`Error::Log`], [`Error::Damaged`]. What stops a
/// sealer is no error here, but the answer.
pub fn why(plan: &Plan, log: &Reader, store: &Store, clock: &Clock) -> Result<Why, Error> {
    let mut chain = ManifestChain::of(store);
    chain.refresh()?;
    log.refresh()?;
    let behind = Behind { head: chain.head(), last: chain.last(), chunks: chain.manifests() };
    let consumers = log.consumers()?;
    let position = consumers.iter().find(|consumer| consumer.name == plan.consumer);
    let mut scout = Scout::new(plan, &behind);
    let found = agree(plan, &chain, log, position.and_then(|consumer| consumer.position))
        .and_then(|()| scout.look(plan, log, None, clock.wall()));
    let state = match found {
        Ok(Some(last)) => SealState::Ready { last },
        Ok(None) => SealState::Waiting,
        Err(Error::Halted(halt)) => SealState::Halted(halt),
        Err(error) => return Err(error),
    };
    let last = log.last();
    Ok(Why {
        sealed: chain.head().cloned(),
        last,
        unsealed: last.map_or(0, TransId::get).saturating_sub(behind.next().get().saturating_sub(1)),
        pending: *scout.pending(),
        state,
    })
}
