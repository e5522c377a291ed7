//! What the player does for one answer, step by step. Written by pure code, so that a fault is data and not a branch in the IO.
//! It holds no content: bodies are ranges of the file that the player has open.

use std::ops::Range;
use std::time::Duration;

use bytes::Bytes;

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Step {
    Wait(Duration),
    /// Bytes that are not of the body: lines of the head or of chunks.
    Frame(Bytes),
    /// Bytes of the head, slowly.
    SlowHead(Bytes),
    /// So many bytes of header lines that mean nothing.
    Padding(u64),
    /// A body that is no file.
    Text(Bytes),
    /// A range of the file.
    Body(Range<u64>),
    /// One byte of the file with a bit flipped.
    Flipped(u64),
    /// So many bytes that are not of the file.
    Filler(u64),
    /// Chunks of filler without end.
    Endless,
    /// A range of the file as a chunked gzip stream.
    Gzip(Range<u64>),
    /// The file changes now; the steps that follow read the new content.
    Change,
    /// Wait until the client goes away.
    Hang,
    Reset,
}

/// The whole answer. The connection is closed at its end unless `is_kept`.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Script {
    /// 0 when no status is sent.
    pub(crate) status: u16,
    pub(crate) head: Vec<Step>,
    pub(crate) body: Vec<Step>,
    pub(crate) body_bytes_per_second: Option<u64>,
    pub(crate) is_kept: bool,
}

/// How the client is told where the body ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    /// There is no body, and no word about it.
    None,
    Length(u64),
    Chunked,
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Payload {
    Text(Bytes),
    File(Range<u64>),
}

/// An answer before it is cut into steps.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) framing: Framing,
    pub(crate) payload: Payload,
}

impl Answer {
    pub(crate) fn text(status: u16, text: impl Into<Bytes>) -> Answer {
        let text = text.into();
        Answer {
            status,
            headers: Vec::new(),
            framing: Framing::Length(text.len() as u64),
            payload: Payload::Text(text),
        }
    }

    /// Adds a header. Control characters are left out of its value: they would end the line.
    #[must_use]
    pub(crate) fn with(mut self, name: &'static str, value: &str) -> Answer {
        self.headers.push((name, value.chars().filter(|letter| !letter.is_control()).collect()));
        self
    }

    pub(crate) fn status_line(&self) -> Bytes {
        Bytes::from(format!("HTTP/1.1 {} {}\r\n", self.status, reason(self.status)))
    }

    /// The header lines and the empty line after them.
    pub(crate) fn header_lines(&self, is_kept: bool) -> Bytes {
        let mut lines = String::with_capacity(256);
        for (name, value) in &self.headers {
            lines.extend([*name, ": ", value, "\r\n"]);
        }
        match self.framing {
            Framing::None => {}
            Framing::Length(len) => lines.extend(["Content-Length: ", &len.to_string(), "\r\n"]),
            Framing::Chunked => lines.push_str("Transfer-Encoding: chunked\r\n"),
        }
        lines.push_str(if is_kept { "\r\n" } else { "Connection: close\r\n\r\n" });
        Bytes::from(lines)
    }

    /// The undamaged script.
    pub(crate) fn script(self, is_kept: bool) -> Script {
        let head = vec![Step::Frame(self.status_line()), Step::Frame(self.header_lines(is_kept))];
        let body = match self.payload {
            Payload::Text(text) => vec![Step::Text(text)],
            Payload::File(range) => vec![Step::Body(range)],
        };
        Script { status: self.status, head, body, body_bytes_per_second: None, is_kept }
    }
}

fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        206 => "Partial Content",
        302 => "Found",
        304 => "Not Modified",
        400 => "Bad Request",
        404 => "Not Found",
        405 => "Method Not Allowed",
        412 => "Precondition Failed",
        416 => "Range Not Satisfiable",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        500 => "Internal Server Error",
        503 => "Service Unavailable",
        _ => "Unnamed",
    }
}
