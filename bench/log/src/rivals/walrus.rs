//! walrus: a log of topics, one of which is used. What was read once is not read again, so that it is only timed writing.
//! Refuses to lie elsewhere than in the directory that the environment names when the benches start.

use std::path::{Path, PathBuf};

use walrus_rust::{FsyncSchedule, ReadConsistency};

use super::{Ability, Peer, Purpose, Rival, WALRUS_DIR};
use crate::Outcome;
use crate::machine;
use crate::records::Records;

/// The topic.
const TOPIC: &str = "records";

#[derive(Debug)]
pub(crate) struct Walrus;

struct Open {
    log: walrus_rust::Walrus,
    dir: PathBuf,
}

impl Rival for Walrus {
    fn name(&self) -> &'static str {
        "walrus 0.2.0"
    }

    fn abilities(&self) -> &'static [Ability] {
        &[Ability::Buffered, Ability::Durable]
    }

    fn open(&self, _dir: &Path, purpose: Purpose) -> Outcome<Box<dyn Peer>> {
        let dir = PathBuf::from(std::env::var_os(WALRUS_DIR).ok_or("no directory is set")?);
        machine::fresh_dir(&dir)?;
        let schedule = match purpose {
            Purpose::Buffered => FsyncSchedule::NoFsync,
            Purpose::Durable => FsyncSchedule::SyncEach,
        };
        let reading = ReadConsistency::AtLeastOnce { persist_every: u32::MAX };
        let log = walrus_rust::Walrus::with_consistency_and_schedule(reading, schedule)?;
        Ok(Box::new(Open { log, dir }))
    }
}

impl Peer for Open {
    fn append_buffered(&mut self, records: &Records, from: u64, count: u64) -> Outcome<()> {
        for number in from..from + count {
            self.log.append_for_topic(TOPIC, records.get(number))?;
        }
        Ok(())
    }

    fn append_durable(&self, _thread: usize, bytes: &[u8]) -> Outcome<()> {
        Ok(self.log.append_for_topic(TOPIC, bytes)?)
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        drop(machine::remove_dir(&self.dir));
    }
}
