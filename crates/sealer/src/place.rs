//! `Place`: where objects lie, and the five things that sealing asks of it.
//! Refuses to know what objects mean.

use std::fmt;

use bytes::Bytes;

use crate::error::Error;

/// What became of writing an object that must not be there yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Created {
    /// It was written.
    Now,
    /// One of this name was there already, and stays.
    Before,
}

/// Where objects lie: a directory, an object store, or what a test makes up. Calls wait for their end, from a thread that
/// may wait, outside of any async runtime.
///
/// After an error the object may be there or not, but never in part.
pub trait Place: fmt::Debug + Send + Sync {
    /// Writes an object, in the place of the one of this name if there is one.
    ///
    /// # Errors
    /// [`Error::Store`].
    fn put(&self, name: &str, bytes: Bytes) -> Result<(), Error>;

    /// Writes an object unless one of this name is there: of several writers one wins, and nobody replaces it.
    ///
    /// # Errors
    /// [`Error::Store`].
    fn put_new(&self, name: &str, bytes: Bytes) -> Result<Created, Error>;

    /// Reads an object; `None` when it is not there.
    ///
    /// # Errors
    /// [`Error::Store`]; [`Error::Damaged`] when it is longer than `bytes_max`.
    fn get(&self, name: &str, bytes_max: u64) -> Result<Option<Bytes>, Error>;

    /// The names in a directory that come behind `after`, sorted, without those of directories in it.
    ///
    /// # Errors
    /// [`Error::Store`].
    fn list(&self, directory: &str, after: &str) -> Result<Vec<String>, Error>;

    /// Removes an object. One that is not there is no error.
    ///
    /// # Errors
    /// [`Error::Store`].
    fn remove(&self, name: &str) -> Result<(), Error>;
}
