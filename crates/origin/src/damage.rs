//! Turns a request, a file and a fault into the script of the answer. Pure: each fault is a change of data.
//! It never decides which request is struck; `rules` has done so.

use std::ops::Range;
use std::time::Duration;

use bytes::Bytes;

use crate::answer::{View, answer, part};
use crate::fault::{Fault, RetryAfter};
use crate::request::{Asked, Request};
use crate::script::{Answer, Framing, Payload, Script, Step};

/// How much [`Fault::Short`] declares too much.
const SHORT_BY: u64 = 4096;

const HUGE_LENGTH: u64 = 1 << 62;

const ERROR_PAGE: &str = "<!DOCTYPE html>\n<html><head><title>Sign in</title></head>\n\
    <body><h1>Welcome to the guest network</h1><p>Please sign in to go on.</p></body></html>\n";

/// The script for a request. `nonce` is a number that was never given before; `view` is none when there is no such file.
pub(crate) fn script(request: &Request, view: Option<&View>, fault: Option<&Fault>, nonce: u64) -> Script {
    let mut script = fault
        .and_then(|fault| instead(request, fault))
        .or_else(|| Some(of_file(request, view?, fault, nonce)))
        .unwrap_or_else(|| Answer::text(404, "no such file\n").script(request.is_kept));
    if request.is_head() {
        // A head alone: what goes wrong in a body cannot go wrong here.
        script.body.clear();
    }
    script
}

/// The faults that do not need the file.
fn instead(request: &Request, fault: &Fault) -> Option<Script> {
    let bare = |step| Script {
        status: 0,
        head: vec![step],
        body: Vec::new(),
        body_bytes_per_second: None,
        is_kept: false,
    };
    let answer = match fault {
        Fault::Hang => return Some(bare(Step::Hang)),
        Fault::ResetBeforeAnswer => return Some(bare(Step::Reset)),
        Fault::BadStatusLine => return Some(bare(Step::Frame(Bytes::from_static(b"HTP/9 banana\r\n\r\n")))),
        Fault::Status(status) => Answer::text(*status, "this answer is a fault\n"),
        Fault::StatusRetryAfter(status, when) => {
            Answer::text(*status, "come again\n").with("Retry-After", &retry_after(when))
        }
        Fault::NotFound => Answer::text(404, "no such file\n"),
        Fault::ErrorPage => Answer::text(200, ERROR_PAGE).with("Content-Type", "text/html"),
        Fault::RedirectLoop => Answer::text(302, "").with("Location", &request.target),
        Fault::RedirectTo(url) => Answer::text(302, "").with("Location", url),
        _ => return None,
    };
    Some(answer.script(request.is_kept))
}

fn retry_after(when: &RetryAfter) -> String {
    match when {
        RetryAfter::Seconds(seconds) => seconds.to_string(),
        RetryAfter::Date(date) => httpdate::fmt_http_date(*date),
        RetryAfter::Raw(text) => text.clone(),
    }
}

fn of_file(request: &Request, view: &View, fault: Option<&Fault>, nonce: u64) -> Script {
    let mut view = view.clone();
    let mut range = request.range;
    match fault {
        Some(Fault::Truncate { by }) => view.len = view.len.saturating_sub(*by),
        Some(Fault::ETagEachTime) => view.etag = Some(format!("\"each-{nonce:x}\"")),
        Some(Fault::WeakEtag) => view.etag = view.etag.map(|etag| format!("W/{etag}")),
        Some(Fault::NoEtag) => view.etag = None,
        Some(Fault::IgnoreRange) => range = Asked::Whole,
        _ => {}
    }
    let answer = answer(request, &view, range);
    let (Some(fault), Payload::File(range)) = (fault, &answer.payload) else {
        return answer.script(request.is_kept);
    };
    let range = range.clone();
    let answer = headed(answer, &view, range.clone(), fault);
    let mut script = framed(answer, range, fault, request.is_kept);
    in_the_midst(&mut script, fault);
    script
}

/// The faults of the head that keep the answer whole in itself.
fn headed(answer: Answer, view: &View, range: Range<u64>, fault: &Fault) -> Answer {
    match fault {
        Fault::WrongOffset => match shifted(&range, view.len) {
            Some(shifted) => part(view, shifted, view.len),
            None => answer,
        },
        Fault::WrongTotal if answer.status == 206 => part(view, range, view.len + 1),
        Fault::GzipEncoding => answer.with("Content-Encoding", "gzip"),
        _ => answer,
    }
}

/// Another range, of the same length where the file allows it.
fn shifted(range: &Range<u64>, len: u64) -> Option<Range<u64>> {
    let shifted = match range.start.checked_sub(1) {
        Some(start) => start..range.end - 1,
        None => 1..(range.end + 1).min(len),
    };
    (!shifted.is_empty()).then_some(shifted)
}

/// The faults of framing: the body is not as long as it is said to be, or has no said length.
fn framed(mut answer: Answer, range: Range<u64>, fault: &Fault, is_kept: bool) -> Script {
    let len = range.end - range.start;
    let is_whole = !matches!(fault, Fault::Short | Fault::HugeLength | Fault::Close { .. });
    answer.framing = match fault {
        Fault::Short => Framing::Length(len.saturating_add(SHORT_BY)),
        Fault::HugeLength => Framing::Length(HUGE_LENGTH),
        Fault::Long { .. } | Fault::Endless | Fault::GzipEncoding => Framing::Chunked,
        _ => answer.framing,
    };
    let status_line = answer.status_line();
    // A server that says "close" and then closes early is too easily seen through.
    let header_lines = answer.header_lines(is_kept);
    let mut script = answer.script(is_kept && is_whole);
    script.head = match fault {
        Fault::HugeHeaders { bytes } => {
            vec![Step::Frame(status_line), Step::Padding(*bytes), Step::Frame(header_lines)]
        }
        Fault::SlowHeaders => vec![Step::SlowHead(status_line), Step::SlowHead(header_lines)],
        Fault::Delay { for_ms } => {
            let wait = Step::Wait(Duration::from_millis(*for_ms));
            vec![wait, Step::Frame(status_line), Step::Frame(header_lines)]
        }
        _ => vec![Step::Frame(status_line), Step::Frame(header_lines)],
    };
    match fault {
        Fault::Long { extra } => script.body = chunked(range, *extra),
        Fault::Endless => {
            script.body = chunked(range, 0);
            // The last chunk would end the body.
            script.body.pop();
            script.body.push(Step::Endless);
        }
        Fault::GzipEncoding => script.body = vec![Step::Gzip(range)],
        _ => {}
    }
    script
}

fn chunked(range: Range<u64>, extra: u64) -> Vec<Step> {
    let mut steps = Vec::new();
    let mut chunk = |len: u64, step| {
        if len > 0 {
            steps.push(Step::Frame(Bytes::from(format!("{len:x}\r\n"))));
            steps.push(step);
            steps.push(Step::Frame(Bytes::from_static(b"\r\n")));
        }
    };
    chunk(range.end - range.start, Step::Body(range));
    chunk(extra, Step::Filler(extra));
    steps.push(Step::Frame(Bytes::from_static(b"0\r\n\r\n")));
    steps
}

/// The faults that strike inside a body.
fn in_the_midst(script: &mut Script, fault: &Fault) {
    let [Step::Body(range)] = script.body.as_slice() else { return };
    let range = range.clone();
    let (after, step) = match *fault {
        Fault::Close { after } => {
            script.body = vec![Step::Body(range.start..cut(&range, after))];
            return;
        }
        // After a whole body it would silence the connection, and with it a request for another file.
        Fault::HangBody { after } if after < range.end - range.start => (after, Step::Hang),
        Fault::Reset { after } => (after, Step::Reset),
        Fault::Stall { after, for_ms } => (after, Step::Wait(Duration::from_millis(for_ms))),
        Fault::ChangeAfter { bytes } => (bytes, Step::Change),
        Fault::FlipByte { at } if range.contains(&at) => {
            script.body = vec![Step::Body(range.start..at), Step::Flipped(at), Step::Body(at + 1..range.end)];
            return;
        }
        Fault::Drip { bytes_per_second } => {
            script.body_bytes_per_second = Some(bytes_per_second);
            return;
        }
        _ => return,
    };
    let cut = cut(&range, after);
    script.body = vec![Step::Body(range.start..cut), step, Step::Body(cut..range.end)];
}

fn cut(range: &Range<u64>, after: u64) -> u64 {
    range.start.saturating_add(after).min(range.end)
}
