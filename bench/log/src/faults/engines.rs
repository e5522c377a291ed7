//! The engines that faults are tried on: how each appends one record durably, and how each reads what is left.
//! Refuses to help an engine: what it does not report, its adapter does not find out by itself.

use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex};

use fjall::{KeyspaceCreateOptions, PersistMode};
use okaywal::{Configuration, Entry, EntryId, LogManager, SegmentReader, WriteAheadLog};
use protobuf::well_known_types::BytesValue;
use raft_engine::{Config, Engine as RaftEngine, LogBatch, MessageExt};
use redb::{Database, Durability, ReadableDatabase, TableDefinition};
use rtrans::{Level, Log, Options, Parameters, TypeNo};
use walrus_rust::{FsyncSchedule, ReadConsistency, Walrus};

use super::content::{BYTES, number_of};
use crate::Outcome;

/// The engines, with their versions and how they are told to be durable.
pub(super) const ENGINES: [(&str, &str); 8] = [
    ("loghold", "append at level Disk, the default"),
    ("loghold format 1", "append at level Disk, the default"),
    ("raft-engine 0.4.2", "write with sync, recovery mode and the rest by default"),
    ("okaywal 0.3.1", "commit, which always syncs; no checkpoints, which would empty it"),
    ("fjall 3.1.13", "batch with PersistMode::SyncData"),
    ("walrus 0.2.0", "FsyncSchedule::SyncEach"),
    ("commitlog 0.2.0", "append and flush; it has nothing stronger"),
    ("redb 4.4.0", "Durability::Immediate, the default"),
];

/// What a reader of the engine meets.
pub(super) enum Seen<'a> {
    /// The record that was asked for with this number.
    Record(u64, &'a [u8]),
    /// The next record.
    Next(&'a [u8]),
    /// What the engine says of damage.
    Error(String),
}

/// Appends one record, and returns when it is on disk.
pub(super) type Append = Box<dyn FnMut(u64, &[u8]) -> Outcome<()>>;

/// Whoever wants to know what a reader meets.
pub(super) type See<'a> = &'a mut dyn FnMut(Seen<'_>);

const TABLE: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("records");
const TOPIC: &str = "records";
const GROUP: u64 = 1;

/// Opens an engine in a directory, to append.
pub(super) fn append(engine: &str, dir: &Path) -> Outcome<Append> {
    match engine.split(' ').next().unwrap_or_default() {
        "loghold" => {
            let log = log(engine, dir)?;
            Ok(Box::new(move |_, bytes| Ok(log.append_at(Level::Disk, TypeNo(1), bytes).map(drop)?)))
        }
        "raft-engine" => {
            let engine = raft_engine(dir)?;
            Ok(Box::new(move |_, bytes| {
                let mut value = BytesValue::new();
                value.set_value(bytes.to_vec());
                let mut batch = LogBatch::with_capacity(1);
                batch.add_entries::<Numbered>(GROUP, &[value])?;
                engine.write(&mut batch, true)?;
                Ok(())
            }))
        }
        "okaywal" => {
            let log = okaywal(dir, Recovered::default())?;
            Ok(Box::new(move |_, bytes| {
                let mut entry = log.begin_entry()?;
                entry.write_chunk(bytes)?;
                entry.commit()?;
                Ok(())
            }))
        }
        "fjall" => {
            let database = fjall::Database::builder(dir).open()?;
            let records = database.keyspace("records", KeyspaceCreateOptions::default)?;
            Ok(Box::new(move |number, bytes| {
                let mut batch = database.batch().durability(Some(PersistMode::SyncData));
                batch.insert(&records, number.to_be_bytes(), bytes);
                Ok(batch.commit()?)
            }))
        }
        "walrus" => {
            let log = walrus()?;
            Ok(Box::new(move |_, bytes| Ok(log.append_for_topic(TOPIC, bytes)?)))
        }
        "commitlog" => {
            let mut log = commitlog::CommitLog::new(commitlog::LogOptions::new(dir))?;
            Ok(Box::new(move |_, bytes| {
                log.append_msg(bytes)?;
                Ok(log.flush()?)
            }))
        }
        "redb" => {
            let database = Database::create(dir.join("redb"))?;
            Ok(Box::new(move |number, bytes| {
                let mut transaction = database.begin_write()?;
                transaction.set_durability(Durability::Immediate)?;
                transaction.open_table(TABLE)?.insert(number, bytes)?;
                Ok(transaction.commit()?)
            }))
        }
        other => Err(format!("there is no engine {other}").into()),
    }
}

/// Opens an engine in a directory, and reads what is there: by number up to `last`, or in order.
pub(super) fn read(engine: &str, dir: &Path, last: u64, see: See<'_>) -> Outcome<()> {
    match engine.split(' ').next().unwrap_or_default() {
        "loghold" => read_loghold(&log(engine, dir)?, see),
        "raft-engine" => {
            let engine = raft_engine(dir)?;
            by_number(last, see, |number| {
                let entry = engine.get_entry::<Numbered>(GROUP, number)?;
                Ok(entry.map(|entry| entry.get_value().to_vec()))
            });
        }
        "okaywal" => {
            let recovered = Recovered::default();
            let log = okaywal(dir, recovered.clone())?;
            for bytes in recovered.0.lock().map_err(|_| "a thread failed")?.iter() {
                see(Seen::Next(bytes));
            }
            drop(log);
        }
        "fjall" => {
            let database = fjall::Database::builder(dir).open()?;
            let records = database.keyspace("records", KeyspaceCreateOptions::default)?;
            by_number(last, see, |number| Ok(records.get(number.to_be_bytes())?.map(|value| value.to_vec())));
        }
        "walrus" => {
            let log = walrus()?;
            // It is bounded: a reader that stands still must not stand still for ever.
            for _ in 0..last + 16 {
                match log.read_next(TOPIC, true) {
                    Ok(Some(entry)) => see(Seen::Next(&entry.data)),
                    Ok(None) => break,
                    Err(error) => see(Seen::Error(error.to_string())),
                }
            }
        }
        "commitlog" => {
            use commitlog::message::MessageSet;
            let log = commitlog::CommitLog::new(commitlog::LogOptions::new(dir))?;
            for offset in 0..last {
                // One record and its head of 20 bytes, so that nobody's damage is told of another. The last one is found
                // only by who asks for more than it has.
                match log.read(offset, commitlog::ReadLimit::max_bytes(20 + BYTES + 1)) {
                    Ok(messages) => messages.iter().for_each(|message| see(Seen::Next(message.payload()))),
                    Err(error) => see(Seen::Error(error.to_string())),
                }
            }
        }
        "redb" => {
            let database = Database::create(dir.join("redb"))?;
            let table = match database.begin_read()?.open_table(TABLE) {
                // Nothing was committed.
                Err(redb::TableError::TableDoesNotExist(_)) => return Ok(()),
                table => table?,
            };
            by_number(last, see, |number| Ok(table.get(number)?.map(|value| value.value().to_vec())));
        }
        other => return Err(format!("there is no engine {other}").into()),
    }
    Ok(())
}

fn by_number(last: u64, see: See<'_>, mut get: impl FnMut(u64) -> Outcome<Option<Vec<u8>>>) {
    for number in 1..=last {
        match get(number) {
            Ok(Some(bytes)) => see(Seen::Record(number, &bytes)),
            Ok(None) => {}
            Err(error) => see(Seen::Error(error.to_string())),
        }
    }
}

fn log(engine: &str, dir: &Path) -> Outcome<Log> {
    let is_1 = engine.ends_with("format 1");
    let parameters = if is_1 { Parameters::format_1() } else { Parameters::format_2() };
    Ok(Log::open(dir, Options { parameters: Some(parameters), ..Options::default() })?)
}

fn read_loghold(log: &Log, see: See<'_>) {
    for damaged in &log.recovery().damaged {
        see(Seen::Error(damaged.to_string()));
    }
    for record in log.scan(..) {
        match record {
            // A record that was refused has no id: the next one takes it, so that ids and numbers differ.
            Ok(record) => see(Seen::Next(&record.bytes)),
            Err(error) => see(Seen::Error(error.to_string())),
        }
    }
}

fn walrus() -> Outcome<Walrus> {
    let reading = ReadConsistency::StrictlyAtOnce;
    Ok(Walrus::with_consistency_and_schedule(reading, FsyncSchedule::SyncEach)?)
}

/// The index of an entry is the number that the record holds.
#[derive(Debug)]
struct Numbered;

impl MessageExt for Numbered {
    type Entry = BytesValue;

    fn index(entry: &BytesValue) -> u64 {
        number_of(entry.get_value())
    }
}

fn raft_engine(dir: &Path) -> Outcome<RaftEngine> {
    let config = Config { dir: dir.to_string_lossy().into_owned(), ..Config::default() };
    Ok(RaftEngine::open(config)?)
}

/// The store behind okaywal: it keeps what is recovered.
#[derive(Debug, Clone, Default)]
struct Recovered(Arc<Mutex<Vec<Vec<u8>>>>);

impl LogManager for Recovered {
    fn recover(&mut self, entry: &mut Entry<'_>) -> io::Result<()> {
        if let Some(chunks) = entry.read_all_chunks()? {
            self.0.lock().map_err(|_| io::Error::other("a thread failed"))?.extend(chunks);
        }
        Ok(())
    }

    fn checkpoint_to(&mut self, _: EntryId, _: &mut SegmentReader, _: &WriteAheadLog) -> io::Result<()> {
        Ok(())
    }
}

fn okaywal(dir: &Path, recovered: Recovered) -> Outcome<WriteAheadLog> {
    let configuration = Configuration::default_for(dir).checkpoint_after_bytes(u64::MAX);
    Ok(configuration.open(recovered)?)
}
