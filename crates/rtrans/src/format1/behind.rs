//! What the writer has left behind: files that are full and not durable yet, synced while it goes on.
//! Refuses to be two steps behind: nothing more is left before what was left earlier is durable.

use std::collections::BTreeSet;
use std::sync::Arc;

use host::{Disk, File};

use super::position::{Key, dir_path};
use crate::error::Error;
use crate::sync::thread;

/// Who syncs what was left behind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum SyncedBy {
    /// The writer itself, when it may wait no longer.
    #[default]
    Writer,
    /// A thread, at once.
    Thread,
}

/// Files that were written and not synced, and directories in which files were made.
#[derive(Debug)]
pub(crate) struct Unsynced {
    pub(crate) disk: Disk,
    pub(crate) files: Vec<(Key, File)>,
    pub(crate) dirs: BTreeSet<u32>,
}

impl Unsynced {
    /// Makes all of it durable: data, then index entries, then names.
    ///
    /// # Errors
    /// After an error, whichever it is, nothing is known of what is durable: the log must be opened anew.
    pub(crate) fn sync(&self) -> Result<(), Error> {
        self.sync_all().map_err(Error::unclean)
    }

    fn sync_all(&self) -> Result<(), Error> {
        let is_data = |(key, _): &&(Key, File)| matches!(key, Key::Data { .. });
        let (data, index): (Vec<_>, Vec<_>) = self.files.iter().partition(is_data);
        if self.files.len() > 2 {
            // The device takes all of them together, and what is left to wait for takes half as long.
            for (_, file) in &self.files {
                file.begin_sync()?;
            }
        }
        for (_, file) in data.into_iter().chain(index) {
            file.sync()?;
        }
        for dir in &self.dirs {
            self.disk.sync_dir(&dir_path(*dir))?;
        }
        Ok(())
    }
}

/// What was left behind, and is durable only after [`Behind::finish`].
#[derive(Debug, Default)]
pub(crate) enum Behind {
    #[default]
    Nothing,
    Waiting(Arc<Unsynced>),
    Syncing(thread::JoinHandle<Result<(), Error>>),
}

impl Behind {
    /// Leaves something behind; what was left earlier is finished.
    pub(crate) fn leave(&mut self, unsynced: Unsynced, by: SyncedBy) -> Result<(), Error> {
        self.finish()?;
        if unsynced.files.is_empty() && unsynced.dirs.is_empty() {
            return Ok(());
        }
        let unsynced = Arc::new(unsynced);
        let begun = (by == SyncedBy::Thread).then(|| {
            let unsynced = Arc::clone(&unsynced);
            let thread = thread::Builder::new().name("rtrans-sync".to_owned());
            thread.spawn(move || unsynced.sync())
        });
        *self = match begun {
            Some(Ok(thread)) => Behind::Syncing(thread),
            // Without a thread it takes longer, and comes to the same.
            _ => Behind::Waiting(unsynced),
        };
        Ok(())
    }

    /// Makes it durable, or waits until it is.
    ///
    /// # Errors
    /// As of [`Unsynced::sync`].
    pub(crate) fn finish(&mut self) -> Result<(), Error> {
        match std::mem::take(self) {
            Behind::Nothing => Ok(()),
            Behind::Waiting(unsynced) => unsynced.sync(),
            Behind::Syncing(thread) => thread.join().unwrap_or_else(|_| {
                Err(std::io::Error::other("the thread that syncs full files has panicked").into())
            }),
        }
    }
}
