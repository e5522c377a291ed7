//! `_chunk.json`: what a published chunk holds, beside its files, for us and for anybody who reads the directory.
//! Refuses to show a query or user information, and to believe a document that is damaged.

use serde::{Deserialize, Serialize};
use url::Url;

use crate::data_chunk::{BlockRange, ChunkId, DatasetId, hex_id, parse_hex_id};
use crate::data_source::redacted;
use crate::digest::{hex_digest, parse_hex_digest};
use crate::file_name::{check_file_names, shown};
use crate::summed_json;

const FORMAT: u32 = 1;
/// Twice what 64 files with the longest names and URLs take.
const BYTES_MAX: usize = 1 << 20;
/// A longer URL is left out; the chunk's descriptor has it.
const URL_BYTES_MAX: usize = 4096;
/// What a published chunk holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Manifest {
    pub(crate) id: ChunkId,
    pub(crate) dataset_id: DatasetId,
    /// Not empty.
    pub(crate) block_range: BlockRange,
    /// 1 to 64, sorted by name.
    pub(crate) files: Vec<ManifestFile>,
    /// Seconds since 1970 began, in UTC.
    pub(crate) published_unix: u64,
}

/// One file of a published chunk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ManifestFile {
    pub(crate) name: String,
    pub(crate) size: u64,
    pub(crate) blake3: [u8; 32],
    pub(crate) sha256: Option<[u8; 32]>,
    /// Where the file came from, without query and user information.
    pub(crate) url: Option<String>,
}

impl ManifestFile {
    /// The URL as a manifest may keep it.
    pub(crate) fn kept_url(url: &Url) -> Option<String> {
        Some(redacted(url)).filter(|kept| kept.len() <= URL_BYTES_MAX)
    }
}

#[derive(Serialize, Deserialize)]
struct Document {
    format: u32,
    id: String,
    dataset_id: String,
    first_block: u64,
    last_block: u64,
    files: Vec<DocumentFile>,
    published_unix: u64,
}

#[derive(Serialize, Deserialize)]
struct DocumentFile {
    name: String,
    size: u64,
    blake3: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    sha256: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    url: Option<String>,
}

impl Manifest {
    /// The document, for people to read too; the same manifest always gives the same bytes.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let document = Document {
            format: FORMAT,
            id: hex_id(&self.id),
            dataset_id: hex_id(&self.dataset_id),
            first_block: self.block_range.start,
            last_block: self.block_range.end.saturating_sub(1),
            files: self.files.iter().map(DocumentFile::of).collect(),
            published_unix: self.published_unix,
        };
        summed_json::encode(&document)
    }

    /// Reads a document; the message says what is wrong with it.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Manifest, String> {
        if bytes.len() > BYTES_MAX {
            return Err(format!("it has {} bytes, and at most {BYTES_MAX} are read", bytes.len()));
        }
        summed_json::check_sum(bytes)?;
        let document: Document = serde_json::from_slice(bytes)
            .map_err(|error| format!("it is not a chunk's document: {error}"))?;
        document.checked()
    }
}

impl Document {
    fn checked(self) -> Result<Manifest, String> {
        if self.format != FORMAT {
            return Err(format!("it has format {}, and this program reads format {FORMAT}", self.format));
        }
        let id = parse_hex_id(&self.id).ok_or("its id is not 64 hex digits")?;
        let dataset_id = parse_hex_id(&self.dataset_id).ok_or("its dataset_id is not 64 hex digits")?;
        let (first, last) = (self.first_block, self.last_block);
        let end = last.checked_add(1).filter(|end| first < *end);
        let end = end.ok_or_else(|| format!("the blocks {first} to {last} are not a range"))?;
        check_file_names(self.files.iter().map(|file| file.name.as_str()))?;
        if !self.files.is_sorted_by(|left, right| left.name < right.name) {
            return Err("its files are not sorted by name".to_string());
        }
        if self.files.iter().map(|file| file.size).try_fold(0u64, u64::checked_add).is_none() {
            return Err("the sizes of its files add up to more than 2^64 bytes".to_string());
        }
        let files = self.files.into_iter().map(DocumentFile::checked).collect::<Result<_, _>>()?;
        Ok(Manifest { id, dataset_id, block_range: first..end, files, published_unix: self.published_unix })
    }
}

impl DocumentFile {
    fn of(file: &ManifestFile) -> DocumentFile {
        DocumentFile {
            name: file.name.clone(),
            size: file.size,
            blake3: hex_digest(&file.blake3),
            sha256: file.sha256.as_ref().map(hex_digest),
            url: file.url.clone(),
        }
    }

    fn checked(self) -> Result<ManifestFile, String> {
        let digest = |text: &str, key: &str| {
            parse_hex_digest(text)
                .ok_or_else(|| format!("the {key} of {} is not 64 hex digits", shown(&self.name)))
        };
        let blake3 = digest(&self.blake3, "blake3")?;
        let sha256 = self.sha256.as_deref().map(|text| digest(text, "sha256")).transpose()?;
        Ok(ManifestFile { name: self.name, size: self.size, blake3, sha256, url: self.url })
    }
}

#[cfg(test)]
#[path = "../tests/unit/manifest.rs"]
mod tests;
