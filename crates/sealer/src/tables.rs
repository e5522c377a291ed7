//! Records into tables: the columns of a plan, filled row by row.
//! Refuses to lose a record: what fits nowhere goes into the table of rejected ones, with the reason.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use arrow_array::builder::{
    BinaryBuilder, BooleanBuilder, Float64Builder, Int64Builder, LargeBinaryBuilder, StringBuilder,
    TimestampMicrosecondBuilder, TimestampMillisecondBuilder, UInt32Builder, UInt64Builder,
};
use arrow_array::{ArrayRef, RecordBatch};
use arrow_schema::{ArrowError, DataType, Field, Schema, TimeUnit};

use crate::column::{Cell, Column, ColumnKind};
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

/// Rows of a table, ready to be encoded.
#[derive(Clone, Debug)]
pub(crate) struct Filled {
    pub(crate) file: String,
    pub(crate) kind: FileKind,
    pub(crate) batch: RecordBatch,
}

/// When rows are handed over. What a file is made of must not depend on when its records came, so these count the
/// rows of one table and the payloads behind them. A multiple of the 1,024 rows between which a file is cut.
const BATCH_ROWS: usize = 8 << 10;
const BATCH_BYTES: usize = 8 << 20;

/// The tables of one chunk while they are filled.
#[derive(Debug)]
pub(crate) struct Tables<'a> {
    filling: Vec<Filling<'a>>,
    rejected: Filling<'a>,
    /// Whether one of them has rows enough to be handed over.
    has_many: bool,
}

/// One table, with what was not handed over yet.
#[derive(Debug)]
struct Filling<'a> {
    file: &'a str,
    kind: FileKind,
    columns: Filler<'a>,
    rows: usize,
    bytes: usize,
}

#[derive(Debug)]
enum Filler<'a> {
    Raw(&'a Table, Box<RawColumns>),
    Typed(&'a Table, &'a [Column], Box<TypedColumns>),
    Rejected(Box<RawColumns>, StringBuilder),
}

impl<'a> Tables<'a> {
    pub(crate) fn new(plan: &'a Plan) -> Tables<'a> {
        let raw_file = plan.raw_table().map(|table| table.file.as_str());
        let tables = plan.tables.iter().map(|table| {
            let is_raw = raw_file == Some(&table.file);
            let columns = match &table.columns {
                Columns::Raw => Filler::Raw(table, Box::default()),
                Columns::Typed(columns) => {
                    Filler::Typed(table, columns, Box::new(TypedColumns::new(columns)))
                }
            };
            Filling::new(&table.file, if is_raw { FileKind::Raw } else { FileKind::Table }, columns)
        });
        let rejected = Filler::Rejected(Box::default(), StringBuilder::new());
        Tables {
            filling: tables.collect(),
            rejected: Filling::new(REJECTED, FileKind::Rejected, rejected),
            has_many: false,
        }
    }

    /// Adds a record to each table that takes it.
    pub(crate) fn push(&mut self, row: Row<'_>) {
        let mut reasons: Vec<String> = row.placed.misfit.iter().cloned().collect();
        let mut is_taken = false;
        for filling in &mut self.filling {
            match &mut filling.columns {
                Filler::Raw(table, raw) if table.takes(row.type_no) => {
                    raw.push(row);
                    self.has_many |= filling.count(row);
                    is_taken = true;
                }
                Filler::Typed(table, columns, typed) if table.takes(row.type_no) => {
                    is_taken = true;
                    // A record that names no block would stand in a table as if it belonged to the block before it.
                    if row.placed.misfit.is_some() {
                        continue;
                    }
                    match typed.push(columns, row) {
                        Ok(()) => self.has_many |= filling.count(row),
                        Err(reason) => reasons.push(format!("{}: {reason}", table.file)),
                    }
                }
                _ => {}
            }
        }
        if !is_taken {
            reasons.push(format!("no table takes type {}", row.type_no));
        }
        // Where a raw table holds everything, nothing that is only without a number is lost.
        if !reasons.is_empty()
            && let Filler::Rejected(raw, reason) = &mut self.rejected.columns
        {
            raw.push(row);
            reason.append_value(reasons.join("; "));
            self.has_many |= self.rejected.count(row);
        }
    }

    /// Hands over the rows of each table that has many.
    pub(crate) fn take_many(&mut self, hand_over: &mut dyn FnMut(Filled)) -> Result<(), Error> {
        if self.has_many {
            for filling in self.filling.iter_mut().chain([&mut self.rejected]) {
                if filling.has_many() {
                    hand_over(filling.take()?);
                }
            }
            self.has_many = false;
        }
        Ok(())
    }

    /// What is left of the tables, those of the plan first, also of one that has no rows; of rejected records only if
    /// there are any.
    pub(crate) fn finish(mut self) -> Result<Vec<Filled>, Error> {
        let mut filled = self.filling.iter_mut().map(Filling::take).collect::<Result<Vec<_>, _>>()?;
        if self.rejected.rows > 0 {
            filled.push(self.rejected.take()?);
        }
        Ok(filled)
    }
}

impl<'a> Filling<'a> {
    fn new(file: &'a str, kind: FileKind, columns: Filler<'a>) -> Filling<'a> {
        Filling { file, kind, columns, rows: 0, bytes: 0 }
    }

    /// Counts a row that was pushed; whether there are many now.
    fn count(&mut self, row: Row<'_>) -> bool {
        self.rows = self.rows.saturating_add(1);
        self.bytes = self.bytes.saturating_add(row.bytes.len());
        self.has_many()
    }

    fn has_many(&self) -> bool {
        self.rows >= BATCH_ROWS || self.bytes >= BATCH_BYTES
    }

    /// The rows, which are not here any more.
    fn take(&mut self) -> Result<Filled, Error> {
        (self.rows, self.bytes) = (0, 0);
        let batch = match &mut self.columns {
            Filler::Raw(_, raw) => raw.take(None),
            Filler::Typed(_, columns, typed) => typed.take(columns),
            Filler::Rejected(raw, reason) => raw.take(Some(reason)),
        };
        let batch = batch.map_err(|error| unmade(self.file, &error))?;
        Ok(Filled { file: self.file.to_owned(), kind: self.kind, batch })
    }
}

/// Columns are of one length by construction; what is left is a column that outgrows what Arrow counts.
fn unmade(file: &str, error: &ArrowError) -> Error {
    Error::damaged(file, format!("the table could not be made: {error}"))
}

/// Records as they are.
#[derive(Debug, Default)]
struct RawColumns {
    block: UInt64Builder,
    transid: UInt64Builder,
    type_no: UInt32Builder,
    appended_at: TimestampMicrosecondBuilder,
    bytes: LargeBinaryBuilder,
}

impl RawColumns {
    fn push(&mut self, row: Row<'_>) {
        self.block.append_value(row.placed.block);
        self.transid.append_value(row.transid);
        self.type_no.append_value(row.type_no);
        self.appended_at.append_option(row.appended_at.and_then(micros));
        self.bytes.append_value(row.bytes);
    }

    fn take(&mut self, reason: Option<&mut StringBuilder>) -> Result<RecordBatch, ArrowError> {
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
        if let Some(reason) = reason {
            fields.push(Field::new("reason", DataType::Utf8, false));
            columns.push(Arc::new(reason.finish()));
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

    fn take(&mut self, columns: &[Column]) -> Result<RecordBatch, ArrowError> {
        let mut fields = leading_fields();
        let mut arrays: Vec<ArrayRef> = vec![Arc::new(self.block.finish()), Arc::new(self.transid.finish())];
        for (column, cells) in columns.iter().zip(&mut self.cells) {
            fields.push(Field::new(&column.name, column.kind.data_type(), column.is_optional));
            arrays.push(cells.take());
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

    fn take(&mut self) -> ArrayRef {
        match self {
            CellsBuilder::Bool(builder) => Arc::new(builder.finish()),
            CellsBuilder::I64(builder) => Arc::new(builder.finish()),
            CellsBuilder::U64(builder) => Arc::new(builder.finish()),
            CellsBuilder::F64(builder) => Arc::new(builder.finish()),
            CellsBuilder::Text(builder) => Arc::new(builder.finish()),
            CellsBuilder::Bytes(builder) => Arc::new(builder.finish()),
            CellsBuilder::Millis(builder) => Arc::new(builder.finish().with_timezone("UTC")),
            CellsBuilder::Micros(builder) => Arc::new(builder.finish().with_timezone("UTC")),
        }
    }
}
