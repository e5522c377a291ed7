//! find: the chunk of a block found, pinned and unpinned, at rest, under changes, and by two threads.
//! Refuses to subtract the cost of looking at the clock: it is shown beside the figures, as is what memory alone costs.

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
use crate::{hold, machine, memory};

const CHUNKS: u64 = 1_000_000;

/// Memory that one resident with one file takes in a file system in memory: its inodes and a page.
const RESIDENT_BYTES: u64 = 10_000;

/// Directories and files of one resident with one file.
const RESIDENT_INODES: u64 = 5;

const LOOKS: usize = 1_000_000;
const CHANGES_PER_SECOND: u64 = 1_000;

/// Chunks that are there before the changes begin, so that one is removed for each that comes.
const AHEAD: u64 = CHANGES_PER_SECOND / 2;
const UNDER_CHANGES: Duration = Duration::from_secs(5);
const SCALING_TIME: Duration = Duration::from_secs(1);

/// How many residents this machine's memory has room for, of those that are wanted.
pub(crate) fn affordable(options: &Options, wanted: u64) -> u64 {
    if options.memory.join(format!("residents-{wanted}.done")).exists() {
        return wanted;
    }
    let bytes = machine::available_bytes() / RESIDENT_BYTES;
    let inodes = machine::free_inodes(&options.memory) / RESIDENT_INODES;
    let room = bytes.min(inodes) / 4 * 3;
    if room < wanted {
        eprintln!("    room for {room} of {wanted} residents: {bytes} by the memory, {inodes} by the inodes");
    }
    wanted.min(room)
}

pub(crate) fn run(options: &Options, report: &mut Report) -> Outcome<()> {
    let count = affordable(options, options.scaled(CHUNKS));
    let dir = hold::prepared(&options.memory, count)?;
    let hold = hold::open(&dir)?;
    // The verification that follows each start reads every manifest; it is not what is measured here.
    machine::wait_until_idle();
    let places = places(count);
    at_rest(&hold, &places, count, options, report);
    scaling(&hold, &places, count, options, report);
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
    let mut ours = [vec![], vec![], vec![]];
    let raw = memory::Raw::new(count);
    let mut limits = [const { Vec::new() }; memory::LIMITS.len()];
    timed(places, |dataset, block| find(hold, dataset, block));
    for _ in 0..options.shared.rounds {
        let times = timed(places, |dataset, block| find(hold, dataset, block));
        for (values, share) in ours.iter_mut().zip([0.5, 0.99, 0.999]) {
            values.push(percentile(&times, share));
        }
        for (values, (_, limit)) in limits.iter_mut().zip(memory::LIMITS) {
            let times = timed(places, |dataset, block| limit(&raw, hold::resident_number(dataset, block)));
            values.push(percentile(&times, 0.5));
        }
    }
    let [p50, p99, p999] = ours;
    let name = |what: &str| format!("find + pin + unpin, {count} chunks, {what}");
    report.add(Figure::new("find", name("p50"), "loghold", "ns", &p50).goal(Goal::AtMost(150.0)));
    report.add(Figure::new("find", name("p99"), "loghold", "ns", &p99).goal(Goal::AtMost(1_000.0)));
    report.add(Figure::new("find", name("p99.9"), "loghold", "ns", &p999));
    for (values, (name, _)) in limits.iter().zip(memory::LIMITS) {
        report.add(Figure::new("find", name, "raw limit, p50", "ns", values));
    }
}

fn scaling(
    hold: &DataManagerImpl,
    places: &[(DatasetId, u64)],
    count: u64,
    options: &Options,
    report: &mut Report,
) {
    let raw = memory::Raw::new(count);
    let ours = |dataset: &DatasetId, block: u64| find(hold, dataset, block);
    let pinned = |dataset: &DatasetId, block: u64| memory::pin(&raw, hold::resident_number(dataset, block));
    let counted = |_: &DatasetId, block: u64| memory::arithmetic(block);
    let mut rates = [const { (Vec::new(), Vec::new()) }; 3];
    for _ in 0..options.shared.rounds.max(5) {
        let [finds, pins, sums] = &mut rates;
        for (threads, values) in [(1, &mut finds.0), (2, &mut finds.1)] {
            values.push(rate(places, threads, ours));
        }
        for (threads, values) in [(1, &mut pins.0), (2, &mut pins.1)] {
            values.push(rate(places, threads, pinned));
        }
        for (threads, values) in [(1, &mut sums.0), (2, &mut sums.1)] {
            values.push(rate(places, threads, counted));
        }
    }
    let whats = [("finds", "loghold"), ("pins by number", "raw limit"), ("sums", "raw limit")];
    for ((what, who), (alone, together)) in whats.into_iter().zip(&rates) {
        let one = Figure::new("find", format!("{what} by one thread"), who, "1/s", alone);
        let base = one.median();
        report.add(one);
        let name = format!("{what} by two threads, different chunks");
        let two = Figure::new("find", name, who, "1/s", together);
        report.add(match who {
            "loghold" => two.beside_goal(base, "one", Goal::AtLeast(1.8)),
            _ => two.beside(base, "one"),
        });
    }
}

/// Operations in a second, by one thread or two, each on its own half of the places: one alone has as much to look at.
fn rate(places: &[(DatasetId, u64)], threads: usize, look: impl Fn(&DatasetId, u64) + Sync) -> f64 {
    let barrier = Barrier::new(threads);
    let done = AtomicU64::new(0);
    std::thread::scope(|scope| {
        for part in places.chunks(places.len() / 2).take(threads) {
            scope.spawn(|| {
                barrier.wait();
                let begin = Instant::now();
                let mut looks = 0;
                'time: loop {
                    for some in part.chunks(1_000) {
                        some.iter().for_each(|(dataset, block)| look(dataset, *block));
                        looks += some.len() as u64;
                        if begin.elapsed() >= SCALING_TIME {
                            break 'time;
                        }
                    }
                }
                done.fetch_add(looks, Ordering::Relaxed);
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
        hold::grow(hold, count, count + AHEAD, &["blocks.parquet"])?;
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

/// Publishes chunks and removes those of a second ago at a steady pace. Returns how many changes were visible when it was
/// stopped.
fn change(hold: &DataManagerImpl, count: u64, stop: &AtomicBool) -> Outcome<f64> {
    let before = hold.totals();
    let step = Duration::from_millis(10);
    let per_step = CHANGES_PER_SECOND / 100 / 2;
    let begin = Instant::now();
    let mut steps = 0;
    while !stop.load(Ordering::Relaxed) {
        for old in count + steps * per_step..count + (steps + 1) * per_step {
            hold.download_chunk(hold::resident(old + AHEAD, &["blocks.parquet"]))?;
            hold.delete_chunk(hold::resident_id(old));
        }
        steps += 1;
        std::thread::sleep((step * u32::try_from(steps)?).saturating_sub(begin.elapsed()));
    }
    let after = hold.totals();
    for number in count..count + AHEAD + steps * per_step {
        hold.delete_chunk(hold::resident_id(number));
        hold.wait_gone(hold::resident_id(number), hold::PATIENCE)?;
    }
    Ok((after.published - before.published + after.removed - before.removed) as f64)
}
