//! Every bit of a small log is flipped, one at a time: what the format protects is found out, what it does not is known.
//! Refuses surprises: for each bit it is said beforehand what has to happen.

use std::path::Path;

use super::super::{Opened, Shelf};
use super::support::{
    Dice, Found, Image, Item, disk_of, image_of, log_of, read_all, read_in_runs, reopen, small, write,
};
use crate::parameters::Parameters;

/// What a flipped bit does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Effect {
    /// The record is reported as damaged.
    Found { id: u64 },
    /// The record has another type: nothing in the format protects it.
    OtherType { id: u64 },
    /// Nothing: the bit is between records.
    Nothing,
}

fn items() -> Vec<Item> {
    let mut dice = Dice(11);
    (0..8).map(|number| (number, dice.bytes(u64::from(number) * 4))).collect()
}

/// What the specification says of a byte. Computed from the files alone.
fn effect(image: &Image, path: &Path, offset: usize) -> Effect {
    let name = path.to_str().unwrap();
    if name.contains("index") {
        let entry = &image[path][offset / 36 * 36..];
        let id = u64::from_le_bytes(entry[..8].try_into().unwrap());
        return if (8..12).contains(&(offset % 36)) {
            Effect::OtherType { id }
        } else {
            Effect::Found { id }
        };
    }
    let indexes = image.iter().filter(|(path, _)| path.to_str().unwrap().contains("index"));
    for entry in indexes.flat_map(|(_, bytes)| bytes.chunks_exact(36)) {
        let number =
            |at: usize| usize::try_from(u32::from_le_bytes(entry[at..at + 4].try_into().unwrap())).unwrap();
        let start = number(20) * 16;
        let is_here = name == format!("{}/data.{}", number(12), number(16));
        if is_here && (start..start + 12 + number(28)).contains(&offset) {
            return Effect::Found { id: u64::from_le_bytes(entry[..8].try_into().unwrap()) };
        }
    }
    Effect::Nothing
}

fn check_reading(shelf: &Shelf, items: &[Item], effect: Effect, what: &str) {
    let found = read_all(shelf);
    assert_eq!(found.len(), items.len(), "{what}");
    let runs = read_in_runs(shelf, 200);
    for ((id, found), item) in found.into_iter().zip(items) {
        let in_run = runs.iter().find(|(other, _)| *other == id).map(|(_, item)| item);
        match effect {
            Effect::Found { id: bad } if bad == id => {
                assert!(matches!(found, Found::Corrupt(_)), "{what}: record {id} is {found:?}");
                assert_eq!(in_run, None, "{what}");
            }
            Effect::OtherType { id: bad } if bad == id => {
                let Found::Record((type_no, bytes)) = found else { panic!("{what}: {found:?}") };
                assert!(type_no != item.0 && bytes == item.1, "{what}");
            }
            _ => {
                assert_eq!(found, Found::Record(item.clone()), "{what}: record {id}");
                assert_eq!(in_run, Some(item), "{what}: record {id}");
            }
        }
    }
}

fn check_every_bit(parameters: &Parameters) {
    let items = items();
    let image = image_of(&log_of(parameters, &items).disk());
    let mut counts = [0u32; 3];
    for (path, bytes) in &image {
        for bit in 0..bytes.len() * 8 {
            let mut flipped = image.clone();
            flipped.get_mut(path).unwrap()[bit / 8] ^= 1 << (bit % 8);
            let effect = effect(&image, path, bit / 8);
            let what = format!("bit {bit} of {}", path.display());
            let sim = disk_of(&flipped);
            check_reading(&Shelf::open(&sim.disk(), parameters).unwrap(), &items, effect, &what);

            let Opened { mut writer, shelf, recovery } = reopen(&sim, parameters, 8);
            check_reading(&shelf, &items, effect, &what);
            assert_eq!(recovery.torn, None, "{what}");
            // Opening looks at the last two directories, which are all.
            let damaged: Vec<u64> =
                recovery.damaged.iter().map(|damaged| damaged.ids.unwrap().0.get()).collect();
            let wanted = match effect {
                Effect::Found { id } => vec![id],
                _ => vec![],
            };
            assert_eq!(damaged, wanted, "{what}");
            // Behind damage the log goes on.
            write(&mut writer, &[(9, b"behind".to_vec())]).unwrap();
            writer.sync().unwrap();
            let mut more = items.clone();
            more.push((9, b"behind".to_vec()));
            check_reading(&reopen(&sim, parameters, 9).shelf, &more, effect, &what);
            counts[match effect {
                Effect::Found { .. } => 0,
                Effect::OtherType { .. } => 1,
                Effect::Nothing => 2,
            }] += 1;
        }
    }
    // Eight types of 32 bits, and nothing else that is interpreted.
    assert_eq!(counts[1], 8 * 32);
    assert!(counts[0] > 2000 && counts[2] > 0, "{counts:?}");
}

#[test]
fn every_flipped_bit_is_found_but_those_of_types_and_padding() {
    check_every_bit(&small());
}

#[test]
fn every_flipped_bit_of_a_compressed_log_is_found_but_those_of_types_and_padding() {
    check_every_bit(&Parameters { need_compress: 1, ..small() });
}

#[test]
fn a_flipped_bit_behind_what_was_durable_is_where_the_log_is_cut() {
    let items = items();
    let image = image_of(&log_of(&small(), &items).disk());
    for (path, bytes) in &image {
        for bit in 0..bytes.len() * 8 {
            let Effect::Found { id } = effect(&image, path, bit / 8) else { continue };
            let mut flipped = image.clone();
            flipped.get_mut(path).unwrap()[bit / 8] ^= 1 << (bit % 8);
            let opened = reopen(&disk_of(&flipped), &small(), id - 1);
            assert_eq!(opened.shelf.bounds(), (1, id), "bit {bit} of {}", path.display());
            assert!(
                opened.recovery.damaged.is_empty() && opened.recovery.torn.is_some(),
                "{}",
                opened.recovery
            );
        }
    }
}

#[test]
fn when_nobody_knows_what_was_durable_no_good_record_is_cut() {
    let items = items();
    let mut image = image_of(&log_of(&small(), &items).disk());
    image.get_mut(Path::new("1/data.0")).unwrap()[5] ^= 1;
    let opened = reopen(&disk_of(&image), &small(), None);
    assert_eq!(opened.shelf.bounds(), (1, 9));
    assert_eq!(opened.recovery.torn, None);
    assert_eq!(opened.recovery.damaged[0].ids.unwrap().0.get(), 7);
}

#[test]
fn lost_directories_are_reported_and_the_rest_stays_readable() {
    let mut dice = Dice(5);
    let items: Vec<Item> = (0..20).map(|_| dice.item(20)).collect();
    let sim = log_of(&small(), &items);
    sim.disk().remove_tree(Path::new("1")).unwrap();
    let opened = reopen(&sim, &small(), 20);
    let ids = opened.recovery.damaged[0].ids.unwrap();
    assert_eq!((ids.0.get(), ids.1.get()), (7, 12));
    for (id, found) in read_all(&opened.shelf) {
        assert_eq!(matches!(found, Found::Corrupt(_)), (7..=12).contains(&id), "{id}: {found:?}");
    }
}

#[test]
fn records_that_were_durable_and_are_gone_are_reported_and_their_ids_never_given_again() {
    let mut dice = Dice(6);
    let items: Vec<Item> = (0..8).map(|_| dice.item(20)).collect();
    let sim = log_of(&small(), &items);
    let Opened { mut writer, recovery, .. } = reopen(&sim, &small(), 11);
    let ids = recovery.damaged[0].ids.unwrap();
    assert_eq!((ids.0.get(), ids.1.get()), (9, 11));
    assert_eq!(writer.next(), 12);
    write(&mut writer, &[(1, b"a".to_vec()), (1, b"b".to_vec())]).unwrap();
    writer.sync().unwrap();
    let found = read_all(&reopen(&sim, &small(), 13).shelf);
    for (id, found) in &found {
        assert_eq!(matches!(found, Found::Corrupt(_)), (9..=11).contains(id), "{id}: {found:?}");
    }
    assert_eq!(found.len(), 13);
    let reader = Shelf::open(&sim.disk(), &small()).unwrap();
    assert_eq!(read_all(&reader), found);
}
