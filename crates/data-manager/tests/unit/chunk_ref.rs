//! Tests of residents, pins and places. A failure here means a pin that does not hold, or one that is never let go.
//! Refuses to touch a disk: paths are only looked at.

use std::sync::atomic::{AtomicU64, AtomicUsize};
use std::time::{Duration, SystemTime};

use host::TimeSource;

use super::*;

/// Counts how often the loop would have been woken.
#[derive(Default)]
pub(crate) struct Wakes(AtomicUsize);

impl Wake for Wakes {
    fn wake(&self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

/// A clock that shows the seconds that it was set to.
#[derive(Debug, Default)]
struct ByHand(AtomicU64);

impl TimeSource for ByHand {
    fn monotonic(&self) -> Duration {
        Duration::from_secs(self.0.load(Ordering::SeqCst))
    }

    fn wall(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH
    }
}

fn moved_by_hand() -> (CoarseClock, impl Fn(u64)) {
    let source = Arc::new(ByHand::default());
    let clock = CoarseClock::new(Clock::custom(Arc::<ByHand>::clone(&source)));
    (clock, move |now_s| source.0.store(now_s, Ordering::SeqCst))
}

pub(crate) fn record(dataset: u8, block_range: BlockRange, sequence: u64) -> Record {
    let mut id = [dataset; 32];
    id[..8].copy_from_slice(&sequence.to_be_bytes());
    Record {
        id,
        dataset_id: [dataset; 32],
        block_range,
        bytes: 200 << 20,
        names: "blocks.parquet/logs.parquet".into(),
        dir: 0,
        sequence,
        foreign_path: None,
    }
}

/// A chunk that nothing but the caller holds. Its place is its own.
pub(crate) fn resident(dataset: u8, block_range: BlockRange, sequence: u64) -> Arc<Resident> {
    let record = record(dataset, block_range, sequence);
    let place = places().0.of(&record).expect("directory 0 is there");
    Resident::new(&record, place)
}

pub(crate) fn places() -> (Places, Arc<Wakes>) {
    let wakes = Arc::new(Wakes::default());
    let wake: Arc<dyn Wake> = Arc::<Wakes>::clone(&wakes);
    let roots = ["/disk0", "/disk1"].map(|root| Arc::from(Path::new(root)));
    (Places::new(roots.to_vec(), wake), wakes)
}

#[test]
fn a_resident_takes_72_bytes() {
    assert_eq!(size_of::<Resident>(), 72);
}

#[test]
fn the_last_pin_of_a_hidden_chunk_wakes_the_loop_and_no_other_does() {
    let (mut places, wakes) = places();
    let record = record(1, 0..10, 1);
    let owner = Resident::new(&record, places.of(&record).unwrap());
    let weak = Arc::downgrade(&owner);
    let pin = ChunkRef::pin(&owner, &CoarseClock::default());
    let other = pin.clone();
    drop(owner);
    assert_eq!(Resident::pins_hidden(&weak), 2);
    drop(pin);
    assert_eq!(wakes.0.load(Ordering::SeqCst), 0, "one pin is left");
    assert_eq!(other.block_range(), 0..10);
    drop(other);
    assert_eq!(wakes.0.load(Ordering::SeqCst), 1);
    assert!(weak.upgrade().is_none());
}

#[test]
fn pins_of_a_visible_chunk_do_not_count_the_catalogue_and_the_index() {
    let in_catalogue = resident(1, 0..10, 1);
    let in_index = Arc::clone(&in_catalogue);
    assert_eq!(Resident::pins_visible(&in_catalogue), 0);
    let pins: Vec<ChunkRef> = (0..3).map(|_| ChunkRef::pin(&in_index, &CoarseClock::default())).collect();
    assert_eq!(Resident::pins_visible(&in_catalogue), 3);
    drop(pins);
    assert_eq!(Resident::pins_visible(&in_catalogue), 0);
}

#[test]
fn the_time_of_a_pin_counts_from_the_first_one_that_is_still_followed_by_another() {
    let (clock, set) = moved_by_hand();
    let in_catalogue = resident(1, 0..10, 1);
    let in_index = Arc::clone(&in_catalogue);
    set(100);
    let first = ChunkRef::pin(&in_index, &clock);
    set(130);
    let second = ChunkRef::pin(&in_index, &clock);
    drop(first);
    set(150);
    assert_eq!(in_catalogue.pinned_for_s(&clock), 50, "it has been pinned without a break");
    drop(second);
    let _third = ChunkRef::pin(&in_index, &clock);
    set(155);
    assert_eq!(in_catalogue.pinned_for_s(&clock), 5, "the break began a new count");
}

#[test]
fn a_clock_that_steps_back_makes_no_pin_older_than_the_world() {
    let (clock, set) = moved_by_hand();
    set(100);
    let resident = resident(1, 0..10, 1);
    let _pin = ChunkRef::pin(&resident, &clock);
    set(90);
    assert_eq!(resident.pinned_for_s(&clock), 0);
}

#[test]
fn a_chunk_lies_where_the_layout_says() {
    let (mut places, _) = places();
    let record = Record { dir: 1, ..record(7, 36..95, 1) };
    let resident = Resident::new(&record, places.of(&record).unwrap());
    let pin = ChunkRef::pin(&resident, &CoarseClock::default());
    let below = layout::chunk_path(&record.dataset_id, &(36..95), &record.id);
    assert_eq!(pin.path(), Path::new("/disk1").join(below));
    assert_eq!(pin.clone().path(), pin.path());
}

#[test]
fn a_chunk_of_another_layout_lies_where_it_was_found() {
    let (mut places, _) = places();
    let path = Path::new("czM6Ly9x/0000000000/0000000000-0000000035-abc");
    let record = Record { foreign_path: Some(path.into()), ..record(7, 0..36, 1) };
    let resident = Resident::new(&record, places.of(&record).unwrap());
    assert_eq!(resident.path(), Path::new("/disk0").join(path));
    assert_eq!(resident.record(), record);
}

#[test]
fn a_record_survives_being_resident() {
    let (mut places, _) = places();
    let record = Record { dir: 1, bytes: (1 << 48) - 1, ..record(9, 0..u64::MAX, (1 << 48) - 1) };
    let resident = Resident::new(&record, places.of(&record).unwrap());
    assert_eq!(resident.record(), record);
}

#[test]
fn numbers_beyond_48_bits_become_the_greatest() {
    let resident = resident(1, 0..1, u64::MAX);
    assert_eq!(resident.sequence(), (1 << 48) - 1);
}

#[test]
fn a_pin_tells_what_it_pins() {
    let resident = resident(7, 5..9, 3);
    let pin = ChunkRef::pin(&resident, &CoarseClock::default());
    assert_eq!((pin.id(), pin.dataset_id()), (*resident.id(), [7; 32]));
    assert_eq!((pin.block_range(), pin.bytes()), (5..9, 200 << 20));
    assert_eq!(pin.file_names().collect::<Vec<_>>(), ["blocks.parquet", "logs.parquet"]);
    assert!(format!("{pin:?}").contains(&hex_id(&pin.id())));
}

#[test]
fn chunks_of_one_kind_share_a_place() {
    let (mut places, _) = places();
    let first = places.of(&record(1, 0..1, 1)).unwrap();
    let same = places.of(&record(1, 1..2, 2)).unwrap();
    assert!(Arc::ptr_eq(&first, &same));
    let others = [
        record(2, 0..1, 1),
        Record { dir: 1, ..record(1, 0..1, 1) },
        Record { names: "a".into(), ..record(1, 0..1, 1) },
        Record { foreign_path: Some(Path::new("x").into()), ..record(1, 0..1, 1) },
    ];
    for other in others {
        assert!(!Arc::ptr_eq(&first, &places.of(&other).unwrap()), "{other:?}");
    }
}

#[test]
fn a_record_in_an_unknown_directory_has_no_place() {
    let (mut places, _) = places();
    assert!(places.of(&Record { dir: 2, ..record(1, 0..1, 1) }).is_none());
}

#[test]
fn places_that_nobody_uses_are_forgotten() {
    let (mut places, _) = places();
    let kept = places.of(&record(1, 0..1, 1)).unwrap();
    for number in 0..10 * SWEEP_MIN {
        let names = format!("{number}.parquet").into();
        assert!(places.of(&Record { names, ..record(1, 0..1, 1) }).is_some());
    }
    assert!(places.known.len() <= 2 * SWEEP_MIN, "{} places are known", places.known.len());
    assert!(Arc::ptr_eq(&kept, &places.of(&record(1, 0..1, 1)).unwrap()));
}
