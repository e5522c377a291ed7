//! The list: which files may name locks, threads, clocks and the file system, and why.
//! Refuses to grow without a reason; `allow_list.rs` sees to it that it shrinks.

use super::allow_list::Allowed;
use super::allow_list::Kind::{Clocks, Files, Locks, Spawns, Unsafe};
use super::sleeps::SleepingTest;

pub(super) const ALLOWED: &[Allowed] = &[
    Allowed {
        file: "bench/",
        kinds: &[Locks, Spawns, Clocks, Files],
        reason: "a measuring tool in a workspace of its own: it times, starts rivals and reads what they wrote, \
                 and no part of the product depends on it",
    },
    Allowed {
        file: "crates/data-manager/src/bandwidth.rs",
        kinds: &[Locks, Clocks],
        reason: "one bucket for all downloads; the wait for its next bytes is the limit itself",
    },
    Allowed {
        file: "crates/data-manager/src/cancel.rs",
        kinds: &[Locks],
        reason: "one flag that is set once, read where a task may be cut",
    },
    Allowed {
        file: "crates/data-manager/src/chunk_ref.rs",
        kinds: &[Locks],
        reason: "when a pin was taken, noted without a lock",
    },
    Allowed {
        file: "crates/data-manager/src/data_catalogue.rs",
        kinds: &[Locks],
        reason: "the one lock around the state",
    },
    Allowed {
        file: "crates/data-manager/src/data_catalogue/leases.rs",
        kinds: &[Locks],
        reason: "how a change of a lease ended, set once and read by whoever waits for it",
    },
    Allowed {
        file: "crates/data-manager/src/data_manager.rs",
        kinds: &[Locks, Spawns],
        reason: "the limits, which a caller may change while the loop reads them; the look after a start is handed to \
                 the Tasks Manager",
    },
    Allowed {
        file: "crates/data-manager/src/download.rs",
        kinds: &[Spawns],
        reason: "the runs of one download, ended with it",
    },
    Allowed {
        file: "crates/data-manager/src/fetch.rs",
        kinds: &[Clocks],
        reason: "deadlines of progress, and the pause before a hedge",
    },
    Allowed {
        file: "crates/data-manager/src/job.rs",
        kinds: &[Locks],
        reason: "the plans of one download, shared by its requests",
    },
    Allowed {
        file: "crates/data-manager/src/lanes.rs",
        kinds: &[Locks],
        reason: "who waits for a request, in order",
    },
    Allowed {
        file: "crates/data-manager/src/local_data_source.rs",
        kinds: &[Locks],
        reason: "numbers for names set aside, given out without a lock; damage that nobody was told of",
    },
    Allowed {
        file: "crates/data-manager/src/snapshot.rs",
        kinds: &[Locks],
        reason: "the cell through which a snapshot is published",
    },
    Allowed {
        file: "crates/data-manager/src/sources/client.rs",
        kinds: &[Locks, Files],
        reason: "a client is built once, at its first use; certificate files that the operator names, outside of any \
                 data directory",
    },
    Allowed {
        file: "crates/data-manager/src/sources/file.rs",
        kinds: &[Files, Spawns],
        reason: "a data source of local files; they lie outside of any data directory, and reading them blocks",
    },
    Allowed {
        file: "crates/data-manager/src/sync.rs",
        kinds: &[Locks],
        reason: "the types of the registry's locks and cells, which the tests of interleavings swap for a scheduler's",
    },
    Allowed {
        file: "crates/rtrans/src/sync.rs",
        kinds: &[Locks],
        reason: "the types of the group commit's locks, which the tests of interleavings swap for a scheduler's",
    },
    Allowed {
        file: "crates/data-manager/src/sources/http.rs",
        kinds: &[Clocks],
        reason: "the bound on one page of a listing",
    },
    Allowed {
        file: "crates/data-manager/src/sources/object.rs",
        kinds: &[Locks, Clocks],
        reason: "one store per bucket, made once; the bound on the body of an error",
    },
    Allowed {
        file: "crates/data-manager/src/staging.rs",
        kinds: &[Locks],
        reason: "the open files of one download",
    },
    Allowed {
        file: "crates/data-manager/src/staging_progress.rs",
        kinds: &[Locks],
        reason: "counters for display",
    },
    Allowed {
        file: "crates/data-manager/src/tasks_manager.rs",
        kinds: &[Locks, Spawns, Clocks],
        reason: "the pool itself: its tasks, the time of the next try, and a limit that changes while they run",
    },
    Allowed {
        file: "crates/host/src/clock.rs",
        kinds: &[Clocks],
        reason: "the one place that reads the time",
    },
    Allowed {
        file: "crates/host/src/real/file.rs",
        kinds: &[Locks],
        reason: "the second descriptor of a file, opened once by whoever first needs it",
    },
    Allowed {
        file: "crates/host/src/real/file.rs",
        kinds: &[Files, Unsafe],
        reason: "the real disk; the one call that has a device begin with what is synced later, which no crate here offers",
    },
    Allowed {
        file: "crates/host/src/real/map.rs",
        kinds: &[Files, Unsafe],
        reason: "the real disk; mapping a file is unsafe in every crate, and reads by system calls cost six times as much",
    },
    Allowed {
        file: "crates/host/src/real/thread.rs",
        kinds: &[Unsafe],
        reason: "the one call by which a thread is given a short slice or a class; no crate has a safe one",
    },
    Allowed {
        file: "crates/host/src/threads.rs",
        kinds: &[Locks, Spawns],
        reason: "threads that are started to see whether they may be had, and end at once",
    },
    Allowed { file: "crates/host/src/real/mod.rs", kinds: &[Files], reason: "the real disk" },
    Allowed {
        file: "crates/host/src/sim/clock.rs",
        kinds: &[Locks],
        reason: "the simulated clock, shared by its clones",
    },
    Allowed {
        file: "crates/host/src/sim/mod.rs",
        kinds: &[Locks],
        reason: "the simulated disk, shared by its clones",
    },
    Allowed {
        file: "crates/loghold/src/commands/apply.rs",
        kinds: &[Clocks, Spawns],
        reason: "how often a store is asked for new manifests; the asking blocks, and has a thread of the runtime's",
    },
    Allowed {
        file: "crates/loghold/src/commands/chunk/verify.rs",
        kinds: &[Clocks],
        reason: "how often progress is drawn",
    },
    Allowed {
        file: "crates/loghold/src/commands/with.rs",
        kinds: &[Clocks],
        reason: "waits for a directory that another process owns, and renews a lease while a command runs",
    },
    Allowed {
        file: "crates/loghold/src/commands/with/child.rs",
        kinds: &[Spawns],
        reason: "runs the command that the user names",
    },
    Allowed {
        file: "crates/loghold/src/commands/log/append.rs",
        kinds: &[Spawns],
        reason: "reads stdin beside the printing of ids, so that a sync under way holds up neither",
    },
    Allowed {
        file: "crates/loghold/src/commands/log/meter.rs",
        kinds: &[Spawns],
        reason: "work goes on beside the display of how far it is; a rate is kept by waiting, which is the limit itself",
    },
    Allowed {
        file: "crates/loghold/src/stop.rs",
        kinds: &[Locks, Spawns],
        reason: "the threads that wait for ^C and for the end of stdout, and the cell that says it came",
    },
    Allowed {
        file: "crates/loghold/src/fetched.rs",
        kinds: &[Clocks],
        reason: "refreshes the progress display",
    },
    Allowed {
        file: "crates/loghold/src/input.rs",
        kinds: &[Files],
        reason: "files that the user names on the command line",
    },
    Allowed {
        file: "crates/loghold/src/remote.rs",
        kinds: &[Clocks],
        reason: "waits as long as a source asks before the next try of a listing",
    },
    Allowed {
        file: "crates/origin/src/connection.rs",
        kinds: &[Clocks],
        reason: "a server: connections end by their time",
    },
    Allowed { file: "crates/origin/src/content.rs", kinds: &[Files], reason: "serves files of the disk" },
    Allowed {
        file: "crates/origin/src/link.rs",
        kinds: &[Locks],
        reason: "the modelled link, shared by its connections",
    },
    Allowed {
        file: "crates/origin/src/log.rs",
        kinds: &[Locks],
        reason: "the log of requests, shared by the connections",
    },
    Allowed {
        file: "crates/origin/src/origin.rs",
        kinds: &[Spawns, Clocks],
        reason: "a server: a task per connection, and a pause when the machine refuses more",
    },
    Allowed {
        file: "crates/origin/src/player.rs",
        kinds: &[Files, Clocks],
        reason: "sends files of the disk, and stalls on request",
    },
    Allowed {
        file: "crates/origin/src/state.rs",
        kinds: &[Locks, Clocks],
        reason: "what connections share, and the moment of the start",
    },
    Allowed {
        file: "crates/rtrans/src/beside.rs",
        kinds: &[Locks],
        reason: "how far a log of another process was read, so that two readers do not do it twice",
    },
    Allowed {
        file: "crates/rtrans/src/commit.rs",
        kinds: &[Locks],
        reason: "the one lock of the group commit, and the conditions that callers wait for",
    },
    Allowed {
        file: "crates/rtrans/src/follow.rs",
        kinds: &[Locks],
        reason: "one flag that ends a follower, set once",
    },
    Allowed {
        file: "crates/rtrans/src/committer.rs",
        kinds: &[Locks],
        reason: "flags by which the committer is told what to do",
    },
    Allowed {
        file: "crates/rtrans/src/round.rs",
        kinds: &[Locks],
        reason: "the outcome of a group commit, and who is woken by it",
    },
    Allowed {
        file: "crates/rtrans/src/format1/behind.rs",
        kinds: &[Spawns],
        reason: "the thread that syncs full files of format 1, joined before the writer may call anything durable",
    },
    Allowed {
        file: "crates/rtrans/src/format1/files.rs",
        kinds: &[Locks],
        reason: "the cell through which open files are shared by the readers",
    },
    Allowed {
        file: "crates/rtrans/src/format1/shelf.rs",
        kinds: &[Locks],
        reason: "where the log begins and ends, published by the writer without a lock",
    },
    Allowed {
        file: "crates/rtrans/src/format2/ahead.rs",
        kinds: &[Spawns],
        reason: "the threads that verify parts of a large file at a start, which ends when they have",
    },
    Allowed {
        file: "crates/rtrans/src/format2/depot.rs",
        kinds: &[Locks],
        reason: "the prepared file, handed from the thread of the chores to the writer",
    },
    Allowed {
        file: "crates/rtrans/src/format2/segment.rs",
        kinds: &[Locks],
        reason: "the table of a file, which grows while others read it, and the batch unpacked last",
    },
    Allowed {
        file: "crates/rtrans/src/format2/shelf.rs",
        kinds: &[Locks],
        reason: "where the log begins and ends, and the line of files, published without making a reader wait",
    },
    Allowed {
        file: "crates/rtrans/src/log.rs",
        kinds: &[Locks, Spawns],
        reason: "the two threads of a log, joined when it is closed",
    },
    Allowed {
        file: "crates/rtrans/src/metrics.rs",
        kinds: &[Locks],
        reason: "counters that anybody may read",
    },
    Allowed {
        file: "crates/rtrans/src/round.rs",
        kinds: &[Locks],
        reason: "the outcome of a group commit, and who is woken by it",
    },
    Allowed {
        file: "crates/rtrans/src/signal.rs",
        kinds: &[Locks],
        reason: "who waits for a log to move on",
    },
    Allowed {
        file: "crates/sealer/src/encoding.rs",
        kinds: &[Spawns],
        reason: "the thread that encodes while tables are filled, ended with the chunk",
    },
    Allowed {
        file: "crates/sealer/src/store.rs",
        kinds: &[Spawns],
        reason: "the race of writers by which a store is tried: threads that start at one barrier, and end with the call",
    },
    Allowed {
        file: "crates/rtrans/src/scrub.rs",
        kinds: &[Locks],
        reason: "the flag that ends a scrub, and the wait that keeps its rate",
    },
    Allowed { file: "xtask/src/files.rs", kinds: &[Files], reason: "reads the tree that tidy judges" },
    Allowed { file: "xtask/src/steps.rs", kinds: &[Clocks], reason: "reports how long each step took" },
    Allowed {
        file: "xtask/src/tools.rs",
        kinds: &[Spawns],
        reason: "runs the test runner and keeps its summary",
    },
];

pub(super) const SLEEPING_TESTS: &[SleepingTest] = &[SleepingTest {
    file: "crates/data-manager/tests/fixture/scripted.rs",
    reason: "a source for tests on a paused clock: its sleeps pass in virtual time and make every run the same",
}];
