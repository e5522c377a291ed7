//! The files that a writer has open, and which of them are not durable yet.
//! Refuses to close a file that was written and not synced: an error of the system would go unheard with it.

use std::collections::BTreeSet;
use std::io;

use host::{Disk, File};

use super::position::{Key, dir_path};
use crate::error::Error;

/// Files that may be written and not synced: at so many, a write syncs them all.
const UNSYNCED_MAX: usize = 128;

/// Files that stay open after a sync: those of the next write are among them.
const KEPT_MAX: usize = 4;

/// The open files of a writer.
#[derive(Debug)]
pub(crate) struct Handles {
    disk: Disk,
    /// The one that was opened last is the last one.
    open: Vec<Handle>,
    /// Directories in which a file was made.
    unsynced_dirs: BTreeSet<u32>,
}

#[derive(Debug)]
struct Handle {
    key: Key,
    file: File,
    is_synced: bool,
}

impl Handles {
    pub(crate) fn new(disk: &Disk) -> Handles {
        Handles { disk: disk.clone(), open: Vec::new(), unsynced_dirs: BTreeSet::new() }
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

    /// Makes everything durable: data, then index entries, then names.
    ///
    /// After an error, whichever it is, nothing is known of what is durable: the log must be opened anew.
    pub(crate) fn sync(&mut self) -> Result<(), Error> {
        self.sync_all().map_err(Error::unclean)
    }

    fn sync_all(&mut self) -> Result<(), Error> {
        let (data, index): (Vec<&Handle>, Vec<&Handle>) = self
            .open
            .iter()
            .filter(|handle| !handle.is_synced)
            .partition(|handle| matches!(handle.key, Key::Data { .. }));
        for handle in data.into_iter().chain(index) {
            handle.file.sync()?;
        }
        for dir in &self.unsynced_dirs {
            self.disk.sync_dir(&dir_path(*dir))?;
        }
        self.unsynced_dirs.clear();
        for handle in &mut self.open {
            handle.is_synced = true;
        }
        self.open.drain(..self.open.len().saturating_sub(KEPT_MAX));
        Ok(())
    }

    /// Syncs everything, and closes what lies in directories before this one.
    pub(crate) fn close_before(&mut self, dir: u32) -> Result<(), Error> {
        self.sync()?;
        self.open.retain(|handle| handle.key.dir() >= dir);
        Ok(())
    }

    fn open(&mut self, key: Key) -> Result<usize, Error> {
        if self.open.len() >= UNSYNCED_MAX {
            self.sync()?;
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
