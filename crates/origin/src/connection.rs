//! One connection: reads requests while it answers earlier ones, in order, until either side ends it.
//! It knows no faults; it does what the end of a script says.

use std::future::pending;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, BytesMut};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::net::tcp::ReadHalf;
use tokio::sync::mpsc;

use crate::content::Source;
use crate::log::LogEntry;
use crate::player::{End, Play, Player};
use crate::request::{Parsed, Request, parse};
use crate::script::Answer;
use crate::state::State;

/// Requests read ahead of their answers; a client that pipelines more has to wait.
const PIPELINE_MAX: usize = 64;

/// Reads and answers until the connection ends. Errors of the socket are ends like any other.
pub(crate) async fn serve(mut stream: TcpStream, state: Arc<State>) {
    let number = state.log.connect();
    // Without delay for small writes; where that fails, the connection is gone already.
    let _is_set = stream.set_nodelay(true).is_ok();
    let life = state.wire.as_ref().and_then(|wire| wire.link.kill_after);
    let killed = async {
        match life {
            Some(life) => tokio::time::sleep(life).await,
            None => pending().await,
        }
    };
    let end = tokio::select! {
        end = converse(&mut stream, &state, number) => end.unwrap_or(End::Close),
        () = killed => End::Reset,
    };
    if end == End::Reset {
        // Closing with a linger of zero sends RST in place of FIN.
        let _is_set = stream.set_zero_linger().is_ok();
    }
}

async fn converse(stream: &mut TcpStream, state: &State, number: u64) -> io::Result<End> {
    let (reader, writer) = stream.split();
    let (sender, mut requests) = mpsc::channel(PIPELINE_MAX);
    let reading = async {
        read(reader, state, sender).await;
        // The client may have closed its half only: the answers go on.
        pending::<()>().await;
    };
    let answering = async {
        let mut player = Player::new(state, writer);
        while let Some(incoming) = requests.recv().await {
            let end = player.play(incoming.play(state, number)).await?;
            if end == End::Hang {
                // Whatever the client asks now, it gets nothing; its leaving ends the channel.
                while requests.recv().await.is_some() {}
            }
            if end != End::Kept {
                return Ok(end);
            }
        }
        Ok(End::Close)
    };
    tokio::select! {
        end = answering => end,
        () = reading => Ok(End::Close),
    }
}

/// What was read, and when.
struct Incoming {
    arrived: Duration,
    request: Result<Box<Request>, u16>,
}

impl Incoming {
    fn play(self, state: &State, connection: u64) -> Play {
        let arrived = self.arrived;
        let mut entry = LogEntry {
            method: String::new(),
            path: String::new(),
            query: None,
            range: None,
            headers: Vec::new(),
            at: arrived,
            status: 0,
            bytes_sent: 0,
            connection,
        };
        match self.request {
            Ok(request) => {
                let (script, source) = state.respond(&request);
                let range = request.range.logged(source.as_ref().map(Source::len));
                let Request { method, path, query, headers, .. } = *request;
                entry = LogEntry { method, path: path.clone(), query, range, headers, ..entry };
                Play { path, record: state.log.push(entry), script, source, arrived }
            }
            Err(status) => {
                let script = Answer::text(status, "this is no request\n").script(false);
                Play { path: String::new(), record: state.log.push(entry), script, source: None, arrived }
            }
        }
    }
}

/// Reads requests until the client closes its half, sends nonsense, or wants no more answers.
async fn read(mut reader: ReadHalf<'_>, state: &State, sender: mpsc::Sender<Incoming>) {
    let mut buffer = BytesMut::with_capacity(4096);
    loop {
        match parse(&buffer) {
            Parsed::Partial => {
                if !matches!(reader.read_buf(&mut buffer).await, Ok(read) if read > 0) {
                    return;
                }
            }
            Parsed::Request(request, len) => {
                buffer.advance(len);
                let is_last = !request.is_kept;
                let incoming = Incoming { arrived: state.now(), request: Ok(request) };
                if sender.send(incoming).await.is_err() || is_last {
                    return drain(reader).await;
                }
            }
            Parsed::Bad(status) => {
                let incoming = Incoming { arrived: state.now(), request: Err(status) };
                // When nobody answers any more, nobody needs to be told.
                let _is_taken = sender.send(incoming).await.is_ok();
                drop(sender);
                return drain(reader).await;
            }
        }
    }
}

/// Reads and forgets, so that closing sends FIN: unread bytes would turn it into RST.
async fn drain(mut reader: ReadHalf<'_>) {
    let mut buffer = [0; 4096];
    while matches!(reader.read(&mut buffer).await, Ok(read) if read > 0) {}
}
