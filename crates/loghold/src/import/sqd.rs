//! SQD's bucket layout: `<top>/<first>-<last>-<hash>/<table>.parquet`, numbers of at least ten digits, last included.
//! Refuses chunks without `blocks.parquet`: the writer puts it last, so without it the chunk is not complete.

use std::collections::BTreeMap;
use std::ops::Range;

use url::Url;

use super::chunk_id;
use crate::dataset::Dataset;
use crate::descriptor::{CHUNKS_MAX, Descriptor, FILES_MAX, check_file_name};

/// The file whose presence says that a chunk is complete.
const LAST_FILE: &str = "blocks.parquet";

/// One object of a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Object {
    /// Its path below the listed place, with `/` between parts.
    pub(crate) path: String,
    pub(crate) url: Url,
    pub(crate) size: Option<u64>,
}

/// What a listing holds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Listing {
    /// In order of their first blocks.
    pub(crate) chunks: Vec<Descriptor>,
    /// Paths of chunks without `blocks.parquet`.
    pub(crate) incomplete: Vec<String>,
    /// How many objects are no file of a chunk, and the first of them.
    pub(crate) foreign: usize,
    pub(crate) foreign_example: Option<String>,
    /// Blocks between the first and the last chunk that no chunk holds.
    pub(crate) gaps: Vec<Range<u64>>,
    /// How many chunks begin before the one ahead of them ends.
    pub(crate) overlaps: usize,
}

/// Makes descriptors of the objects of one dataset.
pub(crate) fn read_listing(
    dataset: &Dataset,
    objects: impl IntoIterator<Item = Object>,
) -> Result<Listing, String> {
    let mut listing = Listing::default();
    let mut chunks: BTreeMap<(u64, u64, String), BTreeMap<String, String>> = BTreeMap::new();
    for object in objects {
        let Some((chunk_path, range, name)) = split_path(&object.path) else {
            listing.foreign += 1;
            listing.foreign_example.get_or_insert(object.path);
            continue;
        };
        let files = chunks.entry((range.start, range.end, chunk_path)).or_default();
        files.insert(name, with_size(object.url, object.size));
        if files.len() > FILES_MAX {
            return Err(format!("chunk {}: more than {FILES_MAX} files", object.path));
        }
        if chunks.len() > CHUNKS_MAX {
            return Err(format!("more than {CHUNKS_MAX} chunks: list a part of the dataset"));
        }
    }
    let mut covered_to: Option<u64> = None;
    for ((start, end, path), files) in chunks {
        if !files.contains_key(LAST_FILE) {
            listing.incomplete.push(path);
            continue;
        }
        match covered_to {
            Some(covered) if start > covered => listing.gaps.push(covered..start),
            Some(covered) if start < covered => listing.overlaps += 1,
            _ => {}
        }
        covered_to = Some(covered_to.map_or(end, |covered| covered.max(end)));
        let id = chunk_id(dataset.text(), &path);
        listing.chunks.push(Descriptor {
            id,
            dataset: dataset.clone(),
            block_range: start..end,
            files,
            priority: 0,
        });
    }
    Ok(listing)
}

/// `<top>/<first>-<last>-<hash>` and its half-open range of blocks; `None` for anything else.
pub(crate) fn parse_chunk_path(path: &str) -> Option<Range<u64>> {
    let (top, name) = path.split_once('/')?;
    padded_number(top)?;
    let mut parts = name.split('-');
    let (first, last, hash) = (padded_number(parts.next()?)?, padded_number(parts.next()?)?, parts.next()?);
    let hash_is_short =
        (5..=8).contains(&hash.len()) && hash.bytes().all(|byte| byte.is_ascii_alphanumeric());
    if parts.next().is_some() || !hash_is_short || first > last {
        return None;
    }
    Some(first..last.checked_add(1)?)
}

fn split_path(path: &str) -> Option<(String, Range<u64>, String)> {
    let (chunk_path, name) = path.rsplit_once('/')?;
    let range = parse_chunk_path(chunk_path)?;
    let is_table = name.strip_suffix(".parquet").is_some_and(|table| !table.is_empty());
    (is_table && check_file_name(name).is_ok()).then(|| (chunk_path.to_string(), range, name.to_string()))
}

/// At least ten digits, padded with zeros to ten and no further.
fn padded_number(text: &str) -> Option<u64> {
    let plain = text.bytes().all(|byte| byte.is_ascii_digit());
    let padded_too_far = text.len() > 10 && text.starts_with('0');
    if !plain || text.len() < 10 || padded_too_far { None } else { text.parse().ok() }
}

/// The URL, which tells the hold the size as well, so that a short body is seen early and progress has a total.
fn with_size(mut url: Url, size: Option<u64>) -> String {
    if let Some(size) = size {
        url.set_fragment(Some(&format!("size={size}")));
    }
    url.into()
}

#[cfg(test)]
mod tests;
