//! The last files of a log end anywhere, or in zeros: the verdict is exact for every length.
//! Refuses chance: all lengths are tried.

use std::path::Path;

use host::sim::SimDisk;

use super::super::Shelf;
use super::support::{Dice, Found, Image, Item, disk_of, image_of, log_of, read_all, reopen, small, write};
use crate::error::Error;
use crate::parameters::Parameters;

/// Two directories, the second with records 7 to 11: two in its last index file.
fn items() -> Vec<Item> {
    let mut dice = Dice(21);
    (0..11).map(|_| (7, dice.bytes(30))).collect()
}

fn image() -> Image {
    image_of(&log_of(&small(), &items()).disk())
}

/// The file with only this many bytes; or with zeros behind them.
fn torn(image: &Image, path: &str, kept: usize, is_zeroed: bool) -> SimDisk {
    let mut image = image.clone();
    let bytes = image.get_mut(Path::new(path)).unwrap();
    let len = bytes.len();
    bytes.truncate(kept);
    if is_zeroed {
        bytes.resize(len, 0);
    }
    disk_of(&image)
}

fn check(sim: &SimDisk, attested: u64, next: u64, is_torn: bool, what: &str) {
    let opened = reopen(sim, &small(), attested);
    assert_eq!(opened.shelf.bounds(), (1, next), "{what}");
    assert!(opened.recovery.damaged.is_empty(), "{what}: {}", opened.recovery);
    assert_eq!(opened.recovery.torn.is_some(), is_torn, "{what}: {}", opened.recovery);
    for ((id, found), item) in read_all(&opened.shelf).into_iter().zip(items()) {
        assert_eq!(found, Found::Record(item), "{what}: record {id}");
    }
    assert!(reopen(sim, &small(), attested).recovery.is_clean(), "{what}");
}

#[test]
fn an_index_that_ends_anywhere_keeps_its_whole_entries() {
    let image = image();
    for is_zeroed in [false, true] {
        for kept in 0..=72 {
            let what = format!("{kept} bytes kept, zeros: {is_zeroed}");
            let sim = torn(&image, "1/index.1", kept, is_zeroed);
            // An entry may end in zeros that were there before.
            let bytes = &image[Path::new("1/index.1")];
            let is_same = |slot: usize| {
                bytes[slot * 36..(slot + 1) * 36]
                    .iter()
                    .skip(kept.saturating_sub(slot * 36))
                    .all(|byte| *byte == 0)
            };
            let whole = (0..2)
                .take_while(|slot| kept >= (slot + 1) * 36 || (is_zeroed && is_same(*slot)))
                .count() as u64;
            check(&sim, 9, 10 + whole, whole < 2, &what);
        }
    }
}

#[test]
fn a_data_file_that_ends_anywhere_keeps_its_whole_records() {
    let image = image();
    // Two records of 42 bytes in blocks of 16 are 90 bytes; 7 and 8 lie in data.0, 9 and 10 in data.1, 11 in data.2.
    for (path, first) in [("1/data.0", 7u64), ("1/data.1", 9)] {
        for kept in 0..=90 {
            let whole = u64::from(kept >= 42) + u64::from(kept >= 90);
            let sim = torn(&image, path, kept, false);
            let next = if whole == 2 { 12 } else { first + whole };
            check(&sim, 6, next, whole < 2, &format!("{kept} bytes of {path}"));
        }
    }
}

#[test]
fn a_tail_that_was_durable_is_reported_and_never_cut() {
    let image = image();
    for kept in 0..36 {
        let sim = torn(&image, "1/index.1", kept, false);
        let opened = reopen(&sim, &small(), 11);
        assert_eq!(opened.shelf.bounds(), (1, 12));
        let ids: Vec<u64> =
            opened.recovery.damaged.iter().map(|damaged| damaged.ids.unwrap().0.get()).collect();
        assert_eq!(ids, [10], "{kept}: {}", opened.recovery);
        assert_eq!(opened.recovery.damaged[0].ids.unwrap().1.get(), 11);
    }
}

#[test]
fn data_without_its_index_entry_is_cut_and_reported() {
    let mut image = image();
    image.get_mut(Path::new("1/data.2")).unwrap().extend([1; 100]);
    let opened = reopen(&disk_of(&image), &small(), 6);
    assert_eq!(opened.shelf.bounds(), (1, 12));
    let torn = opened.recovery.torn.unwrap();
    assert_eq!((torn.path.to_str().unwrap(), torn.offset), ("1/data.2", 48));
}

#[test]
fn an_index_made_of_zeros_in_advance_is_an_empty_one() {
    let mut image = image();
    image.get_mut(Path::new("1/index.1")).unwrap().resize(108, 0);
    image.insert("2/index.0".into(), vec![0; 108]);
    let reader = Shelf::open(&disk_of(&image).disk(), &small()).unwrap();
    assert_eq!(reader.bounds(), (1, 12));
    check(&disk_of(&image), 11, 12, false, "zeros in advance");
}

#[test]
fn a_reader_beside_the_writer_sees_what_was_appended_trimmed_and_rolled_back() {
    let sim = log_of(&small(), &items());
    let reader = Shelf::open(&sim.disk(), &small()).unwrap();
    let mut opened = reopen(&sim, &small(), 11);
    write(&mut opened.writer, &items()).unwrap();
    assert_eq!(reader.bounds(), (1, 12));
    reader.refresh().unwrap();
    assert_eq!(reader.bounds(), (1, 23));
    let record = |number: usize| Found::Record(items()[number].clone());
    assert_eq!(read_all(&reader).last(), Some(&(22, record(10))));

    opened.writer.truncate_after(15).unwrap();
    assert!(matches!(reader.read(20), Err(Error::RolledBack { after }) if after.unwrap().get() == 15));
    assert_eq!(reader.bounds(), (1, 16));
    write(&mut opened.writer, &[(1, b"other".to_vec())]).unwrap();
    reader.refresh().unwrap();
    assert_eq!(read_all(&reader).last(), Some(&(16, Found::Record((1, b"other".to_vec())))));

    let reader = Shelf::open(&sim.disk(), &small()).unwrap();
    assert_eq!(opened.writer.trim_before(14).unwrap(), 13);
    let gone = reader.read(3);
    assert!(matches!(gone, Err(Error::Trimmed { first }) if first.get() == 13), "{gone:?}");
    assert_eq!(reader.bounds(), (13, 17));
}

#[test]
fn a_log_trimmed_to_nothing_goes_on_with_the_next_id() {
    let sim = log_of(&small(), &items());
    let mut opened = reopen(&sim, &small(), 11);
    write(&mut opened.writer, &items()[..1]).unwrap();
    assert_eq!(opened.writer.trim_before(99).unwrap(), 13);
    assert_eq!(opened.shelf.bounds(), (13, 13));
    sim.crash();
    let mut opened = reopen(&sim, &small(), 12);
    assert_eq!(opened.shelf.bounds(), (13, 13));
    write(&mut opened.writer, &items()[..1]).unwrap();
    assert_eq!(read_all(&opened.shelf), [(13, Found::Record(items()[0].clone()))]);
}

#[test]
fn a_log_with_other_entries_than_ours_is_not_appended_to() {
    let parameters = Parameters { size_per_index: 40, ..small() };
    let refused = super::super::open(&SimDisk::new(1).disk(), &parameters, 0);
    let message = refused.err().map(|error| error.to_string()).unwrap();
    assert!(message.contains("loghold log import"), "{message}");
}
