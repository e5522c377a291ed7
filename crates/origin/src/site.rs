//! What an origin serves when it starts: its files, whether directories are listed, and the link it is reached by.
//! It refuses nothing and does nothing: a description.

use std::collections::BTreeMap;

use crate::content::Content;
use crate::link::Link;

/// The files of an origin, and how it is reached.
#[derive(Clone, Debug, Default)]
pub struct Site {
    pub(crate) files: BTreeMap<String, Content>,
    pub(crate) is_listed: bool,
    pub(crate) link: Option<Link>,
}

impl Site {
    /// No files, no listing, the bare loopback.
    pub fn new() -> Site {
        Site::default()
    }

    /// Adds a file. A leading `/` of the path is left out; paths are compared after percent-decoding.
    #[must_use]
    pub fn file(mut self, path: impl Into<String>, content: Content) -> Site {
        self.files.insert(path.into().trim_start_matches('/').to_owned(), content);
        self
    }

    /// Answers paths that end in `/` with a list of what is below, as nginx's autoindex does.
    #[must_use]
    pub fn listing(mut self) -> Site {
        self.is_listed = true;
        self
    }

    /// Slows the origin down to a modelled link.
    #[must_use]
    pub fn link(mut self, link: Link) -> Site {
        self.link = Some(link);
        self
    }
}
