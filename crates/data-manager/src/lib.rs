//! Keeps a worker's share of a huge history at hand as immutable chunks: fetched, verified, published whole, found by
//! block number without a lock, pinned while they are read, and removed when nobody wants or reads them any more.
//!
//! ```
//! # let home = tempfile::tempdir().unwrap();
//! # std::env::set_current_dir(home.path()).unwrap();
//! use std::collections::HashMap;
//! use data_manager::data_manager::DataManagerImpl;
//! use data_manager::data_chunk::DataChunk;
//!
//! // instantiate data manager
//! let data_manager = DataManagerImpl::default();
//! // download a chunk
//! let chunk = DataChunk {
//!     id: [1u8; 32],
//!     dataset_id: [1u8; 32],
//!     block_range: 0..35,
//!     files: HashMap::from([
//!         ("file.parquet".to_string(), "https://data.example/file.parquet".to_string())
//!     ]),
//! };
//! data_manager.download_chunk(chunk)?;
//! // find a specific chunk
//! let the_chunk = data_manager.find_chunk([1u8; 32], 0);
//! // delete available chunks
//! data_manager.delete_chunk([1u8; 32]);
//! // list available chunks
//! let chunks = data_manager.list_chunks();
//! # assert!(chunks.is_empty());
//! # Ok::<(), data_manager::error::Error>(())
//! ```
//!
//! A call records what is wanted and returns; the rest happens in the background. To wait, to watch, and to pin:
//!
//! ```
//! # let home = tempfile::tempdir().unwrap();
//! # let source = home.path().join("blocks.parquet");
//! # std::fs::write(&source, b"PAR1").unwrap();
//! # let url = format!("file://{}#size=4", source.display());
//! # let data_dir = home.path().join("data");
//! use std::collections::HashMap;
//! use std::sync::Arc;
//! use std::time::Duration;
//! use data_manager::data_chunk::{DataChunk, DataChunkRef};
//! use data_manager::data_source::DataSource;
//! use data_manager::data_manager::{DataManagerImpl, Parts};
//! use data_manager::options::Options;
//! use data_manager::sources::FileSource;
//!
//! // Our own descriptors may name files of this machine; nobody else's may.
//! let files: Arc<dyn DataSource> = Arc::new(FileSource);
//! let parts = Parts { sources: vec![("file".to_string(), files)], ..Parts::default() };
//! let hold = DataManagerImpl::open_with(Options::new(data_dir), parts)?;
//! let files = HashMap::from([("blocks.parquet".to_string(), url)]);
//! hold.download_chunk(DataChunk { id: [1; 32], dataset_id: [7; 32], block_range: 0..36, files })?;
//!
//! let view = hold.wait_ready([7; 32], 0..36, Duration::from_secs(60))?;
//! assert!(view.gaps.is_empty());
//! let chunk = hold.find_chunk([7; 32], 35).expect("the wait ended well");
//! hold.delete_chunk([1; 32]);
//! assert!(hold.find_chunk([7; 32], 35).is_none(), "hidden at once");
//! assert_eq!(std::fs::read(chunk.path().join("blocks.parquet")).unwrap(), b"PAR1", "and still there for its readers");
//! # Ok::<(), data_manager::error::Error>(())
//! ```
//!
//! | Where | What |
//! |---|---|
//! | [`data_manager`] | [`DataManagerImpl`](data_manager::DataManagerImpl), the handle, and the trait it implements |
//! | [`data_chunk`] | what a chunk is, and what a pinned one is |
//! | [`assignment`] | the whole wanted set in one call |
//! | [`options`] | limits, addresses, mirrors |
//! | [`event`], [`status`] | what happens, and what is |
//! | [`lease`] | named pins that survive a restart |
//! | [`verify`] | reading back what is on disk |
//! | [`data_source`], [`sources`] | where files come from; the trait to bring your own |
//!
//! It refuses to be a cache: it holds what it is told to hold, and evicts nothing by itself.

pub mod assignment;
pub mod data_chunk;
pub mod data_manager;
pub mod data_source;
pub mod error;
pub mod event;
pub mod lease;
pub mod options;
pub mod sources;
pub mod status;
pub mod verify;

mod aside;
mod bandwidth;
mod block_index;
mod cancel;
mod catalogue_file;
mod chunk_ref;
mod crawl;
mod data_catalogue;
mod data_dirs;
mod digest;
mod download;
mod download_error;
mod fetch;
mod file_digest;
mod file_name;
mod file_spec;
mod health;
mod index_file;
mod index_journal;
mod io_task;
mod job;
mod lanes;
mod layout;
mod lease_file;
mod local_data_source;
mod manifest;
mod part_map;
mod plan;
mod pool;
mod pour;
mod publisher;
mod record;
mod scan;
mod snapshot;
mod staging;
mod staging_progress;
mod summed_json;
mod surviving_journals;
mod sync;
mod tasks_manager;
mod usual;
mod window;

pub use chunk_ref::ChunkRef;
pub use snapshot::RangeView;
