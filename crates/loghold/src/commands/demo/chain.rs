//! A made-up chain: blocks linked by their parents' hashes, with transactions, logs and traces, cut into chunks.
//! Refuses to be random: the same call gives the same bytes.

use std::fmt::Write;

use sha2::{Digest, Sha256};

use crate::commands::demo::dataset::DemoChunk;

/// Blocks in a chunk.
const CHUNK_BLOCKS: u64 = 16;

/// What a thirtieth of ten real chunks' bytes is, in KiB: one chain's chunks are a hundred times larger than another's.
const CHUNK_KIB: [u64; 10] = [12_700, 43, 11_760, 8_750, 140, 3_530, 1_830, 285, 1_340, 870];

/// Of a thousand bytes of a chunk, how many are in each table. Blocks take what is left, which is little.
const LOGS_PER_MILLE: u64 = 300;
const TRACES_PER_MILLE: u64 = 450;

/// Bytes of a line of each table, about.
const TRANSACTION_BYTES: u64 = 250;
const LOG_BYTES: u64 = 330;
const TRACE_BYTES: u64 = 230;

/// The first `chunks` chunks of the chain.
pub(crate) fn chain(chunks: u64) -> Vec<DemoChunk> {
    let mut parent = [0; 32];
    let mut made = Vec::new();
    for chunk in 0..chunks {
        let size = usize::try_from(chunk).unwrap_or_default() % CHUNK_KIB.len();
        let block_bytes = CHUNK_KIB.get(size).copied().unwrap_or(100) * 1_024 / CHUNK_BLOCKS;
        let first = chunk * CHUNK_BLOCKS;
        let mut tables = Tables::default();
        for number in first..first + CHUNK_BLOCKS {
            parent = tables.add_block(number, &parent, block_bytes);
        }
        made.push(tables.into_chunk(first..first + CHUNK_BLOCKS));
    }
    made
}

#[derive(Default)]
struct Tables {
    blocks: String,
    transactions: String,
    logs: String,
    traces: String,
}

impl Tables {
    /// Adds a block with about `bytes` bytes in its tables, and gives its hash.
    fn add_block(&mut self, number: u64, parent: &[u8; 32], bytes: u64) -> [u8; 32] {
        let hash: [u8; 32] =
            Sha256::new().chain_update(parent).chain_update(number.to_le_bytes()).finalize().into();
        let transactions = bytes * (1_000 - LOGS_PER_MILLE - TRACES_PER_MILLE) / 1_000 / TRANSACTION_BYTES;
        let logs = bytes * LOGS_PER_MILLE / 1_000 / LOG_BYTES;
        let traces = bytes * TRACES_PER_MILLE / 1_000 / TRACE_BYTES;
        let (hash_text, parent_text) = (hex(&hash), hex(parent));
        let gas = transactions * 21_000 + logs * 375;
        line(&mut self.blocks, |out| {
            write!(
                out,
                r#"{{"number":{number},"hash":"{hash_text}","parent_hash":"{parent_text}","gas_used":{gas},"transaction_count":{transactions}}}"#
            )
        });
        let mut noise = Noise(number.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
        for index in 0..transactions {
            let (from, to, value) = (noise.next(), noise.next(), noise.next());
            line(&mut self.transactions, |out| {
                write!(
                    out,
                    r#"{{"block_number":{number},"index":{index},"hash":"0x{from:016x}{to:016x}{value:016x}{index:016x}","from":"0x{from:040x}","to":"0x{to:040x}","value":"{value}","gas_used":21000}}"#
                )
            });
        }
        for index in 0..logs {
            let (address, topic, data) = (noise.next(), noise.next(), noise.next());
            line(&mut self.logs, |out| {
                write!(
                    out,
                    r#"{{"block_number":{number},"log_index":{index},"address":"0x{address:040x}","topics":["0x{topic:064x}"],"data":"0x{data:064x}{topic:064x}"}}"#
                )
            });
        }
        for index in 0..traces {
            let (from, to, gas) = (noise.next(), noise.next(), noise.next() % 1_000_000);
            line(&mut self.traces, |out| {
                write!(
                    out,
                    r#"{{"block_number":{number},"index":{index},"call":"delegate","from":"0x{from:040x}","to":"0x{to:040x}","gas":{gas},"input":"0x{to:016x}{from:016x}"}}"#
                )
            });
        }
        hash
    }

    fn into_chunk(self, blocks: std::ops::Range<u64>) -> DemoChunk {
        let tables = [
            ("blocks", self.blocks),
            ("transactions", self.transactions),
            ("logs", self.logs),
            ("traces", self.traces),
        ];
        let files =
            tables.into_iter().map(|(table, text)| (format!("{table}.jsonl"), text.into_bytes().into()));
        DemoChunk { blocks, files: files.collect() }
    }
}

fn line(table: &mut String, write: impl FnOnce(&mut String) -> std::fmt::Result) {
    write(table).expect("writing to a String cannot fail");
    table.push('\n');
}

fn hex(bytes: &[u8]) -> String {
    let mut text = String::from("0x");
    for byte in bytes {
        write!(text, "{byte:02x}").expect("writing to a String cannot fail");
    }
    text
}

/// Numbers without a pattern that compresses well.
struct Noise(u64);

impl Noise {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_chain_is_linked_skewed_and_the_same_each_time() {
        let chunks = chain(3);
        let parents: Vec<String> = chunks
            .iter()
            .flat_map(|chunk| {
                String::from_utf8(chunk.files["blocks.jsonl"].to_vec())
                    .unwrap()
                    .lines()
                    .map(str::to_string)
                    .collect::<Vec<_>>()
            })
            .map(|line| serde_json::from_str::<serde_json::Value>(&line).unwrap())
            .scan(hex(&[0; 32]), |hash, block| {
                let is_linked = block["parent_hash"] == *hash;
                *hash = block["hash"].as_str().unwrap().to_string();
                Some(is_linked.to_string())
            })
            .collect();
        assert_eq!(parents, vec!["true"; 48]);
        let bytes = |chunk: &DemoChunk| chunk.bytes();
        assert!(bytes(&chunks[0]) > 100 * bytes(&chunks[1]));
        assert_eq!(chain(3)[2].files, chunks[2].files);
    }
}
