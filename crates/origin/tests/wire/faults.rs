//! Each fault once, seen from a raw socket, and the sound answer after it.
//! It tests what is on the wire, not what a client should make of it.

use std::time::{Duration, SystemTime};

use origin::{Content, Fault, Origin, Plan, RetryAfter, Site};
use tokio::time::Instant;

use crate::client::{Client, Ended, Reply};

const LEN: usize = 100_000;
const PATH: &str = "chunk/blocks.parquet";

fn content() -> Content {
    Content::Generated { seed: 1, len: LEN as u64 }
}

fn bytes() -> Vec<u8> {
    content().read().unwrap()
}

/// An origin that shows this fault once.
async fn with(fault: Fault) -> (Origin, Client) {
    let origin = Origin::start(Site::new().file(PATH, content())).await.unwrap();
    origin.set_fault("chunk/", Plan::first(1, fault));
    let client = Client::connect(&origin).await;
    (origin, client)
}

/// The struck answer, after checking that the one that follows it on a new connection is sound.
async fn struck(fault: Fault, headers: &[(&str, &str)]) -> Reply {
    let (origin, mut client) = with(fault).await;
    let reply = client.get(PATH, headers).await;
    let sound = Client::connect(&origin).await.get(PATH, &[]).await;
    assert_eq!((sound.status(), sound.body == bytes()), (200, true));
    reply
}

const RANGE: &[(&str, &str)] = &[("Range", "bytes=1000-1999")];

#[tokio::test]
async fn statuses_are_sent_with_and_without_a_retry_after() {
    assert_eq!(struck(Fault::Status(500), &[]).await.status(), 500);
    assert_eq!(struck(Fault::NotFound, RANGE).await.status(), 404);
    let date = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777);
    for (when, value) in [
        (RetryAfter::Seconds(7), "7"),
        (RetryAfter::Date(date), "Sun, 06 Nov 1994 08:49:37 GMT"),
        (RetryAfter::Raw("soon\r\nX: y".to_owned()), "soonX: y"),
    ] {
        let reply = struck(Fault::StatusRetryAfter(503, when), &[]).await;
        assert_eq!((reply.status(), reply.header("retry-after")), (503, Some(value)));
    }
}

#[tokio::test]
async fn a_hanging_request_is_read_logged_and_never_answered() {
    let (origin, mut client) = with(Fault::Hang).await;
    client.ask("GET", PATH, &[]).await;
    origin.wait_for_requests(1).await;
    assert!(client.is_silent().await);
    assert_eq!(origin.log()[0].status, 0);
}

#[tokio::test]
async fn a_hanging_body_stops_after_its_bytes_and_stays_open() {
    let (origin, mut client) = with(Fault::HangBody { after: 500 }).await;
    client.ask("GET", PATH, RANGE).await;
    let head = client.head().await.unwrap();
    assert_eq!((head.status, head.header("content-length")), (206, Some("1000")));
    assert_eq!(client.exactly(500).await, bytes()[1000..1500]);
    assert!(client.is_silent().await);
    assert_eq!(origin.bytes_sent(), 500);
}

#[tokio::test]
async fn a_reset_comes_before_the_answer_or_inside_the_body() {
    let (_origin, mut client) = with(Fault::ResetBeforeAnswer).await;
    client.ask("GET", PATH, &[]).await;
    assert_eq!(client.head().await.unwrap_err().kind(), std::io::ErrorKind::ConnectionReset);

    let reply = struck(Fault::Reset { after: 500 }, &[]).await;
    assert_eq!((reply.status(), reply.ended), (200, Ended::Reset));
    assert!(reply.body.len() <= 500);
}

#[tokio::test]
async fn an_early_close_comes_under_the_full_length() {
    let reply = struck(Fault::Close { after: 500 }, RANGE).await;
    assert_eq!((reply.header("content-length"), reply.ended), (Some("1000"), Ended::Early));
    assert_eq!(reply.body, bytes()[1000..1500]);
}

#[tokio::test]
async fn a_truncated_file_looks_complete() {
    let reply = struck(Fault::Truncate { by: 1 }, &[]).await;
    assert_eq!((reply.header("content-length"), reply.ended), (Some("99999"), Ended::Complete));
    assert_eq!(reply.body, bytes()[..LEN - 1]);
    let past = struck(Fault::Truncate { by: 99_500 }, RANGE).await;
    assert_eq!((past.status(), past.header("content-range")), (416, Some("bytes */500")));
}

#[tokio::test]
async fn a_short_answer_and_a_huge_length_declare_more_than_they_send() {
    let short = struck(Fault::Short, &[]).await;
    assert_eq!((short.header("content-length"), short.ended), (Some("104096"), Ended::Early));
    assert_eq!(short.body, bytes());
    let huge = struck(Fault::HugeLength, RANGE).await;
    assert_eq!((huge.header("content-length"), huge.ended), (Some("4611686018427387904"), Ended::Early));
    assert_eq!(huge.body, bytes()[1000..2000]);
}

#[tokio::test]
async fn a_long_answer_sends_more_than_the_file_holds() {
    let reply = struck(Fault::Long { extra: 300_000 }, &[]).await;
    assert_eq!((reply.header("content-length"), reply.ended), (None, Ended::Complete));
    assert_eq!(reply.body.len(), LEN + 300_000);
    assert!(reply.body.starts_with(&bytes()));
}

/// Fails when the log counts the lines of chunks as body.
#[tokio::test]
async fn the_log_counts_body_bytes_only() {
    let (origin, mut client) = with(Fault::Long { extra: 5 }).await;
    client.get(PATH, &[]).await;
    assert_eq!((origin.log()[0].status, origin.log()[0].bytes_sent), (200, LEN as u64 + 5));
}

#[tokio::test]
async fn an_endless_body_goes_on_until_the_client_leaves() {
    let (origin, mut client) = with(Fault::Endless).await;
    client.ask("GET", PATH, &[]).await;
    let head = client.head().await.unwrap();
    assert_eq!(head.header("transfer-encoding"), Some("chunked"));
    assert_eq!(client.exactly(7).await, b"186a0\r\n");
    assert_eq!(client.exactly(LEN).await, bytes());
    assert_eq!(client.exactly(9).await, b"\r\n40000\r\n", "there is no last chunk in between");
    for _ in 0..200 {
        client.exactly(100_000).await;
    }
    assert!(origin.bytes_sent() > 19_000_000);
}

#[tokio::test]
async fn a_flipped_byte_strikes_only_the_range_that_holds_it() {
    let whole = struck(Fault::FlipByte { at: 1500 }, &[]).await;
    let bytes = bytes();
    let differing: Vec<_> = (0..LEN).filter(|at| whole.body[*at] != bytes[*at]).collect();
    assert_eq!(differing, [1500]);
    assert_eq!(whole.body[1500] ^ bytes[1500], 1);
    assert_ne!(struck(Fault::FlipByte { at: 1999 }, RANGE).await.body, bytes[1000..2000]);
    assert_eq!(struck(Fault::FlipByte { at: 2000 }, RANGE).await.body, bytes[1000..2000]);
}

#[tokio::test]
async fn an_error_page_comes_with_status_200() {
    let reply = struck(Fault::ErrorPage, RANGE).await;
    assert_eq!((reply.status(), reply.header("content-type")), (200, Some("text/html")));
    assert!(reply.body.starts_with(b"<!DOCTYPE html>"));
}

#[tokio::test]
async fn ranges_are_ignored_or_answered_with_another_place_or_size() {
    let ignored = struck(Fault::IgnoreRange, RANGE).await;
    assert_eq!((ignored.status(), ignored.body == bytes()), (200, true));
    let elsewhere = struck(Fault::WrongOffset, RANGE).await;
    assert_eq!((elsewhere.status(), elsewhere.header("content-range")), (206, Some("bytes 999-1998/100000")));
    assert_eq!(elsewhere.body, bytes()[999..1999]);
    let first = struck(Fault::WrongOffset, &[("Range", "bytes=0-9")]).await;
    assert_eq!(
        (first.header("content-range"), &first.body[..]),
        (Some("bytes 1-10/100000"), &bytes()[1..11])
    );
    let total = struck(Fault::WrongTotal, RANGE).await;
    assert_eq!(total.header("content-range"), Some("bytes 1000-1999/100001"));
    assert_eq!(total.body, bytes()[1000..2000]);
}

#[tokio::test]
async fn entity_tags_change_each_time_are_weak_or_are_missing() {
    let (origin, mut client) = with(Fault::NoEtag).await;
    assert_eq!(client.get(PATH, &[]).await.header("etag"), None);
    let sound = client.get(PATH, &[]).await.header("etag").unwrap().to_owned();
    let resume = [("Range", "bytes=5-"), ("If-Range", &*sound)];

    origin.set_fault("", Plan::always(Fault::ETagEachTime));
    let tags = [client.get(PATH, &[]).await, client.get(PATH, &[]).await]
        .map(|reply| reply.header("etag").unwrap().to_owned());
    assert_ne!(tags[0], tags[1]);
    assert_eq!(client.get(PATH, &resume).await.status(), 200);
    assert_eq!(client.get(PATH, &[("If-Match", &sound)]).await.status(), 412);

    origin.set_fault("", Plan::always(Fault::WeakEtag));
    let weak = client.get(PATH, &[]).await.header("etag").unwrap().to_owned();
    assert_eq!(weak, format!("W/{sound}"));
    assert_eq!(client.get(PATH, &[("Range", "bytes=5-"), ("If-Range", &weak)]).await.status(), 200);
    origin.clear_faults();
    assert_eq!(client.get(PATH, &resume).await.status(), 206);
}

#[tokio::test]
async fn a_file_changes_in_the_midst_of_an_answer() {
    let (origin, mut client) = with(Fault::ChangeAfter { bytes: 500 }).await;
    let mixed = client.get(PATH, &[]).await;
    let new = origin.content(PATH).unwrap().read().unwrap();
    assert_eq!((mixed.ended, new.len()), (Ended::Complete, LEN));
    assert_eq!(mixed.body[..500], bytes()[..500]);
    assert_eq!(mixed.body[500..], new[500..]);
    assert_ne!(mixed.body[500..], bytes()[500..]);
    let after = client.get(PATH, &[]).await;
    assert_eq!(after.body, new);
    assert_ne!(after.header("etag"), mixed.header("etag"));
}

#[tokio::test]
async fn bodies_crawl_or_pause_and_answers_come_late() {
    let (origin, mut client) = with(Fault::Drip { bytes_per_second: 10_000 }).await;
    let timed = async |client: &mut Client| {
        let begin = Instant::now();
        assert_eq!(client.range(PATH, "bytes=0-1999").await.body, bytes()[..2000]);
        begin.elapsed()
    };
    assert!(timed(&mut client).await > Duration::from_millis(190));
    origin.set_fault("", Plan::always(Fault::Stall { after: 1000, for_ms: 1000 }));
    client.ask("GET", PATH, &[]).await;
    client.head().await.unwrap();
    client.exactly(1000).await;
    assert!(client.is_silent().await);
    assert_eq!(client.exactly(LEN - 1000).await, bytes()[1000..]);
    origin.set_fault("", Plan::always(Fault::Delay { for_ms: 150 }));
    assert!(timed(&mut client).await >= Duration::from_millis(150));
}

#[tokio::test]
async fn an_unasked_gzip_stream_is_valid() {
    let reply = struck(Fault::GzipEncoding, &[]).await;
    assert_eq!((reply.header("content-encoding"), reply.ended), (Some("gzip"), Ended::Complete));
    assert_eq!(reply.body[..4], [0x1f, 0x8b, 8, 0]);
    let (mut plain, mut rest) = (Vec::new(), &reply.body[10..]);
    loop {
        let (is_last, len) = (rest[0], usize::from(u16::from_le_bytes([rest[1], rest[2]])));
        assert_eq!([!rest[1], !rest[2]], rest[3..5]);
        plain.extend_from_slice(&rest[5..5 + len]);
        rest = &rest[5 + len..];
        if is_last == 1 {
            break;
        }
    }
    assert_eq!(plain, bytes());
    let trailer = [crc32fast::hash(&plain).to_le_bytes(), 100_000_u32.to_le_bytes()].concat();
    assert_eq!(rest, trailer);
}

#[tokio::test]
async fn headers_are_huge_or_slow() {
    let (_origin, mut client) = with(Fault::HugeHeaders { bytes: 8 << 20 }).await;
    client.ask("GET", PATH, RANGE).await;
    let head = client.head().await.unwrap();
    assert!(head.len > 8 << 20 && head.header("content-length") == Some("1000"), "{}", head.len);
    assert_eq!(client.exactly(1000).await, bytes()[1000..2000]);

    let (_origin, mut slow) = with(Fault::SlowHeaders).await;
    let begin = Instant::now();
    slow.ask("GET", PATH, &[]).await;
    assert_eq!(slow.exactly(4).await, b"HTTP");
    assert!(begin.elapsed() >= Duration::from_millis(300));
}

#[tokio::test]
async fn redirects_go_round_or_elsewhere() {
    let (origin, mut client) = with(Fault::RedirectLoop).await;
    let path = format!("{PATH}?x=1");
    let round = client.get(&path, &[]).await;
    assert_eq!((round.status(), round.header("location")), (302, Some(&*format!("/{path}"))));
    origin.set_fault("", Plan::always(Fault::RedirectTo("http://169.254.169.254/latest".to_owned())));
    assert_eq!(client.get(PATH, &[]).await.header("location"), Some("http://169.254.169.254/latest"));
}

#[tokio::test]
async fn a_bad_status_line_is_no_http() {
    let (_origin, mut client) = with(Fault::BadStatusLine).await;
    client.ask("GET", PATH, &[]).await;
    assert_eq!(client.head().await.unwrap_err().kind(), std::io::ErrorKind::InvalidData);
}

/// Fails when a fault of the body breaks the answer to a request for the head.
#[tokio::test]
async fn a_head_under_a_body_fault_is_sound_and_keeps_the_connection() {
    for fault in [
        Fault::Long { extra: 9 },
        Fault::GzipEncoding,
        Fault::Drip { bytes_per_second: 1 },
        Fault::Reset { after: 0 },
    ] {
        let (origin, mut client) = with(fault).await;
        client.ask("HEAD", PATH, &[]).await;
        assert_eq!(client.head().await.unwrap().status, 200);
        assert_eq!(client.get(PATH, &[]).await.body, bytes());
        assert_eq!(origin.connections(), 1);
    }
}

/// Fails when plans for one prefix replace each other although they were added, or outlive their removal.
#[tokio::test]
async fn added_plans_strike_one_after_the_other() {
    let (origin, mut client) = with(Fault::Status(500)).await;
    origin.add_fault("chunk/", Plan::first(1, Fault::Status(501)));
    let statuses = [client.get(PATH, &[]).await, client.get(PATH, &[]).await, client.get(PATH, &[]).await];
    assert_eq!(statuses.map(|reply| reply.status()), [500, 501, 200]);
    origin.set_fault("/chunk/", Plan::always(Fault::Status(502)));
    assert_eq!(client.get(PATH, &[]).await.status(), 502);
    origin.clear_faults();
    assert_eq!(client.get(PATH, &[]).await.status(), 200);
}
