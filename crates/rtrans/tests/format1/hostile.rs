//! Files and parameters that somebody made up: errors, and never a panic, an overflow, a large buffer or a long search.
//! Refuses to say which error: it has to be one.

use std::path::Path;

use host::Disk;

use super::super::{Shelf, open};
use super::support::{Dice, Found, Item, disk_of, image_of, log_of, read_all, read_in_runs, small};
use crate::parameters::Parameters;

const EDGES: [u64; 9] = [0, 1, 0x7FFF, 0x7FFF_FFFF, 0xFFFF_FFFF, 1 << 32, 1 << 62, 1 << 63, u64::MAX];

/// Reads at most some records at both ends, in every way.
fn use_it(disk: &Disk, parameters: &Parameters) {
    if let Ok(shelf) = Shelf::open(disk, parameters) {
        let (first, next) = shelf.bounds();
        for id in (first..next.min(first.saturating_add(20))).chain(next.saturating_sub(20).max(first)..next)
        {
            drop(shelf.read(id));
            drop(shelf.read_run(id, next, 1000));
        }
        for id in EDGES {
            drop(shelf.read(id));
            drop(shelf.read_run(id, id.saturating_add(3), 1000));
        }
        shelf.refresh().ok();
    }
    for attested in [Some(0), Some(5), Some(u64::MAX), None] {
        if let Ok(mut opened) = open(disk, parameters, attested) {
            let item: Item = (1, b"more".to_vec());
            drop(super::support::write(&mut opened.writer, &[item]));
        }
    }
}

#[test]
fn an_entry_with_any_number_is_an_error_for_its_record_alone() {
    let mut dice = Dice(31);
    let items: Vec<Item> = (0..8).map(|_| dice.item(30)).collect();
    let image = image_of(&log_of(&small(), &items).disk());
    for (offset, wide) in [(0, 8), (12, 4), (16, 4), (20, 8), (28, 4), (32, 4)] {
        for edge in EDGES {
            let mut hostile = image.clone();
            let bytes = hostile.get_mut(Path::new("1/index.0")).unwrap();
            let before = bytes.clone();
            bytes[offset..offset + wide].copy_from_slice(&edge.to_le_bytes()[..wide]);
            let is_same = *bytes == before;
            let shelf = Shelf::open(&disk_of(&hostile).disk(), &small()).unwrap();
            for ((id, found), item) in read_all(&shelf).into_iter().zip(&items) {
                if id == 7 && !is_same {
                    assert!(matches!(found, Found::Corrupt(_)), "{edge} at {offset}: {found:?}");
                } else {
                    assert_eq!(found, Found::Record(item.clone()), "{edge} at {offset}");
                }
            }
            read_in_runs(&shelf, 1 << 20);
            use_it(&disk_of(&hostile).disk(), &small());
        }
    }
}

#[test]
fn a_block_that_no_file_reaches_is_damage_on_a_real_disk_too() {
    let items: Vec<Item> = vec![(1, b"some".to_vec()), (2, b"more".to_vec())];
    let image = image_of(&log_of(&small(), &items).disk());
    let place = tempfile::tempdir().unwrap();
    let disk = Disk::open(place.path()).unwrap();
    for shift in 0..64 {
        for (path, bytes) in &image {
            let mut hostile = bytes.clone();
            if path.ends_with("index.0") {
                hostile[20..28].copy_from_slice(&(1u64 << shift).to_le_bytes());
            }
            disk.create_dir_all(path.parent().unwrap()).unwrap();
            disk.publish_file(path, &hostile).unwrap();
        }
        let shelf = Shelf::open(&disk, &small()).unwrap();
        let found = read_all(&shelf);
        assert!(matches!(found[0].1, Found::Corrupt(_)), "block 2^{shift}: {:?}", found[0]);
        assert_eq!(found[1].1, Found::Record(items[1].clone()));
        assert_eq!(read_in_runs(&shelf, 1000), [(2, items[1].clone())]);
    }
}

#[test]
fn any_parameters_are_survived() {
    let mut dice = Dice(32);
    let items: Vec<Item> = (0..8).map(|_| dice.item(30)).collect();
    let image = image_of(&log_of(&small(), &items).disk());
    for seed in 0..400 {
        let mut dice = Dice(seed);
        let mut pick = || EDGES[usize::try_from(dice.roll(9)).unwrap()];
        let low = |number: u64| u32::try_from(number & 0xFFFF_FFFF).unwrap();
        let parameters = Parameters {
            format_version: 1,
            size_per_index: low(pick()),
            index_num_per_file: low(pick()),
            index_file_num_per_dir: low(pick()),
            max_size_data_file: pick(),
            data_blk_size: low(pick()),
            need_compress: u16::try_from(pick() & 1).unwrap(),
        };
        use_it(&disk_of(&image).disk(), &parameters);
    }
}

#[test]
fn any_bytes_are_survived() {
    for seed in 0..300 {
        let mut dice = Dice(seed);
        let mut image = super::support::Image::new();
        let number = |dice: &mut Dice| match dice.roll(4) {
            0 => u32::MAX.to_string(),
            1 => "007".to_owned(),
            _ => dice.roll(4).to_string(),
        };
        for _ in 0..dice.roll(8) {
            let kind = if dice.roll(2) == 0 { "index" } else { "data" };
            let path = format!("{}/{kind}.{}", number(&mut dice), number(&mut dice));
            let len = dice.roll(300);
            let mut bytes = dice.bytes(len);
            if dice.roll(2) == 0 {
                // Entries whose ids are right get further.
                for (id, entry) in (1u64..).zip(bytes.chunks_exact_mut(36)) {
                    entry[..8].copy_from_slice(&id.to_le_bytes());
                    entry[12..20].fill(0);
                }
            }
            image.insert(path.into(), bytes);
        }
        let parameters = Parameters { need_compress: u16::try_from(dice.roll(2)).unwrap(), ..small() };
        use_it(&disk_of(&image).disk(), &parameters);
    }
}

#[test]
fn the_end_of_an_enormous_index_of_zeros_is_found_soon() {
    let place = tempfile::tempdir().unwrap();
    let disk = Disk::open(place.path()).unwrap();
    let parameters = Parameters { index_num_per_file: u32::MAX, ..Parameters::format_1() };
    {
        let mut opened = open(&disk, &parameters, 0).unwrap();
        super::support::write(&mut opened.writer, &[(1, b"one".to_vec()), (2, b"two".to_vec())]).unwrap();
        opened.writer.sync().unwrap();
    }
    disk.edit_file(Path::new("0/index.0")).unwrap().set_len(150 << 30).unwrap();
    let shelf = Shelf::open(&disk, &parameters).unwrap();
    assert_eq!(shelf.bounds(), (1, 3));
    let opened = open(&disk, &parameters, 2).unwrap();
    assert_eq!(opened.shelf.bounds(), (1, 3));
    assert!(opened.recovery.is_clean(), "{}", opened.recovery);
    assert_eq!(disk.stat(Path::new("0/index.0")).unwrap().len, 72);
}

#[test]
fn a_bomb_of_zlib_is_refused_at_the_size_of_the_largest_record() {
    use super::super::stored::Packing;
    let bomb = crate::codec::compress(crate::parameters::Codec::Zlib, &vec![0; 1 << 20]).unwrap();
    assert_eq!(Packing::Zlib.unpack(&bomb).map(|bytes| bytes.len()), Some(1 << 20));
    assert_eq!(crate::codec::inflate(&bomb, (1 << 20) - 1), None);
    assert_eq!(Packing::Zlib.unpack(&bomb[..bomb.len() - 1]), None);
    assert_eq!(Packing::Zlib.unpack(b"no zlib"), None);
    assert_eq!(Packing::MarshalZlib.unpack(&bomb), None);
}
