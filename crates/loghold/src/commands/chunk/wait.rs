//! `loghold chunk wait`: until every block of a range is at hand.
//! Refuses to wait for what nobody is fetching: then it says so at once.

use std::time::Duration;

use data_manager::data_manager::DataManagerImpl;
use data_manager::status::ChunkState;

use crate::args::WaitArguments;
use crate::block_range::{show_block_range, show_block_ranges};
use crate::commands::chunk::Context;
use crate::exit::{Exit, Failure, Outcome};
use crate::quantity::counted;

/// Long enough for "until it is there".
const FOREVER: Duration = Duration::from_hours(24 * 365);

pub(crate) fn run(context: &Context, arguments: &WaitArguments) -> Outcome<Exit> {
    let hold = context.hold()?;
    let (dataset, blocks) = (&arguments.dataset, &arguments.blocks);
    let gaps = hold.find_range(dataset.id, blocks.clone()).gaps;
    let nobody_fetches: Vec<_> =
        gaps.into_iter().filter(|gap| !is_on_its_way(&hold, arguments, gap)).collect();
    if !nobody_fetches.is_empty() {
        let shown = show_block_ranges(&nobody_fetches);
        return Err(Failure::new(
            Exit::Incomplete,
            format!("blocks {shown} of {dataset} are not at hand and not asked for"),
        )
        .hint("fetch them with `loghold chunk get`"));
    }
    let view = hold.wait_ready(dataset.id, blocks.clone(), arguments.timeout.unwrap_or(FOREVER))?;
    let (range, chunks) = (show_block_range(blocks), counted(view.chunks.len(), "chunk"));
    context.notes.say(&format!("blocks {range} of {dataset} are at hand, in {chunks}"));
    Ok(Exit::Done)
}

/// Whether a chunk that is being fetched will fill the gap, or a part of it.
fn is_on_its_way(hold: &DataManagerImpl, arguments: &WaitArguments, gap: &std::ops::Range<u64>) -> bool {
    hold.statuses().iter().any(|status| {
        status.dataset_id == arguments.dataset.id
            && status.is_wanted
            && status.state != ChunkState::Ready
            && status.block_range.start < gap.end
            && gap.start < status.block_range.end
    })
}
