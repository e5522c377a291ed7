//! Format 2: data files are the only truth, one sync a commit, indexes are derived. See `docs/formats/log-2.md`.
//! Refuses to know who appends or reads: that is the same for both formats.

mod ahead;
mod audit;
mod batch;
mod chaser;
pub(crate) mod depot;
mod index_file;
mod recover;
mod segment;
mod segment_head;
mod select;
mod shelf;
mod table;
mod walk;
pub(crate) mod writer;

pub(crate) use audit::{audit, has_files, metadata_crc, rebuild_index, snapshot};
pub(crate) use chaser::Chaser;
pub(crate) use shelf::Shelf;
pub(crate) use writer::Writer;

#[cfg(test)]
mod tests {
    use super::batch::{Stamp, encode};
    use super::segment_head::SegmentHead;
    use crate::control::Control;
    use crate::frame::Unframed;
    use crate::outgoing::Outgoing;
    use crate::parameters::{Codec, Parameters};

    const DOCUMENT: &str = include_str!("../../../../docs/formats/log-2.md");

    /// The bytes of the example in the document, line by line with their offsets.
    fn bytes_in_document() -> Vec<u8> {
        let example =
            DOCUMENT.split("```hex\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap_or_default();
        let mut bytes = Vec::new();
        for line in example.lines() {
            let (offset, rest) = line.split_once("  ").expect("each line has an offset");
            assert_eq!(usize::from_str_radix(offset, 16).ok(), Some(bytes.len()), "{line}");
            let words = rest.split("  ").next().unwrap_or_default();
            bytes.extend(words.split(' ').map(|word| u8::from_str_radix(word, 16).expect("two hex digits")));
        }
        bytes
    }

    /// A data file with its head, what the log remembers, and a batch of two records.
    fn example() -> Vec<u8> {
        let head = SegmentHead {
            codec: 0,
            metadata_crc: Parameters::format_2().checksum(),
            log_id: 0x1111_1111_1111_1111,
            number: 0,
            generation: 0x2222_2222_2222_2222,
            first: 1,
            first_seq: 1,
            durable_seq: 0,
            created_at: 1_700_000_000_000_000,
            key_id: 0,
        };
        let stamp =
            |seq, durable_upto| Stamp { generation: head.generation, seq, durable_upto, codec: Codec::None };
        let mut memory = Outgoing::new(1, Vec::new(), Vec::new());
        memory.controls = vec![Control::First(1), Control::Finalized(0), Control::Epoch(0)];
        let mut records = Outgoing::new(1, Vec::new(), Vec::new());
        records.push(&Unframed::new(7, b"hello"));
        records.push(&Unframed::new(8, b""));
        records.appended_at = 1_700_000_000_000_001;
        let mut bytes = head.encode().to_vec();
        for batch in [encode(&mut memory, stamp(1, 0)), encode(&mut records, stamp(2, 0))] {
            bytes.extend_from_slice(&batch.bytes);
            bytes.resize(bytes.len().next_multiple_of(8), 0);
        }
        bytes
    }

    #[test]
    fn the_example_in_the_format_document_is_what_is_written() {
        let (written, documented) = (example(), bytes_in_document());
        let dump: Vec<String> = written
            .chunks(16)
            .enumerate()
            .map(|(row, bytes)| {
                let words: Vec<String> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
                format!("{:04x}  {}", row * 16, words.join(" "))
            })
            .collect();
        assert!(written == documented, "docs/formats/log-2.md should say:\n{}", dump.join("\n"));
    }
}
