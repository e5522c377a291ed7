//! Tests of the group commit under a scheduler that tries interleavings: the log is the real one, on the simulated disk.
//! Refuses real threads and time; the schedule of a failure is printed, and can be replayed with `shuttle::replay`.

use std::time::SystemTime;

use host::sim::{ManualClock, SimDisk};
use shuttle::rand::RngCore;

use super::*;
use crate::commit::CommitterSeat;
use crate::options::WhenFull;
use crate::parameters::Parameters;

/// Schedules that each story is told in.
const SCHEDULES: usize = 1_000;
/// Turns at which the scheduler that looks for rare orders changes its mind.
const DEPTH: usize = 4;
const TYPE: TypeNo = TypeNo(7);

type Acknowledged = Vec<(TransId, Vec<u8>)>;

/// A log, its disk, and what was acknowledged as durable.
#[derive(Clone)]
struct World {
    disk: Arc<SimDisk>,
    log: Arc<Log>,
    acknowledged: Arc<crate::sync::Mutex<Acknowledged>>,
}

fn options() -> Options {
    let parameters = Parameters { max_size_data_file: 4096, ..Parameters::format_2() };
    Options {
        parameters: Some(parameters),
        threads: Threads::None,
        batch_bytes_max: 4096,
        in_flight_bytes_max: 16 << 10,
        ..Options::default()
    }
}

fn open(disk: &SimDisk, options: Options) -> Log {
    let clock = ManualClock::new(SystemTime::UNIX_EPOCH).clock();
    Log::open_on(&disk.disk(), &clock, options).expect("the log opens")
}

impl World {
    fn new(options: Options) -> World {
        // What a power cut leaves of unsynced writes is another thing in each schedule.
        let disk = Arc::new(SimDisk::new(shuttle::rand::thread_rng().next_u64()));
        let log = open(&disk, options);
        // Its first file is there from now on.
        let id = log.append(TYPE, b"first").expect("the disk is well");
        let world = World { disk, log: Arc::new(log), acknowledged: Arc::default() };
        world.acknowledge(id, b"first".to_vec());
        world
    }

    /// Does something in a thread.
    fn spawn(&self, work: impl FnOnce(World) + Send + 'static) -> thread::JoinHandle<()> {
        let world = self.clone();
        thread::spawn(move || work(world))
    }

    /// A producer: each record is durable when its append returns, unless the disk has failed.
    fn producer(&self, name: u8, count: u8) -> thread::JoinHandle<()> {
        self.spawn(move |world| {
            for number in 0..count {
                let bytes = vec![name, number];
                let appended = world.log.append(TYPE, &bytes);
                let is_known = matches!(appended, Ok(_) | Err(Error::Poisoned(_) | Error::Io(_)));
                assert!(is_known, "producer {name}: {appended:?}");
                let Ok(id) = appended else { return };
                world.acknowledge(id, bytes);
            }
        })
    }

    fn acknowledge(&self, id: TransId, bytes: Vec<u8>) {
        self.acknowledged.lock().expect("no test panics in it").push((id, bytes));
    }

    /// The committer of the log's own, in a thread of the scheduler.
    fn committer(&self) -> thread::JoinHandle<()> {
        let seat = Arc::new(CommitterSeat::default());
        let (commit, there) = (Arc::clone(&self.log.inner.commit), Arc::clone(&seat));
        let handle = thread::spawn(move || commit.serve(&there));
        self.log.inner.commit.employ(handle.thread().clone(), seat);
        handle
    }

    /// Cuts the power at some moment. What is acknowledged later is not counted: the program is gone.
    fn cutter(&self) -> thread::JoinHandle<Acknowledged> {
        let world = self.clone();
        thread::spawn(move || {
            thread::yield_now();
            let acknowledged = world.acknowledged.lock().expect("no test panics in it");
            world.disk.crash();
            acknowledged.clone()
        })
    }

    /// Cuts the power, opens the log again, and holds it against what was acknowledged; returns all that is there.
    fn assert_kept(&self, acknowledged: &[(TransId, Vec<u8>)]) -> Vec<Vec<u8>> {
        self.disk.crash();
        let log = open(&self.disk, options());
        let records: Vec<_> = log.scan(..).map(|record| record.expect("readable")).collect();
        for (expected, record) in (1..).zip(&records) {
            assert_eq!(record.id.get(), expected, "there is a hole");
        }
        for (id, bytes) in acknowledged {
            let found = log.read(*id).expect("readable").map(|record| record.bytes);
            assert_eq!(found.as_ref(), Some(bytes), "record {id} is lost, or another's");
        }
        records.into_iter().map(|record| record.bytes).collect()
    }

    fn acknowledged(&self) -> Acknowledged {
        self.acknowledged.lock().expect("no test panics in it").clone()
    }
}

fn join<T>(threads: Vec<thread::JoinHandle<T>>) -> Vec<T> {
    threads.into_iter().map(|thread| thread.join().expect("it does not panic")).collect()
}

fn tell(story: impl Fn() + Copy + Send + Sync + 'static) {
    shuttle::check_random(story, SCHEDULES);
    shuttle::check_pct(story, SCHEDULES, DEPTH);
}

#[test]
fn producers_that_commit_together_are_all_acknowledged_once_and_durably() {
    tell(|| {
        let world = World::new(options());
        join(vec![world.producer(1, 2), world.producer(2, 2), world.producer(3, 2)]);
        let acknowledged = world.acknowledged();
        assert_eq!(acknowledged.len(), 7);
        assert_eq!(world.assert_kept(&acknowledged).len(), 7);
    });
}

#[test]
fn a_power_cut_at_any_moment_takes_nothing_that_was_acknowledged() {
    tell(|| {
        let world = World::new(options());
        let cutter = world.cutter();
        join(vec![world.producer(1, 2), world.producer(2, 2)]);
        let acknowledged = cutter.join().expect("it does not panic");
        world.assert_kept(&acknowledged);
    });
}

#[test]
fn records_in_memory_are_written_by_the_committer_and_read_by_all() {
    tell(|| {
        let world = World::new(options());
        let committer = world.committer();
        let put = |name: u8| {
            world.spawn(move |world| {
                for number in 0..2 {
                    let bytes = [name, number];
                    let ack = world.log.append_at(Level::Memory, TYPE, &bytes).expect("taken");
                    let found = world.log.read(ack.id).expect("readable").expect("there at once");
                    assert_eq!(found.bytes, bytes);
                }
            })
        };
        join(vec![put(1), put(2), world.producer(3, 1)]);
        world.log.sync().expect("the disk is well");
        world.log.inner.commit.close();
        join(vec![committer]);
        assert_eq!(world.assert_kept(&world.acknowledged()).len(), 6);
    });
}

#[test]
fn tickets_end_whoever_waits_for_them_and_whoever_leads() {
    tell(|| {
        let world = World::new(options());
        let committer = world.committer();
        let ticket = Arc::new(world.log.append_async(TYPE, b"ticket").expect("taken"));
        let wait = || {
            let ticket = Arc::clone(&ticket);
            world.spawn(move |world| {
                let appended = ticket.wait().expect("the disk is well");
                assert_eq!(appended.reached, Level::Disk);
                world.acknowledge(ticket.id().expect("it has a record"), b"ticket".to_vec());
            })
        };
        join(vec![wait(), wait(), world.producer(1, 1)]);
        world.log.inner.commit.close();
        join(vec![committer]);
        assert_eq!(world.assert_kept(&world.acknowledged()).len(), 3);
    });
}

#[test]
fn callers_that_are_relieved_are_acknowledged_while_the_log_is_closed() {
    tell(|| {
        let world = World::new(options());
        let committer = world.committer();
        world.log.inner.commit.relieve_callers();
        let closer = world.spawn(|world| {
            let ended = world.log.inner.close();
            assert!(ended.is_ok(), "the disk is well: {ended:?}");
        });
        let appender = |name: u8| {
            world.spawn(move |world| match world.log.append(TYPE, &[name]) {
                Ok(id) => world.acknowledge(id, vec![name]),
                Err(error) => assert!(matches!(error, Error::Closed), "{error:?}"),
            })
        };
        join(vec![appender(1), appender(2), appender(3), closer, committer]);
        let acknowledged = world.acknowledged();
        assert_eq!(world.assert_kept(&acknowledged).len(), acknowledged.len());
    });
}

#[test]
fn who_waits_for_room_gets_it() {
    tell(|| {
        // Room for two records at a time.
        let options = Options { in_flight_bytes_max: 8192, when_full: WhenFull::Wait, ..options() };
        let world = World::new(options);
        let committer = world.committer();
        let put = |name: u8| {
            world.spawn(move |world| {
                for number in 0..2 {
                    let level = if number == 0 { Level::Memory } else { Level::Os };
                    world.log.append_at(level, TYPE, &[name; 3000]).expect("taken in the end");
                }
            })
        };
        join(vec![put(1), put(2), put(3)]);
        world.log.sync().expect("the disk is well");
        world.log.inner.commit.close();
        join(vec![committer]);
        assert_eq!(world.assert_kept(&world.acknowledged()).len(), 7);
    });
}

#[test]
fn a_rollback_takes_what_is_behind_it_and_nothing_that_comes_later() {
    tell(|| {
        let world = World::new(options());
        let kept = world.acknowledged();
        let after = TransId::FIRST;
        let rollback = world.spawn(move |world| {
            world.log.truncate_after(Some(after)).expect("nothing is final");
            let id = world.log.append(TYPE, b"behind").expect("the disk is well");
            world.acknowledge(id, b"behind".to_vec());
        });
        join(vec![rollback, world.producer(1, 2), world.producer(2, 2)]);
        let found = world.assert_kept(&kept);
        assert!(found.iter().any(|bytes| bytes == b"behind"), "what came behind the rollback is lost");
    });
}

#[test]
fn a_follower_that_sleeps_is_woken_by_each_record_and_by_the_end() {
    tell(|| {
        let world = World::new(options());
        // No time passes here: one that is not woken sleeps for ever.
        let follower = world.spawn(|world| {
            let seen: Vec<u64> =
                world.log.follow(TransId::FIRST).map(|record| record.unwrap().id.get()).collect();
            assert_eq!(seen, [1, 2, 3]);
        });
        let stopped = world.log.follow(TransId::FIRST);
        let stop = stopped.stop_handle();
        let stopped = thread::spawn(move || stopped.count());
        join(vec![world.producer(1, 1), world.producer(2, 1), thread::spawn(move || stop.stop())]);
        join(vec![stopped]);
        assert!(world.log.inner.close().is_ok(), "the disk is well");
        join(vec![follower]);
    });
}

#[test]
fn a_sync_that_fails_is_told_to_all_that_wait_and_to_all_that_come() {
    tell(|| {
        let world = World::new(options());
        world.disk.fail_sync_next();
        join(vec![world.producer(1, 2), world.producer(2, 2)]);
        assert!(matches!(world.log.append(TYPE, b"later"), Err(Error::Poisoned(_))));
        assert_eq!(world.acknowledged().len(), 1, "that sync failed, and nothing may be trusted after it");
        world.assert_kept(&world.acknowledged());
    });
}
