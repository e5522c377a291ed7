//! `loghold chunk wait`: until every block of a range is at hand.
//! Refuses to wait for what nobody is fetching: then it says so at once.

use std::collections::HashMap;
use std::ops::Range;

use data_manager::data_chunk::ChunkId;
use data_manager::data_manager::DataManagerImpl;
use data_manager::status::{ChunkState, ChunkStatus};

use crate::args::WaitArguments;
use crate::block_range::{show_block_range, show_block_ranges};
use crate::commands::chunk::Context;
use crate::exit::{Exit, Failure, Outcome};
use crate::fetched::{End, Wanted, fetch};
use crate::quantity::counted;
use crate::settling::{PATIENCE, Patience};
use crate::soundness::{chunks_of, look};

pub(crate) fn run(context: &Context, arguments: &WaitArguments) -> Outcome<Exit> {
    let hold = context.hold()?;
    let (dataset, blocks) = (&arguments.dataset, &arguments.blocks);
    look(&hold, chunks_of(&hold, dataset, Some(blocks)))?;
    let gaps = hold.find_range(dataset.id, blocks.clone()).gaps;
    let coming = coming(&hold, arguments, &gaps);
    let is_coming = |gap: &Range<u64>| coming.iter().any(|status| overlap(&status.block_range, gap));
    let nobody_fetches: Vec<_> = gaps.into_iter().filter(|gap| !is_coming(gap)).collect();
    if !nobody_fetches.is_empty() {
        let shown = show_block_ranges(&nobody_fetches);
        return Err(Failure::new(
            Exit::Incomplete,
            format!("blocks {shown} of {dataset} are not at hand and not asked for"),
        )
        .hint("fetch them with `loghold chunk get`"));
    }
    wait_for(context, &hold, arguments, coming)?;
    let view = hold.find_range(dataset.id, blocks.clone());
    let (range, chunks) = (show_block_range(blocks), counted(view.chunks.len(), "chunk"));
    context.notes.say(&format!("blocks {range} of {dataset} are at hand, in {chunks}"));
    Ok(Exit::Done)
}

/// Chunks that are being fetched, and hold blocks that are missing.
fn coming(hold: &DataManagerImpl, arguments: &WaitArguments, gaps: &[Range<u64>]) -> Vec<ChunkStatus> {
    let mut statuses = hold.statuses();
    statuses.retain(|status| {
        status.dataset_id == arguments.dataset.id
            && status.is_wanted
            && status.state != ChunkState::Ready
            && gaps.iter().any(|gap| overlap(&status.block_range, gap))
    });
    statuses
}

/// Waits until they are ready or given up, and that no block is missing then.
fn wait_for(
    context: &Context,
    hold: &DataManagerImpl,
    arguments: &WaitArguments,
    coming: Vec<ChunkStatus>,
) -> Outcome<()> {
    let chunks: HashMap<ChunkId, Option<u64>> =
        coming.into_iter().map(|status| (status.id, status.bytes_total)).collect();
    let wanted = Wanted {
        chunks,
        patience: Patience::Time(PATIENCE),
        timeout: arguments.timeout,
        data_dirs: context.settings.hold_options()?.data_dirs.len(),
    };
    let (settling, end) = fetch(hold, wanted, context.notes, || Ok(()))?;
    let gaps = hold.find_range(arguments.dataset.id, arguments.blocks.clone()).gaps;
    if gaps.is_empty() {
        return Ok(());
    }
    let missing = format!("blocks {} of {} are not at hand", show_block_ranges(&gaps), arguments.dataset);
    let failure = match end {
        End::Stopped(exit) => Failure::new(exit, format!("stopped: {missing}")),
        End::TimedOut => Failure::new(Exit::TimedOut, format!("timed out: {missing}")),
        End::Settled | End::Stuck(_) | End::Closed => Failure::new(Exit::Incomplete, missing),
    };
    Err(match settling.given_up().first_key_value() {
        Some((_, reason)) => failure.hint(reason.as_str()),
        None => failure,
    })
}

fn overlap(one: &Range<u64>, other: &Range<u64>) -> bool {
    one.start < other.end && other.start < one.end
}
