//! `loghold chunk ls`: what is here, in order of dataset and block.
//! Refuses to look at the disk: it shows what the catalogue knows.

use crate::args::ListArguments;
use crate::commands::chunk::Context;
use crate::commands::chunk::absent::dataset_is_absent;
use crate::commands::chunk::report::{ChunkReport, HEADINGS, cells, is_in_state};
use crate::exit::{Exit, Outcome};
use crate::output::print_rows;

pub(crate) fn run(context: &Context, arguments: &ListArguments) -> Outcome<Exit> {
    let hold = context.hold()?;
    let mut statuses = hold.statuses();
    if let Some(dataset) = &arguments.dataset {
        statuses.retain(|status| status.dataset_id == dataset.id);
        if statuses.is_empty() {
            return Err(dataset_is_absent(&hold, dataset));
        }
    }
    if !arguments.state.is_empty() {
        statuses.retain(|status| arguments.state.iter().any(|&name| is_in_state(status.state, name)));
    }
    statuses.sort_by_key(|status| {
        (status.dataset_id, status.block_range.start, status.block_range.end, status.id)
    });
    if statuses.is_empty() && arguments.state.is_empty() {
        let is_begun = hold.data_dirs().iter().any(|dir| dir.staged_bytes > 0);
        let begun = if is_begun {
            ", but parts of some: the `loghold chunk get` that began them goes on there"
        } else {
            ""
        };
        context.notes.say(&format!("no chunk is here{begun}"));
    }
    let reports: Vec<ChunkReport> = statuses.iter().map(ChunkReport::new).collect();
    print_rows(context.settings.format, &HEADINGS, &reports, cells)?;
    Ok(Exit::Done)
}
