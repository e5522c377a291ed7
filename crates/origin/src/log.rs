//! The log of requests: what was asked, how it was answered, how much of the answer was written.
//! It keeps the first million entries and refuses more, so that a client in a loop cannot eat the memory.

use std::sync::atomic::{AtomicU16, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;

/// More than any trial asks for; a client in a loop reaches it and then only counts.
const ENTRIES_MAX: usize = 1 << 20;

/// One request and its answer so far.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogEntry {
    /// `GET`, `HEAD` or whatever was sent.
    pub method: String,
    /// Percent-decoded, without the leading `/` and the query.
    pub path: String,
    /// What followed the `?`, as it was sent.
    pub query: Option<String>,
    /// The range that was asked for, half-open: `(first, Some(end))`, or `(first, None)` for the rest of the file.
    pub range: Option<(u64, Option<u64>)>,
    /// Names as sent, in their order.
    pub headers: Vec<(String, String)>,
    /// Since the start of the origin.
    pub at: Duration,
    /// 0 as long as nothing was answered.
    pub status: u16,
    /// Body bytes handed to the kernel so far.
    pub bytes_sent: u64,
    /// Connections are numbered from 1 in the order they were accepted.
    pub connection: u64,
}

impl LogEntry {
    /// The value of the first header of this name, in any case.
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }
}

/// A request in the log, with the parts that move while it is answered.
#[derive(Debug)]
pub(crate) struct Record {
    entry: LogEntry,
    status: AtomicU16,
    bytes_sent: AtomicU64,
}

#[derive(Debug, Default)]
pub(crate) struct Log {
    /// Held to push or to copy. Nothing else is locked meanwhile.
    records: Mutex<Vec<Arc<Record>>>,
    requests: AtomicU64,
    bytes_sent: AtomicU64,
    connections: AtomicU64,
    moved: Notify,
}

impl Log {
    /// Numbers a new connection.
    pub(crate) fn connect(&self) -> u64 {
        let number = self.connections.fetch_add(1, Ordering::Relaxed) + 1;
        self.moved.notify_waiters();
        number
    }

    pub(crate) fn push(&self, entry: LogEntry) -> Arc<Record> {
        let record = Arc::new(Record { entry, status: AtomicU16::new(0), bytes_sent: AtomicU64::new(0) });
        let mut records = self.records.lock().unwrap_or_else(PoisonError::into_inner);
        if records.len() < ENTRIES_MAX {
            records.push(Arc::clone(&record));
        }
        drop(records);
        self.requests.fetch_add(1, Ordering::Relaxed);
        self.moved.notify_waiters();
        record
    }

    pub(crate) fn answer(&self, record: &Record, status: u16) {
        record.status.store(status, Ordering::Relaxed);
        self.moved.notify_waiters();
    }

    pub(crate) fn sent(&self, record: &Record, bytes: u64) {
        record.bytes_sent.fetch_add(bytes, Ordering::Relaxed);
        self.bytes_sent.fetch_add(bytes, Ordering::Relaxed);
        self.moved.notify_waiters();
    }

    pub(crate) fn entries(&self) -> Vec<LogEntry> {
        let records = self.records.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let entry = |record: &Arc<Record>| LogEntry {
            status: record.status.load(Ordering::Relaxed),
            bytes_sent: record.bytes_sent.load(Ordering::Relaxed),
            ..record.entry.clone()
        };
        records.iter().map(entry).collect()
    }

    pub(crate) fn requests(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
    }

    pub(crate) fn bytes_sent(&self) -> u64 {
        self.bytes_sent.load(Ordering::Relaxed)
    }

    pub(crate) fn connections(&self) -> u64 {
        self.connections.load(Ordering::Relaxed)
    }

    /// Waits until `is_reached` holds; it is asked again after each movement.
    pub(crate) async fn wait(&self, is_reached: impl Fn(&Log) -> bool) {
        loop {
            // From here on a movement is noticed, although nothing waits yet.
            let moved = self.moved.notified();
            if is_reached(self) {
                return;
            }
            moved.await;
        }
    }
}
