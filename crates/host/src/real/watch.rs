//! Waiting for writes to a file by inotify.
//! It refuses to keep count: many writes since the last wait are one.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::inotify;
use rustix::io::Errno;

use crate::media::Watching;

/// Room for one read of events. They carry no names, as files are watched, not directories.
const EVENT_BYTES: usize = 1024;

#[derive(Debug)]
pub(super) struct RealWatch(OwnedFd);

impl RealWatch {
    pub(super) fn new(path: &Path) -> io::Result<RealWatch> {
        let queue = inotify::init(inotify::CreateFlags::CLOEXEC | inotify::CreateFlags::NONBLOCK)?;
        inotify::add_watch(&queue, path, inotify::WatchFlags::MODIFY | inotify::WatchFlags::DONT_FOLLOW)?;
        Ok(RealWatch(queue))
    }
}

impl Watching for RealWatch {
    fn wait(&mut self, timeout: Duration) -> io::Result<bool> {
        let timeout = Timespec::try_from(timeout).ok();
        let ready = poll(&mut [PollFd::new(&self.0, PollFlags::IN)], timeout.as_ref());
        match ready {
            Ok(0) | Err(Errno::INTR) => return Ok(false),
            Ok(_) => {}
            Err(errno) => return Err(errno.into()),
        }
        // One read takes them all: writes that follow each other are one event until it is taken.
        match rustix::io::read(&self.0, &mut [MaybeUninit::uninit(); EVENT_BYTES][..]) {
            Ok(_) | Err(Errno::INTR | Errno::AGAIN) => Ok(true),
            Err(errno) => Err(errno.into()),
        }
    }
}
