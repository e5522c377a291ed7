//! `loghold store`: whether a store can be trusted, and its chunks put together.
//! Refuses to remove a chunk.

use sealer::{Compaction, Store, compact};
use serde::Serialize;

use super::{CHUNK_HEADINGS, ChunkReport, read_plan};
use crate::args::sealing::{CompactArguments, StoreCommand};
use crate::exit::{Exit, Outcome};
use crate::output::print_rows;
use crate::settings::Settings;

#[derive(Debug, Serialize)]
struct CheckReport {
    url: String,
    races: usize,
    writers: usize,
    winners_max: usize,
}

pub(crate) fn run(command: &StoreCommand, settings: &Settings) -> Outcome<Exit> {
    match command {
        StoreCommand::Check { url, endpoint } => check(url.as_str(), endpoint, settings),
        StoreCommand::Compact(arguments) => put_together(arguments, settings),
    }
}

fn check(url: &str, endpoints: &[String], settings: &Settings) -> Outcome<Exit> {
    let others = endpoints.iter().map(|endpoint| Store::open_at(url, Some(endpoint)));
    let checked = Store::open(url)?.check_beside(&others.collect::<Result<Vec<_>, _>>()?)?;
    let report = CheckReport {
        url: url.to_owned(),
        races: checked.races,
        writers: checked.writers,
        winners_max: checked.winners_max,
    };
    print_rows(settings.format, &["URL", "RACES", "WRITERS", "WINNERS"], &[report], |report| {
        [&report.races, &report.writers, &report.winners_max].iter().fold(
            vec![report.url.clone()],
            |mut cells, count| {
                cells.push(count.to_string());
                cells
            },
        )
    })?;
    Ok(Exit::Done)
}

fn put_together(arguments: &CompactArguments, settings: &Settings) -> Outcome<Exit> {
    let plan = read_plan(&arguments.plan)?;
    let store = Store::open(&plan.store)?;
    let chunks_min = usize::try_from(arguments.chunks_min).unwrap_or(usize::MAX);
    let written = compact(&plan, &store, Compaction { bytes_max: arguments.bytes_max, chunks_min })?;
    let reports: Vec<ChunkReport> = written.iter().map(ChunkReport::new).collect();
    print_rows(settings.format, &CHUNK_HEADINGS, &reports, ChunkReport::cells)?;
    Ok(Exit::Done)
}
