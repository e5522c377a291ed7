//! `Disk`: the handle to one directory tree, and the plain operations on it.
//! It refuses paths that leave its root, and adds the path to every error so that nobody above has to.

use std::error::Error;
use std::ffi::OsString;
use std::fmt;
use std::io;
use std::path::Path;
use std::sync::Arc;

use rustix::io::Errno;

use crate::file::File;
use crate::lock::{DirLock, LockError};
use crate::media::{Media, Onto, Open};
use crate::path::{inside, invalid, split};
use crate::real::Real;
use crate::watch::Watch;

/// A directory tree, real or simulated. Cloning is cheap, all clones are the same disk.
///
/// Paths are relative to the root. An absolute path or one with `..` is `InvalidInput`; so is, on the real disk, a path
/// with a symbolic link anywhere below the root: links are never followed. The empty path is the root.
///
/// Nothing is durable until it is synced: a file's bytes by [`File::sync`], its name by [`Disk::sync_dir`] on its
/// directory. [`Disk::publish_file`] and [`Disk::publish_dir`] do all of it in the right order.
#[derive(Clone, Debug)]
pub struct Disk {
    root: Arc<Path>,
    pub(crate) media: Arc<dyn Media>,
}

/// One name in a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The name, without its directory.
    pub name: OsString,
    /// What the name stands for.
    pub kind: Kind,
}

/// What a name stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A regular file.
    File,
    /// A directory.
    Dir,
    /// Anything else: a symbolic link, a pipe, a socket, a device. None of them is ever opened.
    Other,
}

/// What is known of a path without opening it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stat {
    /// What the path stands for; a symbolic link is `Other`, its target is not looked at.
    pub kind: Kind,
    /// Bytes in a file; of no meaning for other kinds.
    pub len: u64,
}

/// Room on the file system that holds the root.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Space {
    /// Bytes that a program without privileges can still use.
    pub free: u64,
    /// Bytes in all.
    pub total: u64,
}

impl Disk {
    /// Opens the real disk at `root`, making the directory (mode 0700) and its missing parents durably.
    ///
    /// `root` itself may be reached through symbolic links; nothing below it may.
    pub fn open(root: &Path) -> io::Result<Disk> {
        let root = std::path::absolute(root)?;
        let media = Real::open(&root).map_err(|cause| failed("open the directory", &root, cause))?;
        Ok(Disk::over(&root, Arc::new(media)))
    }

    pub(crate) fn over(root: &Path, media: Arc<dyn Media>) -> Disk {
        Disk { root: Arc::from(root), media }
    }

    /// The absolute path of the root, to show it or to hand it to other programs.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Makes one directory. One that exists is `AlreadyExists`. Its name is durable after [`Disk::sync_dir`] on its parent.
    pub fn create_dir(&self, path: &Path) -> io::Result<()> {
        self.at("create the directory", path, |path| self.media.create_dir(path))
    }

    /// The names in a directory, sorted.
    pub fn list(&self, path: &Path) -> io::Result<Vec<Entry>> {
        let mut entries = self.at("list", path, |path| self.media.list(path))?;
        entries.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        Ok(entries)
    }

    /// What a path stands for, and how long it is. A link as the last component is told as `Other`.
    pub fn stat(&self, path: &Path) -> io::Result<Stat> {
        self.at("stat", path, |path| self.media.stat(path))
    }

    /// Opens an existing regular file to read. Anything else is refused, and a pipe cannot make it hang.
    pub fn open_file(&self, path: &Path) -> io::Result<File> {
        self.open_as("open", path, Open::Read)
    }

    /// Makes a file to read and write. One that exists is `AlreadyExists`. Its name is durable after [`Disk::sync_dir`].
    pub fn create_file(&self, path: &Path) -> io::Result<File> {
        self.open_as("create", path, Open::Create)
    }

    /// Opens an existing regular file to read and write.
    pub fn edit_file(&self, path: &Path) -> io::Result<File> {
        self.open_as("open for writing", path, Open::Edit)
    }

    /// Moves a file or a directory. It never replaces: a target that exists is `AlreadyExists`.
    ///
    /// The move is atomic, and durable after [`Disk::sync_dir`] on both parents.
    pub fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.rename_onto("rename", from, to, Onto::Nothing)
    }

    /// Puts a file in the place of another file, or of nothing. Readers see the old or the new one, never neither.
    pub fn replace(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.rename_onto("replace by renaming", from, to, Onto::File)
    }

    /// Removes a file, or a link itself. A directory is `IsADirectory`. Open handles keep working.
    pub fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.at("remove the file", path, |path| self.media.remove_file(path))
    }

    /// Removes an empty directory. One with content is `DirectoryNotEmpty`.
    pub fn remove_dir(&self, path: &Path) -> io::Result<()> {
        self.at("remove the directory", path, |path| self.media.remove_dir(path))
    }

    /// Makes the names in a directory durable: what was made, moved in or out, and removed there.
    ///
    /// After an error nothing is known, and trying again proves nothing: the system marks what it failed to write as
    /// written. Treat the disk as failed until the state was read anew.
    pub fn sync_dir(&self, path: &Path) -> io::Result<()> {
        self.at("sync the directory", path, |path| self.media.sync_dir(path))
    }

    /// Makes all of the file system durable that holds the root: slow, and not only our own files.
    pub fn sync_all(&self) -> io::Result<()> {
        self.at("sync the file system of", Path::new(""), |_| self.media.sync_all())
    }

    /// How much room is left.
    pub fn space(&self) -> io::Result<Space> {
        self.at("measure the space at", Path::new(""), |_| self.media.space())
    }

    /// What kind of file system holds the root: `ext4`, `tmpfs` and so on; `other` for one that is not known here.
    pub fn file_system(&self) -> io::Result<&'static str> {
        self.at("ask for the file system of", Path::new(""), |_| self.media.file_system())
    }

    /// Locks a directory through the file `name`, which is made when missing and holds the owner's process id.
    ///
    /// The lock belongs to the returned guard and ends with it, also when the process is killed: the file stays, but it
    /// means nothing then. A second lock fails with [`LockError::Held`], in the same process too. Programs that are started
    /// inherit nothing of it. A bare fork does: the lock lasts then until both have ended.
    pub fn lock(&self, name: &Path) -> Result<DirLock, LockError> {
        let path = inside(name).map_err(LockError::Io)?;
        match self.media.lock(&path) {
            Ok(held) => Ok(DirLock::new(held)),
            Err(LockError::Io(cause)) => Err(LockError::Io(failed("lock", &self.root.join(path), cause))),
            Err(held) => Err(held),
        }
    }

    /// Begins to watch an existing file for writes by anybody, without polling it.
    ///
    /// In the simulation every wait ends at once and says that something may have changed.
    pub fn watch(&self, path: &Path) -> io::Result<Watch> {
        let watching = self.at("watch", path, |path| self.media.watch(path))?;
        Ok(Watch::new(self.root.join(path).into(), watching))
    }

    fn open_as(&self, what: &'static str, path: &Path, how: Open) -> io::Result<File> {
        let content = self.at(what, path, |path| {
            if how == Open::Create {
                split(path)?;
            }
            self.media.open(path, how)
        })?;
        Ok(File::new(self.root.join(path).into(), content))
    }

    fn rename_onto(&self, what: &'static str, from: &Path, to: &Path, onto: Onto) -> io::Result<()> {
        let renamed = inside(from).and_then(|from| self.media.rename(&from, &inside(to)?, onto));
        renamed.map_err(|cause| {
            let place = format!("{} to {}", self.root.join(from).display(), self.root.join(to).display());
            failed_at(what, place, cause)
        })
    }

    /// Runs one operation on a checked path, and names both in the error.
    fn at<T>(
        &self,
        what: &'static str,
        path: &Path,
        operation: impl FnOnce(&Path) -> io::Result<T>,
    ) -> io::Result<T> {
        let clean = inside(path).map_err(|cause| failed(what, path, cause))?;
        operation(&clean).map_err(|cause| failed(what, &self.root.join(&clean), cause))
    }
}

/// The same error with what was tried and where; its kind stays, the original is its source.
pub(crate) fn failed(what: &'static str, path: &Path, cause: io::Error) -> io::Error {
    failed_at(what, path.display().to_string(), cause)
}

/// Whether a call failed because the process, or the system, has no file handles left: nothing was done then.
///
/// The log needs it: such a call may be made again, unlike a sync that failed.
pub fn lacks_handles(error: &io::Error) -> bool {
    let mut cause: Option<&(dyn Error + 'static)> = Some(error);
    while let Some(error) = cause {
        let code = error.downcast_ref::<io::Error>().and_then(io::Error::raw_os_error);
        if code.is_some_and(|code| [Errno::MFILE, Errno::NFILE].map(Errno::raw_os_error).contains(&code)) {
            return true;
        }
        cause = error.source();
    }
    false
}

fn failed_at(what: &'static str, place: String, cause: io::Error) -> io::Error {
    io::Error::new(cause.kind(), Failed { what, place, cause })
}

#[derive(Debug)]
struct Failed {
    what: &'static str,
    place: String,
    cause: io::Error,
}

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: {}", self.what, self.place, self.cause)
    }
}

impl Error for Failed {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.cause)
    }
}

/// The error for a path that exists but is neither a file nor a directory.
pub(crate) fn not_regular() -> io::Error {
    invalid("it is not a regular file")
}
