//! Opening paths below one root directory, with no symbolic link on the way.
//! It refuses to act on a path: it hands out descriptors, and every system call goes by those.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{AtFlags, FileType, Mode, OFlags, ResolveFlags, openat, openat2, statat};
use rustix::io::{Errno, retry_on_intr};

use crate::path::{invalid, split};

const HOLD_DIR: OFlags = OFlags::PATH.union(OFlags::DIRECTORY);

/// The root, held open: what it contains is reached from here even when somebody moves it or plants links above it.
#[derive(Debug)]
pub(super) struct Beneath {
    root: OwnedFd,
    resolve: Resolve,
}

/// Who sees to it that a path stays below the root and meets no link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Resolve {
    /// The kernel does, in one call.
    Kernel,
    /// The kernel is too old, or a sandbox forbids the call: one component after the other is opened here.
    Walk,
}

impl Beneath {
    pub(super) fn open(root: &Path) -> io::Result<Beneath> {
        let root =
            rustix::fs::open(root, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
        let probe = openat2(&root, ".", HOLD_DIR | OFlags::CLOEXEC, Mode::empty(), beneath());
        let resolve = if probe.is_ok() { Resolve::Kernel } else { Resolve::Walk };
        Ok(Beneath { root, resolve })
    }

    pub(super) fn root(&self) -> BorrowedFd<'_> {
        self.root.as_fd()
    }

    /// Opens a path; the empty one is the root. Flags need no `NOFOLLOW`: no link is followed either way.
    pub(super) fn open_at(&self, path: &Path, flags: OFlags, mode: Mode) -> io::Result<OwnedFd> {
        let flags = flags | OFlags::CLOEXEC;
        let opened = match self.resolve {
            Resolve::Kernel => {
                let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
                retry_on_intr(|| openat2(&self.root, path, flags, mode, beneath()))
            }
            Resolve::Walk => self.walk(path, flags, mode),
        };
        opened.map_err(|errno| if errno == Errno::LOOP { link_refused() } else { errno.into() })
    }

    /// The directory that holds an entry, to make, move or remove the entry by its name.
    pub(super) fn parent<'a>(&self, path: &'a Path) -> io::Result<(OwnedFd, &'a Path)> {
        let (parent, name) = split(path)?;
        Ok((self.open_at(parent, HOLD_DIR, Mode::empty())?, Path::new(name)))
    }

    fn walk(&self, path: &Path, flags: OFlags, mode: Mode) -> rustix::io::Result<OwnedFd> {
        let mut dir: Option<OwnedFd> = None;
        let mut components = path.components().peekable();
        while let Some(component) = components.next() {
            let at = dir.as_ref().unwrap_or(&self.root).as_fd();
            let name = Path::new(component.as_os_str());
            if components.peek().is_none() {
                return open_component(at, name, flags, mode);
            }
            dir = Some(open_component(at, name, HOLD_DIR | OFlags::CLOEXEC, Mode::empty())?);
        }
        open_component(self.root.as_fd(), Path::new("."), flags, mode)
    }
}

fn beneath() -> ResolveFlags {
    ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS
}

/// Opens one component. A link in the place of a directory is told as a link, as the kernel's own walk does.
fn open_component(at: BorrowedFd<'_>, name: &Path, flags: OFlags, mode: Mode) -> rustix::io::Result<OwnedFd> {
    match retry_on_intr(|| openat(at, name, flags | OFlags::NOFOLLOW, mode)) {
        Err(Errno::NOTDIR) => match statat(at, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) if FileType::from_raw_mode(stat.st_mode) == FileType::Symlink => Err(Errno::LOOP),
            _ => Err(Errno::NOTDIR),
        },
        opened => opened,
    }
}

fn link_refused() -> io::Error {
    invalid("a symbolic link is on the way, and links are not followed")
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "the trees under test are planted behind the disk's back")]
mod tests {
    use std::os::unix::fs::symlink;

    use rustix::fs::mkdirat;

    use super::*;

    fn both(root: &Path) -> [Beneath; 2] {
        [Resolve::Kernel, Resolve::Walk].map(|resolve| Beneath { resolve, ..Beneath::open(root).unwrap() })
    }

    #[test]
    fn a_link_on_any_level_is_refused_by_the_kernel_and_by_the_walk() {
        let (inside, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        std::fs::create_dir_all(inside.path().join("a/b")).unwrap();
        std::fs::create_dir_all(outside.path().join("b/c")).unwrap();
        symlink(outside.path(), inside.path().join("link")).unwrap();
        symlink(outside.path(), inside.path().join("a/link")).unwrap();
        symlink(outside.path().join("b/c"), inside.path().join("a/b/link")).unwrap();
        for beneath in both(inside.path()) {
            for path in ["link", "link/b", "link/b/c", "a/link", "a/link/b", "a/b/link"] {
                let refused = beneath.open_at(Path::new(path), OFlags::DIRECTORY, Mode::empty());
                assert_eq!(refused.unwrap_err().kind(), io::ErrorKind::InvalidInput, "{path} {beneath:?}");
            }
        }
    }

    #[test]
    fn the_kernel_and_the_walk_open_the_same_and_fail_the_same() {
        let root = tempfile::tempdir().unwrap();
        for beneath in both(root.path()) {
            let name = format!("{:?}", beneath.resolve);
            let open =
                |path: &str, flags| beneath.open_at(&Path::new(&name).join(path), flags, Mode::empty());
            let (parent, leaf) = beneath.parent(Path::new(&name)).unwrap();
            mkdirat(parent, leaf, Mode::RWXU).unwrap();
            open("", OFlags::DIRECTORY).unwrap();
            beneath.open_at(Path::new(""), OFlags::DIRECTORY, Mode::empty()).unwrap();
            let file = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL;
            beneath.open_at(&Path::new(&name).join("file"), file, Mode::RUSR | Mode::WUSR).unwrap();
            open("file", OFlags::RDONLY).unwrap();
            for (path, flags, kind) in [
                ("nothing", OFlags::RDONLY, io::ErrorKind::NotFound),
                ("nothing/below", OFlags::RDONLY, io::ErrorKind::NotFound),
                ("file", OFlags::DIRECTORY, io::ErrorKind::NotADirectory),
                ("file/below", OFlags::RDONLY, io::ErrorKind::NotADirectory),
            ] {
                assert_eq!(open(path, flags).unwrap_err().kind(), kind, "{path} {name}");
            }
        }
    }
}
