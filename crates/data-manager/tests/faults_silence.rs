//! Sources that are silent, slow, dead or poisoned, on a paused clock. Fails when they delay chunks that others could bring,
//! when a chunk waits without a bound, or when a dead source is asked without a pause.
#![expect(clippy::disallowed_methods, reason = "tests look at files as an outsider would")]
#![expect(clippy::unwrap_used, reason = "helpers fail as tests do")]

mod fixture;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use data_manager::assignment::{Assignment, Dropping, Priority};
use data_manager::data_chunk::DataChunkRef;
use data_manager::data_manager::{DataManagerImpl, Parts};
use data_manager::data_source::{
    Body, BoxFuture, DataSource, FetchRequest, FetchResponse, SourceError, SourceErrorKind,
};
use data_manager::event::Event;
use fixture::scripted::{Manner, Scripted, bytes_of, event, options, options_with_mirror, ready};
use fixture::wide_id;
use futures_util::stream;
use tokio::runtime::Handle;

const POISONED: u32 = 300;
const GOOD: std::ops::Range<u32> = 1_000..1_100;

fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

/// Asks for 300 chunks that are answered in this manner, and then for 100 good ones, all of one host; returns when the good
/// ones are ready.
async fn poison(manner: Manner) -> (Duration, Arc<Scripted>) {
    let dir = tempfile::tempdir().unwrap();
    let source = Scripted::new();
    let hold = source.open(options(&dir));
    let mut watch = hold.watch();
    for number in 0..POISONED {
        hold.download_chunk(source.chunk("host", number, manner)).unwrap();
    }
    for number in GOOD {
        hold.download_chunk(source.chunk("host", number, Manner::Good)).unwrap();
    }
    ready(&mut watch, GOOD.map(wide_id)).await;
    let took = source.now();
    for number in GOOD {
        assert_eq!(
            source.asks_of(&format!("sim://host/{number}")).len(),
            1,
            "each good file is asked for once"
        );
        let chunk = hold.get_chunk(wide_id(number)).unwrap();
        assert_eq!(std::fs::read(chunk.path().join("a.parquet")).unwrap(), bytes_of(number));
    }
    hold.close_in_task().await;
    (took, source)
}

#[tokio::test(start_paused = true)]
async fn missing_objects_do_not_delay_the_good_ones_of_their_host() {
    let (took, source) = poison(Manner::Fails(SourceErrorKind::Permanent)).await;
    assert!(took < Duration::from_millis(100), "{took:?}");
    assert_eq!(source.asks().len(), 400, "a missing object is not asked for again at once");
}

#[tokio::test(start_paused = true)]
async fn objects_that_their_host_fails_on_do_not_delay_the_others() {
    let (took, _) = poison(Manner::Fails(SourceErrorKind::Internal)).await;
    assert!(took < Duration::from_millis(500), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn objects_that_are_never_answered_do_not_delay_the_others() {
    let (took, _) = poison(Manner::Silent).await;
    assert!(took < seconds(1), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn bodies_that_never_end_do_not_delay_the_others() {
    let (took, _) = poison(Manner::SilentAfter(100)).await;
    assert!(took < seconds(12), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn silent_requests_give_way_when_too_many_are_open() {
    let dir = tempfile::tempdir().unwrap();
    let source = Scripted::new();
    let mut options = options(&dir);
    options.limits.connections_max = 4;
    let hold = source.open(options);
    let mut watch = hold.watch();
    for number in 0..40 {
        hold.download_chunk(source.chunk("host", number, Manner::Silent)).unwrap();
    }
    hold.download_chunk(source.chunk("host", 1_000, Manner::Good)).unwrap();
    ready(&mut watch, [wide_id(1_000)]).await;
    assert!(source.now() < seconds(8), "{:?}", source.now());
    hold.close_in_task().await;
}

#[tokio::test(start_paused = true)]
async fn a_source_that_is_only_slow_is_waited_for_although_others_want_its_place() {
    let dir = tempfile::tempdir().unwrap();
    let source = Scripted::new();
    let mut options = options(&dir);
    options.limits.connections_max = 2;
    let hold = source.open(options);
    let mut watch = hold.watch();
    for number in 0..20 {
        hold.download_chunk(source.chunk("host", number, Manner::Late(seconds(3)))).unwrap();
    }
    ready(&mut watch, (0..20).map(wide_id)).await;
    hold.close_in_task().await;
}

#[tokio::test(start_paused = true)]
async fn a_chunk_that_comes_after_hundreds_of_hopeless_ones_is_served_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let source = Scripted::new();
    let hold = source.open(options(&dir));
    for number in 0..POISONED {
        let manner = match number % 3 {
            0 => Manner::Silent,
            1 => Manner::Fails(SourceErrorKind::Internal),
            _ => Manner::Fails(SourceErrorKind::Permanent),
        };
        hold.download_chunk(source.chunk("host", number, manner)).unwrap();
    }
    for round in 0..10 {
        tokio::time::sleep(seconds(97)).await;
        let mut watch = hold.watch();
        let asked = source.now();
        hold.download_chunk(source.chunk("host", 1_000 + round, Manner::Good)).unwrap();
        ready(&mut watch, [wide_id(1_000 + round)]).await;
        let took = source.now().saturating_sub(asked);
        assert!(took < seconds(3), "round {round}: {took:?}");
    }
    hold.close_in_task().await;
}

#[tokio::test(start_paused = true)]
async fn a_dead_source_is_asked_rarely_and_all_come_soon_when_it_is_back() {
    let dir = tempfile::tempdir().unwrap();
    let source = Scripted::new();
    let hold = source.open(options(&dir));
    let mut watch = hold.watch();
    for number in 0..200 {
        let chunk = source.chunk("host", number, Manner::Fails(SourceErrorKind::Transient));
        hold.download_chunk(chunk).unwrap();
    }
    let drain = tokio::spawn(async move { while watch.next().await.is_some() {} });
    tokio::time::sleep(seconds(600)).await;
    let asks = source.asks().len();
    assert!(asks < 2_500, "{asks} requests to a dead source in ten minutes");
    for number in 0..200 {
        source.set(&format!("sim://host/{number}"), Manner::Good);
    }
    let mut watch = hold.watch();
    let back = source.now();
    let open = (0..200).map(wide_id).filter(|id| hold.get_chunk(*id).is_none());
    ready(&mut watch, open).await;
    assert!(source.now().saturating_sub(back) < seconds(125), "{:?}", source.now().saturating_sub(back));
    drain.abort();
    hold.close_in_task().await;
}

#[tokio::test(start_paused = true)]
async fn a_blip_of_the_source_costs_seconds_and_not_the_length_of_a_probe() {
    let dir = tempfile::tempdir().unwrap();
    let source = Scripted::new();
    let hold = source.open(options(&dir));
    let mut watch = hold.watch();
    for number in 0..100 {
        hold.download_chunk(source.chunk("host", number, Manner::Fails(SourceErrorKind::Busy))).unwrap();
    }
    tokio::time::sleep(Duration::from_millis(300)).await;
    for number in 0..100 {
        source.set(&format!("sim://host/{number}"), Manner::Good);
    }
    ready(&mut watch, (0..100).map(wide_id)).await;
    assert!(source.now() < seconds(6), "{:?}", source.now());
    hold.close_in_task().await;
}

/// One chunk that never comes; returns when it is reported as failed, and why.
async fn fails_within(manner: Manner, bound: Duration) -> String {
    let dir = tempfile::tempdir().unwrap();
    let source = Scripted::new();
    let hold = source.open(options(&dir));
    let mut watch = hold.watch();
    hold.download_chunk(source.chunk("host", 1, manner)).unwrap();
    let failed = event(&mut watch, "the failure", |event| matches!(event, Event::Failed { .. })).await;
    let Event::Failed { reason, next_try, .. } = failed else { unreachable!() };
    assert!(source.now() <= bound, "{:?}", source.now());
    assert!(next_try.is_some());
    assert!(reason.contains("sim://host/1"), "{reason}");
    hold.close_in_task().await;
    reason
}

#[tokio::test(start_paused = true)]
async fn silence_is_reported_within_seconds_and_crawling_within_half_a_minute() {
    let reason = fails_within(Manner::Silent, seconds(16)).await;
    assert!(reason.contains("no answer for 15.0 s"), "{reason}");
    let reason = fails_within(Manner::SilentAfter(10), seconds(40)).await;
    assert!(reason.contains("fewer than 16384 bytes") || reason.contains("nothing came"), "{reason}");
    let reason = fails_within(Manner::Rate(10), seconds(40)).await;
    assert!(reason.contains("fewer than 16384 bytes"), "{reason}");
}

#[tokio::test(start_paused = true)]
async fn a_part_of_an_object_of_unknown_length_is_not_taken_for_the_whole() {
    let dir = tempfile::tempdir().unwrap();
    let source = Scripted::new();
    let hold = source.open(options(&dir));
    let mut watch = hold.watch();
    let mut chunk = source.chunk("host", 1, Manner::PartOfUnknown(400));
    // Without a size nothing but the answer tells how long the file is.
    chunk.files.values_mut().for_each(|url| url.truncate(url.find('#').unwrap()));
    hold.download_chunk(chunk).unwrap();
    event(&mut watch, "the end of a try", |event| matches!(event, Event::Ready(_) | Event::Failed { .. }))
        .await;
    let asked_whole = source.asks().iter().any(|ask| ask.range.is_none());
    assert!(asked_whole, "the whole object is asked for without a range");
    source.set("sim://host/1", Manner::Good);
    if hold.get_chunk(wide_id(1)).is_none() {
        ready(&mut watch, [wide_id(1)]).await;
    }
    hold.close_in_task().await;
}

#[tokio::test(start_paused = true)]
async fn a_mirror_that_is_silent_again_and_again_is_asked_beside_for_three_percent_and_a_run() {
    const LEN: usize = 512 << 10;
    let dir = tempfile::tempdir().unwrap();
    let source = Scripted::new();
    let hold = source.open(options_with_mirror(&dir));
    let mut watch = hold.watch();
    for round in 0..60 {
        for number in [2 * round, 2 * round + 1] {
            let mut chunk = source.chunk("host", number, Manner::Good);
            let url = format!("sim://host/{number}");
            source.put(&url, &vec![7; LEN], Some("\"v1\""), Manner::Late(seconds(8)));
            source.put(&format!("sim://mirror/{number}"), &vec![7; LEN], Some("\"v1\""), Manner::Silent);
            chunk.files = HashMap::from([("a.parquet".to_string(), format!("{url}#size={LEN}"))]);
            hold.download_chunk(chunk).unwrap();
        }
        ready(&mut watch, [2 * round, 2 * round + 1].map(wide_id)).await;
    }
    let asks = source.asks();
    let beside = asks.iter().filter(|ask| ask.url.starts_with("sim://mirror/")).count();
    let (beside, loaded) = (beside * LEN, 120 * LEN);
    assert!(beside > 8 << 20, "it is asked as long as that is paid for: {beside}");
    assert!(beside <= loaded * 3 / 100 + (16 << 20), "{beside} bytes of {loaded} were asked for twice");
    hold.close_in_task().await;
}

#[tokio::test(start_paused = true)]
async fn a_silent_source_is_left_for_its_mirror_and_then_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let source = Scripted::new();
    let hold = source.open(options_with_mirror(&dir));
    let mut watch = hold.watch();
    for number in 0..100 {
        hold.download_chunk(source.chunk("host", number, Manner::Silent)).unwrap();
        source.put(&format!("sim://mirror/{number}"), &bytes_of(number), Some("\"other\""), Manner::Good);
    }
    ready(&mut watch, (0..100).map(wide_id)).await;
    assert!(source.now() < seconds(6), "{:?}", source.now());
    let mut watch = hold.watch();
    let before = source.asks().len();
    let asked = source.now();
    let chunk = source.chunk("host", 100, Manner::Silent);
    source.put("sim://mirror/100", &bytes_of(100), Some("\"other\""), Manner::Good);
    hold.download_chunk(chunk).unwrap();
    ready(&mut watch, [wide_id(100)]).await;
    assert!(
        source.now().saturating_sub(asked) < Duration::from_millis(50),
        "the silent source is not asked at all"
    );
    assert_eq!(source.asks().len() - before, 1);
    hold.close_in_task().await;
}

/// How long a chunk takes whose first answer comes in this manner, while others of its host bring a megabyte a second.
async fn behind_others(manner: Manner) -> (Duration, usize) {
    let dir = tempfile::tempdir().unwrap();
    let source = Scripted::new();
    let hold = source.open(options(&dir));
    let large = |number: u32, manner: Manner| {
        let mut chunk = source.chunk("host", number, manner);
        source.put(&format!("sim://host/{number}"), &vec![7; 100_000], Some("\"v1\""), manner);
        chunk.files.values_mut().for_each(|url| *url = url.replace("size=1000", "size=100000"));
        chunk
    };
    let mut watch = hold.watch();
    for number in 0..20 {
        hold.download_chunk(large(number, Manner::Rate(1_000_000))).unwrap();
    }
    ready(&mut watch, (0..20).map(wide_id)).await;
    let mut watch = hold.watch();
    let asked = source.now();
    hold.download_chunk(large(20, manner)).unwrap();
    tokio::time::sleep(Duration::from_millis(500)).await;
    source.set("sim://host/20", Manner::Good);
    ready(&mut watch, [wide_id(20)]).await;
    let took = source.now().saturating_sub(asked);
    hold.close_in_task().await;
    (took, source.asks_of("sim://host/20").len())
}

#[tokio::test(start_paused = true)]
async fn a_body_that_brings_much_less_than_others_is_asked_for_anew_from_where_it_stands() {
    for manner in [Manner::Rate(500), Manner::SilentAfter(1_000)] {
        let (took, asks) = behind_others(manner).await;
        assert!(took < Duration::from_millis(1_600), "{manner:?}: {took:?}");
        assert_eq!(asks, 2, "{manner:?}");
    }
}

/// Nobody can go on with it: there is no digest, and no version.
#[tokio::test(start_paused = true)]
async fn a_whole_body_that_drips_while_others_bring_much_more_is_begun_anew() {
    let dir = tempfile::tempdir().unwrap();
    let source = Scripted::new();
    let hold = source.open(options(&dir));
    let large = |number: u32, manner: Manner| {
        let mut chunk = source.chunk("host", number, manner);
        source.put(&format!("sim://host/{number}"), &vec![7; 10_000_000], None, manner);
        chunk.files.values_mut().for_each(|url| *url = url.replace("size=1000", "size=10000000"));
        chunk
    };
    let mut watch = hold.watch();
    for number in 0..20 {
        hold.download_chunk(large(number, Manner::Rate(1_000_000))).unwrap();
    }
    ready(&mut watch, (0..20).map(wide_id)).await;
    let asked = source.now();
    // At this pace it would take twenty minutes.
    hold.download_chunk(large(20, Manner::Drip(8_000))).unwrap();
    event(&mut watch, "its start", |event| *event == Event::Started(wide_id(20))).await;
    tokio::time::sleep(seconds(1)).await;
    source.set("sim://host/20", Manner::Rate(1_000_000));
    ready(&mut watch, [wide_id(20)]).await;
    let took = source.now().saturating_sub(asked);
    assert!(took < seconds(40), "{took:?}");
    assert_eq!(source.asks_of("sim://host/20").len(), 2);
    hold.close_in_task().await;
}

#[tokio::test(start_paused = true)]
async fn a_body_that_is_a_fifth_as_fast_as_others_is_left_alone() {
    let (took, asks) = behind_others(Manner::Rate(200_000)).await;
    assert!(took >= Duration::from_millis(400) && asks == 1, "{asks} requests, {took:?}");
}

#[tokio::test(start_paused = true)]
async fn the_urgent_come_first_and_then_the_short() {
    let dir = tempfile::tempdir().unwrap();
    let source = Scripted::new();
    let mut options = options(&dir);
    options.limits.chunks_in_flight_max = 1;
    let hold = source.open(options);
    let mut watch = hold.watch();
    let sizes: [usize; 5] = [4_000_000, 2_000_000, 1_000_000, 3_000_000, 30_000_000];
    let mut chunks = Vec::new();
    for (number, size) in (1..).zip(sizes) {
        let mut chunk = source.chunk("host", number, Manner::Good);
        let url = format!("sim://host/{number}");
        source.put(&url, &vec![7; size], Some("\"v1\""), Manner::Good);
        chunk.files = HashMap::from([("a.parquet".to_string(), format!("{url}#size={size}"))]);
        chunks.push((chunk, Priority(if number == 5 { 10 } else { 0 })));
    }
    // In one call, so that none has waited longer than others, which counts too.
    hold.apply(Assignment { id: "all".to_string(), chunks, drop: Dropping::Now }).unwrap();
    let mut order = Vec::new();
    event(&mut watch, "all started", |event| {
        if let Event::Started(id) = event {
            order.push(*id);
        }
        order.len() == 5
    })
    .await;
    assert_eq!(order, [5, 3, 2, 4, 1].map(wide_id));
    hold.close_in_task().await;
}

#[tokio::test(start_paused = true)]
async fn bodies_that_drip_do_not_keep_other_sources_waiting() {
    let dir = tempfile::tempdir().unwrap();
    let source = Scripted::new();
    let hold = source.open(options(&dir));
    let mut watch = hold.watch();
    for number in 0..8 {
        let mut chunk = source.chunk("slow", number, Manner::Good);
        let url = format!("sim://slow/{number}");
        source.put(&url, &vec![7; 1_000_000], Some("\"v1\""), Manner::Drip(4_000));
        chunk.files = HashMap::from([("a.parquet".to_string(), format!("{url}#size=1000000"))]);
        hold.download_chunk(chunk).unwrap();
    }
    for number in 0..8 {
        event(&mut watch, "the start", |event| *event == Event::Started(wide_id(number))).await;
    }
    tokio::time::sleep(seconds(2)).await;
    let began = source.now();
    for number in 100..110 {
        hold.download_chunk(source.chunk("fast", number, Manner::Good)).unwrap();
    }
    ready(&mut watch, (100..110).map(wide_id)).await;
    let took = source.now().saturating_sub(began);
    assert!(took < seconds(1), "{took:?}");
    hold.close_in_task().await;
}

/// A piece of a body that counts how many of its kind are kept, and the most that ever were.
struct Piece(Arc<Kept>);

#[derive(Debug, Default)]
struct Kept {
    now: AtomicUsize,
    most: AtomicUsize,
}

impl Piece {
    fn new(kept: &Arc<Kept>) -> Piece {
        let now = kept.now.fetch_add(1, Ordering::Relaxed) + 1;
        kept.most.fetch_max(now, Ordering::Relaxed);
        Piece(Arc::clone(kept))
    }
}

impl AsRef<[u8]> for Piece {
    fn as_ref(&self) -> &[u8] {
        &[7]
    }
}

impl Drop for Piece {
    fn drop(&mut self) {
        self.0.now.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Answers byte by byte.
#[derive(Debug)]
struct ByteByByte(Arc<Kept>);

impl DataSource for ByteByByte {
    fn fetch(&self, request: FetchRequest) -> BoxFuture<'_, Result<FetchResponse, SourceError>> {
        let kept = Arc::clone(&self.0);
        let length = request.range.map_or(100_000, |range| range.end - range.start);
        let bytes = (0..length).map(move |_| Ok(Bytes::from_owner(Piece::new(&kept))));
        let body: Body = Box::pin(stream::iter(bytes));
        let total = Some(100_000);
        let answer = FetchResponse { offset: 0, total, length: Some(length), validator: None, body };
        Box::pin(async { Ok(answer) })
    }
}

#[tokio::test(start_paused = true)]
async fn a_body_in_tiny_pieces_does_not_pile_up_in_memory() {
    let dir = tempfile::tempdir().unwrap();
    let kept = Arc::new(Kept::default());
    let source: Arc<dyn DataSource> = Arc::new(ByteByByte(Arc::clone(&kept)));
    let parts = Parts {
        sources: vec![("sim".to_string(), source)],
        runtime: Some(Handle::current()),
        ..Parts::default()
    };
    let hold = DataManagerImpl::open_with(options(&dir), parts).unwrap();
    let mut watch = hold.watch();
    let mut chunk = Scripted::new().chunk("host", 1, Manner::Good);
    chunk.files = HashMap::from([("a.parquet".to_string(), "sim://host/1#size=100000".to_string())]);
    hold.download_chunk(chunk).unwrap();
    ready(&mut watch, [wide_id(1)]).await;
    let most = kept.most.load(Ordering::Relaxed);
    assert!(most <= 2_048, "{most} pieces were kept at once");
    hold.close_in_task().await;
}
