//! The rows of a chunk's files, merged into the order in which their records were appended.
//! Refuses to hold a whole file decoded: some thousand rows of each at a time.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use arrow_array::cast::AsArray;
use arrow_array::types::{
    Float64Type, Int64Type, TimestampMicrosecondType, TimestampMillisecondType, UInt32Type, UInt64Type,
};
use arrow_array::{Array, RecordBatch};
use arrow_schema::{DataType, TimeUnit};
use chrono::{DateTime, Utc};
use parquet::arrow::arrow_reader::ParquetRecordBatchReader;
use rtrans::{Record, TransId, TypeNo};
use serde_json::{Map, Value};

use crate::error::Error;
use crate::hex::hex;
use crate::line::Line;
use crate::manifest::{FileKind, Manifest};
use crate::parquet_file;
use crate::plan::{BLOCK_NUMBER, TRANSID};
use crate::store::Store;
use crate::time_text::rfc3339;
use crate::verify::read_file;

/// The rows of one chunk.
pub(crate) struct ChunkRows {
    files: Vec<FileRows>,
}

/// The rows of one table.
struct FileRows {
    name: String,
    kind: FileKind,
    reader: Option<ParquetRecordBatchReader>,
    batch: Option<RecordBatch>,
    row: usize,
}

impl ChunkRows {
    /// Reads the files of a chunk: the one with every record as it was, or else all of them.
    pub(crate) fn open(store: &Store, manifest: &Manifest) -> Result<ChunkRows, Error> {
        let names: Vec<&str> = match manifest.raw_file() {
            Some((name, _)) => vec![name],
            None => manifest.files.keys().map(String::as_str).collect(),
        };
        let mut files = Vec::new();
        for name in names {
            let bytes = read_file(store, manifest, name)?;
            let reader = parquet_file::reader(name, bytes)?;
            let kind = manifest.files.get(name).map_or(FileKind::Table, |file| file.kind);
            files.push(FileRows { name: name.to_owned(), kind, reader: Some(reader), batch: None, row: 0 });
        }
        Ok(ChunkRows { files })
    }

    /// Tables that were just filled, as if they had been read.
    pub(crate) fn of(tables: Vec<crate::tables::Filled>) -> ChunkRows {
        let file = |table: crate::tables::Filled| FileRows {
            name: table.file,
            kind: table.kind,
            reader: None,
            batch: Some(table.batch),
            row: 0,
        };
        ChunkRows { files: tables.into_iter().map(file).collect() }
    }

    /// The next row of all files: that of the earliest record.
    pub(crate) fn next(&mut self) -> Result<Option<Line>, Error> {
        let mut earliest: Option<(u64, usize)> = None;
        for (index, file) in self.files.iter_mut().enumerate() {
            if let Some(transid) = file.transid()?
                && earliest.is_none_or(|(least, _)| transid < least)
            {
                earliest = Some((transid, index));
            }
        }
        match earliest.and_then(|(_, index)| self.files.get_mut(index)) {
            Some(file) => file.take().map(Some),
            None => Ok(None),
        }
    }
}

impl FileRows {
    /// The record of the next row; `None` behind the last.
    fn transid(&mut self) -> Result<Option<u64>, Error> {
        loop {
            if let Some(batch) = self.batch.as_ref().filter(|batch| self.row < batch.num_rows()) {
                return number(batch, TRANSID, self.row).map(Some).ok_or_else(|| self.odd(TRANSID));
            }
            let Some(batch) = self.reader.as_mut().and_then(Iterator::next) else { return Ok(None) };
            self.batch = Some(
                batch.map_err(|error| Error::damaged(&self.name, format!("no Parquet of ours: {error}")))?,
            );
            self.row = 0;
        }
    }

    fn take(&mut self) -> Result<Line, Error> {
        let row = self.row;
        self.row = row.saturating_add(1);
        let Some(batch) = &self.batch else { return Err(self.odd(TRANSID)) };
        let block = number(batch, BLOCK_NUMBER, row).ok_or_else(|| self.odd(BLOCK_NUMBER))?;
        let id = number(batch, TRANSID, row).and_then(TransId::new).ok_or_else(|| self.odd(TRANSID))?;
        if self.kind == FileKind::Raw {
            let record = record(batch, row, id).ok_or_else(|| self.odd("bytes"))?;
            return Ok(Line::Record { block, record });
        }
        let mut values = Map::new();
        for (field, column) in batch.schema().fields().iter().zip(batch.columns()) {
            let value = value(column.as_ref(), row).ok_or_else(|| self.odd(field.name()))?;
            values.insert(field.name().clone(), value);
        }
        let table = self.name.strip_suffix(".parquet").unwrap_or(&self.name).to_owned();
        Ok(Line::Row { block, id, table, values })
    }

    fn odd(&self, column: &str) -> Error {
        Error::damaged(&self.name, format!("its column {column} is not as it was written"))
    }
}

fn number(batch: &RecordBatch, name: &str, row: usize) -> Option<u64> {
    let column = batch.column_by_name(name)?.as_primitive_opt::<UInt64Type>()?;
    (row < column.len() && column.is_valid(row)).then(|| column.value(row))
}

fn record(batch: &RecordBatch, row: usize, id: TransId) -> Option<Record> {
    let type_no = batch.column_by_name("type")?.as_primitive_opt::<UInt32Type>()?;
    let times = batch.column_by_name("appended_at")?.as_primitive_opt::<TimestampMicrosecondType>()?;
    let bytes = batch.column_by_name("bytes")?.as_binary_opt::<i64>()?;
    if row >= batch.num_rows() {
        return None;
    }
    let time = times.is_valid(row).then(|| times.value(row));
    Some(Record {
        id,
        type_no: TypeNo(type_no.value(row)),
        appended_at: time.and_then(time_of),
        bytes: bytes.value(row).to_vec(),
    })
}

fn time_of(micros: i64) -> Option<SystemTime> {
    UNIX_EPOCH.checked_add(Duration::from_micros(u64::try_from(micros).ok()?))
}

/// As a text; any number was sealed, so one that no calendar has is shown as it is.
fn time_value(time: Option<DateTime<Utc>>, count: i64) -> Value {
    time.map_or_else(|| Value::from(count), |time| Value::from(rfc3339(time)))
}

/// A cell as JSON: bytes as `0x` and digits, times as of RFC 3339.
fn value(column: &dyn Array, row: usize) -> Option<Value> {
    if row >= column.len() {
        return None;
    }
    if column.is_null(row) {
        return Some(Value::Null);
    }
    Some(match column.data_type() {
        DataType::Boolean => Value::from(column.as_boolean_opt()?.value(row)),
        DataType::UInt32 => Value::from(column.as_primitive_opt::<UInt32Type>()?.value(row)),
        DataType::UInt64 => Value::from(column.as_primitive_opt::<UInt64Type>()?.value(row)),
        DataType::Int64 => Value::from(column.as_primitive_opt::<Int64Type>()?.value(row)),
        DataType::Float64 => Value::from(column.as_primitive_opt::<Float64Type>()?.value(row)),
        DataType::Utf8 => Value::from(column.as_string_opt::<i32>()?.value(row)),
        DataType::Binary => Value::from(format!("0x{}", hex(column.as_binary_opt::<i32>()?.value(row)))),
        DataType::LargeBinary => Value::from(format!("0x{}", hex(column.as_binary_opt::<i64>()?.value(row)))),
        DataType::Timestamp(TimeUnit::Millisecond, _) => {
            let millis = column.as_primitive_opt::<TimestampMillisecondType>()?.value(row);
            time_value(DateTime::from_timestamp_millis(millis), millis)
        }
        DataType::Timestamp(TimeUnit::Microsecond, _) => {
            let micros = column.as_primitive_opt::<TimestampMicrosecondType>()?.value(row);
            time_value(DateTime::from_timestamp_micros(micros), micros)
        }
        _ => return None,
    })
}
