//! `loghold chunk files`: the paths of the files that hold a range of blocks, for engines that read files.
//! Refuses to hide gaps: it prints what is there and ends with "incomplete".

use std::path::PathBuf;

use data_manager::data_chunk::{DataChunkRef, hex_id};
use serde::Serialize;

use crate::args::FilesArguments;
use crate::block_range::show_block_ranges;
use crate::commands::chunk::Context;
use crate::commands::chunk::absent::dataset_is_absent;
use crate::commands::chunk::report::BlocksReport;
use crate::exit::{Exit, Failure, Outcome};
use crate::output::print_lines;
use crate::suggestion::nearest;

#[derive(Serialize)]
struct FileReport {
    path: String,
    name: String,
    chunk: String,
    block_range: BlocksReport,
    /// The path as the system knows it; `path` is made readable.
    #[serde(skip)]
    exact_path: PathBuf,
}

pub(crate) fn run(context: &Context, arguments: &FilesArguments) -> Outcome<Exit> {
    let hold = context.hold()?;
    let dataset = &arguments.dataset;
    let blocks = arguments.blocks.clone().unwrap_or(0..u64::MAX);
    let view = hold.find_range(dataset.id, blocks);
    if view.chunks.is_empty() && hold.coverage(dataset.id).is_empty() {
        return Err(dataset_is_absent(&hold, dataset));
    }
    let mut reports = Vec::new();
    let mut other_names = Vec::new();
    for chunk in &view.chunks {
        for name in chunk.file_names() {
            if !is_of_table(name, &arguments.table) {
                other_names.push(name.to_string());
                continue;
            }
            let exact_path = chunk.path().join(name);
            reports.push(FileReport {
                path: exact_path.display().to_string(),
                name: name.to_string(),
                chunk: hex_id(&chunk.id()),
                block_range: BlocksReport::from(&chunk.block_range()),
                exact_path,
            });
        }
    }
    if reports.is_empty() && !other_names.is_empty() {
        return Err(table_is_absent(&arguments.table, other_names));
    }
    print_lines(context.settings.format, &reports, |report| {
        report.exact_path.as_os_str().as_encoded_bytes().to_vec()
    })?;
    if arguments.blocks.is_some() && !view.gaps.is_empty() {
        let shown = show_block_ranges(&view.gaps);
        return Err(Failure::new(Exit::Incomplete, format!("blocks {shown} of {dataset} are not at hand")));
    }
    Ok(Exit::Done)
}

fn is_of_table(name: &str, tables: &[String]) -> bool {
    tables.is_empty()
        || tables.iter().any(|table| name == table || name.strip_suffix(".parquet") == Some(table))
}

fn table_is_absent(tables: &[String], mut names: Vec<String>) -> Failure {
    names.sort();
    names.dedup();
    let known: Vec<&str> = names.iter().map(|name| name.strip_suffix(".parquet").unwrap_or(name)).collect();
    let failure =
        Failure::new(Exit::NotFound, format!("no chunk has a file of the table {}", tables.join(" or ")));
    match tables.first().and_then(|table| nearest(table, &known)) {
        Some(near) => failure.hint(format!("did you mean {near:?}?")),
        None => failure.hint(format!("tables here: {}", known.join(", "))),
    }
}
