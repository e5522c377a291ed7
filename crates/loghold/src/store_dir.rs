//! The directory of a store that somebody only wants to read: whether it is there, and what was meant if not.
//! Refuses to make it: to open a store does that, and a misspelt one would look like one that nobody has sealed into yet.

use std::path::{Path, PathBuf};

use host::{Disk, Kind};
use url::Url;

use crate::exit::{Exit, Failure, Outcome};
use crate::suggestion::nearest;

/// The directory of a store that is one and is not there. Of what cannot be looked at, opening tells more.
pub(crate) fn missing_dir(store: &str) -> Option<PathBuf> {
    let url = Url::parse(store).ok().filter(|url| url.scheme() == "file")?;
    let path = url.to_file_path().ok()?;
    (!path.try_exists().unwrap_or(true)).then_some(path)
}

/// Ends a command that would read a store whose directory is not there.
pub(crate) fn expect_store(store: &str) -> Outcome<()> {
    let Some(path) = missing_dir(store) else { return Ok(()) };
    let failure = Failure::new(Exit::NotFound, format!("there is no directory {}", path.display()));
    Err(match meant(&path) {
        Some(meant) => failure.hint(format!("did you mean {}?", meant.display())),
        None => failure.hint("`loghold seal` makes it when it seals the first chunk"),
    })
}

/// The path with its first name that is not there replaced by one beside it.
fn meant(path: &Path) -> Option<PathBuf> {
    let there = path.ancestors().find(|above| above.is_dir())?;
    let mut absent = path.strip_prefix(there).ok()?.components();
    let name = absent.next()?.as_os_str().to_str()?;
    let entries = Disk::open(there).ok()?.list(Path::new("")).ok()?;
    let dirs = entries.iter().filter(|entry| entry.kind == Kind::Dir);
    let known: Vec<&str> = dirs.filter_map(|entry| entry.name.to_str()).collect();
    let meant = there.join(nearest(name, &known)?).join(absent.as_path());
    meant.is_dir().then_some(meant)
}
