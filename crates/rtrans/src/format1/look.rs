//! Where a log of format 1 begins and ends, as its directories and files tell.
//! Refuses to judge: a slot that was ever written counts, whether or not its record is good.

use std::io;
use std::path::{Path, PathBuf};

use host::{Disk, File, Kind};

use super::entry::{Layout, is_blank};
use super::files::Files;
use super::position::{Geometry, Key, Slot, dir_path, number_of};
use crate::error::Error;

/// What a directory is called while it is being removed: the rename is the commit point of a trim.
pub(crate) const TRIMMED_PREFIX: &str = ".trimmed-";

/// Bytes that are read at once when looking for the last entry.
const PIECE_BYTES: u32 = 64 << 10;

/// Zeros at the end of an index file that are read through one by one. Behind more of them the end is searched by
/// halves, which takes for granted that they are all behind it: only a file that was made as large as it may become has
/// so many.
const ZEROS_READ_MAX: u64 = 64 << 20;

/// The directories of a log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Dirs {
    /// Their numbers, in order.
    pub(crate) numbers: Vec<u32>,
    /// What a trim has hidden and not removed yet.
    pub(crate) trimmed: Vec<PathBuf>,
}

/// Lists the directories.
pub(crate) fn dirs(files: &Files) -> Result<Dirs, Error> {
    let mut dirs = Dirs::default();
    for (name, kind) in files.names(Path::new(""))? {
        if name.starts_with(TRIMMED_PREFIX) {
            dirs.trimmed.push(PathBuf::from(name));
        } else if let (Some(number), Kind::Dir) = (number_of(&name), kind) {
            dirs.numbers.push(number);
        }
    }
    dirs.numbers.sort_unstable();
    Ok(dirs)
}

/// The files of one kind in a directory, lowest first. One that was removed meanwhile is empty.
pub(crate) fn numbers_in(files: &Files, dir: u32, prefix: &str) -> Result<Vec<u32>, Error> {
    let names = match files.names(&dir_path(dir)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        names => names?,
    };
    let of_kind = names.iter().filter(|(_, kind)| *kind == Kind::File);
    let mut numbers: Vec<u32> =
        of_kind.filter_map(|(name, _)| number_of(name.strip_prefix(prefix)?)).collect();
    numbers.sort_unstable();
    Ok(numbers)
}

/// The last record that has ever been given a slot, whether it is whole or not. `None` for an empty log.
pub(crate) fn last_written(
    files: &Files,
    geometry: &Geometry,
    layout: Layout,
    dirs: &Dirs,
) -> Result<Option<u64>, Error> {
    for dir in dirs.numbers.iter().rev() {
        for file in numbers_in(files, *dir, "index.")?.into_iter().rev() {
            let is_one_of_ours = u64::from(file) < geometry.files_per_dir();
            let opened = match files.get(Key::Index { dir: *dir, file }) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                opened => opened?,
            };
            let number = last_in(&opened, geometry, layout.stride())?;
            let slot = number.map(|number| Slot { dir: *dir, file, number });
            if let (Some(slot), true) = (slot, is_one_of_ours) {
                return Ok(geometry.id_of(slot));
            }
        }
    }
    Ok(None)
}

/// The last slot of an index file that is not blank.
fn last_in(file: &File, geometry: &Geometry, stride: u32) -> Result<Option<u32>, Error> {
    let wide = u64::from(stride.max(1));
    let mut end = (file.len()? / wide).min(geometry.per_file);
    let per_piece = u64::from((PIECE_BYTES / stride.max(1)).max(1));
    let mut bytes = Vec::new();
    let mut zeros = 0u64;
    while end > 0 {
        if zeros > ZEROS_READ_MAX {
            end = first_blank(file, end, stride)?;
            zeros = 0;
        }
        let start = end.saturating_sub(per_piece);
        bytes.resize(usize::try_from((end - start).saturating_mul(wide)).unwrap_or(0), 0);
        match file.read_exact_at(&mut bytes, start.saturating_mul(wide)) {
            // It was cut meanwhile.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                end = (file.len()? / wide).min(start);
                continue;
            }
            read => read?,
        }
        let used = bytes.chunks(stride.max(1) as usize).rposition(|slot| !is_blank(slot));
        if let Some(used) = used {
            return Ok(u32::try_from(start.saturating_add(used as u64)).ok());
        }
        zeros = zeros.saturating_add(bytes.len() as u64);
        end = start;
    }
    Ok(None)
}

/// The first blank slot of a file whose blank slots are all at its end.
fn first_blank(file: &File, slots: u64, stride: u32) -> Result<u64, Error> {
    let (mut low, mut high) = (0, slots);
    let mut slot = vec![0; stride as usize];
    while low < high {
        let middle = low.midpoint(high);
        file.read_exact_at(&mut slot, middle.saturating_mul(u64::from(stride)))?;
        if is_blank(&slot) {
            high = middle;
        } else {
            low = middle.saturating_add(1);
        }
    }
    Ok(low)
}

/// Whether a path is there.
pub(crate) fn is_there(disk: &Disk, path: &Path) -> Result<bool, Error> {
    match disk.stat(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        stat => Ok(stat.map(|_| true)?),
    }
}
