//! The clocks: the machine's agree with each other, the manual one moves only when told.
//! It refuses to wait for time to pass.

use std::time::{Duration, SystemTime};

use host::Clock;
use host::sim::ManualClock;

#[test]
fn the_monotonic_time_never_goes_back() {
    let clock = Clock::system();
    let mut last = clock.monotonic();
    for _ in 0..10_000 {
        let now = clock.monotonic();
        assert!(now >= last);
        last = now;
    }
}

#[test]
fn the_coarse_time_is_late_but_never_ahead() {
    let clock = Clock::system();
    for _ in 0..10_000 {
        let coarse = clock.monotonic_coarse_ms();
        let exact = clock.monotonic();
        assert!(u128::from(coarse) <= exact.as_millis());
        let later = clock.monotonic_coarse_ms();
        assert!(u128::from(later) + 1000 > exact.as_millis(), "{later} {exact:?}");
    }
}

#[test]
fn a_manual_clock_moves_when_told_and_takes_the_time_of_day_along() {
    let start = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000);
    let manual = ManualClock::new(start);
    let clock = manual.clock();
    assert_eq!((clock.monotonic(), clock.wall()), (Duration::ZERO, start));
    manual.advance(Duration::from_millis(2500));
    assert_eq!(clock.monotonic_coarse_ms(), 2500);
    manual.set(Duration::from_secs(10));
    assert_eq!((clock.monotonic(), clock.wall()), (Duration::from_secs(10), start + Duration::from_secs(10)));
    manual.set(Duration::from_secs(5));
    assert_eq!(clock.monotonic(), Duration::from_secs(10), "it does not go back");
    manual.set_wall(start);
    assert_eq!((clock.monotonic(), clock.wall()), (Duration::from_secs(10), start));
}
