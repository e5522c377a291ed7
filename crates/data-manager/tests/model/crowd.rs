//! Threads that use one hold at once: readers that pin and look, writers that delete and download.
//! Refuses to agree on turns: only a writer's own chunks are its own.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use data_manager::data_manager::{DataManagerImpl, Parts};
use data_manager::data_source::DataSource;
use data_manager::options::Options;
use host::sim::SimDisk;

use crate::look::{Look, look_at};
use crate::source::{SimSource, blocks, chunk, dataset, id};
use host::sim::Random;

pub(crate) const CHUNKS: u8 = 8;

/// Calls that each writer makes.
const ROUNDS: u64 = 1_500;

pub(crate) const PATIENCE: Duration = Duration::from_mins(1);

pub(crate) fn open(sim: &SimDisk) -> DataManagerImpl {
    let mut options = Options::new("/sim");
    options.limits.free_bytes_min = 0;
    let source: Arc<dyn DataSource> = Arc::new(SimSource::default());
    let parts =
        Parts { disks: vec![sim.disk()], sources: vec![("sim".to_string(), source)], ..Parts::default() };
    DataManagerImpl::open_with(options, parts).unwrap()
}

/// Finds, pins and reads; what is pinned must be whole as long as it is.
pub(crate) fn read(hold: &DataManagerImpl, sim: &SimDisk, is_over: &AtomicBool, seed: u64) -> u64 {
    let mut random = Random::new(seed);
    let (mut pins, mut found) = (Vec::new(), 0);
    while !is_over.load(Ordering::Acquire) {
        let number = u8::try_from(random.below(CHUNKS.into())).unwrap();
        if let Some(pin) = hold.find_chunk(dataset(number), blocks(number).start + random.below(10)) {
            found += 1;
            assert_eq!(look_at(sim, &pin), Look::Whole, "seed {seed}: just found");
            pins.push(pin.clone());
        }
        let view = hold.find_range(dataset(number), 0..100);
        assert!(view.chunks.is_sorted_by_key(|chunk| chunk.block_range().start), "seed {seed}");
        if pins.len() > 3 {
            let pin = pins.swap_remove(usize::try_from(random.below(4)).unwrap());
            assert_eq!(look_at(sim, &pin), Look::Whole, "seed {seed}: pinned for a while");
        }
    }
    found
}

/// Deletes and downloads the chunks of one writer, whose last word therefore counts.
pub(crate) fn write(hold: &DataManagerImpl, own: &[u8], seed: u64) -> Vec<(u8, bool)> {
    let mut random = Random::new(seed);
    let mut last: Vec<(u8, bool)> = own.iter().map(|number| (*number, false)).collect();
    for _ in 0..ROUNDS {
        let at = usize::try_from(random.below(own.len() as u64)).unwrap();
        let (number, is_wanted) = &mut last[at];
        *is_wanted = !random.once_in(3);
        if *is_wanted {
            hold.download_chunk(chunk(*number, 0)).unwrap();
        } else {
            hold.delete_chunk(id(*number));
            assert!(hold.get_chunk(id(*number)).is_none(), "seed {seed}: hidden when the call returns");
        }
        if random.once_in(8) {
            // Lets some of it happen, so that there is something to find and to remove.
            drop(hold.wait_chunk(id(*number), Duration::from_millis(20)));
        }
    }
    last
}
