//! Aside: makes way where something stands in the place of a file or a directory of our own, and keeps it.
//! Refuses to remove anything: whose it is is not known.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};

use host::Disk;

/// Names that are tried: so many times the same place may have been taken.
const ASIDE_MAX: u32 = 1_024;

/// Moves what stands at a path to a name beside it, durably, and says so.
pub(crate) fn move_aside(disk: &Disk, path: &Path) -> io::Result<()> {
    let parent = path.parent().unwrap_or(Path::new(""));
    for number in 1..=ASIDE_MAX {
        let aside = aside_path(path, number);
        match disk.rename(path, &aside) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
            Ok(()) => {
                disk.sync_dir(parent)?;
                let (path, aside) = (disk.root().join(path), disk.root().join(aside));
                tracing::warn!(path = %path.display(), aside = %aside.display(), "what stood in the place of our own was moved aside");
                return Ok(());
            }
        }
    }
    let reason = format!("{} was in the way too often: remove what was moved aside", path.display());
    Err(io::Error::new(io::ErrorKind::AlreadyExists, reason))
}

/// A name that nothing of ours has; hidden where the path is.
fn aside_path(path: &Path, number: u32) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(format!(".aside-{number}"));
    PathBuf::from(name)
}
