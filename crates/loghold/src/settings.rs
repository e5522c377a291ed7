//! Settings: what the command line and the environment say together.
//! Refuses to open anything, and to guess a data directory.

use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::Arc;

use data_manager::data_manager::Parts;
use data_manager::data_source::DataSource;
use data_manager::options::{DataDir, Network, Options};
use data_manager::sources::FileSource;

use crate::args::{GlobalArguments, OutputFormat};
use crate::exit::{Failure, Outcome};
use crate::mirror::mirrors;

/// The variable that names the data directories.
const DATA_DIR_VARIABLE: &str = "LOGHOLD_DATA_DIR";

/// What the commands go by.
#[derive(Debug)]
pub(crate) struct Settings {
    data_dirs: Vec<PathBuf>,
    /// Those of the command line.
    typed_data_dirs: Vec<PathBuf>,
    options: Options,
    allows_files: bool,
    pub(crate) format: OutputFormat,
    pub(crate) is_quiet: bool,
    pub(crate) is_verbose: bool,
}

impl Settings {
    /// The command line wins over the environment, which is asked through `variable`.
    pub(crate) fn resolve(
        arguments: &GlobalArguments,
        variable: impl Fn(&str) -> Option<OsString>,
    ) -> Settings {
        let data_dirs = if arguments.data_dir.is_empty() {
            let listed = variable(DATA_DIR_VARIABLE).unwrap_or_default();
            std::env::split_paths(&listed).filter(|dir| !dir.as_os_str().is_empty()).collect()
        } else {
            arguments.data_dir.clone()
        };
        let mut options = Options::new("");
        options.data_dirs =
            data_dirs.iter().map(|dir| DataDir { path: dir.clone(), bytes_max: None }).collect();
        options.limits.bytes_per_second_max = arguments.limit_rate;
        if let Some(bytes) = arguments.keep_free {
            options.limits.free_bytes_min = bytes;
        }
        if let Some(connections) = arguments.connections {
            options.limits.connections_max = connections;
            options.limits.connections_per_source_max = connections;
        }
        if arguments.allow_private {
            options.network = Network::Private;
        }
        options.ca_files.clone_from(&arguments.ca_file);
        options.mirrors = mirrors(&arguments.mirror);
        Settings {
            data_dirs,
            typed_data_dirs: arguments.data_dir.clone(),
            options,
            allows_files: arguments.allow_files,
            format: if arguments.json { OutputFormat::Json } else { arguments.output },
            is_quiet: arguments.quiet,
            is_verbose: arguments.verbose,
        }
    }

    /// How the hold is opened.
    pub(crate) fn hold_options(&self) -> Outcome<Options> {
        if self.data_dirs.is_empty() {
            return Err(Failure::usage("no data directory is given")
                .hint(format!("give --data-dir DIR, or set {DATA_DIR_VARIABLE}")));
        }
        Ok(self.options.clone())
    }

    /// The same after it was found to name a directory.
    pub(crate) fn options_as_given(&self) -> Options {
        self.options.clone()
    }

    /// What the hold is put together from: with a source of this machine's files, where they are allowed.
    pub(crate) fn hold_parts(&self) -> Parts {
        let file: Option<Arc<dyn DataSource>> =
            if self.allows_files { Some(Arc::new(FileSource)) } else { None };
        let sources = file.map(|source| ("file".to_string(), source)).into_iter().collect();
        Parts { sources, ..Parts::default() }
    }

    /// The same, with a source of this machine's files in any case: where the user names the place to read from.
    pub(crate) fn hold_parts_with_files() -> Parts {
        let file: Arc<dyn DataSource> = Arc::new(FileSource);
        Parts { sources: vec![("file".to_string(), file)], ..Parts::default() }
    }

    /// The directories that were named, none when none were.
    pub(crate) fn data_dirs(&self) -> &[PathBuf] {
        &self.data_dirs
    }

    /// Those of the command line: what makes and breaks chunks does not do so where the environment says that others are.
    pub(crate) fn typed_data_dirs(&self) -> &[PathBuf] {
        &self.typed_data_dirs
    }

    /// How sources are asked where no hold is needed.
    pub(crate) fn source_options(&self) -> &Options {
        &self.options
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exit::Exit;

    fn resolved(arguments: &GlobalArguments, dirs: &str) -> Settings {
        Settings::resolve(arguments, |name| (name == DATA_DIR_VARIABLE).then(|| dirs.into()))
    }

    #[test]
    fn the_command_line_wins_over_the_environment() {
        let given = GlobalArguments { data_dir: vec!["/one".into()], ..GlobalArguments::default() };
        let dirs = |settings: &Settings| {
            let options = settings.hold_options().unwrap();
            options.data_dirs.into_iter().map(|dir| dir.path).collect::<Vec<_>>()
        };
        assert_eq!(dirs(&resolved(&given, "/two")), [PathBuf::from("/one")]);
        let none = GlobalArguments::default();
        assert_eq!(dirs(&resolved(&none, "/two:/three:")), [PathBuf::from("/two"), PathBuf::from("/three")]);
    }

    #[test]
    fn without_a_data_directory_the_hold_is_not_opened() {
        let failure = resolved(&GlobalArguments::default(), "").hold_options().unwrap_err();
        assert_eq!(failure.exit, Exit::Usage);
        assert!(failure.hint.unwrap().contains("--data-dir"));
    }

    #[test]
    fn limits_reach_the_hold() {
        let arguments = GlobalArguments {
            allow_private: true,
            limit_rate: Some(4_096),
            keep_free: Some(7),
            connections: Some(3),
            json: true,
            ..GlobalArguments::default()
        };
        let settings = resolved(&arguments, "/one");
        let options = settings.hold_options().unwrap();
        assert_eq!(options.network, Network::Private);
        assert_eq!(options.limits.bytes_per_second_max, Some(4_096));
        assert_eq!(options.limits.free_bytes_min, 7);
        assert_eq!((options.limits.connections_max, options.limits.connections_per_source_max), (3, 3));
        assert_eq!(settings.format, OutputFormat::Json);
    }
}
