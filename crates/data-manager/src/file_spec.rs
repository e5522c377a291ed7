//! What a descriptor says about each file: its name, where it comes from, and what its bytes must be.
//! Refuses to fetch anything, and to show a query or user information in a message.

use std::path::{Component, Path};

use url::Url;

use crate::data_chunk::{BlockRange, ChunkId, DataChunk, DatasetId, hex_id};
use crate::data_source::redacted;
use crate::digest::parse_hex_digest;
use crate::error::{Error, ErrorKind, Result};
use crate::file_name::{check_file_name, check_file_names, shown};

/// How long a URL may be. Presigned ones with session tokens reach about 4 KiB.
pub(crate) const URL_BYTES_MAX: usize = 16 << 10;

const ADVICE: &str = "give an absolute URL such as https://data.example/blocks.parquet, or an absolute path";

/// One file of a chunk, as its descriptor describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FileSpec {
    pub(crate) name: String,
    /// Has no fragment.
    pub(crate) url: Url,
    pub(crate) size: Option<u64>,
    pub(crate) sha256: Option<[u8; 32]>,
    pub(crate) blake3: Option<[u8; 32]>,
}

/// A chunk's descriptor with every rule checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CheckedChunk {
    pub(crate) id: ChunkId,
    pub(crate) dataset_id: DatasetId,
    /// Not empty.
    pub(crate) block_range: BlockRange,
    /// 1 to 64, sorted by name, no two names equal; the sum of the sizes that are given fits a `u64`.
    pub(crate) files: Vec<FileSpec>,
}

/// Checks a descriptor before anything is done for it.
///
/// # Errors
/// [`ErrorKind::Invalid`], naming the chunk, the file and the rule.
pub(crate) fn checked_chunk(chunk: DataChunk) -> Result<CheckedChunk> {
    let id = chunk.id;
    check(chunk).map_err(|reason| Error::new(ErrorKind::Invalid, format!("chunk {}: {reason}", hex_id(&id))))
}

fn check(chunk: DataChunk) -> std::result::Result<CheckedChunk, String> {
    let DataChunk { id, dataset_id, block_range, files } = chunk;
    if block_range.is_empty() {
        return Err(format!(
            "the block range {}..{} is empty: its end is the block after the last",
            block_range.start, block_range.end,
        ));
    }
    check_file_names(files.keys().map(String::as_str))?;
    let mut specs = Vec::with_capacity(files.len());
    for (name, url_text) in &files {
        specs.push(FileSpec::parse(name, url_text)?);
    }
    specs.sort_unstable_by(|left, right| left.name.cmp(&right.name));
    let sizes = specs.iter().filter_map(|spec| spec.size);
    if sizes.into_iter().try_fold(0u64, u64::checked_add).is_none() {
        return Err("the sizes of its files add up to more than 2^64 bytes".to_string());
    }
    Ok(CheckedChunk { id, dataset_id, block_range, files: specs })
}

impl FileSpec {
    /// Reads a file's name and its URL, whose fragment may say the file's size and digests.
    ///
    /// A path from the root is taken as a file URL, which is fetched only where files are allowed; in both, a `#` that belongs to the path is written `%23`.
    pub(crate) fn parse(name: &str, url_text: &str) -> std::result::Result<FileSpec, String> {
        check_file_name(name)?;
        let of_file = |reason: String| format!("file {}: {reason}", shown(name));
        if url_text.len() > URL_BYTES_MAX {
            return Err(of_file(format!("its URL has more than {URL_BYTES_MAX} bytes")));
        }
        let (place, fragment) = match url_text.split_once('#') {
            Some((place, fragment)) => (place, Some(fragment)),
            None => (url_text, None),
        };
        let url = parse_place(place).map_err(of_file)?;
        if url.as_str().len() > URL_BYTES_MAX {
            return Err(of_file(format!("its URL has more than {URL_BYTES_MAX} bytes when it is encoded")));
        }
        let mut spec = FileSpec { name: name.to_string(), url, size: None, sha256: None, blake3: None };
        if let Some(fragment) = fragment {
            spec.read_fragment(fragment)
                .map_err(|reason| of_file(format!("{}: {reason}", redacted(&spec.url))))?;
        }
        Ok(spec)
    }

    /// Whether the descriptor pins the file's bytes, whatever a source says of their version.
    pub(crate) fn has_digest(&self) -> bool {
        self.sha256.is_some() || self.blake3.is_some()
    }

    fn read_fragment(&mut self, fragment: &str) -> std::result::Result<(), String> {
        for pair in fragment.split('&') {
            // The pair itself is not shown: without a `=` it may be anything, a secret included.
            let (key, value) = pair.split_once('=').ok_or_else(|| {
                "after `#` stand sha256=<hex>, blake3=<hex> and size=<bytes>, joined by `&`".to_string()
            })?;
            match key {
                "size" => set_once(&mut self.size, key, parse_size(value))?,
                "sha256" => set_once(&mut self.sha256, key, parse_hex_digest(value))?,
                "blake3" => set_once(&mut self.blake3, key, parse_hex_digest(value))?,
                _ => {
                    let key = shown(key);
                    return Err(format!("the key {key} after `#` is not one of sha256, blake3, size"));
                }
            }
        }
        Ok(())
    }
}

fn set_once<T>(slot: &mut Option<T>, key: &str, value: Option<T>) -> std::result::Result<(), String> {
    if slot.is_some() {
        return Err(format!("the key {key} stands twice after `#`"));
    }
    let wanted = if key == "size" { "a number of bytes" } else { "64 hex digits" };
    *slot = Some(value.ok_or_else(|| format!("the value of {key} after `#` is not {wanted}"))?);
    Ok(())
}

fn parse_size(text: &str) -> Option<u64> {
    if text.bytes().all(|byte| byte.is_ascii_digit()) { text.parse().ok() } else { None }
}

/// Messages do not repeat the text: what cannot be read as a URL cannot be redacted either.
fn parse_place(text: &str) -> std::result::Result<Url, String> {
    if text.is_empty() {
        return Err(format!("its URL is empty: {ADVICE}"));
    }
    if text.starts_with('/') {
        return parse_path(text);
    }
    let url = Url::parse(text).map_err(|error| match error {
        url::ParseError::RelativeUrlWithoutBase => format!("its URL is relative: {ADVICE}"),
        other => format!("its URL cannot be read ({other}): {ADVICE}"),
    })?;
    // The parser is lenient: it would make `file:a` mean `/a` and `https:a` mean the host `a`.
    if !text.trim_start().get(url.scheme().len()..).is_some_and(|rest| rest.starts_with("://")) {
        return Err(format!("its URL has no `://` after {}: {ADVICE}", shown(url.scheme())));
    }
    if url.scheme() == "file" && url.host().is_some() {
        return Err("a file URL has three slashes, and no host, before the path".to_string());
    }
    Ok(url)
}

fn parse_path(text: &str) -> std::result::Result<Url, String> {
    if text.starts_with("//") {
        return Err(format!("its URL begins with `//` and names no scheme: {ADVICE}"));
    }
    let path = Path::new(text);
    if path.components().any(|component| component == Component::ParentDir) {
        return Err(format!("its path has a `..`: {ADVICE}"));
    }
    Url::from_file_path(path).map_err(|()| format!("its path cannot be written as a URL: {ADVICE}"))
}

#[cfg(test)]
#[path = "../tests/unit/file_spec.rs"]
mod tests;
