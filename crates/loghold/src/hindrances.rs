//! What holds all downloads back: sources that rest, and data directories without room.
//! Refuses to give up; whoever waits decides.

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;

use data_manager::data_manager::DataManagerImpl;
use data_manager::event::Event;

use crate::progress::Progress;
use crate::quantity::show_duration;

/// What was told of them.
#[derive(Debug)]
pub(crate) struct Hindrances {
    /// How many data directories there are: when all of them are full, nothing moves.
    data_dirs: usize,
    /// Data directories that wait for room, and why.
    paused: HashSet<PathBuf>,
    paused_for: String,
    /// What was last said of each source that rests.
    said: HashMap<String, String>,
}

impl Hindrances {
    pub(crate) fn new(data_dirs: usize) -> Hindrances {
        Hindrances { data_dirs, paused: HashSet::new(), paused_for: String::new(), said: HashMap::new() }
    }

    /// Tells of a data directory that begins or ends to wait for room.
    pub(crate) fn take(&mut self, event: &Event, progress: &Progress) {
        match event {
            Event::Paused { data_dir, reason } => {
                progress.say(&format!("{}: downloads wait: {reason}", data_dir.display()));
                self.paused.insert(data_dir.clone());
                self.paused_for.clone_from(reason);
            }
            Event::Resumed(data_dir) => {
                progress.say(&format!("{}: downloads go on", data_dir.display()));
                self.paused.remove(data_dir);
            }
            _ => {}
        }
    }

    /// Why nothing moves any more, when every data directory waits for room.
    pub(crate) fn no_room(&self, hold: &DataManagerImpl) -> Option<&str> {
        let is_full = self.paused.len() >= self.data_dirs && hold.totals().staging == 0;
        is_full.then_some(self.paused_for.as_str())
    }

    /// A source that fails again and again is left alone by the hold, and no chunk fails by that.
    pub(crate) fn say_which_sources_rest(&mut self, hold: &DataManagerImpl, progress: &Progress) {
        for status in hold.sources() {
            let (Some(closed_for), Some(error)) = (status.closed_for, status.last_error) else { continue };
            if self.said.get(&status.source) != Some(&error) {
                let rest = show_duration(closed_for);
                progress.say(&format!("{} fails and is left alone for {rest}: {error}", status.source));
                self.said.insert(status.source, error);
            }
        }
    }
}
