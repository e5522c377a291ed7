//! What all proofs share: seeded numbers, and settings from the environment.
//! Refuses any other chance: the same seed gives the same run.

use rtrans::{Options, Parameters, Threads, TransId};

/// `SplitMix64`.
#[derive(Clone, Debug)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Random {
        Random(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A number below `bound`, which is not 0.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    /// True once in `times`.
    pub(crate) fn once_in(&mut self, times: u64) -> bool {
        self.below(times) == 0
    }
}

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
    let parameters = Parameters {
        max_size_data_file: 4096,
        index_file_num_per_dir: 2,
        need_compress,
        ..Parameters::format_2()
    };
    Options {
        parameters: Some(parameters),
        threads: Threads::None,
        batch_bytes_max: 4096,
        in_flight_bytes_max: 16 << 10,
        ..Options::default()
    }
}
