//! A chunk as the commands report it: one shape for every JSON output, and the words for its state.
//! Refuses to compute: it copies what the hold says.

use std::time::Duration;

use data_manager::data_chunk::hex_id;
use data_manager::status::{ChunkState, ChunkStatus, FailureKind};
use serde::Serialize;

use crate::args::StateName;
use crate::block_range::show_block_range;
use crate::id_prefix::short_id;
use crate::path_report::PathReport;
use crate::quantity::show_bytes;

/// Half-open blocks in JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct BlocksReport {
    pub(crate) start: u64,
    pub(crate) end: u64,
}

impl From<&std::ops::Range<u64>> for BlocksReport {
    fn from(range: &std::ops::Range<u64>) -> BlocksReport {
        BlocksReport { start: range.start, end: range.end }
    }
}

/// All that is known of a chunk. Its fields are an interface: they may be added to and keep their meaning.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct ChunkReport {
    pub(crate) id: String,
    pub(crate) dataset_id: String,
    pub(crate) block_range: BlocksReport,
    pub(crate) state: &'static str,
    pub(crate) is_wanted: bool,
    pub(crate) bytes: u64,
    pub(crate) bytes_total: Option<u64>,
    pub(crate) priority: i32,
    pub(crate) failed_tries: u32,
    pub(crate) last_error: Option<String>,
    pub(crate) last_failure: Option<&'static str>,
    pub(crate) next_try_ms: Option<u64>,
    pub(crate) source: Option<String>,
    pub(crate) pins: usize,
    pub(crate) pinned_for_ms: Option<u64>,
    #[serde(flatten)]
    pub(crate) path: PathReport,
    /// The names of the leases that hold it.
    pub(crate) leases: Vec<String>,
}

impl ChunkReport {
    pub(crate) fn new(status: &ChunkStatus) -> ChunkReport {
        ChunkReport {
            id: hex_id(&status.id),
            dataset_id: hex_id(&status.dataset_id),
            block_range: BlocksReport::from(&status.block_range),
            state: state_word(status.state),
            is_wanted: status.is_wanted,
            bytes: status.bytes_done,
            bytes_total: status.bytes_total,
            priority: status.priority.0,
            failed_tries: status.attempts,
            last_error: status.last_error.clone(),
            last_failure: status.last_failure.map(failure_word),
            next_try_ms: status.next_try_in.map(milliseconds),
            source: status.source.clone(),
            pins: status.pins,
            pinned_for_ms: status.pinned_for.map(milliseconds),
            path: status.path.as_deref().map(PathReport::new).unwrap_or_default(),
            leases: status.leases.clone(),
        }
    }
}

pub(crate) const HEADINGS: [&str; 6] = ["CHUNK", "DATASET", "BLOCKS", "STATE", "SIZE", "ERROR"];

/// The cells under [`HEADINGS`].
pub(crate) fn cells(report: &ChunkReport) -> Vec<String> {
    let short =
        |id: &str| data_manager::data_chunk::parse_hex_id(id).map_or_else(String::new, |id| short_id(&id));
    let size = match report.bytes_total {
        Some(total) if total != report.bytes => {
            format!("{} of {}", show_bytes(report.bytes), show_bytes(total))
        }
        _ => show_bytes(report.bytes),
    };
    vec![
        short(&report.id),
        short(&report.dataset_id),
        show_block_range(&(report.block_range.start..report.block_range.end)),
        report.state.to_string(),
        size,
        report.last_error.clone().unwrap_or_default(),
    ]
}

/// The word for a state; [`StateName`] reads it.
pub(crate) fn state_word(state: ChunkState) -> &'static str {
    match state {
        ChunkState::Queued => "queued",
        ChunkState::Failed => "failed",
        ChunkState::Staging => "staging",
        ChunkState::Ready => "ready",
        ChunkState::Retired => "retired",
        ChunkState::Removing => "removing",
        _ => "unknown",
    }
}

pub(crate) fn is_in_state(state: ChunkState, name: StateName) -> bool {
    matches!(
        (state, name),
        (ChunkState::Queued, StateName::Queued)
            | (ChunkState::Failed, StateName::Failed)
            | (ChunkState::Staging, StateName::Staging)
            | (ChunkState::Ready, StateName::Ready)
            | (ChunkState::Retired, StateName::Retired)
            | (ChunkState::Removing, StateName::Removing)
    )
}

pub(crate) fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// How kinds of failure are called in JSON.
fn failure_word(kind: FailureKind) -> &'static str {
    match kind {
        FailureKind::Missing => "missing",
        FailureKind::Refused => "refused",
        FailureKind::Damaged => "damaged",
        FailureKind::NoRoom => NO_ROOM,
        FailureKind::Disk => "disk",
        FailureKind::Panicked => "panic",
        _ => "source",
    }
}

/// What a chunk failed of that found no room.
pub(crate) const NO_ROOM: &str = "no_room";
