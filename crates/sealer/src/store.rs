//! `Store`: the objects of one dataset, at a URL; and whether the store keeps what is written once.
//! Refuses to believe a store: what was written is read back, and who won is compared.

use std::path::Path;
use std::sync::{Arc, Barrier};
use std::thread;

use bytes::Bytes;
use host::{Clock, Disk};
use url::Url;

use crate::disk_place::DiskPlace;
use crate::error::Error;
use crate::hex::hex;
use crate::place::{Created, Place};
use crate::remote_place::RemotePlace;

/// How many race for one name, and over how many clients: what is wrong often needs several connections to be seen.
const WRITERS: usize = 16;
const CLIENTS: usize = 4;
/// Beside the one of the environment: each has two writers then.
const ENDPOINTS_MAX: usize = WRITERS / 2 - 1;
/// How many races there are. A store with a narrow gap loses one of them.
const RACES: usize = 8;
/// Large enough that writing takes a while.
const PROBE_BYTES: usize = 192 << 10;

/// The objects of one dataset. Cloning is cheap.
#[derive(Clone, Debug)]
pub struct Store {
    url: Arc<str>,
    place: Arc<dyn Place>,
}

/// What a check of a store has seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Checked {
    /// How many races were run.
    pub races: usize,
    /// How many writers took part in each.
    pub writers: usize,
    /// The most winners that one race had; 1 is right.
    pub winners_max: usize,
}

impl Store {
    /// The store at a URL: `file:///directory`, `s3://bucket/prefix`, `gs://bucket/prefix` or `az://container/prefix`.
    ///
    /// # Errors
    /// [`Error::Plan`] when it is none of these; [`Error::Store`].
    pub fn open(url: &str) -> Result<Store, Error> {
        Store::open_at(url, None)
    }

    /// The same at an endpoint other than that of the environment: another node of a cluster, say.
    ///
    /// # Errors
    /// As of [`Store::open`]; a directory has no endpoints.
    pub fn open_at(url: &str, endpoint: Option<&str>) -> Result<Store, Error> {
        let parsed = Url::parse(url).map_err(|error| {
            Error::plan(
                "store",
                format!("{url:?} is no URL ({error}); that of a directory is file:// and its absolute path"),
            )
        })?;
        if parsed.scheme() != "file" {
            return Ok(Store::of(url, Arc::new(RemotePlace::open(&parsed, endpoint)?)));
        }
        if endpoint.is_some() {
            return Err(Error::plan("store", format!("{url}: a directory has no endpoints")));
        }
        let path = parsed
            .to_file_path()
            .map_err(|()| Error::plan("store", format!("{url}: no path of this machine")))?;
        Store::on_disk(url, &open_disk(&path)?)
    }

    /// The directory at the root of a disk, which may be a simulated one.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub fn on_disk(url: &str, disk: &Disk) -> Result<Store, Error> {
        Ok(Store::of(url, Arc::new(DiskPlace::new(disk.clone()))))
    }

    /// A place of one's own, under a URL that is only shown.
    pub fn of(url: &str, place: Arc<dyn Place>) -> Store {
        Store { url: url.trim_end_matches('/').into(), place }
    }

    /// Its URL, without a slash at the end.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Where its objects lie.
    pub fn place(&self) -> &dyn Place {
        &*self.place
    }

    /// Has 16 writers race for one name, eight times over, and looks who won and what is there.
    ///
    /// # Errors
    /// [`Error::StoreRefused`] when more than one won, nobody did, or another's content is there; [`Error::Store`].
    pub fn check(&self) -> Result<Checked, Error> {
        self.check_beside(&[])
    }

    /// The same with writers at other endpoints of the store too, each of which has to show what the winner wrote.
    ///
    /// # Errors
    /// As of [`Store::check`]; [`Error::Plan`] for more than 7 others.
    pub fn check_beside(&self, others: &[Store]) -> Result<Checked, Error> {
        if others.len() > ENDPOINTS_MAX {
            let what = format!("at most {ENDPOINTS_MAX} more endpoints can be tried, not {}", others.len());
            return Err(Error::plan("endpoint", what));
        }
        let ways = others.len().saturating_add(1);
        let mut clients: Vec<Store> = [self].into_iter().chain(others).cloned().collect();
        while clients.len() < CLIENTS {
            // A place of somebody's own cannot be opened again by its URL: then one client stands for all.
            clients.push(Store::open(&self.url).unwrap_or_else(|_| self.clone()));
        }
        let clock = Clock::system();
        let stamp = format!("{:?} {:?} {}", clock.wall(), clock.monotonic(), std::process::id());
        let stamp: String = hex(blake3::hash(stamp.as_bytes()).as_bytes()).chars().take(16).collect();
        let mut checked = Checked { races: RACES, writers: WRITERS, winners_max: 0 };
        for race in 0..RACES {
            let name = format!("check/{stamp}-{race}");
            let seen = self.race(&name, &clients, ways);
            let removed = self.place.remove(&name);
            checked.winners_max = checked.winners_max.max(seen?);
            removed?;
        }
        Ok(checked)
    }

    /// One race; how many won it. The first clients are so many ways to the store.
    fn race(&self, name: &str, clients: &[Store], ways: usize) -> Result<usize, Error> {
        let start = Barrier::new(WRITERS);
        let outcomes = thread::scope(|scope| {
            let mut writers = Vec::new();
            for (number, client) in (0..WRITERS).zip(clients.iter().cycle()) {
                let start = &start;
                let write = move || {
                    start.wait();
                    client.place.put_new(name, probe(number))
                };
                let spawned =
                    thread::Builder::new().name("store-check".to_owned()).spawn_scoped(scope, write);
                writers.push(spawned);
            }
            writers.into_iter().map(joined).collect::<Vec<_>>()
        });
        let won = |(number, outcome): (usize, &Result<Created, Error>)| {
            matches!(outcome, Ok(Created::Now)).then_some(number)
        };
        let winners: Vec<usize> = outcomes.iter().enumerate().filter_map(won).collect();
        // Two winners are two, whatever became of the others; fewer may be due to a failure.
        if winners.len() < 2
            && let Some(error) = outcomes.into_iter().find_map(Result::err)
        {
            return Err(error);
        }
        let refused = |what: String| Err(Error::StoreRefused { what });
        let [winner] = winners.as_slice() else {
            return refused(format!(
                "of {WRITERS} writers of one name {} were told that they had won",
                winners.len()
            ));
        };
        for client in clients.iter().take(ways) {
            if client.place.get(name, PROBE_BYTES as u64)? != Some(probe(*winner)) {
                return refused(
                    "it holds what another writer wrote than the one that it told to have won".to_owned(),
                );
            }
        }
        if self.place.put_new(name, probe(WRITERS))? != Created::Before {
            return refused("it let a later writer replace the first".to_owned());
        }
        Ok(winners.len())
    }
}

/// What one writer writes.
fn probe(writer: usize) -> Bytes {
    let mark = u8::try_from(writer).unwrap_or(u8::MAX);
    vec![mark; PROBE_BYTES].into()
}

fn joined(
    spawned: std::io::Result<thread::ScopedJoinHandle<'_, Result<Created, Error>>>,
) -> Result<Created, Error> {
    let failed = |what: String| Error::Store { what, is_transient: false };
    let handle = spawned.map_err(|error| failed(format!("starting a thread: {error}")))?;
    handle.join().unwrap_or_else(|_| Err(failed("a writer of the check panicked".to_owned())))
}

fn open_disk(path: &Path) -> Result<Disk, Error> {
    Disk::open(path).map_err(|error| Error::Store { what: error.to_string(), is_transient: false })
}
