//! Lease: a named pin with a lifetime, kept on disk, so that it survives a restart and is seen by every process.
//! Refuses to be a guard: it outlives whoever took it, until it is released, broken, or its time is over.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::data_chunk::ChunkId;
use crate::file_name::shown;

/// Leases that may stand at once: some for each engine that reads here.
pub const LEASES_MAX: usize = 1_024;

/// Chunks in one lease. Its file then has 5 MiB.
pub const LEASE_CHUNKS_MAX: usize = 65_536;

/// Chunks in all leases together, one that is in two counted twice: as many as an assignment may have.
pub const LEASED_CHUNKS_MAX: usize = 4 << 20;

/// The shortest and the longest lifetime: a lease that nobody renews must end some day.
pub const LIFETIMES: std::ops::RangeInclusive<Duration> =
    Duration::from_secs(1)..=Duration::from_hours(24 * 30);

/// Bytes of a lease's name.
pub const LEASE_NAME_BYTES_MAX: usize = 64;

/// Bytes of the text that says who holds a lease.
pub const LEASE_OWNER_BYTES_MAX: usize = 256;

/// A lease as it was when it was taken, renewed or listed. It is the key to renew and to release it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Lease {
    /// Its name, which no other lease here has.
    pub name: String,
    /// Who holds it, in words for people.
    pub owner: String,
    /// When it was taken. Two leases of one name differ in this.
    pub taken: SystemTime,
    /// When it ends, unless it is renewed.
    pub expires: SystemTime,
    /// The chunks that it holds, sorted.
    pub chunks: Arc<[ChunkId]>,
}

/// A lease, and what it does.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct LeaseStatus {
    /// The lease.
    pub lease: Lease,
    /// How long ago it was taken, by the time of day.
    pub age: Duration,
    /// How long until it ends.
    pub ends_in: Duration,
    /// Deleted chunks whose files are still there because of this lease, perhaps of others too.
    pub held_back_chunks: u64,
    /// Bytes of those.
    pub held_back_bytes: u64,
    /// Why its file cannot be read, if so. Then nobody knows which chunks it holds: none is removed from its data
    /// directory, and it never ends by itself.
    pub damage: Option<String>,
}

/// What of a lease is kept. Times are milliseconds since 1970 began.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LeaseRecord {
    pub(crate) name: Arc<str>,
    pub(crate) owner: String,
    pub(crate) taken_ms: u64,
    pub(crate) expires_ms: u64,
    /// How long it was given when it was taken or last renewed.
    pub(crate) lifetime_ms: u64,
    /// Sorted, each once.
    pub(crate) chunks: Arc<[ChunkId]>,
}

impl LeaseRecord {
    /// What is known of one whose file cannot be read.
    pub(crate) fn unreadable(name: &str) -> LeaseRecord {
        LeaseRecord {
            name: name.into(),
            owner: String::new(),
            taken_ms: 0,
            expires_ms: 0,
            lifetime_ms: 0,
            chunks: Arc::from([]),
        }
    }

    pub(crate) fn lease(&self) -> Lease {
        Lease {
            name: self.name.to_string(),
            owner: self.owner.clone(),
            taken: time_of(self.taken_ms),
            expires: time_of(self.expires_ms),
            chunks: Arc::clone(&self.chunks),
        }
    }

    /// How long it still lives at a start. Never longer than it was given: a clock that was set back, or that had not been
    /// set yet, must not make it stay for years.
    pub(crate) fn left(&self, wall_ms: u64) -> Duration {
        Duration::from_millis(self.expires_ms.saturating_sub(wall_ms).min(self.lifetime_ms))
    }
}

/// A time of day as leases keep it.
pub(crate) fn milliseconds_of(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

fn time_of(ms: u64) -> SystemTime {
    UNIX_EPOCH.checked_add(Duration::from_millis(ms)).unwrap_or(UNIX_EPOCH)
}

/// Checks a lease's name, which is also that of its file.
pub(crate) fn check_name(name: &str) -> Result<(), String> {
    let is_plain =
        |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'.' | b'_' | b'-');
    let is_good = (1..=LEASE_NAME_BYTES_MAX).contains(&name.len())
        && name.bytes().all(is_plain)
        && name.starts_with(|first: char| first.is_ascii_alphanumeric());
    if is_good {
        return Ok(());
    }
    Err(format!(
        "lease name {} is not 1 to {LEASE_NAME_BYTES_MAX} of a-z 0-9 . _ - with a letter or digit in front",
        shown(name)
    ))
}

/// Checks the text that says who holds a lease.
pub(crate) fn check_owner(owner: &str) -> Result<(), String> {
    if owner.len() <= LEASE_OWNER_BYTES_MAX && !owner.chars().any(char::is_control) {
        return Ok(());
    }
    Err(format!(
        "the owner {} of a lease has more than {LEASE_OWNER_BYTES_MAX} bytes or a control character",
        shown(owner)
    ))
}

/// Checks how long a lease is to live.
pub(crate) fn check_lifetime(lifetime: Duration) -> Result<(), String> {
    if LIFETIMES.contains(&lifetime) {
        return Ok(());
    }
    Err(format!(
        "a lease lives from {} s to {} days, and not {:.3} s",
        LIFETIMES.start().as_secs(),
        LIFETIMES.end().as_secs() / 86_400,
        lifetime.as_secs_f64()
    ))
}
