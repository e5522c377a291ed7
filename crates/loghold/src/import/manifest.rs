//! Data portal manifests: JSON that lists the files of one dataset, each with a block range in its name.
//! Refuses files that are cut by anything else than block ranges, and manifests of manifests.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::ops::Range;

use serde::de::{IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use url::Url;

use super::chunk_id;
use crate::dataset::Dataset;
use crate::descriptor::{CHUNKS_MAX, Descriptor, check_file_name, parse_descriptors};

/// How long a manifest may be.
pub(crate) const MANIFEST_BYTES_MAX: usize = 64 << 20;

/// What a manifest lists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Manifest {
    /// In order of their first blocks.
    pub(crate) chunks: Vec<Descriptor>,
    /// How many files have a digest that cannot be checked: the manifests carry MD5.
    pub(crate) unchecked_digests: usize,
}

#[derive(Deserialize)]
struct Document {
    name: Option<String>,
    files: Option<Vec<Entry>>,
    /// Only a manifest of manifests has it.
    datasets: Option<Names>,
}

/// The first keys of an object, whatever its values are.
struct Names(BTreeSet<String>);

impl<'de> Deserialize<'de> for Names {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Names, D::Error> {
        struct NamesVisitor;
        impl<'de> Visitor<'de> for NamesVisitor {
            type Value = Names;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of data sets")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Names, A::Error> {
                const SHOWN_MAX: usize = 8;
                let mut names = BTreeSet::new();
                while let Some((name, IgnoredAny)) = map.next_entry()? {
                    if names.len() < SHOWN_MAX {
                        names.insert(name);
                    }
                }
                Ok(Names(names))
            }
        }
        deserializer.deserialize_map(NamesVisitor)
    }
}

#[derive(Deserialize)]
struct Entry {
    name: String,
    n_bytes: Option<u64>,
    hash: Option<String>,
}

/// Makes a chunk of each file. The dataset is the manifest's own name unless one is given; `base` is where the files
/// lie and ends in `/`.
pub(crate) fn read_manifest(text: &[u8], dataset: Option<&Dataset>, base: &Url) -> Result<Manifest, String> {
    if text.len() > MANIFEST_BYTES_MAX {
        return Err(format!("it is longer than {} MiB", MANIFEST_BYTES_MAX >> 20));
    }
    let document: Document = serde_json::from_slice(text).map_err(|error| match parse_descriptors(text) {
        Ok(found) if !found.is_empty() => {
            "it holds descriptors: `loghold chunk get` takes them as they are".to_string()
        }
        _ => format!("it is not a manifest: {error}"),
    })?;
    let Some(entries) = document.files else {
        return Err(without_files(document.datasets));
    };
    if entries.len() > CHUNKS_MAX {
        return Err(format!("it lists more than {CHUNKS_MAX} files"));
    }
    let dataset = match (dataset, document.name) {
        (Some(dataset), _) => dataset.clone(),
        (None, Some(name)) => Dataset::parse(&name)?,
        (None, None) => return Err("it has no name: give one with --dataset".to_string()),
    };
    let mut unchecked_digests = 0;
    let mut chunks = entries
        .into_iter()
        .map(|entry| {
            unchecked_digests += usize::from(entry.hash.is_some());
            describe(&dataset, &entry, base)
        })
        .collect::<Result<Vec<_>, String>>()?;
    chunks.sort_by_key(|chunk| chunk.block_range.start);
    let repeated = chunks.windows(2).find_map(|pair| match pair {
        [one, other] if one.block_range.end > other.block_range.start => other.files.keys().next(),
        _ => None,
    });
    match repeated {
        Some(name) => Err(format!("{name} is listed twice or overlaps the file before it")),
        None => Ok(Manifest { chunks, unchecked_digests }),
    }
}

fn without_files(datasets: Option<Names>) -> String {
    match datasets {
        None => "it lists no files: a manifest has `files` with `name` and `n_bytes`".to_string(),
        Some(datasets) => {
            let names = datasets.0.iter().map(|name| format!("{name:?}")).collect::<Vec<_>>().join(", ");
            format!(
                "it is a global manifest, which names data sets and no files: import the manifest of one of {names}"
            )
        }
    }
}

fn describe(dataset: &Dataset, entry: &Entry, base: &Url) -> Result<Descriptor, String> {
    let name = &entry.name;
    check_file_name(name)
        .map_err(|rule| format!("file {:?}: {rule}", name.chars().take(80).collect::<String>()))?;
    let block_range = range_of(name)?;
    let mut url =
        base.join(name).map_err(|problem| format!("{name}: no URL can be made of it ({problem})"))?;
    if let Some(size) = entry.n_bytes {
        url.set_fragment(Some(&format!("size={size}")));
    }
    let files = BTreeMap::from([(name.clone(), url.into())]);
    Ok(Descriptor {
        id: chunk_id(dataset.text(), name),
        dataset: dataset.clone(),
        block_range,
        files,
        priority: 0,
    })
}

/// The range of `<dataset>__v<version>__<first>_to_<last>.parquet`, both ends included there.
fn range_of(name: &str) -> Result<Range<u64>, String> {
    let bounds = name
        .strip_suffix(".parquet")
        .and_then(|stem| stem.rsplit_once("__"))
        .and_then(|(_, bounds)| bounds.split_once("_to_"))
        .ok_or_else(|| format!("{name}: its name does not end in __<first>_to_<last>.parquet"))?;
    let (first, last) = bounds;
    if first.starts_with("0x") || last.starts_with("0x") {
        return Err(format!(
            "{name}: it is cut by key ({first} to {last}) and not by block range: it is in no block's chunk"
        ));
    }
    let number = |text: &str| {
        text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse::<u64>().ok()).flatten()
    };
    match (number(first), number(last).and_then(|last| last.checked_add(1))) {
        (Some(start), Some(end)) if start < end => Ok(start..end),
        _ => Err(format!("{name}: {first} to {last} is not a range of blocks")),
    }
}

#[cfg(test)]
mod tests;
