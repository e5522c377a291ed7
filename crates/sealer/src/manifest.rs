//! A manifest: what one chunk holds, and which manifest came before it. Its bytes are canonical JSON.
//! Refuses any other spelling: a manifest has one form, so that its digest stands for what it says.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::chunk_id::ChunkId;
use crate::error::Error;
use crate::hex::{digest_of_hex, hex};
use crate::plan::{Layout, Plan};

/// The directory of manifests in a store.
pub(crate) const MANIFESTS: &str = "manifests";
/// A chunk of many small holes needs some room; a foreign object must not fill the memory.
pub(crate) const MANIFEST_BYTES_MAX: u64 = 64 << 20;
const VERSION: u32 = 1;
const FILES_MAX: usize = 64;

/// What one chunk holds. Fields are in the order of their names, which is that of the JSON.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// The chunk's id: 64 hexadecimal digits.
    pub chunk: String,
    /// The name of the dataset.
    pub dataset: String,
    /// The files, by name.
    pub files: BTreeMap<String, FileEntry>,
    /// The first block.
    pub first_block: u64,
    /// The first record of the log.
    pub first_transid: u64,
    /// Block numbers between the first and the last that no record has: first and last of each hole.
    pub gaps: Vec<[u64; 2]>,
    /// The last block, which is part of the chunk.
    pub last_block: u64,
    /// The hash of the last block, if blocks are linked.
    pub last_hash: Option<String>,
    /// The BLAKE3 of the last record (id and type, little-endian, and bytes): whoever goes on knows the log by it.
    pub last_record: String,
    /// The last record of the log, which is part of the chunk.
    pub last_transid: u64,
    /// The directory of the files, relative to the store's URL.
    pub path: String,
    /// The BLAKE3 of the manifest before; `None` for the first.
    pub previous: Option<String>,
    /// The ids of chunks in whose place this one comes.
    pub replaces: Vec<String>,
    /// Which manifest of the dataset this is, from 1 on.
    pub sequence: u64,
    /// The version of this form: 1.
    pub version: u32,
}

/// A file of a chunk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileEntry {
    /// Its BLAKE3.
    pub blake3: String,
    /// Its length.
    pub bytes: u64,
    /// What lies in it.
    pub kind: FileKind,
    /// How many rows.
    pub rows: u64,
    /// Its SHA-256.
    pub sha256: String,
}

/// What lies in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FileKind {
    /// Every record of the chunk, as it was appended.
    Raw,
    /// Records of one type as they were appended, or columns made from payloads.
    Table,
    /// What fitted nowhere.
    Rejected,
}

/// The name of the manifest with this number.
pub(crate) fn manifest_name(sequence: u64) -> String {
    format!("{MANIFESTS}/{sequence:020}.json")
}

/// The number in the name of a manifest; `None` for anything else that lies there.
pub(crate) fn sequence_of(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(".json")?;
    (digits.len() == 20 && digits.bytes().all(|byte| byte.is_ascii_digit())).then(|| digits.parse().ok())?
}

impl Manifest {
    /// Reads a manifest, and checks that it is one whole.
    ///
    /// # Errors
    /// [`Error::Damaged`].
    pub fn decode(name: &str, bytes: &[u8]) -> Result<Manifest, Error> {
        let manifest: Manifest = serde_json::from_slice(bytes)
            .map_err(|error| Error::damaged(name, format!("no manifest: {error}")))?;
        match manifest.flaw() {
            Some(flaw) => Err(Error::damaged(name, flaw)),
            None if manifest.encode() != bytes => Err(Error::damaged(name, "it is not in canonical form")),
            None => Ok(manifest),
        }
    }

    /// Its bytes: JSON without blanks, keys sorted, and a line feed.
    pub fn encode(&self) -> Vec<u8> {
        // A struct of numbers, texts and lists always becomes JSON.
        let mut bytes = serde_json::to_vec(self).unwrap_or_default();
        bytes.push(b'\n');
        bytes
    }

    /// The BLAKE3 of its bytes, which the next manifest names.
    pub fn digest(&self) -> String {
        hex(blake3::hash(&self.encode()).as_bytes())
    }

    /// The name of a file of the chunk, relative to the store's URL.
    pub fn object_name(&self, file: &str) -> String {
        format!("{}/{file}", self.path)
    }

    /// The file with every record as it was appended, if the chunk has one.
    pub fn raw_file(&self) -> Option<(&str, &FileEntry)> {
        let mut files = self.files.iter();
        files.find(|(_, file)| file.kind == FileKind::Raw).map(|(name, file)| (name.as_str(), file))
    }

    /// The id that the files and blocks make.
    pub(crate) fn computed_id(&self) -> Option<ChunkId> {
        let digests =
            self.files.iter().map(|(name, file)| Some((name.as_str(), digest_of_hex(&file.blake3)?)));
        let digests = digests.collect::<Option<BTreeMap<_, _>>>()?;
        Some(ChunkId::of(&self.dataset, self.first_block, self.last_block, &digests))
    }

    /// What is wrong with it by itself.
    fn flaw(&self) -> Option<String> {
        if self.version != VERSION {
            return Some(format!("version {} is not known; this program reads {VERSION}", self.version));
        }
        let is_plain =
            |part: &str| !part.is_empty() && !part.starts_with('.') && !part.contains(['\\', '\0']);
        let is_range = self.first_block <= self.last_block
            && self.last_block < u64::MAX
            && (1..=self.last_transid).contains(&self.first_transid);
        let mut free_from = self.first_block;
        let are_gaps = self.gaps.iter().all(|[first, last]| {
            let fits = free_from < *first && first <= last && *last < self.last_block;
            free_from = last.saturating_add(1);
            fits
        });
        let checks = [
            (self.sequence > 0, "its sequence number is 0"),
            (is_range, "its blocks or records are no range"),
            (are_gaps, "its gaps do not lie between its blocks"),
            ((1..=FILES_MAX).contains(&self.files.len()), "it has no files, or too many"),
            (self.files.keys().all(|name| is_plain(name) && !name.contains('/')), "a file has no plain name"),
            (self.files.values().all(|file| digest_of_hex(&file.sha256).is_some()), "a SHA-256 is none"),
            (self.path.split('/').all(is_plain), "its path is not plain"),
            (self.replaces.iter().all(|id| digest_of_hex(id).is_some()), "an id that it replaces is none"),
            (digest_of_hex(&self.last_record).is_some(), "the digest of its last record is none"),
            (
                self.previous.as_ref().is_none_or(|digest| digest_of_hex(digest).is_some()),
                "the digest before is none",
            ),
            (self.previous.is_none() == (self.sequence == 1), "only the first has none before it"),
        ];
        if let Some((_, flaw)) = checks.into_iter().find(|(is_right, _)| !is_right) {
            return Some(flaw.to_owned());
        }
        match self.computed_id() {
            None => Some("a BLAKE3 is none".to_owned()),
            Some(id) if id.to_hex() != self.chunk => {
                Some(format!("the chunk's id should be {}", id.to_hex()))
            }
            Some(_) => None,
        }
    }
}

/// The directory of a chunk: by what it holds, or as SQD's archives have it.
///
/// `top_block` is the first block of the directory's first chunk, in SQD's layout.
pub(crate) fn chunk_path(
    plan: &Plan,
    id: ChunkId,
    blocks: (u64, u64),
    top_block: u64,
    last_hash: Option<&str>,
) -> String {
    let (first, last) = blocks;
    match plan.layout {
        Layout::Loghold => format!("chunks/{first}-{last}-{}", id.short()),
        Layout::Sqd => {
            let id = id.to_hex();
            let hash = last_hash
                .filter(|hash| hash.len() >= 8 && hash.bytes().all(|byte| byte.is_ascii_alphanumeric()));
            let hash = hash.unwrap_or(&id);
            let short = hash.get(hash.len().saturating_sub(8)..).unwrap_or(hash);
            format!("{top_block:010}/{first:010}-{last:010}-{short}")
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A manifest of one file, behind another one.
    pub(crate) fn manifest(before: Option<&Manifest>, first: u64, last: u64) -> Manifest {
        let file = FileEntry {
            blake3: hex(&[1; 32]),
            bytes: 10,
            kind: FileKind::Raw,
            rows: 1,
            sha256: hex(&[2; 32]),
        };
        let mut manifest = Manifest {
            chunk: String::new(),
            dataset: "d".to_owned(),
            files: BTreeMap::from([("records.parquet".to_owned(), file)]),
            first_block: first,
            first_transid: first + 1,
            gaps: Vec::new(),
            last_block: last,
            last_hash: None,
            last_record: hex(&[3; 32]),
            last_transid: last + 1,
            path: format!("chunks/{first}-{last}"),
            previous: before.map(Manifest::digest),
            replaces: Vec::new(),
            sequence: before.map_or(1, |before| before.sequence + 1),
            version: VERSION,
        };
        manifest.chunk = manifest.computed_id().unwrap().to_hex();
        manifest
    }

    #[test]
    fn a_manifest_survives_the_way_there_and_back() {
        let manifest = manifest(None, 5, 9);
        assert_eq!(Manifest::decode("m", &manifest.encode()).unwrap(), manifest);
        assert_eq!(manifest_name(7), "manifests/00000000000000000007.json");
        assert_eq!(sequence_of("00000000000000000007.json"), Some(7));
        assert_eq!(sequence_of("7.json"), None);
    }

    #[test]
    fn keys_are_sorted_so_that_other_programs_make_the_same_bytes() {
        let bytes = manifest(None, 5, 9).encode();
        let value: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
        let text = String::from_utf8(bytes.clone()).unwrap();
        let order: Vec<_> =
            ["\"chunk\"", "\"dataset\"", "\"files\"", "\"first_block\"", "\"gaps\"", "\"version\""]
                .iter()
                .map(|key| text.find(key).unwrap())
                .collect();
        assert!(order.is_sorted());
        let mut again = serde_json::to_vec(&value).unwrap();
        again.push(b'\n');
        assert_eq!(again, bytes);
    }

    #[test]
    fn any_other_spelling_or_content_is_refused() {
        let good = manifest(None, 5, 9);
        let mut spaced = good.encode();
        spaced.insert(1, b' ');
        assert!(Manifest::decode("m", &spaced).is_err());
        let changes: [fn(&mut Manifest); 10] = [
            |m| m.version = 2,
            |m| m.first_block = 6,
            |m| m.last_block = 4,
            |m| m.gaps = vec![[5, 5]],
            |m| m.path = "chunks/../other".to_owned(),
            |m| m.path = "/chunks".to_owned(),
            |m| m.previous = Some(hex(&[0; 32])),
            |m| m.first_transid = 0,
            |m| m.files.clear(),
            |m| m.replaces = vec!["x".to_owned()],
        ];
        for (number, change) in changes.into_iter().enumerate() {
            let mut bad = good.clone();
            change(&mut bad);
            assert!(Manifest::decode("m", &bad.encode()).is_err(), "change {number}");
        }
        for cut in 0..good.encode().len() {
            assert!(Manifest::decode("m", &good.encode()[..cut]).is_err(), "cut at {cut}");
        }
    }

    #[test]
    fn chunks_lie_where_their_layout_says() {
        let id = ChunkId([0xab; 32]);
        let text = "dataset='a'\nstore='file:///a'\nnumbering='one-per-block'\nfinality={lag=0}\n";
        let table = "[[table]]\nfile='blocks.parquet'\ncolumns='raw'\n";
        let own = Plan::parse(&format!("{text}{table}")).unwrap();
        assert_eq!(chunk_path(&own, id, (1, 20), 0, None), "chunks/1-20-abababababababab");
        let sqd = Plan::parse(&format!("{text}layout='sqd'\n{table}")).unwrap();
        let hash = Some("0x1234567890abcdef");
        assert_eq!(chunk_path(&sqd, id, (1, 20), 0, hash), "0000000000/0000000001-0000000020-90abcdef");
        assert_eq!(chunk_path(&sqd, id, (1, 20), 1, None), "0000000001/0000000001-0000000020-abababab");
    }
}
