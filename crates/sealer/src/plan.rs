//! `Plan`: what is sealed, how it is cut, and where it goes, as a TOML file says it.
//! Refuses keys that it does not know, and says of every mistake at which key it is.

use std::collections::BTreeSet;
use std::time::Duration;

use serde::Deserialize;

use crate::column::{Column, ColumnKind};
use crate::cut::Cut;
use crate::error::Error;
use crate::json_path::JsonPath;

/// The bytes of a chunk when a plan says nothing: 256 MiB.
const CHUNK_BYTES: u64 = 256 << 20;
/// A chunk is built in memory.
const CHUNK_BYTES_MAX: u64 = 2 << 30;
/// More tables than files of a chunk make no sense.
const TABLES_MAX: usize = 62;
/// The file of what fits into no table.
pub(crate) const REJECTED: &str = "_rejected.parquet";
/// Columns that every table has.
pub(crate) const BLOCK_NUMBER: &str = "block_number";
pub(crate) const TRANSID: &str = "transid";

/// What is sealed, how it is cut, and where it goes.
///
/// ```
/// let plan = sealer::Plan::parse(r#"
///     dataset = "ethereum-mainnet"
///     store = "file:///srv/sealed/ethereum"
///     numbering = "one-per-block"
///     finality = { lag = 64 }
///     [cut]
///     records = 10_000
///     age = "10m"
///     [[table]]
///     file = "records.parquet"
///     columns = "raw"
/// "#)?;
/// assert_eq!(plan.dataset, "ethereum-mainnet");
/// # Ok::<(), sealer::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// The name of the dataset.
    pub dataset: String,
    /// The URL of the store, with the prefix: `file://`, `s3://`, `gs://` or `az://`.
    pub store: String,
    /// Where chunks end.
    pub cut: Cut,
    /// The first block of the dataset.
    pub first_block: u64,
    /// How records get their blocks.
    pub numbering: Numbering,
    /// What is final.
    pub finality: Finality,
    /// How blocks are linked, if that is checked.
    pub parent: Option<Parent>,
    /// How objects are named.
    pub layout: Layout,
    /// What the log keeps of what was sealed.
    pub retain: Retain,
    /// The name of the consumer in the log.
    pub consumer: String,
    /// The tables.
    pub tables: Vec<Table>,
}

/// How records get their block numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Numbering {
    /// Each record is a block: `first_block + id - 1`.
    OnePerBlock,
    /// A field of the JSON payload says it; the first of these that is there. Numbers never fall, and may have holes.
    Fields(Vec<JsonPath>),
}

/// What is final: only that is sealed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finality {
    /// What has so many blocks behind it.
    Lag(u64),
    /// What the log's mark says.
    Mark,
}

/// The fields by which blocks are linked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parent {
    /// The type of the records that have them. `None`: each record that has both.
    pub type_no: Option<u32>,
    /// The hash of a block.
    pub hash: JsonPath,
    /// The hash of the block before.
    pub parent: JsonPath,
}

/// How objects are named.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Layout {
    /// `chunks/<first>-<last>-<digest>/<file>`.
    #[default]
    Loghold,
    /// `<top>/<first>-<last>-<hash>/<file>`, as SQD's archives are.
    Sqd,
}

/// What the log keeps of what was sealed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Retain {
    /// All of it.
    #[default]
    All,
    /// Nothing that was sealed, unless another consumer has not seen it.
    Unsealed,
}

/// A table: a file in each chunk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Table {
    /// The type of the records in it; `None`: every record.
    pub type_no: Option<u32>,
    /// The name of the file.
    pub file: String,
    /// Its columns.
    pub columns: Columns,
}

/// The columns of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Columns {
    /// The record as it is: `block_number`, `transid`, `type`, `appended_at`, `bytes`.
    Raw,
    /// `block_number`, `transid`, and values from the JSON payload.
    Typed(Vec<Column>),
}

impl Table {
    /// Whether records of this type go into it.
    pub fn takes(&self, type_no: u32) -> bool {
        self.type_no.is_none_or(|taken| taken == type_no)
    }
}

impl Plan {
    /// Reads a plan.
    ///
    /// # Errors
    /// [`Error::Plan`], which names the key.
    pub fn parse(text: &str) -> Result<Plan, Error> {
        let written: WrittenPlan = toml::from_str(text).map_err(|error| unread(text, &error))?;
        written.check()
    }

    /// The table that holds every record as it is, if there is one.
    pub fn raw_table(&self) -> Option<&Table> {
        self.tables.iter().find(|table| table.type_no.is_none() && table.columns == Columns::Raw)
    }

    /// Whether the payload of such a record is read as JSON.
    pub(crate) fn reads_json(&self, type_no: u32) -> bool {
        self.walks_json(type_no)
            || self.tables.iter().any(|table| table.takes(type_no) && table.columns != Columns::Raw)
    }

    /// Whether the payload of such a record says which block it is of, or how blocks are linked.
    pub(crate) fn walks_json(&self, type_no: u32) -> bool {
        let is_parent = |parent: &Parent| parent.type_no.is_none_or(|of| of == type_no);
        self.numbering != Numbering::OnePerBlock || self.parent.as_ref().is_some_and(is_parent)
    }

    /// Whether sealing needs the log's writer, and not only a reader.
    pub fn needs_writer(&self) -> bool {
        self.finality == Finality::Mark || self.retain == Retain::Unsealed
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenPlan {
    dataset: String,
    store: String,
    #[serde(default)]
    cut: WrittenCut,
    #[serde(default)]
    first_block: u64,
    numbering: WrittenNumbering,
    finality: WrittenFinality,
    parent: Option<WrittenParent>,
    layout: Option<String>,
    retain: Option<String>,
    consumer: Option<String>,
    table: Vec<WrittenTable>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenCut {
    records: Option<u64>,
    bytes: Option<WrittenBytes>,
    age: Option<String>,
}

#[derive(Deserialize)]
#[serde(untagged, expecting = "it takes a number of bytes, or a text such as \"256MiB\"")]
enum WrittenBytes {
    Number(u64),
    Text(String),
}

#[derive(Deserialize)]
#[serde(untagged, expecting = "numbering is \"one-per-block\" or { field = \"name\" }")]
enum WrittenNumbering {
    Name(String),
    Field { field: WrittenFields },
}

#[derive(Deserialize)]
#[serde(untagged, expecting = "field is a name, or a list of names")]
enum WrittenFields {
    One(String),
    Some(Vec<String>),
}

#[derive(Deserialize)]
#[serde(untagged, expecting = "finality is \"mark\" or { lag = N }, N blocks, 0 or more")]
enum WrittenFinality {
    Name(String),
    Lag { lag: u64 },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenParent {
    r#type: Option<u32>,
    hash: String,
    parent: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenTable {
    r#type: Option<u32>,
    file: String,
    columns: WrittenColumns,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum WrittenColumns {
    Name(String),
    Typed(Vec<WrittenColumn>),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenColumn {
    name: String,
    r#type: String,
    from: Option<String>,
    #[serde(default)]
    optional: bool,
}

impl WrittenPlan {
    fn check(self) -> Result<Plan, Error> {
        if self.dataset.is_empty() || self.dataset.len() > 255 || self.dataset.chars().any(char::is_control) {
            return Err(Error::plan("dataset", "it has 1 to 255 bytes, and no control characters"));
        }
        let layout = match self.layout.as_deref() {
            None | Some("loghold") => Layout::Loghold,
            Some("sqd") => Layout::Sqd,
            Some(other) => return Err(one_of("layout", other, "loghold, sqd")),
        };
        let retain = match self.retain.as_deref() {
            None | Some("all") => Retain::All,
            Some("unsealed") => Retain::Unsealed,
            Some(other) => return Err(one_of("retain", other, "all, unsealed")),
        };
        let consumer = self.consumer.unwrap_or_else(|| "sealer".to_owned());
        let is_name = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
        if !(1..=64).contains(&consumer.len()) || !consumer.bytes().all(is_name) {
            return Err(Error::plan("consumer", "a name is 1 to 64 of A-Z a-z 0-9 . _ -"));
        }
        Ok(Plan {
            dataset: self.dataset,
            store: self.store,
            cut: self.cut.check()?,
            first_block: self.first_block,
            numbering: self.numbering.check()?,
            finality: self.finality.check()?,
            parent: self.parent.map(WrittenParent::check).transpose()?,
            layout,
            retain,
            consumer,
            tables: check_tables(self.table, layout)?,
        })
    }
}

impl WrittenCut {
    fn check(self) -> Result<Cut, Error> {
        let bytes = match self.bytes {
            None => CHUNK_BYTES,
            Some(WrittenBytes::Number(bytes)) => bytes,
            Some(WrittenBytes::Text(text)) => {
                let units = [("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30), ("", 1)];
                quantity(&text, &units)
                    .ok_or_else(|| Error::plan("cut.bytes", "such as 67108864 or \"64MiB\""))?
            }
        };
        if !(1..=CHUNK_BYTES_MAX).contains(&bytes) {
            return Err(Error::plan("cut.bytes", format!("{bytes} is not within 1 to {CHUNK_BYTES_MAX}")));
        }
        if self.records == Some(0) {
            return Err(Error::plan("cut.records", "a chunk has at least 1"));
        }
        let units = [("ms", 1), ("s", 1000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)];
        let wrong = || Error::plan("cut.age", "such as \"0s\", \"90s\", \"10m\" or \"6h\"");
        let millis = self.age.map(|text| quantity(&text, &units).ok_or_else(wrong)).transpose()?;
        Ok(Cut { records: self.records, bytes, age: millis.map(Duration::from_millis) })
    }
}

impl WrittenNumbering {
    fn check(self) -> Result<Numbering, Error> {
        let fields = match self {
            WrittenNumbering::Name(name) if name == "one-per-block" => return Ok(Numbering::OnePerBlock),
            WrittenNumbering::Name(name) => {
                return Err(one_of("numbering", &name, "\"one-per-block\", { field = \"number\" }"));
            }
            WrittenNumbering::Field { field: WrittenFields::One(field) } => vec![field],
            WrittenNumbering::Field { field: WrittenFields::Some(fields) } => fields,
        };
        if fields.is_empty() {
            return Err(Error::plan("numbering.field", "it names at least one place"));
        }
        let places = fields.iter().map(|field| path("numbering.field", field));
        places.collect::<Result<_, _>>().map(Numbering::Fields)
    }
}

/// So much of a line is shown: more than people write, and less than a file that is no plan may have.
const LINE_CHARS_MAX: usize = 200;

/// In one line, with the line that is meant.
fn unread(text: &str, error: &toml::de::Error) -> Error {
    let reason = error.message().trim_end().replace('\n', ", ");
    // What is missing has no line.
    let span = error.span().filter(|_| !reason.starts_with("missing field"));
    let Some(before) = span.and_then(|span| text.get(..span.start)) else {
        return Error::plan("text", reason);
    };
    let number = before.matches('\n').count();
    let line = text.lines().nth(number).unwrap_or_default().trim();
    let more = if line.chars().nth(LINE_CHARS_MAX).is_some() { "…" } else { "" };
    let line: String = line.chars().take(LINE_CHARS_MAX).collect();
    Error::plan(format!("line {}", number.saturating_add(1)), format!("`{line}{more}`: {reason}"))
}

impl WrittenFinality {
    fn check(self) -> Result<Finality, Error> {
        match self {
            WrittenFinality::Lag { lag } => Ok(Finality::Lag(lag)),
            WrittenFinality::Name(name) if name == "mark" => Ok(Finality::Mark),
            WrittenFinality::Name(name) => Err(one_of("finality", &name, "\"mark\", { lag = 64 }")),
        }
    }
}

impl WrittenParent {
    fn check(self) -> Result<Parent, Error> {
        let (hash, parent) = (path("parent.hash", &self.hash)?, path("parent.parent", &self.parent)?);
        Ok(Parent { type_no: self.r#type, hash, parent })
    }
}

fn check_tables(written: Vec<WrittenTable>, layout: Layout) -> Result<Vec<Table>, Error> {
    if written.is_empty() || written.len() > TABLES_MAX {
        return Err(Error::plan("table", format!("there are 1 to {TABLES_MAX}")));
    }
    let mut files = BTreeSet::new();
    let mut tables = Vec::new();
    for table in written {
        check_file_name(&table.file)?;
        if !files.insert(table.file.to_ascii_lowercase()) {
            return Err(Error::plan("table.file", format!("{} is there twice", table.file)));
        }
        let columns = check_columns(table.columns, &table.file)?;
        tables.push(Table { type_no: table.r#type, file: table.file, columns });
    }
    if layout == Layout::Sqd && !files.contains("blocks.parquet") {
        return Err(Error::plan(
            "layout",
            "a chunk of SQD's is complete with its blocks.parquet: name a table so",
        ));
    }
    Ok(tables)
}

fn check_file_name(file: &str) -> Result<(), Error> {
    let wrong = |what: &str| Err(Error::plan("table.file", format!("{file:?} {what}")));
    let Some(stem) = file.strip_suffix(".parquet") else { return wrong("does not end in .parquet") };
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    if stem.is_empty() || stem.starts_with(['.', '_']) || file.len() > 128 || !stem.bytes().all(is_plain) {
        return wrong("is no plain name: up to 128 of A-Z a-z 0-9 . _ -, beginning with a letter or digit");
    }
    Ok(())
}

fn check_columns(written: WrittenColumns, file: &str) -> Result<Columns, Error> {
    let written = match written {
        WrittenColumns::Name(name) if name == "raw" => return Ok(Columns::Raw),
        WrittenColumns::Name(name) => {
            return Err(one_of("table.columns", &name, "\"raw\", a list of columns"));
        }
        WrittenColumns::Typed(columns) => columns,
    };
    let mut names: BTreeSet<String> = [BLOCK_NUMBER, TRANSID].map(str::to_owned).into();
    let mut columns = Vec::new();
    for column in written {
        let key = |part: &str| format!("table.columns.{part} of {} in {file}", column.name);
        if column.name.is_empty() || !names.insert(column.name.to_ascii_lowercase()) {
            return Err(Error::plan(
                key("name"),
                "it is empty, there twice, or block_number or transid, which every table has",
            ));
        }
        let Some(kind) = ColumnKind::of_name(&column.r#type) else {
            return Err(one_of(&key("type"), &column.r#type, &ColumnKind::names()));
        };
        let from = path(&key("from"), column.from.as_ref().unwrap_or(&column.name))?;
        columns.push(Column { name: column.name, kind, from, is_optional: column.optional });
    }
    Ok(Columns::Typed(columns))
}

fn one_of(key: &str, found: &str, known: &str) -> Error {
    Error::plan(key, format!("{found:?} is none of {known}"))
}

fn path(key: &str, text: &str) -> Result<JsonPath, Error> {
    JsonPath::new(text).ok_or_else(|| Error::plan(key, format!("{text:?} has an empty part")))
}

/// A whole number with one of these units behind it.
fn quantity(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let digits = text.trim_end_matches(|letter: char| !letter.is_ascii_digit());
    let unit = text.get(digits.len()..)?.trim();
    let (_, factor) = units.iter().find(|(known, _)| *known == unit)?;
    digits.parse::<u64>().ok()?.checked_mul(*factor)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"
dataset = "eth"
store = "file:///srv/sealed"
first_block = 17
numbering = { field = ["number", "block_number"] }
finality = "mark"
parent = { type = 1, hash = "hash", parent = "header.parentHash" }
layout = "sqd"
retain = "unsealed"
[cut]
records = 5
bytes = "64MiB"
age = "10m"
[[table]]
type = 1
file = "blocks.parquet"
columns = [{ name = "hash", type = "binary" }, { name = "at", type = "timestamp_s", from = "timestamp", optional = true }]
[[table]]
file = "records.parquet"
columns = "raw"
"#;

    #[test]
    fn a_plan_is_read_with_all_its_parts() {
        let plan = Plan::parse(GOOD).unwrap();
        assert_eq!(plan.cut, Cut { records: Some(5), bytes: 64 << 20, age: Some(Duration::from_mins(10)) });
        assert_eq!((plan.first_block, plan.finality, plan.layout), (17, Finality::Mark, Layout::Sqd));
        assert_eq!(plan.raw_table().unwrap().file, "records.parquet");
        let Columns::Typed(columns) = &plan.tables[0].columns else { panic!("typed") };
        assert_eq!((columns[1].from.as_str(), columns[1].is_optional), ("timestamp", true));
        assert!(plan.needs_writer());
    }

    #[test]
    fn every_mistake_names_its_key() {
        for (from, to, key) in [
            ("\"eth\"", "\"\"", "dataset"),
            ("\"mark\"", "\"soon\"", "finality"),
            ("\"sqd\"", "\"other\"", "layout"),
            ("\"unsealed\"", "\"some\"", "retain"),
            ("\"64MiB\"", "\"64 miles\"", "cut.bytes"),
            ("\"64MiB\"", "0", "cut.bytes"),
            ("records = 5", "records = 0", "cut.records"),
            ("\"10m\"", "\"soon\"", "cut.age"),
            ("\"header.parentHash\"", "\"header.\"", "parent.parent"),
            ("[\"number\", \"block_number\"]", "[]", "numbering.field"),
            ("records.parquet", "blocks.parquet", "table.file"),
            ("records.parquet", "../records.parquet", "table.file"),
            ("\"raw\"", "\"cooked\"", "table.columns"),
            ("\"binary\"", "\"hex\"", "table.columns.type of hash in blocks.parquet"),
            ("name = \"hash\"", "name = \"transid\"", "table.columns.name of transid in blocks.parquet"),
            ("\"blocks.parquet\"", "\"heads.parquet\"", "layout"),
            ("first_block", "firstblock", "firstblock"),
            ("dataset =", "data_set =", "data_set"),
        ] {
            assert!(GOOD.contains(from), "{from}");
            let error = Plan::parse(&GOOD.replacen(from, to, 1)).unwrap_err().to_string();
            assert!(error.contains(key), "{from} -> {to}: {error}");
        }
    }
}
