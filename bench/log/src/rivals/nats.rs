//! NATS JetStream: a server of its own with one stream in files, reached over TCP through its own client.
//! Refuses to call a record durable where the server cannot sync before it answers, and to read by number: each read asks
//! the server.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};

use async_nats::jetstream::consumer::{AckPolicy, pull};
use async_nats::jetstream::context::PublishAckFuture;
use async_nats::jetstream::{self, Context, stream};
use bench_kit::child::Running;
use bench_kit::machine::free_port;
use futures_util::{StreamExt, TryStreamExt};
use tokio::runtime::{Builder, Runtime};

use super::{Ability, Peer, Purpose, Rival};
use crate::Outcome;
use crate::records::Records;

/// The stream, and its one subject.
const STREAM: &str = "records";

/// How many threads have a connection of their own.
const CONNECTIONS: usize = 64;

/// Appends that are not answered yet where nothing else is asked for: the client itself allows 5,000.
const IN_FLIGHT: usize = 1_024;

/// Records that a consumer asks for at a time.
const FETCHED: usize = 10_000;

/// The first server whose setting `sync_interval` knows `always`.
const FIRST_THAT_SYNCS: (u32, u32) = (2, 10);

#[derive(Debug)]
pub(crate) struct Nats {
    program: PathBuf,
    can_sync: bool,
}

struct Open {
    connections: Vec<Mutex<Connection>>,
    unanswered: VecDeque<PublishAckFuture>,
    _server: Running,
}

/// A client that works only while its thread waits for it, so that no answer has to cross from one thread to another.
struct Connection {
    runtime: Runtime,
    context: Context,
}

impl Nats {
    pub(crate) fn new(program: PathBuf) -> Nats {
        let can_sync = version(&program).is_some_and(|version| version >= FIRST_THAT_SYNCS);
        Nats { program, can_sync }
    }

    /// What this server cannot do.
    pub(crate) fn lacks(&self) -> Option<&'static str> {
        (!self.can_sync)
            .then_some("NATS JetStream: not durable, a nats-server before 2.10 never syncs before it answers")
    }
}

/// The first two numbers of what the program calls itself: `nats-server: v2.10.27`.
fn version(program: &Path) -> Option<(u32, u32)> {
    let output = Command::new(program).arg("--version").output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    let mut numbers = text.trim().rsplit_once('v')?.1.split('.').map(str::parse);
    Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
}

impl Rival for Nats {
    fn name(&self) -> &'static str {
        "nats jetstream"
    }

    fn abilities(&self) -> &'static [Ability] {
        if self.can_sync {
            &[Ability::Buffered, Ability::Durable, Ability::Pipelined, Ability::Scan]
        } else {
            &[Ability::Buffered, Ability::Scan]
        }
    }

    fn open(&self, dir: &Path, purpose: Purpose) -> Outcome<Box<dyn Peer>> {
        let port = free_port()?;
        let sync = if purpose == Purpose::Durable { "sync_interval: always" } else { "" };
        let store = dir.join("jetstream");
        let text = format!("listen: \"127.0.0.1:{port}\"\njetstream {{ store_dir: {store:?}\n{sync} }}\n");
        let settings = dir.join("settings");
        std::fs::write(&settings, text)?;
        let mut command = Command::new(&self.program);
        command.arg("--config").arg(&settings);
        let server = Running::listening(command, port)?;
        let connections = (0..CONNECTIONS).map(|_| Connection::open(port).map(Mutex::new));
        let connections = connections.collect::<Outcome<Vec<_>>>()?;
        let open = Open { connections, unanswered: VecDeque::with_capacity(IN_FLIGHT), _server: server };
        open.connection(0)?.make_stream()?;
        Ok(Box::new(open))
    }
}

impl Connection {
    fn open(port: u16) -> Outcome<Connection> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let context = runtime.block_on(async {
            let client = async_nats::connect(format!("127.0.0.1:{port}")).await?;
            Ok::<_, async_nats::ConnectError>(jetstream::new(client))
        })?;
        Ok(Connection { runtime, context })
    }

    fn make_stream(&self) -> Outcome<()> {
        let config = stream::Config {
            name: STREAM.to_owned(),
            storage: stream::StorageType::File,
            ..stream::Config::default()
        };
        self.runtime.block_on(self.context.create_stream(config))?;
        Ok(())
    }

    /// Appends what `next` gives, with at most `in_flight` records unanswered; the last of them stay so.
    fn publish(
        &self,
        unanswered: &mut VecDeque<PublishAckFuture>,
        in_flight: usize,
        mut next: impl FnMut() -> Option<Vec<u8>>,
    ) -> Outcome<()> {
        self.runtime.block_on(async {
            while let Some(bytes) = next() {
                if unanswered.len() >= in_flight
                    && let Some(oldest) = unanswered.pop_front()
                {
                    oldest.await?;
                }
                unanswered.push_back(self.context.publish(STREAM, bytes.into()).await?);
            }
            Ok(())
        })
    }

    fn answers(&self, unanswered: &mut VecDeque<PublishAckFuture>) -> Outcome<()> {
        self.runtime.block_on(async {
            for answer in unanswered.drain(..) {
                answer.await?;
            }
            Ok(())
        })
    }

    fn consume(&self) -> Outcome<u64> {
        self.runtime.block_on(async {
            let mut stream = self.context.get_stream(STREAM).await?;
            let count = stream.info().await?.state.messages;
            let config = pull::Config { ack_policy: AckPolicy::None, ..pull::Config::default() };
            let consumer = stream.create_consumer(config).await?;
            let messages = consumer.stream().max_messages_per_batch(FETCHED).messages().await?;
            let mut messages = messages.take(usize::try_from(count)?);
            let mut found = 0;
            while let Some(message) = messages.try_next().await? {
                std::hint::black_box(&message.payload);
                found += 1;
            }
            Ok(found)
        })
    }
}

impl Open {
    fn connection(&self, thread: usize) -> Outcome<MutexGuard<'_, Connection>> {
        let connection = self.connections.get(thread % CONNECTIONS).ok_or("no connection")?;
        connection.lock().map_err(|_| "a thread failed".into())
    }
}

impl Peer for Open {
    fn append_buffered(&mut self, records: &Records, from: u64, count: u64) -> Outcome<()> {
        let connection = self.connections.first().ok_or("no connection")?;
        let connection = connection.lock().map_err(|_| "a thread failed")?;
        let mut numbers = from..from + count;
        let next = || numbers.next().map(|number| records.get(number).to_vec());
        connection.publish(&mut self.unanswered, IN_FLIGHT, next)
    }

    fn flush(&mut self) -> Outcome<()> {
        let connection = self.connections.first().ok_or("no connection")?;
        let connection = connection.lock().map_err(|_| "a thread failed")?;
        connection.answers(&mut self.unanswered)
    }

    fn append_durable(&self, thread: usize, bytes: &[u8]) -> Outcome<()> {
        let connection = self.connection(thread)?;
        let context = &connection.context;
        connection.runtime.block_on(async { context.publish(STREAM, bytes.to_vec().into()).await?.await })?;
        Ok(())
    }

    fn append_pipelined(&self, records: &Records, in_flight: usize, span: Duration) -> Outcome<u64> {
        let connection = self.connection(0)?;
        let mut unanswered = VecDeque::with_capacity(in_flight);
        let (begin, mut number) = (Instant::now(), 0);
        let next = || {
            number += 1;
            (begin.elapsed() < span).then(|| records.get(number - 1).to_vec())
        };
        connection.publish(&mut unanswered, in_flight, next)?;
        connection.answers(&mut unanswered)?;
        Ok(number - 1)
    }

    fn scan(&mut self) -> Outcome<u64> {
        self.connection(0)?.consume()
    }
}
