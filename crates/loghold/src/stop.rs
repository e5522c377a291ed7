//! ^C, the polite kill and a reader that goes away, for commands that run in threads of their own.
//! Refuses to end the process at the first signal: what runs ends itself, consistent. The second one ends it.

use std::future::{pending, ready};
use std::io;
use std::pin::pin;
use std::sync::{Arc, OnceLock};
use std::thread;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use tokio::sync::{mpsc, oneshot};
use tokio::task::yield_now;

use crate::exit::{Exit, Failure, Outcome};
use crate::runtime::runtime;
use crate::stop_signal::StopSignal;

/// Whether a signal came. Cloning is cheap, and all clones know.
#[derive(Clone, Debug)]
pub(crate) struct Stop {
    exit: Arc<OnceLock<Exit>>,
    /// Answered once what came before is heard; not answered any more behind a signal.
    questions: mpsc::Sender<oneshot::Sender<()>>,
}

impl Stop {
    /// Listens from now on; calls `act` once a signal came.
    pub(crate) fn listen(act: impl FnOnce(Exit) + Send + 'static) -> Outcome<Stop> {
        Stop::listen_to(None, act)
    }

    /// The same, also where nobody reads stdout any more: for who only prints what comes. It would find out by printing, and
    /// `tail -f | head` go on until the next record.
    pub(crate) fn listen_beside_reader(act: impl FnOnce(Exit) + Send + 'static) -> Outcome<Stop> {
        let (gone, heard) = oneshot::channel();
        start("reader", || wait_until_unread(gone))?;
        Stop::listen_to(Some(heard), act)
    }

    fn listen_to(
        unread: Option<oneshot::Receiver<()>>,
        act: impl FnOnce(Exit) + Send + 'static,
    ) -> Outcome<Stop> {
        let (questions, mut asked) = mpsc::channel(1);
        let stop = Stop { exit: Arc::default(), questions };
        let told = Arc::clone(&stop.exit);
        let runtime = runtime()?;
        let mut signals = runtime.block_on(async { StopSignal::listen() })?;
        let wait = move || {
            let mut question: Option<oneshot::Sender<()>> = None;
            let exit = runtime.block_on(async {
                let mut unread = pin!(heard(unread));
                loop {
                    tokio::select! {
                        biased;
                        exit = signals.received() => break exit,
                        () = &mut unread => break Exit::PipeClosed,
                        () = ready(()), if question.is_some() => {
                            let _is_waited_for = question.take().map(|question| question.send(()));
                        }
                        next = asked.recv() => question = next,
                    }
                    // The runtime looks for signals before it goes on.
                    yield_now().await;
                }
            });
            // Only this thread sets it, and once; who asks hears nothing before.
            let _is_first = told.set(exit);
            drop((question, asked));
            act(exit);
            let again = runtime.block_on(signals.received());
            std::process::exit(again as i32);
        };
        start("signals", wait)?;
        Ok(stop)
    }

    /// The exit code that belongs to the signal, once one came.
    pub(crate) fn exit(&self) -> Option<Exit> {
        self.exit.get().copied()
    }

    /// The same, and waits until a signal that has come already is heard.
    pub(crate) fn exit_by_now(&self) -> Option<Exit> {
        let (question, answer) = oneshot::channel();
        if self.questions.blocking_send(question).is_ok() {
            // No answer is one: there was a signal.
            drop(answer.blocking_recv());
        }
        self.exit()
    }
}

/// Starts a thread that ends with the process.
fn start(name: &str, work: impl FnOnce() + Send + 'static) -> Outcome<()> {
    let thread = thread::Builder::new().name(name.to_string());
    thread.spawn(work).map(drop).map_err(|error| Failure::io("starting a thread", &error))
}

/// Waits in the system until the other end of stdout is closed. A file has no other end, and is waited for in vain.
fn wait_until_unread(gone: oneshot::Sender<()>) {
    let stdout = io::stdout();
    let mut watched = [PollFd::new(&stdout, PollFlags::empty())];
    while let Err(Errno::INTR) = poll(&mut watched, None) {}
    if watched.iter().any(|stdout| stdout.revents().intersects(PollFlags::ERR | PollFlags::HUP)) {
        let _is_heard = gone.send(());
    }
}

/// Never, where nobody listens, or stdout cannot be watched.
async fn heard(unread: Option<oneshot::Receiver<()>>) {
    let is_unread = match unread {
        Some(unread) => unread.await.is_ok(),
        None => false,
    };
    if !is_unread {
        pending::<()>().await;
    }
}
