//! seal: a log into a chunk of Parquet, as payloads and as typed columns, beside a bare loop of the same writer and DuckDB.
//! Refuses to give the bare loop other rows or settings: the sizes of the files are compared.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use arrow_array::{RecordBatch, RecordBatchReader};
use arrow_schema::{Schema, SchemaRef};
use bench_kit::args::Shared;
use bench_kit::machine;
use bench_kit::report::{Bound, OURS, Sheet};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::file::properties::{EnabledStatistics, WriterProperties, WriterVersion};
use parquet::schema::types::ColumnPath;
use rtrans::Reader;
use sealer::{Manifest, Sealer, Source};

use crate::duckdb::DuckDb;
use crate::logs::{Columns, filled, plan};
use crate::{Outcome, payloads};

const RECORDS: u64 = 200_000;
const BARE: &str = "raw Parquet loop";

/// How far the sizes of what is compared may be apart.
const SIZE_TOLERANCE: f64 = 0.01;

/// What is sealed, in all the forms in which somebody takes it.
struct Input {
    log: PathBuf,
    /// A payload a line, on disk and in memory.
    lines_path: PathBuf,
    lines: Vec<u8>,
    records: u64,
    payload_bytes: u64,
}

pub(crate) fn run(options: &Shared, dir: &Path, sheet: &mut Sheet) -> Outcome<()> {
    let input = prepare(options.scaled(RECORDS, 2_000), dir)?;
    let mut duckdb = DuckDb::start(options.has_rivals, sheet)?;
    if let Some(duckdb) = &duckdb {
        sheet.remark(format!("DuckDB {}; it has both cores, the others one thread", duckdb.version));
    }
    for (columns, what) in [(Columns::Raw, "payloads as they are"), (Columns::Typed, "typed columns of JSON")]
    {
        let (manifest, _) = seal(&input, columns, dir, "model")?;
        let model = model(&manifest, dir)?;
        for round in 0..options.rounds {
            let mut put = |who: &str, seconds: f64| {
                sheet.put(round, what, who, "MB/s", input.payload_bytes as f64 / 1e6 / seconds);
                let records = format!("{what}, records");
                sheet.put(round, &records, who, "1/s", input.records as f64 / seconds);
            };
            let (_, seconds) = seal(&input, columns, dir, &format!("round-{round}"))?;
            put(OURS, seconds);
            put(BARE, bare(&input, columns, &model, dir)?);
            if let Some(duckdb) = &mut duckdb {
                put("DuckDB COPY", copy(duckdb, &input, columns, dir)?);
            }
        }
        sheet.beside(what, what, BARE);
        let id = if columns == Columns::Raw { "J1a" } else { "J1b" };
        sheet.goal(id, (what, OURS), Bound::AtLeast(0.7));
    }
    Ok(())
}

fn prepare(records: u64, dir: &Path) -> Outcome<Input> {
    let log = dir.join("log");
    filled(&log, (0..records).map(|block| payloads::json(block).into_bytes()))?.close()?;
    let mut lines = Vec::new();
    for block in 0..records {
        writeln!(lines, "{}", payloads::json(block))?;
    }
    let lines_path = dir.join("lines.jsonl");
    fs::write(&lines_path, &lines)?;
    let payload_bytes = lines.len() as u64 - records;
    Ok(Input { log, lines_path, lines, records, payload_bytes })
}

/// Seals everything into one chunk of an empty store, as `loghold seal` does.
fn seal(input: &Input, columns: Columns, dir: &Path, name: &str) -> Outcome<(Manifest, f64)> {
    let store = dir.join("store");
    machine::fresh_dir(&store)?;
    let mut plan = plan(&format!("file://{}", store.display()), columns, input.records, 0)?;
    plan.consumer = format!("{columns:?}-{name}");
    let begin = Instant::now();
    // The trial of a store precedes only the first chunk of all.
    let mut sealer = Sealer::open(plan, Source::Reader(Reader::open(&input.log)?))?.trusting_store();
    let sealed = sealer.seal_all()?;
    let seconds = machine::seconds_since(begin);
    match <[Manifest; 1]>::try_from(sealed) {
        Ok([manifest]) if manifest.files.contains_key("records.parquet") && manifest.files.len() == 1 => {
            Ok((manifest, seconds))
        }
        other => Err(format!("sealed something else: {other:?}").into()),
    }
}

/// What the bare loop is to make: the rows of a chunk, and the size of its file.
struct Model {
    schema: SchemaRef,
    batches: Vec<RecordBatch>,
    file_bytes: u64,
}

fn model(manifest: &Manifest, dir: &Path) -> Outcome<Model> {
    let path = dir.join("store").join(manifest.object_name("records.parquet"));
    let file_bytes = fs::metadata(&path)?.len();
    let builder = ParquetRecordBatchReaderBuilder::try_new(File::open(path)?)?;
    let reader = builder.with_batch_size(64 << 10).build()?;
    let schema = reader.schema();
    Ok(Model { schema, batches: reader.collect::<Result<_, _>>()?, file_bytes })
}

/// Seconds of the writer alone: rows that lie in memory, or are decoded from lines in memory, into a synced file.
fn bare(input: &Input, columns: Columns, model: &Model, dir: &Path) -> Outcome<f64> {
    let path = dir.join("bare.parquet");
    let begin = Instant::now();
    // Without the schema's notes: decoders of JSON know none.
    let schema = Arc::new(Schema::new(model.schema.fields().clone()));
    let mut writer = ArrowWriter::try_new(Vec::new(), Arc::clone(&schema), Some(properties(columns)?))?;
    match columns {
        Columns::Raw => model.batches.iter().try_for_each(|batch| writer.write(batch))?,
        Columns::Typed => {
            let builder = arrow_json::ReaderBuilder::new(schema).with_batch_size(8 << 10);
            for batch in builder.build(input.lines.as_slice())? {
                writer.write(&batch?)?;
            }
        }
    }
    let bytes = writer.into_inner()?;
    let mut file = File::create(&path)?;
    file.write_all(&bytes)?;
    file.sync_all()?;
    let seconds = machine::seconds_since(begin);
    let ratio = bytes.len() as f64 / model.file_bytes as f64;
    if (ratio - 1.0).abs() > SIZE_TOLERANCE {
        return Err(format!("the bare loop's file has {ratio:.3} times the bytes of a chunk's").into());
    }
    Ok(seconds)
}

/// The settings of the files that are sealed, which the sealer keeps to itself.
fn properties(columns: Columns) -> Outcome<WriterProperties> {
    let mut properties = WriterProperties::builder()
        .set_writer_version(WriterVersion::PARQUET_1_0)
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(3)?))
        .set_max_row_group_row_count(Some(64 << 10))
        .set_max_row_group_bytes(Some(128 << 20))
        .set_data_page_row_count_limit(8 << 10)
        .set_write_batch_size(1024)
        .set_statistics_enabled(EnabledStatistics::Page)
        .set_statistics_truncate_length(Some(32))
        .set_column_index_truncate_length(Some(32));
    for rising in ["block_number", "transid"] {
        let column = ColumnPath::from(rising);
        properties = properties
            .set_column_dictionary_enabled(column.clone(), false)
            .set_column_encoding(column, Encoding::DELTA_BINARY_PACKED);
    }
    if columns == Columns::Raw {
        let payload = ColumnPath::from("bytes");
        properties = properties
            .set_column_dictionary_enabled(payload.clone(), false)
            .set_column_statistics_enabled(payload, EnabledStatistics::None);
    }
    Ok(properties.build())
}

/// Seconds of DuckDB for the same lines, and of the sync that it leaves out.
fn copy(duckdb: &mut DuckDb, input: &Input, columns: Columns, dir: &Path) -> Outcome<f64> {
    let path = dir.join("copied.parquet");
    let reader = if columns == Columns::Raw { "read_json_objects" } else { "read_json" };
    let (from, to) = (input.lines_path.display(), path.display());
    let sql = format!("COPY (SELECT * FROM {reader}('{from}')) TO '{to}' (FORMAT parquet, COMPRESSION zstd)");
    let (seconds, _) = duckdb.run(&sql)?;
    let begin = Instant::now();
    File::open(path)?.sync_all()?;
    Ok(seconds + machine::seconds_since(begin))
}
