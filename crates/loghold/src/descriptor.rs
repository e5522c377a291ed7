//! Descriptors: what a chunk is and where its files come from, as JSON.
//! Refuses to fetch or to decide; what is wrong is named by line, field and chunk.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::ops::Range;

use data_manager::data_chunk::{ChunkId, DataChunk, hex_id, parse_hex_id};
use serde::de::{self, MapAccess, SeqAccess, Visitor};
use serde::ser::SerializeStruct;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::dataset::Dataset;
use crate::suggestion::nearest;

/// How much text is read.
pub(crate) const INPUT_BYTES_MAX: usize = 64 << 20;

/// How many chunks one input may name.
pub(crate) const CHUNKS_MAX: usize = 1_000_000;

/// How many files one chunk may have.
pub(crate) const FILES_MAX: usize = 64;

const KEYS: [&str; 5] = ["id", "dataset_id", "block_range", "files", "priority"];
const RANGE_KEYS: [&str; 2] = ["start", "end"];

/// Words that others use for our keys and that are too far for an edit distance.
const SYNONYMS: [(&str, &str); 14] = [
    ("chunk_id", "id"),
    ("chunk", "id"),
    ("hash", "id"),
    ("dataset", "dataset_id"),
    ("range", "block_range"),
    ("blocks", "block_range"),
    ("urls", "files"),
    ("weight", "priority"),
    ("first", "start"),
    ("from", "start"),
    ("first_block", "start"),
    ("last", "end"),
    ("to", "end"),
    ("last_block", "end"),
];

/// One chunk as the user describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Descriptor {
    pub(crate) id: ChunkId,
    pub(crate) dataset: Dataset,
    /// Half-open and not empty.
    pub(crate) block_range: Range<u64>,
    /// File name to URL.
    pub(crate) files: BTreeMap<String, String>,
    /// Higher is fetched first.
    pub(crate) priority: i32,
}

impl Descriptor {
    /// What the hold is asked to keep.
    pub(crate) fn chunk(&self) -> DataChunk {
        DataChunk {
            id: self.id,
            dataset_id: self.dataset.id,
            block_range: self.block_range.clone(),
            files: self.files.iter().map(|(name, url)| (name.clone(), url.clone())).collect(),
        }
    }

    /// The sum of the sizes that the URLs promise; `None` where one promises none.
    pub(crate) fn bytes(&self) -> Option<u64> {
        self.files.values().try_fold(0u64, |sum, url| {
            let (_, fragment) = url.rsplit_once('#')?;
            let size = fragment.split('&').find_map(|part| part.strip_prefix("size="))?;
            sum.checked_add(size.parse().ok()?)
        })
    }
}

/// Reads one descriptor, an array of them, or one after the other (JSON Lines).
///
/// The same descriptor may come twice; the same id with other content is refused.
pub(crate) fn parse_descriptors(text: &[u8]) -> Result<Vec<Descriptor>, String> {
    if text.len() > INPUT_BYTES_MAX {
        return Err(format!("the input is longer than {} MiB: split it", INPUT_BYTES_MAX >> 20));
    }
    let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
    let mut read = Vec::new();
    for value in serde_json::Deserializer::from_slice(text).into_iter::<OneOrMany>() {
        read.extend(value.map_err(|error| located(&error))?.0);
        if read.len() > CHUNKS_MAX {
            return Err(too_many());
        }
    }
    without_repeats(read)
}

fn too_many() -> String {
    format!("more than {CHUNKS_MAX} chunks: split the input")
}

/// Drops repeats and refuses an id that is given two meanings.
fn without_repeats(read: Vec<Descriptor>) -> Result<Vec<Descriptor>, String> {
    let mut places: HashMap<ChunkId, usize> = HashMap::with_capacity(read.len());
    let mut kept: Vec<Descriptor> = Vec::with_capacity(read.len());
    for (number, descriptor) in read.into_iter().enumerate() {
        match places.get(&descriptor.id).and_then(|&at| kept.get(at)) {
            Some(earlier) if *earlier == descriptor => {}
            Some(_) => {
                let id = hex_id(&descriptor.id);
                return Err(format!(
                    "descriptor {}: id {id} was given before with other content",
                    number + 1
                ));
            }
            None => {
                places.insert(descriptor.id, kept.len());
                kept.push(descriptor);
            }
        }
    }
    Ok(kept)
}

/// The place first, then what is wrong there.
fn located(error: &serde_json::Error) -> String {
    let message = error.to_string();
    match message.rsplit_once(" at line ") {
        Some((what, _)) => format!("line {}, column {}: {what}", error.line(), error.column()),
        None => message,
    }
}

/// A value of the input: an object is one descriptor, an array is many.
struct OneOrMany(Vec<Descriptor>);

impl<'de> Deserialize<'de> for OneOrMany {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<OneOrMany, D::Error> {
        struct OneOrManyVisitor;
        impl<'de> Visitor<'de> for OneOrManyVisitor {
            type Value = OneOrMany;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a descriptor (an object) or an array of descriptors")
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<OneOrMany, A::Error> {
                Ok(OneOrMany(vec![Fields::default().fill(map)?]))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut array: A) -> Result<OneOrMany, A::Error> {
                let mut read = Vec::new();
                while let Some(descriptor) = array.next_element::<Descriptor>()? {
                    if read.len() == CHUNKS_MAX {
                        return Err(de::Error::custom(too_many()));
                    }
                    read.push(descriptor);
                }
                Ok(OneOrMany(read))
            }
        }
        deserializer.deserialize_any(OneOrManyVisitor)
    }
}

impl<'de> Deserialize<'de> for Descriptor {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Descriptor, D::Error> {
        struct OneVisitor;
        impl<'de> Visitor<'de> for OneVisitor {
            type Value = Descriptor;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a descriptor (an object)")
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Descriptor, A::Error> {
                Fields::default().fill(map)
            }
        }
        deserializer.deserialize_map(OneVisitor)
    }
}

/// The fields of a descriptor, as far as they were read.
#[derive(Default)]
struct Fields {
    id: Option<ChunkId>,
    dataset: Option<Dataset>,
    block_range: Option<Range<u64>>,
    files: Option<BTreeMap<String, String>>,
    priority: Option<i32>,
}

impl Fields {
    fn fill<'de, A: MapAccess<'de>>(mut self, mut map: A) -> Result<Descriptor, A::Error> {
        while let Some(key) = map.next_key::<String>()? {
            match key.as_str() {
                "id" => once(&mut self.id, "id", text_value(&mut map, "id", parse_id)?)?,
                "dataset_id" => {
                    let dataset = text_value(&mut map, "dataset_id", Dataset::parse)?;
                    once(&mut self.dataset, "dataset_id", dataset)?;
                }
                "block_range" => {
                    let range = value::<RangeField, A>(&mut map, "block_range")?.0;
                    once(&mut self.block_range, "block_range", range)?;
                }
                "files" => once(&mut self.files, "files", value::<FilesField, A>(&mut map, "files")?.0)?,
                "priority" => once(&mut self.priority, "priority", value(&mut map, "priority")?)?,
                _ => return Err(unknown_key(&key, &KEYS)),
            }
        }
        Ok(Descriptor {
            id: self.id.ok_or_else(|| missing("id"))?,
            dataset: self.dataset.ok_or_else(|| missing("dataset_id"))?,
            block_range: self.block_range.ok_or_else(|| missing("block_range"))?,
            files: self.files.ok_or_else(|| missing("files"))?,
            priority: self.priority.unwrap_or_default(),
        })
    }
}

fn parse_id(text: &str) -> Result<ChunkId, String> {
    parse_hex_id(text)
        .ok_or_else(|| format!("{} is not an id: 0x and 64 hex digits are needed", quoted(text)))
}

/// The value of `field`, whose errors then begin with the field's name.
fn value<'de, T: Deserialize<'de>, A: MapAccess<'de>>(map: &mut A, field: &str) -> Result<T, A::Error> {
    map.next_value().map_err(|error| de::Error::custom(format!("{field}: {error}")))
}

fn text_value<'de, T, A: MapAccess<'de>>(
    map: &mut A,
    field: &str,
    parse: impl FnOnce(&str) -> Result<T, String>,
) -> Result<T, A::Error> {
    let text = value::<String, A>(map, field)?;
    parse(&text).map_err(|problem| de::Error::custom(format!("{field}: {problem}")))
}

fn once<T, E: de::Error>(slot: &mut Option<T>, field: &str, value: T) -> Result<(), E> {
    match slot.replace(value) {
        None => Ok(()),
        Some(_) => Err(E::custom(format!("{field} is given twice"))),
    }
}

fn missing<E: de::Error>(field: &str) -> E {
    E::custom(format!("{field} is missing"))
}

fn unknown_key<E: de::Error>(key: &str, known: &[&'static str]) -> E {
    let synonym =
        SYNONYMS.iter().find(|(word, meant)| *word == key && known.contains(meant)).map(|&(_, meant)| meant);
    let advice = match synonym.or_else(|| nearest(key, known)) {
        Some(meant) => format!("did you mean {meant:?}?"),
        None => format!("known are {}", known.join(", ")),
    };
    E::custom(format!("unknown key {}: {advice}", quoted(key)))
}

/// A foreign text, safe to print and not too long.
fn quoted(text: &str) -> String {
    const CHARS_MAX: usize = 80;
    let cut = text.chars().take(CHARS_MAX).collect::<String>();
    let more = if text.chars().nth(CHARS_MAX).is_some() { "..." } else { "" };
    format!("{cut:?}{more}")
}

/// `{"start": 0, "end": 36}`.
struct RangeField(Range<u64>);

impl<'de> Deserialize<'de> for RangeField {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<RangeField, D::Error> {
        struct RangeVisitor;
        impl<'de> Visitor<'de> for RangeVisitor {
            type Value = RangeField;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(r#"{"start": FIRST, "end": LAST + 1}"#)
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<RangeField, A::Error> {
                let (mut start, mut end) = (None, None);
                while let Some(key) = map.next_key::<String>()? {
                    match key.as_str() {
                        "start" => once(&mut start, "start", value::<u64, A>(&mut map, "start")?)?,
                        "end" => once(&mut end, "end", value::<u64, A>(&mut map, "end")?)?,
                        _ => return Err(unknown_key(&key, &RANGE_KEYS)),
                    }
                }
                let range = start.ok_or_else(|| missing("start"))?..end.ok_or_else(|| missing("end"))?;
                if range.is_empty() {
                    let (start, end) = (range.start, range.end);
                    return Err(de::Error::custom(format!(
                        "{start}..{end} holds no block (end is not in the range)"
                    )));
                }
                Ok(RangeField(range))
            }
        }
        deserializer.deserialize_map(RangeVisitor)
    }
}

/// `{"blocks.parquet": "https://..."}`.
struct FilesField(BTreeMap<String, String>);

impl<'de> Deserialize<'de> for FilesField {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<FilesField, D::Error> {
        struct FilesVisitor;
        impl<'de> Visitor<'de> for FilesVisitor {
            type Value = FilesField;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of file names and URLs")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<FilesField, A::Error> {
                let mut files = BTreeMap::new();
                while let Some(name) = map.next_key::<String>()? {
                    let shown = quoted(&name);
                    check_file_name(&name).map_err(|rule| de::Error::custom(format!("{shown}: {rule}")))?;
                    let url = text_value(&mut map, &shown, |url| check_url(url).map(|()| url.to_string()))?;
                    if files.insert(name, url).is_some() {
                        return Err(de::Error::custom(format!("{shown} is given twice")));
                    }
                    if files.len() > FILES_MAX {
                        return Err(de::Error::custom(format!("a chunk has at most {FILES_MAX} files")));
                    }
                }
                if files.is_empty() {
                    return Err(de::Error::custom("a chunk has at least one file"));
                }
                Ok(FilesField(files))
            }
        }
        deserializer.deserialize_map(FilesVisitor)
    }
}

/// The rule for file names, said early so that the message can name the line; the hold checks again.
pub(crate) fn check_file_name(name: &str) -> Result<(), &'static str> {
    const NAME_BYTES_MAX: usize = 128;
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    if name.is_empty() || name.len() > NAME_BYTES_MAX || name.starts_with('.') || !name.bytes().all(plain) {
        return Err("a file name is 1 to 128 of A-Z a-z 0-9 . _ - and does not begin with a dot");
    }
    Ok(())
}

fn check_url(url: &str) -> Result<(), String> {
    if url.starts_with('/') {
        return Ok(());
    }
    match url::Url::parse(url) {
        Ok(_) => Ok(()),
        // The text is not shown: it may hold credentials.
        Err(problem) => {
            Err(format!("not a URL ({problem}): write it whole, such as https://data.example/blocks.parquet"))
        }
    }
}

impl Serialize for Descriptor {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Shown {
            start: u64,
            end: u64,
        }
        let fields = if self.priority == 0 { 4 } else { 5 };
        let mut object = serializer.serialize_struct("Descriptor", fields)?;
        object.serialize_field("id", &hex_id(&self.id))?;
        object.serialize_field("dataset_id", &self.dataset)?;
        object.serialize_field(
            "block_range",
            &Shown { start: self.block_range.start, end: self.block_range.end },
        )?;
        object.serialize_field("files", &self.files)?;
        if self.priority != 0 {
            object.serialize_field("priority", &self.priority)?;
        }
        object.end()
    }
}

#[cfg(test)]
mod tests;
