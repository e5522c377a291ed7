//! Whoever is measured, ourselves included, behind one small trait.
//! Refuses to guess: what a contestant can not do it does not claim.

use std::path::Path;
use std::time::{Duration, Instant};

use crate::Outcome;
use crate::args::Options;
use crate::machine::{find_program, seconds_since};
use crate::records::Records;

mod commitlog;
mod fjall;
pub(crate) mod group;
pub(crate) mod loghold;
mod nats;
mod okaywal;
mod raft_engine;
mod redb;
mod redis;
mod walrus;

/// The variable that tells walrus where to lie.
pub(crate) const WALRUS_DIR: &str = "WALRUS_DATA_DIR";

/// How many appends are made between two looks at the clock.
const SLICE: u64 = 512;

/// What a contestant can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ability {
    /// Append without a sync.
    Buffered,
    /// Append with a sync, from any number of threads.
    Durable,
    /// Keep many durable appends of one thread in flight.
    Pipelined,
    /// Read by number.
    Read,
    /// Read everything in order.
    Scan,
    /// Open what is there, and know how many records that are.
    Reopen,
}

/// What a contestant is opened for: some are set up differently.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    Buffered,
    Durable,
}

/// A contestant.
pub(crate) trait Rival {
    /// Its name and version.
    fn name(&self) -> &'static str;
    /// What it can do.
    fn abilities(&self) -> &'static [Ability];
    /// Opens what is in a directory.
    fn open(&self, dir: &Path, purpose: Purpose) -> Outcome<Box<dyn Peer>>;
}

/// An open log of a contestant.
pub(crate) trait Peer: Sync {
    /// Appends records from `from` on, one by one, without a sync.
    fn append_buffered(&mut self, _records: &Records, _from: u64, _count: u64) -> Outcome<()> {
        Err("can not append without a sync".into())
    }

    /// Hands what is appended to the operating system.
    fn flush(&mut self) -> Outcome<()> {
        Ok(())
    }

    /// Appends many records as fast as it likes, to be read later.
    fn fill(&mut self, records: &Records, count: u64) -> Outcome<()> {
        self.append_buffered(records, 0, count)?;
        self.flush()
    }

    /// Appends one record, and returns when it is on disk. Each thread has a number.
    fn append_durable(&self, _thread: usize, _bytes: &[u8]) -> Outcome<()> {
        Err("can not append with a sync".into())
    }

    /// Appends from one thread with at most `in_flight` records not yet on disk; how many records it were.
    fn append_pipelined(&self, _records: &Records, _in_flight: usize, _span: Duration) -> Outcome<u64> {
        Err("can not keep appends in flight".into())
    }

    /// Reads the records with these numbers, counted from 0; how many bytes they have.
    fn read_random(&mut self, _numbers: &[u64]) -> Outcome<u64> {
        Err("can not read by number".into())
    }

    /// Reads everything; how many records there are.
    fn scan(&mut self) -> Outcome<u64> {
        Err("can not read in order".into())
    }

    /// How many records it found when it was opened.
    fn found(&self) -> Outcome<u64> {
        Err("can not count".into())
    }
}

/// How fast a contestant appended durably.
#[derive(Debug)]
pub(crate) struct Durable {
    pub(crate) per_second: f64,
    /// Nanoseconds of each append.
    pub(crate) latencies: Vec<u32>,
}

/// The rivals that take part, without ourselves.
pub(crate) fn all(options: &Options, ability: Ability) -> Vec<Box<dyn Rival>> {
    if !options.shared.has_rivals {
        return Vec::new();
    }
    let mut rivals: Vec<Box<dyn Rival>> = vec![
        Box::new(raft_engine::RaftEngine),
        Box::new(okaywal::OkayWal),
        Box::new(fjall::Fjall),
        Box::new(walrus::Walrus),
        Box::new(commitlog::CommitLog),
        Box::new(redb::Redb),
    ];
    if let Some(program) = find_program("redis-server") {
        rivals.push(Box::new(redis::Redis { program }));
    }
    if let Some(program) = find_program("nats-server") {
        rivals.push(Box::new(nats::Nats::new(program)));
    }
    rivals.retain(|rival| {
        let is_wanted = options.who.as_ref().is_none_or(|who| rival.name().contains(who.as_str()));
        is_wanted && rival.abilities().contains(&ability)
    });
    rivals
}

/// Who is left out, and why.
pub(crate) fn left_out(options: &Options) -> Vec<&'static str> {
    let mut reasons = Vec::new();
    if !options.shared.has_rivals {
        return reasons;
    }
    if find_program("redis-server").is_none() {
        reasons.push("Redis Streams: left out, redis-server is not installed");
    }
    match find_program("nats-server") {
        None => reasons.push("NATS JetStream: left out, nats-server is not installed"),
        Some(program) => reasons.extend(nats::Nats::new(program).lacks()),
    }
    reasons
}

/// Records in a second, appended one by one without a sync until all are appended or the time is over.
pub(crate) fn buffered(peer: &mut dyn Peer, records: &Records, count: u64, limit: Duration) -> Outcome<f64> {
    let begin = Instant::now();
    let mut done = 0;
    while done < count && begin.elapsed() < limit {
        let slice = SLICE.min(count - done);
        peer.append_buffered(records, done, slice)?;
        done += slice;
    }
    peer.flush()?;
    Ok(done as f64 / seconds_since(begin))
}

/// Appends durably from some threads for a while.
pub(crate) fn durable(
    peer: &dyn Peer,
    records: &Records,
    threads: usize,
    span: Duration,
) -> Outcome<Durable> {
    let barrier = std::sync::Barrier::new(threads);
    let work = |thread: usize| -> Outcome<(Vec<u32>, f64)> {
        let mut latencies = Vec::new();
        barrier.wait();
        let begin = Instant::now();
        let mut number = thread as u64 * 131;
        let mut before = begin;
        while before.duration_since(begin) < span {
            peer.append_durable(thread, records.get(number))?;
            let now = Instant::now();
            latencies.push(u32::try_from((now - before).as_nanos()).unwrap_or(u32::MAX));
            before = now;
            number += 1;
        }
        Ok((latencies, (before - begin).as_secs_f64()))
    };
    let results: Vec<Outcome<(Vec<u32>, f64)>> = std::thread::scope(|scope| {
        let handles: Vec<_> = (0..threads)
            .map(|thread| {
                let work = &work;
                scope.spawn(move || work(thread))
            })
            .collect();
        let ended = handles.into_iter().map(|handle| handle.join());
        ended.map(|result| result.unwrap_or_else(|_| Err("it panicked".into()))).collect()
    });
    let (mut latencies, mut longest) = (Vec::new(), 0.0_f64);
    for result in results {
        let (mut some, seconds) = result?;
        latencies.append(&mut some);
        longest = longest.max(seconds);
    }
    Ok(Durable { per_second: latencies.len() as f64 / longest, latencies })
}
