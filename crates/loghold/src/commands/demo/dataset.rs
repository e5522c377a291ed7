//! The chunks that the demo serves: made up, or cut from a file of real records.
//! Refuses lines that belong to no block: it names the first.

use std::collections::BTreeMap;
use std::ops::Range;

use bytes::Bytes;
use serde_json::Value;

/// Blocks in a chunk that is cut from a file.
const CHUNK_BLOCKS: u64 = 4;

/// One chunk of the demo: a file for each table.
#[derive(Debug, Clone)]
pub(crate) struct DemoChunk {
    pub(crate) blocks: Range<u64>,
    pub(crate) files: BTreeMap<String, Bytes>,
}

impl DemoChunk {
    pub(crate) fn bytes(&self) -> u64 {
        self.files.values().map(|file| u64::try_from(file.len()).unwrap_or(u64::MAX)).sum()
    }
}

/// Cuts JSON Lines into chunks of four blocks, one file for each kind of record. A record has `kind`, and its block in
/// `number` (blocks) or `block_number` (others); its bytes are kept as they are.
pub(crate) fn cut(text: &[u8]) -> Result<Vec<DemoChunk>, String> {
    let mut chunks: BTreeMap<u64, BTreeMap<String, Vec<u8>>> = BTreeMap::new();
    for (index, line) in text.split(|byte| *byte == b'\n').enumerate() {
        if line.trim_ascii().is_empty() {
            continue;
        }
        let (kind, number) = place(line).map_err(|reason| format!("line {}: {reason}", index + 1))?;
        let table =
            chunks.entry(number / CHUNK_BLOCKS).or_default().entry(format!("{kind}s.jsonl")).or_default();
        table.extend_from_slice(line);
        table.push(b'\n');
    }
    let chunk = |(group, files): (u64, BTreeMap<String, Vec<u8>>)| DemoChunk {
        blocks: group * CHUNK_BLOCKS..(group + 1) * CHUNK_BLOCKS,
        files: files.into_iter().map(|(name, bytes)| (name, Bytes::from(bytes))).collect(),
    };
    Ok(chunks.into_iter().map(chunk).collect())
}

fn place(line: &[u8]) -> Result<(String, u64), String> {
    let record: Value = serde_json::from_slice(line).map_err(|error| error.to_string())?;
    let kind = record.get("kind").and_then(Value::as_str).ok_or("it has no text in \"kind\"")?;
    let is_plain = !kind.is_empty() && kind.len() <= 64 && kind.bytes().all(|byte| byte.is_ascii_lowercase());
    if !is_plain {
        return Err("its \"kind\" is not 1 to 64 of a to z".to_string());
    }
    let number = record.get("number").or_else(|| record.get("block_number")).and_then(Value::as_u64);
    let number = number.ok_or("it has no block number in \"number\" or \"block_number\"")?;
    if number >= u64::MAX - CHUNK_BLOCKS {
        return Err(format!("block number {number} is too large"));
    }
    Ok((kind.to_string(), number))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_cut_by_block_and_kind_with_their_bytes_kept() {
        let text = b"{\"kind\":\"block\",\"number\":7}\n{\"kind\":\"log\", \"block_number\":7}\n{\"kind\":\"block\",\"number\":8}";
        let chunks = cut(text).unwrap();
        assert_eq!(chunks.iter().map(|chunk| chunk.blocks.clone()).collect::<Vec<_>>(), [4..8, 8..12]);
        assert_eq!(chunks[0].files["logs.jsonl"], "{\"kind\":\"log\", \"block_number\":7}\n");
    }

    #[test]
    fn a_line_without_a_block_is_named() {
        for bad in ["{\"kind\":\"block\"}", "{\"number\":1}", "[", "{\"kind\":\"../x\",\"number\":1}"] {
            let text = format!("{{\"kind\":\"block\",\"number\":7}}\n{bad}\n");
            assert!(cut(text.as_bytes()).unwrap_err().starts_with("line 2: "), "{bad}");
        }
    }
}
