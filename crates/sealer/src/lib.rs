//! Seals a log into chunks of Parquet in an object store, and reads chunks and log as one line.
//! It refuses to seal what is not final, to lose a record that fits nowhere, and to believe a store that it has not tried.
//!
//! | Where | What |
//! |---|---|
//! | [`Plan`] | what is sealed, how it is cut, and where it goes |
//! | [`Sealer`] | the loop that seals, one [`Step`] at a time |
//! | [`why`] | how far sealing has come, and why it is not further |
//! | [`Reading`] | chunks and the log's head as one line of [`Line`]s |
//! | [`compact`] | many small chunks into one |
//! | [`Store`] | where chunks lie, and whether it keeps what is written once |
//! | [`ManifestChain`], [`Manifest`] | which chunks there are |
//! | [`Error`], [`Halt`] | what can go wrong, and why sealing stopped |
//!
//! ```
//! use rtrans::{Log, Options, Reader, TypeNo};
//! use sealer::{Plan, Sealer, Source, Step};
//!
//! # let home = tempfile::tempdir()?;
//! # let dir = home.path().join("log");
//! # let store = format!("file://{}", home.path().join("store").display());
//! let log = Log::open(&dir, Options::default())?;
//! for number in 0..10 {
//!     log.append(TypeNo(1), format!("block {number}").as_bytes())?;
//! }
//! let plan = Plan::parse(&format!(
//!     r#"
//!     dataset = "trial"
//!     store = "{store}"               # or s3://bucket/prefix, gs://, az://
//!     numbering = "one-per-block"
//!     finality = {{ lag = 0 }}
//!     [cut]
//!     records = 5
//!     [[table]]
//!     file = "records.parquet"
//!     columns = "raw"
//!     "#
//! ))?;
//! // A reader is enough as long as the plan does not trim the log.
//! let mut sealer = Sealer::open(plan, Source::Reader(Reader::open(&dir)?))?;
//! let mut blocks = Vec::new();
//! while let Step::Sealed(chunk) = sealer.step()? {
//!     blocks.push(chunk.first_block..=chunk.last_block);
//! }
//! assert_eq!(blocks, [0..=4, 5..=9]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod agreement;
mod chain;
mod chunk_id;
mod column;
mod compact;
mod cut;
mod disk_place;
mod encoding;
mod error;
mod hex;
mod json;
mod json_path;
mod line;
mod manifest;
mod parquet_file;
mod place;
mod plan;
mod reading;
mod remote_place;
mod rows;
mod scout;
mod sealer;
mod sealing;
mod store;
mod tables;
mod time_text;
mod verify;
mod walk;
mod why;

pub use agreement::compare_log;
pub use chain::ManifestChain;
pub use chunk_id::ChunkId;
pub use column::{Column, ColumnKind};
pub use compact::{Compaction, compact};
pub use cut::{Cut, Pending};
pub use error::{Error, Halt};
pub use json_path::JsonPath;
pub use line::{Covered, Line};
pub use manifest::{FileEntry, FileKind, Manifest};
pub use place::{Created, Place};
pub use plan::{Columns, Finality, Layout, Numbering, Parent, Plan, Retain, Table};
pub use reading::Reading;
pub use sealer::{Sealer, Source, Step};
pub use store::{Checked, Store};
pub use time_text::{time_of_text, time_text};
pub use why::{SealState, Why, why};
