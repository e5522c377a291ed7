//! `Watch`: waiting until another process changes a file, without asking it again and again.
//! It refuses to tell what changed: the reader looks for itself.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crate::disk::failed;
use crate::media::Watching;

/// Tells that a file was written, from [`Disk::watch`](crate::Disk::watch).
#[derive(Debug)]
pub struct Watch {
    path: Arc<Path>,
    watching: Box<dyn Watching>,
}

impl Watch {
    pub(crate) fn new(path: Arc<Path>, watching: Box<dyn Watching>) -> Watch {
        Watch { path, watching }
    }

    /// Waits until the file was written since the last call (or since the watch began), at most for `timeout`.
    ///
    /// Returns whether it was. A write just before the watch began is not told: look after beginning, then wait.
    pub fn wait(&mut self, timeout: Duration) -> io::Result<bool> {
        self.watching.wait(timeout).map_err(|cause| failed("watch", &self.path, cause))
    }
}
