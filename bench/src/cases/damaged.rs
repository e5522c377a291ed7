//! damaged: a fifth of all answers wrong, in nine ways; are all files right, and how long does it take?
//! Refuses to believe exit codes: every file is read and compared.

use std::path::Path;
use std::time::Duration;

use origin::{Fault, Link, Origin, Plan, RetryAfter};

use crate::Outcome;
use crate::args::Options;
use crate::child::{self, Run};
use crate::chunks::{self, Chunk};
use crate::report::{Figure, Goal, Report, median};
use crate::roles::Fetch;
use crate::{machine, rivals};

const CHUNKS: u64 = 20;
const CHUNK_BYTES: u64 = 12_000_000;
/// Slow enough that the link and not this machine is the limit.
const LINK_BYTES_PER_SECOND: u64 = 60_000_000;
/// Longer than this is not finished.
const TIME_MAX: Duration = Duration::from_secs(90);
/// What a 503 asks for.
const RETRY_AFTER_S: u64 = 1;

/// The ways in which answers are wrong; each strikes 2 % of them, the first 4 %.
fn faults() -> [Fault; 9] {
    [
        Fault::StatusRetryAfter(503, RetryAfter::Seconds(RETRY_AFTER_S)),
        Fault::Reset { after: 10_000 },
        Fault::Close { after: 20_000 },
        Fault::Stall { after: 5_000, for_ms: 600_000 },
        Fault::Drip { bytes_per_second: 500 },
        Fault::FlipByte { at: 4_321 },
        Fault::Short,
        Fault::IgnoreRange,
        Fault::ErrorPage,
    ]
}

pub(crate) fn run(options: &Options, report: &mut Report) -> Outcome<()> {
    let chunk_bytes = options.scaled(CHUNK_BYTES);
    let chunks: Vec<Chunk> =
        (0..CHUNKS).map(|number| Chunk::real(number, chunk_bytes).with_digests()).collect();
    let mut whos = vec!["loghold"];
    if options.shared.has_rivals {
        whos.extend(rivals::HTTP);
    }
    let files: usize = chunks.iter().map(|chunk| chunk.files.len()).sum();
    let (mut clean, mut wall, mut right) =
        (Vec::new(), vec![Vec::new(); whos.len()], vec![Vec::new(); whos.len()]);
    for round in 0..options.shared.rounds as u64 {
        clean.extend(once("loghold", &chunks, None, options)?.map(|(run, _)| run.wall_s));
        for (who, (wall, right)) in whos.iter().zip(wall.iter_mut().zip(right.iter_mut())) {
            if let Some((run, count)) = once(who, &chunks, Some(round), options)? {
                wall.push(run.wall_s);
                right.push(count as f64);
            }
        }
    }
    let base = median(&clean);
    report.add(Figure::new("damaged", "all answers sound", "loghold", "s", &clean));
    for (who, (wall, right)) in
        whos.iter().zip(wall.iter().zip(&right)).filter(|(_, (wall, _))| !wall.is_empty())
    {
        let figure = Figure::new("damaged", format!("right files of {files}"), who, "files", right);
        let worst = right.iter().copied().fold(f64::INFINITY, f64::min);
        let figure = if *who == "loghold" { figure.goal(Goal::AtLeast(files as f64)) } else { figure };
        report.add(figure.note(format!("in the worst round {worst}")));
        let figure = Figure::new("damaged", "a fifth of the answers wrong", who, "s", wall);
        if *who == "loghold" {
            let figure = figure.beside_goal(base + RETRY_AFTER_S as f64, "clean + waits", Goal::AtMost(1.5));
            report.add(figure.note("a wait that was asked for is 1 s"));
        } else {
            report.add(figure.beside(base, "ours clean"));
        }
    }
    Ok(())
}

/// How it went, and how many files are right under their final names; `None` when the program is missing.
fn once(who: &str, chunks: &[Chunk], seed: Option<u64>, options: &Options) -> Outcome<Option<(Run, usize)>> {
    let dir = options.shared.dir.join("damaged");
    machine::fresh_dir(&dir)?;
    let link = Link { bytes_per_second_total: LINK_BYTES_PER_SECOND, ..Link::default() };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let origin = runtime.block_on(Origin::start(chunks::site(chunks).link(link)))?;
    if let Some(seed) = seed {
        // The longest prefix that strikes decides: each chunk has its own, so that listings stay sound.
        for chunk in chunks {
            for (place, fault) in (0u64..).zip(faults()) {
                let percent = if place == 0 { 4 } else { 2 };
                let plan = Plan::share(percent, seed * 1_000 + place * 31 + chunk.number, fault);
                origin.add_fault(&format!("{:06}/", chunk.number), plan);
            }
        }
    }
    let prefix = origin.url("");
    let to = dir.join("to");
    let command = if who == "loghold" {
        let spec = Fetch { data_dir: to.clone(), prefix, chunks: chunks.to_vec(), is_first_come: false };
        Some(child::own("fetch", &spec, &dir)?)
    } else {
        rivals::over_http(who, &prefix, chunks, &to)?
    };
    let Some(command) = command else { return Ok(None) };
    let run = child::run(command, None, TIME_MAX)?;
    let right = chunks.iter().map(|chunk| right_files(chunk, &to, who)).sum();
    machine::remove_dir(&dir)?;
    Ok(Some((run, right)))
}

fn right_files(chunk: &Chunk, to: &Path, who: &str) -> usize {
    let dir = if who == "loghold" { published(chunk, to) } else { to.join(format!("{:06}", chunk.number)) };
    chunk.files.iter().filter(|file| file.is_right(&dir.join(&file.name))).count()
}

/// Where the library keeps a chunk, as its documents say.
fn published(chunk: &Chunk, to: &Path) -> std::path::PathBuf {
    let first = chunk.number * chunks::BLOCKS;
    let hex = data_manager::data_chunk::hex_id;
    to.join(format!("dataset_id={}", hex(&chunks::DATASET)))
        .join(format!("first_block={first}"))
        .join(format!("last_block={}", first + chunks::BLOCKS - 1))
        .join(format!("chunk={}", hex(&chunk.id())))
}
