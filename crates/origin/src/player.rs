//! Plays a script on a socket: writes, waits, paces by the link. Effects only.
//! It decides nothing; when to break an answer was written into the script.

use std::io::{self, IoSlice};
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::net::tcp::WriteHalf;

use crate::content::Source;
use crate::link::{Link, Schedule, slice_len};
use crate::log::Record;
use crate::script::{Script, Step};
use crate::state::State;

/// How much of a file is written at once: large enough that calls cost nothing, small enough to stay in the cache.
const PIECE_LEN: usize = 256 << 10;

/// Bytes of given content are not copied before they are written, so larger pieces only save calls.
const GIVEN_PIECE_LEN: usize = 1 << 20;

/// The largest stored block of a gzip stream.
const GZIP_BLOCK_LEN: usize = 65_535;

const SLOW_HEAD_PAUSE: Duration = Duration::from_millis(100);

/// Timers fire at the next full millisecond, on average this much late.
const TIMER_LATENESS: Duration = Duration::from_micros(600);

/// How an answer ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Kept,
    Close,
    Reset,
    /// Wait until the client goes away.
    Hang,
}

pub(crate) struct Player<'a> {
    state: &'a State,
    writer: WriteHalf<'a>,
    schedule: Schedule,
    /// Head and framing, waiting to be written together with what follows.
    pending: Vec<u8>,
    buffer: Vec<u8>,
}

/// The answer that is being written.
struct Now<'a> {
    path: &'a str,
    record: &'a Record,
    status: u16,
    source: Option<Source>,
    pace: Pace,
}

/// How fast a body may go.
#[derive(Clone, Copy)]
enum Pace {
    Free,
    /// At this rate or less, in slices of this length.
    At(u64, usize),
}

/// One answer and where it is booked.
pub(crate) struct Play {
    pub(crate) path: String,
    pub(crate) record: Arc<Record>,
    pub(crate) script: Script,
    pub(crate) source: Option<Source>,
    /// When the request came in.
    pub(crate) arrived: Duration,
}

impl<'a> Player<'a> {
    pub(crate) fn new(state: &'a State, writer: WriteHalf<'a>) -> Player<'a> {
        Player { state, writer, schedule: Schedule::default(), pending: Vec::new(), buffer: Vec::new() }
    }

    pub(crate) async fn play(&mut self, play: Play) -> io::Result<End> {
        let Play { path, record, script, source, arrived } = play;
        if let Some(wire) = &self.state.wire {
            let begin = self.schedule.begin(wire, arrived);
            self.until(begin).await;
        } else {
            self.schedule.skip_to(self.state.now());
        }
        let pace = self.pace(script.body_bytes_per_second);
        let mut now = Now { path: &path, record: &record, status: script.status, source, pace };
        for step in script.head.into_iter().chain(script.body) {
            if let Some(end) = self.step(step, &mut now).await? {
                self.flush(&now).await?;
                return Ok(end);
            }
        }
        self.flush(&now).await?;
        Ok(if script.is_kept { End::Kept } else { End::Close })
    }

    fn pace(&self, own: Option<u64>) -> Pace {
        let link = self.state.wire.as_ref().map_or_else(Link::default, |wire| wire.link);
        let rate = own.unwrap_or(Link::UNLIMITED).min(link.bytes_per_second_per_connection);
        match rate.min(link.bytes_per_second_total) {
            Link::UNLIMITED => Pace::Free,
            lowest => Pace::At(rate, slice_len(lowest)),
        }
    }

    async fn step(&mut self, step: Step, now: &mut Now<'_>) -> io::Result<Option<End>> {
        match step {
            Step::Frame(bytes) => {
                self.state.log.answer(now.record, now.status);
                self.pending.extend_from_slice(&bytes);
            }
            Step::SlowHead(bytes) => {
                self.state.log.answer(now.record, now.status);
                self.crawl(&bytes, now).await?;
            }
            Step::Text(bytes) => self.write(now, &bytes).await?,
            Step::Padding(bytes) => self.pad(bytes, now).await?,
            Step::Body(range) => self.body(range, now).await?,
            Step::Flipped(at) => self.flip(at, now).await?,
            Step::Filler(bytes) => self.fill(bytes, now).await?,
            Step::Endless => self.endless(now).await?,
            Step::Gzip(range) => self.gzip(range, now).await?,
            Step::Change => {
                let len = now.source.as_ref().map_or(0, Source::len);
                now.source = Some(self.state.change(now.path, len));
            }
            Step::Wait(pause) => {
                self.flush(now).await?;
                tokio::time::sleep(pause).await;
                self.schedule.skip_to(self.state.now());
            }
            Step::Hang => return Ok(Some(End::Hang)),
            Step::Reset => return Ok(Some(End::Reset)),
        }
        Ok(None)
    }

    async fn body(&mut self, range: Range<u64>, now: &Now<'_>) -> io::Result<()> {
        let Some(source) = &now.source else { return Ok(()) };
        match (source, now.pace) {
            #[cfg(target_os = "linux")]
            (Source::File { file, .. }, Pace::Free) => self.send_file(file, range, now).await,
            (Source::Bytes(bytes), _) => {
                let bounds = usize::try_from(range.start)
                    .and_then(|start| Ok(start..usize::try_from(range.end)?))
                    .map_err(|_| io::ErrorKind::UnexpectedEof)?;
                let bytes = bytes.get(bounds).ok_or(io::ErrorKind::UnexpectedEof)?;
                for piece in bytes.chunks(GIVEN_PIECE_LEN) {
                    self.write(now, piece).await?;
                }
                Ok(())
            }
            _ => {
                let mut offset = range.start;
                while offset < range.end {
                    let piece = self.read(source, offset..range.end, PIECE_LEN)?;
                    offset += piece.len() as u64;
                    self.write(now, &piece).await?;
                    self.buffer = piece;
                }
                Ok(())
            }
        }
    }

    /// Lends out the buffer, filled from the start of `range`; the caller puts it back to use it again.
    fn read(&mut self, source: &Source, range: Range<u64>, len_max: usize) -> io::Result<Vec<u8>> {
        let mut buffer = std::mem::take(&mut self.buffer);
        let len = usize::try_from(range.end.saturating_sub(range.start)).unwrap_or(usize::MAX).min(len_max);
        buffer.resize(len, 0);
        source.read_at(range.start, &mut buffer)?;
        Ok(buffer)
    }

    async fn flip(&mut self, at: u64, now: &Now<'_>) -> io::Result<()> {
        let Some(source) = &now.source else { return Ok(()) };
        let mut byte = [0];
        source.read_at(at, &mut byte)?;
        self.write(now, &byte.map(|byte| byte ^ 1)).await
    }

    async fn fill(&mut self, bytes: u64, now: &Now<'_>) -> io::Result<()> {
        let filler = vec![b'x'; PIECE_LEN];
        let mut rest = bytes;
        while rest > 0 {
            let len = usize::try_from(rest).unwrap_or(usize::MAX).min(PIECE_LEN);
            self.write(now, filler.get(..len).unwrap_or_default()).await?;
            rest -= len as u64;
        }
        Ok(())
    }

    /// Ends only by an error of the socket, or by the origin's end.
    async fn endless(&mut self, now: &Now<'_>) -> io::Result<()> {
        loop {
            self.pending.extend_from_slice(format!("{PIECE_LEN:x}\r\n").as_bytes());
            self.fill(PIECE_LEN as u64, now).await?;
            self.pending.extend_from_slice(b"\r\n");
        }
    }

    /// Stored blocks only: a valid stream that is a little longer than its content.
    async fn gzip(&mut self, range: Range<u64>, now: &Now<'_>) -> io::Result<()> {
        let Some(source) = &now.source else { return Ok(()) };
        let mut digest = crc32fast::Hasher::new();
        self.pending.extend_from_slice(b"a\r\n\x1f\x8b\x08\0\0\0\0\0\0\xff\r\n");
        let mut offset = range.start;
        while offset < range.end {
            let block = self.read(source, offset..range.end, GZIP_BLOCK_LEN)?;
            digest.update(&block);
            offset += block.len() as u64;
            let len = u16::try_from(block.len()).unwrap_or(u16::MAX);
            self.pending.extend_from_slice(format!("{:x}\r\n\0", block.len() + 5).as_bytes());
            self.pending.extend_from_slice(&len.to_le_bytes());
            self.pending.extend_from_slice(&(!len).to_le_bytes());
            self.write(now, &block).await?;
            self.pending.extend_from_slice(b"\r\n");
            self.buffer = block;
        }
        // An empty last block, the digest, the length modulo 2^32.
        self.pending.extend_from_slice(b"d\r\n\x01\0\0\xff\xff");
        self.pending.extend_from_slice(&digest.finalize().to_le_bytes());
        let len = (range.end.saturating_sub(range.start)).to_le_bytes();
        self.pending.extend(len.into_iter().take(4));
        self.pending.extend_from_slice(b"\r\n0\r\n\r\n");
        Ok(())
    }

    async fn pad(&mut self, bytes: u64, now: &Now<'_>) -> io::Result<()> {
        let line = format!("X-Padding: {}\r\n", "a".repeat(1000));
        for _ in 0..bytes.div_ceil(line.len() as u64) {
            self.pending.extend_from_slice(line.as_bytes());
            if self.pending.len() >= PIECE_LEN {
                self.flush(now).await?;
            }
        }
        Ok(())
    }

    async fn crawl(&mut self, bytes: &[u8], now: &Now<'_>) -> io::Result<()> {
        for byte in bytes {
            self.pending.push(*byte);
            self.flush(now).await?;
            tokio::time::sleep(SLOW_HEAD_PAUSE).await;
        }
        Ok(())
    }

    #[cfg(target_os = "linux")]
    async fn send_file(&mut self, file: &std::fs::File, range: Range<u64>, now: &Now<'_>) -> io::Result<()> {
        self.flush(now).await?;
        let stream = self.writer.as_ref();
        let mut offset = range.start;
        while offset < range.end {
            let count = usize::try_from(range.end - offset).unwrap_or(usize::MAX).min(GIVEN_PIECE_LEN);
            let write = || Ok(rustix::fs::sendfile(stream, file, Some(&mut offset), count)?);
            let sent = stream.async_io(tokio::io::Interest::WRITABLE, write).await?;
            if sent == 0 {
                // The file became shorter under us; the client sees a body that ends early.
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            self.state.log.sent(now.record, sent as u64);
            tokio::task::consume_budget().await;
        }
        Ok(())
    }

    /// Writes bytes of the body, in slices when the pace asks for it.
    async fn write(&mut self, now: &Now<'_>, bytes: &[u8]) -> io::Result<()> {
        let Pace::At(rate, slice_len) = now.pace else { return self.push(now, bytes).await };
        self.flush(now).await?;
        for slice in bytes.chunks(slice_len) {
            let arrival =
                self.schedule.next(self.state.wire.as_ref(), self.state.now(), slice.len() as u64, rate);
            self.until(arrival).await;
            self.push(now, slice).await?;
        }
        Ok(())
    }

    async fn flush(&mut self, now: &Now<'_>) -> io::Result<()> {
        if self.pending.is_empty() { Ok(()) } else { self.push(now, &[]).await }
    }

    /// Writes what is pending and then `bytes`, of which the log counts each that the kernel took.
    async fn push(&mut self, now: &Now<'_>, bytes: &[u8]) -> io::Result<()> {
        let mut rest = bytes;
        while !self.pending.is_empty() || !rest.is_empty() {
            let written = if self.pending.is_empty() {
                self.writer.write(rest).await?
            } else {
                self.writer.write_vectored(&[IoSlice::new(&self.pending), IoSlice::new(rest)]).await?
            };
            if written == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
            let of_pending = written.min(self.pending.len());
            self.pending.drain(..of_pending);
            let of_body = written - of_pending;
            rest = rest.get(of_body..).unwrap_or_default();
            if of_body > 0 {
                self.state.log.sent(now.record, of_body as u64);
            }
        }
        Ok(())
    }

    async fn until(&self, at: Duration) {
        let wake = at.saturating_sub(TIMER_LATENESS);
        let pause = wake.saturating_sub(self.state.now());
        if !pause.is_zero() {
            tokio::time::sleep(pause).await;
        }
    }
}
