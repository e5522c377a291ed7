//! A payload as JSON: what `serde_json` takes for JSON, without copies of its keys and texts.
//! Refuses to be a document of one's own: it lives as long as the bytes that it was read from.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Number, Value};

/// A JSON value. Texts without escapes stay where they were read.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Json<'a> {
    Null,
    Bool(bool),
    Number(Number),
    Text(Cow<'a, str>),
    List(Vec<Json<'a>>),
    /// As it is written: of a key that is there twice the last one counts.
    Map(Vec<(Cow<'a, str>, Json<'a>)>),
}

impl<'a> Json<'a> {
    /// The document in these bytes, or why it is none.
    pub(crate) fn parse(bytes: &'a [u8]) -> Result<Json<'a>, serde_json::Error> {
        serde_json::from_slice(bytes)
    }

    /// The text, if it is one.
    pub(crate) fn text(&self) -> Option<&str> {
        match self {
            Json::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The same as a value of its own, with each key once and in order.
    pub(crate) fn to_value(&self) -> Value {
        match self {
            Json::Null => Value::Null,
            Json::Bool(is_true) => Value::Bool(*is_true),
            Json::Number(number) => Value::Number(number.clone()),
            Json::Text(text) => Value::String(text.to_string()),
            Json::List(list) => list.iter().map(Json::to_value).collect(),
            Json::Map(map) => map.iter().map(|(key, value)| (key.to_string(), value.to_value())).collect(),
        }
    }
}

impl<'de> Deserialize<'de> for Json<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Json<'de>, D::Error> {
        deserializer.deserialize_any(JsonVisitor)
    }
}

struct JsonVisitor;

impl<'de> Visitor<'de> for JsonVisitor {
    type Value = Json<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any valid JSON value")
    }

    fn visit_unit<E: Error>(self) -> Result<Json<'de>, E> {
        Ok(Json::Null)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Json<'de>, E> {
        Ok(Json::Bool(value))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Json<'de>, E> {
        Ok(Json::Number(value.into()))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Json<'de>, E> {
        Ok(Json::Number(value.into()))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Json<'de>, E> {
        Ok(Number::from_f64(value).map_or(Json::Null, Json::Number))
    }

    fn visit_borrowed_str<E: Error>(self, value: &'de str) -> Result<Json<'de>, E> {
        Ok(Json::Text(Cow::Borrowed(value)))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Json<'de>, E> {
        Ok(Json::Text(Cow::Owned(value.to_owned())))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Json<'de>, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(Json::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Json<'de>, A::Error> {
        let mut map = Vec::new();
        while let Some((Key(key), value)) = entries.next_entry()? {
            map.push((key, value));
        }
        Ok(Json::Map(map))
    }
}

/// A key, which stays where it was read if it has no escapes.
struct Key<'a>(Cow<'a, str>);

impl<'de> Deserialize<'de> for Key<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Key<'de>, D::Error> {
        deserializer.deserialize_str(KeyVisitor)
    }
}

struct KeyVisitor;

impl<'de> Visitor<'de> for KeyVisitor {
    type Value = Key<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string key")
    }

    fn visit_borrowed_str<E: Error>(self, value: &'de str) -> Result<Key<'de>, E> {
        Ok(Key(Cow::Borrowed(value)))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Key<'de>, E> {
        Ok(Key(Cow::Owned(value.to_owned())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What it makes of these bytes, beside what `serde_json` does.
    fn both(bytes: &[u8]) -> (Option<Value>, Option<Value>) {
        (Json::parse(bytes).ok().map(|json| json.to_value()), serde_json::from_slice(bytes).ok())
    }

    #[test]
    fn every_document_is_read_as_serde_json_reads_it() {
        let deep = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth)).into_bytes();
        let texts: [&[u8]; 20] = [
            b"null",
            b" {\"b\":1, \"a\":[true,false,null,-1,1.5,1e300]} ",
            b"{\"a\":1,\"b\":2,\"a\":{\"c\":\"x\"}}",
            br#"{"a\u0062\n":"\u00e9\t","\ud83d\ude00":"x"}"#,
            b"{\"a\":\"\\ud800\"}",
            b"{\"a\":\"\xff\"}",
            b"{\"\xff\":1}",
            b"18446744073709551615",
            b"-9223372036854775808",
            b"18446744073709551616",
            b"1e999",
            b"-0",
            b"01",
            b"{\"a\":1,}",
            b"{} x",
            b"{1:2}",
            b"\"a\nb\"",
            b"",
            b"nul",
            b"{\"$serde_json::private::Number\":\"1\"}",
        ];
        for bytes in texts {
            let (found, expected) = both(bytes);
            assert_eq!(found, expected, "{}", String::from_utf8_lossy(bytes));
        }
        for depth in [126, 127, 128, 129, 100_000] {
            let (found, expected) = both(&deep(depth));
            assert_eq!(found.is_some(), expected.is_some(), "{depth} levels");
        }
    }

    #[test]
    fn texts_and_keys_without_escapes_are_not_copied() {
        let Ok(Json::Map(map)) = Json::parse(br#"{"a":"b","c":"\n"}"#) else { panic!("a map") };
        let [(a, Json::Text(b)), (_, Json::Text(c))] = map.as_slice() else { panic!("two texts") };
        assert!(matches!((a, b, c), (Cow::Borrowed("a"), Cow::Borrowed("b"), Cow::Owned(_))));
    }
}
