//! The calls about leases: take, renew, release, break, list.
//! Refuses to guess who may end a lease: its holder with the lease itself, anybody else by breaking it by its name.

use std::time::Duration;

use crate::chunk_ref::ChunkRef;
use crate::data_catalogue::LeaseChange;
use crate::data_manager::DataManagerImpl;
use crate::error::{Error, ErrorKind, Result};
use crate::lease::{Lease, LeaseStatus, check_lifetime, check_name, check_owner};

impl DataManagerImpl {
    /// Pins chunks under a name for a time, in a way that survives a restart and is seen by every process that opens the
    /// directory later. Blocks until that is on disk; the pins may be dropped then.
    ///
    /// A leased chunk that is deleted is hidden at once; its files stay until the last lease and pin are gone.
    ///
    /// # Errors
    /// `Invalid` for a name, owner, lifetime or number of chunks out of its range, `Conflict` for a name that is taken,
    /// `Missing` for a chunk of another hold, `Full`, `Io`, `Closed`; then there is no lease. `TimedOut`: there may be one.
    pub fn lease(&self, name: &str, owner: &str, chunks: &[ChunkRef], lifetime: Duration) -> Result<Lease> {
        let change = self.take_lease((name, owner), chunks, lifetime)?;
        self.inner.catalogue.wait_lease(change)
    }

    /// The same without blocking the thread.
    ///
    /// # Errors
    /// As [`DataManagerImpl::lease`].
    pub async fn lease_in_task(
        &self,
        name: &str,
        owner: &str,
        chunks: &[ChunkRef],
        lifetime: Duration,
    ) -> Result<Lease> {
        let change = self.take_lease((name, owner), chunks, lifetime)?;
        self.inner.catalogue.lease_noted_in_task(change).await
    }

    fn take_lease(
        &self,
        names: (&str, &str),
        chunks: &[ChunkRef],
        lifetime: Duration,
    ) -> Result<LeaseChange> {
        self.check_open()?;
        let invalid = |reason| Error::new(ErrorKind::Invalid, reason);
        check_name(names.0).and_then(|()| check_owner(names.1)).map_err(invalid)?;
        check_lifetime(lifetime).map_err(invalid)?;
        self.inner.catalogue.take_lease(names, chunks, lifetime)
    }

    /// Lets a lease live this long from now on, longer or shorter than it would have. Blocks until that is on disk.
    ///
    /// # Errors
    /// `Missing` when it has ended, also when another of its name was taken since; `Invalid`, `Conflict` while another call
    /// changes it, `Full`, `Io`, `Closed`: then it ends at the earlier or the later of the two times.
    pub fn renew(&self, lease: &Lease, lifetime: Duration) -> Result<Lease> {
        let change = self.renew_lease(lease, lifetime)?;
        self.inner.catalogue.wait_lease(change)
    }

    /// The same without blocking the thread.
    ///
    /// # Errors
    /// As [`DataManagerImpl::renew`].
    pub async fn renew_in_task(&self, lease: &Lease, lifetime: Duration) -> Result<Lease> {
        let change = self.renew_lease(lease, lifetime)?;
        self.inner.catalogue.lease_noted_in_task(change).await
    }

    fn renew_lease(&self, lease: &Lease, lifetime: Duration) -> Result<LeaseChange> {
        self.check_open()?;
        check_lifetime(lifetime).map_err(|reason| Error::new(ErrorKind::Invalid, reason))?;
        self.inner.catalogue.renew_lease(lease, lifetime)
    }

    /// Ends a lease. What it alone held back is removed in the background. Blocks until that it ended is on disk.
    ///
    /// # Errors
    /// `Missing` when it has ended already, `Conflict`, `Io`, `Closed`: then it may live until its time is over.
    pub fn release(&self, lease: &Lease) -> Result<()> {
        self.check_open()?;
        let change = self.inner.catalogue.release_lease(lease)?;
        self.inner.catalogue.wait_lease(change).map(drop)
    }

    /// The same without blocking the thread.
    ///
    /// # Errors
    /// As [`DataManagerImpl::release`].
    pub async fn release_in_task(&self, lease: &Lease) -> Result<()> {
        self.check_open()?;
        let change = self.inner.catalogue.release_lease(lease)?;
        self.inner.catalogue.lease_noted_in_task(change).await.map(drop)
    }

    /// Ends a lease that somebody else holds, also one whose file is damaged. Files that its holder reads may go away.
    ///
    /// # Errors
    /// As [`DataManagerImpl::release`].
    pub fn break_lease(&self, name: &str) -> Result<()> {
        self.check_open()?;
        let change = self.inner.catalogue.break_lease(name)?;
        self.inner.catalogue.wait_lease(change).map(drop)
    }

    /// All leases by name, and what each holds back.
    pub fn leases(&self) -> Vec<LeaseStatus> {
        self.inner.catalogue.leases()
    }
}
