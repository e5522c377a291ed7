//! Keeps a worker's share of a huge history at hand as immutable chunks: fetched, verified, published whole, found by
//! block number without a lock, pinned while they are read, and removed when nobody wants or reads them any more.
//!
//! ```no_run
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
//! data_manager.download_chunk(chunk).unwrap();
//! // find a specific chunk
//! let the_chunk = data_manager.find_chunk([1u8; 32], 0);
//! // delete available chunks
//! data_manager.delete_chunk([1u8; 32]);
//! // list available chunks
//! let chunks = data_manager.list_chunks();
//! ```

pub mod assignment;
pub mod data_chunk;
pub mod data_manager;
pub mod data_source;
pub mod error;
pub mod event;
pub mod options;
pub mod sources;
pub mod status;
pub mod verify;

mod bandwidth;
mod block_index;
mod cancel;
mod catalogue_file;
mod chunk_ref;
mod data_catalogue;
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
mod tasks_manager;
mod window;

pub use chunk_ref::ChunkRef;
pub use snapshot::RangeView;
