//! What a user may set, with defaults, ranges and reasons.
//! Refuses to hold parts (disks, clocks, sources): those are given to the constructor.

use std::path::PathBuf;

/// How the hold is opened. Values only; see [`crate::data_manager::DataManagerImpl::open`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Options {
    /// The directories that hold chunks, one per disk, at least one. A new chunk goes to the one with the most room.
    pub data_dirs: Vec<DataDir>,
    /// What may change while running.
    pub limits: Limits,
    /// Which addresses may be asked. Default: public ones only, so that a descriptor from elsewhere cannot make this
    /// machine call its own network. Files of this machine are another matter: see [`crate::sources::FileSource`].
    pub network: Network,
    /// Other places that hold the same objects, tried when the first fails or stalls.
    pub mirrors: Vec<Mirror>,
    /// PEM files of certificate authorities to trust beside the system's.
    pub ca_files: Vec<PathBuf>,
}

impl Options {
    /// The defaults, with one data directory.
    pub fn new(data_dir: impl Into<PathBuf>) -> Options {
        Options {
            data_dirs: vec![DataDir { path: data_dir.into(), bytes_max: None }],
            limits: Limits::default(),
            network: Network::Public,
            mirrors: Vec::new(),
            ca_files: Vec::new(),
        }
    }
}

/// One disk's share of the hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DataDir {
    /// Where the chunks lie. Made when missing.
    pub path: PathBuf,
    /// How many bytes of chunks it may hold, staged ones included. `None`: as many as the disk has room for.
    pub bytes_max: Option<u64>,
}

/// Limits that may be changed while downloads run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes a second over all downloads. `None`: as fast as it goes. At least 1,024.
    pub bytes_per_second_max: Option<u64>,
    /// Requests open at once, 1 to 1,024; fewer are used as long as more do not raise the rate. Default 256.
    pub connections_max: u32,
    /// Requests open at once to one source (scheme, host and port), 1 to 1,024. Default 256.
    pub connections_per_source_max: u32,
    /// Chunks in flight, 1 to 4,096. Default 64. Of these the one with the least left to do is served first.
    pub chunks_in_flight_max: u32,
    /// Room that stays free on each disk: downloads pause rather than go below it. Default 1 GiB.
    pub free_bytes_min: u64,
    /// The longest file that is accepted. Default 64 GiB.
    pub file_bytes_max: u64,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            bytes_per_second_max: None,
            connections_max: 256,
            connections_per_source_max: 256,
            chunks_in_flight_max: 64,
            free_bytes_min: 1 << 30,
            file_bytes_max: 64 << 30,
        }
    }
}

/// Which addresses a descriptor may make us call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Network {
    /// Public addresses only: loopback, private, link-local, multicast and unspecified ones are refused, also when a
    /// name resolves to them.
    #[default]
    Public,
    /// Any address but link-local ones, where clouds keep their credentials.
    Private,
}

/// Objects under one URL prefix that can also be had under others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mirror {
    /// What the URLs begin with, such as `https://data.example/`.
    pub prefix: String,
    /// What to put in its place, in order of preference.
    pub others: Vec<String>,
}
