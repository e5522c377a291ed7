//! redb: a tree of pages that are copied when they change; a record's key is its number.
//! Refuses nothing that it can do; its settings are its own defaults.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use redb::{Database, Durability, ReadableDatabase, ReadableTable, TableDefinition};

use super::{Ability, Peer, Purpose, Rival};
use crate::Outcome;
use crate::records::Records;

const TABLE: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("records");

#[derive(Debug)]
pub(crate) struct Redb;

struct Open {
    database: Database,
    next: AtomicU64,
}

impl Rival for Redb {
    fn name(&self) -> &'static str {
        "redb 4.4.0"
    }

    fn abilities(&self) -> &'static [Ability] {
        &[Ability::Buffered, Ability::Durable, Ability::Read, Ability::Scan]
    }

    fn open(&self, dir: &Path, _purpose: Purpose) -> Outcome<Box<dyn Peer>> {
        let database = Database::create(dir.join("redb"))?;
        Ok(Box::new(Open { database, next: AtomicU64::new(0) }))
    }
}

impl Open {
    fn insert<'a>(
        &self,
        durability: Durability,
        records: impl Iterator<Item = (u64, &'a [u8])>,
    ) -> Outcome<()> {
        let mut transaction = self.database.begin_write()?;
        transaction.set_durability(durability)?;
        {
            let mut table = transaction.open_table(TABLE)?;
            for (number, bytes) in records {
                table.insert(number, bytes)?;
            }
        }
        Ok(transaction.commit()?)
    }
}

impl Peer for Open {
    fn append_buffered(&mut self, records: &Records, from: u64, count: u64) -> Outcome<()> {
        for number in from..from + count {
            self.insert(Durability::None, std::iter::once((number, records.get(number))))?;
        }
        Ok(())
    }

    fn fill(&mut self, records: &Records, count: u64) -> Outcome<()> {
        self.insert(Durability::Immediate, (0..count).map(|number| (number, records.get(number))))
    }

    fn append_durable(&self, _thread: usize, bytes: &[u8]) -> Outcome<()> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        self.insert(Durability::Immediate, std::iter::once((number, bytes)))
    }

    fn read_random(&mut self, numbers: &[u64]) -> Outcome<u64> {
        let table = self.database.begin_read()?.open_table(TABLE)?;
        let mut bytes = 0;
        for number in numbers {
            bytes += table.get(number)?.ok_or("a key is missing")?.value().len() as u64;
        }
        Ok(bytes)
    }

    fn scan(&mut self) -> Outcome<u64> {
        let table = self.database.begin_read()?.open_table(TABLE)?;
        let mut count = 0;
        for pair in table.iter()? {
            std::hint::black_box(pair?.1.value());
            count += 1;
        }
        Ok(count)
    }
}
