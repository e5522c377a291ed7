//! The mark of an import that is under way: behind which record it began, so that a run that was killed can be gone on with.
//! Refuses to say how far it came: what is in the log is compared.

use std::io;
use std::path::Path;

use host::Disk;

use crate::exit::{Failure, Outcome};

/// Where it lies, in the directory of the log that is written.
pub(super) const FILE: &str = "importing";

/// A path and a number take less.
const BYTES_MAX: u64 = 64 << 10;

/// An import that is under way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Mark {
    /// The last record that the log had when it began, 0 for none.
    pub(super) after: u64,
    /// The other log's directory.
    pub(super) from: String,
}

impl Mark {
    /// The mark of an import that did not come to its end.
    pub(super) fn read(disk: &Disk) -> Outcome<Option<Mark>> {
        let file = match disk.open_file(Path::new(FILE)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            file => file.map_err(|error| failed(&error))?,
        };
        let len = file.len().map_err(|error| failed(&error))?.min(BYTES_MAX);
        let mut bytes = vec![0; usize::try_from(len).unwrap_or_default()];
        file.read_exact_at(&mut bytes, 0).map_err(|error| failed(&error))?;
        let mark = String::from_utf8(bytes).ok().and_then(|text| Mark::parse(&text));
        let damaged = || {
            Failure::usage(format!(
                "the file `{FILE}` in the log's directory is none that an import has left"
            ))
            .hint("remove it when no import into this log was cut off")
        };
        mark.ok_or_else(damaged).map(Some)
    }

    fn parse(text: &str) -> Option<Mark> {
        let (after, from) = text.strip_suffix('\n')?.strip_prefix("after ")?.split_once("\nfrom ")?;
        Some(Mark { after: after.parse().ok()?, from: from.to_owned() })
    }

    /// Leaves the mark durably, before the first record is appended.
    pub(super) fn leave(&self, disk: &Disk) -> Outcome<()> {
        let text = format!("after {}\nfrom {}\n", self.after, self.from);
        disk.publish_file(Path::new(FILE), text.as_bytes()).map_err(|error| rtrans::Error::from(error).into())
    }

    /// Takes the mark away: the import is over, or has changed nothing. Should it come back with a power cut, the next import
    /// finds everything there.
    pub(super) fn take_away(disk: &Disk) -> Outcome<()> {
        disk.remove_file(Path::new(FILE)).map_err(|error| failed(&error))
    }
}

fn failed(error: &io::Error) -> Failure {
    Failure::io(format!("the file `{FILE}` of an import"), error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_is_read_back_whatever_the_path() {
        for from in ["/logs/old", "", "a\nfrom b", "after 7"] {
            let mark = Mark { after: 7, from: from.to_owned() };
            assert_eq!(Mark::parse(&format!("after 7\nfrom {from}\n")), Some(mark));
        }
        for text in ["", "after 7", "after x\nfrom y\n", "after 7\nfrom y"] {
            assert_eq!(Mark::parse(text), None, "{text:?}");
        }
    }
}
