//! A hold on a simulated machine: lives that end in a close, a kill or a power cut, and a disk to look at from outside.
//! Refuses threads and real time: everything runs on one paused runtime, so that a seed says all.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, SystemTime};

use data_manager::ChunkRef;
use data_manager::data_chunk::{hex_id, parse_hex_id};
use data_manager::data_manager::{DataManagerImpl, Parts};
use data_manager::data_source::DataSource;
use data_manager::error::Error;
use data_manager::event::{Event, Watch};
use data_manager::lease::Lease;
use data_manager::options::Options;
use host::sim::SimDisk;
use host::{Clock, Kind, TimeSource};
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::time::Instant;

use crate::look::{Look, look, look_at, patient};
use crate::source::{SimSource, blocks, dataset, id, pass};

/// The machine, and the hold that runs on it.
pub(crate) struct World {
    pub(crate) sim: SimDisk,
    /// The disks of further data directories.
    pub(crate) more: Vec<SimDisk>,
    pub(crate) source: SimSource,
    pub(crate) options: Options,
    life: Option<Life>,
    /// How long all lives before this one took: the time of day goes on over a restart.
    past: Duration,
}

/// One run of the program. The order of the fields is the order in which they are dropped.
struct Life {
    hold: DataManagerImpl,
    watch: Watch,
    runtime: Runtime,
    started: Instant,
}

/// The runtime's paused time.
#[derive(Debug)]
struct VirtualTime {
    /// Outside of its runtime an instant would be of the real time.
    runtime: Handle,
    started: Instant,
    past: Duration,
}

impl TimeSource for VirtualTime {
    fn monotonic(&self) -> Duration {
        let _entered = self.runtime.enter();
        self.started.elapsed()
    }

    fn wall(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000) + self.past + self.monotonic()
    }
}

impl World {
    /// An empty disk, and no hold yet.
    pub(crate) fn new(seed: u64) -> World {
        let mut options = Options::new("/sim");
        options.limits.free_bytes_min = 0;
        World {
            sim: SimDisk::new(seed),
            more: Vec::new(),
            source: SimSource::default(),
            options,
            life: None,
            past: Duration::ZERO,
        }
    }

    /// The same with a hold on it.
    pub(crate) fn started(seed: u64) -> World {
        let mut world = World::new(seed);
        world.open().unwrap();
        world
    }

    pub(crate) fn open(&mut self) -> Result<(), Error> {
        assert!(self.life.is_none(), "one life at a time");
        let runtime = Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        let source: Arc<dyn DataSource> = Arc::new(self.source.clone());
        let entered = runtime.enter();
        let started = Instant::now();
        let parts = Parts {
            clock: Some(Clock::custom(Arc::new(VirtualTime {
                runtime: Handle::current(),
                started,
                past: self.past,
            }))),
            disks: std::iter::once(&self.sim).chain(&self.more).map(SimDisk::disk).collect(),
            sources: vec![("sim".to_string(), source)],
            runtime: Some(Handle::current()),
        };
        let hold = DataManagerImpl::open_with(self.options.clone(), parts)?;
        drop(entered);
        let watch = hold.watch();
        self.life = Some(Life { hold, watch, runtime, started });
        Ok(())
    }

    fn life(&self) -> &Life {
        self.life.as_ref().expect("the hold is open")
    }

    /// Calls the hold at the virtual time.
    pub(crate) fn call<R>(&self, call: impl FnOnce(&DataManagerImpl) -> R) -> R {
        let life = self.life();
        let _entered = life.runtime.enter();
        call(&life.hold)
    }

    /// Lets everything run that can run within this time.
    pub(crate) fn pass(&self, time: Duration) {
        self.life().runtime.block_on(pass(time));
    }

    /// Lets every task make this many steps, in no time.
    pub(crate) fn step(&self, times: u64) {
        self.life().runtime.block_on(async {
            for _ in 0..times {
                tokio::task::yield_now().await;
            }
        });
    }

    pub(crate) fn next_event(&mut self) -> Option<Event> {
        self.life.as_mut().and_then(|life| life.watch.next_now())
    }

    pub(crate) fn events(&mut self) -> Vec<Event> {
        std::iter::from_fn(|| self.next_event()).collect()
    }

    /// Lets time pass until an event comes.
    pub(crate) fn expect(&mut self, is_it: impl Fn(&Event) -> bool) -> Event {
        for _ in 0..20_000 {
            while let Some(event) = self.next_event() {
                if is_it(&event) {
                    return event;
                }
            }
            self.pass(Duration::from_millis(100));
        }
        panic!("it did not happen in half an hour; the disk's last calls: {:#?}", self.last_calls(40));
    }

    /// Downloads chunks and waits for them.
    pub(crate) fn fetch(&mut self, numbers: impl IntoIterator<Item = u8>) {
        let numbers: Vec<u8> = numbers.into_iter().collect();
        for number in &numbers {
            self.call(|hold| hold.download_chunk(crate::source::chunk(*number, 0))).unwrap();
        }
        for number in numbers {
            for _ in 0..2_000 {
                if self.list().contains(&number) {
                    break;
                }
                self.pass(Duration::from_millis(100));
            }
            assert!(self.list().contains(&number), "chunk {number} came");
        }
        // What follows the publication, too.
        self.pass(Duration::from_millis(10));
    }

    pub(crate) fn pin(&self, number: u8) -> ChunkRef {
        self.call(|hold| hold.get_chunk(id(number))).expect("the chunk is ready")
    }

    /// The numbers of the chunks that are listed, sorted.
    pub(crate) fn list(&self) -> Vec<u8> {
        let mut numbers: Vec<u8> = self.call(DataManagerImpl::list_chunks).iter().map(|id| id[0]).collect();
        numbers.sort_unstable();
        numbers
    }

    /// The time of day.
    pub(crate) fn wall(&self) -> SystemTime {
        let life = self.life();
        let _entered = life.runtime.enter();
        SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000) + self.past + life.started.elapsed()
    }

    /// Takes a lease of ready or pinned chunks.
    pub(crate) fn lease(&self, name: &str, chunks: &[ChunkRef], lifetime: Duration) -> Result<Lease, Error> {
        let life = self.life();
        life.runtime.block_on(stepwise(life.hold.lease_in_task(name, "the model", chunks, lifetime)))
    }

    pub(crate) fn renew(&self, lease: &Lease, lifetime: Duration) -> Result<Lease, Error> {
        let life = self.life();
        life.runtime.block_on(stepwise(life.hold.renew_in_task(lease, lifetime)))
    }

    pub(crate) fn release(&self, lease: &Lease) -> Result<(), Error> {
        let life = self.life();
        life.runtime.block_on(stepwise(life.hold.release_in_task(lease)))
    }

    fn take_life(&mut self) -> Option<Life> {
        let life = self.life.take()?;
        let entered = life.runtime.enter();
        self.past += life.started.elapsed();
        drop(entered);
        Some(life)
    }

    /// Ends the life in order.
    pub(crate) fn close(&mut self) {
        if let Some(life) = self.take_life() {
            life.runtime.block_on(life.hold.close_in_task());
        }
    }

    /// Kills the program; the machine goes on, and what it has in memory will be written.
    pub(crate) fn kill(&mut self) {
        drop(self.take_life());
    }

    /// The same at the disk call at which the disk was told to stop, in the middle of what was done there.
    pub(crate) fn kill_where_stopped(&mut self) {
        drop(self.take_life());
        self.sim.kill();
    }

    /// Cuts the power. What the program still did after the last call of the test never happened.
    pub(crate) fn cut_power(&mut self) {
        self.sim.crash_at(self.sim.calls() + 1);
        drop(self.take_life());
        self.sim.crash();
        self.more.iter().for_each(SimDisk::crash);
    }

    pub(crate) fn restart(&mut self) {
        self.close();
        self.open().unwrap();
    }

    /// What the disk was last asked to change, ids cut to their first byte.
    pub(crate) fn last_calls(&self, count: usize) -> Vec<String> {
        let is_look = |line: &&String| {
            ["open Read", " len ", " read ", " stat ", " list "].iter().any(|look| line.contains(look))
        };
        let cut = |line: &String| {
            let mut parts = line.split("0x");
            let first = parts.next().unwrap_or_default().to_string();
            parts.fold(first, |cut, part| {
                format!("{cut}0x{}{}", &part[..2.min(part.len())], part.get(64..).unwrap_or_default())
            })
        };
        let trace: Vec<String> = self.sim.trace().iter().filter(|line| !is_look(line)).map(cut).collect();
        trace[trace.len().saturating_sub(count)..].to_vec()
    }

    // ---- the disk, from outside ----

    /// Whether a pinned or found chunk's files are whole.
    pub(crate) fn look_at(&self, chunk: &ChunkRef) -> Look {
        look_at(&self.sim, chunk)
    }

    /// Whether a chunk's files are whole where chunks stand, whoever knows of it.
    pub(crate) fn look_where_it_stands(&self, number: u8) -> Look {
        let range = blocks(number);
        let path = format!(
            "dataset_id={}/first_block={}/last_block={}/chunk={}",
            hex_id(&dataset(number)),
            range.start,
            range.end - 1,
            hex_id(&id(number))
        );
        look(&self.sim.disk(), number, Path::new(&path))
    }

    /// The names in a directory of the hold's own.
    pub(crate) fn names(&self, path: &str) -> Vec<String> {
        let entries = patient(|| self.sim.disk().list(Path::new(path))).unwrap_or_default();
        entries.iter().map(|entry| entry.name.to_string_lossy().into_owned()).collect()
    }

    /// The numbers of the chunks that have a directory where chunks stand, sorted.
    pub(crate) fn standing(&self) -> Vec<u8> {
        let disk = self.sim.disk();
        let mut ahead = vec![PathBuf::new()];
        let mut numbers = Vec::new();
        while let Some(path) = ahead.pop() {
            for entry in patient(|| disk.list(&path)).unwrap_or_default() {
                let name = entry.name.to_string_lossy().into_owned();
                if let Some(id) = name.strip_prefix("chunk=").and_then(parse_hex_id) {
                    numbers.push(id[0]);
                } else if entry.kind == Kind::Dir && !name.starts_with('.') {
                    ahead.push(path.join(name));
                }
            }
        }
        numbers.sort_unstable();
        numbers
    }
}

/// Gives every task the same number of steps while a call is waited for: where a run is cut must not depend on how often
/// a task happens to be woken.
async fn stepwise<R>(call: impl Future<Output = R>) -> R {
    const STEPS: u32 = 40;
    let mut call = std::pin::pin!(call);
    let mut result = None;
    for _ in 0..STEPS {
        if result.is_none()
            && let Poll::Ready(ready) = call.as_mut().poll(&mut Context::from_waker(Waker::noop()))
        {
            result = Some(ready);
        }
        tokio::task::yield_now().await;
    }
    match result {
        Some(result) => result,
        None => call.await,
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.life = None;
    }
}
