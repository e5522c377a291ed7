//! Tests of what is staged, on a simulated disk. A failure here means a stop that waits for what nobody will use.
//! Refuses sources: the test writes what they would have sent.

use host::sim::SimDisk;
use url::Url;

use super::*;
use crate::digest::SegmentHasher;

const LEN: u64 = 3 << 20;

fn chunk() -> CheckedChunk {
    let url = Url::parse("https://data.example/a").unwrap();
    let file =
        FileSpec { name: "a.parquet".to_string(), url, size: Some(LEN), sha256: None, blake3: Some([1; 32]) };
    CheckedChunk { id: [3; 32], dataset_id: [1; 32], block_range: 0..10, files: vec![file] }
}

#[test]
fn a_stop_does_not_wait_until_what_is_staged_was_read_and_leaves_it() {
    let disk = SimDisk::new(1).disk();
    disk.create_dir_all(Path::new(layout::STAGING)).unwrap();
    let chunk = chunk();
    let open = |cancel: &Cancel| Staging::open(&disk, &chunk, (Pool::Inline, cancel)).unwrap();
    let (staging, _) = open(&Cancel::default());
    staging.learnt(0, LEN, None).unwrap();
    for index in 0..segment_count(LEN) {
        let len = segment_len(index, LEN);
        let bytes = vec![7; usize::try_from(len).unwrap()];
        staging.write(0, &bytes, index * (1 << 20)).unwrap();
        let mut hasher = SegmentHasher::new(index, LEN);
        hasher.update(&bytes);
        staging.segment_done(0, index, len, &hasher.finish().unwrap()).unwrap();
    }
    staging.keep().unwrap();
    drop(staging);
    let stopped = Cancel::default();
    stopped.cancel();
    assert_eq!(open(&stopped).1[0].done_bytes(), 0, "nothing is read any more");
    assert_eq!(open(&Cancel::default()).1[0].done_bytes(), LEN, "the next try finds all of it");
}
