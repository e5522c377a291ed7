//! Limits that change while downloads run, with a source that answers when it is told to and counts what is open.
//! Fails when a lower limit is passed, a request that is open is cut off by it, or a higher one wakes nobody.
#![expect(clippy::disallowed_methods, reason = "the fixture looks at files as an outsider would")]
#![expect(clippy::unwrap_used, reason = "helpers fail as tests do")]

mod fixture;

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use data_manager::data_chunk::DataChunk;
use data_manager::data_manager::{DataManagerImpl, Parts};
use data_manager::data_source::{
    BoxFuture, DataSource, FetchRequest, FetchResponse, SourceError, SourceErrorKind, Validator,
};
use data_manager::options::{Limits, Options};
use fixture::scripted::{bytes_of, ready};
use fixture::{DATASET, wide_id};
use futures_util::stream;
use tokio::runtime::Handle;
use tokio::sync::oneshot;

const CHUNKS: u32 = 20;

/// What the source knows of its requests.
#[derive(Debug, Default)]
struct Book {
    /// Those that wait for their answer, the oldest first.
    open: Vec<(String, oneshot::Sender<()>)>,
    /// Every URL that was asked for, in order.
    asked: Vec<String>,
    /// Those that went away before they were answered.
    cut: Vec<String>,
}

/// A source that answers a request when the test says so.
#[derive(Debug, Default)]
struct Gate {
    /// Held for memory work only.
    book: Mutex<Book>,
}

/// Notes that a request went away, unless it was answered.
struct Asked<'a> {
    gate: &'a Gate,
    url: String,
    is_answered: bool,
}

impl Drop for Asked<'_> {
    fn drop(&mut self) {
        if !self.is_answered {
            self.gate.book.lock().unwrap().cut.push(self.url.clone());
        }
    }
}

impl Gate {
    async fn answer(&self, request: FetchRequest) -> Result<FetchResponse, SourceError> {
        let (release, released) = oneshot::channel();
        let url = request.url.to_string();
        {
            let mut book = self.book.lock().unwrap();
            book.open.push((url.clone(), release));
            book.asked.push(url.clone());
        }
        let mut asked = Asked { gate: self, url: url.clone(), is_answered: false };
        let answered = released.await;
        asked.is_answered = true;
        answered.map_err(|_| SourceError::new(SourceErrorKind::Internal, "the test is over".to_string()))?;
        let number: u32 = url.rsplit('/').next().unwrap().parse().unwrap();
        let bytes = Bytes::from(bytes_of(number));
        let len = u64::try_from(bytes.len()).unwrap();
        Ok(FetchResponse {
            offset: 0,
            total: Some(len),
            length: Some(len),
            validator: Some(Validator("\"v1\"".to_string())),
            body: Box::pin(stream::iter([Ok(bytes)])),
        })
    }

    fn chunk(host: &str, number: u32) -> DataChunk {
        let first = u64::from(number) * 10;
        DataChunk {
            id: wide_id(number),
            dataset_id: DATASET,
            block_range: first..first + 10,
            files: HashMap::from([("a.parquet".to_string(), format!("gate://{host}/{number}#size=1000"))]),
        }
    }

    /// How many requests are open once nothing moves any more: the paused clock goes on only then.
    async fn open(&self) -> usize {
        tokio::time::sleep(Duration::from_millis(1)).await;
        let book = self.book.lock().unwrap();
        assert!(book.cut.is_empty(), "cut off: {:?}", book.cut);
        book.open.len()
    }

    fn answer_oldest(&self) {
        let (_, release) = self.book.lock().unwrap().open.remove(0);
        release.send(()).unwrap();
    }

    fn asked(&self) -> Vec<String> {
        self.book.lock().unwrap().asked.clone()
    }
}

impl DataSource for Gate {
    fn fetch(&self, request: FetchRequest) -> BoxFuture<'_, Result<FetchResponse, SourceError>> {
        Box::pin(self.answer(request))
    }
}

/// A hold that asks the gate.
fn open(gate: &Arc<Gate>, dir: &tempfile::TempDir, limits: Limits) -> DataManagerImpl {
    let mut options = Options::new(dir.path());
    options.limits = limits;
    let source: Arc<dyn DataSource> = Arc::<Gate>::clone(gate);
    let parts = Parts {
        sources: vec![("gate".to_string(), source)],
        runtime: Some(Handle::current()),
        ..Parts::default()
    };
    DataManagerImpl::open_with(options, parts).unwrap()
}

/// Lowers a limit of 6 to 2 under six open requests, raises it to 5, and lets all chunks come.
async fn change(set: impl Fn(&mut Limits, u32)) {
    let dir = tempfile::tempdir().unwrap();
    let gate = Arc::<Gate>::default();
    let with = |limit: u32| {
        let mut limits = Limits { free_bytes_min: 0, ..Limits::default() };
        set(&mut limits, limit);
        limits
    };
    let hold = open(&gate, &dir, with(6));
    let mut watch = hold.watch();
    for number in 0..CHUNKS {
        hold.download_chunk(Gate::chunk("host", number)).unwrap();
    }
    assert_eq!(gate.open().await, 6, "as many as the limit allows");

    hold.set_limits(with(2)).unwrap();
    assert_eq!(gate.open().await, 6, "those that are open stay");
    for left in [5, 4, 3, 2, 2, 2, 2] {
        gate.answer_oldest();
        assert_eq!(gate.open().await, left, "none begins above the lower limit, and others do below it");
    }

    hold.set_limits(with(5)).unwrap();
    assert_eq!(gate.open().await, 5, "those that waited begin at once");
    let mut highest = 0;
    while gate.open().await > 0 {
        gate.answer_oldest();
        highest = highest.max(gate.open().await);
    }
    assert_eq!(highest, 5);
    ready(&mut watch, (0..CHUNKS).map(wide_id)).await;
    let asked = gate.asked();
    let different: BTreeSet<&String> = asked.iter().collect();
    assert_eq!((asked.len(), different.len()), (20, 20), "each is asked for once");
    hold.close_in_task().await;
}

#[tokio::test(start_paused = true)]
async fn a_limit_of_connections_is_obeyed_from_the_moment_on_at_which_it_changes() {
    change(|limits, limit| limits.connections_max = limit).await;
}

#[tokio::test(start_paused = true)]
async fn a_limit_of_connections_per_source_is_obeyed_from_the_moment_on_at_which_it_changes() {
    change(|limits, limit| limits.connections_per_source_max = limit).await;
}

#[tokio::test(start_paused = true)]
async fn a_limit_of_chunks_in_flight_is_obeyed_from_the_moment_on_at_which_it_changes() {
    change(|limits, limit| limits.chunks_in_flight_max = limit).await;
}

#[tokio::test(start_paused = true)]
async fn a_lower_limit_per_source_is_one_for_each_source() {
    let dir = tempfile::tempdir().unwrap();
    let gate = Arc::<Gate>::default();
    let mut limits = Limits { free_bytes_min: 0, ..Limits::default() };
    let hold = open(&gate, &dir, limits);
    for number in 0..4 {
        hold.download_chunk(Gate::chunk("one", number)).unwrap();
    }
    assert_eq!(gate.open().await, 4);
    limits.connections_per_source_max = 2;
    hold.set_limits(limits).unwrap();
    for number in 4..6 {
        hold.download_chunk(Gate::chunk("one", number)).unwrap();
    }
    for number in 10..14 {
        hold.download_chunk(Gate::chunk("other", number)).unwrap();
    }
    assert_eq!(gate.open().await, 6);
    let asked = gate.asked();
    let of_other = asked.iter().filter(|url| url.starts_with("gate://other/")).count();
    assert_eq!((asked.len(), of_other), (6, 2), "{asked:?}");
    hold.close_in_task().await;
}
