//! The files that a writer has open, and which of them are not durable yet.
//! Refuses to close a file that was written and not synced: an error of the system would go unheard with it.

use std::collections::BTreeSet;
use std::io;

use host::{Disk, File};

use super::behind::{Behind, SyncedBy, Unsynced};
use super::position::Key;
use crate::error::Error;

/// Files that may be written and not synced: at so many, a write leaves them all behind.
const UNSYNCED_MAX: usize = 128;

/// Files that stay open after a sync: those of the next write are among them.
const KEPT_MAX: usize = 4;

/// The open files of a writer.
#[derive(Debug)]
pub(crate) struct Handles {
    disk: Disk,
    /// The one that was opened last is the last one.
    open: Vec<Handle>,
    /// Directories in which a file was made, or may have been by a process that was killed before it synced the name.
    unsynced_dirs: BTreeSet<u32>,
    /// Written before what is open, and durable before it is.
    behind: Behind,
    pub(crate) synced_by: SyncedBy,
}

#[derive(Debug)]
struct Handle {
    key: Key,
    file: File,
    is_synced: bool,
}

impl Handles {
    pub(crate) fn new(disk: &Disk) -> Handles {
        let (behind, synced_by) = (Behind::default(), SyncedBy::default());
        Handles { disk: disk.clone(), open: Vec::new(), unsynced_dirs: BTreeSet::new(), behind, synced_by }
    }

    /// Has the names in a directory synced with what is written next: files that are found in it may be older than their
    /// names on the disk.
    pub(crate) fn doubt(&mut self, dir: u32) {
        self.unsynced_dirs.insert(dir);
    }

    /// The file, which is about to be written. It is made when it is missing.
    pub(crate) fn written(&mut self, key: Key) -> Result<&File, Error> {
        let index = match self.open.iter().rposition(|handle| handle.key == key) {
            Some(index) => index,
            None => self.open(key)?,
        };
        let handle = self.open.get_mut(index).ok_or_else(|| io::Error::other("no such handle"))?;
        handle.is_synced = false;
        Ok(&handle.file)
    }

    /// Makes everything durable that was written.
    ///
    /// After an error, whichever it is, nothing is known of what is durable: the log must be opened anew.
    pub(crate) fn sync(&mut self) -> Result<(), Error> {
        self.behind.finish().map_err(Error::unclean)?;
        self.take_unsynced().sync()?;
        for handle in &mut self.open {
            handle.is_synced = true;
        }
        self.open.drain(..self.open.len().saturating_sub(KEPT_MAX));
        Ok(())
    }

    /// Goes on with other files: what was left before is made durable now, and what is open later, with or before
    /// the next sync.
    ///
    /// # Errors
    /// As of [`Handles::sync`].
    pub(crate) fn leave(&mut self) -> Result<(), Error> {
        let unsynced = self.take_unsynced();
        self.open.clear();
        self.behind.leave(unsynced, self.synced_by).map_err(Error::unclean)
    }

    /// Syncs everything, and closes what lies in directories before this one.
    pub(crate) fn close_before(&mut self, dir: u32) -> Result<(), Error> {
        self.sync()?;
        self.open.retain(|handle| handle.key.dir() >= dir);
        Ok(())
    }

    fn take_unsynced(&mut self) -> Unsynced {
        let unsynced = self.open.iter().filter(|handle| !handle.is_synced);
        Unsynced {
            disk: self.disk.clone(),
            files: unsynced.map(|handle| (handle.key, handle.file.clone())).collect(),
            dirs: std::mem::take(&mut self.unsynced_dirs),
        }
    }

    fn open(&mut self, key: Key) -> Result<usize, Error> {
        if self.open.len() >= UNSYNCED_MAX {
            self.leave()?;
        }
        let path = key.path();
        let file = match self.disk.edit_file(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.unsynced_dirs.insert(key.dir());
                self.disk.create_file(&path)?
            }
            opened => opened?,
        };
        self.open.push(Handle { key, file, is_synced: false });
        Ok(self.open.len().saturating_sub(1))
    }
}
