//! order: the mean time until a chunk is ready, in the library's order and in that of the requests.
//! Refuses to change anything but the order: both run on the same library, link and sizes.

use crate::Outcome;
use crate::args::Options;
use crate::child;
use crate::chunks::Chunk;
use crate::report::{Figure, Goal, Report};
use crate::roles::{Fetch, Fetched, Serve};
use crate::{hold, machine};

const CHUNKS: u64 = 40;
/// A twentieth of 20 to 800 MB, what real chunks have.
const SMALLEST_BYTES: f64 = 1e6;
const LARGEST_BYTES: f64 = 40e6;

pub(crate) fn run(options: &Options, report: &mut Report) -> Outcome<()> {
    let dir = options.shared.dir.join("order");
    let (mut ours, mut first_come, mut totals) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..options.shared.rounds as u64 {
        let chunks = skewed(round, options.shared.scale);
        let served = Serve { chunks: chunks.clone(), is_far: true };
        for is_first_come in [false, true] {
            machine::fresh_dir(&dir)?;
            let server = child::Server::greeted(child::own("serve", &served, &dir)?)?;
            let spec = Fetch {
                data_dir: dir.join("hold"),
                prefix: server.greeting.clone(),
                chunks: chunks.clone(),
                is_first_come,
            };
            let run = child::run(child::own("fetch", &spec, &dir)?, None, hold::PATIENCE)?;
            let fetched: Fetched = serde_json::from_str(&run.output)?;
            let mean = fetched.ready_ms.iter().sum::<f64>() / fetched.ready_ms.len() as f64 / 1e3;
            if is_first_come {
                first_come.push(mean)
            } else {
                ours.push(mean)
            }
            totals.push(run.wall_s);
        }
    }
    machine::remove_dir(&dir)?;
    let base = Figure::new("order", "mean time to ready, in order of request", "loghold", "s", &first_come);
    let first_come_s = base.median();
    report.add(base);
    let figure = Figure::new("order", "mean time to ready", "loghold", "s", &ours);
    report.add(figure.beside_goal(first_come_s, "in order", Goal::AtMost(0.55)));
    report.add(Figure::new("order", "time until all are ready", "loghold", "s", &totals));
    Ok(())
}

/// Sizes that are spread evenly over their logarithm, in random order.
fn skewed(round: u64, scale: f64) -> Vec<Chunk> {
    let mut bytes = vec![0; CHUNKS as usize * 4];
    origin::generate(1_000 + round, 0, &mut bytes);
    let mut sizes: Vec<(u32, f64)> = Vec::new();
    for (place, word) in bytes.chunks(4).enumerate() {
        let random = word.iter().fold(0u32, |sum, &byte| sum << 8 | u32::from(byte));
        let share = place as f64 / (CHUNKS - 1) as f64;
        sizes.push((random, SMALLEST_BYTES * (LARGEST_BYTES / SMALLEST_BYTES).powf(share)));
    }
    sizes.sort_unstable_by_key(|(random, _)| *random);
    (0..).zip(sizes).map(|(number, (_, size))| Chunk::real(number, (size * scale) as u64)).collect()
}
