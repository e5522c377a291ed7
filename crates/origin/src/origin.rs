//! The handle of a running origin: starts it, changes it while it runs, tells what it saw.
//! It refuses addresses other than loopback.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::task::{AbortHandle, JoinSet};

use crate::connection;
use crate::content::Content;
use crate::fault::Plan;
use crate::log::LogEntry;
use crate::site::Site;
use crate::state::State;

/// Connections served at once; more wait in the kernel's queue.
const CONNECTIONS_MAX: usize = 4096;

/// How long no connection is accepted after accepting one has failed.
const ACCEPT_PAUSE: Duration = Duration::from_millis(10);

/// A running origin. It stops, and all its connections end, when this is dropped.
#[derive(Debug)]
pub struct Origin {
    state: Arc<State>,
    addr: SocketAddr,
    accepting: AbortHandle,
}

impl Origin {
    /// Serves a site on a free loopback port, on the current tokio runtime.
    pub async fn start(site: Site) -> io::Result<Origin> {
        Origin::start_at(site, SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).await
    }

    /// Serves a site on a given loopback address, for instance that of an origin that has stopped.
    pub async fn start_at(site: Site, addr: SocketAddr) -> io::Result<Origin> {
        if !addr.ip().is_loopback() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "an origin listens on loopback only"));
        }
        let listener = TcpListener::bind(addr).await?;
        let addr = listener.local_addr()?;
        let state = Arc::new(State::new(site));
        let accepting = tokio::spawn(accept(listener, Arc::clone(&state))).abort_handle();
        Ok(Origin { state, addr, accepting })
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// The URL of a path, which is put in as it is: a query may follow it.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}/{}", self.addr, path.trim_start_matches('/'))
    }

    /// All requests so far, in the order they came in; at most the first 2^20.
    pub fn log(&self) -> Vec<LogEntry> {
        self.state.log.entries()
    }

    /// Body bytes that the kernel has taken, over all answers.
    pub fn bytes_sent(&self) -> u64 {
        self.state.log.bytes_sent()
    }

    /// Connections accepted so far.
    pub fn connections(&self) -> u64 {
        self.state.log.connections()
    }

    /// Returns once so many requests have come in since the start.
    pub async fn wait_for_requests(&self, count: u64) {
        self.state.log.wait(|log| log.requests() >= count).await;
    }

    /// Returns once so many body bytes have been handed to the kernel since the start.
    pub async fn wait_for_bytes(&self, bytes: u64) {
        self.state.log.wait(|log| log.bytes_sent() >= bytes).await;
    }

    /// Puts a plan in force for all paths that begin with `path_prefix`, in place of the plans this prefix had.
    ///
    /// Of several prefixes the longest that strikes decides. Requests are counted from now on.
    pub fn set_fault(&self, path_prefix: &str, plan: Plan) {
        let prefix = path_prefix.trim_start_matches('/');
        let mut rules = self.state.rules();
        rules.remove(prefix);
        rules.add(prefix, plan);
    }

    /// Puts a further plan in force beside those the prefix has. It meets only the requests that those let pass:
    /// `first(1, Hang)` and then `first(1, Short)` strike the first and the second request.
    pub fn add_fault(&self, path_prefix: &str, plan: Plan) {
        self.state.rules().add(path_prefix.trim_start_matches('/'), plan);
    }

    /// From now on all answers are sound. Answers that are being written stay as they are.
    pub fn clear_faults(&self) {
        self.state.rules().clear();
    }

    /// Puts content in the place of a file, under a new `ETag`, or adds a file. Answers being written keep the old content.
    pub fn replace(&self, path: &str, content: Content) {
        self.state.replace(path.trim_start_matches('/'), content);
    }

    /// Takes a file away.
    pub fn remove(&self, path: &str) {
        self.state.remove(path.trim_start_matches('/'));
    }

    /// What a path serves now. After [`Fault::ChangeAfter`](crate::Fault::ChangeAfter) it is not what was put there.
    pub fn content(&self, path: &str) -> Option<Content> {
        self.state.content(path.trim_start_matches('/'))
    }
}

impl Drop for Origin {
    fn drop(&mut self) {
        // The task owns the listener and the connections, so all of them end with it.
        self.accepting.abort();
    }
}

async fn accept(listener: TcpListener, state: Arc<State>) {
    let mut connections = JoinSet::new();
    loop {
        let has_room = connections.len() < CONNECTIONS_MAX;
        tokio::select! {
            Some(_) = connections.join_next() => {}
            accepted = listener.accept(), if has_room => match accepted {
                Ok((stream, _)) => drop(connections.spawn(connection::serve(stream, Arc::clone(&state)))),
                // Out of descriptors: one comes back when a connection ends, here or elsewhere in the process.
                Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
            },
        }
    }
}
