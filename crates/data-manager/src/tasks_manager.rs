//! Tasks Manager: owns the thread pool, spawns IO tasks, and wakes the loop that asks what to do next.
//! Refuses to decide: it starts what the catalogue answers, as long as it answers.

use std::num::NonZero;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use tokio::runtime::{Builder, Handle, Runtime};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::sleep;

use crate::cancel::Cancel;
use crate::data_catalogue::{Action, Bell, Intent};
use crate::error::{Error, Result};
use crate::io_task::{IoTask, Order, Removal, Target};
use crate::job::Shared;
use crate::publisher::{Publisher, Work};

/// How often free space is asked for while downloads start.
const SPACE_AGE: Duration = Duration::from_millis(100);

/// Threads that may be waiting for a disk at once.
const BLOCKING_THREADS_MAX: usize = 32;

/// The block that is freed once so that the allocator keeps twice as much; its own bound for this is 32 MiB.
const FREED_BLOCK_BYTES: usize = 16 << 20;

/// How long `close` waits for what is under way.
const CLOSE_TIME: Duration = Duration::from_secs(10);

/// The background of the hold: its threads, its loop and its tasks.
#[derive(Debug)]
pub(crate) struct TasksManager {
    /// `None` when the caller's runtime is used, and after the end.
    runtime: Mutex<Option<Runtime>>,
    handle: Handle,
    stop: Cancel,
    main: Mutex<Option<JoinHandle<()>>>,
    ended: Arc<Ended>,
    /// Tasks that no report is awaited of. Held for adding one, and for taking all at the end.
    extras: Arc<Mutex<JoinSet<()>>>,
    bell: Arc<Bell>,
}

/// What the loop needs.
#[derive(Debug)]
pub(crate) struct Rounds {
    pub(crate) shared: Arc<Shared>,
    pub(crate) targets: Vec<Target>,
    pub(crate) file_bytes_max: Arc<AtomicU64>,
}

impl TasksManager {
    /// A pool of its own.
    pub(crate) fn new(bell: Arc<Bell>) -> Result<TasksManager> {
        let failed = |error| Error::io("starting the threads of the tasks manager", error);
        host::expect_handles(host::RUNTIME_HANDLES).map_err(failed)?;
        let workers = std::thread::available_parallelism().map_or(1, NonZero::get);
        host::expect_threads(workers.saturating_add(host::RUNTIME_THREADS)).map_err(failed)?;
        keep_freed_memory();
        let runtime = Builder::new_multi_thread()
            .worker_threads(workers)
            .enable_all()
            .thread_name("data-manager")
            .max_blocking_threads(BLOCKING_THREADS_MAX)
            .build()
            .map_err(failed)?;
        let handle = runtime.handle().clone();
        Ok(TasksManager::with(Some(runtime), handle, bell))
    }

    /// On somebody else's runtime, which must outlive it.
    pub(crate) fn on(handle: Handle, bell: Arc<Bell>) -> TasksManager {
        TasksManager::with(None, handle, bell)
    }

    fn with(runtime: Option<Runtime>, handle: Handle, bell: Arc<Bell>) -> TasksManager {
        TasksManager {
            runtime: Mutex::new(runtime),
            handle,
            stop: Cancel::default(),
            main: Mutex::new(None),
            ended: Arc::default(),
            extras: Arc::default(),
            bell,
        }
    }

    /// Starts the loop and the publishers.
    pub(crate) fn start(&self, work: Rounds, publishers: Vec<Publisher>) {
        let (stop, bell, ended) = (self.stop.clone(), Arc::clone(&self.bell), Arc::clone(&self.ended));
        let extras = Arc::clone(&self.extras);
        let main = self.handle.spawn(async move {
            let sources: Vec<_> = work.targets.iter().map(|target| Arc::clone(&target.source)).collect();
            run(work, publishers, stop, bell).await;
            let mut extras = std::mem::take(&mut *extras.lock().unwrap_or_else(PoisonError::into_inner));
            while extras.join_next().await.is_some() {}
            // Nothing writes any more: others may have the directories.
            for source in &sources {
                source.release();
            }
            ended.tell();
        });
        *self.main.lock().unwrap_or_else(PoisonError::into_inner) = Some(main);
    }

    /// Runs a future in the pool until it ends or the hold is closed. It comes as far as its first wait even when that is at once:
    /// of a program that only starts and ends, again and again, nothing would ever be done otherwise.
    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let stop = self.stop.clone();
        let task = async move {
            tokio::select! {
                biased;
                () = task => {}
                () = stop.cancelled() => {}
            }
        };
        let mut extras = self.extras.lock().unwrap_or_else(PoisonError::into_inner);
        // Those that have ended make room.
        while extras.try_join_next().is_some() {}
        extras.spawn_on(task, &self.handle);
    }

    /// Makes this thread one of the runtime's for timers, until the guard is dropped.
    pub(crate) fn enter(&self) -> tokio::runtime::EnterGuard<'_> {
        self.handle.enter()
    }

    /// Whether it was told to stop.
    pub(crate) fn is_closed(&self) -> bool {
        self.stop.is_cancelled()
    }

    /// Stops everything and waits for it, but not for ever. What was being downloaded can be continued.
    ///
    /// The wait blocks the calling thread, which is none of the pool's own.
    pub(crate) fn close(&self) {
        self.stop.cancel();
        let runtime = self.runtime.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(runtime) = runtime {
            self.ended.wait(CLOSE_TIME);
            // Never blocks, so that a hold may be dropped inside a task of another runtime.
            runtime.shutdown_background();
        }
    }

    /// The same for callers that lent their own runtime.
    pub(crate) async fn close_in_task(&self) {
        self.stop.cancel();
        let main = self.main.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(main) = main {
            // An error means that the loop panicked, which has been logged, or did not end in time.
            drop(tokio::time::timeout(CLOSE_TIME, main).await);
        }
    }
}

impl Drop for TasksManager {
    fn drop(&mut self) {
        self.close();
    }
}

/// Has glibc keep the memory of bodies for the next ones: it gives back what is free beyond twice the largest block that it
/// has seen freed. Where that was one body's buffer, the next bodies come into pages that have to be had from the kernel
/// anew, which took a tenth of all CPU time. Nothing is written to the block, so that it takes no memory itself.
fn keep_freed_memory() {
    drop(std::hint::black_box(Vec::<u8>::with_capacity(FREED_BLOCK_BYTES)));
}

/// Tells threads that the loop has ended.
#[derive(Debug, Default)]
struct Ended {
    has_ended: Mutex<bool>,
    told: Condvar,
}

impl Ended {
    fn tell(&self) {
        *self.has_ended.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.told.notify_all();
    }

    fn wait(&self, time: Duration) {
        let has_ended = self.has_ended.lock().unwrap_or_else(PoisonError::into_inner);
        drop(self.told.wait_timeout_while(has_ended, time, |has_ended| !*has_ended));
    }
}

/// The one loop: starts whatever the catalogue says may start, until it is told to stop.
async fn run(work: Rounds, publishers: Vec<Publisher>, stop: Cancel, bell: Arc<Bell>) {
    let mut publishing = JoinSet::new();
    for publisher in publishers {
        publishing.spawn(publisher.run());
    }
    let mut tasks: JoinSet<()> = JoinSet::new();
    let mut space_read = None;
    loop {
        let now = work.shared.catalogue.now();
        if space_read.is_none_or(|at| now.saturating_sub(at) >= SPACE_AGE) {
            read_space(&work);
            space_read = Some(now);
        }
        while let Some(action) = work.shared.catalogue.next_action() {
            start(&work, action, &mut tasks).await;
        }
        let wait = work.shared.catalogue.next_time();
        // Whichever comes first, the same follows; in this order, so that a seed of the simulation says all.
        tokio::select! {
            biased;
            () = stop.cancelled() => break,
            () = bell.rung() => {}
            Some(ended) = tasks.join_next() => report_panic(ended),
            () = sleep(wait.unwrap_or(Duration::MAX)), if wait.is_some() => {}
        }
    }
    work.shared.catalogue.cancel_all();
    while tasks.join_next().await.is_some() {}
    // A deletion that was called just before the end must not be undone by the next start.
    note(&work.targets, work.shared.catalogue.take_intents()).await;
    rest(&work.targets).await;
    work.shared.catalogue.close_leases();
    drop(work);
    while publishing.join_next().await.is_some() {}
}

/// A task that panicked has told the catalogue nothing; its chunk stays as it is until the next start. Others go on.
fn report_panic(ended: std::result::Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended {
        tracing::error!(%error, "an IO task panicked");
    }
}

fn read_space(work: &Rounds) {
    for target in &work.targets {
        let disk = target.source.disk();
        match work.shared.pool.blocking(|| disk.space()) {
            Ok(space) => work.shared.catalogue.set_free(target.source.dir(), space.free),
            Err(error) => tracing::warn!(%error, "the free space is not known"),
        }
    }
}

async fn start(work: &Rounds, action: Action, tasks: &mut JoinSet<()>) {
    let target = |dir: u16| work.targets.get(usize::from(dir)).cloned();
    let shared = Arc::clone(&work.shared);
    let task = match action {
        Action::Download { task, wanted, dir, attempts, cancel, progress } => target(dir).map(|target| {
            let file_bytes_max = work.file_bytes_max.load(Ordering::Relaxed);
            IoTask::download(
                shared,
                target,
                Order { task, wanted, attempts, cancel, progress, file_bytes_max },
            )
        }),
        Action::Remove { task, record, elsewhere, end } => target(record.dir).map(|home| {
            let elsewhere = elsewhere.into_iter().filter_map(target).collect();
            IoTask::remove(shared, Removal { task, record, end, home, elsewhere })
        }),
        Action::Discard { task, id, dir } => {
            target(dir).map(|target| IoTask::discard(shared, target, task, id))
        }
        Action::Lease(lease) => {
            if let Some(target) = target(lease.dir) {
                target.publisher.give(Work::Lease(lease)).await;
            }
            None
        }
        Action::Note(intents) => {
            note(&work.targets, intents).await;
            None
        }
    };
    if let Some(task) = task {
        tasks.spawn(task);
    }
}

/// Each data directory's publisher takes the intents that are its own.
async fn note(targets: &[Target], intents: Vec<Intent>) {
    for target in targets {
        target.publisher.give(Work::Note(intents.clone())).await;
    }
}

/// Leaves short journals behind, so that the next start is quick.
async fn rest(targets: &[Target]) {
    for target in targets {
        let (reply, rested) = tokio::sync::oneshot::channel();
        if target.publisher.give(Work::Rest(reply)).await {
            // An error means that the publisher has ended already.
            drop(rested.await);
        }
    }
}
