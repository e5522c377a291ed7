//! okaywal: a write-ahead log for a store behind it. Every commit is synced; there is no other kind.
//! Refuses nothing that it can do; it keeps its default sizes where it is timed, and never recycles where it is filled.

use std::io::{self, Read};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use okaywal::{Configuration, Entry, EntryId, LogManager, LogPosition, SegmentReader, WriteAheadLog};

use super::{Ability, Peer, Purpose, Rival};
use crate::Outcome;
use crate::records::Records;

/// How many records are committed at once where nobody counts them.
const FILL: u64 = 4_096;

#[derive(Debug)]
pub(crate) struct OkayWal;

/// The store behind the log: it counts what is recovered, and takes what is checkpointed.
#[derive(Debug)]
struct Counting(Arc<AtomicU64>);

impl LogManager for Counting {
    fn recover(&mut self, entry: &mut Entry<'_>) -> io::Result<()> {
        if let Some(chunks) = entry.read_all_chunks()? {
            self.0.fetch_add(chunks.len() as u64, Ordering::Relaxed);
        }
        Ok(())
    }

    fn checkpoint_to(
        &mut self,
        _last: EntryId,
        _entries: &mut SegmentReader,
        _log: &WriteAheadLog,
    ) -> io::Result<()> {
        Ok(())
    }
}

struct Open {
    log: WriteAheadLog,
    found: Arc<AtomicU64>,
    places: Vec<LogPosition>,
}

impl Rival for OkayWal {
    fn name(&self) -> &'static str {
        "okaywal 0.3.1"
    }

    fn abilities(&self) -> &'static [Ability] {
        &[Ability::Durable, Ability::Read, Ability::Reopen]
    }

    fn open(&self, dir: &Path, purpose: Purpose) -> Outcome<Box<dyn Peer>> {
        let found = Arc::new(AtomicU64::new(0));
        let mut configuration = Configuration::default_for(dir);
        if purpose == Purpose::Buffered {
            configuration = configuration.checkpoint_after_bytes(u64::MAX);
        }
        let log = configuration.open(Counting(Arc::clone(&found)))?;
        Ok(Box::new(Open { log, found, places: Vec::new() }))
    }
}

impl Peer for Open {
    fn fill(&mut self, records: &Records, count: u64) -> Outcome<()> {
        let mut number = 0;
        while number < count {
            let end = count.min(number + FILL);
            let mut entry = self.log.begin_entry()?;
            for number in number..end {
                self.places.push(entry.write_chunk(records.get(number))?.position);
            }
            entry.commit()?;
            number = end;
        }
        Ok(())
    }

    fn append_durable(&self, _thread: usize, bytes: &[u8]) -> Outcome<()> {
        let mut entry = self.log.begin_entry()?;
        entry.write_chunk(bytes)?;
        entry.commit()?;
        Ok(())
    }

    fn read_random(&mut self, numbers: &[u64]) -> Outcome<u64> {
        let mut bytes = Vec::new();
        let mut total = 0;
        for number in numbers {
            let place = self.places.get(*number as usize).ok_or("an entry is missing")?;
            bytes.clear();
            total += self.log.read_at(*place)?.read_to_end(&mut bytes)? as u64;
        }
        Ok(total)
    }

    fn found(&self) -> Outcome<u64> {
        Ok(self.found.load(Ordering::Relaxed))
    }
}
