//! commitlog: segments with a mapped index. It never syncs: its flush makes no such call.
//! Refuses to be timed where a sync counts.

use std::path::Path;

use commitlog::message::MessageSet;
use commitlog::{LogOptions, ReadLimit};

use super::{Ability, Peer, Purpose, Rival};
use crate::Outcome;
use crate::records::Records;

/// How much a scan reads at once.
const SCAN_BYTES: usize = 1 << 20;

#[derive(Debug)]
pub(crate) struct CommitLog;

struct Open(commitlog::CommitLog);

impl Rival for CommitLog {
    fn name(&self) -> &'static str {
        "commitlog 0.2.0"
    }

    fn abilities(&self) -> &'static [Ability] {
        &[Ability::Buffered, Ability::Read, Ability::Scan]
    }

    fn open(&self, dir: &Path, _purpose: Purpose) -> Outcome<Box<dyn Peer>> {
        Ok(Box::new(Open(commitlog::CommitLog::new(LogOptions::new(dir))?)))
    }
}

impl Peer for Open {
    fn append_buffered(&mut self, records: &Records, from: u64, count: u64) -> Outcome<()> {
        for number in from..from + count {
            self.0.append_msg(records.get(number))?;
        }
        Ok(())
    }

    fn read_random(&mut self, numbers: &[u64]) -> Outcome<u64> {
        let mut bytes = 0;
        for number in numbers {
            // Room for one record and its head.
            let messages = self.0.read(*number, ReadLimit::max_bytes(180))?;
            bytes += messages.iter().next().ok_or("a message is missing")?.payload().len() as u64;
        }
        Ok(bytes)
    }

    fn scan(&mut self) -> Outcome<u64> {
        let mut next = 0;
        loop {
            let messages = self.0.read(next, ReadLimit::max_bytes(SCAN_BYTES))?;
            let begin = next;
            for message in messages.iter() {
                std::hint::black_box(message.payload());
                next += 1;
            }
            if next == begin {
                return Ok(next);
            }
        }
    }
}
