//! What an HTTP answer to a request for bytes means: from status and headers to a response or an error.
//! Refuses to send, to follow redirects and to read bodies: it is a pure function.

use std::ops::Range;
use std::path::Path;
use std::time::{Duration, SystemTime};

use reqwest::StatusCode;
use reqwest::header::{
    CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, DATE, ETAG, HeaderMap, HeaderName,
    RETRY_AFTER,
};

use crate::data_source::{FetchRequest, SourceError, SourceErrorKind, Validator};

/// The longest wait that is taken from an answer.
const RETRY_AFTER_MAX: Duration = Duration::from_mins(5);
/// A longer `ETag` is not kept: it would be written to disk and sent back with every range.
const ETAG_BYTES_MAX: usize = 512;

/// An answer whose body is what was asked for, or the whole object.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Accepted {
    pub(super) offset: u64,
    pub(super) total: Option<u64>,
    pub(super) length: Option<u64>,
    pub(super) validator: Option<Validator>,
}

/// Judges an answer. `now` is the wall clock, for a Retry-After date from a server that sends no Date.
pub(super) fn judge(
    request: &FetchRequest,
    status: StatusCode,
    headers: &HeaderMap,
    now: SystemTime,
) -> Result<Accepted, SourceError> {
    match status {
        StatusCode::OK | StatusCode::PARTIAL_CONTENT => {}
        // A condition failed that was not set.
        StatusCode::PRECONDITION_FAILED if request.validator.is_none() => {
            return Err(SourceError::new(
                SourceErrorKind::Permanent,
                format!("the source answered {status}"),
            ));
        }
        _ => return Err(failure_of_status(status, headers, now)),
    }
    check_encoding(headers)?;
    check_page(request, headers)?;
    let validator = strong_validator(headers);
    let length = number(headers, &CONTENT_LENGTH);
    let accepted = match (status, &request.range) {
        (StatusCode::PARTIAL_CONTENT, Some(range)) => part(range, length, headers)?,
        (StatusCode::PARTIAL_CONTENT, None) => {
            return Err(odd("a part (206) was sent where the whole was asked for"));
        }
        _ => Accepted { offset: 0, total: length, length, validator: None },
    };
    if status == StatusCode::PARTIAL_CONTENT {
        check_version(request.validator.as_ref(), validator.as_ref())?;
    }
    Ok(Accepted { validator, ..accepted })
}

/// A part is only ever joined to others of the same version.
fn check_version(wanted: Option<&Validator>, found: Option<&Validator>) -> Result<(), SourceError> {
    match (wanted, found) {
        (Some(wanted), Some(found)) if wanted != found => Err(SourceError::new(
            SourceErrorKind::Changed,
            format!("the object is another version: ETag {} was asked for, {} sent", wanted.0, found.0),
        )),
        // Nothing tells whether it is the same version: whoever joined it to older parts would guess.
        (Some(wanted), None) => Err(SourceError::new(
            SourceErrorKind::Changed,
            format!("a part (206) without a strong ETag, where ETag {} was asked for", wanted.0),
        )),
        _ => Ok(()),
    }
}

fn part(range: &Range<u64>, length: Option<u64>, headers: &HeaderMap) -> Result<Accepted, SourceError> {
    let text = headers.get(CONTENT_RANGE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let Some((sent, total)) = content_range(text) else {
        return Err(odd(format!("a part (206) with Content-Range {text:?}")));
    };
    let wanted_end = total.map_or(range.end, |total| total.min(range.end));
    let is_whole = sent.end == wanted_end || (total.is_none() && sent.end < wanted_end);
    if sent.start != range.start || !is_whole {
        return Err(odd(format!(
            "bytes {}..{} were asked for, Content-Range {text:?} sent",
            range.start, range.end
        )));
    }
    let sent_length = sent.end - sent.start;
    if length.is_some_and(|length| length != sent_length) {
        return Err(odd(format!("Content-Range {text:?} with another Content-Length")));
    }
    Ok(Accepted { offset: sent.start, total, length: Some(sent_length), validator: None })
}

/// Reads `bytes FIRST-LAST/TOTAL` into a half-open range that is not empty, and a total it lies in (`None` for `*`).
fn content_range(text: &str) -> Option<(Range<u64>, Option<u64>)> {
    let (unit, rest) = text.trim().split_once(' ')?;
    let (range, total) = rest.trim().split_once('/')?;
    let (first, last) = range.split_once('-')?;
    let sent = decimal(first)?..decimal(last)?.checked_add(1)?;
    let total = match total {
        "*" => None,
        digits => Some(decimal(digits)?),
    };
    let is_sound = unit.eq_ignore_ascii_case("bytes")
        && sent.start < sent.end
        && total.is_none_or(|total| sent.end <= total);
    is_sound.then_some((sent, total))
}

/// What an answer means that is neither the object nor a part of it.
pub(super) fn failure_of_status(status: StatusCode, headers: &HeaderMap, now: SystemTime) -> SourceError {
    let kind = match status.as_u16() {
        429 | 503 => SourceErrorKind::Busy,
        // Not the version that If-Match named, or not so long any more.
        412 | 416 => SourceErrorKind::Changed,
        408 | 425 => SourceErrorKind::Transient,
        400..=499 => SourceErrorKind::Permanent,
        // With 502 and 504 what stands before the source could not reach it.
        500..=501 | 505..=599 => SourceErrorKind::Internal,
        _ => SourceErrorKind::Transient,
    };
    let retry_after = match kind {
        SourceErrorKind::Busy | SourceErrorKind::Transient | SourceErrorKind::Internal => {
            retry_after(headers, now)
        }
        _ => None,
    };
    SourceError { retry_after, ..SourceError::new(kind, format!("the source answered {status}")) }
}

/// Any other encoding than none would make lengths, ranges and digests mean other bytes, and open the door to bombs.
fn check_encoding(headers: &HeaderMap) -> Result<(), SourceError> {
    let names = headers.get_all(CONTENT_ENCODING).iter();
    for name in names.flat_map(|value| value.as_bytes().split(|&byte| byte == b',')) {
        let name = name.trim_ascii();
        if !name.is_empty() && !name.eq_ignore_ascii_case(b"identity") {
            return Err(SourceError::new(
                SourceErrorKind::Permanent,
                format!(
                    "the source sends Content-Encoding {:?} though identity was asked for",
                    String::from_utf8_lossy(name)
                ),
            ));
        }
    }
    Ok(())
}

/// Sign-in pages of networks and error pages of proxies come as 200 in place of the file. A listing is a page, and ends in `/`.
fn check_page(request: &FetchRequest, headers: &HeaderMap) -> Result<(), SourceError> {
    let kind = headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let is_page = kind.get(..9).is_some_and(|kind| kind.eq_ignore_ascii_case("text/html"));
    let name = request.url.path_segments().and_then(|mut segments| segments.next_back()).unwrap_or_default();
    let extension = Path::new(name).extension().unwrap_or_default();
    let is_page_wanted =
        name.is_empty() || ["html", "htm"].iter().any(|page| extension.eq_ignore_ascii_case(page));
    if is_page && !is_page_wanted {
        return Err(odd("an HTML page was sent in place of the file: a sign-in or error page?"));
    }
    Ok(())
}

/// A strong `ETag` as it was sent; none for weak, malformed or overlong ones.
fn strong_validator(headers: &HeaderMap) -> Option<Validator> {
    let text = headers.get(ETAG)?.to_str().ok()?.trim();
    let inner = text.strip_prefix('"')?.strip_suffix('"')?;
    (!inner.contains('"') && text.len() <= ETAG_BYTES_MAX).then(|| Validator(text.to_owned()))
}

/// How long the source asks to be left alone: seconds, or a date compared with the server's own clock where it sends it.
fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    let wait = if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        // More digits than fit are a very long time.
        Duration::from_secs(text.parse().unwrap_or(u64::MAX))
    } else {
        let until = httpdate::parse_http_date(text).ok()?;
        let sent = headers.get(DATE).and_then(|date| httpdate::parse_http_date(date.to_str().ok()?).ok());
        until.duration_since(sent.unwrap_or(now)).unwrap_or_default()
    };
    Some(wait.min(RETRY_AFTER_MAX))
}

fn number(headers: &HeaderMap, name: &HeaderName) -> Option<u64> {
    decimal(headers.get(name)?.to_str().ok()?.trim())
}

/// Digits only: `parse` alone would take a sign.
fn decimal(text: &str) -> Option<u64> {
    if text.bytes().all(|byte| byte.is_ascii_digit()) { text.parse().ok() } else { None }
}

fn odd(message: impl Into<String>) -> SourceError {
    SourceError::new(SourceErrorKind::Transient, message)
}
