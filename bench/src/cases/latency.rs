//! latency: from the last unpin to the unlink, from a deletion to the end of its download, and what a kill costs.
//! Refuses to ask the library alone: files, connections and bytes are looked at from outside.

use std::time::{Duration, Instant};

use data_manager::data_chunk::DataChunkRef;
use origin::{Link, Origin};

use crate::Outcome;
use crate::args::Options;
use crate::child::{self, Server};
use crate::chunks::{self, Chunk};
use crate::report::{Figure, Goal, Report};
use crate::roles::{Fetch, Fetched};
use crate::{hold, machine};

const TRIALS: usize = 30;
const KILLED_BYTES: u64 = 400_000_000;
/// What the goal counts in. A download is recorded in smaller parts.
const PART_BYTES: u64 = 4 << 20;

pub(crate) fn run(options: &Options, report: &mut Report) -> Outcome<()> {
    if options.wants("unpin") {
        unpin(options, report)?;
    }
    if options.wants("cancel") {
        cancel(options, report)?;
    }
    if options.wants("kill") {
        kill(options, report)?;
    }
    Ok(())
}

fn unpin(options: &Options, report: &mut Report) -> Outcome<()> {
    let dir = options.shared.dir.join("latency");
    machine::fresh_dir(&dir)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let chunks: Vec<Chunk> = (0..TRIALS as u64).map(|number| Chunk::equal(number, 20_000)).collect();
    let origin = runtime.block_on(Origin::start(chunks::site(&chunks)))?;
    let hold = hold::open(&dir)?;
    let (mut unlinked, mut gone) = (Vec::new(), Vec::new());
    for chunk in &chunks {
        hold.download_chunk(chunk.descriptor(&origin.url("")))?;
        let pin = hold.wait_chunk(chunk.id(), hold::PATIENCE)?;
        let path = pin.path().to_path_buf();
        hold.delete_chunk(chunk.id());
        // The intent is written meanwhile; what is measured is what the pin held back.
        machine_pause();
        if !path.exists() {
            return Err("a pinned chunk was unlinked".into());
        }
        let begin = Instant::now();
        drop(pin);
        while path.exists() {
            std::thread::yield_now();
        }
        unlinked.push(machine::ms_since(begin));
        hold.wait_gone(chunk.id(), hold::PATIENCE)?;
        gone.push(machine::ms_since(begin));
    }
    hold.close();
    report
        .add(Figure::new("latency", "unpin to unlink", "loghold", "ms", &unlinked).goal(Goal::AtMost(10.0)));
    report.add(Figure::new("latency", "unpin to all files removed", "loghold", "ms", &gone));
    machine::remove_dir(&dir)
}

fn machine_pause() {
    std::thread::sleep(Duration::from_millis(50));
}

fn cancel(options: &Options, report: &mut Report) -> Outcome<()> {
    let dir = options.shared.dir.join("latency");
    machine::fresh_dir(&dir)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let chunks: Vec<Chunk> = (0..TRIALS as u64).map(|number| Chunk::real(number, 400_000_000)).collect();
    let link = Link { bytes_per_second_total: 100_000_000, ..Link::default() };
    let origin = runtime.block_on(Origin::start(chunks::site(&chunks).link(link)))?;
    let hold = hold::open(&dir)?;
    let (mut stopped, mut gone) = (Vec::new(), Vec::new());
    for chunk in &chunks {
        let sent = origin.bytes_sent();
        hold.download_chunk(chunk.descriptor(&origin.url("")))?;
        runtime.block_on(origin.wait_for_bytes(sent + 10_000_000));
        let begin = Instant::now();
        hold.delete_chunk(chunk.id());
        while hold.totals().connections > 0 {
            std::thread::yield_now();
        }
        stopped.push(machine::ms_since(begin));
        hold.wait_gone(chunk.id(), hold::PATIENCE)?;
        gone.push(machine::ms_since(begin));
    }
    hold.close();
    report.add(
        Figure::new("latency", "cancel to no request open", "loghold", "ms", &stopped)
            .goal(Goal::AtMost(20.0)),
    );
    report.add(Figure::new("latency", "cancel to nothing staged", "loghold", "ms", &gone));
    machine::remove_dir(&dir)
}

fn kill(options: &Options, report: &mut Report) -> Outcome<()> {
    let dir = options.shared.dir.join("latency");
    let chunk = Chunk::real(1, options.scaled(KILLED_BYTES));
    let half = chunk.bytes() / 2;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let (mut again, mut over) = (Vec::new(), Vec::new());
    for _ in 0..options.shared.rounds {
        machine::fresh_dir(&dir)?;
        let link = Link { bytes_per_second_total: 100_000_000, ..Link::default() };
        let origin =
            runtime.block_on(Origin::start(chunks::site(std::slice::from_ref(&chunk)).link(link)))?;
        let spec = Fetch {
            data_dir: dir.join("hold"),
            prefix: origin.url(""),
            chunks: vec![chunk.clone()],
            is_first_come: false,
        };
        let command = child::own("fetch", &spec, &dir)?;
        let mut silent = command;
        silent.stdout(std::process::Stdio::null());
        let first = Server::spawned(silent)?;
        runtime.block_on(origin.wait_for_bytes(half));
        first.kill()?;
        let run = child::run(child::own("fetch", &spec, &dir)?, None, hold::PATIENCE)?;
        let fetched: Fetched = serde_json::from_str(&run.output)?;
        again.push(fetched.fetched_bytes as f64 / chunk.bytes() as f64);
        // What the kernel had taken of the origin and nobody received is in this as well.
        let twice = (half + fetched.fetched_bytes).saturating_sub(chunk.bytes());
        over.push(twice as f64 / PART_BYTES as f64);
        machine::remove_dir(&dir)?;
    }
    let files = chunk.files.len() as f64;
    report.add(Figure::new(
        "latency",
        "kill -9 at half: fetched after the start",
        "loghold",
        "of all",
        &again,
    ));
    let figure = Figure::new("latency", "kill -9 at half: parts fetched twice", "loghold", "parts", &over);
    report.add(figure.goal(Goal::AtMost(files)).note("goal: one part of 4 MiB for each file"));
    Ok(())
}
