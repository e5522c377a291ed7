//! poison: good chunks among three times as many that answer 404, 500 or not at all.
//! Refuses to give the good ones a head start: the bad ones are asked for first.

use std::time::Instant;

use origin::{Fault, Link, Origin, Plan, Site};

use crate::Outcome;
use crate::args::Options;
use crate::chunks::{self, Chunk};
use crate::report::{Figure, Goal, Report, median};
use crate::{hold, machine};

const GOOD: u64 = 100;
const BAD: u64 = 300;
const CHUNK_BYTES: u64 = 3_000_000;

/// Slow enough that the link and not this machine is the limit.
const LINK_BYTES_PER_SECOND: u64 = 60_000_000;

/// How bad chunks are bad. One kind alone is measured only when it is asked for by name.
fn kinds() -> [(&'static str, Vec<Fault>); 4] {
    [
        ("mixed", vec![Fault::NotFound, Fault::Status(500), Fault::Hang]),
        ("404", vec![Fault::NotFound]),
        ("500", vec![Fault::Status(500)]),
        ("hanging", vec![Fault::Hang]),
    ]
}

pub(crate) fn run(options: &Options, report: &mut Report) -> Outcome<()> {
    let good: Vec<Chunk> = (0..options.scaled(GOOD)).map(|number| Chunk::real(number, CHUNK_BYTES)).collect();
    let bad: Vec<Chunk> = (0..options.scaled(BAD)).map(|number| Chunk::real(1_000 + number, 1_000)).collect();
    let kinds: Vec<_> = kinds()
        .into_iter()
        .filter(|(name, faults)| {
            if faults.len() > 1 {
                options.only.is_none()
            } else {
                options.only.is_some() && options.wants(name)
            }
        })
        .collect();
    let (mut clean, mut poisoned) = (Vec::new(), vec![Vec::new(); kinds.len()]);
    for _ in 0..options.shared.rounds {
        clean.push(once(options, &good, &[], &[])?);
        for ((_, faults), poisoned) in kinds.iter().zip(&mut poisoned) {
            poisoned.push(once(options, &good, &bad, faults)?);
        }
    }
    let ideal: u64 = good.iter().map(Chunk::bytes).sum();
    let ideal_s = ideal as f64 / LINK_BYTES_PER_SECOND as f64;
    let base = median(&clean);
    report.add(
        Figure::new("poison", "the good chunks alone", "loghold", "s", &clean).beside(ideal_s, "the link"),
    );
    for ((name, _), poisoned) in kinds.iter().zip(&poisoned) {
        let name = format!("the same among {} bad ones, {name}", bad.len());
        let figure = Figure::new("poison", name, "loghold", "s", poisoned);
        report.add(figure.beside_goal(base, "alone", Goal::AtMost(1.05)));
    }
    Ok(())
}

/// Seconds until all good chunks are ready.
fn once(options: &Options, good: &[Chunk], bad: &[Chunk], faults: &[Fault]) -> Outcome<f64> {
    let dir = options.shared.dir.join("poison");
    machine::fresh_dir(&dir)?;
    let link = Link { bytes_per_second_total: LINK_BYTES_PER_SECOND, ..Link::default() };
    let all: Vec<Chunk> = good.iter().chain(bad).cloned().collect();
    let site: Site = chunks::site(&all).link(link);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let origin = runtime.block_on(Origin::start(site))?;
    for (chunk, fault) in bad.iter().zip(faults.iter().cycle()) {
        origin.set_fault(&format!("{:06}/", chunk.number), Plan::always(fault.clone()));
    }
    let hold = hold::open(&dir)?;
    let prefix = origin.url("");
    let begin = Instant::now();
    for chunk in bad.iter().chain(good) {
        hold.download_chunk(chunk.descriptor(&prefix))?;
    }
    for chunk in good {
        hold.wait_chunk(chunk.id(), hold::PATIENCE)?;
    }
    let seconds = begin.elapsed().as_secs_f64();
    hold.close();
    machine::remove_dir(&dir)?;
    Ok(seconds)
}
