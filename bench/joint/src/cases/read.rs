//! read: all records of a dataset of which half lies in chunks and half in the log, beside both halves apart.
//! Refuses to miss a record: everybody's are counted, with their bytes.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use arrow_array::cast::AsArray;
use bench_kit::args::Shared;
use bench_kit::machine;
use bench_kit::report::{Bound, OURS, Sheet};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use rtrans::{Reader, TransId};
use sealer::{Line, Manifest, Plan, Reading, Sealer, Source, Store};

use crate::logs::{Columns, filled, plan};
use crate::{Outcome, payloads};

const RECORDS: u64 = 400_000;
const CHUNKS: u64 = 4;
const APART: &str = "raw chunks + log, apart";

/// How many records were read, and the bytes of their payloads.
type Amount = (u64, u64);

pub(crate) fn run(options: &Shared, dir: &Path, sheet: &mut Sheet) -> Outcome<()> {
    let chunk_records = (options.scaled(RECORDS, 8_000) / CHUNKS / 2).max(1);
    let (sealed, records) = (chunk_records * CHUNKS, chunk_records * CHUNKS * 2);
    let log = dir.join("log");
    filled(&log, (0..records).map(|block| payloads::json(block).into_bytes()))?.close()?;
    let url = format!("file://{}", dir.join("store").display());
    fs::create_dir_all(dir.join("store"))?;
    let plan = plan(&url, Columns::Raw, chunk_records, records - sealed)?;
    let reader = Reader::open(&log)?;
    let chunks = Sealer::open(plan.clone(), Source::Reader(reader.clone()))?.trusting_store().seal_all()?;
    if chunks.len() as u64 != CHUNKS {
        return Err(format!("there are {} chunks, and should be {CHUNKS}", chunks.len()).into());
    }
    let store = Store::open(&url)?;
    let first_of_log = TransId::new(sealed + 1).ok_or("0 is no id")?;
    for round in 0..options.rounds {
        let mut amounts = Vec::new();
        let mut timed = |what: &str, who: &str, read: &dyn Fn() -> Outcome<Amount>| -> Outcome<f64> {
            let begin = Instant::now();
            let amount = read()?;
            let seconds = machine::seconds_since(begin);
            sheet.put(round, what, who, "1/s", amount.0 as f64 / seconds);
            amounts.push((who.to_owned(), amount));
            Ok(seconds)
        };
        timed("everything", OURS, &|| across(&store, Some((&plan, &reader)), records))?;
        let chunks_time = timed("chunks alone", OURS, &|| across(&store, None, sealed))?;
        let log_time = timed("log alone", OURS, &|| scan(&reader, first_of_log))?;
        timed("chunks alone", "raw Parquet reader", &|| decode(&chunks, dir))?;
        timed("log alone", "raw batches", &|| batches(&reader, first_of_log))?;
        sheet.put(round, "everything", APART, "1/s", records as f64 / (chunks_time + log_time));
        if let Some(wrong) = wrong(&amounts, records, sealed) {
            return Err(wrong.into());
        }
    }
    sheet.beside("everything", "everything", APART);
    sheet.beside("chunks alone", "chunks alone", "raw Parquet reader");
    sheet.beside("log alone", "log alone", "raw batches");
    sheet.goal("J3", ("everything", OURS), Bound::AtLeast(0.8));
    Ok(())
}

/// Who read other records than there are.
fn wrong(amounts: &[(String, Amount)], records: u64, sealed: u64) -> Option<String> {
    let bytes = |blocks: std::ops::Range<u64>| blocks.map(|block| payloads::json(block).len() as u64).sum();
    let (of_chunks, of_log): (u64, u64) = (bytes(0..sealed), bytes(sealed..records));
    let chunks = (sealed, of_chunks);
    let log = (records - sealed, of_log);
    let expected = [(records, of_chunks + of_log), chunks, log, chunks, log];
    let differs = |((who, found), expected): (&(String, Amount), Amount)| {
        (*found != expected).then(|| format!("{who} read {found:?}, and should read {expected:?}"))
    };
    amounts.iter().zip(expected).find_map(differs)
}

/// As `loghold read` does.
fn across(store: &Store, head: Option<(&Plan, &Reader)>, records: u64) -> Outcome<Amount> {
    let head = head.map(|(plan, reader)| (plan.clone(), reader.clone()));
    let mut reading = Reading::new(store, head, 0..records);
    let mut amount = (0, 0);
    while let Some(line) = reading.next_within(Duration::ZERO)? {
        if let Line::Record { record, .. } = line {
            amount = (amount.0 + 1, amount.1 + record.bytes.len() as u64);
        }
    }
    Ok(amount)
}

fn scan(reader: &Reader, from: TransId) -> Outcome<Amount> {
    let mut amount = (0, 0);
    for record in reader.scan(from..) {
        amount = (amount.0 + 1, amount.1 + record?.bytes.len() as u64);
    }
    Ok(amount)
}

/// Records that stay where they were read to.
fn batches(reader: &Reader, from: TransId) -> Outcome<Amount> {
    let mut amount = (0, 0);
    for batch in reader.batches(from..) {
        for record in batch?.records() {
            amount = (amount.0 + 1, amount.1 + record.bytes.len() as u64);
        }
    }
    Ok(amount)
}

/// The columns of the files, which nobody compares with a digest or makes records of.
fn decode(chunks: &[Manifest], dir: &Path) -> Outcome<Amount> {
    let mut amount = (0, 0);
    for chunk in chunks {
        let file = fs::File::open(dir.join("store").join(chunk.object_name("records.parquet")))?;
        for batch in ParquetRecordBatchReaderBuilder::try_new(file)?.with_batch_size(8 << 10).build()? {
            let batch = batch?;
            let payloads = batch.column_by_name("bytes").ok_or("there are no payloads")?.as_binary::<i64>();
            let bytes: usize = payloads.iter().flatten().map(<[u8]>::len).sum();
            amount = (amount.0 + batch.num_rows() as u64, amount.1 + bytes as u64);
        }
    }
    Ok(amount)
}
