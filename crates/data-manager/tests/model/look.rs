//! A look at a chunk's files from outside: whether they are, to the byte, what the source has or once had.
//! Refuses to trust the hold: it reads the simulated disk itself.

use std::io;
use std::path::Path;

use data_manager::ChunkRef;
use data_manager::data_chunk::DataChunkRef;
use host::Disk;
use host::sim::SimDisk;

use crate::source::{VERSIONS, content, files};

/// How a look at the disk ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Look {
    Whole,
    Broken(String),
    /// The machine is off: nothing can be said.
    Off,
}

/// Whether a pinned or found chunk's files are whole.
pub(crate) fn look_at(sim: &SimDisk, chunk: &ChunkRef) -> Look {
    let path = chunk.path().strip_prefix("/sim").unwrap().to_path_buf();
    look(&sim.disk(), chunk.id()[0], &path)
}

/// Each file must be, to the byte, what the source has or once had.
pub(crate) fn look(disk: &Disk, number: u8, path: &Path) -> Look {
    for (name, _) in files(number) {
        let bytes = match patient(|| read(disk, &path.join(name))) {
            Ok(bytes) => bytes,
            Err(error) if is_off(&error) => return Look::Off,
            Err(error) => return Look::Broken(error.to_string()),
        };
        if !(0..VERSIONS).any(|version| bytes == content(number, name, version)) {
            return Look::Broken(format!(
                "{name} of chunk {number} has {} bytes that the source never had",
                bytes.len()
            ));
        }
    }
    Look::Whole
}

fn read(disk: &Disk, path: &Path) -> io::Result<Vec<u8>> {
    let file = disk.open_file(path)?;
    let mut bytes = vec![0; usize::try_from(file.len()?).unwrap()];
    file.read_exact_at(&mut bytes, 0)?;
    Ok(bytes)
}

fn is_off(error: &io::Error) -> bool {
    error.to_string().contains("the machine is off")
}

/// Faults that were planned for the hold may meet a look from outside: it looks again.
pub(crate) fn patient<R>(look: impl Fn() -> io::Result<R>) -> io::Result<R> {
    let mut result = look();
    for _ in 0..4 {
        match &result {
            Err(error) if error.kind() != io::ErrorKind::NotFound && !is_off(error) => result = look(),
            _ => break,
        }
    }
    result
}
