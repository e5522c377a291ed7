//! `ConsumerName`: what a backend that consumes a log is called; a file in `transid/` has that name.
//! Refuses whatever could be taken for another path: 1 to 64 of `A-Z a-z 0-9 . _ -`, and neither `.` nor `..`.

use std::fmt;
use std::sync::Arc;

use crate::error::Error;

const NAME_BYTES_MAX: usize = 64;

/// The name of a consumer, checked.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct ConsumerName(Arc<str>);

impl ConsumerName {
    pub(crate) fn new(name: &str) -> Result<ConsumerName, Error> {
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
        let is_name = (1..=NAME_BYTES_MAX).contains(&name.len()) && name.bytes().all(is_plain);
        if is_name && name != "." && name != ".." {
            Ok(ConsumerName(name.into()))
        } else {
            Err(Error::BadName { name: name.to_owned() })
        }
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ConsumerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_names_of_1_to_64_bytes_are_taken() {
        for name in ["a", "sealer-1", "A.b_c", &"x".repeat(64)] {
            assert!(ConsumerName::new(name).is_ok(), "{name}");
        }
        for name in ["", ".", "..", "a/b", "a b", "ä", "a\0", &"x".repeat(65)] {
            assert!(ConsumerName::new(name).is_err(), "{name}");
        }
    }
}
