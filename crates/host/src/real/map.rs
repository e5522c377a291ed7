//! A file mapped into memory.
//! It refuses to hand out a reference into the map: what is unsafe about mapping stays in this file.

use std::fs;
use std::io;

use memmap2::{Mmap, MmapOptions};

use crate::media::Mapped;

#[derive(Debug)]
pub(super) struct RealMap(Mmap);

impl RealMap {
    pub(super) fn new(file: &fs::File, len: u64) -> io::Result<RealMap> {
        let len = usize::try_from(len).map_err(|_| io::Error::from(io::ErrorKind::FileTooLarge))?;
        // SAFETY: the bytes may change under the map, when the log's writer reuses a file. They are therefore never lent:
        // `copy_at` is the only access, it copies plain bytes, of which every pattern is valid, and whoever asked for
        // them believes them only under a checksum. `Map` tells its users not to cut the file.
        #[expect(
            unsafe_code,
            reason = "mapping a file is unsafe in every crate; reads by system calls cost six times as much"
        )]
        let map = unsafe { MmapOptions::new().len(len).map(file)? };
        Ok(RealMap(map))
    }
}

impl Mapped for RealMap {
    #[inline]
    fn copy_at(&self, buffer: &mut [u8], offset: u64) -> Option<()> {
        let start = usize::try_from(offset).ok()?;
        let end = start.checked_add(buffer.len())?;
        buffer.copy_from_slice(self.0.get(start..end)?);
        Some(())
    }
}
