//! The answer of a sound server: ranges, conditions, entity tags. A pure function of the request and the file.
//! It knows no faults; `damage` changes what it gets or what it returns.

use std::ops::Range;

use crate::request::{Asked, Request};
use crate::script::{Answer, Framing, Payload};

/// What an answer tells about a file.
#[derive(Clone, Debug)]
pub(crate) struct View {
    pub(crate) len: u64,
    pub(crate) etag: Option<String>,
    pub(crate) content_type: &'static str,
}

/// The answer to a request for `range` of a file.
pub(crate) fn answer(request: &Request, view: &View, range: Asked) -> Answer {
    if let Some(refused) = precondition(request, view) {
        return refused;
    }
    let range = if is_current(request.header("if-range"), view) { range } else { Asked::Whole };
    match range.within(view.len) {
        None => whole(view),
        Some(Ok(range)) => part(view, range, view.len),
        Some(Err(_)) => Answer::text(416, "").with("Content-Range", &format!("bytes */{}", view.len)),
    }
}

pub(crate) fn whole(view: &View) -> Answer {
    file(200, view, 0..view.len)
}

pub(crate) fn part(view: &View, range: Range<u64>, total: u64) -> Answer {
    let value = format!("bytes {}-{}/{total}", range.start, range.end.saturating_sub(1));
    file(206, view, range).with("Content-Range", &value)
}

fn file(status: u16, view: &View, range: Range<u64>) -> Answer {
    let answer = Answer {
        status,
        headers: vec![("Content-Type", view.content_type.to_owned())],
        framing: Framing::Length(range.end - range.start),
        payload: Payload::File(range),
    }
    .with("Accept-Ranges", "bytes");
    match &view.etag {
        Some(etag) => answer.with("ETag", etag),
        None => answer,
    }
}

fn precondition(request: &Request, view: &View) -> Option<Answer> {
    if request.header("if-match").is_some_and(|tags| tags.trim() != "*" && !lists(tags, view)) {
        return Some(Answer::text(412, "the file is another one\n"));
    }
    let is_known =
        request.header("if-none-match").is_some_and(|tags| tags.trim() == "*" || lists(tags, view));
    is_known.then(|| {
        let mut answer = Answer::text(304, "");
        answer.framing = Framing::None;
        match &view.etag {
            Some(etag) => answer.with("ETag", etag),
            None => answer,
        }
    })
}

/// Whether a list of tags holds the file's, by strong comparison: a weak tag equals nothing.
fn lists(tags: &str, view: &View) -> bool {
    tags.split(',').any(|tag| is_current(Some(tag), view))
}

/// Whether this is the file's tag, by strong comparison; no tag at all asks for nothing. Dates never match: none are sent.
fn is_current(tag: Option<&str>, view: &View) -> bool {
    tag.is_none_or(|tag| {
        view.etag.as_deref().is_some_and(|etag| !etag.starts_with("W/") && tag.trim() == etag)
    })
}
