//! `Recovery`: what opening a log found, and what it mended.
//! Refuses to be silent: whatever was cut, rebuilt, clamped or given up is listed here.

use std::fmt;
use std::path::PathBuf;

use crate::error::Corruption;

/// What opening a log found, and what it mended. Nothing, after a clean close.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Recovery {
    /// An unfinished write at the end, which was cut: nothing in it had been acknowledged as durable.
    pub torn: Option<Torn>,
    /// Damage to what had been durable. The records in it cannot be read; everything else can.
    pub damaged: Vec<Corruption>,
    /// Derived files that were missing or doubtful, and are made again.
    pub rebuilt: Vec<PathBuf>,
    /// Consumers whose positions lay beyond the last record, and were set back to it.
    pub clamped: Vec<Clamped>,
}

/// An unfinished write that was cut.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Torn {
    /// The file, relative to the log's directory.
    pub path: PathBuf,
    /// Where the log ends now, in bytes.
    pub offset: u64,
    /// How many bytes behind it were not empty.
    pub bytes: u64,
}

/// A consumer's position that lay beyond the last record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Clamped {
    /// The consumer.
    pub name: String,
    /// What its position was.
    pub from: u64,
    /// What it is now; 0 for none.
    pub to: u64,
}

impl Recovery {
    /// Whether nothing had to be mended.
    pub fn is_clean(&self) -> bool {
        *self == Recovery::default()
    }
}

impl fmt::Display for Recovery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_clean() {
            return f.write_str("nothing to mend");
        }
        let mut parts = Vec::new();
        if let Some(torn) = &self.torn {
            let place = torn.path.display();
            parts.push(format!(
                "an unfinished write of {} bytes at byte {} of {place} was cut",
                torn.bytes, torn.offset
            ));
        }
        parts.extend(self.damaged.iter().map(|damaged| format!("damaged: {damaged}")));
        parts.extend(self.rebuilt.iter().map(|path| format!("{} is made again", path.display())));
        parts.extend(self.clamped.iter().map(|clamped| {
            format!("consumer {} was at {} and is set back to {}", clamped.name, clamped.from, clamped.to)
        }));
        f.write_str(&parts.join("; "))
    }
}
