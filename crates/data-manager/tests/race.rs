//! Races on the real hold, with real threads: pins against deletions, downloads, snapshots and removals.
//! Refuses to model: what runs here is the product, on a simulated disk, so that every look at a file is cheap.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc;

use host::sim::SimDisk;

#[cfg(test)]
#[path = "model/crowd.rs"]
mod crowd;
#[cfg(test)]
#[path = "model/look.rs"]
mod look;
#[cfg(test)]
#[path = "model/source.rs"]
#[expect(dead_code, reason = "the model uses the rest")]
mod source;

use crowd::{CHUNKS, PATIENCE, open, read, write};
use look::{Look, look_at};
use source::{blocks, chunk, dataset, id};

#[test]
fn pins_hold_whatever_other_threads_delete_and_download() {
    for seed in 1..=4 {
        println!("seed {seed}");
        let sim = SimDisk::new(seed);
        let hold = open(&sim);
        let (all, halves): (Vec<u8>, u8) = ((0..CHUNKS).collect(), CHUNKS / 2);
        let (found, is_over) = (AtomicU64::new(0), AtomicBool::new(false));
        let last: Vec<(u8, bool)> = std::thread::scope(|scope| {
            let (hold, sim, found, is_over) = (&hold, &sim, &found, &is_over);
            for reader in 0..3 {
                scope.spawn(move || {
                    found.fetch_add(read(hold, sim, is_over, seed * 100 + reader), Ordering::Relaxed)
                });
            }
            let writers: Vec<_> = all
                .chunks(halves.into())
                .map(|own| scope.spawn(move || write(hold, own, seed * 1_000 + u64::from(own[0]))))
                .collect();
            // Also when a writer failed: the readers must not wait for it.
            let ended: Vec<_> = writers.into_iter().map(std::thread::ScopedJoinHandle::join).collect();
            is_over.store(true, Ordering::Release);
            ended.into_iter().flat_map(|last| last.unwrap()).collect()
        });
        assert!(found.load(Ordering::Relaxed) > 100, "the readers found something");
        for (number, is_wanted) in last {
            if is_wanted {
                let pin = hold.wait_chunk(id(number), PATIENCE).unwrap();
                assert_eq!(look_at(&sim, &pin), Look::Whole);
            } else {
                hold.wait_gone(id(number), PATIENCE).unwrap();
            }
        }
    }
}

/// A chunk that is deleted and asked for again while a reader holds it must never be missed by a reader: the snapshots
/// follow each other without a gap but the one between the two calls.
#[test]
fn the_last_pin_and_a_revival_race_for_a_chunk_and_it_stays_whole() {
    let sim = SimDisk::new(9);
    let hold = open(&sim);
    hold.download_chunk(chunk(1, 0)).unwrap();
    hold.wait_chunk(id(1), PATIENCE).unwrap();
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let (hold, sim, is_over) = (&hold, &sim, &is_over);
        for _ in 0..2 {
            scope.spawn(move || {
                while !is_over.load(Ordering::Acquire) {
                    if let Some(pin) = hold.get_chunk(id(1)) {
                        assert_eq!(look_at(sim, &pin), Look::Whole, "pinned");
                    }
                }
            });
        }
        for _ in 0..2_000 {
            let pin = hold.get_chunk(id(1));
            hold.delete_chunk(id(1));
            drop(pin);
            hold.download_chunk(chunk(1, 0)).unwrap();
        }
        is_over.store(true, Ordering::Release);
    });
    assert_eq!(look_at(&sim, &hold.wait_chunk(id(1), PATIENCE).unwrap()), Look::Whole);
}

/// A disk whose syncs do not come back: nothing is published or removed meanwhile, and nobody who calls waits for that.
#[test]
fn every_call_of_64_threads_returns_while_the_disk_holds_a_sync() {
    const CALLERS: u8 = 64;
    let sim = SimDisk::new(3);
    let hold = open(&sim);
    for number in 0..CHUNKS - 1 {
        hold.download_chunk(chunk(number, 0)).unwrap();
    }
    for number in 0..CHUNKS - 1 {
        hold.wait_chunk(id(number), PATIENCE).unwrap();
    }
    let syncs = sim.hold_syncs();
    hold.download_chunk(chunk(CHUNKS - 1, 0)).unwrap();
    assert!(syncs.wait_for_one(PATIENCE), "the publication of a chunk syncs");
    let (report, ends) = mpsc::sync_channel(CALLERS.into());
    std::thread::scope(|scope| {
        for caller in 0..CALLERS {
            let (hold, report) = (&hold, report.clone());
            scope.spawn(move || {
                for round in 0..50 {
                    let number = (caller + round) % (CHUNKS - 1);
                    drop(hold.find_chunk(dataset(number), blocks(number).start));
                    assert!(
                        hold.list_chunks().len() < usize::from(CHUNKS),
                        "what is not synced is not shown"
                    );
                    drop(hold.coverage(dataset(number)));
                    hold.delete_chunk(id(number));
                    hold.download_chunk(chunk(number, 0)).unwrap();
                }
                // Nobody listens when the test has failed.
                report.send(caller).unwrap_or_default();
            });
        }
        drop(report);
        let count = (0..CALLERS).map_while(|_| ends.recv_timeout(PATIENCE).ok()).count();
        let waiting = syncs.count();
        // Also when a call hangs: otherwise the test would.
        drop(syncs);
        assert_eq!(count, usize::from(CALLERS), "callers that came to their end while a sync was held");
        assert!(waiting > 0, "the sync was held until the end");
    });
    for number in 0..CHUNKS {
        let pin = hold.wait_chunk(id(number), PATIENCE).unwrap();
        assert_eq!(look_at(&sim, &pin), Look::Whole);
    }
}
