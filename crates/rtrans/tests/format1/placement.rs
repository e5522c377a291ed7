//! Where records of format 1 go in data files: against a model that counts bytes, and at the edges.
//! Refuses to share a formula with what it tests: the model keeps a list of files and their lengths.

use proptest::prelude::*;

use super::*;
use crate::parameters::Parameters;

fn geometry(block: u32, file_bytes_max: u64) -> Geometry {
    let parameters =
        Parameters { data_blk_size: block, max_size_data_file: file_bytes_max, ..Parameters::format_1() };
    Geometry::new(&parameters).unwrap()
}

/// Places records by filling files with bytes, one after the other.
fn model(block: u64, file_bytes_max: u64, lens: &[u32]) -> Vec<Place> {
    let mut files = vec![0u64];
    let mut places = Vec::new();
    for len in lens {
        let mut padded = 12 + u64::from(*len);
        while !padded.is_multiple_of(block) {
            padded += 1;
        }
        let used = files.last_mut().unwrap();
        if *used > 0 && *used + padded > file_bytes_max {
            files.push(0);
        }
        let file = u32::try_from(files.len() - 1).unwrap();
        let used = files.last_mut().unwrap();
        places.push(Place { file, blk: *used / block });
        *used += padded;
    }
    places
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(2000) })]

    #[test]
    fn records_go_where_a_model_that_counts_bytes_puts_them(
        block in 1u32..80,
        more in 0u64..400,
        lens in prop::collection::vec(prop_oneof![0u32..60, 0u32..900], 1..40),
    ) {
        let file_bytes_max = u64::from(block) + more;
        let geometry = geometry(block, file_bytes_max);
        let mut free = Place::default();
        let mut places = Vec::new();
        for len in &lens {
            let place = geometry.place(free, *len).unwrap();
            free = geometry.behind(place, *len).unwrap();
            places.push(place);
        }
        prop_assert_eq!(places, model(u64::from(block), file_bytes_max, &lens));
    }

    #[test]
    fn no_place_overflows(
        file in any::<u32>(), blk in any::<u64>(), len in any::<u32>(), block in 1u32.., file_bytes_max in any::<u64>(),
    ) {
        let geometry = geometry(block, file_bytes_max);
        let place = Place { file, blk };
        if let Some(offset) = geometry.offset_of(place, len) {
            prop_assert_eq!(u128::from(offset), u128::from(blk) * u128::from(block));
            prop_assert!(u128::from(offset) + 12 + u128::from(len) <= 1 << 63);
        }
        geometry.place(place, len);
        geometry.behind(place, len);
    }
}

#[test]
fn a_file_is_filled_to_its_last_block() {
    let geometry = geometry(64, 640);
    let mut free = Place::default();
    for blk in 0..10 {
        let place = geometry.place(free, 52).unwrap();
        assert_eq!(place, Place { file: 0, blk });
        free = geometry.behind(place, 52).unwrap();
    }
    assert_eq!(geometry.place(free, 52), Some(Place { file: 1, blk: 0 }));
}

#[test]
fn a_record_larger_than_a_file_is_alone_in_one() {
    let geometry = geometry(64, 640);
    let first = geometry.place(Place { file: 0, blk: 1 }, 5000).unwrap();
    assert_eq!(first, Place { file: 1, blk: 0 });
    let free = geometry.behind(first, 5000).unwrap();
    assert_eq!(geometry.place(free, 0), Some(Place { file: 2, blk: 0 }));
    assert_eq!(geometry.place(Place::default(), 5000), Some(Place::default()));
}

#[test]
fn there_is_no_file_behind_the_last() {
    let geometry = geometry(64, 640);
    assert_eq!(geometry.place(Place { file: u32::MAX, blk: 10 }, 0), None);
    assert_eq!(geometry.place(Place { file: 0, blk: u64::MAX }, 0), None);
    assert_eq!(geometry.offset_of(Place { file: 0, blk: u64::MAX }, 0), None);
}
