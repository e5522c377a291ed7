//! Looking after a log: checks, repairs, backups, scrubs.
//! Refuses to look inside: only what users of the crate have is used.

#[cfg(test)]
mod keeping;
