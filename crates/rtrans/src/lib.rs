//! A durable transaction log, embedded: no server, no runtime, one writer, any number of readers in any process.
//! It refuses to acknowledge what a power cut could take back, and to cut silently what had been durable.
//!
//! | Where | What |
//! |---|---|
//! | [`Log`] | the writer: appends, group commit, trims, rollbacks |
//! | [`Reader`] | reads by id, in order, backwards, by type, by time; follows, also beside a writer in another process |
//! | [`Consumer`] | a named backend that remembers how far it got |
//! | [`Parameters`], [`Options`] | what a log is created with, and how it is opened |
//! | [`Recovery`], [`Error`] | what opening found, and what can go wrong |
//!
//! ```
//! use rtrans::{Log, Options, TypeNo};
//!
//! # let dir = tempfile::tempdir()?;
//! # let dir = dir.path();
//! let log = Log::open(dir, Options::default())?;
//! let id = log.append(TypeNo(7), b"bytes")?; // durable when it returns
//! let record = log.read(id)?.expect("it was appended just now");
//! assert_eq!(record.bytes, b"bytes");
//!
//! let mut backend = log.consumer("backend")?;
//! for record in backend.next_batch(100)? {
//!     backend.commit(record.id)?; // durable as well, and seen again after a restart
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod append_batch;
mod backup;
mod beside;
mod bytes;
mod check;
mod checksum;
mod chores;
mod codec;
mod commit;
mod committer;
mod consumer;
mod consumer_name;
mod control;
pub mod doctor;
mod error;
mod follow;
mod format1;
mod format2;
mod frame;
mod gather;
mod helm;
mod ids;
mod import;
mod log;
mod metrics;
mod options;
mod outgoing;
mod parameters;
mod position_file;
mod queue;
mod reader;
mod record;
mod recovery;
mod repair;
mod retention;
mod rewrite;
mod round;
mod scan;
mod scrub;
mod selected;
mod signal;
mod store;
mod sync;
mod tail_page;
mod ticket;

pub use append_batch::{Ack, Appended, Batch};
pub use backup::BackedUp;
pub use check::{CheckProgress, Finding, FindingKind, Findings, Severity, check, check_on, check_watched};
pub use consumer::{Consumer, ConsumerStatus};
pub use error::{Corruption, Error};
pub use follow::{Follow, FollowStop};
pub use host::Scheduling;
pub use ids::{TransId, TypeNo};
pub use import::{Imported, import, import_from, resume_import};
pub use log::Log;
pub use metrics::Metrics;
pub use options::{Create, Level, Options, Threads, WhenFull};
pub use parameters::{Codec, Parameters};
pub use reader::Reader;
pub use record::{IntoRecords, Record, RecordBatch, RecordRef, Records};
pub use recovery::{Clamped, Recovery, Torn};
pub use repair::{Action, Plan, Repaired, plan_repair, repair, repair_on};
pub use retention::{Blocker, Consumers, Retention, Trimmed};
pub use scan::{Batches, Scan, ScanRev};
pub use scrub::{Scrub, ScrubStop};
pub use ticket::Ticket;
