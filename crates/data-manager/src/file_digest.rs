//! The SHA-256 of a staged file, where a descriptor asks for it.
//! Refuses to hash out of order, as SHA-256 does: it reads the finished file back from the page cache.

use sha2::{Digest, Sha256};

use crate::download::pieces;
use crate::download_error::DownloadError;
use crate::job::Job;

/// Hashes a complete file in pieces, so that it can be cancelled between them.
pub(crate) async fn sha256_of(job: &Job, file: usize, total: u64) -> Result<[u8; 32], DownloadError> {
    let mut hasher = Sha256::new();
    for piece in pieces(total) {
        let read = job.shared.pool.blocking(|| job.staging.read(file, piece, |bytes| hasher.update(bytes)));
        read.map_err(|error| DownloadError::disk("hashing", &error))?;
        tokio::task::yield_now().await;
    }
    Ok(hasher.finalize().into())
}
