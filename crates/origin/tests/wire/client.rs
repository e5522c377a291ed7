//! A client that sees what is on the wire: no pool, no retries, no opinion on what it gets.
//! It refuses nothing but heads of more than 128 MiB.

use std::io;

use origin::Origin;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

pub(crate) struct Client {
    stream: TcpStream,
    read: Vec<u8>,
}

/// How a body ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    Complete,
    Early,
    Reset,
}

#[derive(Debug)]
pub(crate) struct Head {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) len: usize,
}

#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) head: Head,
    pub(crate) body: Vec<u8>,
    pub(crate) ended: Ended,
}

impl Head {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    fn length(&self) -> Option<usize> {
        self.header("content-length").map(|len| len.parse().unwrap())
    }

    fn is_chunked(&self) -> bool {
        self.header("transfer-encoding") == Some("chunked")
    }
}

impl Reply {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head.header(name)
    }

    pub(crate) fn status(&self) -> u16 {
        self.head.status
    }
}

impl Client {
    pub(crate) async fn connect(origin: &Origin) -> Client {
        Client { stream: TcpStream::connect(origin.addr()).await.unwrap(), read: Vec::new() }
    }

    pub(crate) async fn send(&mut self, request: &str) {
        self.stream.write_all(request.as_bytes()).await.unwrap();
    }

    pub(crate) async fn ask(&mut self, method: &str, path: &str, headers: &[(&str, &str)]) {
        let lines: String = headers.iter().flat_map(|(name, value)| [*name, ": ", value, "\r\n"]).collect();
        self.send(&format!("{method} /{path} HTTP/1.1\r\nHost: test\r\n{lines}\r\n")).await;
    }

    pub(crate) async fn get(&mut self, path: &str, headers: &[(&str, &str)]) -> Reply {
        self.ask("GET", path, headers).await;
        self.reply().await
    }

    pub(crate) async fn range(&mut self, path: &str, range: &str) -> Reply {
        self.get(path, &[("Range", range)]).await
    }

    pub(crate) async fn reply(&mut self) -> Reply {
        let head = self.head().await.expect("a head");
        let (body, ended) = self.body(&head).await;
        Reply { head, body, ended }
    }

    /// More bytes; none at the end of the stream.
    pub(crate) async fn more(&mut self) -> io::Result<usize> {
        assert!(self.read.len() < 128 << 20, "a flood");
        self.stream.read_buf(&mut self.read).await
    }

    pub(crate) async fn head(&mut self) -> io::Result<Head> {
        let mut scanned = 0_usize;
        let len = loop {
            let fresh = &self.read[scanned..];
            if let Some(end) = fresh.windows(4).position(|end| end == b"\r\n\r\n") {
                break scanned + end + 4;
            }
            scanned = self.read.len().saturating_sub(3);
            if self.more().await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        };
        let bytes: Vec<u8> = self.read.drain(..len).collect();
        let lines = bytes.split(|byte| *byte == b'\n').count();
        let mut headers = vec![httparse::EMPTY_HEADER; lines];
        let mut head = httparse::Response::new(&mut headers);
        head.parse(&bytes).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
        let text = |header: &httparse::Header<'_>| {
            (header.name.to_owned(), String::from_utf8(header.value.to_vec()).unwrap())
        };
        Ok(Head { status: head.code.unwrap(), headers: head.headers.iter().map(text).collect(), len })
    }

    async fn body(&mut self, head: &Head) -> (Vec<u8>, Ended) {
        loop {
            if head.is_chunked() {
                if let Some((body, used)) = dechunked(&self.read) {
                    self.read.drain(..used);
                    return (body, Ended::Complete);
                }
            } else {
                let len = head.length().unwrap_or(0);
                if self.read.len() >= len {
                    return (self.read.drain(..len).collect(), Ended::Complete);
                }
            }
            let ended = match self.more().await {
                Ok(0) => Ended::Early,
                Ok(_) => continue,
                Err(error) => {
                    assert_eq!(error.kind(), io::ErrorKind::ConnectionReset, "{error}");
                    Ended::Reset
                }
            };
            return (std::mem::take(&mut self.read), ended);
        }
    }

    /// Exactly so many bytes of what follows.
    pub(crate) async fn exactly(&mut self, len: usize) -> Vec<u8> {
        while self.read.len() < len {
            assert_ne!(self.more().await.unwrap(), 0, "the end after {} of {len} bytes", self.read.len());
        }
        self.read.drain(..len).collect()
    }

    /// Whether the connection stays open and silent for a while.
    pub(crate) async fn is_silent(&mut self) -> bool {
        assert!(self.read.is_empty(), "{} bytes were there", self.read.len());
        tokio::time::timeout(std::time::Duration::from_millis(60), self.more()).await.is_err()
    }

    /// Whether the origin has closed the connection properly.
    pub(crate) async fn is_closed(&mut self) -> bool {
        matches!(self.more().await, Ok(0))
    }
}

/// The body and the length of its chunked form, once it is complete.
fn dechunked(bytes: &[u8]) -> Option<(Vec<u8>, usize)> {
    let mut body = Vec::new();
    let mut at = 0;
    loop {
        let rest = &bytes[at..];
        let line = rest.windows(2).position(|end| end == b"\r\n")?;
        let len = usize::from_str_radix(str::from_utf8(&rest[..line]).unwrap(), 16).unwrap();
        let end = line + 2 + len;
        if rest.len() < end + 2 {
            return None;
        }
        assert_eq!(&rest[end..end + 2], b"\r\n", "a chunk ends with its line");
        body.extend_from_slice(&rest[line + 2..end]);
        at += end + 2;
        if len == 0 {
            return Some((body, at));
        }
    }
}
