//! `loghold find`: where the records of a block lie now, in a sealed chunk or still in the log.
//! Refuses to look at what a hold has: `loghold chunk find` does.

use std::time::Duration;

use rtrans::{Reader, TransId};
use sealer::{Line, ManifestChain, Plan, Reading, Store};
use serde::Serialize;

use super::{log_behind, named, read_plan};
use crate::args::sealing::FindArguments;
use crate::block_range::parse_block;
use crate::exit::{Exit, Failure, Outcome};
use crate::output::print_rows;
use crate::settings::Settings;
use crate::store_dir::expect_store;

const HEADINGS: [&str; 4] = ["BLOCK", "PLACE", "RECORDS", "PATH"];

/// Its fields are an interface.
#[derive(Debug, Serialize)]
struct Found {
    block: u64,
    /// `chunk` or `head`.
    place: &'static str,
    chunk: Option<String>,
    path: Option<String>,
    /// The records of the chunk, or those of the block in the log.
    first_transid: u64,
    last_transid: u64,
}

pub(crate) fn run(arguments: &FindArguments, settings: &Settings) -> Outcome<Exit> {
    let plan = arguments.plan.as_deref().map(read_plan).transpose()?;
    let (url, block) = named(&arguments.words, plan.as_ref(), "BLOCK")?;
    let block = parse_block(block).map_err(Failure::usage)?;
    if plan.is_none() {
        expect_store(url)?;
    }
    let store = Store::open(url)?;
    let log = log_behind(arguments.log.as_ref(), plan.as_ref())?;
    let is_log_read = log.is_some();
    let found = match in_chunk(&store, block)? {
        Some(found) => Some(found),
        None => match plan.zip(log) {
            Some(head) => in_head(&store, head, block)?,
            None => None,
        },
    };
    let Some(found) = found else {
        let nowhere = format!("no record of block {block} is in a chunk{}", or_log(is_log_read));
        return Err(Failure::new(Exit::NotFound, nowhere));
    };
    print_rows(settings.format, &HEADINGS, &[found], Found::cells)?;
    Ok(Exit::Done)
}

fn or_log(is_log_read: bool) -> &'static str {
    if is_log_read { " or in the log" } else { "; --plan and --log look in the log as well" }
}

fn in_chunk(store: &Store, block: u64) -> Outcome<Option<Found>> {
    let mut chain = ManifestChain::of(store);
    chain.refresh()?;
    let covers = |first: u64, last: u64| (first..=last).contains(&block);
    let chunk = chain.live().into_iter().find(|chunk| covers(chunk.first_block, chunk.last_block));
    // Numbers may have holes: a chunk goes over them.
    let chunk = chunk.filter(|chunk| !chunk.gaps.iter().any(|[first, last]| covers(*first, *last)));
    Ok(chunk.map(|chunk| Found {
        block,
        place: "chunk",
        chunk: Some(format!("0x{}", chunk.chunk)),
        path: Some(chunk.path.clone()),
        first_transid: chunk.first_transid,
        last_transid: chunk.last_transid,
    }))
}

fn in_head(store: &Store, head: (Plan, Reader), block: u64) -> Outcome<Option<Found>> {
    let mut reading = Reading::new(store, Some(head), block..block.saturating_add(1));
    let mut ids: Option<(TransId, TransId)> = None;
    while let Some(line) = reading.next_within(Duration::ZERO)? {
        if let Line::Record { record: rtrans::Record { id, .. }, .. } | Line::Row { id, .. } = line {
            ids = Some((ids.map_or(id, |(first, _)| first), id));
        }
    }
    Ok(ids.map(|(first, last)| Found {
        block,
        place: "head",
        chunk: None,
        path: None,
        first_transid: first.get(),
        last_transid: last.get(),
    }))
}

impl Found {
    fn cells(&self) -> Vec<String> {
        vec![
            self.block.to_string(),
            self.place.to_owned(),
            format!("{}..={}", self.first_transid, self.last_transid),
            self.path.clone().unwrap_or_default(),
        ]
    }
}
