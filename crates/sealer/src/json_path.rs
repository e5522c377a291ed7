//! A place in a JSON document, such as `header.number` or `topics.0`.
//! Refuses wildcards: a place is one value, or none.

use crate::json::Json;

/// A place in a JSON document: keys, or numbers in arrays, with dots between them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JsonPath {
    text: String,
}

impl JsonPath {
    /// The place with this spelling; `None` when a part of it is empty.
    pub fn new(text: &str) -> Option<JsonPath> {
        (!text.split('.').any(str::is_empty)).then(|| JsonPath { text: text.to_owned() })
    }

    /// What lies there. `null` counts as nothing.
    pub(crate) fn find<'a, 'b>(&self, document: &'a Json<'b>) -> Option<&'a Json<'b>> {
        let mut value = document;
        for part in self.text.split('.') {
            value = match value {
                // Of a key that is there twice the last one counts.
                Json::Map(map) => map.iter().rev().find(|(key, _)| key == part).map(|(_, value)| value)?,
                Json::List(list) => list.get(part.parse::<usize>().ok()?)?,
                _ => return None,
            };
        }
        (*value != Json::Null).then_some(value)
    }

    /// As it is spelled.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_place_is_found_through_objects_and_arrays() {
        let document = Json::parse(br#"{"a": 1, "a": {"b": [1, {"c": true}]}, "n": null}"#).unwrap();
        let find = |path: &str| JsonPath::new(path).unwrap().find(&document).map(Json::to_value);
        assert_eq!(find("a.b.0"), Some(json!(1)));
        assert_eq!(find("a.b.1.c"), Some(json!(true)));
        assert_eq!(find("a.b.2"), None);
        assert_eq!(find("n"), None);
        assert_eq!(JsonPath::new("a..b"), None);
    }
}
