//! `loghold log ls`: what a log is and how much it holds.
//! Refuses to read the records: it lists files and asks where the log begins and ends.

use std::path::Path;

use host::{Disk, Kind};
use rtrans::{Parameters, Reader, TransId};
use serde::Serialize;

use crate::commands::log::Context;
use crate::exit::{Exit, Failure, Outcome};
use crate::output::print_object;
use crate::path_report::PathReport;
use crate::quantity::show_bytes;

/// What is printed.
#[derive(Debug, Serialize)]
struct Overview {
    #[serde(flatten)]
    path: PathReport,
    first: Option<u64>,
    last: Option<u64>,
    records: u64,
    data_files: u64,
    /// Of data files; those of format 2 have their full length from the start.
    bytes: u64,
    format_version: u16,
    size_per_index: u32,
    index_num_per_file: u32,
    index_file_num_per_dir: u32,
    max_size_data_file: u64,
    data_blk_size: u32,
    need_compress: u16,
    consumers: usize,
    /// Records that a repair has given up: first and last of each run.
    gaps: Vec<(u64, u64)>,
}

pub(crate) fn run(context: &Context) -> Outcome<Exit> {
    let reader = context.reader()?;
    let disk = context.disk()?;
    let overview = overview(&reader, &disk)?;
    print_object(context.format, &overview, || {
        let or_none = |id: Option<u64>| id.map_or_else(|| "none".to_string(), |id| id.to_string());
        let gaps = overview.gaps.iter().map(|(first, last)| format!("{first}..={last}")).collect::<Vec<_>>();
        vec![
            ("path", overview.path.shown().to_string()),
            ("first", or_none(overview.first)),
            ("last", or_none(overview.last)),
            ("records", overview.records.to_string()),
            ("data files", overview.data_files.to_string()),
            ("bytes", format!("{} ({})", overview.bytes, show_bytes(overview.bytes))),
            ("consumers", overview.consumers.to_string()),
            ("gaps", if gaps.is_empty() { "none".to_string() } else { gaps.join(", ") }),
            ("format_version", overview.format_version.to_string()),
            ("size_per_index", overview.size_per_index.to_string()),
            ("index_num_per_file", overview.index_num_per_file.to_string()),
            ("index_file_num_per_dir", overview.index_file_num_per_dir.to_string()),
            ("max_size_data_file", overview.max_size_data_file.to_string()),
            ("data_blk_size", overview.data_blk_size.to_string()),
            ("need_compress", overview.need_compress.to_string()),
        ]
    })?;
    Ok(Exit::Done)
}

fn overview(reader: &Reader, disk: &Disk) -> Outcome<Overview> {
    let (last, first) = (reader.last(), reader.first());
    let (data_files, bytes) = data_files(disk).map_err(|error| Failure::io("listing the log", &error))?;
    let Parameters {
        format_version,
        size_per_index,
        index_num_per_file,
        index_file_num_per_dir,
        max_size_data_file,
        data_blk_size,
        need_compress,
    } = reader.parameters();
    Ok(Overview {
        path: PathReport::new(disk.root()),
        first: first.map(TransId::get),
        last: last.map(TransId::get),
        records: first
            .zip(last)
            .map_or(0, |(first, last)| last.get().saturating_sub(first.get()).saturating_add(1)),
        data_files,
        bytes,
        format_version,
        size_per_index,
        index_num_per_file,
        index_file_num_per_dir,
        max_size_data_file,
        data_blk_size,
        need_compress,
        consumers: reader.consumers()?.len(),
        gaps: reader.gaps()?.into_iter().map(|(first, last)| (first.get(), last.get())).collect(),
    })
}

/// How many files hold records, and how long they are together. One that goes while it is counted does not count.
fn data_files(disk: &Disk) -> std::io::Result<(u64, u64)> {
    let (mut files, mut bytes) = (0u64, 0u64);
    for dir in disk.list(Path::new(""))? {
        let is_numbered = dir.name.to_str().is_some_and(|name| name.parse::<u64>().is_ok());
        if dir.kind != Kind::Dir || !is_numbered {
            continue;
        }
        for file in disk.list(Path::new(&dir.name))? {
            let is_data = file.name.to_str().is_some_and(|name| name.starts_with("data."));
            if file.kind == Kind::File
                && is_data
                && let Ok(stat) = disk.stat(&Path::new(&dir.name).join(&file.name))
            {
                files = files.saturating_add(1);
                bytes = bytes.saturating_add(stat.len);
            }
        }
    }
    Ok((files, bytes))
}
