//! Positions of format 1: the arithmetic against an independent one, the original program's table, and the edges.
//! Refuses to share a formula with what it tests: this one counts in 128 bits and the other way round.

use proptest::prelude::*;

use super::*;

fn geometry(per_file: u32, files: u32) -> Geometry {
    let parameters =
        Parameters { index_num_per_file: per_file, index_file_num_per_dir: files, ..Parameters::format_1() };
    Geometry::new(&parameters).unwrap()
}

/// Counts back from the place to the id: what comes before it are whole directories, whole files and slots.
fn id_at(slot: Slot, per_file: u32, files: u32) -> u128 {
    let (per_file, files) = (u128::from(per_file), u128::from(files));
    let whole_dirs = u128::from(slot.dir) * files * per_file;
    whole_dirs + u128::from(slot.file) * per_file + u128::from(slot.number) + 1
}

fn ids() -> impl Strategy<Value = u64> {
    prop_oneof![any::<u64>(), 1u64..100_000, (0u64..1000).prop_map(|less| u64::MAX - less)]
}

fn numbers() -> impl Strategy<Value = u32> {
    prop_oneof![1u32..200, any::<u32>().prop_map(|number| number.max(1)), Just(u32::MAX), Just(1)]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(100_000) })]

    #[test]
    fn a_position_counts_back_to_its_id(id in ids(), per_file in numbers(), files in numbers()) {
        let geometry = geometry(per_file, files);
        let Some(slot) = geometry.slot_of(id) else {
            let beyond = u128::from(per_file) * u128::from(files) * (1 << 32);
            prop_assert!(id == 0 || u128::from(id) > beyond, "{id} has a directory");
            return Ok(());
        };
        prop_assert!(slot.number < per_file && slot.file < files);
        prop_assert_eq!(id_at(slot, per_file, files), u128::from(id));
        prop_assert_eq!(geometry.id_of(slot), Some(id));
    }
}

#[test]
fn the_positions_of_the_original_programs_own_test_are_the_same() {
    let geometry = geometry(100, 64);
    let place = |id| geometry.slot_of(id).map(|slot| (slot.dir, slot.file, slot.number));
    assert_eq!(place(0), None);
    assert_eq!(place(1), Some((0, 0, 0)));
    assert_eq!(place(100), Some((0, 0, 99)));
    assert_eq!(place(101), Some((0, 1, 0)));
    assert_eq!(place(6400), Some((0, 63, 99)));
    assert_eq!(place(6401), Some((1, 0, 0)));
}

#[test]
fn an_id_beyond_the_last_directory_has_no_position() {
    let small = geometry(1, 1);
    assert_eq!(small.slot_of(1 << 32), Some(Slot { dir: u32::MAX, file: 0, number: 0 }));
    assert_eq!(small.slot_of((1 << 32) + 1), None);
    assert_eq!(small.slot_of(u64::MAX), None);
    assert!(geometry(u32::MAX, u32::MAX).slot_of(u64::MAX).is_some());
    assert_eq!(geometry(u32::MAX, u32::MAX).id_of(Slot { dir: u32::MAX, file: 0, number: 0 }), None);
}

#[test]
fn a_number_has_one_spelling() {
    for (name, number) in [("0", Some(0)), ("17", Some(17)), ("4294967295", Some(u32::MAX))] {
        assert_eq!(number_of(name), number);
    }
    for name in ["", "00", "01", "+1", "-1", "1 ", "4294967296", "x"] {
        assert_eq!(number_of(name), None, "{name:?}");
    }
}
