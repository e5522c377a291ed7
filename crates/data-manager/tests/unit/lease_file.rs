//! Tests of the file of a lease. A failure here means a lease that is forgotten, or one that holds what it must not.
//! Refuses a damaged byte: every one of them is flipped, and the file is cut at every length.

use std::sync::Arc;
use std::time::Duration;

use host::sim::SimDisk;

use super::*;

fn record() -> LeaseRecord {
    LeaseRecord {
        name: "spring".into(),
        owner: "duckdb 4711".to_string(),
        taken_ms: 1_700_000_000_000,
        expires_ms: 1_700_000_600_000,
        lifetime_ms: 600_000,
        chunks: Arc::from([[1; 32], [2; 32]]),
    }
}

fn with_leases() -> Disk {
    let disk = SimDisk::new(1).disk();
    disk.create_dir_all(Path::new(layout::LEASES)).unwrap();
    disk
}

fn put(disk: &Disk, file_name: &str, bytes: &[u8]) {
    let file = disk.create_file(&Path::new(layout::LEASES).join(file_name)).unwrap();
    file.write_all_at(bytes, 0).unwrap();
}

#[test]
fn what_is_written_is_read_again_and_a_later_one_replaces_it() {
    let disk = with_leases();
    write(&disk, "spring", &encode(&record())).unwrap();
    let later = LeaseRecord { expires_ms: 1_700_000_900_000, ..record() };
    write(&disk, "spring", &encode(&later)).unwrap();
    let found = read_all(&disk).unwrap();
    assert!(matches!(&found[..], [FoundLease::Good(found)] if *found == later), "{found:?}");
    remove(&disk, "spring").unwrap();
    remove(&disk, "spring").unwrap();
    assert!(read_all(&disk).unwrap().is_empty());
}

#[test]
fn the_document_is_the_one_on_the_page_of_formats() {
    let page = include_str!("../../../../docs/formats/chunk.md");
    let text = String::from_utf8(encode(&record())).unwrap();
    assert!(page.contains(text.trim_end()), "put this on the page:\n{text}");
}

#[test]
fn every_flipped_bit_and_every_cut_is_seen() {
    let good = encode(&record());
    assert_eq!(decode("spring", &good), Ok(record()));
    for at in 0..good.len() {
        assert!(decode("spring", &good[..at]).is_err(), "cut at {at}");
        for bit in 0..8 {
            let mut bad = good.clone();
            bad[at] ^= 1 << bit;
            assert_ne!(decode("spring", &bad), Ok(record()), "bit {bit} of byte {at}");
            assert!(decode("spring", &bad).is_err(), "bit {bit} of byte {at}");
        }
    }
}

#[test]
fn a_whole_document_that_breaks_a_rule_is_damage() {
    let (many, none): (Vec<ChunkId>, [ChunkId; 0]) = (vec![[1; 32]; 2], []);
    for (why, bad) in [
        ("another name", LeaseRecord { name: "summer".into(), ..record() }),
        ("a name that leads elsewhere", LeaseRecord { name: "../spring".into(), ..record() }),
        ("a control character", LeaseRecord { owner: "\u{1b}[31m".to_string(), ..record() }),
        ("a lifetime of centuries", LeaseRecord { lifetime_ms: u64::MAX, ..record() }),
        ("no chunk", LeaseRecord { chunks: Arc::from(none), ..record() }),
        ("a chunk twice", LeaseRecord { chunks: many.into(), ..record() }),
        ("unsorted", LeaseRecord { chunks: Arc::from([[2; 32], [1; 32]]), ..record() }),
    ] {
        assert!(decode("spring", &encode(&bad)).is_err(), "{why}");
    }
    let mut next = String::from_utf8(encode(&record())).unwrap().replace("\"format\": 1", "\"format\": 2");
    next.truncate(next.find(",\n  \"check\"").unwrap());
    let sum = crc32fast::hash(next.as_bytes());
    let next = format!("{next},\n  \"check\": \"{sum:08x}\"\n}}\n");
    assert!(decode("spring", next.as_bytes()).unwrap_err().contains("format 2"));
}

#[test]
fn a_start_tells_damaged_leases_and_passes_over_what_is_none() {
    let disk = with_leases();
    put(&disk, "spring.json", &encode(&record()));
    put(&disk, "torn.json", &encode(&record())[..40]);
    put(&disk, "empty.json", b"");
    for other in [".unpublished-0", "notes.txt", "UPPER.json", ".json", "-x.json"] {
        put(&disk, other, b"x");
    }
    disk.create_dir(&Path::new(layout::LEASES).join("dir.json")).unwrap();
    let names: Vec<(String, bool)> = read_all(&disk)
        .unwrap()
        .into_iter()
        .map(|found| match found {
            FoundLease::Good(record) => (record.name.to_string(), true),
            FoundLease::Damaged(name, _) => (name, false),
        })
        .collect();
    let wanted = [("empty", false), ("spring", true), ("torn", false)];
    assert_eq!(names, wanted.map(|(name, is_good)| (name.to_string(), is_good)));
    write(&disk, "spring", &encode(&record())).unwrap();
}

#[test]
fn a_file_that_is_longer_than_any_lease_is_not_read() {
    let disk = with_leases();
    let file = disk.create_file(&Path::new(layout::LEASES).join("long.json")).unwrap();
    file.set_len(BYTES_MAX + 1).unwrap();
    let found = read_all(&disk).unwrap();
    assert!(
        matches!(&found[..], [FoundLease::Damaged(_, reason)] if reason.contains("at most")),
        "{found:?}"
    );
}

#[test]
fn no_more_leases_are_read_than_may_stand_and_the_rest_count_as_damaged() {
    let disk = with_leases();
    for number in 0..=LEASES_MAX {
        let name = format!("n{number:05}");
        put(&disk, &format!("{name}.json"), &encode(&LeaseRecord { name: name.as_str().into(), ..record() }));
    }
    let found = read_all(&disk).unwrap();
    assert!(matches!(found[LEASES_MAX - 1], FoundLease::Good(_)));
    assert!(matches!(found[LEASES_MAX], FoundLease::Damaged(..)));
}

#[test]
fn a_lease_never_lives_longer_after_a_start_than_it_was_given() {
    let left = |wall_ms| record().left(wall_ms);
    assert_eq!(left(1_700_000_100_000), Duration::from_secs(500), "the clock went on");
    assert_eq!(left(0), Duration::from_mins(10), "the clock has not been set yet");
    assert_eq!(left(1_700_000_600_000), Duration::ZERO);
    assert_eq!(left(u64::MAX), Duration::ZERO);
    let forged = LeaseRecord { expires_ms: u64::MAX, ..record() };
    assert_eq!(forged.left(1_700_000_000_000), Duration::from_mins(10));
}
