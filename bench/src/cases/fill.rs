//! fill: how long a new chunk takes with more and more chunks already here, beside a stand-in for SQD's worker.
//! Refuses to compare on different servers, files or disks: both get the same chunks from the same origin.

use std::path::Path;
use std::time::{Duration, Instant};

use data_manager::data_manager::DataManagerImpl;
use origin::Origin;
use tokio::runtime::Runtime;

use crate::Outcome;
use crate::args::Options;
use crate::chunks::{self, Chunk};
use crate::report::{Figure, Goal, Report, median};
use crate::stand_in::StandIn;
use crate::{hold, machine};

const RESIDENTS: [u64; 5] = [0, 1_000, 5_000, 30_000, 100_000];

/// What SQD's own code took per new chunk in memory, in milliseconds, by residents.
const PUBLISHED_MS: [(u64, f64); 4] = [(0, 0.71), (1_000, 39.0), (5_000, 192.0), (30_000, 2_042.0)];

const FILE_BYTES: u64 = 20_000;
const NEW_CHUNKS: u64 = 100;
/// The stand-in gets as many new chunks as it manages in this time, of those we get.
const STAND_IN_TIME: Duration = Duration::from_secs(15);
const NAMES: [&str; 5] =
    ["blocks.parquet", "logs.parquet", "statediffs.parquet", "traces.parquet", "transactions.parquet"];

struct Trial {
    runtime: Runtime,
    origin: Origin,
    chunks: Vec<Chunk>,
}

pub(crate) fn run(options: &Options, report: &mut Report) -> Outcome<()> {
    let chunks: Vec<Chunk> =
        (10_000_000..10_000_000 + NEW_CHUNKS).map(|number| Chunk::equal(number, FILE_BYTES)).collect();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let origin = runtime.block_on(Origin::start(chunks::site(&chunks)))?;
    let trial = Trial { runtime, origin, chunks };
    if options.wants("memory") {
        in_memory(&trial, options, report)?;
    }
    if options.wants("disk") {
        let counts = [0, options.scaled(5_000)];
        on("disk", &options.shared.dir.join("fill"), &counts, &trial, options, report)?;
    }
    Ok(())
}

fn in_memory(trial: &Trial, options: &Options, report: &mut Report) -> Outcome<()> {
    let counts = RESIDENTS.map(|count| if count == 0 { 0 } else { options.scaled(count) });
    let theirs = on("memory", &options.memory.join("fill"), &counts, trial, options, report)?;
    let (Some(first), Some((count, last))) = (theirs.first(), theirs.get(3)) else { return Ok(()) };
    if options.shared.scale < 1.0 {
        return Ok(());
    }
    // Milliseconds for each thousand residents.
    let slope = (last - first.1) / *count as f64 * 1e3;
    let [(_, low), .., (published_count, high)] = PUBLISHED_MS;
    let published = (high - low) / published_count as f64 * 1e3;
    let figure = Figure::new("fill", "slope for 1,000 residents", "stand-in", "ms", &[slope])
        .beside(published, "as published")
        .note(format!(
            "published: {published:.0} ms on a machine with load average 16 to 23 (38 ms up to 5,000 residents). \
             The stand-in walks as the worker does, and the rest is the machine; within 20 % it stands for the worker"
        ));
    report.add(figure);
    Ok(())
}

/// Returns the stand-in's medians by residents.
fn on(
    what: &str,
    dir: &Path,
    counts: &[u64],
    trial: &Trial,
    options: &Options,
    report: &mut Report,
) -> Outcome<Vec<(u64, f64)>> {
    machine::fresh_dir(dir)?;
    let hold = hold::open(&dir.join("hold"))?;
    let mut stand_in = StandIn::new(&dir.join("stand-in"))?;
    let mut base = f64::NAN;
    let mut theirs_all = Vec::new();
    let mut here = 0;
    for &count in counts {
        hold::grow(&hold, here, count, &NAMES)?;
        stand_in.grow(count, &NAMES)?;
        here = here.max(count);
        machine::wait_until_idle();
        // One that does not count: connections, directories, caches.
        ours(&hold, trial)?;
        let (mut our_ms, mut their_ms) = (Vec::new(), Vec::new());
        for _ in 0..options.shared.rounds.max(5) {
            our_ms.push(ours(&hold, trial)?);
            if options.shared.has_rivals && their_ms.len() < options.shared.rounds {
                their_ms.push(theirs(&mut stand_in, trial, count)?);
            }
        }
        let label = format!("per new chunk, {count} here, {what}");
        let figure = Figure::new("fill", &label, "loghold", "ms", &our_ms);
        let figure = if count == 0 { figure } else { figure.beside_goal(base, "at 0", Goal::AtMost(1.05)) };
        if count == 0 {
            base = figure.median();
        }
        let our_median = figure.median();
        report.add(figure);
        if !their_ms.is_empty() {
            report
                .add(Figure::new("fill", &label, "stand-in", "ms", &their_ms).beside(our_median, "loghold"));
            theirs_all.push((count, median(&their_ms)));
        }
    }
    hold.close();
    drop(hold);
    machine::remove_dir(dir)?;
    Ok(theirs_all)
}

/// Asks for all new chunks, waits until they are ready, and takes them away again. Milliseconds for each.
fn ours(hold: &DataManagerImpl, trial: &Trial) -> Outcome<f64> {
    let mut watch = hold.watch();
    let ready = hold.totals().ready;
    let prefix = trial.origin.url("");
    let begin = Instant::now();
    for chunk in &trial.chunks {
        hold.download_chunk(chunk.descriptor(&prefix))?;
    }
    hold::wait_ready(hold, &mut watch, ready + NEW_CHUNKS)?;
    let ms = machine::ms_since(begin);
    for chunk in &trial.chunks {
        hold.delete_chunk(chunk.id());
    }
    for chunk in &trial.chunks {
        hold.wait_gone(chunk.id(), hold::PATIENCE)?;
    }
    Ok(ms / NEW_CHUNKS as f64)
}

fn theirs(stand_in: &mut StandIn, trial: &Trial, residents: u64) -> Outcome<f64> {
    let expected_ms = residents as f64 * 0.06 + 2.0;
    let affordable = (STAND_IN_TIME.as_secs_f64() * 1e3 / expected_ms) as usize;
    let chunks = trial.chunks.get(..affordable.clamp(5, trial.chunks.len())).unwrap_or_default();
    let prefix = trial.origin.url("");
    let begin = Instant::now();
    trial.runtime.block_on(stand_in.fetch(chunks, &prefix))?;
    let ms = machine::ms_since(begin);
    stand_in.drop_chunks(chunks)?;
    Ok(ms / chunks.len() as f64)
}
