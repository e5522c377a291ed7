//! The columns of typed tables: their types by name, and JSON values made to fit them.
//! Refuses what would lose something: a value that does not fit is told with the reason.

use std::borrow::Cow;

use arrow_schema::{DataType, TimeUnit};

use crate::json::Json;
use crate::json_path::JsonPath;
use crate::time_text::micros_of_rfc3339;

/// A column of a typed table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    /// Its name in the table.
    pub name: String,
    /// Its type.
    pub kind: ColumnKind,
    /// Where its value lies in a record.
    pub from: JsonPath,
    /// Whether a record without it fits.
    pub is_optional: bool,
}

/// The types of columns, by the name that a plan gives them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ColumnKind {
    /// `bool`.
    Bool,
    /// `i64`: a whole number, or a text that is one.
    I64,
    /// `u64`: as `i64`; also `0x` and hexadecimal digits.
    U64,
    /// `f64`.
    F64,
    /// `utf8`: a text; a whole number becomes its digits.
    Utf8,
    /// `json`: any value, as JSON text.
    Json,
    /// `binary`: a text of hexadecimal digits, with or without `0x`.
    Binary,
    /// `timestamp_s`, `timestamp_ms`, `timestamp_us`: whole units since 1970 in UTC, or a text as of RFC 3339.
    Timestamp(TimeUnit),
}

/// A value that fits its column.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Cell<'a> {
    Null,
    Bool(bool),
    I64(i64),
    U64(u64),
    F64(f64),
    Text(Cow<'a, str>),
    Bytes(Vec<u8>),
}

/// The names, in the order in which they are told.
const NAMES: [(&str, ColumnKind); 10] = [
    ("bool", ColumnKind::Bool),
    ("i64", ColumnKind::I64),
    ("u64", ColumnKind::U64),
    ("f64", ColumnKind::F64),
    ("utf8", ColumnKind::Utf8),
    ("json", ColumnKind::Json),
    ("binary", ColumnKind::Binary),
    ("timestamp_s", ColumnKind::Timestamp(TimeUnit::Second)),
    ("timestamp_ms", ColumnKind::Timestamp(TimeUnit::Millisecond)),
    ("timestamp_us", ColumnKind::Timestamp(TimeUnit::Microsecond)),
];

impl ColumnKind {
    /// The type with this name.
    pub fn of_name(name: &str) -> Option<ColumnKind> {
        NAMES.iter().find(|(known, _)| *known == name).map(|(_, kind)| *kind)
    }

    /// All names.
    pub fn names() -> String {
        NAMES.map(|(name, _)| name).join(", ")
    }

    pub(crate) fn data_type(self) -> DataType {
        match self {
            ColumnKind::Bool => DataType::Boolean,
            ColumnKind::I64 => DataType::Int64,
            ColumnKind::U64 => DataType::UInt64,
            ColumnKind::F64 => DataType::Float64,
            ColumnKind::Utf8 | ColumnKind::Json => DataType::Utf8,
            ColumnKind::Binary => DataType::Binary,
            // Parquet knows no whole seconds: they are kept as milliseconds.
            ColumnKind::Timestamp(TimeUnit::Second) => timestamp(TimeUnit::Millisecond),
            ColumnKind::Timestamp(unit) => timestamp(unit),
        }
    }

    fn name(self) -> &'static str {
        NAMES.iter().find(|(_, kind)| *kind == self).map_or("column", |(name, _)| *name)
    }

    fn cell<'a>(self, value: &'a Json<'_>) -> Option<Cell<'a>> {
        match (self, value) {
            (ColumnKind::Bool, Json::Bool(value)) => Some(Cell::Bool(*value)),
            (ColumnKind::I64, _) => whole(value).and_then(|value| i64::try_from(value).ok()).map(Cell::I64),
            (ColumnKind::U64, _) => whole(value).and_then(|value| u64::try_from(value).ok()).map(Cell::U64),
            (ColumnKind::F64, Json::Number(number)) => number.as_f64().map(Cell::F64),
            (ColumnKind::Utf8, Json::Text(text)) => Some(Cell::Text(Cow::Borrowed(text))),
            (ColumnKind::Utf8, Json::Number(number)) if !number.is_f64() => {
                Some(Cell::Text(number.to_string().into()))
            }
            (ColumnKind::Json, _) => Some(Cell::Text(value.to_value().to_string().into())),
            (ColumnKind::Binary, Json::Text(text)) => bytes_of_hex(text).map(Cell::Bytes),
            (ColumnKind::Timestamp(unit), _) => time(value, unit).map(Cell::I64),
            _ => None,
        }
    }
}

impl Column {
    /// The value of a record, or why it does not fit.
    pub(crate) fn read<'a>(&self, document: &'a Json<'_>) -> Result<Cell<'a>, String> {
        match self.from.find(document) {
            None if self.is_optional => Ok(Cell::Null),
            None => Err(format!("{} is missing", self.from.as_str())),
            Some(value) => {
                let misfit = || format!("{} is no {}", self.from.as_str(), self.kind.name());
                self.kind.cell(value).ok_or_else(misfit)
            }
        }
    }
}

/// A whole number, as a number or as text, decimal or with `0x`. Wide enough for what 64 bits hold, signed or not.
pub(crate) fn whole(value: &Json<'_>) -> Option<i128> {
    match value {
        Json::Number(number) => number.as_i64().map(i128::from).or_else(|| number.as_u64().map(i128::from)),
        Json::Text(text) => match text.strip_prefix("0x") {
            Some(digits) if digits.bytes().all(|byte| byte.is_ascii_hexdigit()) => {
                u64::from_str_radix(digits, 16).ok().map(i128::from)
            }
            Some(_) => None,
            None => text.parse::<i128>().ok(),
        },
        _ => None,
    }
}

fn timestamp(unit: TimeUnit) -> DataType {
    DataType::Timestamp(unit, Some("UTC".into()))
}

/// In the unit of the table's column.
fn time(value: &Json<'_>, unit: TimeUnit) -> Option<i64> {
    if let Some(micros) = value.text().and_then(micros_of_rfc3339) {
        return match unit {
            TimeUnit::Second | TimeUnit::Millisecond => Some(micros.div_euclid(1000)),
            TimeUnit::Microsecond | TimeUnit::Nanosecond => Some(micros),
        };
    }
    let units = i64::try_from(whole(value)?).ok()?;
    if unit == TimeUnit::Second { units.checked_mul(1000) } else { Some(units) }
}

fn bytes_of_hex(text: &str) -> Option<Vec<u8>> {
    let digits = text.strip_prefix("0x").unwrap_or(text).as_bytes();
    let (pairs, []) = digits.as_chunks::<2>() else { return None };
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    pairs.iter().map(|[high, low]| Some(digit(*high)? << 4 | digit(*low)?)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn read(kind: &str, value: &Value) -> Result<Cell<'static>, String> {
        let column = Column {
            name: "a".to_owned(),
            kind: ColumnKind::of_name(kind).unwrap(),
            from: JsonPath::new("a").unwrap(),
            is_optional: false,
        };
        let text = json!({"a": value}).to_string();
        match column.read(&Json::parse(text.as_bytes()).unwrap())? {
            Cell::Null => Ok(Cell::Null),
            Cell::Bool(value) => Ok(Cell::Bool(value)),
            Cell::I64(value) => Ok(Cell::I64(value)),
            Cell::U64(value) => Ok(Cell::U64(value)),
            Cell::F64(value) => Ok(Cell::F64(value)),
            Cell::Text(text) => Ok(Cell::Text(text.into_owned().into())),
            Cell::Bytes(bytes) => Ok(Cell::Bytes(bytes)),
        }
    }

    #[test]
    fn values_fit_their_columns_without_loss() {
        assert_eq!(read("u64", &json!(u64::MAX)), Ok(Cell::U64(u64::MAX)));
        assert_eq!(read("u64", &json!("0xff")), Ok(Cell::U64(255)));
        assert_eq!(read("i64", &json!("-5")), Ok(Cell::I64(-5)));
        assert_eq!(read("utf8", &json!(12)), Ok(Cell::Text("12".into())));
        assert_eq!(read("json", &json!(["a", 1])), Ok(Cell::Text("[\"a\",1]".into())));
        assert_eq!(read("binary", &json!("0x0aFF")), Ok(Cell::Bytes(vec![10, 255])));
        assert_eq!(read("timestamp_s", &json!(2)), Ok(Cell::I64(2000)));
        assert_eq!(read("timestamp_ms", &json!("1970-01-01T00:00:01.5Z")), Ok(Cell::I64(1500)));
    }

    #[test]
    fn a_value_that_does_not_fit_is_told_with_its_place() {
        for (kind, value) in [
            ("u64", json!(-1)),
            ("u64", json!(1.5)),
            ("u64", json!("0x")),
            ("u64", json!("0x10000000000000000")),
            ("i64", json!(u64::MAX)),
            ("bool", json!(1)),
            ("binary", json!("0xabc")),
            ("binary", json!("zz")),
            ("utf8", json!(1.5)),
            ("timestamp_s", json!(i64::MAX)),
        ] {
            assert_eq!(read(kind, &value), Err(format!("a is no {kind}")), "{value}");
        }
        assert_eq!(read("u64", &Value::Null), Err("a is missing".to_owned()));
    }
}
