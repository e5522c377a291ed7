//! `DownloadError`: why a try to download a chunk ended, in kinds that decide when the next one is made.
//! Refuses to hold credentials: its message is shown.

use std::fmt;
use std::time::Duration;

use crate::data_source::{SourceError, SourceErrorKind};
use crate::health;
use crate::status::FailureKind;

/// No chunk is tried again sooner than this after a failure.
const PAUSE_MIN: Duration = Duration::from_millis(50);

/// After so many tries in a row that brought other bytes than the descriptor names, each of them several times, it is the
/// descriptor that is wrong, or the object: the next ones are minutes apart.
const DAMAGED_QUICK_MAX: u32 = 4;

/// Why a try ended.
#[derive(Debug, Clone)]
pub(crate) struct DownloadError {
    pub(crate) kind: DownloadErrorKind,
    pub(crate) message: String,
    pub(crate) retry_after: Option<Duration>,
}

/// What decides when the next try is made, and what becomes of the staged parts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DownloadErrorKind {
    /// The source failed.
    Source(SourceErrorKind),
    /// The source is left alone for a while; nothing was asked.
    Closed,
    /// The source was silent or crawled for longer than we had patience: the place is given to others.
    TooSlow,
    /// The source gives no parts that could be joined: the object is asked for whole, by one request.
    WholeOnly,
    /// The bytes are not those that the descriptor names. The staged file is worthless.
    Damaged,
    /// No data directory has room.
    NoRoom,
    /// The disk failed; the staged parts are worthless.
    Disk,
    /// Our code or a source of the user's own panicked. What it was about to write is not known.
    Panicked,
    /// It was told to stop.
    Cancelled,
}

impl DownloadErrorKind {
    /// What users are told it was.
    pub(crate) fn failure(self) -> FailureKind {
        match self {
            DownloadErrorKind::Source(SourceErrorKind::Permanent) => FailureKind::Missing,
            DownloadErrorKind::Source(SourceErrorKind::Refused) => FailureKind::Refused,
            DownloadErrorKind::Damaged => FailureKind::Damaged,
            DownloadErrorKind::NoRoom => FailureKind::NoRoom,
            DownloadErrorKind::Disk => FailureKind::Disk,
            DownloadErrorKind::Panicked => FailureKind::Panicked,
            DownloadErrorKind::Source(_)
            | DownloadErrorKind::Closed
            | DownloadErrorKind::TooSlow
            | DownloadErrorKind::WholeOnly
            | DownloadErrorKind::Cancelled => FailureKind::Source,
        }
    }
}

impl DownloadError {
    pub(crate) fn new(kind: DownloadErrorKind, message: impl Into<String>) -> DownloadError {
        DownloadError { kind, message: message.into(), retry_after: None }
    }

    pub(crate) fn cancelled() -> DownloadError {
        DownloadError::new(DownloadErrorKind::Cancelled, "cancelled")
    }

    /// What it panicked with is not repeated, for it may hold credentials: the panic hook has said it.
    pub(crate) fn panicked() -> DownloadError {
        DownloadError::new(DownloadErrorKind::Panicked, "a task of the download panicked")
    }

    /// A disk error, met while doing `what`.
    pub(crate) fn disk(what: impl fmt::Display, error: &std::io::Error) -> DownloadError {
        let kind = match error.kind() {
            std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => DownloadErrorKind::NoRoom,
            _ => DownloadErrorKind::Disk,
        };
        DownloadError::new(kind, format!("{what}: {error}"))
    }

    /// How long to wait before the next try, `attempts` having failed in a row; `None`: until it is asked for anew.
    ///
    /// The delay doubles from try to try and is spread over its upper half by `random`, so that chunks that failed
    /// together do not come back together.
    pub(crate) fn backoff(&self, mut attempts: u32, random: u64) -> Option<Duration> {
        let (first_ms, longest_ms) = match self.kind {
            DownloadErrorKind::Source(_) | DownloadErrorKind::TooSlow | DownloadErrorKind::WholeOnly => {
                let kind = self.source_kind().unwrap_or(SourceErrorKind::Transient);
                let error = SourceError { kind, message: String::new(), retry_after: self.retry_after };
                return health::backoff(attempts, &error, random).map(|delay| delay.max(PAUSE_MIN));
            }
            DownloadErrorKind::Cancelled => (0, 0),
            DownloadErrorKind::Closed => return Some(self.retry_after.unwrap_or_default().max(PAUSE_MIN)),
            DownloadErrorKind::Damaged if attempts > DAMAGED_QUICK_MAX => {
                attempts -= DAMAGED_QUICK_MAX;
                (60_000, 600_000)
            }
            DownloadErrorKind::Damaged => (200, 600_000),
            DownloadErrorKind::NoRoom => (10_000, 10_000),
            DownloadErrorKind::Disk | DownloadErrorKind::Panicked => (5_000, 300_000),
        };
        let full_ms = u64::min(longest_ms, first_ms << u32::min(attempts.saturating_sub(1), 16));
        let spread_ms = if full_ms == 0 { 0 } else { random % (full_ms / 2 + 1) };
        Some(Duration::from_millis(full_ms - spread_ms))
    }

    /// The kind that the source is to blame for; `None` where it is not.
    ///
    /// An object that changed within one try is started over at once; one that changes in each try is asked for as rarely
    /// as one that fails.
    fn source_kind(&self) -> Option<SourceErrorKind> {
        match self.kind {
            DownloadErrorKind::Source(SourceErrorKind::Changed)
            | DownloadErrorKind::TooSlow
            | DownloadErrorKind::WholeOnly => Some(SourceErrorKind::Transient),
            DownloadErrorKind::Source(kind) => Some(kind),
            _ => None,
        }
    }

    /// What the source's account is charged with; `None` where it is not to blame.
    pub(crate) fn blame(&self) -> Option<SourceError> {
        let kind = match self.kind {
            DownloadErrorKind::Source(kind) => kind,
            DownloadErrorKind::TooSlow => SourceErrorKind::Transient,
            _ => return None,
        };
        Some(SourceError { kind, message: self.message.clone(), retry_after: self.retry_after })
    }

    /// Whether the places that were asked have, or may give, nothing: it will stay so for long.
    pub(crate) fn is_refusal(&self) -> bool {
        matches!(self.kind, DownloadErrorKind::Source(SourceErrorKind::Permanent | SourceErrorKind::Refused))
    }

    /// Whether what is staged may be continued.
    pub(crate) fn keeps_staged(&self) -> bool {
        !matches!(self.kind, DownloadErrorKind::Disk | DownloadErrorKind::Panicked)
    }
}

impl From<SourceError> for DownloadError {
    fn from(error: SourceError) -> DownloadError {
        DownloadError {
            kind: DownloadErrorKind::Source(error.kind),
            message: error.message,
            retry_after: error.retry_after,
        }
    }
}

impl fmt::Display for DownloadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_that_stay_wrong_are_asked_for_quickly_at_first_and_slowly_from_then_on() {
        let error = DownloadError::new(DownloadErrorKind::Damaged, "other bytes");
        let delays_ms: Vec<u128> =
            (1..=9).map(|attempts| error.backoff(attempts, 0).unwrap().as_millis()).collect();
        assert_eq!(delays_ms, [200, 400, 800, 1_600, 60_000, 120_000, 240_000, 480_000, 600_000]);
    }
}
