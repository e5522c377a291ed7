//! Tables as Parquet: sorted by block, compressed, and with what engines need to pass over what they do not want.
//! Refuses to put anything of the moment into a file: the same table makes the same bytes.

use std::iter;
use std::sync::Arc;

use arrow_array::{RecordBatch, RecordBatchReader};
use arrow_schema::{ArrowError, Schema, SchemaRef};
use bytes::Bytes;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::{ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder};
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::metadata::SortingColumn;
use parquet::file::properties::{EnabledStatistics, WriterProperties, WriterVersion};
use parquet::schema::types::ColumnPath;

use crate::error::Error;
use crate::plan::{BLOCK_NUMBER, TRANSID};

/// Rows that an engine takes or leaves at once. A tenth of it is a page, the smallest thing that is left out.
const ROW_GROUP_ROWS: usize = 64 << 10;
const PAGE_ROWS: usize = 8 << 10;
/// Large payloads end a row group earlier, so that one can be decoded in memory.
const ROW_GROUP_BYTES: usize = 128 << 20;
const ZSTD_LEVEL: i32 = 3;
/// Not a version of this program: another one that makes other bytes has to say so here.
const CREATED_BY: &str = "loghold sealer 1";
/// Texts and payloads: in statistics, more of a long value prunes nothing better.
const STATISTICS_BYTES: usize = 32;

/// A file that is being made. Its bytes depend on its rows and on how they are cut into batches.
pub(crate) struct Encoder {
    name: String,
    writer: ArrowWriter<Vec<u8>>,
    rows: u64,
}

impl Encoder {
    pub(crate) fn new(name: &str, schema: &SchemaRef) -> Result<Encoder, Error> {
        let writer = properties(schema)
            .and_then(|properties| ArrowWriter::try_new(Vec::new(), Arc::clone(schema), Some(properties)));
        let writer = writer.map_err(|error| unwritten(name, &error))?;
        Ok(Encoder { name: name.to_owned(), writer, rows: 0 })
    }

    /// Adds rows, which are sorted by block already.
    pub(crate) fn add(&mut self, batch: &RecordBatch) -> Result<(), Error> {
        self.rows = self.rows.saturating_add(batch.num_rows() as u64);
        self.writer.write(batch).map_err(|error| unwritten(&self.name, &error))
    }

    /// The bytes of the file, and how many rows it has.
    pub(crate) fn finish(self) -> Result<(Bytes, u64), Error> {
        let bytes = self.writer.into_inner().map_err(|error| unwritten(&self.name, &error))?;
        Ok((Bytes::from(bytes), self.rows))
    }
}

fn unwritten(name: &str, error: &ParquetError) -> Error {
    Error::damaged(name, format!("not written as Parquet: {error}"))
}

/// The rows of a file in batches, behind an empty one: a file without rows still has its columns.
pub(crate) fn read(
    name: &str,
    bytes: Bytes,
) -> Result<impl Iterator<Item = Result<RecordBatch, Error>>, Error> {
    let reader = reader(name, bytes)?;
    let empty = RecordBatch::new_empty(reader.schema());
    let damaged = move |error: ArrowError| Error::damaged(name, format!("no Parquet of ours: {error}"));
    Ok(iter::once(Ok(empty)).chain(reader.map(move |batch| batch.map_err(&damaged))))
}

/// Reads a file, a bounded number of rows at a time.
pub(crate) fn reader(name: &str, bytes: Bytes) -> Result<ParquetRecordBatchReader, Error> {
    let builder = ParquetRecordBatchReaderBuilder::try_new(bytes);
    let reader = builder.and_then(|builder| builder.with_batch_size(PAGE_ROWS).build());
    reader.map_err(|error| Error::damaged(name, format!("no Parquet of ours: {error}")))
}

fn properties(schema: &Schema) -> Result<WriterProperties, ParquetError> {
    let mut properties = WriterProperties::builder()
        .set_writer_version(WriterVersion::PARQUET_1_0)
        .set_created_by(CREATED_BY.to_owned())
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(ZSTD_LEVEL)?))
        .set_max_row_group_row_count(Some(ROW_GROUP_ROWS))
        .set_max_row_group_bytes(Some(ROW_GROUP_BYTES))
        .set_data_page_row_count_limit(PAGE_ROWS)
        // A writer looks at the limits between batches of this many.
        .set_write_batch_size(1024)
        .set_statistics_enabled(EnabledStatistics::Page)
        .set_statistics_truncate_length(Some(STATISTICS_BYTES))
        .set_column_index_truncate_length(Some(STATISTICS_BYTES))
        .set_sorting_columns(Some(vec![SortingColumn {
            column_idx: 0,
            descending: false,
            nulls_first: false,
        }]));
    for rising in [BLOCK_NUMBER, TRANSID] {
        let column = ColumnPath::from(rising);
        properties = properties
            .set_column_dictionary_enabled(column.clone(), false)
            .set_column_encoding(column, Encoding::DELTA_BINARY_PACKED);
    }
    if schema.column_with_name("appended_at").is_some() {
        let payload = ColumnPath::from("bytes");
        properties = properties
            .set_column_dictionary_enabled(payload.clone(), false)
            .set_column_statistics_enabled(payload, EnabledStatistics::None);
    }
    Ok(properties.build())
}
