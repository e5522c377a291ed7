//! Assignments: a sample made by another encoder, one made here, and what hostile bytes do.
//! Refuses to need the network: the sample lies beside the tests.

use std::io::Write;

use proptest::prelude::*;

use super::*;
use crate::import::peer_id::tests::peer_of;

/// Made by Google's own `FlatBuffers` library (Python) from the tables of the schema: two datasets, three workers.
const SAMPLE: &[u8] = include_bytes!("../../../tests/fixtures/assignment-v1.fb");
const FIRST: &str = "0002720101/0004031655-0004045270-8304ceb8";

fn all(bytes: &[u8], selection: Selection) -> Read<Vec<Descriptor>> {
    Assignment::parse(bytes)?.chunks(selection).collect()
}

fn of_worker(bytes: &[u8], byte: u8) -> Vec<String> {
    let number = Assignment::parse(bytes).unwrap().worker_number(&peer_of(byte)).unwrap();
    let selection = Selection { worker: Some(number.expect("the worker is in the sample")), dataset: None };
    all(bytes, selection).unwrap().iter().map(|chunk| chunk.block_range.start.to_string()).collect()
}

#[test]
fn the_sample_of_another_encoder_is_read() {
    let chunks = all(SAMPLE, Selection::default()).unwrap();
    assert_eq!(chunks.len(), 4);
    let first = &chunks[0];
    assert_eq!(first.dataset.text(), "s3://moonbeam");
    assert_eq!(first.block_range, 4_031_655..4_045_271);
    assert_eq!(first.id, chunk_id("s3://moonbeam", FIRST));
    assert_eq!(first.files["blocks.parquet"], format!("https://moonbeam.example/{FIRST}/blocks.parquet"));
    assert_eq!(first.files["logs.parquet"], "https://other.example/logs.parquet");
    assert_eq!(chunks[3].dataset.text(), "s3://solana");
    assert_eq!(Assignment::parse(SAMPLE).unwrap().dataset_names(9), Ok(vec!["s3://moonbeam", "s3://solana"]));
}

#[test]
fn a_worker_gets_its_chunks_and_no_others() {
    assert_eq!(of_worker(SAMPLE, 1), ["4031655", "4057098"]);
    assert_eq!(of_worker(SAMPLE, 2), ["4045271", "4057098", "200000000"]);
    assert_eq!(of_worker(SAMPLE, 3), [""; 0]);
    assert_eq!(Assignment::parse(SAMPLE).unwrap().worker_number(&peer_of(9)), Ok(None));
    assert_eq!(Assignment::parse(SAMPLE).unwrap().workers_len(), 3);
}

#[test]
fn one_dataset_can_be_chosen() {
    let dataset = Some(Dataset::parse("s3://solana").unwrap());
    let chunks = all(SAMPLE, Selection { dataset, worker: None }).unwrap();
    assert_eq!(chunks.len(), 1);
    assert_eq!(chunks[0].block_range, 200_000_000..200_000_900);
}

#[test]
fn every_prefix_of_the_sample_is_an_error_or_an_answer() {
    let whole = all(SAMPLE, Selection::default()).unwrap();
    for len in 0..SAMPLE.len() {
        let cut = all(&SAMPLE[..len], Selection { worker: Some(0), dataset: None });
        assert!(cut.map_or(true, |chunks| chunks.len() <= whole.len()), "cut at {len}");
        // The file ends in the zero bytes after its last text, which nothing points to.
        if SAMPLE[len..].iter().any(|&byte| byte != 0) {
            assert_ne!(
                all(&SAMPLE[..len], Selection::default()).as_ref(),
                Ok(&whole),
                "cut at {len}, still whole"
            );
        }
    }
}

#[test]
fn every_flipped_bit_of_the_sample_is_an_error_or_an_answer() {
    let mut bytes = SAMPLE.to_vec();
    let mut refused = 0;
    for bit in 0..bytes.len() * 8 {
        bytes[bit / 8] ^= 1 << (bit % 8);
        for selection in [Selection::default(), Selection { worker: Some(1), dataset: None }] {
            match all(&bytes, selection) {
                Ok(chunks) => assert!(chunks.iter().all(|chunk| !chunk.block_range.is_empty())),
                Err(problem) => refused += usize::from(!problem.is_empty()),
            }
        }
        if let Ok(assignment) = Assignment::parse(&bytes) {
            let _found_or_not = assignment.worker_number(&peer_of(3));
        }
        bytes[bit / 8] ^= 1 << (bit % 8);
    }
    assert!(refused > bytes.len(), "only {refused} of the flips were noticed");
}

#[test]
fn gzip_is_unpacked_and_plain_bytes_are_left_alone() {
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packed.write_all(SAMPLE).unwrap();
    let packed = packed.finish().unwrap();
    assert_eq!(unpack(packed.clone()).unwrap(), SAMPLE);
    assert_eq!(unpack(SAMPLE.to_vec()).unwrap(), SAMPLE);
    assert!(unpack(packed[..packed.len() - 9].to_vec()).unwrap_err().contains("damaged"));
}

#[test]
fn the_digest_in_the_name_is_checked() {
    let digest = data_manager::data_chunk::hex_id(&Sha256::digest(SAMPLE).into()).to_uppercase();
    let name = format!("20261101T000000Z_{}.fb.gz", &digest[2..]);
    assert_eq!(check_name(&name, SAMPLE), Some(Ok(())));
    assert!(check_name(&name, &SAMPLE[1..]).unwrap().is_err());
    assert_eq!(check_name("assignment.fb.gz", SAMPLE), None);
}

/// The smallest assignment of one chunk, laid out by hand, so that single fields can be made wrong.
struct Sample {
    first_block: u64,
    id: &'static str,
    dataset: &'static str,
    base: &'static str,
    name: &'static str,
    url: &'static str,
    repeat: usize,
}

impl Default for Sample {
    fn default() -> Sample {
        let (base, name) = ("https://moonbeam.example", "blocks.parquet");
        Sample {
            first_block: 4_031_655,
            id: FIRST,
            dataset: "s3://moonbeam",
            base,
            name,
            url: name,
            repeat: 1,
        }
    }
}

enum Field {
    Number(u64),
    Text(&'static str),
    Tables(Vec<Vec<(usize, Field)>>),
}

impl Sample {
    fn bytes(&self) -> Vec<u8> {
        let file = vec![(slot::FILE_NAME, Field::Text(self.name)), (slot::FILE_URL, Field::Text(self.url))];
        let chunk = |files| {
            vec![
                (slot::CHUNK_FIRST_BLOCK, Field::Number(self.first_block)),
                (slot::CHUNK_ID, Field::Text(self.id)),
                (slot::CHUNK_DATASET_ID, Field::Text(self.dataset)),
                (slot::CHUNK_DATASET_BASE_URL, Field::Text(self.base)),
                (slot::CHUNK_BASE_URL, Field::Text(self.id)),
                (slot::CHUNK_FILES, Field::Tables(files)),
            ]
        };
        let mut chunks = vec![chunk(vec![file])];
        chunks.extend((1..self.repeat).map(|_| chunk(Vec::new())));
        let dataset = vec![
            (slot::DATASET_ID, Field::Text("s3://moonbeam")),
            (slot::DATASET_CHUNKS, Field::Tables(chunks)),
        ];
        let mut bytes = 4u32.to_le_bytes().to_vec();
        write_table(&mut bytes, vec![(slot::DATASETS, Field::Tables(vec![dataset]))]);
        bytes
    }

    fn error(&self) -> String {
        all(&self.bytes(), Selection::default()).unwrap_err()
    }
}

/// A table with its field list behind it, each field 8 bytes wide; what fields point to follows.
fn write_table(out: &mut Vec<u8>, fields: Vec<(usize, Field)>) {
    let slots = fields.iter().map(|(slot, _)| slot + 1).max().unwrap_or(0);
    let at = out.len();
    let vtable_at = at + 4 + 8 * slots;
    out.extend((i32::try_from(at).unwrap() - i32::try_from(vtable_at).unwrap()).to_le_bytes());
    out.resize(vtable_at, 0);
    out.extend(u16::try_from(4 + 2 * slots).unwrap().to_le_bytes());
    out.extend(u16::try_from(4 + 8 * slots).unwrap().to_le_bytes());
    out.resize(vtable_at + 4 + 2 * slots, 0);
    for (slot, field) in fields {
        let field_at = at + 4 + 8 * slot;
        let entry = vtable_at + 4 + 2 * slot;
        out[entry..entry + 2].copy_from_slice(&u16::try_from(4 + 8 * slot).unwrap().to_le_bytes());
        if let Field::Number(number) = field {
            out[field_at..field_at + 8].copy_from_slice(&number.to_le_bytes());
            continue;
        }
        point(out, field_at);
        match field {
            Field::Number(_) => {}
            Field::Text(text) => {
                out.extend(u32::try_from(text.len()).unwrap().to_le_bytes());
                out.extend(text.as_bytes());
            }
            Field::Tables(tables) => {
                out.extend(u32::try_from(tables.len()).unwrap().to_le_bytes());
                let elements = out.len();
                out.resize(elements + 4 * tables.len(), 0);
                for (index, table) in tables.into_iter().enumerate() {
                    point(out, elements + 4 * index);
                    write_table(out, table);
                }
            }
        }
    }
}

/// Makes the offset at `from` point to the end of what is written.
fn point(out: &mut [u8], from: usize) {
    let offset = u32::try_from(out.len() - from).unwrap();
    out[from..from + 4].copy_from_slice(&offset.to_le_bytes());
}

#[test]
fn chunks_that_contradict_themselves_are_refused() {
    assert_eq!(all(&Sample::default().bytes(), Selection::default()).unwrap().len(), 1);
    assert!(Sample { first_block: 5, ..Sample::default() }.error().contains("its first block"));
    assert!(
        Sample { id: "0004031655-0004045270-8304ceb8", ..Sample::default() }
            .error()
            .contains("its id is not")
    );
    assert!(Sample { dataset: "s3://solana", ..Sample::default() }.error().contains("another dataset"));
    assert!(Sample { repeat: 2, ..Sample::default() }.error().contains("out of order"));
    assert!(Sample { name: "../x.parquet", ..Sample::default() }.error().contains("a file name is"));
    assert!(Sample { base: "moonbeam", ..Sample::default() }.error().contains("do not make a URL"));
}

#[test]
fn an_assignment_cannot_name_files_of_this_machine() {
    assert!(Sample { url: "file:///etc/passwd", ..Sample::default() }.error().contains("of the kind file:"));
    assert!(Sample { base: "file:///etc", ..Sample::default() }.error().contains("of the kind file:"));
}

proptest! {
    #[test]
    fn any_bytes_are_an_answer_and_never_a_panic(mut bytes in prop::collection::vec(any::<u8>(), 0..200), near in any::<bool>()) {
        if near && bytes.len() > 8 {
            bytes[..8].copy_from_slice(&[8, 0, 0, 0, 8, 0, 8, 0]);
        }
        let _either_way = all(&bytes, Selection::default()).is_ok();
    }
}
