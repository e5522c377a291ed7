//! How much a search for records of some types takes at a time.
//! Refuses to look at what it finds: `tests/selection.rs` does.

use host::Clock;
use host::sim::SimDisk;

use crate::selected::Selected;
use crate::{Level, Log, Options, Parameters, Threads, TypeNo};

const RECORDS: u64 = 40;
const RECORD_BYTES: usize = 200_000;
const BYTES_MAX: usize = 256 << 10;

#[test]
fn compressed_records_are_selected_about_as_many_as_are_asked_for() {
    let parameters = Parameters { need_compress: 3, ..Parameters::format_2() };
    let options = Options { parameters: Some(parameters), threads: Threads::None, ..Options::default() };
    let log = Log::open_on(&SimDisk::new(1).disk(), &Clock::system(), options).expect("the log opens");
    for _ in 0..RECORDS {
        log.append_at(Level::Os, TypeNo(1), &vec![7; RECORD_BYTES]).expect("the record is appended");
    }
    let (mut next, mut count) = (1, 0);
    let mut selected = Selected::default();
    while next <= RECORDS {
        selected.clear();
        next = log
            .reader()
            .shelf()
            .select(&[1], (next, RECORDS + 1), BYTES_MAX, &mut selected)
            .expect("records are selected");
        assert!(selected.bytes.len() <= BYTES_MAX + RECORD_BYTES, "{} bytes", selected.bytes.len());
        count += std::iter::from_fn(|| selected.next()).count() as u64;
    }
    assert_eq!(count, RECORDS);
}

#[test]
fn the_room_of_large_records_is_given_back() {
    let mut selected = Selected::default();
    selected.bytes.resize(8 << 20, 0);
    selected.clear();
    assert!(selected.bytes.capacity() <= 1 << 20, "{} bytes", selected.bytes.capacity());
}
