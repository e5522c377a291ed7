//! What of a staged chunk is on disk: an append-only text, `_parts`, from which a download resumes.
//! Refuses to read or write files, and to believe a line that is torn, damaged or out of bounds.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::data_chunk::hex_id;
use crate::data_source::redacted;
use crate::digest::{ChainingValue, hex_digest, parse_hex_digest, segment_count, segment_len};
use crate::file_name::FILES_MAX;
use crate::file_spec::{CheckedChunk, FileSpec};

const FORMAT: u32 = 2;
/// Enough for 64 files of 64 GiB. What a longer map says past this is fetched again.
const LINES_MAX: usize = 1 << 20;
/// Twice what a header of 64 files needs.
const LINE_BYTES_MAX: usize = 64 << 10;
/// A longer validator is not kept: its file starts over after a restart.
const VALIDATOR_BYTES_MAX: usize = 1024;

/// What is known of a staged chunk's files.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct PartMap {
    /// `None` when nothing is known, and then there are no files either.
    header: Option<Header>,
    /// One for each file of the header, in its order.
    files: Vec<FileParts>,
    valid_len: usize,
}

/// One thing learnt of a staged chunk. Files are counted in the order of their names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PartRecord<'a> {
    /// The object's length and version, before its first segment and whenever they change: whatever was on disk of
    /// another length or version is worth nothing from here on.
    Object { file: usize, total: u64, validator: Option<&'a str> },
    /// A segment that is written to its place.
    Segment { file: usize, segment: u64, len: u64, value: ChainingValue },
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct FileParts {
    total: Option<u64>,
    validator: Option<String>,
    /// Sparse, because a damaged or hostile length must not decide how much memory is taken. Each is below the
    /// number of segments of `total`.
    segments: BTreeMap<u64, ChainingValue>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Header {
    format: u32,
    id: String,
    dataset_id: String,
    first_block: u64,
    last_block: u64,
    files: Vec<HeaderFile>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct HeaderFile {
    name: String,
    /// The digest of the URL without what may change when it is signed anew, or must not be kept.
    url_key: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    size: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sha256: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    blake3: Option<String>,
}

/// Both kinds of record; which one it is follows from the fields that are there.
#[derive(Serialize, Deserialize, Default)]
struct Line<'a> {
    file: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    total: Option<u64>,
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    validator: Option<std::borrow::Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    segment: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    len: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cv: Option<String>,
}

impl PartMap {
    /// The text's first line.
    pub(crate) fn header(chunk: &CheckedChunk) -> Vec<u8> {
        line(&Header::of(chunk))
    }

    /// One more line of the text. It is true of the disk only once the segment's bytes are written: write those first.
    pub(crate) fn record(record: &PartRecord<'_>) -> Vec<u8> {
        line(&match *record {
            PartRecord::Object { file, total, validator } => Line {
                file,
                total: Some(total),
                validator: short(validator).map(Into::into),
                ..Line::default()
            },
            PartRecord::Segment { file, segment, len, value } => Line {
                file,
                segment: Some(segment),
                len: Some(len),
                cv: Some(hex_digest(&value)),
                ..Line::default()
            },
        })
    }

    /// Reads a text up to its first torn or damaged line; one whose header is damaged is empty.
    pub(crate) fn decode(bytes: &[u8]) -> PartMap {
        let mut lines = bytes.split_inclusive(|byte| *byte == b'\n').take(LINES_MAX);
        let header = lines.next().and_then(|whole| {
            let header: Header = serde_json::from_slice(checked_text(whole)?).ok()?;
            let is_readable = header.format == FORMAT && (1..=FILES_MAX).contains(&header.files.len());
            is_readable.then_some((header, whole.len()))
        });
        let Some((header, header_len)) = header else {
            return PartMap::default();
        };
        let mut map = PartMap::with_header(header);
        map.valid_len = header_len;
        for whole in lines {
            let Some(text) = checked_text(whole) else { break };
            map.valid_len += whole.len();
            // A whole line of another shape was written by a later version: it is not ours to act on.
            if let Ok(line) = serde_json::from_slice::<Line<'_>>(text) {
                map.apply_line(&line);
            }
        }
        map
    }

    /// How much of the decoded text is good. Cut the file to this before appending to it: whatever follows a torn line
    /// is never read.
    pub(crate) fn valid_len(&self) -> usize {
        self.valid_len
    }

    /// Whether what is on disk may become part of this chunk: it was fetched for the same content, and each file from
    /// the same place unless its digest is known beforehand.
    pub(crate) fn is_of(&self, chunk: &CheckedChunk) -> bool {
        let Some(found) = &self.header else { return false };
        let mut wanted = Header::of(chunk);
        for (wanted, found) in wanted.files.iter_mut().zip(&found.files) {
            if wanted.sha256.is_some() || wanted.blake3.is_some() {
                wanted.url_key.clone_from(&found.url_key);
            }
        }
        *found == wanted
    }

    /// A file's length, once it is known.
    pub(crate) fn total(&self, file: usize) -> Option<u64> {
        self.files.get(file)?.total
    }

    /// What names the version that the file's segments are of.
    pub(crate) fn validator(&self, file: usize) -> Option<&str> {
        self.files.get(file)?.validator.as_deref()
    }

    /// The segments of a file that are on disk: index, length and value, in order.
    pub(crate) fn segments(&self, file: usize) -> impl Iterator<Item = (u64, u64, &ChainingValue)> {
        let parts = self.files.get(file);
        parts.into_iter().flat_map(FileParts::segments)
    }

    /// Bytes that a download would go on with, if its files are as long as `len_of` says and the segments are what they were.
    pub(crate) fn done_bytes(&self, len_of: impl Fn(&str) -> u64) -> u64 {
        let files = self.header.iter().flat_map(|header| &header.files).zip(&self.files);
        let done = files.filter_map(|(file, parts)| {
            let total = parts.total?;
            let is_whole = u64::try_from(parts.segments.len()) == Ok(segment_count(total));
            // Otherwise nothing would tell whether what follows is of the same version.
            let can_go_on =
                is_whole || parts.validator.is_some() || file.sha256.is_some() || file.blake3.is_some();
            let is_there = can_go_on && len_of(&file.name) >= total;
            is_there.then(|| parts.segments().map(|(_, len, _)| len).sum::<u64>())
        });
        done.fold(0, u64::saturating_add)
    }

    fn with_header(header: Header) -> PartMap {
        let files = vec![FileParts::default(); header.files.len()];
        PartMap { header: Some(header), files, valid_len: 0 }
    }

    fn apply_line(&mut self, line: &Line<'_>) {
        match *line {
            Line { file, total: Some(total), ref validator, segment: None, .. } => {
                self.apply_object(file, total, short(validator.as_deref()));
            }
            Line { file, segment: Some(segment), len: Some(len), cv: Some(ref cv), total: None, .. } => {
                if let Some(value) = parse_hex_digest(cv) {
                    self.apply_segment(file, segment, len, value);
                }
            }
            Line { .. } => {}
        }
    }

    /// What cannot be true of this chunk is ignored.
    fn apply_object(&mut self, file: usize, total: u64, validator: Option<&str>) {
        let promised =
            self.header.as_ref().and_then(|header| header.files.get(file)).and_then(|file| file.size);
        let Some(parts) = self.files.get_mut(file) else { return };
        if promised.is_some_and(|size| size != total) {
            return;
        }
        if parts.total != Some(total) || parts.validator.as_deref() != validator {
            *parts = FileParts {
                total: Some(total),
                validator: validator.map(str::to_string),
                segments: BTreeMap::new(),
            };
        }
    }

    fn apply_segment(&mut self, file: usize, segment: u64, len: u64, value: ChainingValue) {
        let Some(parts) = self.files.get_mut(file) else { return };
        let Some(total) = parts.total else { return };
        if segment < segment_count(total) && len == segment_len(segment, total) {
            parts.segments.insert(segment, value);
        }
    }
}

impl FileParts {
    fn segments(&self) -> impl Iterator<Item = (u64, u64, &ChainingValue)> {
        let total = self.total.unwrap_or(0);
        self.segments.iter().map(move |(index, value)| (*index, segment_len(*index, total), value))
    }
}

impl Header {
    fn of(chunk: &CheckedChunk) -> Header {
        Header {
            format: FORMAT,
            id: hex_id(&chunk.id),
            dataset_id: hex_id(&chunk.dataset_id),
            first_block: chunk.block_range.start,
            last_block: chunk.block_range.end.saturating_sub(1),
            files: chunk.files.iter().map(HeaderFile::of).collect(),
        }
    }
}

impl HeaderFile {
    fn of(file: &FileSpec) -> HeaderFile {
        HeaderFile {
            name: file.name.clone(),
            url_key: hex_digest(blake3::hash(redacted(&file.url).as_bytes()).as_bytes()),
            size: file.size,
            sha256: file.sha256.as_ref().map(hex_digest),
            blake3: file.blake3.as_ref().map(hex_digest),
        }
    }
}

fn short(validator: Option<&str>) -> Option<&str> {
    validator.filter(|validator| validator.len() <= VALIDATOR_BYTES_MAX)
}

/// JSON, a space, its CRC-32 and a line feed, which JSON escapes and so never holds.
fn line(value: &impl Serialize) -> Vec<u8> {
    let mut line = serde_json::to_vec(value).expect("numbers, strings and lists of them become JSON");
    let sum = crc32fast::hash(&line);
    line.extend_from_slice(format!(" {sum:08x}\n").as_bytes());
    line
}

/// The JSON of a line that is whole and undamaged.
fn checked_text(whole: &[u8]) -> Option<&[u8]> {
    if whole.len() > LINE_BYTES_MAX {
        return None;
    }
    let (text, sum) = whole.split_last_chunk::<10>()?;
    (*sum == *format!(" {:08x}\n", crc32fast::hash(text)).as_bytes()).then_some(text)
}

#[cfg(test)]
#[path = "../tests/unit/part_map.rs"]
mod tests;
