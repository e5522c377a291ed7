//! `loghold chunk find`: the chunk that holds a block.
//! Refuses to wait for it; `wait` does.

use data_manager::data_chunk::{DataChunkRef, hex_id};
use serde::Serialize;

use crate::args::FindArguments;
use crate::commands::chunk::Context;
use crate::commands::chunk::absent::block_is_absent;
use crate::commands::chunk::report::BlocksReport;
use crate::exit::{Exit, Outcome};
use crate::output::print_lines;
use crate::path_report::PathReport;
use crate::soundness::sound_chunk;

#[derive(Serialize)]
struct Found {
    id: String,
    dataset_id: String,
    block_range: BlocksReport,
    bytes: u64,
    #[serde(flatten)]
    path: PathReport,
}

pub(crate) fn run(context: &Context, arguments: &FindArguments) -> Outcome<Exit> {
    let hold = context.hold()?;
    let Some(chunk) = sound_chunk(&hold, &arguments.dataset, arguments.block)? else {
        return Err(block_is_absent(&hold, &arguments.dataset, arguments.block));
    };
    let found = Found {
        id: hex_id(&chunk.id()),
        dataset_id: hex_id(&chunk.dataset_id()),
        block_range: BlocksReport::from(&chunk.block_range()),
        bytes: chunk.bytes(),
        path: PathReport::new(chunk.path()),
    };
    print_lines(context.settings.format, &[found], |found| {
        [chunk.path().as_os_str().as_encoded_bytes(), b"  ", found.id.as_bytes()].concat()
    })?;
    Ok(Exit::Done)
}
