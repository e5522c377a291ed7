//! Whether a store keeps what is written once: one that does is taken, one that does not is refused.
//! Refuses to trust a directory more than a bucket.

use std::sync::Arc;

use bytes::Bytes;
use host::Disk;
use host::sim::SimDisk;
use sealer::{Created, Error, Place, Sealer, Source, Store};

use crate::world::{Memory, World, plan};

/// A store that says yes to every writer, as some servers do.
#[derive(Debug)]
struct Careless(Memory);

impl Place for Careless {
    fn put(&self, name: &str, bytes: Bytes) -> Result<(), Error> {
        self.0.put(name, bytes)
    }

    fn put_new(&self, name: &str, bytes: Bytes) -> Result<Created, Error> {
        self.0.put(name, bytes).map(|()| Created::Now)
    }

    fn get(&self, name: &str, bytes_max: u64) -> Result<Option<Bytes>, Error> {
        self.0.get(name, bytes_max)
    }

    fn list(&self, directory: &str, after: &str) -> Result<Vec<String>, Error> {
        self.0.list(directory, after)
    }

    fn remove(&self, name: &str) -> Result<(), Error> {
        self.0.remove(name)
    }
}

#[test]
fn a_store_that_keeps_the_first_writer_is_taken_and_left_clean() {
    let memory = Memory::default();
    assert_eq!(memory.store().check().unwrap().winners_max, 1);
    assert_eq!(memory.names(), Vec::<String>::new());
}

#[test]
fn a_directory_keeps_the_first_writer() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(&format!("file://{}", dir.path().display())).unwrap();
    assert_eq!(store.check().unwrap().winners_max, 1);
    assert!(Disk::open(dir.path()).unwrap().list(std::path::Path::new("check")).unwrap().is_empty());
}

#[test]
fn a_store_that_lets_a_later_writer_replace_the_first_is_refused_before_the_first_chunk() {
    let world = World::new(1);
    let log = world.log();
    log.append(rtrans::TypeNo(1), b"a").unwrap();
    let store = Store::of("memory://careless", Arc::new(Careless(world.memory.clone())));
    assert!(matches!(store.check(), Err(Error::StoreRefused { .. })));
    let source = Source::Writer(log);
    let mut sealer =
        Sealer::open_on(plan("[cut]\nrecords = 1"), source, &store, &world.time.clock()).unwrap();
    assert!(matches!(sealer.step(), Err(Error::StoreRefused { .. })));
    assert_eq!(world.memory.names(), Vec::<String>::new());
}

#[test]
fn an_object_in_a_directory_survives_a_power_cut_whole_or_was_never_there() {
    for call in 1.. {
        let sim = SimDisk::new(call);
        let store = Store::on_disk("sim", &sim.disk()).unwrap();
        store.place().put_new("m/1", Bytes::from_static(b"one")).unwrap();
        let before = sim.calls();
        sim.crash_at(before + call);
        let put = store.place().put_new("m/2", Bytes::from_static(b"two"));
        let is_over = sim.calls() < before + call;
        sim.crash();
        let store = Store::on_disk("sim", &sim.disk()).unwrap();
        assert_eq!(store.place().get("m/1", 9).unwrap().unwrap(), "one");
        let found = store.place().get("m/2", 9).unwrap();
        assert!(found.is_none() || found.as_deref() == Some(b"two"), "call {call}: {found:?}");
        if put.is_ok() {
            assert!(found.is_some(), "call {call}: it was acknowledged");
        }
        assert!(store.place().list("m", "").unwrap().iter().all(|name| name == "1" || name == "2"));
        store.place().put_new("m/2", Bytes::from_static(b"two")).unwrap();
        if is_over {
            return;
        }
    }
}

#[test]
fn a_wrong_url_is_an_error_of_the_plan() {
    for url in ["nonsense", "ftp://host/a", "file://host/a", "s3:///a", "s3://user@bucket/a"] {
        assert!(matches!(Store::open(url), Err(Error::Plan { .. })), "{url}");
    }
}

#[test]
fn a_store_may_be_dropped_by_a_task_of_another_runtime() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async { drop(Store::open("s3://bucket/prefix").unwrap()) });
}
