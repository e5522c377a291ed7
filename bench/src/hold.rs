//! The hold as the benches open it, and a source in memory that costs next to nothing.
//! Refuses to measure: it prepares what the cases measure.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use data_manager::data_chunk::{ChunkId, DataChunk, DatasetId};
use data_manager::data_manager::{DataManagerImpl, Parts};
use data_manager::data_source::{BoxFuture, DataSource, FetchRequest, FetchResponse, SourceError};
use data_manager::event::{Event, Watch};
use data_manager::options::{Network, Options};
use futures_util::stream;
use tokio::runtime::Runtime;

use crate::Outcome;
use crate::chunks::{BLOCKS, id_of};

/// How long the benches wait for what ought to happen.
pub(crate) const PATIENCE: Duration = Duration::from_secs(600);

/// Chunks asked for at once while residents are made.
const BATCH: u64 = 20_000;

/// Datasets that residents are spread over.
const DATASETS: u64 = 10;

/// Answers every request with nothing: for chunks whose bytes are never read.
#[derive(Debug)]
struct Nothing;

impl DataSource for Nothing {
    fn fetch(&self, _: FetchRequest) -> BoxFuture<'_, Result<FetchResponse, SourceError>> {
        Box::pin(async {
            let body = stream::iter([Ok(Bytes::new())]);
            Ok(FetchResponse {
                offset: 0,
                total: Some(0),
                length: Some(0),
                validator: None,
                body: Box::pin(body),
            })
        })
    }
}

/// Opens a data directory with the library's defaults, but for loopback and a disk that may be full.
pub(crate) fn open(dir: &Path) -> Outcome<DataManagerImpl> {
    let mut options = Options::new(dir);
    options.network = Network::Private;
    options.limits.free_bytes_min = 0;
    let parts = Parts { sources: vec![("nothing".to_owned(), Arc::new(Nothing))], ..Parts::default() };
    Ok(DataManagerImpl::open_with(options, parts)?)
}

/// A small runtime to wait for events on.
pub(crate) fn runtime() -> Outcome<Runtime> {
    Ok(tokio::runtime::Builder::new_current_thread().enable_all().build()?)
}

/// Waits until a number of chunks are ready, in all.
pub(crate) fn wait_ready(hold: &DataManagerImpl, watch: &mut Watch, ready: u64) -> Outcome<()> {
    let waiting = async {
        while hold.totals().ready < ready {
            // Many events come at once: they are drained before the total is asked for again.
            let Some(event) = watch.next().await else { return Err("the hold was closed".into()) };
            if let Event::Failed { reason, .. } = event {
                eprintln!("    a download failed: {reason}");
            }
            for _ in 0..64 {
                if watch.next_now().is_none() {
                    break;
                }
            }
        }
        Ok(())
    };
    runtime()?.block_on(async { tokio::time::timeout(PATIENCE, waiting).await })?
}

/// The dataset and the first block of a resident.
pub(crate) fn resident_place(number: u64) -> (DatasetId, u64) {
    let mut dataset = [0; 32];
    dataset[0] = 100 + u8::try_from(number % DATASETS).unwrap_or_default();
    dataset[31] = dataset[0];
    (dataset, number / DATASETS * BLOCKS)
}

/// Which resident has this block; the other way round than [`resident_place`].
pub(crate) fn resident_number(dataset: &DatasetId, block: u64) -> u64 {
    block / BLOCKS * DATASETS + u64::from(dataset[31]).saturating_sub(100)
}

/// The id of a resident.
pub(crate) fn resident_id(number: u64) -> ChunkId {
    id_of(1 << 40 | number)
}

/// A chunk that is only there to be there: its files are empty.
pub(crate) fn resident(number: u64, names: &[&str]) -> DataChunk {
    let (dataset_id, first) = resident_place(number);
    let files = names.iter().map(|name| ((*name).to_owned(), format!("nothing://x/{name}#size=0"))).collect();
    DataChunk { id: resident_id(number), dataset_id, block_range: first..first + BLOCKS, files }
}

/// Adds residents through the library until it has `count` of them, counting from 0; nothing else is ready.
pub(crate) fn grow(hold: &DataManagerImpl, from: u64, count: u64, names: &[&str]) -> Outcome<()> {
    let mut next = from;
    while next < count {
        let end = (next + BATCH).min(count);
        let mut watch = hold.watch();
        for number in next..end {
            hold.download_chunk(resident(number, names))?;
        }
        wait_ready(hold, &mut watch, end)?;
        next = end;
        if count - from > BATCH {
            eprintln!("    {next} of {count} residents");
        }
    }
    Ok(())
}

/// A data directory with so many chunks of one file, published by the library itself and kept for the next run. A run
/// that was cut off before is gone on with, for a million take long.
pub(crate) fn prepared(dir: &Path, count: u64) -> Outcome<std::path::PathBuf> {
    let path = dir.join(format!("residents-{count}"));
    let done = dir.join(format!("residents-{count}.done"));
    if done.exists() {
        return Ok(path);
    }
    std::fs::create_dir_all(&path)?;
    let hold = open(&path)?;
    // Batches are made one after the other, so that only the last one may have gaps.
    let whole = hold.totals().ready / BATCH * BATCH;
    grow(&hold, whole, count, &["blocks.parquet"])?;
    hold.close();
    std::fs::write(done, "")?;
    Ok(path)
}
