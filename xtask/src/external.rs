//! The tests against other programs and real disks: which there are, and how the program under test is told to them.
//! Refuses to provide what they need: that is for the prerequisites.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::prerequisites::Toolbox;
use crate::{files, tools};

/// Tests that need other programs: `test_*.py` for pytest, `*.sh` for bash.
pub(crate) const EXTERNAL_DIRECTORY: &str = "tests/external";

/// The tests in the external directory, by how they are run.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct External {
    has_python: bool,
    scripts: Vec<String>,
}

impl External {
    pub(crate) fn find(root: &Path) -> External {
        External::of(files::names(&root.join(EXTERNAL_DIRECTORY)))
    }

    fn of(names: Vec<String>) -> External {
        let ends_in = |name: &str, end| Path::new(name).extension().is_some_and(|extension| extension == end);
        let has_python = names.iter().any(|name| name.starts_with("test_") && ends_in(name, "py"));
        External { has_python, scripts: names.into_iter().filter(|name| ends_in(name, "sh")).collect() }
    }

    pub(crate) fn is_empty(&self) -> bool {
        *self == External::default()
    }

    /// Runs all of them.
    pub(crate) fn run(&self, root: &Path, target: &Path, toolbox: &Toolbox) -> Result<(), String> {
        let program = Program::build(root, target)?;
        for script in &self.scripts {
            let mut command = program.within(Command::new("bash"), toolbox);
            tools::run(command.arg(format!("{EXTERNAL_DIRECTORY}/{script}")))?;
        }
        if self.has_python { tools::run(program.pytest(toolbox).arg(EXTERNAL_DIRECTORY)) } else { Ok(()) }
    }
}

/// The program under test, built.
#[derive(Debug)]
pub(crate) struct Program {
    root: PathBuf,
    binary: PathBuf,
}

impl Program {
    /// Builds it, with the assertions of a debug build.
    pub(crate) fn build(root: &Path, target: &Path) -> Result<Program, String> {
        tools::run(tools::cargo(root).args(["build", "--quiet", "--package", "loghold"]))?;
        Ok(Program { root: root.to_path_buf(), binary: target.join("debug/loghold") })
    }

    /// pytest, to which the names of tests are added.
    pub(crate) fn pytest(&self, toolbox: &Toolbox) -> Command {
        let mut command = self.within(Command::new(toolbox.python()), toolbox);
        command.args(["-m", "pytest", "-q", "-p", "no:cacheprovider"]);
        command
    }

    /// Each test finds the program in `LOGHOLD_BINARY`, and the servers and the Python packages on `PATH`.
    fn within(&self, mut command: Command, toolbox: &Toolbox) -> Command {
        command.current_dir(&self.root).env("PATH", toolbox.path()).env("LOGHOLD_BINARY", &self.binary);
        // The tree stays as it was: tidy and git see every file that is not ignored.
        command.env("PYTHONDONTWRITEBYTECODE", "1");
        command
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(names: &[&str]) -> External {
        External::of(names.iter().map(|name| (*name).to_owned()).collect())
    }

    #[test]
    fn external_tests_are_found_by_their_names() {
        let external = found(&["README.md", "data.json", "nginx.sh", "servers.py", "test_engines.py"]);
        assert_eq!(external, External { has_python: true, scripts: vec!["nginx.sh".to_owned()] });
    }

    #[test]
    fn helpers_and_documents_alone_are_no_tests() {
        assert!(found(&["README.md", "servers.py", "requirements.txt"]).is_empty());
    }
}
