//! What all proofs share: settings from the environment, and small logs.
//! Refuses any other chance: the same seed gives the same run.

use rtrans::{Options, Parameters, Threads, TransId};

/// A number that the environment may set: `LOGHOLD_SEED`, `LOGHOLD_SEEDS`, `LOGHOLD_STEPS`.
pub(crate) fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// The seeds to try: the one that the environment names, or as many as it says, or these.
pub(crate) fn seeds(count: u64) -> Vec<u64> {
    match setting("LOGHOLD_SEED", 0) {
        0 => (1..=setting("LOGHOLD_SEEDS", count)).collect(),
        seed => vec![seed],
    }
}

pub(crate) fn id(number: u64) -> TransId {
    TransId::new(number).expect("ids in tests begin at 1")
}

/// Files so small that a few records fill one, two of them in a directory; no thread but the caller's.
pub(crate) fn small(need_compress: u16) -> Options {
    of(Parameters {
        max_size_data_file: 4096,
        index_file_num_per_dir: 2,
        need_compress,
        ..Parameters::format_2()
    })
}

/// The same of format 1: two entries in an index file, two of these in a directory.
pub(crate) fn small_1(need_compress: u16) -> Options {
    of(Parameters {
        index_num_per_file: 2,
        index_file_num_per_dir: 2,
        max_size_data_file: 4096,
        need_compress,
        ..Parameters::format_1()
    })
}

fn of(parameters: Parameters) -> Options {
    Options {
        parameters: Some(parameters),
        threads: Threads::None,
        batch_bytes_max: 4096,
        in_flight_bytes_max: 16 << 10,
        ..Options::default()
    }
}
