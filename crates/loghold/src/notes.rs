//! Notes: what the user is told on stderr beside results and errors.
//! Refuses to speak when told to be quiet.

use std::io::Write;

use crate::output::note_line;
use crate::settings::Settings;

/// How much is said.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Notes {
    is_quiet: bool,
    is_verbose: bool,
}

impl Notes {
    pub(crate) fn new(settings: &Settings) -> Notes {
        Notes { is_quiet: settings.is_quiet, is_verbose: settings.is_verbose }
    }

    pub(crate) fn is_quiet(self) -> bool {
        self.is_quiet
    }

    pub(crate) fn is_verbose(self) -> bool {
        self.is_verbose
    }

    /// Something that the user should know.
    pub(crate) fn say(self, text: &str) {
        if !self.is_quiet {
            // When stderr is closed there is nobody left to tell.
            let _nobody_to_tell = writeln!(anstream::stderr().lock(), "{}", note_line(text));
        }
    }
}
