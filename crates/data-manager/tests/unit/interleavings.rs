//! Tests of pins, deletions and publications under a scheduler that tries interleavings: the catalogue, its state, its
//! snapshots and its pins are the real ones, and the test is the loop, the publisher and the disk.
//! Refuses real threads and time; the schedule of a failure is printed, and can be replayed with `shuttle::replay`.

use std::collections::HashSet;
use std::path::Path;
use std::time::SystemTime;

use host::TimeSource;
use shuttle::thread;
use url::Url;

use super::*;
use crate::assignment::Priority;
use crate::file_spec::{CheckedChunk, FileSpec};
use crate::sync::Mutex;

const ID: ChunkId = [3; 32];
const DATASET: DatasetId = [1; 32];
/// Schedules that each story is told in.
const SCHEDULES: usize = 3_000;
/// Turns at which the scheduler that looks for rare orders changes its mind.
const DEPTH: usize = 4;

/// Time stands still.
#[derive(Debug)]
struct Still;

impl TimeSource for Still {
    fn monotonic(&self) -> Duration {
        Duration::from_secs(1)
    }

    fn wall(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH
    }
}

/// What lies on the disk: publications by their numbers.
#[derive(Debug, Default)]
struct Files {
    there: HashSet<u64>,
}

#[derive(Debug, Clone)]
struct World {
    catalogue: Arc<DataCatalogue>,
    bell: Arc<Bell>,
    files: Arc<Mutex<Files>>,
    /// Nobody calls any more.
    is_over: Arc<AtomicBool>,
}

fn record(sequence: u64) -> Record {
    Record {
        id: ID,
        dataset_id: DATASET,
        block_range: 0..10,
        bytes: 1,
        names: "a.parquet".into(),
        dir: 0,
        sequence,
        foreign_path: None,
    }
}

fn wanted() -> Wanted {
    let url = Url::parse("https://data.example/a").expect("a URL");
    let file = FileSpec { name: "a.parquet".to_string(), url, size: Some(1), sha256: None, blake3: None };
    let chunk = CheckedChunk { id: ID, dataset_id: DATASET, block_range: 0..10, files: vec![file] };
    Wanted { chunk: Arc::new(chunk), priority: Priority::default() }
}

impl World {
    /// A hold that has the chunk, as publication 1.
    fn new() -> World {
        let bell = Arc::new(Bell::default());
        let wake: Arc<dyn Wake> = Arc::<Bell>::clone(&bell);
        let mut places = Places::new(vec![Arc::from(Path::new("/data"))], wake);
        let ready = places.resident(&record(1)).into_iter().collect();
        let found = Found { ready, ..Found::default() };
        let rooms = vec![Room::new("/data".into(), None, 1 << 40)];
        let clock = Clock::custom(Arc::new(Still));
        let catalogue = DataCatalogue::new((Arc::clone(&bell), places), rooms, found, (0, 4), clock);
        let files = Files { there: HashSet::from([1]) };
        World {
            catalogue: Arc::new(catalogue),
            bell,
            files: Arc::new(Mutex::new(files)),
            is_over: Arc::default(),
        }
    }

    fn files(&self) -> MutexGuard<'_, Files> {
        self.files.lock().expect("no test panics in it")
    }

    /// Does what the state says, as the loop and its tasks do, until nobody calls any more and nothing is left to do.
    fn run_loop(&self) {
        loop {
            let is_over = self.is_over.load(Ordering::Acquire);
            while let Some(action) = self.catalogue.next_action() {
                self.act(action);
            }
            let status = self.catalogue.status(&ID);
            let is_settled = status.is_none_or(|status| status.is_wanted && status.path.is_some());
            if is_over && is_settled {
                return;
            }
            // A wake that is lost ends here: the scheduler finds that nobody can go on.
            shuttle::future::block_on(self.bell.rung());
        }
    }

    fn act(&self, action: Action) {
        match action {
            Action::Note(intents) => self.catalogue.noted(&intents),
            Action::Remove { task, record, .. } => {
                assert!(self.files().there.remove(&record.sequence), "removed twice");
                thread::yield_now();
                self.catalogue.removed(ID, task);
            }
            Action::Download { task, .. } => {
                let sequence = self.catalogue.next_sequence();
                assert!(self.files().there.is_empty(), "published over another");
                self.files().there.insert(sequence);
                thread::yield_now();
                self.catalogue.published(task, &record(sequence));
            }
            Action::Discard { task, .. } => self.catalogue.removed(ID, task),
            Action::Lease(work) => unreachable!("nobody takes a lease in these stories: {work:?}"),
        }
    }

    /// Finds the chunk and reads it for a while.
    fn read(&self) {
        let Some(pin) = self.catalogue.find(&DATASET, 5) else { return };
        let sequence = pin.resident().sequence();
        assert!(self.files().there.contains(&sequence), "found without its files");
        let second = pin.clone();
        drop(pin);
        thread::yield_now();
        assert!(self.files().there.contains(&sequence), "its files went under a pin");
        drop(second);
    }

    /// Runs these beside the loop to their end, and returns when the loop has nothing left to do.
    fn story(&self, tellers: Vec<fn(&World)>) {
        let (world, own) = (self.clone(), self.clone());
        let looping = thread::spawn(move || own.run_loop());
        let tellers = tellers.into_iter().map(|tell| {
            let world = self.clone();
            thread::spawn(move || tell(&world))
        });
        let tellers: Vec<_> = tellers.collect();
        for teller in tellers {
            teller.join().expect("it tells its story");
        }
        world.is_over.store(true, Ordering::Release);
        world.bell.ring();
        looping.join().expect("it ends");
    }
}

/// Each story in schedules by chance, and in schedules made of few changes of mind, which find rarer orders.
fn told_in_many_orders(tellers: &[fn(&World)], check: fn(&World)) {
    let tellers = tellers.to_vec();
    let story = move || {
        let world = World::new();
        world.story(tellers.clone());
        check(&world);
    };
    shuttle::check_random(story.clone(), SCHEDULES);
    shuttle::check_pct(story, SCHEDULES, DEPTH);
}

#[test]
fn a_deleted_chunk_keeps_its_files_for_its_readers_and_loses_them_after_the_last() {
    let read: fn(&World) = World::read;
    let delete: fn(&World) = |world| assert!(world.catalogue.unwant(ID));
    told_in_many_orders(&[read, read, delete], |world| {
        assert!(world.catalogue.find(&DATASET, 5).is_none());
        assert!(world.files().there.is_empty(), "its last pin was dropped");
    });
}

#[test]
fn a_chunk_that_is_deleted_and_asked_for_again_ends_ready_with_one_copy_of_its_files() {
    let read: fn(&World) = |world| {
        world.read();
        world.read();
    };
    let change: fn(&World) = |world| {
        world.catalogue.unwant(ID);
        world.catalogue.want(wanted()).unwrap();
    };
    told_in_many_orders(&[read, read, change], |world| {
        let pin = world.catalogue.find(&DATASET, 5).expect("the last call asked for it");
        assert_eq!(world.files().there, HashSet::from([pin.resident().sequence()]));
    });
}

#[test]
fn a_chunk_whose_deletion_came_last_is_gone_whatever_was_called_before() {
    let read: fn(&World) = World::read;
    let change: fn(&World) = |world| {
        world.catalogue.unwant(ID);
        world.catalogue.want(wanted()).unwrap();
        world.catalogue.unwant(ID);
    };
    told_in_many_orders(&[read, read, change], |world| {
        assert!(!world.catalogue.is_known(&ID) && world.catalogue.find(&DATASET, 5).is_none());
        assert!(world.files().there.is_empty());
    });
}

#[test]
fn who_waits_for_a_chunk_is_told_of_it() {
    let wait: fn(&World) = |world| {
        let gone = |catalogue: &DataCatalogue| (!catalogue.is_known(&ID)).then_some(());
        assert!(world.catalogue.wait_for(Duration::MAX, gone).is_some());
    };
    let read: fn(&World) = World::read;
    let delete: fn(&World) = |world| assert!(world.catalogue.unwant(ID));
    told_in_many_orders(&[wait, read, delete], |world| assert!(!world.catalogue.is_known(&ID)));
}

#[test]
fn calls_that_come_together_end_in_one_order_that_readers_and_the_disk_agree_on() {
    let change: fn(&World) = |world| {
        world.catalogue.unwant(ID);
        world.catalogue.want(wanted()).unwrap();
        world.catalogue.unwant(ID);
    };
    let ask: fn(&World) = |world| world.catalogue.want(wanted()).unwrap();
    told_in_many_orders(&[World::read, change, ask], |world| {
        let held = world.catalogue.get(&ID).map(|pin| pin.resident().sequence());
        let found = world.catalogue.find(&DATASET, 5).map(|pin| pin.resident().sequence());
        assert_eq!(found, held, "readers see what the state says");
        assert_eq!(world.files().there, HashSet::from_iter(held));
    });
}
