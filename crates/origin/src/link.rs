//! The model of a long link: round trips, time to the first byte, and shared and own bandwidth, kept in virtual time.
//! It never sleeps; it says when bytes would have arrived, and the player waits for that.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// How far a sender may lag behind its schedule and still catch up. It forgives late timers and a busy machine; a client that
/// reads slower than the link for longer than this loses the time, as it would on a real link.
const LAG_MAX: Duration = Duration::from_millis(100);

/// Unused time that the shared bandwidth keeps, so that senders whose timers fire out of order lose nothing of it. After idle
/// time the total therefore runs this much ahead, once.
const CREDIT_MAX: Duration = Duration::from_millis(25);

/// The time one slice of a body takes on the link: short enough to flow, long enough to cost little CPU time.
const SLICE: Duration = Duration::from_millis(4);

/// A modelled link between the origin and its clients.
///
/// A request is answered `round_trip + first_byte` after it came in; the first one on a connection a further `round_trip` later,
/// for the handshake. Body bytes then arrive at the lower of the connection's and its part of the total bandwidth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Link {
    /// There and back.
    pub round_trip: Duration,
    /// The server's thinking time for each request.
    pub first_byte: Duration,
    /// Bandwidth of one connection; [`Link::UNLIMITED`] for none.
    pub bytes_per_second_per_connection: u64,
    /// Bandwidth of all connections together; [`Link::UNLIMITED`] for none.
    pub bytes_per_second_total: u64,
    /// Connections are reset at this age, whatever they are doing.
    pub kill_after: Option<Duration>,
}

impl Link {
    /// A bandwidth without limit.
    pub const UNLIMITED: u64 = u64::MAX;

    /// The long link that the benches use: 50 ms round trip, 30 ms to the first byte, 10 MB/s for each connection and 60 MB/s in all.
    pub fn wan() -> Link {
        Link {
            round_trip: Duration::from_millis(50),
            first_byte: Duration::from_millis(30),
            bytes_per_second_per_connection: 10_000_000,
            bytes_per_second_total: 60_000_000,
            kill_after: None,
        }
    }
}

impl Default for Link {
    fn default() -> Link {
        Link {
            round_trip: Duration::ZERO,
            first_byte: Duration::ZERO,
            bytes_per_second_per_connection: Link::UNLIMITED,
            bytes_per_second_total: Link::UNLIMITED,
            kill_after: None,
        }
    }
}

/// The part of a link that its connections share. All times are since the start of the origin.
#[derive(Debug)]
pub(crate) struct Wire {
    pub(crate) link: Link,
    /// When the shared bandwidth is next free. Held for arithmetic only.
    free_at: Mutex<Duration>,
}

impl Wire {
    pub(crate) fn new(link: Link) -> Wire {
        Wire { link, free_at: Mutex::new(Duration::ZERO) }
    }

    /// Takes `bytes` of the shared bandwidth for a sender that is ready `at`; says when they have passed.
    fn reserve(&self, at: Duration, bytes: u64) -> Duration {
        let mut free_at = self.free_at.lock().unwrap_or_else(PoisonError::into_inner);
        let begin = at.saturating_sub(CREDIT_MAX).max(*free_at);
        *free_at = begin.saturating_add(time_of(bytes, self.link.bytes_per_second_total));
        *free_at
    }
}

/// One connection's schedule.
#[derive(Debug, Default)]
pub(crate) struct Schedule {
    /// Up to when the connection is booked.
    booked_until: Duration,
    /// Whether an answer was begun on this connection: the first one pays for the handshake.
    is_used: bool,
}

impl Schedule {
    /// When the head of the answer to a request that came in at `arrived` reaches the client.
    pub(crate) fn begin(&mut self, wire: &Wire, arrived: Duration) -> Duration {
        let handshake = if self.is_used { Duration::ZERO } else { wire.link.round_trip };
        self.is_used = true;
        let wait = handshake.saturating_add(wire.link.round_trip).saturating_add(wire.link.first_byte);
        let ready = arrived.saturating_add(wait);
        self.booked_until = self.booked_until.max(ready);
        self.booked_until
    }

    /// When the next `bytes` of the body reach the client, at `rate` or less.
    pub(crate) fn next(&mut self, wire: Option<&Wire>, now: Duration, bytes: u64, rate: u64) -> Duration {
        let at = self.booked_until.max(now.saturating_sub(LAG_MAX));
        let own = at.saturating_add(time_of(bytes, rate));
        self.booked_until = wire.map_or(own, |wire| own.max(wire.reserve(at, bytes)));
        self.booked_until
    }

    /// Forgets what was saved up before `now`: a pause is no credit.
    pub(crate) fn skip_to(&mut self, now: Duration) {
        self.booked_until = self.booked_until.max(now);
    }
}

/// How much of a body to send at once at this rate.
pub(crate) fn slice_len(rate: u64) -> usize {
    let bytes = u128::from(rate) * SLICE.as_nanos() / 1_000_000_000;
    usize::try_from(bytes).unwrap_or(usize::MAX).clamp(1, 256 << 10)
}

fn time_of(bytes: u64, rate: u64) -> Duration {
    if rate == Link::UNLIMITED {
        return Duration::ZERO;
    }
    let nanos = u128::from(bytes) * 1_000_000_000 / u128::from(rate.max(1));
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn wire(own: u64, total: u64) -> Wire {
        let link =
            Link { bytes_per_second_per_connection: own, bytes_per_second_total: total, ..Link::wan() };
        Wire::new(link)
    }

    /// Fails when the handshake, the round trip or the thinking time is forgotten or counted twice.
    #[test]
    fn only_the_first_answer_on_a_connection_pays_for_the_handshake() {
        let wire = wire(10_000_000, 60_000_000);
        let mut schedule = Schedule::default();
        assert_eq!(schedule.begin(&wire, 1000 * MS), 1130 * MS);
        assert_eq!(schedule.begin(&wire, 2000 * MS), 2080 * MS);
    }

    /// Fails when late wake-ups slow a body down.
    #[test]
    fn a_sender_that_wakes_late_keeps_its_rate() {
        let wire = wire(10_000_000, Link::UNLIMITED);
        let mut schedule = Schedule::default();
        let mut now = schedule.begin(&wire, Duration::ZERO);
        let begin = now;
        for _ in 0..1000 {
            now = schedule.next(Some(&wire), now, 10_000, 10_000_000) + 3 * MS;
        }
        assert_eq!(now, begin + 1003 * MS);
    }

    /// Fails when senders whose timers fire out of order lose bandwidth that nobody used.
    #[test]
    fn a_total_that_is_just_enough_slows_no_connection_down() {
        let wire = wire(10_000_000, 60_000_000);
        let mut senders: Vec<_> = (0..6).map(|_| (Duration::ZERO, Schedule::default())).collect();
        for round in 0..6 * 500 {
            let (now, schedule) = senders.iter_mut().min_by_key(|sender| sender.0).unwrap();
            let lateness = Duration::from_micros(crate::content::mix(round) % 20_000);
            *now = schedule.next(Some(&wire), *now, 40_000, 10_000_000) + lateness;
        }
        for (_, schedule) in &senders {
            let finish = schedule.booked_until;
            assert!((1980..=2020).contains(&finish.as_millis()), "{finish:?} for 20 MB at 10 MB/s");
        }
    }

    /// Fails when the total is not shared, or when more is given out than there is.
    #[test]
    fn many_connections_share_the_total_evenly() {
        let wire = wire(10_000_000, 60_000_000);
        let mut senders: Vec<_> = (0..12).map(|_| (Duration::ZERO, Schedule::default())).collect();
        for _ in 0..12_000 {
            // The sender whose timer fires first goes first.
            let (now, schedule) = senders.iter_mut().min_by_key(|sender| sender.0).unwrap();
            *now = schedule.next(Some(&wire), *now, 10_000, 10_000_000);
        }
        for (finish, _) in &senders {
            assert!(
                (1980..=2001).contains(&finish.as_millis()),
                "{finish:?} for a twelfth of 120 MB at 60 MB/s"
            );
        }
    }
}
