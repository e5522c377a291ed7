//! fjall: a store of sorted keys with a journal; a record's key is its number.
//! Refuses nothing that it can do; its settings are its own defaults.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode};

use super::{Ability, Peer, Purpose, Rival};
use crate::Outcome;
use crate::records::Records;

#[derive(Debug)]
pub(crate) struct Fjall;

struct Open {
    database: Database,
    records: Keyspace,
    next: AtomicU64,
}

impl Rival for Fjall {
    fn name(&self) -> &'static str {
        "fjall 3.1.13"
    }

    fn abilities(&self) -> &'static [Ability] {
        &[Ability::Buffered, Ability::Durable, Ability::Read, Ability::Scan, Ability::Reopen]
    }

    fn open(&self, dir: &Path, _purpose: Purpose) -> Outcome<Box<dyn Peer>> {
        let database = Database::builder(dir).open()?;
        let records = database.keyspace("records", KeyspaceCreateOptions::default)?;
        Ok(Box::new(Open { database, records, next: AtomicU64::new(0) }))
    }
}

impl Peer for Open {
    fn append_buffered(&mut self, records: &Records, from: u64, count: u64) -> Outcome<()> {
        for number in from..from + count {
            self.records.insert(number.to_be_bytes(), records.get(number))?;
        }
        Ok(())
    }

    fn flush(&mut self) -> Outcome<()> {
        Ok(self.database.persist(PersistMode::Buffer)?)
    }

    fn append_durable(&self, _thread: usize, bytes: &[u8]) -> Outcome<()> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let mut batch = self.database.batch().durability(Some(PersistMode::SyncData));
        batch.insert(&self.records, number.to_be_bytes(), bytes);
        Ok(batch.commit()?)
    }

    fn read_random(&mut self, numbers: &[u64]) -> Outcome<u64> {
        let mut bytes = 0;
        for number in numbers {
            let value = self.records.get(number.to_be_bytes())?.ok_or("a key is missing")?;
            bytes += value.len() as u64;
        }
        Ok(bytes)
    }

    fn scan(&mut self) -> Outcome<u64> {
        let mut count = 0;
        for guard in self.records.iter() {
            std::hint::black_box(guard.value()?);
            count += 1;
        }
        Ok(count)
    }

    fn found(&self) -> Outcome<u64> {
        let last = self.records.last_key_value().ok_or("it is empty")?.key()?;
        Ok(last.first_chunk::<8>().map_or(0, |key| u64::from_be_bytes(*key) + 1))
    }
}
