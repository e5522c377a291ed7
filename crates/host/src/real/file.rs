//! One open file of the machine.
//! It refuses anything but regular files: a pipe or a device could hang or do harm.

use std::fs;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::sync::OnceLock;

use rustix::fs::{
    Advice, FallocateFlags, FileType, Mode, OFlags, fadvise, fallocate, fcntl_getfl, fcntl_setfl, fdatasync,
    fstat, open,
};
use rustix::io::{Errno, retry_on_intr};

use super::file_system_of;
use super::map::RealMap;
use crate::blocks::{Blocks, into_block};
use crate::disk::not_regular;
use crate::file::File;
use crate::media::{Content, Mapped};

/// File systems that are known to keep what goes past the cache and what goes through it as one, and to gain by it. Those over
/// a network or another file system need not.
const DIRECT_SYSTEMS: [&str; 4] = ["ext4", "xfs", "btrfs", "f2fs"];

#[derive(Debug)]
pub(super) struct RealFile {
    file: fs::File,
    /// The same file opened once more, for what goes past the cache; `None` inside where that cannot be. The flag belongs to what
    /// was opened, and who reads or writes other bytes at the same time must not meet it.
    direct: OnceLock<Option<fs::File>>,
}

impl Content for RealFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.file.read_at(buffer, offset)
    }

    fn read_past_cache(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let Some(direct) = self.direct() else { return self.read_at(buffer, offset) };
        match direct.read_at(buffer, offset) {
            // It cannot after all, or not from the midst of a block.
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => self.read_at(buffer, offset),
            read => read,
        }
    }

    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.file.write_all_at(bytes, offset)
    }

    fn write_blocks(&self, blocks: &Blocks) -> io::Result<()> {
        let begin = into_block(blocks.offset().wrapping_neg());
        let (head, rest) = blocks.bytes().split_at_checked(begin).unwrap_or((blocks.bytes(), &[]));
        let (whole, tail) = rest.split_at(rest.len() / File::BLOCK_BYTES * File::BLOCK_BYTES);
        let whole_at = blocks.offset().saturating_add(head.len() as u64);
        self.write_all_at(head, blocks.offset())?;
        self.write_whole(whole, whole_at)?;
        self.write_all_at(tail, whole_at.saturating_add(whole.len() as u64))
    }

    fn rewrite_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        // What is less than a block at the end goes through the cache, and takes nothing else with it.
        let whole = bytes.len() / File::BLOCK_BYTES * File::BLOCK_BYTES;
        let (blocks, rest) = bytes.split_at_checked(whole).unwrap_or((bytes, &[]));
        match self.write_past_cache(blocks, offset) {
            // The file system cannot, or not in blocks of this size.
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => self.write_all_at(blocks, offset)?,
            written => written?,
        }
        self.write_all_at(rest, offset.saturating_add(blocks.len() as u64))
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.file.set_len(len)
    }

    fn preallocate(&self, len: u64) -> io::Result<()> {
        if len == 0 {
            return Ok(());
        }
        match retry_on_intr(|| fallocate(&self.file, FallocateFlags::empty(), 0, len)) {
            Err(Errno::OPNOTSUPP) if self.len()? < len => self.file.set_len(len),
            Err(Errno::OPNOTSUPP) => Ok(()),
            done => Ok(done?),
        }
    }

    fn sync(&self) -> io::Result<()> {
        Ok(retry_on_intr(|| fdatasync(&self.file))?)
    }

    fn begin_sync(&self) -> io::Result<()> {
        // SAFETY: the call takes no memory of ours, and the descriptor is open as long as `self`.
        #[expect(unsafe_code, reason = "no crate that is used here offers the call")]
        let failed =
            unsafe { libc::sync_file_range(self.file.as_raw_fd(), 0, 0, libc::SYNC_FILE_RANGE_WRITE) } != 0;
        if !failed {
            return Ok(());
        }
        match io::Error::last_os_error() {
            // A system or a file system that does not know the like: the sync does all of it.
            error if matches!(error.kind(), io::ErrorKind::Unsupported | io::ErrorKind::InvalidInput) => {
                Ok(())
            }
            error => Err(error),
        }
    }

    fn evict(&self) -> io::Result<()> {
        Ok(fadvise(&self.file, 0, None, Advice::DontNeed)?)
    }

    fn map(&self, len: u64) -> io::Result<Option<Box<dyn Mapped>>> {
        Ok(Some(Box::new(RealMap::new(&self.file, len)?)))
    }
}

impl RealFile {
    pub(super) fn new(file: fs::File) -> RealFile {
        RealFile { file, direct: OnceLock::new() }
    }

    /// Writes blocks, past the cache where the file system can.
    fn write_whole(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let Some(direct) = self.direct().filter(|_| !bytes.is_empty()) else {
            return self.write_all_at(bytes, offset);
        };
        match direct.write_all_at(bytes, offset) {
            // It cannot after all, or not in blocks of this size.
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => self.write_all_at(bytes, offset),
            written => written,
        }
    }

    fn direct(&self) -> Option<&fs::File> {
        self.direct.get_or_init(|| self.open_direct()).as_ref()
    }

    /// By its descriptor and not by its name, which may belong to another file by now. Whatever the reason is for which this
    /// fails, a limit on open files among them, the bytes can go through the cache.
    fn open_direct(&self) -> Option<fs::File> {
        if !DIRECT_SYSTEMS.contains(&file_system_of(&self.file).ok()?) {
            return None;
        }
        let own = format!("/proc/self/fd/{}", self.file.as_raw_fd());
        // Opening it anew must give no right that the file was not opened with.
        let access = fcntl_getfl(&self.file).ok()?.intersection(OFlags::RWMODE);
        let flags = access | OFlags::DIRECT | OFlags::CLOEXEC;
        retry_on_intr(|| open(&own, flags, Mode::empty())).ok().map(fs::File::from)
    }

    fn write_past_cache(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        // The system wants blocks, also in memory.
        let mut buffer = vec![0; bytes.len().saturating_add(File::BLOCK_BYTES)];
        let start = buffer.as_ptr().align_offset(File::BLOCK_BYTES);
        let aligned = start.checked_add(bytes.len()).and_then(|end| buffer.get_mut(start..end));
        let aligned = aligned.ok_or(io::ErrorKind::InvalidInput)?;
        aligned.copy_from_slice(bytes);
        let flags = fcntl_getfl(&self.file)?;
        fcntl_setfl(&self.file, flags | OFlags::DIRECT)?;
        let written = self.file.write_all_at(aligned, offset);
        fcntl_setfl(&self.file, flags)?;
        written
    }
}

pub(super) fn regular(fd: OwnedFd) -> io::Result<fs::File> {
    match FileType::from_raw_mode(fstat(&fd)?.st_mode) {
        FileType::RegularFile => Ok(fs::File::from(fd)),
        FileType::Directory => Err(Errno::ISDIR.into()),
        _ => Err(not_regular()),
    }
}
