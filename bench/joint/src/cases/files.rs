//! files: a query of some blocks of 5,000 chunks, over the files that the hold names, and over a pattern of all files.
//! Refuses other answers: all of them give the same sum.

use std::fs::{self, File};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow_array::{ArrayRef, RecordBatch, UInt64Array};
use bench_kit::args::Shared;
use bench_kit::machine;
use bench_kit::report::{OURS, Sheet};
use data_manager::data_chunk::{DataChunk, DataChunkRef, DatasetId};
use data_manager::data_manager::{DataManagerImpl, Parts};
use data_manager::data_source::DataSource;
use data_manager::options::{Network, Options};
use data_manager::sources::FileSource;
use parquet::arrow::ArrowWriter;

use crate::duckdb::DuckDb;
use crate::{Outcome, payloads};

const CHUNKS: u64 = 5_000;
/// Blocks in each chunk, a row each.
const BLOCKS: u64 = 100;
/// Blocks of a query: of ten chunks, or of eleven.
const WANTED: u64 = 10 * BLOCKS;
const DATASET: DatasetId = [7; 32];
const PATIENCE: Duration = Duration::from_secs(600);
const NAME: &str = "blocks.parquet";

pub(crate) fn run(options: &Shared, dir: &Path, sheet: &mut Sheet) -> Outcome<()> {
    let Some(mut duckdb) = DuckDb::start(options.has_rivals, sheet)? else { return Ok(()) };
    sheet.remark(format!("DuckDB {}", duckdb.version));
    let count = options.scaled(CHUNKS, 20);
    let hold = publish(count, dir)?;
    let what = format!("1,000 blocks of {count} chunks");
    // DuckDB loads what it needs for Parquet with the first query.
    duckdb.run(&format!("SELECT count(*) FROM read_parquet({})", list(&hold, 0..1)?))?;
    for round in 0..options.rounds {
        let first = payloads::mixed(round as u64) % (count * BLOCKS - WANTED);
        let blocks = first..first + WANTED;
        let condition = format!("block_number >= {} AND block_number < {}", blocks.start, blocks.end);
        let names = format!("first_block < {} AND last_block >= {}", blocks.end, blocks.start);
        let pattern =
            format!("read_parquet('{}/**/*.parquet', hive_partitioning = true)", hold_dir(dir).display());
        let expected: u64 = blocks.clone().fold(0, u64::wrapping_add);
        let mut ask = |who: &str, files: &dyn Fn() -> Outcome<String>, condition: &str| -> Outcome<()> {
            let begin = Instant::now();
            let sql = format!("SELECT sum(block_number)::UBIGINT FROM {} WHERE {condition}", files()?);
            let (_, sum) = duckdb.run(&sql)?;
            sheet.put(round, &what, who, "ms", begin.elapsed().as_secs_f64() * 1e3);
            if sum == expected.to_string() {
                Ok(())
            } else {
                Err(format!("{who} found {sum}, not {expected}").into())
            }
        };
        ask(OURS, &|| Ok(format!("read_parquet({})", list(&hold, blocks.clone())?)), &condition)?;
        ask("pattern, block_number", &|| Ok(pattern.clone()), &condition)?;
        ask("pattern, names", &|| Ok(pattern.clone()), &format!("{names} AND {condition}"))?;
    }
    sheet.beside(&what, &what, "pattern, names");
    hold.close();
    Ok(())
}

fn hold_dir(dir: &Path) -> std::path::PathBuf {
    dir.join("hold")
}

/// The files of a range, as the hold names them.
fn list(hold: &DataManagerImpl, blocks: std::ops::Range<u64>) -> Outcome<String> {
    let view = hold.find_range(DATASET, blocks);
    if !view.is_complete() {
        return Err("the hold lacks some of it".into());
    }
    let path = |chunk: &data_manager::ChunkRef| format!("'{}'", chunk.path().join(NAME).display());
    Ok(format!("[{}]", view.chunks.iter().map(path).collect::<Vec<_>>().join(", ")))
}

/// Has chunks published by the hold itself.
fn publish(count: u64, dir: &Path) -> Outcome<DataManagerImpl> {
    let source = dir.join("source");
    fs::create_dir_all(&source)?;
    fs::create_dir_all(hold_dir(dir))?;
    let mut options = Options::new(hold_dir(dir));
    options.network = Network::Private;
    options.limits.free_bytes_min = 0;
    let files: Arc<dyn DataSource> = Arc::new(FileSource);
    let parts = Parts { sources: vec![("file".to_owned(), files)], ..Parts::default() };
    let hold = DataManagerImpl::open_with(options, parts)?;
    for number in 0..count {
        let blocks = number * BLOCKS..(number + 1) * BLOCKS;
        let path = source.join(format!("{number}.parquet"));
        write(&path, blocks.clone())?;
        let (mut id, url) = ([1; 32], format!("file://{}", path.display()));
        id.iter_mut().zip(number.to_be_bytes()).for_each(|(to, from)| *to = from);
        let files = [(NAME.to_owned(), url)].into();
        hold.download_chunk(DataChunk { id, dataset_id: DATASET, block_range: blocks, files })?;
    }
    hold.wait_ready(DATASET, 0..count * BLOCKS, PATIENCE)?;
    machine::remove_dir(&source)?;
    Ok(hold)
}

fn write(path: &Path, blocks: std::ops::Range<u64>) -> Outcome<()> {
    let numbers: ArrayRef = Arc::new(UInt64Array::from_iter_values(blocks.clone()));
    let values: ArrayRef = Arc::new(UInt64Array::from_iter_values(blocks.map(payloads::mixed)));
    let batch = RecordBatch::try_from_iter([("block_number", numbers), ("value", values)])?;
    let mut writer = ArrowWriter::try_new(File::create(path)?, batch.schema(), None)?;
    writer.write(&batch)?;
    writer.close()?;
    Ok(())
}
