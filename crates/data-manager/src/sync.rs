//! Locks, atomics and cells of what readers, callers and the loop share; in one kind of test, those of a scheduler.
//! Refuses to add anything: code is written as with the libraries' own.

#[cfg(not(all(test, feature = "interleavings")))]
pub(crate) use std::sync::{Condvar, Mutex, MutexGuard, atomic};

#[cfg(not(all(test, feature = "interleavings")))]
pub(crate) use arc_swap::ArcSwap;
#[cfg(all(test, feature = "interleavings"))]
pub(crate) use shuttle::sync::{Condvar, Mutex, MutexGuard, atomic};

#[cfg(all(test, feature = "interleavings"))]
pub(crate) use self::scheduled::ArcSwap;

/// The scheduler runs all threads of a test on one, and chooses at each operation of these types which goes on. They are
/// for the tests in `interleavings` alone: outside of them they panic.
#[cfg(all(test, feature = "interleavings"))]
mod scheduled {
    use std::sync::Arc;

    use super::Mutex;

    /// What `arc_swap` does, as one step for each call.
    #[derive(Debug, Default)]
    pub(crate) struct ArcSwap<T>(Mutex<Arc<T>>);

    impl<T> ArcSwap<T> {
        pub(crate) fn from_pointee(value: T) -> ArcSwap<T> {
            ArcSwap(Mutex::new(Arc::new(value)))
        }

        pub(crate) fn load(&self) -> Arc<T> {
            Arc::clone(&self.0.lock().expect("no test panics in it"))
        }

        pub(crate) fn load_full(&self) -> Arc<T> {
            self.load()
        }

        pub(crate) fn store(&self, value: Arc<T>) {
            *self.0.lock().expect("no test panics in it") = value;
        }
    }
}
