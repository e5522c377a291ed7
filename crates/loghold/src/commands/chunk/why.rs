//! `loghold chunk why`: all that is known of a block or a chunk.
//! Refuses to be short: this is what one reads when something is not as it should be.

use std::time::Duration;

use data_manager::data_chunk::ChunkId;
use data_manager::data_manager::DataManagerImpl;
use data_manager::status::ChunkStatus;

use crate::args::WhyArguments;
use crate::block_range::show_block_range;
use crate::commands::chunk::Context;
use crate::commands::chunk::absent::block_is_absent;
use crate::commands::chunk::report::ChunkReport;
use crate::dataset::Dataset;
use crate::exit::{Exit, Failure, Outcome};
use crate::id_prefix::IdPrefix;
use crate::output::{plain, print_lines};
use crate::quantity::{show_bytes, show_duration};

pub(crate) fn run(context: &Context, arguments: &WhyArguments) -> Outcome<Exit> {
    let subject = Subject::parse(arguments)?;
    let hold = context.hold()?;
    let statuses = match subject {
        Subject::Chunk(prefix) => vec![chunk_of(&hold, &prefix)?],
        Subject::Block(dataset, block) => {
            let statuses = hold.why(dataset.id, block);
            if statuses.is_empty() {
                return Err(block_is_absent(&hold, &dataset, block));
            }
            statuses
        }
    };
    let reports: Vec<ChunkReport> = statuses.iter().map(ChunkReport::new).collect();
    print_lines(context.settings.format, &reports, |report| paragraph(report).into_bytes())?;
    Ok(Exit::Done)
}

enum Subject {
    Chunk(IdPrefix),
    Block(Dataset, u64),
}

impl Subject {
    fn parse(arguments: &WhyArguments) -> Outcome<Subject> {
        match arguments.block {
            Some(block) => {
                Ok(Subject::Block(Dataset::parse(&arguments.subject).map_err(Failure::usage)?, block))
            }
            None => IdPrefix::parse(&arguments.subject).map(Subject::Chunk).map_err(|problem| {
                Failure::usage(format!("{:?}: {problem}", arguments.subject))
                    .hint("ask of a block with `loghold chunk why DATASET BLOCK`")
            }),
        }
    }
}

fn chunk_of(hold: &DataManagerImpl, prefix: &IdPrefix) -> Outcome<ChunkStatus> {
    let mut statuses = hold.statuses();
    let known: Vec<ChunkId> = statuses.iter().map(|status| status.id).collect();
    let id = prefix.resolve(&known)?;
    let at = statuses.iter().position(|status| status.id == id);
    at.map(|at| statuses.swap_remove(at))
        .ok_or_else(|| Failure::new(Exit::NotFound, "the chunk has just gone"))
}

fn paragraph(report: &ChunkReport) -> String {
    let wanted = if report.is_wanted { "wanted" } else { "not wanted any more" };
    let mut lines = vec![
        ("chunk", report.id.clone()),
        ("dataset", report.dataset_id.clone()),
        ("blocks", show_block_range(&(report.block_range.start..report.block_range.end))),
        ("state", format!("{}, {wanted}", report.state)),
    ];
    let total = report.bytes_total.filter(|&total| total != report.bytes);
    let total = total.map_or_else(String::new, |total| format!(" of {}", show_bytes(total)));
    lines.push(("size", format!("{}{total}", show_bytes(report.bytes))));
    if report.failed_tries > 0 {
        lines.push(("tries", format!("{} failed in a row", report.failed_tries)));
    }
    if let Some(error) = &report.last_error {
        lines.push(("error", error.clone()));
    }
    if let Some(next_try) = report.next_try_ms {
        lines.push(("next try", format!("in {}", show_duration(Duration::from_millis(next_try)))));
    }
    if let Some(source) = &report.source {
        lines.push(("source", source.clone()));
    }
    if report.pins > 0 {
        let pinned_for = Duration::from_millis(report.pinned_for_ms.unwrap_or_default());
        lines.push(("pins", format!("{}, for {}", report.pins, show_duration(pinned_for))));
    }
    if !report.leases.is_empty() {
        lines.push(("leases", report.leases.join(", ")));
    }
    if !report.path.shown().is_empty() {
        lines.push(("path", report.path.shown().to_string()));
    }
    lines.iter().map(|(name, value)| format!("{name:<8}  {}", plain(value))).collect::<Vec<_>>().join("\n")
}
