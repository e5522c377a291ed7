//! A log on a simulated disk, and a store in memory that fails by script.
//! Refuses to assert; the tests do.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use host::sim::{ManualClock, SimDisk};
use rtrans::{Log, Options, Reader, Record, Threads};
use sealer::{Created, Error, Line, Place, Plan, Reading, Sealer, Source, Store};

/// What goes wrong with a call of the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wrong {
    /// Nothing is done.
    Refused,
    /// It is done, and the answer is lost.
    AnswerLost,
    /// From this call on nothing is done any more.
    Off,
    /// Other bytes are written than were given, and nobody is told.
    Garbled,
}

#[derive(Debug, Default)]
struct State {
    objects: BTreeMap<String, Bytes>,
    calls: u64,
    script: Option<(u64, Wrong)>,
    is_off: bool,
    puts: Vec<String>,
    /// What another writer creates a moment before the next one.
    rival: Option<Bytes>,
    is_garbled: bool,
}

/// Objects in memory.
#[derive(Clone, Debug, Default)]
pub(crate) struct Memory {
    state: Arc<Mutex<State>>,
}

impl Memory {
    pub(crate) fn store(&self) -> Store {
        Store::of("memory://test", Arc::new(self.clone()))
    }

    /// Lets the call go wrong that comes after `calls` others.
    pub(crate) fn go_wrong(&self, calls: u64, wrong: Wrong) {
        let mut state = self.state.lock().unwrap();
        state.script = Some((state.calls + calls, wrong));
    }

    pub(crate) fn heal(&self) {
        let mut state = self.state.lock().unwrap();
        (state.script, state.is_off) = (None, false);
    }

    /// Lets another writer be first at the next object that is created.
    pub(crate) fn be_first_next(&self, bytes: Bytes) {
        self.state.lock().unwrap().rival = Some(bytes);
    }

    pub(crate) fn calls(&self) -> u64 {
        self.state.lock().unwrap().calls
    }

    pub(crate) fn names(&self) -> Vec<String> {
        self.state.lock().unwrap().objects.keys().cloned().collect()
    }

    /// The names that were written, in order.
    pub(crate) fn puts(&self) -> Vec<String> {
        self.state.lock().unwrap().puts.clone()
    }

    pub(crate) fn object(&self, name: &str) -> Bytes {
        self.state.lock().unwrap().objects[name].clone()
    }

    pub(crate) fn set(&self, name: &str, bytes: impl Into<Bytes>) {
        self.state.lock().unwrap().objects.insert(name.to_owned(), bytes.into());
    }

    /// As if somebody had emptied the bucket.
    pub(crate) fn remove_manifests(&self) {
        self.state.lock().unwrap().objects.retain(|name, _| !name.starts_with("manifests/"));
    }

    fn call<T>(&self, work: impl FnOnce(&mut State) -> T) -> Result<T, Error> {
        let mut state = self.state.lock().unwrap();
        let failed = |is_transient| Err(Error::Store { what: "by script".to_owned(), is_transient });
        let call = state.calls;
        state.calls += 1;
        let wrong = state.script.filter(|(at, _)| *at == call).map(|(_, wrong)| wrong);
        match wrong {
            Some(Wrong::Off) => state.is_off = true,
            Some(Wrong::Garbled) => state.is_garbled = true,
            Some(Wrong::Refused) => return failed(true),
            Some(Wrong::AnswerLost) => {
                work(&mut state);
                return failed(true);
            }
            None => {}
        }
        if state.is_off {
            return failed(false);
        }
        Ok(work(&mut state))
    }
}

impl Place for Memory {
    fn put(&self, name: &str, bytes: Bytes) -> Result<(), Error> {
        self.call(|state| {
            state.puts.push(name.to_owned());
            let bytes =
                if std::mem::take(&mut state.is_garbled) { vec![0; bytes.len()].into() } else { bytes };
            state.objects.insert(name.to_owned(), bytes);
        })
    }

    fn put_new(&self, name: &str, bytes: Bytes) -> Result<Created, Error> {
        self.call(|state| {
            if let Some(rival) = state.rival.take() {
                state.objects.insert(name.to_owned(), rival);
            }
            if state.objects.contains_key(name) {
                return Created::Before;
            }
            state.puts.push(name.to_owned());
            state.objects.insert(name.to_owned(), bytes);
            Created::Now
        })
    }

    fn get(&self, name: &str, _bytes_max: u64) -> Result<Option<Bytes>, Error> {
        self.call(|state| state.objects.get(name).cloned())
    }

    fn list(&self, directory: &str, after: &str) -> Result<Vec<String>, Error> {
        self.call(|state| {
            let inside =
                state.objects.keys().filter_map(|name| name.strip_prefix(directory)?.strip_prefix('/'));
            inside.filter(|name| !name.contains('/') && *name > after).map(str::to_owned).collect()
        })
    }

    fn remove(&self, name: &str) -> Result<(), Error> {
        self.call(|state| drop(state.objects.remove(name)))
    }
}

/// A log, a store and a clock.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) sim: SimDisk,
    pub(crate) memory: Memory,
    pub(crate) time: ManualClock,
}

impl World {
    pub(crate) fn new(seed: u64) -> World {
        let time = ManualClock::new(std::time::UNIX_EPOCH + Duration::from_secs(1_700_000_000));
        World { sim: SimDisk::new(seed), memory: Memory::default(), time }
    }

    pub(crate) fn log(&self) -> Log {
        let options = Options { threads: Threads::None, record_bytes_max: 64 << 20, ..Options::default() };
        Log::open_on(&self.sim.disk(), &self.time.clock(), options).unwrap()
    }

    pub(crate) fn sealer(&self, plan: &Plan, log: &Log) -> Sealer {
        self.try_sealer(plan, log).unwrap()
    }

    pub(crate) fn try_sealer(&self, plan: &Plan, log: &Log) -> Result<Sealer, Error> {
        let source = Source::Writer(log.clone());
        let sealer = Sealer::open_on(plan.clone(), source, &self.memory.store(), &self.time.clock())?;
        Ok(sealer.trusting_store())
    }

    /// All lines of a range, from chunks and log.
    pub(crate) fn read(&self, plan: &Plan, log: Option<&Reader>, blocks: Range<u64>) -> Vec<Line> {
        let head = log.map(|log| (plan.clone(), log.clone()));
        let mut reading = Reading::new(&self.memory.store(), head, blocks);
        let mut lines = Vec::new();
        while let Some(line) = reading.next_within(Duration::ZERO).unwrap() {
            lines.push(line);
        }
        lines
    }
}

/// What a record says, without its time.
pub(crate) fn said(record: &Record) -> (u64, u32, Vec<u8>) {
    (record.id.get(), record.type_no.0, record.bytes.clone())
}

/// The records in lines.
pub(crate) fn records(lines: &[Line]) -> Vec<(u64, u32, Vec<u8>)> {
    let record = |line: &Line| match line {
        Line::Record { record, .. } => said(record),
        other => panic!("not a record: {other:?}"),
    };
    lines.iter().map(record).collect()
}

/// A plan with records as they are; `more` comes before the tables.
pub(crate) fn plan(more: &str) -> Plan {
    plan_with(more, "[[table]]\nfile = 'records.parquet'\ncolumns = 'raw'\n")
}

pub(crate) fn plan_with(more: &str, tables: &str) -> Plan {
    let defaults = [
        ("numbering", "'one-per-block'"),
        ("finality", "{ lag = 0 }"),
        ("dataset", "'trial'"),
        ("store", "'file:///nowhere'"),
    ];
    let mut text = String::new();
    for (key, value) in defaults {
        if !more.lines().any(|line| line.starts_with(key)) {
            text = text + key + " = " + value + "\n";
        }
    }
    Plan::parse(&format!("{text}{more}\n{tables}")).unwrap()
}
