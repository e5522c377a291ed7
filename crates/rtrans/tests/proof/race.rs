//! Real threads on one log: producers at all levels, tickets, readers and visitors at the same time.
//! Refuses to hang: a watchdog waits for the end of each scene, and fails when it does not come.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::sync_channel;
use std::thread;
use std::time::Duration;

use host::Clock;
use host::sim::{Fault, Random, SimDisk, Times};
use rtrans::{Batch, Error, Level, Log, Options, Threads, TransId, TypeNo, WhenFull};

use crate::kit::{id, seeds, small};

/// How long a scene may take at most. Each takes less than a second.
const PATIENCE: Duration = Duration::from_mins(2);

/// Runs a scene in a thread of its own, and waits for its end.
fn within_patience(what: &str, scene: impl FnOnce() + Send + 'static) {
    let (sender, receiver) = sync_channel(1);
    let running = thread::Builder::new().name("scene".to_owned()).spawn(move || {
        scene();
        sender.send(()).ok();
    });
    let running = running.unwrap();
    let ended = receiver.recv_timeout(PATIENCE);
    assert!(!matches!(ended, Err(std::sync::mpsc::RecvTimeoutError::Timeout)), "{what} hangs");
    if let Err(panic) = running.join() {
        eprintln!("{what}");
        std::panic::resume_unwind(panic);
    }
}

fn options(threads: Threads) -> Options {
    Options { threads, ..small(0) }
}

fn open(sim: &SimDisk, threads: Threads) -> Log {
    Log::open_on(&sim.disk(), &Clock::system(), options(threads)).unwrap()
}

/// What a producer was promised: which record, at which level, with which bytes.
type Promise = (u64, Level, Vec<u8>);

/// Appends in many ways until it is refused or has appended enough.
fn produce(log: &Log, seed: u64, count: u64) -> Vec<Promise> {
    let mut random = Random::new(seed);
    let mut promises = Vec::new();
    for number in 0..count {
        let mut bytes = format!("{seed} {number} ").into_bytes();
        bytes.resize(bytes.len() + usize::try_from(random.below(200)).unwrap(), b'x');
        let level = [Level::Memory, Level::Os, Level::Disk][usize::try_from(random.below(3)).unwrap()];
        let done = match random.below(4) {
            0 => log.append_async(TypeNo(1), &bytes).and_then(|ticket| {
                let appended = ticket.wait()?;
                assert_eq!(appended.first, ticket.id());
                Ok((appended.first.unwrap(), appended.reached))
            }),
            1 => log
                .append_batch(&Batch::new().push(TypeNo(1), &bytes).level(level))
                .map(|appended| (appended.first.unwrap(), appended.reached)),
            _ => log.append_at(level, TypeNo(1), &bytes).map(|ack| (ack.id, ack.reached)),
        };
        match done {
            Ok((id, reached)) => {
                if random.once_in(4) {
                    // Whoever has appended a record finds it, unless it was rolled back or trimmed meanwhile.
                    match log.read(id) {
                        Ok(_)
                        | Err(Error::Trimmed { .. } | Error::Io(_) | Error::Poisoned(_) | Error::Closed) => {}
                        Err(error) => panic!("record {id}: {error}"),
                    }
                }
                promises.push((id.get(), reached, bytes));
            }
            Err(Error::Closed | Error::Poisoned(_) | Error::Full { .. }) => break,
            Err(error) => panic!("{error}"),
        }
    }
    promises
}

/// Every promise is kept: ids are given once, and what was promised to be on disk is there.
fn assert_kept(sim: &SimDisk, promises: &[Promise], least: Level) {
    let log = open(sim, Threads::None);
    assert!(log.recovery().damaged.is_empty(), "{}", log.recovery());
    let mut ids: Vec<u64> = promises.iter().map(|(id, _, _)| *id).collect();
    ids.sort_unstable();
    assert!(ids.windows(2).all(|pair| pair[0] != pair[1]), "an id was given twice");
    for (number, reached, bytes) in promises {
        let found = log.read(id(*number)).unwrap();
        if *reached >= least {
            assert_eq!(
                found.map(|record| record.bytes).as_ref(),
                Some(bytes),
                "record {number} at {reached:?}"
            );
        }
    }
    let all: Vec<u64> = log.scan(..).map(|record| record.unwrap().id.get()).collect();
    assert_eq!(all, (1..=all.len() as u64).collect::<Vec<_>>(), "a hole or a repetition");
}

fn produce_all(log: &Log, seed: u64, threads: u64, count: u64) -> Vec<Promise> {
    thread::scope(|scope| {
        let producers: Vec<_> = (0..threads)
            .map(|thread| scope.spawn(move || produce(log, seed * 100 + thread, count)))
            .collect();
        producers.into_iter().flat_map(|producer| producer.join().unwrap()).collect()
    })
}

#[test]
fn producers_at_all_levels_get_ids_of_their_own_and_what_they_were_promised() {
    for seed in seeds(6) {
        for threads in [Threads::Own, Threads::None] {
            within_patience(&format!("seed {seed}, {threads:?}"), move || {
                let sim = SimDisk::new(seed);
                let log = open(&sim, threads);
                let promises = produce_all(&log, seed, 6, 150);
                assert_eq!(promises.len(), 900);
                sim.crash();
                drop(log);
                assert_kept(&sim, &promises, Level::Disk);
            });
        }
    }
}

#[test]
fn a_log_that_is_closed_while_many_append_keeps_what_it_promised() {
    for seed in seeds(8) {
        for threads in [Threads::Own, Threads::None] {
            within_patience(&format!("seed {seed}, {threads:?}"), move || {
                let sim = SimDisk::new(seed);
                let log = open(&sim, threads);
                let promises = thread::scope(|scope| {
                    let all = scope.spawn(|| produce_all(&log, seed, 4, 100_000));
                    let mut follow = log.follow(id(200));
                    assert!(follow.next_within(PATIENCE).unwrap().is_some(), "200 records come");
                    log.clone().close().unwrap();
                    all.join().unwrap()
                });
                drop(log);
                sim.crash();
                assert_kept(&sim, &promises, Level::Os);
            });
        }
    }
}

#[test]
fn a_failure_while_many_wait_reaches_all_of_them_and_takes_nothing_back() {
    for seed in seeds(12) {
        for threads in [Threads::Own, Threads::None] {
            within_patience(&format!("seed {seed}, {threads:?}"), move || {
                let sim = SimDisk::new(seed);
                let log = open(&sim, threads);
                sim.fail_call(sim.calls() + 300 + seed * 17, Fault::Eio, Times::Forever);
                let promises = produce_all(&log, seed, 6, 100_000);
                assert!(log.failure().is_some());
                sim.crash();
                drop(log);
                assert_kept(&sim, &promises, Level::Disk);
            });
        }
    }
}

#[test]
fn visitors_and_producers_do_not_keep_each_other_out() {
    for seed in seeds(6) {
        for threads in [Threads::Own, Threads::None] {
            within_patience(&format!("seed {seed}, {threads:?}"), move || {
                visit_among_producers(seed, threads);
            });
        }
    }
}

/// Rollbacks, trims, marks and looks, as fast as they go, while others append.
fn visit_among_producers(seed: u64, threads: Threads) {
    let sim = SimDisk::new(seed);
    let log = open(&sim, threads);
    let (is_over, visits) = (AtomicBool::new(false), AtomicU64::new(0));
    thread::scope(|scope| {
        let (log, is_over, visits) = (&log, &is_over, &visits);
        for visitor in 0..3u64 {
            scope.spawn(move || {
                let mut random = Random::new(seed * 10 + visitor);
                // Each at least once: on a busy machine the producers may be done before a visitor has a core.
                loop {
                    let last = log.last().map_or(0, TransId::get);
                    let done = match random.below(5) {
                        0 => log.truncate_after(TransId::new(last.saturating_sub(random.below(4)))),
                        1 => log.trim_before(id(last.saturating_sub(100).max(1))).map(drop),
                        2 => TransId::new(last.saturating_sub(150)).map_or(Ok(()), |id| log.finalize(id)),
                        3 => log.fence(visits.load(Ordering::Relaxed)),
                        _ => log.finalized().map(drop),
                    };
                    visits.fetch_add(1, Ordering::Relaxed);
                    match done {
                        Ok(())
                        | Err(
                            Error::BeyondEnd { .. }
                            | Error::Trimmed { .. }
                            | Error::Finalized { .. }
                            | Error::Fenced { .. },
                        ) => {}
                        Err(error) => panic!("a visitor fails with {error}"),
                    }
                    if is_over.load(Ordering::Acquire) {
                        return;
                    }
                }
            });
        }
        let producers: Vec<_> =
            (0..4).map(|number| scope.spawn(move || produce(log, seed * 100 + number, 100))).collect();
        let appended: Vec<_> = producers.into_iter().map(thread::ScopedJoinHandle::join).collect();
        is_over.store(true, Ordering::Release);
        assert!(appended.into_iter().all(|appended| appended.unwrap().len() == 100));
    });
    assert!(visits.load(Ordering::Relaxed) >= 3);
    let (first, last) = (log.first(), log.last());
    let before: Vec<Vec<u8>> = log.scan(..).map(|record| record.unwrap().bytes).collect();
    log.sync().unwrap();
    sim.crash();
    drop(log);
    let log = open(&sim, Threads::None);
    assert!(log.recovery().damaged.is_empty(), "{}", log.recovery());
    assert_eq!((log.first(), log.last()), (first, last));
    assert_eq!(log.scan(..).map(|record| record.unwrap().bytes).collect::<Vec<_>>(), before);
}

#[test]
fn producers_that_find_no_room_wait_for_it_and_are_let_in() {
    for seed in seeds(6) {
        for threads in [Threads::Own, Threads::None] {
            within_patience(&format!("seed {seed}, {threads:?}"), move || {
                let sim = SimDisk::new(seed);
                let options =
                    Options { in_flight_bytes_max: 8 << 10, when_full: WhenFull::Wait, ..options(threads) };
                let log = Log::open_on(&sim.disk(), &Clock::system(), options).unwrap();
                let tickets: u64 = thread::scope(|scope| {
                    let log = &log;
                    let producers: Vec<_> = (0..5)
                        .map(|number| {
                            scope.spawn(move || {
                                let bytes = vec![number; 700];
                                let put = |_| log.append_async(TypeNo(1), &bytes).unwrap();
                                let tickets: Vec<_> = (0..100).map(put).collect();
                                tickets.iter().map(|ticket| ticket.wait().unwrap().count).sum::<u64>()
                            })
                        })
                        .collect();
                    producers.into_iter().map(|producer| producer.join().unwrap()).sum()
                });
                assert_eq!(tickets, 500);
                assert_eq!(log.scan(..).count(), 500);
            });
        }
    }
}

#[test]
fn what_was_put_in_memory_is_seen_at_once_by_whoever_put_it() {
    for seed in seeds(4) {
        within_patience(&format!("seed {seed}"), move || {
            let sim = SimDisk::new(seed);
            let log = open(&sim, Threads::Own);
            let is_over = AtomicBool::new(false);
            thread::scope(|scope| {
                let (log, is_over) = (&log, &is_over);
                for _ in 0..3 {
                    scope.spawn(move || {
                        while !is_over.load(Ordering::Acquire) {
                            log.append(TypeNo(2), b"durable").unwrap();
                        }
                    });
                }
                let seen = scope.spawn(move || {
                    for number in 0..500u64 {
                        let id = log.append_at(Level::Memory, TypeNo(1), &number.to_le_bytes()).unwrap().id;
                        let found = log.read(id).unwrap();
                        assert_eq!(found.map(|record| record.bytes), Some(number.to_le_bytes().to_vec()));
                    }
                });
                let seen = seen.join();
                is_over.store(true, Ordering::Release);
                seen.unwrap();
            });
        });
    }
}
