//! The modelled link in real time: nothing comes earlier than the link allows.
//! That nothing comes later either is tested without a clock beside the code: here a busy machine decides.

use std::time::Duration;

use origin::{Content, Link, Origin, Site};
use tokio::time::Instant;

use crate::client::{Client, Ended};

fn large() -> Vec<u8> {
    let mut bytes = vec![0; 2_000_000];
    origin::generate(1, 0, &mut bytes);
    bytes
}

async fn origin(link: Link) -> Origin {
    let site = Site::new()
        .file("large", Content::Bytes(large().into()))
        .file("small", Content::Generated { seed: 2, len: 10 })
        .link(link);
    Origin::start(site).await.unwrap()
}

/// The timer of the runtime counts in milliseconds, and the link rounds to the nearest.
const TICK: Duration = Duration::from_millis(2);

fn assert_not_before(expected: Duration, taken: Duration) {
    assert!(taken + TICK >= expected, "{taken:?} is less than {expected:?}");
}

/// Fails when a round trip or the thinking time is left out.
#[tokio::test]
async fn the_first_answer_takes_two_round_trips_and_the_next_one() {
    let origin = origin(Link { bytes_per_second_total: Link::UNLIMITED, ..Link::wan() }).await;
    let begin = Instant::now();
    let mut client = Client::connect(&origin).await;
    client.get("small", &[]).await;
    assert_not_before(Duration::from_millis(130), begin.elapsed());
    let begin = Instant::now();
    client.get("small", &[]).await;
    assert_not_before(Duration::from_millis(80), begin.elapsed());
}

/// Fails when pipelined requests wait for each other's round trips.
#[tokio::test]
async fn pipelined_requests_share_one_round_trip() {
    let origin = origin(Link::wan()).await;
    let mut client = Client::connect(&origin).await;
    let begin = Instant::now();
    client.send(&"GET /small HTTP/1.1\r\n\r\n".repeat(20)).await;
    for _ in 0..20 {
        client.reply().await;
    }
    assert_not_before(Duration::from_millis(130), begin.elapsed());
    assert!(begin.elapsed() < Duration::from_secs(1), "one after the other takes 1650 ms");
}

/// Fails when a connection is faster than its bandwidth.
#[tokio::test]
async fn a_connection_has_its_own_bandwidth() {
    let origin = origin(Link { bytes_per_second_per_connection: 10_000_000, ..Link::default() }).await;
    let mut client = Client::connect(&origin).await;
    let begin = Instant::now();
    let reply = client.get("large", &[]).await;
    assert_not_before(Duration::from_millis(200), begin.elapsed());
    assert!(reply.body == large());
}

/// Fails when connections do not share the total.
#[tokio::test]
async fn connections_share_the_total_bandwidth() {
    let origin = origin(Link { bytes_per_second_total: 40_000_000, ..Link::default() }).await;
    let begin = Instant::now();
    let fetch = || async {
        let mut client = Client::connect(&origin).await;
        assert_eq!(client.get("large", &[]).await.body.len(), 2_000_000);
    };
    tokio::join!(fetch(), fetch(), fetch(), fetch());
    // Idle time is a credit of 25 ms at most.
    assert_not_before(Duration::from_millis(175), begin.elapsed());
}

/// Fails when a connection outlives its time, or is ended politely.
#[tokio::test]
async fn connections_are_reset_at_their_age() {
    let life = Duration::from_millis(100);
    let slow = Link { bytes_per_second_per_connection: 1_000_000, kill_after: Some(life), ..Link::default() };
    let origin = origin(slow).await;
    let mut client = Client::connect(&origin).await;
    let begin = Instant::now();
    let reply = client.get("large", &[]).await;
    assert_eq!(reply.ended, Ended::Reset);
    assert_not_before(life, begin.elapsed());
}
