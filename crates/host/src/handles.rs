//! Handles: whether the process may open some more, asked before libraries that panic where there are none.
//! Refuses to keep any.

use std::io;
use std::os::unix::net::UnixStream;

/// What a runtime of tokio takes when it starts, and some more.
pub const RUNTIME_HANDLES: usize = 16;

/// Fails as opening a file would when the process may not have `count` more handles at once.
///
/// For whoever starts a runtime of tokio, which makes some in passing and panics where it cannot: [`RUNTIME_HANDLES`].
///
/// # Errors
/// The system's own, when there are too few.
pub fn expect_handles(count: usize) -> io::Result<()> {
    let pairs: io::Result<Vec<_>> = (0..count.div_ceil(2)).map(|_| UnixStream::pair()).collect();
    pairs.map(drop)
}
