//! A selection: the files that hold a range of blocks, pinned, as they are reported to people and engines.
//! Refuses to hide gaps: they are part of it.

use std::path::PathBuf;
use std::time::Duration;

use data_manager::ChunkRef;
use data_manager::data_chunk::{DataChunkRef, hex_id};
use data_manager::data_manager::DataManagerImpl;
use data_manager::lease::{LEASE_OWNER_BYTES_MAX, Lease, LeaseStatus};
use data_manager::status::{ChunkState, ChunkStatus};
use host::Clock;
use serde::Serialize;

use crate::block_range::show_block_ranges;
use crate::commands::chunk::absent::dataset_is_absent;
use crate::commands::chunk::report::BlocksReport;
use crate::dataset::Dataset;
use crate::exit::{Exit, Failure, Outcome};
use crate::path_report::PathReport;
use crate::suggestion::nearest;

/// What is asked for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Question<'a> {
    pub(crate) dataset: &'a Dataset,
    /// All of them if `None`.
    pub(crate) blocks: Option<&'a std::ops::Range<u64>>,
    /// All of them if empty.
    pub(crate) tables: &'a [String],
}

/// One file. Its fields are an interface.
#[derive(Debug, Serialize)]
pub(crate) struct FileReport {
    #[serde(flatten)]
    pub(crate) path: PathReport,
    pub(crate) name: String,
    pub(crate) chunk: String,
    pub(crate) block_range: BlocksReport,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) lease: Option<String>,
    /// The path as the system knows it.
    #[serde(skip)]
    pub(crate) exact_path: PathBuf,
}

/// The files, and pins on their chunks.
#[derive(Debug)]
pub(crate) struct Selection {
    pub(crate) files: Vec<FileReport>,
    pub(crate) chunks: Vec<ChunkRef>,
    pub(crate) gaps: Vec<std::ops::Range<u64>>,
}

impl Selection {
    /// Finds and pins. Nothing of the dataset, or of the tables, is an error.
    pub(crate) fn find(hold: &DataManagerImpl, question: Question<'_>) -> Outcome<Selection> {
        let Question { dataset, blocks, tables } = question;
        let view = hold.find_range(dataset.id, blocks.cloned().unwrap_or(0..u64::MAX));
        if view.chunks.is_empty() && hold.coverage(dataset.id).is_empty() {
            return Err(dataset_is_absent(hold, dataset));
        }
        let mut selection = Selection { files: Vec::new(), chunks: Vec::new(), gaps: Vec::new() };
        let mut other_names = Vec::new();
        for chunk in view.chunks {
            let files_before = selection.files.len();
            for name in chunk.file_names() {
                if is_of_table(name, tables) {
                    selection.files.push(report(&chunk, name));
                } else {
                    other_names.push(name.to_string());
                }
            }
            if selection.files.len() > files_before {
                selection.chunks.push(chunk);
            }
        }
        if selection.files.is_empty() && !other_names.is_empty() {
            return Err(table_is_absent(tables, other_names));
        }
        if blocks.is_some() {
            selection.gaps = view.gaps;
        }
        Ok(selection)
    }

    /// What a range that is not at hand as a whole ends with.
    pub(crate) fn expect_no_gaps(&self, dataset: &Dataset) -> Outcome<()> {
        if self.gaps.is_empty() {
            return Ok(());
        }
        let shown = show_block_ranges(&self.gaps);
        Err(Failure::new(Exit::Incomplete, format!("blocks {shown} of {dataset} are not at hand")))
    }

    /// Takes a lease of the chunks, and notes its name beside the files.
    pub(crate) fn lease(
        &mut self,
        hold: &DataManagerImpl,
        (name, owner): (&str, &str),
        lifetime: Duration,
    ) -> Outcome<Lease> {
        let lease = hold.lease(name, owner, &self.chunks, lifetime)?;
        for file in &mut self.files {
            file.lease = Some(lease.name.clone());
        }
        Ok(lease)
    }
}

/// Waits until what a lease alone held back is gone, so that the next command does not meet it; not for long.
pub(crate) fn wait_for_freed(hold: &DataManagerImpl, lease: &Lease) {
    const REMOVAL_TIME_MAX: Duration = Duration::from_secs(10);
    let is_freed = |status: &ChunkStatus| {
        status.state != ChunkState::Ready && !status.is_wanted && status.leases.is_empty()
    };
    for id in lease.chunks.iter() {
        if hold.status(*id).is_some_and(|status| is_freed(&status))
            && hold.wait_gone(*id, REMOVAL_TIME_MAX).is_err()
        {
            // The next start goes on with it.
            return;
        }
    }
}

/// A name that no other process makes up.
pub(crate) fn made_up_name(purpose: &str) -> String {
    let since = Clock::system().wall().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    format!("{purpose}-{}-{:x}", std::process::id(), since.as_millis())
}

/// Who holds a lease, as long as it may be and without what could steer a terminal.
pub(crate) fn owner_text(text: &str) -> String {
    let mut owner = String::new();
    for c in text.chars().map(|c| if c.is_control() { ' ' } else { c }) {
        if owner.len() + c.len_utf8() > LEASE_OWNER_BYTES_MAX {
            break;
        }
        owner.push(c);
    }
    owner
}

/// The lease of that name.
pub(crate) fn lease_named(hold: &DataManagerImpl, name: &str) -> Outcome<LeaseStatus> {
    let statuses = hold.leases();
    let names: Vec<String> = statuses.iter().map(|status| status.lease.name.clone()).collect();
    statuses.into_iter().find(|status| status.lease.name == name).ok_or_else(|| {
        let known: Vec<&str> = names.iter().map(String::as_str).collect();
        let failure = Failure::new(Exit::NotFound, format!("there is no lease named {name:?}"));
        match nearest(name, &known) {
            Some(near) => failure.hint(format!("did you mean {near:?}?")),
            None => failure.hint("`loghold lease ls` lists those that stand"),
        }
    })
}

fn report(chunk: &ChunkRef, name: &str) -> FileReport {
    let exact_path = chunk.path().join(name);
    FileReport {
        path: PathReport::new(&exact_path),
        name: name.to_string(),
        chunk: hex_id(&chunk.id()),
        block_range: BlocksReport::from(&chunk.block_range()),
        lease: None,
        exact_path,
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_owner_is_cut_at_a_letter_and_cannot_steer_the_terminal() {
        assert_eq!(owner_text("a\u{1b}[31m\nb"), "a [31m b");
        let long = owner_text(&"é".repeat(300));
        assert_eq!(long.len(), LEASE_OWNER_BYTES_MAX);
    }
}
