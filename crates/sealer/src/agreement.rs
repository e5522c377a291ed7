//! Whether a plan, a store and a log belong together: what has to be so before anything is sealed behind what was.
//! Refuses to mend what does not fit: somebody has to decide.

use rtrans::{Reader, TransId};

use crate::chain::ManifestChain;
use crate::error::{Error, Halt};
use crate::manifest::Manifest;
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
    chain.head().map_or(Ok(()), |head| compare_log(head, log))
}

/// Whether a log is the one that a chunk was made of: it holds the chunk's last record, unless that was trimmed.
///
/// # Errors
/// [`Error::Halted`] with [`Halt::LogDiffers`] when it is not; [`Error::Log`].
pub fn compare_log(chunk: &Manifest, log: &Reader) -> Result<(), Error> {
    let Some(sealed) = TransId::new(chunk.last_transid) else { return Ok(()) };
    match log.read(sealed) {
        Ok(Some(record)) if record_digest(&record) == chunk.last_record => Ok(()),
        Ok(_) => Err(Halt::LogDiffers { sealed, last: log.last() }.into()),
        Err(rtrans::Error::Trimmed { .. }) => Ok(()),
        Err(error) => Err(error.into()),
    }
}
