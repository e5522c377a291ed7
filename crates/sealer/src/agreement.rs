//! Whether a plan, a store and a log belong together: what has to be so before anything is sealed behind what was.
//! Refuses to mend what does not fit: somebody has to decide.

use rtrans::{Reader, TransId};

use crate::chain::ManifestChain;
use crate::error::{Error, Halt};
use crate::plan::Plan;
use crate::sealing::record_digest;

/// Compares what the chain says with the plan, with the position that the log keeps, and with the log's records.
///
/// # Errors
/// [`Error::Plan`] when the store is of another dataset; [`Halt::StoreBehind`], [`Halt::LogDiffers`]; [`Error::Log`].
pub(crate) fn agree(
    plan: &Plan,
    chain: &ManifestChain,
    log: &Reader,
    position: Option<TransId>,
) -> Result<(), Error> {
    if let Some(other) = chain.last().filter(|last| last.dataset != plan.dataset) {
        let what = format!("the store holds {:?}, the plan says {:?}", other.dataset, plan.dataset);
        return Err(Error::plan("dataset", what));
    }
    let sealed = chain.head().and_then(|head| TransId::new(head.last_transid));
    if let Some(position) = position.filter(|position| Some(*position) > sealed) {
        return Err(Halt::StoreBehind { position, sealed }.into());
    }
    compare_log(chain, log)
}

/// Whether the log still holds the last record that was sealed, unless it was trimmed.
fn compare_log(chain: &ManifestChain, log: &Reader) -> Result<(), Error> {
    let Some(head) = chain.head() else { return Ok(()) };
    let Some(sealed) = TransId::new(head.last_transid) else { return Ok(()) };
    match log.read(sealed) {
        Ok(Some(record)) if record_digest(&record) == head.last_record => Ok(()),
        Ok(_) => Err(Halt::LogDiffers { sealed, last: log.last() }.into()),
        Err(rtrans::Error::Trimmed { .. }) => Ok(()),
        Err(error) => Err(error.into()),
    }
}
