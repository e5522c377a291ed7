//! Redis Streams: a server of its own, reached through a Unix socket; one XADD for each record.
//! Refuses a server that is running already: it starts one, and ends it.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use super::{Ability, Peer, Purpose, Rival};
use crate::Outcome;
use crate::records::Records;

/// How many threads have a connection of their own.
const CONNECTIONS: usize = 64;

#[derive(Debug)]
pub(crate) struct Redis {
    /// Where the server's program is.
    pub(crate) program: PathBuf,
}

struct Open {
    server: Child,
    connections: Vec<Mutex<UnixStream>>,
}

impl Rival for Redis {
    fn name(&self) -> &'static str {
        "redis streams"
    }

    fn abilities(&self) -> &'static [Ability] {
        &[Ability::Buffered, Ability::Durable, Ability::Pipelined]
    }

    fn open(&self, dir: &Path, purpose: Purpose) -> Outcome<Box<dyn Peer>> {
        let socket = dir.join("socket");
        let sync = if purpose == Purpose::Durable { "always" } else { "everysec" };
        let mut command = Command::new(&self.program);
        command.args(["--port", "0", "--save", "", "--appendonly", "yes", "--appendfsync", sync]);
        command.args(["--auto-aof-rewrite-percentage", "0"]);
        command.arg("--unixsocket").arg(&socket).arg("--dir").arg(dir);
        let server = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
        let mut open = Open { server, connections: Vec::new() };
        let begin = Instant::now();
        while open.connections.len() < CONNECTIONS {
            match UnixStream::connect(&socket) {
                Ok(stream) => open.connections.push(Mutex::new(stream)),
                Err(error) if begin.elapsed() > Duration::from_secs(10) => return Err(error.into()),
                Err(_) => std::thread::sleep(Duration::from_millis(5)),
            }
        }
        Ok(Box::new(open))
    }
}

fn command(bytes: &[u8]) -> Vec<u8> {
    let mut text = b"*5\r\n$4\r\nXADD\r\n$1\r\nr\r\n$1\r\n*\r\n$1\r\nb\r\n".to_vec();
    text.extend_from_slice(format!("${}\r\n", bytes.len()).as_bytes());
    text.extend_from_slice(bytes);
    text.extend_from_slice(b"\r\n");
    text
}

/// Reads answers until so many lines have come, of which an answer to XADD has two; how many came too many.
fn answers(stream: &mut UnixStream, wanted: usize) -> Outcome<usize> {
    let mut buffer = [0; 4096];
    let mut lines = 0;
    while lines < wanted {
        let read = stream.read(&mut buffer)?;
        let bytes = buffer.get(..read).unwrap_or_default();
        // Ids have a minus sign as well.
        if read == 0 || bytes.windows(4).any(|word| word == b"-ERR") {
            return Err(format!("redis: {}", String::from_utf8_lossy(bytes)).into());
        }
        lines += bytes.iter().filter(|byte| **byte == b'\n').count();
    }
    Ok(lines - wanted)
}

impl Open {
    fn connection(&self, thread: usize) -> Outcome<std::sync::MutexGuard<'_, UnixStream>> {
        let connection = self.connections.get(thread % CONNECTIONS).ok_or("no connection")?;
        connection.lock().map_err(|_| "a thread failed".into())
    }
}

impl Peer for Open {
    fn append_buffered(&mut self, records: &Records, from: u64, count: u64) -> Outcome<()> {
        let mut stream = self.connection(0)?;
        for number in from..from + count {
            stream.write_all(&command(records.get(number)))?;
            answers(&mut stream, 2)?;
        }
        Ok(())
    }

    fn append_durable(&self, thread: usize, bytes: &[u8]) -> Outcome<()> {
        let mut stream = self.connection(thread)?;
        stream.write_all(&command(bytes))?;
        answers(&mut stream, 2)?;
        Ok(())
    }

    fn append_pipelined(&self, records: &Records, in_flight: usize, span: Duration) -> Outcome<u64> {
        let mut stream = self.connection(0)?;
        let begin = Instant::now();
        let mut done = 0;
        // Half of what may be in flight is answered while the other half is on its way.
        let half = in_flight / 2;
        let send = |stream: &mut UnixStream, from: u64| -> Outcome<()> {
            let text: Vec<u8> =
                (from..from + half as u64).flat_map(|number| command(records.get(number))).collect();
            Ok(stream.write_all(&text)?)
        };
        send(&mut stream, 0)?;
        let mut surplus = 0;
        while begin.elapsed() < span {
            send(&mut stream, done + half as u64)?;
            surplus = answers(&mut stream, (2 * half).saturating_sub(surplus))?;
            done += half as u64;
        }
        answers(&mut stream, (2 * half).saturating_sub(surplus))?;
        Ok(done + half as u64)
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        drop(self.server.kill());
        drop(self.server.wait());
    }
}
