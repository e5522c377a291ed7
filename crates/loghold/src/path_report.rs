//! A path as JSON has it: text where it is text, and its exact bytes in a URL where it is not.
//! Refuses to make a path readable: another path, or none, would be what a script opens.

use std::path::Path;

use serde::Serialize;
use url::Url;

/// The fields of a path, flattened into a report. They are an interface.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub(crate) struct PathReport {
    /// `null` where the path is not UTF-8, which JSON cannot hold.
    path: Option<String>,
    /// Only where `path` had to be `null`: a file URL, whose percent signs bring the bytes back.
    #[serde(skip_serializing_if = "Option::is_none")]
    path_url: Option<String>,
}

impl PathReport {
    pub(crate) fn new(path: &Path) -> PathReport {
        match path.to_str() {
            Some(text) => PathReport { path: Some(text.to_string()), path_url: None },
            None => PathReport { path: None, path_url: url_of(path) },
        }
    }

    /// For people: bytes that are not text are shown as in a URL.
    pub(crate) fn shown(&self) -> &str {
        self.path.as_deref().or(self.path_url.as_deref()).unwrap_or_default()
    }
}

fn url_of(path: &Path) -> Option<String> {
    let path = std::path::absolute(path).ok()?;
    Url::from_file_path(path).ok().map(String::from)
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;

    use super::*;

    #[test]
    fn a_path_that_is_no_text_comes_back_byte_for_byte_from_its_url() {
        let path = Path::new(OsStr::from_bytes(b"/a \xff%\xc3\xa9/\xc3"));
        let report = PathReport::new(path);
        assert_eq!(report.path, None);
        assert_eq!(report.path_url.as_deref(), Some("file:///a%20%FF%25%C3%A9/%C3"));
        let url = Url::parse(&report.path_url.unwrap()).unwrap();
        assert_eq!(url.to_file_path().unwrap(), path);
    }

    #[test]
    fn a_path_that_is_text_is_that_text_alone() {
        let report = PathReport::new(Path::new("/\u{e9} \u{fffd}"));
        assert_eq!(serde_json::to_string(&report).unwrap(), "{\"path\":\"/\u{e9} \u{fffd}\"}");
    }
}
