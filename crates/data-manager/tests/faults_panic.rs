//! A Data Source of the user's own that panics: the panic stays in the try that met it.
//! Fails when a panic ends another download, goes uncounted, or keeps what its task held.
#![expect(clippy::disallowed_methods, reason = "tests look at files as an outsider would")]

mod fixture;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use data_manager::data_chunk::DataChunk;
use data_manager::data_manager::{DataManagerImpl, Parts};
use data_manager::data_source::{BoxFuture, DataSource, FetchRequest, FetchResponse, SourceError};
use data_manager::event::Event;
use data_manager::status::FailureKind;
use fixture::{DATASET, PATIENCE, Said, Stock, assert_nothing_wrong, expect_event, stocked, wide_id};
use futures_util::stream;

/// Serves ten bytes for every URL, once it is calm. Until then it panics where the URL says.
#[derive(Debug, Default)]
struct Panicking {
    is_calm: AtomicBool,
}

impl Panicking {
    fn lose_temper(&self, url: &url::Url, place: &str) {
        assert!(self.is_calm.load(Ordering::Relaxed) || url.host_str() != Some(place), "as the test wants");
    }
}

/// The source as it is registered.
#[derive(Debug, Clone)]
struct Shared(Arc<Panicking>);

impl DataSource for Shared {
    fn fetch(&self, request: FetchRequest) -> BoxFuture<'_, Result<FetchResponse, SourceError>> {
        self.0.lose_temper(&request.url, "call");
        let source = Arc::clone(&self.0);
        Box::pin(async move {
            source.lose_temper(&request.url, "future");
            let body = stream::once(async move {
                source.lose_temper(&request.url, "body");
                Ok(Bytes::from_static(b"ten bytes."))
            });
            Ok(FetchResponse {
                offset: 0,
                total: Some(10),
                length: Some(10),
                validator: None,
                body: Box::pin(body),
            })
        })
    }
}

fn chunk(number: u32, place: &str, try_number: u32) -> DataChunk {
    let first = u64::from(number) * 10;
    let url = format!("panic://{place}/{number}?try={try_number}");
    DataChunk {
        id: wide_id(number),
        dataset_id: DATASET,
        block_range: first..first + 10,
        files: [("a.parquet".to_string(), url)].into(),
    }
}

#[test]
fn a_panic_in_a_source_is_counted_and_others_go_on_and_the_chunk_comes_once_it_is_over() {
    let stock: Vec<Stock> = (1..=8).map(|number| Stock::new(number, &[("a.parquet", 100_000)])).collect();
    let world = stocked(&stock);
    let source = Arc::new(Panicking::default());
    let registered: Arc<dyn DataSource> = Arc::new(Shared(Arc::clone(&source)));
    let parts = Parts { sources: vec![("panic".to_string(), registered)], ..Parts::default() };
    let mut options = world.options();
    // Whatever a panic kept of the few there are would be missed.
    (options.limits.chunks_in_flight_max, options.limits.connections_max) = (2, 2);
    let hold = DataManagerImpl::open_with(options, parts).unwrap();
    for (number, place) in [(100, "call"), (101, "future"), (102, "body")] {
        let mut watch = hold.watch();
        hold.download_chunk(chunk(number, place, 1)).unwrap();
        let failed = expect_event(
            &mut watch,
            "the failure",
            |event| matches!(event, Event::Failed { id, .. } if *id == wide_id(number)),
        );
        let Event::Failed { reason, next_try, .. } = failed else { unreachable!() };
        assert!(reason.contains("panicked") && next_try.is_some(), "{place}: {reason}");
        let status = hold.status(wide_id(number)).unwrap();
        assert_eq!(status.last_failure, Some(FailureKind::Panicked), "{place}");
    }
    let totals = hold.totals();
    assert_eq!((totals.panics, totals.connections, totals.staging), (3, 0, 0));
    for each in &stock {
        hold.download_chunk(each.chunk(&world.origin, Said::Size)).unwrap();
    }
    for each in &stock {
        hold.wait_chunk(each.id(), PATIENCE).unwrap();
    }
    assert_nothing_wrong(&hold, &stock);
    source.is_calm.store(true, Ordering::Relaxed);
    for (number, place) in [(100, "call"), (101, "future"), (102, "body")] {
        // Another URL ends the wait for the next try.
        hold.download_chunk(chunk(number, place, 2)).unwrap();
        let found = hold.wait_chunk(wide_id(number), PATIENCE).unwrap();
        let path = data_manager::data_chunk::DataChunkRef::path(&found).join("a.parquet");
        assert_eq!(std::fs::read(path).unwrap(), b"ten bytes.");
    }
}
