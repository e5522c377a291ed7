//! find: the chunk of a block found, pinned and unpinned, at rest, under changes, and by two threads.
//! Refuses to subtract the cost of looking at the clock: it is shown beside the figures.

use std::hint::black_box;
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use data_manager::data_chunk::DatasetId;
use data_manager::data_manager::DataManagerImpl;

use crate::Outcome;
use crate::args::Options;
use crate::chunks::BLOCKS;
use crate::report::{Figure, Goal, Report, percentile};
use crate::{hold, machine};

const CHUNKS: u64 = 1_000_000;

/// Memory that one resident with one file takes in a file system in memory: five inodes and a page.
const RESIDENT_BYTES: u64 = 10_000;

const LOOKS: usize = 1_000_000;
const CHANGES_PER_SECOND: u64 = 1_000;
const UNDER_CHANGES: Duration = Duration::from_secs(5);
const SCALING_TIME: Duration = Duration::from_secs(1);

/// How many residents this machine's memory has room for, of those that are wanted.
pub(crate) fn affordable(options: &Options, wanted: u64) -> u64 {
    if options.memory.join(format!("residents-{wanted}.done")).exists() {
        return wanted;
    }
    wanted.min(machine::available_bytes() / 4 * 3 / RESIDENT_BYTES)
}

pub(crate) fn run(options: &Options, report: &mut Report) -> Outcome<()> {
    let count = affordable(options, options.scaled(CHUNKS));
    let dir = hold::prepared(&options.memory, count)?;
    let hold = hold::open(&dir)?;
    // The verification that follows each start reads every manifest; it is not what is measured here.
    machine::wait_until_idle();
    let places = places(count);
    at_rest(&hold, &places, count, options, report);
    scaling(&hold, &places, options, report);
    under_changes(&hold, &places, count, options, report)?;
    hold.close();
    Ok(())
}

/// Blocks in random order, with their datasets.
fn places(count: u64) -> Vec<(DatasetId, u64)> {
    let mut bytes = vec![0; LOOKS * 8];
    origin::generate(11, 0, &mut bytes);
    let place = |word: &[u8]| {
        let word = word.iter().fold(0u64, |sum, &byte| sum << 8 | u64::from(byte));
        let (dataset, first) = hold::resident_place(word % count.max(1));
        (dataset, first + (word >> 40) % BLOCKS)
    };
    bytes.chunks(8).map(place).collect()
}

/// Nanoseconds of each operation, sorted.
fn timed(places: &[(DatasetId, u64)], look: impl Fn(&DatasetId, u64)) -> Vec<u32> {
    let mut times = Vec::with_capacity(places.len());
    for (dataset, block) in places {
        let begin = Instant::now();
        look(dataset, *block);
        times.push(u32::try_from(begin.elapsed().as_nanos()).unwrap_or(u32::MAX));
    }
    times.sort_unstable();
    times
}

fn find(hold: &DataManagerImpl, dataset: &DatasetId, block: u64) {
    let pin = hold.find_chunk(*dataset, block);
    assert!(black_box(&pin).is_some(), "a resident was not found");
}

fn at_rest(
    hold: &DataManagerImpl,
    places: &[(DatasetId, u64)],
    count: u64,
    options: &Options,
    report: &mut Report,
) {
    let firsts: Vec<u64> = (0..count).map(|number| number * BLOCKS).collect();
    let (mut ours, mut clock, mut bare) = ([vec![], vec![], vec![]], vec![], vec![]);
    timed(places, |dataset, block| find(hold, dataset, block));
    for _ in 0..options.shared.rounds {
        let times = timed(places, |dataset, block| find(hold, dataset, block));
        for (values, share) in ours.iter_mut().zip([0.5, 0.99, 0.999]) {
            values.push(percentile(&times, share));
        }
        clock.push(percentile(
            &timed(places, |_, block| {
                black_box(block);
            }),
            0.5,
        ));
        let times = timed(places, |_, block| {
            black_box(firsts.partition_point(|first| *first <= block * 10));
        });
        bare.push(percentile(&times, 0.5));
    }
    let [p50, p99, p999] = ours;
    let name = |what: &str| format!("find + pin + unpin, {count} chunks, {what}");
    report.add(Figure::new("find", name("p50"), "loghold", "ns", &p50).goal(Goal::AtMost(150.0)));
    report.add(Figure::new("find", name("p99"), "loghold", "ns", &p99).goal(Goal::AtMost(1_000.0)));
    report.add(Figure::new("find", name("p99.9"), "loghold", "ns", &p999));
    report.add(Figure::new("find", "looking at the clock, p50", "raw limit", "ns", &clock));
    let figure = Figure::new("find", "binary search of first blocks, p50", "raw limit", "ns", &bare);
    report.add(
        figure.note("an array of numbers, without pins; looking at the clock is in all of these figures"),
    );
}

fn scaling(hold: &DataManagerImpl, places: &[(DatasetId, u64)], options: &Options, report: &mut Report) {
    let (mut alone, mut together) = (Vec::new(), Vec::new());
    for _ in 0..options.shared.rounds.max(5) {
        alone.push(rate(hold, places, 1));
        together.push(rate(hold, places, 2));
    }
    let one = Figure::new("find", "finds by one thread", "loghold", "1/s", &alone);
    let base = one.median();
    report.add(one);
    let two = Figure::new("find", "finds by two threads, different chunks", "loghold", "1/s", &together);
    report.add(two.beside_goal(base, "one", Goal::AtLeast(1.8)));
}

/// Finds in a second, by so many threads, each on its own part of the places.
fn rate(hold: &DataManagerImpl, places: &[(DatasetId, u64)], threads: usize) -> f64 {
    let barrier = Barrier::new(threads);
    let done = AtomicU64::new(0);
    std::thread::scope(|scope| {
        for part in places.chunks(places.len() / threads) {
            scope.spawn(|| {
                barrier.wait();
                let begin = Instant::now();
                let mut finds = 0;
                'time: loop {
                    for some in part.chunks(1_000) {
                        some.iter().for_each(|(dataset, block)| find(hold, dataset, *block));
                        finds += some.len() as u64;
                        if begin.elapsed() >= SCALING_TIME {
                            break 'time;
                        }
                    }
                }
                done.fetch_add(finds, Ordering::Relaxed);
            });
        }
    });
    done.load(Ordering::Relaxed) as f64 / SCALING_TIME.as_secs_f64()
}

fn under_changes(
    hold: &DataManagerImpl,
    places: &[(DatasetId, u64)],
    count: u64,
    options: &Options,
    report: &mut Report,
) -> Outcome<()> {
    let mut figures: [Vec<f64>; 4] = Default::default();
    let mut changes = Vec::new();
    for _ in 0..options.shared.rounds {
        let stop = AtomicBool::new(false);
        let (mut times, applied) = std::thread::scope(|scope| {
            let changer = scope.spawn(|| change(hold, count, &stop));
            let begin = Instant::now();
            let mut times = Vec::new();
            while begin.elapsed() < UNDER_CHANGES {
                times.extend(timed(
                    places.get(..100_000.min(places.len())).unwrap_or(places),
                    |dataset, block| find(hold, dataset, block),
                ));
            }
            stop.store(true, Ordering::Relaxed);
            (times, changer.join())
        });
        times.sort_unstable();
        for (values, share) in figures.iter_mut().zip([0.5, 0.99, 0.999, 1.0]) {
            values.push(percentile(&times, share));
        }
        changes.push(applied.map_err(|_| "the changes panicked")?? / UNDER_CHANGES.as_secs_f64());
        machine::wait_until_idle();
    }
    report.add(Figure::new("find", "changes asked for and applied", "loghold", "1/s", &changes));
    let [p50, p99, p999, max] = figures;
    let name = |what: &str| format!("find under {CHANGES_PER_SECOND} changes/s, {what}");
    report.add(Figure::new("find", name("p50"), "loghold", "ns", &p50));
    report.add(Figure::new("find", name("p99"), "loghold", "ns", &p99));
    report.add(Figure::new("find", name("p99.9"), "loghold", "ns", &p999).goal(Goal::AtMost(5_000.0)));
    let figure = Figure::new("find", name("max"), "loghold", "ns", &max);
    report
        .add(figure.note("on few cores the worst cases are turns of the scheduler, which no lock explains"));
    Ok(())
}

/// Publishes and removes chunks at a steady pace. Returns how many changes were visible in the end.
fn change(hold: &DataManagerImpl, count: u64, stop: &AtomicBool) -> Outcome<f64> {
    let before = hold.totals();
    let step = Duration::from_millis(10);
    let per_step = CHANGES_PER_SECOND / 100 / 2;
    let begin = Instant::now();
    let mut steps = 0;
    while !stop.load(Ordering::Relaxed) {
        for place in 0..per_step {
            let number = count + steps * per_step + place;
            hold.download_chunk(hold::resident(number, &["blocks.parquet"]))?;
            if let Some(old) = number.checked_sub(per_step * 100).filter(|old| *old >= count) {
                hold.delete_chunk(hold::resident_id(old));
            }
        }
        steps += 1;
        std::thread::sleep((step * u32::try_from(steps)?).saturating_sub(begin.elapsed()));
    }
    let after = hold.totals();
    for number in count..count + steps * per_step {
        hold.delete_chunk(hold::resident_id(number));
        hold.wait_gone(hold::resident_id(number), hold::PATIENCE)?;
    }
    Ok((after.published - before.published + after.removed - before.removed) as f64)
}
