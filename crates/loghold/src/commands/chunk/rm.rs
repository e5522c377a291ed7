//! `loghold chunk rm`: removes chunks and says which.
//! Refuses to ask questions, and to cut a chunk: one that reaches beyond the given blocks stays.

use std::collections::BTreeSet;
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
use crate::path_report::PathReport;
use crate::quantity::counted;

/// How long the removal of one chunk's files is waited for. Nobody else has chunks pinned while we own the directory.
const REMOVAL_TIME_MAX: Duration = Duration::from_mins(1);

/// Leases that are named when they hold chunks back.
const NAMES_SHOWN_MAX: usize = 5;

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
    // One that cannot be read may hold any chunk.
    let leases = hold.leases();
    let damaged: Vec<&str> =
        leases.iter().filter(|lease| lease.damage.is_some()).map(|lease| lease.lease.name.as_str()).collect();
    let mut held_back: BTreeSet<&str> = BTreeSet::new();
    for status in &chosen {
        let is_leased = !status.leases.is_empty() || !damaged.is_empty();
        if !is_leased {
            hold.wait_gone(status.id, REMOVAL_TIME_MAX)?;
        }
        held_back.extend(status.leases.iter().map(String::as_str).chain(damaged.iter().copied()));
        reports.push(ChunkReport {
            state: if is_leased { "retired" } else { "removed" },
            is_wanted: false,
            path: PathReport::default(),
            ..ChunkReport::new(status)
        });
    }
    if !held_back.is_empty() {
        let names = held_back.into_iter().take(NAMES_SHOWN_MAX).collect::<Vec<_>>().join(", ");
        context.notes.say(&format!(
            "leased chunks are hidden, and their files go when these leases end: {names} (`loghold lease ls`)"
        ));
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
