//! All that Loghold asks of the machine: a disk that publishes durably, and a clock, each with a simulated twin.
//! It refuses to know what is stored: no format, no chunk and no network appears here.
//!
//! | Where | What |
//! |---|---|
//! | [`Disk`], [`File`] | the handles that everybody holds; paths are relative to one root and no symbolic link is followed |
//! | [`Blocks`] | bytes gathered for a file, as a device takes them without a copy |
//! | [`DirLock`] | one owner of a directory at a time; a dead owner's lock needs no removal |
//! | [`Map`], [`Watch`] | a file's bytes without a system call each; a wake-up when another process writes a file |
//! | [`Scheduling`], [`CoreWait`] | how soon the calling thread runs when the cores are busy, and how long it did not |
//! | [`expect_handles`], [`expect_threads`] | whether the process may open some more files, and have more threads |
//! | [`Clock`] | monotonic time, a cheap coarse time for statistics, and wall time |
//! | [`sim::SimDisk`], [`sim::ManualClock`] | the twins: power cuts, torn writes, failing calls, a clock moved by hand |
//!
//! ```
//! use std::path::Path;
//!
//! let sim = host::sim::SimDisk::new(7);
//! let disk = sim.disk();
//! disk.publish_file(Path::new("position"), b"42")?;
//! sim.crash();
//!
//! let position = sim.disk().open_file(Path::new("position"))?;
//! let mut bytes = [0; 2];
//! position.read_exact_at(&mut bytes, 0)?;
//! assert_eq!(&bytes, b"42");
//! # Ok::<(), std::io::Error>(())
//! ```

#[cfg(not(target_os = "linux"))]
compile_error!("host uses Linux system calls (openat2, renameat2, syncfs); no other system is supported yet");

mod blocks;
mod clock;
mod disk;
mod file;
mod handles;
mod lock;
mod map;
mod media;
mod path;
mod publish;
mod real;
mod scheduling;
pub mod sim;
mod threads;
mod watch;

pub use blocks::Blocks;
pub use clock::{Clock, TimeSource};
pub use disk::{Disk, Entry, Kind, Space, Stat, lacks_handles};
pub use file::File;
pub use handles::{RUNTIME_HANDLES, expect_handles};
pub use lock::{DirLock, LockError};
pub use map::Map;
pub use publish::is_unpublished;
pub use scheduling::{CoreWait, Scheduling};
pub use threads::{RUNTIME_THREADS, expect_threads};
pub use watch::Watch;
