//! The compound operations of a disk: durable directories, whole trees removed, files and directories published.
//! It refuses to publish anything half: before the rename nothing is visible, after it everything is.

use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use crate::disk::{Disk, Kind, failed};
use crate::file::File;
use crate::path::{inside, invalid, split};

/// How deep a tree may be to be removed. Ours are five deep; a hostile one must not exhaust the stack.
const TREE_DEPTH_MAX: usize = 64;

/// Names tried for an unpublished file: the leftovers of this many crashes in one directory are survived.
const UNPUBLISHED_MAX: u32 = 1024;

const UNPUBLISHED_PREFIX: &str = ".unpublished-";

/// Whether a name in a listing is a file that [`Disk::publish_file`] did not bring to its name: a crash left it there.
///
/// The owner of the directory removes such files when it starts, while nobody publishes.
pub fn is_unpublished(name: &OsStr) -> bool {
    name.as_bytes().starts_with(UNPUBLISHED_PREFIX.as_bytes())
}

impl Disk {
    /// Makes a directory with all its parents, each durable before anything in it can count.
    ///
    /// Every parent on the way is synced, also of directories that exist: another thread, or a process that was killed,
    /// may have made one and not synced it yet.
    pub fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        let path = inside(path)?;
        let mut made = PathBuf::new();
        for component in path.components() {
            let parent = made.clone();
            made.push(component);
            match self.create_dir(&made) {
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
                Err(error) if self.stat(&made)?.kind != Kind::Dir => return Err(error),
                _ => self.sync_dir(&parent)?,
            }
        }
        Ok(())
    }

    /// Removes a path with everything below it, following no link. A path that is missing is `NotFound`.
    ///
    /// It stops at the first error and may be repeated. A tree deeper than 64 is refused where it gets too deep.
    pub fn remove_tree(&self, path: &Path) -> io::Result<()> {
        let path = inside(path)?;
        split(&path)?;
        match self.stat(&path)?.kind {
            Kind::Dir => self.remove_below(&path, 0)?,
            Kind::File | Kind::Other => return self.remove_file(&path),
        }
        self.remove_dir(&path)
    }

    /// Writes a whole file durably: readers, and a start after a crash, see the old bytes or the new ones.
    ///
    /// The commit point is the rename. After an error either is possible, never a mixture. When the error came from a
    /// sync, publishing again proves nothing: see [`Disk::sync_dir`].
    pub fn publish_file(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        let path = inside(path)?;
        let (parent, _) = split(&path)?;
        let (unpublished, file) = self.create_unpublished(parent)?;
        let written = file.write_all_at(bytes, 0).and_then(|()| file.sync());
        drop(file);
        if let Err(error) = written.and_then(|()| self.replace(&unpublished, &path)) {
            // The first error is the one to tell; a file that stays is recognised by `is_unpublished`.
            drop(self.remove_file(&unpublished));
            return Err(error);
        }
        self.sync_dir(parent)
    }

    /// Moves a finished directory to its place durably: all of it is there, or nothing.
    ///
    /// The caller has synced every file in it, and every directory below it. The commit point is the rename. A target
    /// that exists is `AlreadyExists`. After an error the directory is at one of the two places, whole; which one
    /// survives a crash is not known.
    pub fn publish_dir(&self, staged: &Path, target: &Path) -> io::Result<()> {
        let (staged, target) = (inside(staged)?, inside(target)?);
        let ((from, _), (to, _)) = (split(&staged)?, split(&target)?);
        self.sync_dir(&staged)?;
        self.rename(&staged, &target)?;
        self.sync_dir(to)?;
        if from == to { Ok(()) } else { self.sync_dir(from) }
    }

    /// A new file beside the one to publish, under a name that nobody else uses: creation is exclusive.
    fn create_unpublished(&self, parent: &Path) -> io::Result<(PathBuf, File)> {
        for number in 0..UNPUBLISHED_MAX {
            let path = parent.join(format!("{UNPUBLISHED_PREFIX}{number}"));
            match self.create_file(&path) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                made => return made.map(|file| (path, file)),
            }
        }
        let cause = io::Error::new(io::ErrorKind::AlreadyExists, "too many unpublished files were left here");
        Err(failed("publish in", &self.root().join(parent), cause))
    }

    fn remove_below(&self, path: &Path, depth: usize) -> io::Result<()> {
        if depth >= TREE_DEPTH_MAX {
            return Err(failed("remove", &self.root().join(path), invalid("the tree is too deep")));
        }
        for entry in self.list(path)? {
            let below = path.join(entry.name);
            match entry.kind {
                Kind::Dir => {
                    self.remove_below(&below, depth.saturating_add(1))?;
                    self.remove_dir(&below)?;
                }
                Kind::File | Kind::Other => self.remove_file(&below)?,
            }
        }
        Ok(())
    }
}
