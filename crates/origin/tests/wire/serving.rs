//! The sound origin: bytes, ranges, conditions, connections, log.
//! It tests no faults and no timing.

use std::io::Write as _;

use crate::client::{Client, Ended};
use bytes::Bytes;
use origin::{Content, Fault, Origin, Plan, Site};

const LEN: usize = 3_000_000;

fn generated(seed: u64) -> Content {
    Content::Generated { seed, len: LEN as u64 }
}

async fn origin() -> Origin {
    Origin::start(
        Site::new()
            .file("a/one", generated(1))
            .file("two", Content::Bytes(Bytes::from_static(b"0123456789"))),
    )
    .await
    .unwrap()
}

/// Fails when a kind of content or the way it is written changes bytes or lengths.
#[tokio::test]
async fn each_kind_of_content_arrives_as_it_is_whole_and_in_ranges() {
    let bytes = generated(5).read().unwrap();
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(&bytes).unwrap();
    let site = Site::new()
        .file("generated", generated(5))
        .file("bytes", Content::Bytes(bytes.clone().into()))
        .file("disk", Content::Disk(file.path().to_owned()));
    let origin = Origin::start(site).await.unwrap();
    for (path, round) in [("generated", 1), ("bytes", 2), ("disk", 3)] {
        let mut client = Client::connect(&origin).await;
        let whole = client.get(path, &[]).await;
        assert_eq!((whole.status(), whole.ended), (200, Ended::Complete), "{path}");
        assert!(whole.body == bytes, "{path}");
        for (first, end) in [(0, 1), (1, 9), (262_143, 1_048_577), (LEN - 1, LEN), (7, LEN)] {
            let part = client.range(path, &format!("bytes={first}-{}", end - 1)).await;
            assert_eq!(part.status(), 206, "{path}");
            assert_eq!(part.header("content-range"), Some(&*format!("bytes {first}-{}/{LEN}", end - 1)));
            assert!(part.body == bytes[first..end], "{path} {first}..{end}");
        }
        let len = LEN as u64;
        assert_eq!(origin.bytes_sent(), round * (len + 1 + 8 + 786_434 + 1 + len - 7), "{path}");
    }
    assert_eq!(origin.connections(), 3);
    file.close().unwrap();
    assert_eq!(Client::connect(&origin).await.get("disk", &[]).await.status(), 404);
}

/// Fails when the log loses a request, or shows ranges or counts that are off.
#[tokio::test]
async fn the_log_shows_each_request_its_range_and_the_bytes_it_got() {
    let origin = origin().await;
    let mut client = Client::connect(&origin).await;
    client.get("two?token=abc", &[("If-Range", "\"x\"")]).await;
    client.range("two", "bytes=2-4").await;
    client.range("two", "bytes=-3").await;
    let mut other = Client::connect(&origin).await;
    other.range("none", "bytes=5-").await;
    let log = origin.log();
    let seen: Vec<_> = log
        .iter()
        .map(|entry| (&*entry.path, entry.range, entry.status, entry.bytes_sent, entry.connection))
        .collect();
    assert_eq!(
        seen,
        [
            ("two", None, 200, 10, 1),
            ("two", Some((2, Some(5))), 206, 3, 1),
            ("two", Some((7, None)), 206, 3, 1),
            ("none", Some((5, None)), 404, 13, 2),
        ]
    );
    assert_eq!(log[0].query.as_deref(), Some("token=abc"));
    assert_eq!(log[0].header("if-range"), Some("\"x\""));
    assert!(log.is_sorted_by_key(|entry| entry.at));
    assert_eq!(origin.bytes_sent(), 29);
}

/// Fails when an unsatisfiable, multiple or senseless range is treated as a good one.
#[tokio::test]
async fn ranges_past_the_end_are_refused_and_odd_ones_ignored() {
    let origin = origin().await;
    let mut client = Client::connect(&origin).await;
    let past = client.range("two", "bytes=10-").await;
    assert_eq!((past.status(), past.header("content-range")), (416, Some("bytes */10")));
    for odd in ["bytes=0-1,4-5", "bytes=5-2", "pages=1-2"] {
        let reply = client.range("two", odd).await;
        assert_eq!((reply.status(), reply.body.len()), (200, 10), "{odd}");
    }
}

/// Fails when a condition is decided wrongly, or a replaced file keeps its tag.
#[tokio::test]
async fn conditions_follow_the_version_of_the_file() {
    let origin = origin().await;
    let mut client = Client::connect(&origin).await;
    let old = client.get("two", &[]).await.header("etag").unwrap().to_owned();
    assert!(old.starts_with('"'));
    let range = ("Range", "bytes=0-3");
    assert_eq!(client.get("two", &[range, ("If-Range", &old)]).await.status(), 206);
    assert_eq!(client.get("two", &[range, ("If-Match", &old)]).await.status(), 206);
    assert_eq!(client.get("two", &[("If-None-Match", &old)]).await.status(), 304);

    origin.replace("two", Content::Bytes(Bytes::from_static(b"9876543210")));
    let changed = client.get("two", &[range, ("If-Range", &old)]).await;
    assert_eq!((changed.status(), &changed.body[..]), (200, &b"9876543210"[..]));
    assert_ne!(changed.header("etag"), Some(&*old));
    assert_eq!(client.get("two", &[range, ("If-Match", &old)]).await.status(), 412);
    let date = ("If-Range", "Thu, 01 Jan 2026 00:00:00 GMT");
    assert_eq!(client.get("two", &[range, date]).await.status(), 200);

    origin.replace("two", Content::Bytes(Bytes::from_static(b"0123456789")));
    assert_ne!(
        client.get("two", &[]).await.header("etag"),
        Some(&*old),
        "the content came back, the tag must not"
    );
    origin.remove("two");
    assert_eq!(client.get("two", &[]).await.status(), 404);
}

/// Fails when a head answer differs from the answer to a get, or carries a body.
#[tokio::test]
async fn a_head_has_the_headers_of_a_get_and_no_body() {
    let origin = origin().await;
    let mut client = Client::connect(&origin).await;
    client.ask("HEAD", "two", &[]).await;
    let head = client.head().await.unwrap();
    assert_eq!((head.status, head.header("content-length")), (200, Some("10")));
    assert_eq!(
        client.get("two", &[]).await.header("etag"),
        head.header("etag"),
        "the next answer begins right here"
    );
}

/// Fails when the connection is dropped, or answers come in another order or mixed.
#[tokio::test]
async fn pipelined_requests_are_answered_in_order_on_one_connection() {
    let origin = origin().await;
    let mut client = Client::connect(&origin).await;
    let one = |n: u32| format!("GET /two HTTP/1.1\r\nHost: x\r\nRange: bytes={}-{}\r\n\r\n", n % 10, n % 10);
    client.send(&(0..200).map(one).collect::<String>()).await;
    for n in 0..200 {
        assert_eq!(client.reply().await.body, (n % 10).to_string().as_bytes());
    }
    assert_eq!((origin.connections(), origin.log().len()), (1, 200));
}

/// Fails when a wish to close is not honoured, or a half-closed client gets no answer.
#[tokio::test]
async fn connections_close_when_the_client_asks_for_it() {
    let origin = origin().await;
    let mut client = Client::connect(&origin).await;
    let reply = client.get("two", &[("Connection", "close")]).await;
    assert_eq!((reply.body.len(), reply.header("connection")), (10, Some("close")));
    assert!(client.is_closed().await);

    let mut old = Client::connect(&origin).await;
    old.send("GET /two HTTP/1.0\r\n\r\n").await;
    assert_eq!(old.reply().await.body.len(), 10);
    assert!(old.is_closed().await);
}

/// Fails when nonsense is answered as a request, hangs, or takes memory without bound.
#[tokio::test]
async fn what_is_no_request_is_refused_and_the_connection_closed() {
    let origin = origin().await;
    let flood = format!("GET / HTTP/1.1\r\nX: {}", "a".repeat(64 << 10));
    for (request, status) in [("\0\0\0\0\r\n\r\n", 400), (&*flood, 431)] {
        let mut client = Client::connect(&origin).await;
        client.send(request).await;
        assert_eq!(client.reply().await.status(), status);
        assert!(client.is_closed().await);
    }
    let mut client = Client::connect(&origin).await;
    client.send("POST /two HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc").await;
    assert_eq!(client.reply().await.status(), 405);
    assert!(client.is_closed().await);
}

/// Fails when a directory is not listed level by level, or names break the page.
#[tokio::test]
async fn directories_are_listed_when_the_site_says_so() {
    let site = Site::new()
        .file("d/a<b>.parquet", generated(1))
        .file("d/sub/x", generated(2))
        .file("d/sub/y", generated(3))
        .listing();
    let origin = Origin::start(site).await.unwrap();
    let mut client = Client::connect(&origin).await;
    let page = String::from_utf8(client.get("d/", &[]).await.body).unwrap();
    assert!(page.contains("<a href=\"a%3Cb%3E.parquet\">a&lt;b&gt;.parquet</a>"), "{page}");
    assert!(page.contains("3000000") && page.matches("<a href=\"sub/\">sub/</a>").count() == 1, "{page}");
    assert!(String::from_utf8(client.get("", &[]).await.body).unwrap().contains("href=\"d/\""));
    assert_eq!(client.get("none/", &[]).await.status(), 404);
    origin.set_fault("d/", Plan::first(1, Fault::FlipByte { at: 0 }));
    assert_eq!(client.get("d/", &[]).await.body[1..], page.as_bytes()[1..], "pages are struck like files");
    assert_eq!(client.get("d/a%3Cb%3E.parquet", &[]).await.body.len(), LEN);
}

/// Fails when connections outlive the handle, or the port is not free again.
#[tokio::test]
async fn dropping_the_origin_ends_its_connections_and_frees_its_address() {
    let origin = origin().await;
    let addr = origin.addr();
    let mut client = Client::connect(&origin).await;
    client.get("two", &[]).await;
    drop(origin);
    assert!(client.is_closed().await);
    assert!(tokio::net::TcpStream::connect(addr).await.is_err());
    let again = Origin::start_at(Site::new(), addr).await.unwrap();
    assert_eq!(again.addr(), addr);
    assert!(Origin::start_at(Site::new(), "0.0.0.0:0".parse().unwrap()).await.is_err());
}

/// Fails when waiting misses a request that came before or after it began.
#[tokio::test]
async fn a_test_can_wait_for_requests_and_bytes() {
    let origin = origin().await;
    let ask = async {
        let mut client = Client::connect(&origin).await;
        client.get("a/one", &[]).await
    };
    let (reply, ()) = tokio::join!(ask, async {
        origin.wait_for_requests(1).await;
        origin.wait_for_bytes(LEN as u64).await;
    });
    assert_eq!(reply.body.len(), LEN);
    origin.wait_for_requests(1).await;
}
