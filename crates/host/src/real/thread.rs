//! What the calling thread is to the scheduler, and how long it has waited for a core.
//! It refuses other threads than the calling one, which is why the one unsafe call in it can harm nobody.

use std::io;
use std::time::Duration;

use rustix::fs::{Mode, OFlags, open};
use rustix::process::{Resource, getrlimit};
use rustix::thread::gettid;

use crate::Scheduling;

/// The time that a thread with a short slice runs at a stretch: the shortest that Linux takes.
const SLICE_NANOSECONDS: u64 = 100_000;

/// The lowest priority of the real-time classes: enough to go before all that are not.
const REAL_TIME_PRIORITY: u32 = 1;

/// The best nice value there is.
const NICE_MIN: i32 = -20;

/// Threads that this one starts later are ordinary ones.
const RESET_ON_FORK: u64 = 1;

const SCHED_OTHER: u32 = 0;
const SCHED_FIFO: u32 = 1;
const SCHED_RR: u32 = 2;
const SCHED_DEADLINE: u32 = 6;

/// `struct sched_attr` of Linux, in its first version.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
struct Attributes {
    size: u32,
    policy: u32,
    flags: u64,
    nice: i32,
    priority: u32,
    /// For an ordinary thread: its slice, in nanoseconds.
    runtime: u64,
    deadline: u64,
    period: u64,
}

const ATTRIBUTES_BYTES: u32 = 48;
const _: () = assert!(size_of::<Attributes>() == ATTRIBUTES_BYTES as usize, "as the kernel reads it");

/// Whether the calling thread goes before all ordinary ones.
pub(crate) fn is_real_time() -> bool {
    attributes().is_ok_and(|now| matches!(now.policy, SCHED_FIFO | SCHED_RR | SCHED_DEADLINE))
}

/// Gives the calling thread a place with the scheduler. An error: it is as before, or the system does not know the like.
pub(crate) fn schedule(scheduling: Scheduling) -> io::Result<()> {
    let now = attributes()?;
    match scheduling {
        Scheduling::Inherited => Ok(()),
        Scheduling::RealTime => {
            set(Attributes { policy: SCHED_FIFO, priority: REAL_TIME_PRIORITY, ..Attributes::default() })
        }
        // Somebody put it where it is.
        _ if now.policy != SCHED_OTHER => Err(io::ErrorKind::Unsupported.into()),
        Scheduling::Favoured => favour(now.nice),
        Scheduling::ShortSlice => {
            set_slice(now.nice)?;
            // An older kernel takes it, and does nothing about it.
            let is_known = attributes()?.runtime == SLICE_NANOSECONDS;
            if is_known { Ok(()) } else { Err(io::ErrorKind::Unsupported.into()) }
        }
    }
}

/// The calling thread, and how long it could have run and had no core, in all; `None` where the kernel does not count it.
pub(crate) fn core_wait() -> Option<(i32, Duration)> {
    let file = open("/proc/thread-self/schedstat", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).ok()?;
    let mut bytes = [0; 64];
    let len = rustix::io::read(&file, &mut bytes).ok()?;
    let text = std::str::from_utf8(bytes.get(..len)?).ok()?;
    // Time on a core, time without one, how often it got one.
    let waited = text.split_ascii_whitespace().nth(1)?.parse().ok().map(Duration::from_nanos)?;
    Some((gettid().as_raw_nonzero().get(), waited))
}

/// The lowest nice value that is allowed, if it is lower than the one that the thread has.
fn favour(nice: i32) -> io::Result<()> {
    let limit = getrlimit(Resource::Nice).current.unwrap_or(u64::MAX);
    // The limit counts from 1 for 19 to 40 for -20.
    let allowed = 20i32.saturating_sub(i32::try_from(limit.min(40)).unwrap_or(40));
    let refused = match set_slice(NICE_MIN) {
        Ok(()) => return Ok(()),
        Err(refused) => refused,
    };
    if allowed >= nice {
        return Err(refused);
    }
    set_slice(allowed)
}

fn set_slice(nice: i32) -> io::Result<()> {
    set(Attributes { policy: SCHED_OTHER, nice, runtime: SLICE_NANOSECONDS, ..Attributes::default() })
}

fn set(attributes: Attributes) -> io::Result<()> {
    let mut attributes = Attributes { size: ATTRIBUTES_BYTES, flags: RESET_ON_FORK, ..attributes };
    call(libc::SYS_sched_setattr, &mut attributes, 0)
}

fn attributes() -> io::Result<Attributes> {
    let mut attributes = Attributes::default();
    call(libc::SYS_sched_getattr, &mut attributes, ATTRIBUTES_BYTES)?;
    Ok(attributes)
}

/// Both calls: `third` is the flags of the one, and the size for the other, which has the flags behind it.
fn call(number: libc::c_long, attributes: &mut Attributes, third: u32) -> io::Result<()> {
    let (this_thread, no_flags): (libc::c_long, libc::c_long) = (0, 0);
    // SAFETY: the one call reads `size` bytes of a structure that lives as long as the call, the other writes at most as
    // many; `size` and `third` are its real size, and every pattern of bits is a valid value of it. Neither touches any
    // other memory, nor any other thread.
    #[expect(
        unsafe_code,
        reason = "neither std, rustix nor nix has these calls: docs/decisions/0020-scheduling.md"
    )]
    let done = unsafe {
        libc::syscall(
            number,
            this_thread,
            std::ptr::from_mut(attributes),
            libc::c_ulong::from(third),
            no_flags,
        )
    };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// In a thread of its own: it cannot be taken back.
    fn in_a_thread<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
        std::thread::Builder::new().name("scheduled".to_owned()).spawn(work).unwrap().join().unwrap()
    }

    #[test]
    fn the_thread_has_what_it_was_told_that_it_reached() {
        for asked in [Scheduling::ShortSlice, Scheduling::Favoured, Scheduling::RealTime] {
            let (before, reached, after) = in_a_thread(move || {
                let before = attributes().unwrap();
                (before, asked.apply_here(), attributes().unwrap())
            });
            match reached {
                Scheduling::Inherited => assert_eq!((after.policy, after.nice), (before.policy, before.nice)),
                Scheduling::ShortSlice => {
                    assert_eq!((after.policy, after.nice), (SCHED_OTHER, before.nice));
                    assert_eq!(after.runtime, SLICE_NANOSECONDS);
                }
                Scheduling::Favoured => assert!(after.policy == SCHED_OTHER && after.nice <= before.nice),
                Scheduling::RealTime => assert_eq!(after.policy, SCHED_FIFO),
            }
        }
    }

    #[test]
    fn threads_that_it_starts_are_as_they_would_have_been() {
        let (before, child) = in_a_thread(|| {
            let before = attributes().unwrap();
            Scheduling::RealTime.apply_here();
            (before, in_a_thread(|| attributes().unwrap()))
        });
        if before.policy == SCHED_OTHER {
            assert_eq!((child.policy, child.nice), (SCHED_OTHER, before.nice.max(0)));
            assert_ne!(child.runtime, SLICE_NANOSECONDS);
        }
    }

    #[test]
    fn the_time_without_a_core_is_told() {
        let Some(before) = core_wait() else {
            eprintln!("SKIPPED: this kernel does not count how long threads wait for a core");
            return;
        };
        let after = core_wait().unwrap();
        assert_eq!(after.0, before.0);
        assert!(after.1 >= before.1);
    }

    #[test]
    fn a_real_time_thread_is_not_put_back() {
        let (first, second, policy) = in_a_thread(|| {
            let first = Scheduling::RealTime.apply_here();
            (first, Scheduling::ShortSlice.apply_here(), attributes().unwrap().policy)
        });
        if first == Scheduling::RealTime {
            assert_eq!((second, policy), (Scheduling::RealTime, SCHED_FIFO));
        }
    }
}
