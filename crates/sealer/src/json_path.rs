//! A place in a JSON document, such as `header.number` or `topics.0`.
//! Refuses wildcards: a place is one value, or none.

use serde_json::Value;

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
    pub fn find<'a>(&self, document: &'a Value) -> Option<&'a Value> {
        let mut value = document;
        for part in self.text.split('.') {
            value = match value {
                Value::Object(map) => map.get(part)?,
                Value::Array(list) => list.get(part.parse::<usize>().ok()?)?,
                _ => return None,
            };
        }
        (!value.is_null()).then_some(value)
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
        let document = json!({"a": {"b": [1, {"c": true}]}, "n": null});
        let find = |path: &str| JsonPath::new(path).unwrap().find(&document).cloned();
        assert_eq!(find("a.b.0"), Some(json!(1)));
        assert_eq!(find("a.b.1.c"), Some(json!(true)));
        assert_eq!(find("a.b.2"), None);
        assert_eq!(find("n"), None);
        assert_eq!(JsonPath::new("a..b"), None);
    }
}
