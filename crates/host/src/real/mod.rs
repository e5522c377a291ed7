//! The disk of the machine: system calls below one open root directory.
//! It refuses to follow symbolic links, and to open anything but regular files and directories.

mod beneath;
mod file;
mod map;
pub(crate) mod thread;
mod watch;

use std::ffi::OsStr;
use std::fs::{self, DirBuilder};
use std::io::{self, ErrorKind};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, FileExt};
use std::path::{Path, PathBuf};
use std::process;
use std::sync::Arc;

use rustix::fs::{
    AtFlags, CWD, Dir, FileType, Mode, OFlags, RenameFlags, fstat, fstatfs, fstatvfs, fsync, mkdirat, openat,
    renameat, renameat_with, statat, syncfs, unlinkat,
};
use rustix::io::{Errno, retry_on_intr};
use rustix::process::{Pid, test_kill_process};

use beneath::Beneath;
use file::{RealFile, regular};
use watch::RealWatch;

use crate::disk::{Entry, Kind, Space, Stat, not_regular};
use crate::lock::LockError;
use crate::media::{Content, Held, HeldLock, Media, Onto, Open, Watching};

/// Who may use what is made below the root: the process's umask decides, and the root is closed to others anyway.
const DIR_MODE: Mode = Mode::from_raw_mode(0o777);
const FILE_MODE: Mode = Mode::from_raw_mode(0o666);

/// File systems by the numbers that the kernel gives them (linux/magic.h).
const FILE_SYSTEMS: [(u64, &str); 10] = [
    (0xef53, "ext4"),
    (0x5846_5342, "xfs"),
    (0x9123_683e, "btrfs"),
    (0x2fc1_2fc1, "zfs"),
    (0xf2f5_2010, "f2fs"),
    (0x6969, "nfs"),
    (0x6573_5546, "fuse"),
    (0x794c_7630, "overlay"),
    (0x0102_1994, "tmpfs"),
    (0x8584_58f6, "ramfs"),
];

const READ_DIR: OFlags = OFlags::DIRECTORY;

/// What the file system of something open is called; "other" where it is none of ours.
fn file_system_of(open: impl AsFd) -> io::Result<&'static str> {
    let magic = u64::try_from(fstatfs(open)?.f_type).unwrap_or(0);
    Ok(FILE_SYSTEMS.iter().find(|(known, _)| *known == magic).map_or("other", |(_, name)| name))
}

/// A process id in a lock file, in decimal digits and a line feed.
const PID_BYTES_MAX: usize = 16;

#[derive(Debug)]
pub(crate) struct Real {
    root: PathBuf,
    beneath: Beneath,
}

impl Real {
    pub(crate) fn open(root: &Path) -> io::Result<Real> {
        make_root(root)?;
        Ok(Real { root: root.to_owned(), beneath: Beneath::open(root)? })
    }
}

impl Media for Real {
    fn create_dir(&self, path: &Path) -> io::Result<()> {
        let (parent, name) = self.beneath.parent(path)?;
        Ok(retry_on_intr(|| mkdirat(&parent, name, DIR_MODE))?)
    }

    fn list(&self, path: &Path) -> io::Result<Vec<Entry>> {
        let fd = self.beneath.open_at(path, READ_DIR, Mode::empty())?;
        let mut entries = Vec::new();
        for entry in Dir::read_from(&fd)? {
            let entry = entry?;
            let name = entry.file_name();
            if matches!(name.to_bytes(), b"." | b"..") {
                continue;
            }
            let kind = match entry.file_type() {
                FileType::Unknown => match statat(&fd, name, AtFlags::SYMLINK_NOFOLLOW) {
                    Ok(stat) => kind_of(FileType::from_raw_mode(stat.st_mode)),
                    // It was removed since it was listed.
                    Err(Errno::NOENT) => continue,
                    Err(errno) => return Err(errno.into()),
                },
                known => kind_of(known),
            };
            entries.push(Entry { name: OsStr::from_bytes(name.to_bytes()).to_owned(), kind });
        }
        Ok(entries)
    }

    fn stat(&self, path: &Path) -> io::Result<Stat> {
        let stat = if path.as_os_str().is_empty() {
            fstat(self.beneath.root())?
        } else {
            let (parent, name) = self.beneath.parent(path)?;
            retry_on_intr(|| statat(&parent, name, AtFlags::SYMLINK_NOFOLLOW))?
        };
        let kind = kind_of(FileType::from_raw_mode(stat.st_mode));
        Ok(Stat { kind, len: u64::try_from(stat.st_size).unwrap_or(0) })
    }

    fn open(&self, path: &Path, how: Open) -> io::Result<Arc<dyn Content>> {
        let (access, mode) = match how {
            Open::Read => (OFlags::RDONLY, Mode::empty()),
            Open::Edit => (OFlags::RDWR, Mode::empty()),
            Open::Create => (OFlags::RDWR | OFlags::CREATE | OFlags::EXCL, FILE_MODE),
        };
        // Without NONBLOCK a pipe would wait for its other end.
        let fd = self.beneath.open_at(path, access | OFlags::NONBLOCK | OFlags::NOCTTY, mode)?;
        // What was made just now is a regular file.
        let file = if how == Open::Create { fs::File::from(fd) } else { regular(fd)? };
        Ok(Arc::new(RealFile::new(file)))
    }

    fn rename(&self, from: &Path, to: &Path, onto: Onto) -> io::Result<()> {
        let (from_parent, from_name) = self.beneath.parent(from)?;
        let (to_parent, to_name) = self.beneath.parent(to)?;
        match onto {
            Onto::Nothing => {
                rename_to_nothing((from_parent.as_fd(), from_name), (to_parent.as_fd(), to_name))
            }
            Onto::File => {
                let stat = retry_on_intr(|| statat(&from_parent, from_name, AtFlags::SYMLINK_NOFOLLOW))?;
                match FileType::from_raw_mode(stat.st_mode) {
                    FileType::RegularFile => {
                        Ok(retry_on_intr(|| renameat(&from_parent, from_name, &to_parent, to_name))?)
                    }
                    FileType::Directory => Err(Errno::ISDIR.into()),
                    _ => Err(not_regular()),
                }
            }
        }
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        let (parent, name) = self.beneath.parent(path)?;
        Ok(retry_on_intr(|| unlinkat(&parent, name, AtFlags::empty()))?)
    }

    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        let (parent, name) = self.beneath.parent(path)?;
        Ok(retry_on_intr(|| unlinkat(&parent, name, AtFlags::REMOVEDIR))?)
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        let dir = self.beneath.open_at(path, READ_DIR, Mode::empty())?;
        Ok(retry_on_intr(|| fsync(&dir))?)
    }

    fn sync_all(&self) -> io::Result<()> {
        Ok(retry_on_intr(|| syncfs(self.beneath.root()))?)
    }

    fn space(&self) -> io::Result<Space> {
        let stat = retry_on_intr(|| fstatvfs(self.beneath.root()))?;
        let bytes = |blocks: u64| blocks.saturating_mul(stat.f_frsize);
        Ok(Space { free: bytes(stat.f_bavail), total: bytes(stat.f_blocks) })
    }

    fn file_system(&self) -> io::Result<&'static str> {
        file_system_of(self.beneath.root())
    }

    fn lock(&self, path: &Path) -> Result<Held, LockError> {
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::NONBLOCK | OFlags::NOCTTY;
        let fd = self.beneath.open_at(path, flags, FILE_MODE).map_err(LockError::Io)?;
        let file = regular(fd).map_err(LockError::Io)?;
        loop {
            match file.try_lock() {
                Ok(()) => break,
                Err(fs::TryLockError::WouldBlock) => return Err(LockError::Held { pid: owner(&file) }),
                Err(fs::TryLockError::Error(error)) if error.kind() == ErrorKind::Interrupted => {}
                Err(fs::TryLockError::Error(error)) => return Err(LockError::Io(error)),
            }
        }
        // Emptied first: between the two calls a rival is told no owner rather than a dead one.
        file.set_len(0).map_err(LockError::Io)?;
        file.write_all_at(format!("{}\n", process::id()).as_bytes(), 0).map_err(LockError::Io)?;
        Ok(Box::new(RealLock { _file: file }))
    }

    fn watch(&self, path: &Path) -> io::Result<Box<dyn Watching>> {
        // By name: inotify knows no descriptors. A watch only says that it is time to look, so that a link in the way
        // can mislead a wait, never a read.
        Ok(Box::new(RealWatch::new(&self.root.join(path))?))
    }
}

/// The lock is the open file: the system releases it when the last descriptor is closed, however the process ends.
#[derive(Debug)]
struct RealLock {
    _file: fs::File,
}

impl HeldLock for RealLock {}

/// Makes the root and its missing parents. Each new name is durable before the next one is made in it.
fn make_root(root: &Path) -> io::Result<()> {
    let mut missing = Vec::new();
    for dir in root.ancestors() {
        match fs::metadata(dir) {
            Ok(_) => break,
            Err(error) if error.kind() == ErrorKind::NotFound => missing.push(dir),
            Err(error) => return Err(error),
        }
    }
    for dir in missing.into_iter().rev() {
        let mode = if dir == root { 0o700 } else { 0o777 };
        match DirBuilder::new().mode(mode).create(dir) {
            Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
        if let Some(parent) = dir.parent() {
            let parent =
                openat(CWD, parent, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
            retry_on_intr(|| fsync(&parent))?;
        }
    }
    Ok(())
}

fn rename_to_nothing(from: (BorrowedFd<'_>, &Path), to: (BorrowedFd<'_>, &Path)) -> io::Result<()> {
    match retry_on_intr(|| renameat_with(from.0, from.1, to.0, to.1, RenameFlags::NOREPLACE)) {
        // The file system cannot refuse by itself (NFS), or the kernel is old: the lock that the directory's owner
        // holds makes it enough to ask first.
        Err(Errno::INVAL | Errno::NOSYS) => {
            match retry_on_intr(|| statat(to.0, to.1, AtFlags::SYMLINK_NOFOLLOW)) {
                Ok(_) => Err(Errno::EXIST.into()),
                Err(Errno::NOENT) => Ok(retry_on_intr(|| renameat(from.0, from.1, to.0, to.1))?),
                Err(errno) => Err(errno.into()),
            }
        }
        renamed => Ok(renamed?),
    }
}

fn kind_of(file_type: FileType) -> Kind {
    match file_type {
        FileType::RegularFile => Kind::File,
        FileType::Directory => Kind::Dir,
        _ => Kind::Other,
    }
}

/// Who holds a lock, unless that is not written yet: what is there then is a dead one's.
fn owner(file: &fs::File) -> Option<u32> {
    let mut bytes = [0; PID_BYTES_MAX];
    let read = file.read_at(&mut bytes, 0).ok()?;
    let pid: u32 = std::str::from_utf8(bytes.get(..read)?).ok()?.trim_end().parse().ok()?;
    let is_dead = test_kill_process(Pid::from_raw(i32::try_from(pid).ok()?)?) == Err(Errno::SRCH);
    (!is_dead).then_some(pid)
}
