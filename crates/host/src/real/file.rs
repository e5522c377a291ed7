//! One open file of the machine.
//! It refuses anything but regular files: a pipe or a device could hang or do harm.

use std::fs;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::FileExt;

use rustix::fs::{
    Advice, FallocateFlags, FileType, OFlags, fadvise, fallocate, fcntl_getfl, fcntl_setfl, fdatasync, fstat,
};
use rustix::io::{Errno, retry_on_intr};

use super::map::RealMap;
use crate::disk::not_regular;
use crate::file::File;
use crate::media::{Content, Mapped};

#[derive(Debug)]
pub(super) struct RealFile(pub(super) fs::File);

impl Content for RealFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.0.read_at(buffer, offset)
    }

    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.0.write_all_at(bytes, offset)
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
        Ok(self.0.metadata()?.len())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.set_len(len)
    }

    fn preallocate(&self, len: u64) -> io::Result<()> {
        if len == 0 {
            return Ok(());
        }
        match retry_on_intr(|| fallocate(&self.0, FallocateFlags::empty(), 0, len)) {
            Err(Errno::OPNOTSUPP) if self.len()? < len => self.0.set_len(len),
            Err(Errno::OPNOTSUPP) => Ok(()),
            done => Ok(done?),
        }
    }

    fn sync(&self) -> io::Result<()> {
        Ok(retry_on_intr(|| fdatasync(&self.0))?)
    }

    fn begin_sync(&self) -> io::Result<()> {
        // SAFETY: the call takes no memory of ours, and the descriptor is open as long as `self`.
        #[expect(unsafe_code, reason = "no crate that is used here offers the call")]
        let failed =
            unsafe { libc::sync_file_range(self.0.as_raw_fd(), 0, 0, libc::SYNC_FILE_RANGE_WRITE) } != 0;
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
        Ok(fadvise(&self.0, 0, None, Advice::DontNeed)?)
    }

    fn map(&self, len: u64) -> io::Result<Option<Box<dyn Mapped>>> {
        Ok(Some(Box::new(RealMap::new(&self.0, len)?)))
    }
}

impl RealFile {
    fn write_past_cache(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        // The system wants blocks, also in memory.
        let mut buffer = vec![0; bytes.len().saturating_add(File::BLOCK_BYTES)];
        let start = buffer.as_ptr().align_offset(File::BLOCK_BYTES);
        let aligned = start.checked_add(bytes.len()).and_then(|end| buffer.get_mut(start..end));
        let aligned = aligned.ok_or(io::ErrorKind::InvalidInput)?;
        aligned.copy_from_slice(bytes);
        let flags = fcntl_getfl(&self.0)?;
        fcntl_setfl(&self.0, flags | OFlags::DIRECT)?;
        let written = self.0.write_all_at(aligned, offset);
        fcntl_setfl(&self.0, flags)?;
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
