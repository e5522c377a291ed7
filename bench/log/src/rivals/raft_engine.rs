//! raft-engine: TiKV's log of many raft groups. One group for what is filled, one for each durable thread.
//! Refuses nothing that it can do; its settings are its own defaults.

use std::path::Path;

use protobuf::well_known_types::BytesValue;
use raft_engine::{Config, Engine, LogBatch, MessageExt};

use super::{Ability, Peer, Purpose, Rival};
use crate::Outcome;
use crate::records::Records;

/// The group of everything but the durable appends.
const GROUP: u64 = 1;

/// How many bytes are fetched at once in a scan.
const FETCH_BYTES: usize = 1 << 20;

/// How many entries are written at once where nobody counts them: few enough to stay below its compression.
const FILL: u64 = 16;

#[derive(Debug)]
pub(crate) struct RaftEngine;

/// An entry: its first eight bytes are its number, as no other field of the record would have it.
#[derive(Debug)]
struct Numbered;

impl MessageExt for Numbered {
    type Entry = BytesValue;

    fn index(entry: &BytesValue) -> u64 {
        let head = entry.get_value().first_chunk::<8>();
        head.map_or(0, |head| u64::from_le_bytes(*head))
    }
}

struct Open {
    engine: Engine,
    batch: LogBatch,
}

impl Rival for RaftEngine {
    fn name(&self) -> &'static str {
        "raft-engine 0.4.2"
    }

    fn abilities(&self) -> &'static [Ability] {
        &[Ability::Buffered, Ability::Durable, Ability::Read, Ability::Scan, Ability::Reopen]
    }

    fn open(&self, dir: &Path, _purpose: Purpose) -> Outcome<Box<dyn Peer>> {
        let config = Config { dir: dir.to_string_lossy().into_owned(), ..Config::default() };
        Ok(Box::new(Open { engine: Engine::open(config)?, batch: LogBatch::with_capacity(4) }))
    }
}

fn entry(number: u64, bytes: &[u8]) -> BytesValue {
    let mut value = bytes.to_vec();
    if let Some(head) = value.first_chunk_mut::<8>() {
        *head = number.to_le_bytes();
    }
    let mut entry = BytesValue::new();
    entry.set_value(value);
    entry
}

impl Peer for Open {
    fn append_buffered(&mut self, records: &Records, from: u64, count: u64) -> Outcome<()> {
        for number in from..from + count {
            self.batch.add_entries::<Numbered>(GROUP, &[entry(number + 1, records.get(number))])?;
            self.engine.write(&mut self.batch, false)?;
        }
        Ok(())
    }

    fn fill(&mut self, records: &Records, count: u64) -> Outcome<()> {
        let mut number = 0;
        while number < count {
            let end = count.min(number + FILL);
            let entries: Vec<_> =
                (number..end).map(|number| entry(number + 1, records.get(number))).collect();
            self.batch.add_entries::<Numbered>(GROUP, &entries)?;
            self.engine.write(&mut self.batch, false)?;
            number = end;
        }
        Ok(self.engine.sync()?)
    }

    fn append_durable(&self, thread: usize, bytes: &[u8]) -> Outcome<()> {
        let group = GROUP + 1 + thread as u64;
        let number = self.engine.last_index(group).unwrap_or_default() + 1;
        let mut batch = LogBatch::with_capacity(1);
        batch.add_entries::<Numbered>(group, &[entry(number, bytes)])?;
        self.engine.write(&mut batch, true)?;
        Ok(())
    }

    fn read_random(&mut self, numbers: &[u64]) -> Outcome<u64> {
        let mut bytes = 0;
        for number in numbers {
            let found = self.engine.get_entry::<Numbered>(GROUP, number + 1)?;
            bytes += found.ok_or("an entry is missing")?.get_value().len() as u64;
        }
        Ok(bytes)
    }

    fn scan(&mut self) -> Outcome<u64> {
        let end = self.engine.last_index(GROUP).unwrap_or_default() + 1;
        let mut next = 1;
        let mut entries = Vec::new();
        while next < end {
            entries.clear();
            let to = end.min(next + (FETCH_BYTES / 128) as u64);
            let read = self.engine.fetch_entries_to::<Numbered>(GROUP, next, to, None, &mut entries)?;
            std::hint::black_box(&entries);
            next += read as u64;
        }
        Ok(next - 1)
    }

    fn found(&self) -> Outcome<u64> {
        Ok(self.engine.last_index(GROUP).unwrap_or_default())
    }
}
