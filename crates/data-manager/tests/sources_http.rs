//! The HTTP source against a server that answers as a test wants: what is accepted, and what each failure means.
//! Fails when a wrong answer is taken for the object, a call is made that the policy forbids, or a secret is shown.

mod sources_server;

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use data_manager::data_source::{
    DataSource, FetchRequest, FetchResponse, SourceError, SourceErrorKind, Validator,
};
use data_manager::options::{Network, Options};
use data_manager::sources::{HttpSource, Sources};
use futures_util::TryStreamExt;
use host::{Clock, TimeSource};
use sources_server::{Server, answer, path_of};
use url::Url;

const ETAG: &str = "ETag: \"v1\"";

#[derive(Debug)]
struct Fixed;

impl TimeSource for Fixed {
    fn monotonic(&self) -> Duration {
        Duration::ZERO
    }

    /// Sun, 06 Nov 1994 08:49:37 GMT
    fn wall(&self) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(784_111_777)
    }
}

fn source(network: Network) -> HttpSource {
    let mut options = Options::new("unused");
    options.network = network;
    HttpSource::new(&options, Clock::custom(Arc::new(Fixed))).expect("a source")
}

fn at(server: &Server, path: &str) -> Url {
    Url::parse(&format!("http://{}{path}", server.addr)).expect("a URL")
}

fn whole(url: Url) -> FetchRequest {
    FetchRequest { url, range: None, validator: None }
}

fn first_four(url: Url) -> FetchRequest {
    FetchRequest { url, range: Some(0..4), validator: Some(Validator("\"v1\"".to_owned())) }
}

async fn fetch(request: FetchRequest) -> Result<FetchResponse, SourceError> {
    source(Network::Private).fetch(request).await
}

async fn bytes(response: FetchResponse) -> Result<Vec<u8>, SourceError> {
    response
        .body
        .try_fold(Vec::new(), |mut all, piece| async move {
            all.extend_from_slice(&piece);
            Ok(all)
        })
        .await
}

#[tokio::test]
async fn a_whole_object_comes_with_its_length_and_version() {
    let server = Server::start(|_| answer("200 OK", &[ETAG], "01234567")).await;
    let response = fetch(whole(at(&server, "/a"))).await.expect("an answer");
    assert_eq!((response.offset, response.total, response.length), (0, Some(8), Some(8)));
    assert_eq!(response.validator, Some(Validator("\"v1\"".to_owned())));
    assert_eq!(bytes(response).await.expect("a body"), b"01234567");
    let request = server.requests().remove(0).to_lowercase();
    assert!(request.contains("accept-encoding: identity\r\n") && !request.contains("range:"), "{request}");
}

#[tokio::test]
async fn a_part_is_asked_for_by_range_and_version() {
    let server =
        Server::start(|_| answer("206 Partial Content", &[ETAG, "Content-Range: bytes 0-3/8"], "0123")).await;
    let response = fetch(first_four(at(&server, "/a"))).await.expect("an answer");
    assert_eq!((response.offset, response.total, response.length), (0, Some(8), Some(4)));
    let request = server.requests().remove(0).to_lowercase();
    for header in ["range: bytes=0-3\r\n", "if-range: \"v1\"\r\n", "if-match: \"v1\"\r\n"] {
        assert!(request.contains(header), "{header:?} in {request}");
    }
}

#[tokio::test]
async fn a_range_past_the_end_is_cut_to_the_object() {
    let server =
        Server::start(|_| answer("206 Partial Content", &["Content-Range: bytes 4-7/8"], "4567")).await;
    let request = FetchRequest { url: at(&server, "/a"), range: Some(4..1 << 40), validator: None };
    let response = fetch(request).await.expect("an answer");
    assert_eq!((response.offset, response.total, response.length), (4, Some(8), Some(4)));
}

#[tokio::test]
async fn a_server_that_ignores_the_range_gives_the_whole_object_from_its_start() {
    let server = Server::start(|_| answer("200 OK", &["ETag: \"v2\""], "01234567")).await;
    let response = fetch(first_four(at(&server, "/a"))).await.expect("an answer");
    assert_eq!((response.offset, response.total), (0, Some(8)));
    assert_eq!(response.validator, Some(Validator("\"v2\"".to_owned())));
}

#[tokio::test]
async fn weak_and_malformed_versions_are_none() {
    for etag in ["ETag: W/\"v1\"", "ETag: v1", "ETag: \"a\"b\"", "X: y"] {
        let server = Server::start(move |_| answer("200 OK", &[etag], "0")).await;
        assert_eq!(fetch(whole(at(&server, "/a"))).await.expect("an answer").validator, None, "{etag}");
    }
}

#[tokio::test]
async fn each_wrong_answer_has_the_kind_that_says_what_to_do() {
    use SourceErrorKind::{Busy, Changed, Internal, Permanent, Transient};
    let part = "206 Partial Content";
    let cases: &[(&str, &[&str], SourceErrorKind)] = &[
        (part, &[ETAG, "Content-Range: bytes 1-4/8"], Transient),
        (part, &[ETAG, "Content-Range: bytes 0-4/8"], Transient),
        (part, &[ETAG, "Content-Range: bytes 0-2/8"], Transient),
        (part, &[ETAG, "Content-Range: bytes 0-3/2"], Transient),
        (part, &[ETAG, "Content-Range: bytes 3-0/8"], Transient),
        (part, &[ETAG, "Content-Range: bytes 0-18446744073709551615/*"], Transient),
        (part, &[ETAG, "Content-Range: bytes +0-3/8"], Transient),
        (part, &[ETAG, "Content-Range: lines 0-3/8"], Transient),
        (part, &[ETAG, "Content-Type: multipart/byteranges; boundary=x"], Transient),
        (part, &["Content-Range: bytes 0-3/8"], Changed),
        (part, &["ETag: W/\"v1\"", "Content-Range: bytes 0-3/8"], Changed),
        (part, &["ETag: \"v2\"", "Content-Range: bytes 0-3/8"], Changed),
        (part, &[ETAG, "Content-Range: bytes 0-3/8", "Content-Encoding: gzip"], Permanent),
        ("200 OK", &[ETAG, "Content-Encoding: identity, br"], Permanent),
        ("412 Precondition Failed", &[], Changed),
        ("416 Range Not Satisfiable", &["Content-Range: bytes */2"], Changed),
        ("400 Bad Request", &[], Permanent),
        ("401 Unauthorized", &[], Permanent),
        ("403 Forbidden", &[], Permanent),
        ("404 Not Found", &[], Permanent),
        ("410 Gone", &[], Permanent),
        ("451 Unavailable For Legal Reasons", &[], Permanent),
        ("408 Request Timeout", &[], Transient),
        ("425 Too Early", &[], Transient),
        ("200 OK", &["Content-Type: Text/HTML; charset=utf-8"], Transient),
        ("500 Internal Server Error", &[], Internal),
        ("502 Bad Gateway", &[], Transient),
        ("504 Gateway Timeout", &[], Transient),
        ("599 Odd", &[], Internal),
        ("203 Non-Authoritative Information", &[], Transient),
        ("302 Found", &[], Transient),
        ("300 Multiple Choices", &[], Transient),
        ("429 Too Many Requests", &[], Busy),
        ("503 Service Unavailable", &[], Busy),
    ];
    for &(status, headers, kind) in cases {
        let server = Server::start(move |_| answer(status, headers, "0123")).await;
        let error = fetch(first_four(at(&server, "/a"))).await.expect_err(status);
        assert_eq!(error.kind, kind, "{status} {headers:?}: {error}");
        assert!(error.message.starts_with(&format!("http://{}/a: ", server.addr)), "{error}");
    }
}

#[tokio::test]
async fn a_part_with_another_start_end_or_length_is_not_taken() {
    for (range, body) in
        [("1-3/8", "123"), ("0-2/8", "012"), ("0-4/8", "01234"), ("0-3/8", "012"), ("4-7/8", "4567")]
    {
        let range = format!("Content-Range: bytes {range}");
        let server = Server::start(move |_| answer("206 Partial Content", &[ETAG, &range], body)).await;
        let error = fetch(first_four(at(&server, "/a"))).await.expect_err(body);
        assert_eq!(error.kind, SourceErrorKind::Transient, "{error}");
    }
}

#[tokio::test]
async fn a_part_where_the_whole_was_asked_for_is_refused() {
    let server =
        Server::start(|_| answer("206 Partial Content", &["Content-Range: bytes 0-3/8"], "0123")).await;
    assert_eq!(fetch(whole(at(&server, "/a"))).await.expect_err("a part").kind, SourceErrorKind::Transient);
}

#[tokio::test]
async fn retry_after_is_read_in_both_forms_and_capped() {
    let cases = [
        ("Retry-After: 7", Some(7)),
        ("Retry-After: 315360000", Some(300)),
        ("Retry-After: 99999999999999999999999999", Some(300)),
        ("Retry-After: Sun, 06 Nov 1994 08:50:07 GMT", Some(30)),
        ("Retry-After: Sun, 06 Nov 1994 08:50:07 GMT\r\nDate: Sun, 06 Nov 1994 08:50:05 GMT", Some(2)),
        ("Retry-After: Sat, 06 Nov 2094 08:50:07 GMT", Some(300)),
        ("Retry-After: Tue, 06 Nov 1984 08:49:37 GMT", Some(0)),
        ("Retry-After: -5", None),
        ("Retry-After: soon", None),
    ];
    for (header, seconds) in cases {
        let server = Server::start(move |_| answer("503 Service Unavailable", &[header], "")).await;
        let error = fetch(whole(at(&server, "/a"))).await.expect_err("busy");
        assert_eq!(error.retry_after, seconds.map(Duration::from_secs), "{header}");
    }
}

#[tokio::test]
async fn three_redirects_are_followed_and_a_fourth_is_not() {
    let server = Server::start(|head| match path_of(head).trim_start_matches("/hop").parse::<u32>() {
        Ok(0) => answer("200 OK", &[], "here"),
        Ok(left) => answer("307 Temporary Redirect", &[&format!("Location: /hop{}#part", left - 1)], ""),
        Err(_) => answer("404 Not Found", &[], ""),
    })
    .await;
    let response = fetch(whole(at(&server, "/hop3"))).await.expect("three hops");
    assert_eq!(bytes(response).await.expect("a body"), b"here");
    assert_eq!(
        fetch(whole(at(&server, "/hop4"))).await.expect_err("four hops").kind,
        SourceErrorKind::Permanent
    );
}

#[tokio::test]
async fn a_redirect_to_another_scheme_or_a_forbidden_address_is_refused() {
    for target in
        ["https://data.example/a", "file:///etc/passwd", "http://169.254.169.254/a", "//[fe80::1]/a"]
    {
        let location = format!("Location: {target}");
        let server = Server::start(move |_| answer("302 Found", &[&location], "")).await;
        let error = fetch(whole(at(&server, "/a"))).await.expect_err(target);
        assert_eq!(error.kind, SourceErrorKind::Refused, "{target}: {error}");
    }
}

#[tokio::test]
async fn credentials_go_along_within_an_origin_and_never_to_another() {
    let other = Server::start(|_| answer("200 OK", &[], "other")).await;
    let elsewhere = format!("Location: http://thief:word@{}/c", other.addr);
    let server = Server::start(move |head| match path_of(head) {
        "/a" => answer("302 Found", &["Location: /b"], ""),
        _ => answer("302 Found", &[&elsewhere], ""),
    })
    .await;
    let mut url = at(&server, "/a");
    url.set_username("user").expect("a host");
    url.set_password(Some("secret")).expect("a host");
    fetch(whole(url)).await.expect("an answer");
    let has_credentials = |head: &String| head.to_lowercase().contains("authorization:");
    assert_eq!(server.requests().iter().filter(|&head| has_credentials(head)).count(), 2);
    assert_eq!(other.requests().len(), 1);
    assert!(!has_credentials(&other.requests()[0]));
}

#[tokio::test]
async fn the_default_network_calls_no_private_address_in_any_spelling() {
    let trap = Server::start(|_| answer("200 OK", &[], "inside")).await;
    let port = trap.addr.port();
    for host in [
        "127.0.0.1",
        "2130706433",
        "0x7f.1",
        "0177.0.0.1",
        "127.1",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "[::127.0.0.1]",
        "[64:ff9b::7f00:1]",
        "localhost",
        "LOCALHOST.",
        "0.0.0.0",
        "10.0.0.1",
        "169.254.169.254",
    ] {
        let url = Url::parse(&format!("http://{host}:{port}/a")).expect("a URL");
        let error = source(Network::Public).fetch(whole(url)).await.expect_err(host);
        // A system may not know `localhost.`; then the name was not found, which is as good.
        let is_unknown_name = host == "LOCALHOST." && error.kind == SourceErrorKind::Transient;
        assert!(error.kind == SourceErrorKind::Refused || is_unknown_name, "{host}: {error}");
    }
    let error = source(Network::Public).fetch(whole(at(&trap, "/a"))).await.expect_err("loopback");
    assert!(error.message.contains("Network::Private (--allow-private)"), "{error}");
    assert!(trap.requests().is_empty(), "{:?}", trap.requests());
}

#[tokio::test]
async fn no_message_shows_a_password_or_a_query() {
    let cut = "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort";
    let server = Server::start(move |head| match path_of(head) {
        path if path.starts_with("/cut") => cut.as_bytes().to_vec(),
        path if path.starts_with("/odd") => b"nonsense\r\n\r\n".to_vec(),
        path if path.starts_with("/away") => {
            answer("302 Found", &["Location: http://169.254.1.1/x?token=hidden2"], "")
        }
        _ => answer("404 Not Found", &[], ""),
    })
    .await;
    let closed = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        listener.local_addr().expect("it is bound")
    };
    let mut urls: Vec<Url> = ["/gone", "/odd", "/away"].map(|path| at(&server, path)).into();
    urls.push(Url::parse(&format!("http://{closed}/a")).expect("a URL"));
    urls.push(Url::parse("http://name-that-is-not.invalid/a").expect("a URL"));
    let hidden = |mut url: Url| {
        url.set_username("user").expect("a host");
        url.set_password(Some("hidden1")).expect("a host");
        url.set_query(Some("token=hidden2"));
        url
    };
    let mut errors = Vec::new();
    for url in urls {
        errors.push(fetch(whole(hidden(url))).await.expect_err("none of them answers well"));
    }
    let response = fetch(whole(hidden(at(&server, "/cut")))).await.expect("a head");
    errors.push(bytes(response).await.expect_err("a short body"));
    for error in errors {
        let text = format!("{error} {error:?}");
        assert!(!text.contains("hidden") && !text.contains("user"), "{text}");
    }
}

#[tokio::test]
async fn a_short_body_a_reset_and_endless_headers_are_passing_failures() {
    let server = Server::start(|head| match path_of(head) {
        "/short" => b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort".to_vec(),
        "/headers" => [b"HTTP/1.1 200 OK\r\nX: ".as_slice(), &vec![b'x'; 8 << 20]].concat(),
        "/lines" => {
            [b"HTTP/1.1 200 OK\r\n".as_slice(), "X: y\r\n".repeat(1_000).as_bytes(), b"\r\n"].concat()
        }
        _ => Vec::new(),
    })
    .await;
    let response = fetch(whole(at(&server, "/short"))).await.expect("a head");
    assert_eq!(bytes(response).await.expect_err("short").kind, SourceErrorKind::Transient);
    for path in ["/headers", "/lines", "/nothing"] {
        let error = fetch(whole(at(&server, path))).await.expect_err(path);
        assert_eq!(error.kind, SourceErrorKind::Transient, "{path}: {error}");
    }
}

#[tokio::test]
async fn a_directory_listing_is_read_to_its_leaves() {
    let server = Server::start(|head| match path_of(head) {
        "/x/" => answer(
            "200 OK",
            &["Content-Type: text/html"],
            "<a href=\"../\">up</a><a href=\"y/\">y/</a>\n<a href=\"a\">a</a> 1 7\n",
        ),
        "/x/y/" => {
            answer("200 OK", &["Content-Type: application/json"], r#"[{"name":"b","type":"file","size":9}]"#)
        }
        _ => answer("404 Not Found", &[], ""),
    })
    .await;
    let mut found = source(Network::Private).list(at(&server, "/x/")).await.expect("a listing");
    found.sort_by(|one, other| one.path.cmp(&other.path));
    let found: Vec<_> = found.into_iter().map(|file| (file.path, file.url, file.size)).collect();
    assert_eq!(
        found,
        [("a".to_owned(), at(&server, "/x/a"), Some(7)), ("y/b".to_owned(), at(&server, "/x/y/b"), Some(9)),]
    );
    let error = source(Network::Private).list(at(&server, "/z/")).await.expect_err("nothing there");
    assert_eq!(error.kind, SourceErrorKind::Permanent);
}

#[tokio::test]
async fn dropping_the_body_hangs_up() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let url =
        Url::parse(&format!("http://{}/a", listener.local_addr().expect("it is bound"))).expect("a URL");
    let serving = tokio::spawn(async move {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let (mut socket, _) = listener.accept().await.expect("a connection");
        let mut request = vec![0; 4_096];
        let _request_bytes = socket.read(&mut request).await.expect("a request");
        socket.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\nsome").await.expect("a head");
        // Ends when the client hangs up, in order or by a reset.
        let _reset = socket.read_to_end(&mut request).await;
    });
    drop(fetch(whole(url)).await.expect("a head"));
    tokio::time::timeout(Duration::from_secs(10), serving).await.expect("it hangs up").expect("it serves");
}

#[tokio::test]
async fn a_scheme_that_nobody_serves_is_refused_with_the_known_ones() {
    let sources = Sources::new(&Options::new("unused")).expect("the sources");
    let url = Url::parse("ftp://data.example/a").expect("a URL");
    let error = sources.get(&url).expect_err("no such source");
    assert_eq!(error.kind, SourceErrorKind::Refused);
    assert!(error.message.contains("known are ") && error.message.contains("http, https"), "{error}");
    assert!(sources.get(&Url::parse("HTTPS://data.example/a").expect("a URL")).is_ok());
}

#[tokio::test]
async fn a_certificate_file_without_certificates_is_named() {
    let file = tempfile::NamedTempFile::new().expect("a file");
    let mut options = Options::new("unused");
    options.ca_files = vec![file.path().to_owned()];
    let error = HttpSource::new(&options, Clock::system()).expect_err("an empty file");
    assert!(error.to_string().contains(&file.path().display().to_string()), "{error}");
}
