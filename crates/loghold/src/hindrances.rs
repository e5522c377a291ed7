//! What holds all downloads back: sources that rest, and data directories without room.
//! Refuses to give up; whoever waits decides.

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::time::Duration;

use data_manager::data_manager::DataManagerImpl;
use data_manager::event::Event;

use crate::progress::Progress;
use crate::quantity::show_duration;

/// A rest that is shorter counts as this long when the next one is compared with it.
const REST_MIN: Duration = Duration::from_secs(1);

/// Why nothing moves, with the reason of the data directory that was last to stop.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Stuck {
    /// Room would help.
    NoRoom(String),
    /// A sync failed: nothing is written until the next start.
    DiskFailed(String),
}

/// What was told of them.
#[derive(Debug)]
pub(crate) struct Hindrances {
    /// How many data directories there are: when all of them are full, nothing moves.
    data_dirs: usize,
    /// Data directories that wait for room, and why.
    paused: HashSet<PathBuf>,
    paused_for: String,
    /// Whether one of them waits for a new start, as its disk has failed.
    has_failed: bool,
    /// The longest rest that was said of each source.
    said: HashMap<String, Duration>,
}

impl Hindrances {
    pub(crate) fn new(data_dirs: usize) -> Hindrances {
        Hindrances {
            data_dirs,
            paused: HashSet::new(),
            paused_for: String::new(),
            has_failed: false,
            said: HashMap::new(),
        }
    }

    /// Tells of a data directory that begins or ends to wait for room.
    pub(crate) fn take(&mut self, event: &Event, progress: &Progress) {
        match event {
            Event::Paused { data_dir, reason, until_restart } => {
                progress.say(&format!("{}: downloads wait: {reason}", data_dir.display()));
                self.paused.insert(data_dir.clone());
                self.paused_for.clone_from(reason);
                self.has_failed |= until_restart;
            }
            Event::Resumed(data_dir) => {
                progress.say(&format!("{}: downloads go on", data_dir.display()));
                self.paused.remove(data_dir);
            }
            _ => {}
        }
    }

    /// Asks how each data directory does, when it was not heard.
    pub(crate) fn look(&mut self, hold: &DataManagerImpl) {
        self.paused.clear();
        for dir in hold.data_dirs() {
            let Some(reason) = dir.paused else { continue };
            self.paused_for = reason;
            self.paused.insert(dir.path);
            self.has_failed |= dir.until_restart;
        }
    }

    /// Why nothing moves any more, when every data directory waits.
    pub(crate) fn stuck(&self, hold: &DataManagerImpl) -> Option<Stuck> {
        let is_stuck = self.paused.len() >= self.data_dirs && hold.totals().staging == 0;
        let why = if self.has_failed { Stuck::DiskFailed } else { Stuck::NoRoom };
        is_stuck.then(|| why(self.paused_for.clone()))
    }

    /// A source that fails again and again is left alone by the hold, and no chunk fails by that.
    pub(crate) fn say_which_sources_rest(&mut self, hold: &DataManagerImpl, progress: &Progress) {
        for status in hold.sources() {
            let (Some(closed_for), Some(error)) = (status.closed_for, status.last_error) else { continue };
            // A rest that is twice as long is news; another of its objects that fails is not.
            if self.said.get(&status.source).is_none_or(|&said| closed_for >= said.saturating_mul(2)) {
                let rest = show_duration(closed_for);
                progress.say(&format!("{} fails and is left alone for {rest}: {error}", status.source));
                self.said.insert(status.source, closed_for.max(REST_MIN));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use data_manager::options::Options;

    use super::*;
    use crate::args::GlobalArguments;
    use crate::notes::Notes;
    use crate::settings::Settings;

    #[test]
    fn the_end_of_a_pause_that_was_not_heard_is_asked_for() {
        let dir = tempfile::tempdir().unwrap();
        let hold = DataManagerImpl::open(Options::new(dir.path())).unwrap();
        let quiet = GlobalArguments { quiet: true, ..GlobalArguments::default() };
        let progress = Progress::new(Notes::new(&Settings::resolve(&quiet, |_| None)));
        let mut hindrances = Hindrances::new(1);
        let reason = "there was no room".to_string();
        let paused = Event::Paused { data_dir: dir.path().into(), reason, until_restart: false };
        hindrances.take(&paused, &progress);
        assert!(hindrances.stuck(&hold).is_some());
        hindrances.look(&hold);
        assert_eq!(hindrances.stuck(&hold), None);
    }
}
