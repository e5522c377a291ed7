//! The object store source against a server that speaks as much of S3 and Azure as a test needs.
//! Fails when a request is not signed, an answer is misread, or a secret is shown.
#![cfg(feature = "object-store")]

mod sources_server;

use std::time::Duration;

use data_manager::data_source::{
    DataSource, FetchRequest, FetchResponse, SourceError, SourceErrorKind, Validator,
};
use data_manager::options::Options;
use data_manager::sources::ObjectSource;
use futures_util::TryStreamExt;
use host::Clock;
use sources_server::{Server, answer, path_of};
use url::Url;

const SECRET: &str = "c2VjcmV0LXRoYXQtaXMtaGlkZGVu";

/// A source whose environment names this server, with one variable left out.
fn source_without(server: &Server, left_out: &str) -> ObjectSource {
    let endpoint = format!("http://{}", server.addr);
    let variables = [
        ("AWS_ENDPOINT", endpoint.as_str()),
        ("AWS_ALLOW_HTTP", "true"),
        ("AWS_ACCESS_KEY_ID", "AKIAHIDDEN"),
        ("AWS_SECRET_ACCESS_KEY", SECRET),
        ("AWS_REGION", "eu-north-1"),
        ("AZURE_STORAGE_ACCOUNT_NAME", "account"),
        ("AZURE_STORAGE_ACCOUNT_KEY", SECRET),
        ("AZURE_STORAGE_ENDPOINT", endpoint.as_str()),
        ("AZURE_ALLOW_HTTP", "true"),
        ("PATH", "/bin"),
    ];
    let variables = variables.into_iter().filter(|(name, _)| *name != left_out);
    let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned()));
    ObjectSource::from_variables(&Options::new("unused"), Clock::system(), variables).expect("a source")
}

fn request(url: &str) -> FetchRequest {
    FetchRequest { url: Url::parse(url).expect("a URL"), range: None, validator: None }
}

async fn fetch(server: &Server, request: FetchRequest) -> Result<FetchResponse, SourceError> {
    source_without(server, "").fetch(request).await
}

#[tokio::test]
async fn a_part_is_asked_for_signed_and_by_version() {
    let server = Server::start(|_| {
        answer("206 Partial Content", &["ETag: \"v1\"", "Content-Range: bytes 2-4/8"], "234")
    })
    .await;
    let validator = Some(Validator("\"v1\"".to_owned()));
    let wanted =
        FetchRequest { range: Some(2..5), validator: validator.clone(), ..request("s3://bucket/a/b%20c") };
    let response = fetch(&server, wanted).await.expect("an answer");
    assert_eq!((response.offset, response.total, response.length), (2, Some(8), Some(3)));
    assert_eq!(response.validator, validator);
    let pieces: Vec<_> = response.body.try_collect().await.expect("a body");
    assert_eq!(pieces.concat(), b"234");
    let heads = server.requests();
    assert_eq!(heads.len(), 1);
    assert_eq!(path_of(&heads[0]), "/bucket/a/b%20c");
    let head = heads[0].to_lowercase();
    for header in
        ["authorization: aws4-hmac-sha256", "range: bytes=2-4\r\n", "if-match: \"v1\"\r\n", "/eu-north-1/s3/"]
    {
        assert!(head.contains(header), "{header:?} in {head}");
    }
}

#[tokio::test]
async fn a_container_of_azure_is_asked_with_the_accounts_key() {
    let server = Server::start(|_| answer("200 OK", &["ETag: \"v1\""], "01")).await;
    for scheme in ["az", "abfs"] {
        let response = fetch(&server, request(&format!("{scheme}://container/a"))).await.expect("an answer");
        assert_eq!((response.offset, response.total), (0, Some(2)));
    }
    for head in server.requests() {
        assert!(path_of(&head).ends_with("/container/a"), "{head}");
        assert!(head.to_lowercase().contains("authorization: sharedkey account:"), "{head}");
    }
}

#[tokio::test]
async fn each_answer_has_the_kind_it_has_over_http_and_shows_the_stores_code() {
    use SourceErrorKind::{Busy, Changed, Permanent, Transient};
    let cases: &[(&str, &[&str], SourceErrorKind)] = &[
        ("503 Slow Down", &["Retry-After: 3"], Busy),
        ("500 Internal Server Error", &[], SourceErrorKind::Internal),
        ("404 Not Found", &[], Permanent),
        ("403 Forbidden", &[], Permanent),
        ("400 Bad Request", &[], Permanent),
        ("412 Precondition Failed", &[], Changed),
        ("416 Range Not Satisfiable", &[], Changed),
        ("301 Moved Permanently", &["Location: http://169.254.169.254/a"], Permanent),
        ("206 Partial Content", &["Content-Range: bytes 1-18446744073709551615/*"], Transient),
        ("206 Partial Content", &["ETag: \"v2\"", "Content-Range: bytes 0-3/8"], Changed),
    ];
    for &(status, headers, kind) in cases {
        let body = "<Error><Code>SlowDown</Code><Message>AKIAHIDDEN</Message></Error>";
        let server = Server::start(move |_| {
            answer(status, headers, &body[..4.max(body.len() * usize::from(!status.starts_with('2')))])
        })
        .await;
        let validator = Some(Validator("\"v1\"".to_owned()));
        let wanted = FetchRequest { range: Some(0..4), validator, ..request("s3://bucket/a") };
        let error = fetch(&server, wanted).await.expect_err(status);
        assert_eq!(error.kind, kind, "{status}: {error}");
        assert_eq!(server.requests().len(), 1, "one call is one request: {status}");
        assert_eq!(error.retry_after, (kind == Busy).then_some(Duration::from_secs(3)));
        let is_coded = matches!(status.as_bytes()[0], b'4' | b'5');
        assert_eq!(error.message.contains("(SlowDown)"), is_coded, "{error}");
        assert!(error.message.starts_with("s3://bucket/a: "), "{error}");
        assert!(!format!("{error:?}").contains("HIDDEN"), "{error:?}");
    }
}

#[tokio::test]
async fn a_listing_goes_through_all_pages() {
    let page = |key: &str, rest: &str| {
        format!(
            "<ListBucketResult><Name>bucket</Name><Prefix>x/</Prefix><KeyCount>1</KeyCount>{rest}<Contents><Key>{key}</Key>\
             <LastModified>2026-11-20T10:00:00.000Z</LastModified><ETag>&quot;v1&quot;</ETag><Size>7</Size></Contents></ListBucketResult>"
        )
    };
    let server = Server::start(move |head| {
        let body = if path_of(head).contains("continuation-token=next") {
            page("x/y/b", "<IsTruncated>false</IsTruncated>")
        } else {
            page("x/a%", "<IsTruncated>true</IsTruncated><NextContinuationToken>next</NextContinuationToken>")
        };
        answer("200 OK", &["Content-Type: application/xml"], &body)
    })
    .await;
    let source = source_without(&server, "");
    let found = source.list(Url::parse("s3://bucket/x/").expect("a URL")).await.expect("a listing");
    let found: Vec<_> = found.into_iter().map(|file| (file.path, file.url.to_string(), file.size)).collect();
    assert_eq!(
        found,
        [
            ("a%".to_owned(), "s3://bucket/x/a%25".to_owned(), Some(7)),
            ("y/b".to_owned(), "s3://bucket/x/y/b".to_owned(), Some(7)),
        ]
    );
}

#[tokio::test]
async fn a_listing_that_fails_says_when_to_come_back() {
    let server =
        Server::start(|_| answer("503 Slow Down", &["Retry-After: 9"], "<Code>SlowDown</Code>")).await;
    let source = source_without(&server, "");
    let error = source.list(Url::parse("s3://bucket/x/").expect("a URL")).await.expect_err("busy");
    assert_eq!(
        (error.kind, error.retry_after),
        (SourceErrorKind::Busy, Some(Duration::from_secs(9))),
        "{error}"
    );
    assert_eq!(server.requests().len(), 1);
}

#[tokio::test]
async fn a_url_cannot_choose_where_credentials_go() {
    let trap = Server::start(|_| answer("200 OK", &[], "")).await;
    for url in [
        "az://container@thief.dfs.core.windows.net/a",
        "s3://bucket:9000/a",
        "s3://user:word@bucket/a",
        "s3:///a",
        "s3://bucket%2f..%2fother/a",
        "s3://bucket/a?versionId=1",
        "s3://bucket/a/%2e%2e%2fb",
    ] {
        let error = fetch(&trap, request(url)).await.expect_err(url);
        assert_eq!(error.kind, SourceErrorKind::Refused, "{url}: {error}");
    }
    assert!(trap.requests().is_empty(), "{:?}", trap.requests());
}

#[tokio::test]
async fn plain_http_is_used_only_when_the_environment_allows_it() {
    let trap = Server::start(|_| answer("200 OK", &[], "")).await;
    let error =
        source_without(&trap, "AWS_ALLOW_HTTP").fetch(request("s3://bucket/a")).await.expect_err("http");
    assert_eq!(error.kind, SourceErrorKind::Refused);
    assert!(error.message.contains("AWS_ALLOW_HTTP"), "{error}");
    assert!(trap.requests().is_empty());
}

#[tokio::test]
async fn settings_are_never_shown() {
    let server = Server::start(|_| answer("200 OK", &[], "")).await;
    let source = source_without(&server, "AZURE_STORAGE_ACCOUNT_NAME");
    let error = source.fetch(request("az://container/a")).await.expect_err("no account");
    assert_eq!(error.kind, SourceErrorKind::Permanent);
    for text in [format!("{source:?}"), format!("{error:?}")] {
        assert!(!text.contains(SECRET) && !text.contains("HIDDEN"), "{text}");
    }
}
