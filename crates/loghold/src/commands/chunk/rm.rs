//! `loghold chunk rm`: removes chunks and says which.
//! Refuses to ask questions, and to cut a chunk: one that reaches beyond the given blocks stays.

use std::time::Duration;

use data_manager::data_chunk::ChunkId;
use data_manager::status::ChunkStatus;

use crate::args::RemoveArguments;
use crate::block_range::show_block_range;
use crate::commands::chunk::Context;
use crate::commands::chunk::absent::dataset_is_absent;
use crate::commands::chunk::report::{ChunkReport, HEADINGS, cells};
use crate::exit::{Exit, Failure, Outcome};
use crate::output::print_rows;
use crate::quantity::counted;

/// How long the removal of one chunk's files is waited for. Nobody else has chunks pinned while we own the directory.
const REMOVAL_TIME_MAX: Duration = Duration::from_mins(1);

pub(crate) fn run(context: &Context, arguments: &RemoveArguments) -> Outcome<Exit> {
    let hold = context.hold()?;
    let statuses = hold.statuses();
    let mut chosen = match &arguments.dataset {
        Some(dataset) => {
            let of_dataset: Vec<_> =
                statuses.into_iter().filter(|status| status.dataset_id == dataset.id).collect();
            if of_dataset.is_empty() {
                return Err(dataset_is_absent(&hold, dataset));
            }
            within(context, of_dataset, arguments)
        }
        None => named(statuses, arguments)?,
    };
    if let (Some(dataset), Some(blocks), true) = (&arguments.dataset, &arguments.blocks, chosen.is_empty()) {
        let message = format!("no chunk of {dataset} lies within blocks {}", show_block_range(blocks));
        return Err(Failure::new(Exit::NotFound, message));
    }
    chosen.sort_by_key(|status| (status.dataset_id, status.block_range.start, status.id));
    for status in &chosen {
        hold.delete_chunk(status.id);
    }
    let mut reports = Vec::with_capacity(chosen.len());
    for status in &chosen {
        hold.wait_gone(status.id, REMOVAL_TIME_MAX)?;
        reports.push(ChunkReport {
            state: "removed",
            is_wanted: false,
            path: None,
            ..ChunkReport::new(status)
        });
    }
    print_rows(context.settings.format, &HEADINGS, &reports, cells)?;
    Ok(Exit::Done)
}

fn named(statuses: Vec<ChunkStatus>, arguments: &RemoveArguments) -> Outcome<Vec<ChunkStatus>> {
    let known: Vec<ChunkId> = statuses.iter().map(|status| status.id).collect();
    let ids = arguments.ids.iter().map(|prefix| prefix.resolve(&known)).collect::<Outcome<Vec<ChunkId>>>()?;
    Ok(statuses.into_iter().filter(|status| ids.contains(&status.id)).collect())
}

/// The chunks that lie within the given blocks; says how many only touch them.
fn within(context: &Context, statuses: Vec<ChunkStatus>, arguments: &RemoveArguments) -> Vec<ChunkStatus> {
    let Some(blocks) = &arguments.blocks else { return statuses };
    let touching = statuses
        .into_iter()
        .filter(|status| status.block_range.start < blocks.end && blocks.start < status.block_range.end);
    let (inside, beyond): (Vec<_>, Vec<_>) = touching
        .partition(|status| blocks.start <= status.block_range.start && status.block_range.end <= blocks.end);
    if !beyond.is_empty() {
        let stay = if beyond.len() == 1 { "stays: it reaches" } else { "stay: they reach" };
        context.notes.say(&format!("{} {stay} beyond the given blocks", counted(beyond.len(), "chunk")));
    }
    inside
}
