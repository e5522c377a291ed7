//! Reads one request from bytes: method, path, range, conditions.
//! It never reads a socket, and never takes a head of more than 64 KiB.

use std::ops::Range;

/// Longer heads are answered with 431.
pub(crate) const HEAD_BYTES_MAX: usize = 64 << 10;

/// More header lines are answered with 431.
const HEADERS_MAX: usize = 100;

#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) method: String,
    /// As it was sent.
    pub(crate) target: String,
    /// Percent-decoded, without the leading `/` and the query.
    pub(crate) path: String,
    pub(crate) query: Option<String>,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) is_kept: bool,
    pub(crate) range: Asked,
}

impl Request {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }

    pub(crate) fn is_head(&self) -> bool {
        self.method == "HEAD"
    }
}

/// The part of the file that was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    Whole,
    /// From here up to an end that is not part of it, or up to the end of the file.
    From(u64, Option<u64>),
    /// The last so many bytes.
    Last(u64),
}

impl Asked {
    /// What a `Range` header asks for. Several ranges, other units and nonsense count as none, as the standard allows.
    pub(crate) fn parse(value: Option<&str>) -> Asked {
        let bounds = value.and_then(|value| value.trim().strip_prefix("bytes=")?.split_once('-'));
        let Some((first, last)) = bounds else { return Asked::Whole };
        match (number(first), number(last)) {
            (Some(first), Some(last)) if first <= last => Asked::From(first, Some(last.saturating_add(1))),
            (Some(first), None) if last.is_empty() => Asked::From(first, None),
            (None, Some(count)) if first.is_empty() => Asked::Last(count),
            _ => Asked::Whole,
        }
    }

    /// The bytes of a file of `len` bytes: none for the whole file, `Err` when nothing of the range exists.
    pub(crate) fn within(self, len: u64) -> Option<Result<Range<u64>, OutOfRange>> {
        let range = match self {
            Asked::Whole => return None,
            Asked::From(first, end) => first..end.unwrap_or(len).min(len),
            Asked::Last(count) => len.saturating_sub(count)..len,
        };
        Some(if range.is_empty() { Err(OutOfRange) } else { Ok(range) })
    }

    /// As the log shows it.
    pub(crate) fn logged(self, len: Option<u64>) -> Option<(u64, Option<u64>)> {
        match self {
            Asked::Whole => None,
            Asked::From(first, end) => Some((first, end)),
            Asked::Last(count) => Some((len?.saturating_sub(count), None)),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct OutOfRange;

pub(crate) enum Parsed {
    /// More bytes are needed.
    Partial,
    /// A request, and the length of its head.
    Request(Box<Request>, usize),
    /// Answer this status and close.
    Bad(u16),
}

pub(crate) fn parse(bytes: &[u8]) -> Parsed {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut raw = httparse::Request::new(&mut headers);
    let len = match raw.parse(bytes) {
        Ok(httparse::Status::Complete(len)) => len,
        Ok(httparse::Status::Partial) if bytes.len() < HEAD_BYTES_MAX => return Parsed::Partial,
        Ok(httparse::Status::Partial) | Err(httparse::Error::TooManyHeaders) => return Parsed::Bad(431),
        Err(_) => return Parsed::Bad(400),
    };
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let headers: Vec<_> =
        raw.headers.iter().map(|header| (header.name.to_owned(), text(header.value))).collect();
    let target = raw.path.unwrap_or_default().to_owned();
    let (path, query) = match target.split_once('?') {
        Some((path, query)) => (path, Some(query.to_owned())),
        None => (target.as_str(), None),
    };
    let mut request = Request {
        method: raw.method.unwrap_or_default().to_owned(),
        path: decoded(path.trim_start_matches('/')),
        query,
        target,
        is_kept: raw.version == Some(1),
        range: Asked::Whole,
        headers,
    };
    request.range = Asked::parse(request.header("range"));
    match request.header("connection").map(str::to_ascii_lowercase).as_deref() {
        Some("close") => request.is_kept = false,
        Some("keep-alive") => request.is_kept = true,
        _ => {}
    }
    // Bodies of requests are not read: whatever follows such a head is not a request.
    let has_body = request.header("content-length").is_some_and(|len| len.trim() != "0")
        || request.header("transfer-encoding").is_some();
    request.is_kept &= !has_body;
    Parsed::Request(Box::new(request), len)
}

/// Digits only: the standard library would also take a sign.
fn number(text: &str) -> Option<u64> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

fn decoded(path: &str) -> String {
    let mut bytes = Vec::with_capacity(path.len());
    let mut rest = path.as_bytes();
    while let Some((first, others)) = rest.split_first() {
        let hex =
            (*first == b'%').then(|| others.get(..2)).flatten().and_then(|hex| str::from_utf8(hex).ok());
        if let Some(byte) = hex.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            bytes.push(byte);
            rest = others.get(2..).unwrap_or_default();
        } else {
            bytes.push(*first);
            rest = others;
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Fails when a range is off by one, or nonsense is taken for a range.
    #[test]
    fn ranges_are_understood_and_nonsense_is_no_range() {
        let within = |value, len| Asked::parse(Some(value)).within(len);
        assert_eq!(within("bytes=0-0", 10), Some(Ok(0..1)));
        assert_eq!(within("bytes=2-", 10), Some(Ok(2..10)));
        assert_eq!(within("bytes=2-99", 10), Some(Ok(2..10)));
        assert_eq!(within("bytes=-3", 10), Some(Ok(7..10)));
        assert_eq!(within("bytes=-30", 10), Some(Ok(0..10)));
        assert_eq!(within("bytes=10-", 10), Some(Err(OutOfRange)));
        assert_eq!(within("bytes=-0", 10), Some(Err(OutOfRange)));
        assert_eq!(within("bytes=0-18446744073709551615", 10), Some(Ok(0..10)));
        for nonsense in ["bytes=-", "bytes=5-4", "bytes=0-1,3-4", "bytes=+1-2", "lines=1-2", "bytes=a-b", ""]
        {
            assert_eq!(within(nonsense, 10), None, "{nonsense}");
        }
    }

    /// Fails when a path is decoded twice, or a broken escape is a panic.
    #[test]
    fn paths_are_decoded_once() {
        assert_eq!(decoded("a%20b/%2525%2"), "a b/%25%2");
        assert_eq!(decoded("%e4%zz%"), "\u{fffd}%zz%");
    }
}
