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

fn disk() -> Disk {
    let disk = SimDisk::new(1).disk();
    disk.create_dir_all(Path::new(layout::STAGING)).unwrap();
    disk
}

/// Writes so many segments, and the lines that say so.
fn stage(staging: &Staging, segments: u64) {
    staging.learnt(0, LEN, None).unwrap();
    for index in 0..segments {
        let len = segment_len(index, LEN);
        let bytes = vec![7; usize::try_from(len).unwrap()];
        let mut gathered = Blocks::new(bytes.len(), index * (1 << 20));
        assert_eq!(gathered.take(&bytes), bytes.len());
        staging.write(0, &gathered, Way::Device).unwrap();
        let mut hasher = SegmentHasher::new(index, LEN);
        hasher.update(&bytes);
        staging.segment_done(0, index, len, &hasher.finish().unwrap()).unwrap();
    }
    staging.keep().unwrap();
}

#[test]
fn what_is_staged_is_done_as_far_as_its_part_map_says_however_long_its_files_are() {
    for (digest, segments, done) in
        [(Some([1; 32]), 0, 0), (Some([1; 32]), 2, 2 << 20), (None, 2, 0), (None, 3, LEN)]
    {
        let disk = disk();
        let mut chunk = chunk();
        chunk.files[0].blake3 = digest;
        let open = || Staging::open(&disk, &chunk, (Pool::Inline, &Cancel::default())).unwrap();
        let (staging, _) = open();
        stage(&staging, segments);
        let path = staging.path().to_path_buf();
        assert_eq!(disk.stat(&path.join("a.parquet")).unwrap().len, LEN);
        assert_eq!(done_bytes(&disk, &path).unwrap(), done, "{segments} segments, digest {digest:?}");
        assert_eq!(open().1[0].done_bytes(), done, "and no more is taken up");
        disk.remove_file(&path.join("a.parquet")).unwrap();
        assert_eq!(done_bytes(&disk, &path).unwrap(), 0, "of a file that is gone nothing is");
    }
}

#[test]
fn a_stop_does_not_wait_until_what_is_staged_was_read_and_leaves_it() {
    let disk = disk();
    let chunk = chunk();
    let open = |cancel: &Cancel| Staging::open(&disk, &chunk, (Pool::Inline, cancel)).unwrap();
    let (staging, _) = open(&Cancel::default());
    stage(&staging, segment_count(LEN));
    drop(staging);
    let stopped = Cancel::default();
    stopped.cancel();
    assert_eq!(open(&stopped).1[0].done_bytes(), 0, "nothing is read any more");
    assert_eq!(open(&Cancel::default()).1[0].done_bytes(), LEN, "the next try finds all of it");
}

#[test]
fn a_stop_does_not_wait_until_a_body_of_unknown_length_was_read_again() {
    let disk = disk();
    let (staging, _) = Staging::open(&disk, &chunk(), (Pool::Inline, &Cancel::default())).unwrap();
    stage(&staging, segment_count(LEN));
    let stop = Cancel::default();
    let values = staging.hash_all(0, LEN, &stop).unwrap().expect("nobody stops it");
    assert_eq!(u64::try_from(values.len()), Ok(segment_count(LEN)));
    assert_eq!(Some(values[1]), staging.hash_segment(0, 1, LEN).unwrap());
    stop.cancel();
    assert_eq!(staging.hash_all(0, LEN, &stop).unwrap(), None);
}
