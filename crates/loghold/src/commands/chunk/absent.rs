//! What is said when a dataset or a block is not here: why, and what to do.
//! Refuses to guess: suggestions are names that are known to be right.

use data_manager::data_chunk::hex_id;
use data_manager::data_manager::DataManagerImpl;

use crate::block_range::show_block_ranges;
use crate::commands::chunk::report::state_word;
use crate::dataset::Dataset;
use crate::exit::{Exit, Failure};
use crate::quantity::show_duration;

/// Why `block` is not found.
pub(crate) fn block_is_absent(hold: &DataManagerImpl, dataset: &Dataset, block: u64) -> Failure {
    let message = format!("block {block} of {dataset} is not at hand");
    if let Some(status) = hold.why(dataset.id, block).first() {
        let mut reason = vec![format!("chunk {} is {}", hex_id(&status.id), state_word(status.state))];
        if let Some(error) = &status.last_error {
            reason.push(format!("after {} failed tries: {error}", status.attempts));
        }
        if let Some(next_try) = status.next_try_in {
            reason.push(format!("next try in {}", show_duration(next_try)));
        }
        return Failure::new(Exit::NotFound, message).hint(reason.join(", "));
    }
    let coverage = hold.coverage(dataset.id);
    if coverage.is_empty() {
        return dataset_is_absent(hold, dataset);
    }
    let nearest_first = |range: &std::ops::Range<u64>| {
        if range.start > block { range.start - block } else { block.saturating_sub(range.end) }
    };
    let mut coverage = coverage;
    coverage.sort_by_key(nearest_first);
    Failure::new(Exit::NotFound, message).hint(format!("at hand are blocks {}", show_block_ranges(&coverage)))
}

/// Nothing of the dataset is here.
pub(crate) fn dataset_is_absent(hold: &DataManagerImpl, dataset: &Dataset) -> Failure {
    const SHOWN_MAX: usize = 5;
    let known = hold.datasets();
    let failure = Failure::new(Exit::NotFound, format!("no chunk of the dataset {dataset} is here"));
    match dataset.near_name(&known) {
        Some(name) => failure.hint(format!("did you mean {name:?}?")),
        None if known.is_empty() => failure.hint("the data directory holds no chunks yet"),
        None => {
            let shown = known.iter().take(SHOWN_MAX).map(hex_id).collect::<Vec<_>>().join(", ");
            let more = if known.len() > SHOWN_MAX { " and others" } else { "" };
            failure.hint(format!("datasets here: {shown}{more} (a name stands for its SHA-256)"))
        }
    }
}
