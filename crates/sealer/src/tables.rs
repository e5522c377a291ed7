//! Records into tables: the columns of a plan, filled row by row.
//! Refuses to lose a record: what fits nowhere goes into the table of rejected ones, with the reason.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use arrow_array::builder::{
    BinaryBuilder, BooleanBuilder, Float64Builder, Int64Builder, LargeBinaryBuilder, StringBuilder,
    TimestampMicrosecondBuilder, TimestampMillisecondBuilder, UInt32Builder, UInt64Builder,
};
use arrow_array::{ArrayRef, RecordBatch};
use arrow_schema::{DataType, Field, Schema, TimeUnit};

use crate::column::{Cell, Column, ColumnKind};
use crate::cut::Pending;
use crate::error::Error;
use crate::manifest::FileKind;
use crate::plan::{BLOCK_NUMBER, Columns, Plan, REJECTED, TRANSID, Table};
use crate::walk::{Document, Placed};

/// A record with its place.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Row<'a> {
    pub(crate) placed: &'a Placed,
    pub(crate) transid: u64,
    pub(crate) type_no: u32,
    pub(crate) appended_at: Option<SystemTime>,
    pub(crate) bytes: &'a [u8],
    pub(crate) document: &'a Document<'a>,
}

/// A table that is full.
#[derive(Clone, Debug)]
pub(crate) struct Filled {
    pub(crate) file: String,
    pub(crate) kind: FileKind,
    pub(crate) batch: RecordBatch,
}

/// The tables of one chunk while they are filled.
#[derive(Debug)]
pub(crate) struct Tables<'a> {
    plan: &'a Plan,
    filling: Vec<Filling<'a>>,
    rejected: RawColumns,
}

#[derive(Debug)]
enum Filling<'a> {
    Raw(&'a Table, Box<RawColumns>),
    Typed(&'a Table, &'a [Column], Box<TypedColumns>),
}

impl<'a> Tables<'a> {
    pub(crate) fn new(plan: &'a Plan) -> Tables<'a> {
        Tables::with_room(plan, Pending::default())
    }

    /// With room for these where a table takes all of them: Arrow's columns are copied whenever they outgrow their room.
    pub(crate) fn with_room(plan: &'a Plan, pending: Pending) -> Tables<'a> {
        let tables = plan.tables.iter().map(|table| match &table.columns {
            Columns::Raw if table.type_no.is_none() => {
                Filling::Raw(table, Box::new(RawColumns::with_room(pending)))
            }
            Columns::Raw => Filling::Raw(table, Box::default()),
            Columns::Typed(columns) => Filling::Typed(table, columns, Box::new(TypedColumns::new(columns))),
        });
        Tables { plan, filling: tables.collect(), rejected: RawColumns::default() }
    }

    /// Adds a record to each table that takes it.
    pub(crate) fn push(&mut self, row: Row<'_>) {
        let mut reasons: Vec<String> = row.placed.misfit.iter().cloned().collect();
        let mut is_taken = false;
        for table in &mut self.filling {
            match table {
                Filling::Raw(table, raw) if table.takes(row.type_no) => {
                    raw.push(row);
                    is_taken = true;
                }
                Filling::Typed(table, columns, typed) if table.takes(row.type_no) => {
                    is_taken = true;
                    // A record that names no block would stand in a table as if it belonged to the block before it.
                    if row.placed.misfit.is_none()
                        && let Err(reason) = typed.push(columns, row)
                    {
                        reasons.push(format!("{}: {reason}", table.file));
                    }
                }
                _ => {}
            }
        }
        if !is_taken {
            reasons.push(format!("no table takes type {}", row.type_no));
        }
        // Where a raw table holds everything, nothing that is only without a number is lost.
        if !reasons.is_empty() {
            self.rejected.push(row);
            self.rejected.reason.append_value(reasons.join("; "));
        }
    }

    /// The tables, those of the plan first; that of rejected records only if there are any.
    pub(crate) fn finish(self) -> Result<Vec<Filled>, Error> {
        let raw_file = self.plan.raw_table().map(|table| table.file.as_str());
        let mut filled = Vec::new();
        for table in self.filling {
            let (file, kind, batch) = match table {
                Filling::Raw(table, raw) if raw_file == Some(&table.file) => {
                    (&table.file, FileKind::Raw, raw.finish(false))
                }
                Filling::Raw(table, raw) => (&table.file, FileKind::Table, raw.finish(false)),
                Filling::Typed(table, columns, typed) => {
                    (&table.file, FileKind::Table, typed.finish(columns))
                }
            };
            filled.push(Filled {
                file: file.clone(),
                kind,
                batch: batch.map_err(|error| unmade(file, &error))?,
            });
        }
        if self.rejected.count > 0 {
            let batch = self.rejected.finish(true).map_err(|error| unmade(REJECTED, &error))?;
            filled.push(Filled { file: REJECTED.to_owned(), kind: FileKind::Rejected, batch });
        }
        Ok(filled)
    }
}

/// Columns are of one length by construction; what is left is a column that outgrows what Arrow counts.
fn unmade(file: &str, error: &arrow_schema::ArrowError) -> Error {
    Error::damaged(file, format!("the table could not be made: {error}"))
}

/// Records as they are.
#[derive(Debug, Default)]
struct RawColumns {
    count: usize,
    block: UInt64Builder,
    transid: UInt64Builder,
    type_no: UInt32Builder,
    appended_at: TimestampMicrosecondBuilder,
    bytes: LargeBinaryBuilder,
    reason: StringBuilder,
}

impl RawColumns {
    /// A hint: one that is too large for this machine is none.
    fn with_room(pending: Pending) -> RawColumns {
        let room = |count: u64| usize::try_from(count).unwrap_or_default();
        let (records, bytes) = (room(pending.records), room(pending.bytes));
        RawColumns {
            block: UInt64Builder::with_capacity(records),
            transid: UInt64Builder::with_capacity(records),
            type_no: UInt32Builder::with_capacity(records),
            appended_at: TimestampMicrosecondBuilder::with_capacity(records),
            bytes: LargeBinaryBuilder::with_capacity(records, bytes),
            ..RawColumns::default()
        }
    }

    fn push(&mut self, row: Row<'_>) {
        self.count = self.count.saturating_add(1);
        self.block.append_value(row.placed.block);
        self.transid.append_value(row.transid);
        self.type_no.append_value(row.type_no);
        self.appended_at.append_option(row.appended_at.and_then(micros));
        self.bytes.append_value(row.bytes);
    }

    fn finish(mut self, with_reason: bool) -> Result<RecordBatch, arrow_schema::ArrowError> {
        let time = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
        let mut fields = leading_fields();
        fields.push(Field::new("type", DataType::UInt32, false));
        fields.push(Field::new("appended_at", time, true));
        fields.push(Field::new("bytes", DataType::LargeBinary, false));
        let mut columns: Vec<ArrayRef> = vec![
            Arc::new(self.block.finish()),
            Arc::new(self.transid.finish()),
            Arc::new(self.type_no.finish()),
            Arc::new(self.appended_at.finish().with_timezone("UTC")),
            Arc::new(self.bytes.finish()),
        ];
        if with_reason {
            fields.push(Field::new("reason", DataType::Utf8, false));
            columns.push(Arc::new(self.reason.finish()));
        }
        RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)
    }
}

fn leading_fields() -> Vec<Field> {
    vec![Field::new(BLOCK_NUMBER, DataType::UInt64, false), Field::new(TRANSID, DataType::UInt64, false)]
}

fn micros(time: SystemTime) -> Option<i64> {
    i64::try_from(time.duration_since(UNIX_EPOCH).ok()?.as_micros()).ok()
}

/// Values from payloads.
#[derive(Debug)]
struct TypedColumns {
    block: UInt64Builder,
    transid: UInt64Builder,
    cells: Vec<CellsBuilder>,
}

#[derive(Debug)]
enum CellsBuilder {
    Bool(BooleanBuilder),
    I64(Int64Builder),
    U64(UInt64Builder),
    F64(Float64Builder),
    Text(StringBuilder),
    Bytes(BinaryBuilder),
    Millis(TimestampMillisecondBuilder),
    Micros(TimestampMicrosecondBuilder),
}

impl TypedColumns {
    fn new(columns: &[Column]) -> TypedColumns {
        let cells = columns.iter().map(|column| CellsBuilder::new(column.kind)).collect();
        TypedColumns { block: UInt64Builder::new(), transid: UInt64Builder::new(), cells }
    }

    /// All cells of the row, or none.
    fn push(&mut self, columns: &[Column], row: Row<'_>) -> Result<(), String> {
        let document = match row.document {
            Some(Ok(document)) => document,
            Some(Err(reason)) => return Err(reason.clone()),
            None => return Err("it was not read as JSON".to_owned()),
        };
        let cells = columns.iter().map(|column| column.read(document)).collect::<Result<Vec<_>, _>>()?;
        self.block.append_value(row.placed.block);
        self.transid.append_value(row.transid);
        for (builder, cell) in self.cells.iter_mut().zip(cells) {
            builder.append(cell);
        }
        Ok(())
    }

    fn finish(mut self, columns: &[Column]) -> Result<RecordBatch, arrow_schema::ArrowError> {
        let mut fields = leading_fields();
        let mut arrays: Vec<ArrayRef> = vec![Arc::new(self.block.finish()), Arc::new(self.transid.finish())];
        for (column, cells) in columns.iter().zip(self.cells) {
            fields.push(Field::new(&column.name, column.kind.data_type(), column.is_optional));
            arrays.push(cells.finish());
        }
        RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays)
    }
}

impl CellsBuilder {
    fn new(kind: ColumnKind) -> CellsBuilder {
        match kind {
            ColumnKind::Bool => CellsBuilder::Bool(BooleanBuilder::new()),
            ColumnKind::I64 => CellsBuilder::I64(Int64Builder::new()),
            ColumnKind::U64 => CellsBuilder::U64(UInt64Builder::new()),
            ColumnKind::F64 => CellsBuilder::F64(Float64Builder::new()),
            ColumnKind::Utf8 | ColumnKind::Json => CellsBuilder::Text(StringBuilder::new()),
            ColumnKind::Binary => CellsBuilder::Bytes(BinaryBuilder::new()),
            ColumnKind::Timestamp(TimeUnit::Second | TimeUnit::Millisecond) => {
                CellsBuilder::Millis(TimestampMillisecondBuilder::new())
            }
            ColumnKind::Timestamp(_) => CellsBuilder::Micros(TimestampMicrosecondBuilder::new()),
        }
    }

    /// A cell of another kind than the column's does not come out of `Column::read`; it would stand as nothing.
    fn append(&mut self, cell: Cell<'_>) {
        match (self, cell) {
            (CellsBuilder::Bool(builder), Cell::Bool(value)) => builder.append_value(value),
            (CellsBuilder::I64(builder), Cell::I64(value)) => builder.append_value(value),
            (CellsBuilder::U64(builder), Cell::U64(value)) => builder.append_value(value),
            (CellsBuilder::F64(builder), Cell::F64(value)) => builder.append_value(value),
            (CellsBuilder::Text(builder), Cell::Text(value)) => builder.append_value(value),
            (CellsBuilder::Bytes(builder), Cell::Bytes(value)) => builder.append_value(value),
            (CellsBuilder::Millis(builder), Cell::I64(value)) => builder.append_value(value),
            (CellsBuilder::Micros(builder), Cell::I64(value)) => builder.append_value(value),
            (builder, _) => builder.append_null(),
        }
    }

    fn append_null(&mut self) {
        match self {
            CellsBuilder::Bool(builder) => builder.append_null(),
            CellsBuilder::I64(builder) => builder.append_null(),
            CellsBuilder::U64(builder) => builder.append_null(),
            CellsBuilder::F64(builder) => builder.append_null(),
            CellsBuilder::Text(builder) => builder.append_null(),
            CellsBuilder::Bytes(builder) => builder.append_null(),
            CellsBuilder::Millis(builder) => builder.append_null(),
            CellsBuilder::Micros(builder) => builder.append_null(),
        }
    }

    fn finish(self) -> ArrayRef {
        match self {
            CellsBuilder::Bool(mut builder) => Arc::new(builder.finish()),
            CellsBuilder::I64(mut builder) => Arc::new(builder.finish()),
            CellsBuilder::U64(mut builder) => Arc::new(builder.finish()),
            CellsBuilder::F64(mut builder) => Arc::new(builder.finish()),
            CellsBuilder::Text(mut builder) => Arc::new(builder.finish()),
            CellsBuilder::Bytes(mut builder) => Arc::new(builder.finish()),
            CellsBuilder::Millis(mut builder) => Arc::new(builder.finish().with_timezone("UTC")),
            CellsBuilder::Micros(mut builder) => Arc::new(builder.finish().with_timezone("UTC")),
        }
    }
}
