//! Tickets as futures and followers as streams, without a runtime.
//! Refuses to poll: an executor of one thread waits until it is woken.
#![cfg(feature = "async")]

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};

use futures_core::Stream;
use host::Clock;
use host::sim::SimDisk;
use rtrans::{Error, Level, Log, Options, Threads, TransId, TypeNo};

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Runs a future in this thread; it hangs when nobody wakes it.
fn block_on<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return output;
        }
        thread::park();
    }
}

fn open(sim: &SimDisk, threads: Threads) -> Log {
    let options = Options { threads, ..Options::default() };
    Log::open_on(&sim.disk(), &Clock::system(), options).expect("the log opens")
}

#[test]
fn a_ticket_is_a_future_that_is_ready_once_the_record_is_durable() {
    for threads in [Threads::Own, Threads::None] {
        let sim = SimDisk::new(1);
        let log = open(&sim, threads);
        let tickets: Vec<_> = (0..300).map(|_| log.append_async(TypeNo(1), b"x").unwrap()).collect();
        for (number, ticket) in tickets.into_iter().enumerate() {
            let appended = block_on(ticket).unwrap();
            assert_eq!(appended.first.map(TransId::get), Some(number as u64 + 1));
            assert_eq!(appended.reached, Level::Disk);
        }
        sim.crash();
        drop(log);
        assert_eq!(open(&sim, threads).last().map(TransId::get), Some(300));
    }
}

#[test]
fn a_ticket_of_a_failed_sync_is_an_error() {
    let sim = SimDisk::new(2);
    let log = open(&sim, Threads::Own);
    log.append(TypeNo(1), b"x").unwrap();
    sim.fail_sync_next();
    let ticket = log.append_async(TypeNo(1), b"x").unwrap();
    assert!(matches!(block_on(ticket), Err(Error::Poisoned(_))));
}

#[test]
fn a_follower_is_a_stream_that_is_woken_by_appends() {
    let sim = SimDisk::new(3);
    let log = open(&sim, Threads::Own);
    let mut follow = log.follow(TransId::FIRST);
    thread::scope(|scope| {
        let log = &log;
        let reading = scope.spawn(move || {
            let mut ids = Vec::new();
            while ids.len() < 100 {
                let record = block_on(poll_fn(|context| Pin::new(&mut follow).poll_next(context)));
                ids.push(record.expect("the log is open").unwrap().id.get());
            }
            ids
        });
        for _ in 0..100 {
            log.append(TypeNo(1), b"x").unwrap();
        }
        assert_eq!(reading.join().unwrap(), (1..=100).collect::<Vec<_>>());
    });
}

#[test]
fn a_stream_ends_when_the_log_is_closed() {
    let sim = SimDisk::new(4);
    let log = open(&sim, Threads::Own);
    let mut follow = log.follow(TransId::FIRST);
    thread::scope(|scope| {
        let reading =
            scope.spawn(move || block_on(poll_fn(|context| Pin::new(&mut follow).poll_next(context))));
        log.close().unwrap();
        assert!(reading.join().unwrap().is_none());
    });
}
