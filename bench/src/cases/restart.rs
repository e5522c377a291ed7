//! restart: from opening a data directory to the first find, in a fresh process after a crash, and the memory it takes.
//! Refuses to wait for the verification, which goes on behind the first find.

use std::fs;
use std::time::{Duration, Instant};

use crate::Outcome;
use crate::args::Options;
use crate::cases::find::affordable;
use crate::child;
use crate::report::{Figure, Goal, Report};
use crate::roles::{Restart, Restarted};
use crate::{hold, machine, stand_in};

/// Residents, and the time that is allowed to the first find.
const COUNTS: [(u64, f64); 3] = [(5_000, 10.0), (30_000, 30.0), (1_000_000, 300.0)];

pub(crate) fn run(options: &Options, report: &mut Report) -> Outcome<()> {
    let empty = hold::prepared(&options.memory, 0)?;
    for (full, goal_ms) in COUNTS {
        let count = affordable(options, options.scaled(full));
        let dir = hold::prepared(&options.memory, count)?;
        let snapshot = dir.join(".catalogue/snapshot");
        let (mut ours, mut raw, mut walk, mut memory) = (vec![], vec![], vec![], vec![]);
        for _ in 0..options.shared.rounds.max(5) {
            let base = once(options, &empty, 0)?;
            let restarted = once(options, &dir, count)?;
            ours.push(restarted.first_find_ms);
            let bytes = restarted.resident_bytes.saturating_sub(base.resident_bytes);
            memory.push(bytes as f64 / count as f64);
            let begin = Instant::now();
            std::hint::black_box(fs::read(&snapshot)?);
            raw.push(machine::ms_since(begin));
        }
        for _ in 0..if count > 100_000 { 1 } else { options.shared.rounds } {
            let begin = Instant::now();
            std::hint::black_box(stand_in::stored_bytes(&dir));
            walk.push(machine::ms_since(begin));
        }
        let name = format!("open to first find, {count} chunks");
        report.add(Figure::new("restart", name, "loghold", "ms", &ours).goal(Goal::AtMost(goal_ms)));
        let name = format!("read the snapshot, {count} chunks");
        report.add(Figure::new("restart", name, "raw limit", "ms", &raw));
        let name = format!("walk the directories, {count} chunks");
        report.add(Figure::new("restart", name, "as others start", "ms", &walk));
        let name = format!("memory for each chunk, {count} chunks");
        let figure = Figure::new("restart", name, "loghold", "bytes", &memory);
        report.add(if full == 1_000_000 { figure.goal(Goal::AtMost(128.0)) } else { figure });
    }
    Ok(())
}

fn once(options: &Options, dir: &std::path::Path, count: u64) -> Outcome<Restarted> {
    let spec = Restart { data_dir: dir.to_path_buf(), count };
    let run = child::run(child::own("restart", &spec, &options.shared.dir)?, None, Duration::from_secs(120))?;
    Ok(serde_json::from_str(&run.output)?)
}
