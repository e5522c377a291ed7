//! What the gates need beside cargo: how to see that it is there, and how to install it when it is not.
//! Refuses to touch the machine's own packages for anybody but root, and to hide that something is missing.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::{files, tools};

/// The Python packages, with versions, from the root.
const PYTHON_REQUIREMENTS: &str = "xtask/python-requirements.txt";

/// The gate that cannot run without something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Gate {
    /// The workspace's tests.
    Tests,
    /// The tests against real servers and engines.
    External,
}

/// How it is seen that a prerequisite is there.
#[derive(Debug)]
enum Probe {
    /// This command succeeds.
    Succeeds(&'static [&'static str]),
    /// This command succeeds, or nobody here may use what it is for: the tests that mount file systems need root.
    SucceedsForRoot(&'static [&'static str]),
    /// The virtual environment was made from the requirements as they are now.
    PythonPackages,
}

/// How a missing prerequisite is installed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Install {
    /// Packages of Debian, by root only.
    Debian(&'static [&'static str]),
    /// Packages of `PyPI`, into a virtual environment of our own.
    PyPi,
    /// A program from the Rust registry, into the target directory.
    Cargo { name: &'static str, version: &'static str, options: &'static [&'static str] },
}

/// One row of the table.
#[derive(Debug)]
struct Prerequisite {
    what: &'static str,
    gate: Gate,
    probe: Probe,
    install: Install,
}

/// In the order of installation: the virtual environment needs Python.
const TABLE: &[Prerequisite] = &[
    Prerequisite {
        what: "cargo-nextest",
        gate: Gate::Tests,
        probe: Probe::Succeeds(&["cargo", "nextest", "--version"]),
        install: Install::Cargo { name: "cargo-nextest", version: "0.9.143", options: &[] },
    },
    Prerequisite {
        what: "nginx",
        gate: Gate::External,
        probe: Probe::Succeeds(&["nginx", "-v"]),
        install: Install::Debian(&["nginx"]),
    },
    Prerequisite {
        what: "mkfs.ext4",
        gate: Gate::External,
        probe: Probe::SucceedsForRoot(&["mkfs.ext4", "-V"]),
        install: Install::Debian(&["e2fsprogs"]),
    },
    Prerequisite {
        what: "mkfs.xfs",
        gate: Gate::External,
        probe: Probe::SucceedsForRoot(&["mkfs.xfs", "-V"]),
        install: Install::Debian(&["xfsprogs"]),
    },
    Prerequisite {
        what: "ruby",
        gate: Gate::External,
        probe: Probe::Succeeds(&["ruby", "-e", "require 'zlib'"]),
        install: Install::Debian(&["ruby"]),
    },
    Prerequisite {
        what: "Python 3 with venv",
        gate: Gate::External,
        probe: Probe::Succeeds(&["python3", "-c", "import ensurepip, venv"]),
        install: Install::Debian(&["python3", "python3-venv"]),
    },
    Prerequisite {
        what: "duckdb, polars, pyarrow, moto, boto3 and pytest",
        gate: Gate::External,
        probe: Probe::PythonPackages,
        install: Install::PyPi,
    },
    Prerequisite {
        what: "s3s-fs",
        gate: Gate::External,
        probe: Probe::Succeeds(&["s3s-fs", "--version"]),
        install: Install::Cargo { name: "s3s-fs", version: "0.14.1", options: &["--features", "binary"] },
    },
    Prerequisite {
        what: "garage",
        gate: Gate::External,
        probe: Probe::Succeeds(&["garage", "--version"]),
        // Unoptimised: it answers a few dozen requests, and is the largest of all builds here.
        install: Install::Cargo {
            name: "garage",
            version: "2.5.0",
            options: &[
                "--debug",
                "--config=profile.dev.debug=false",
                "--no-default-features",
                "--features=bundled-libs,sqlite",
            ],
        },
    },
];

/// Where tools are kept and looked for.
#[derive(Debug)]
pub(crate) struct Toolbox {
    root: PathBuf,
    tools: PathBuf,
}

impl Toolbox {
    /// The tools below `target`, for the project at `root`.
    pub(crate) fn new(root: &Path, target: &Path) -> Toolbox {
        Toolbox { root: root.to_path_buf(), tools: target.join("tools") }
    }

    /// The Python that has the packages of the table.
    pub(crate) fn python(&self) -> PathBuf {
        self.venv().join("bin/python")
    }

    /// `PATH` with our tools in front. Debian keeps nginx and mkfs where only root looks, hence the end.
    pub(crate) fn path(&self) -> OsString {
        let mut path = OsString::new();
        for part in [self.venv().join("bin"), self.tools.join("bin")] {
            path.push(part);
            path.push(":");
        }
        path.push(std::env::var_os("PATH").unwrap_or_default());
        path.push(":/usr/sbin");
        path
    }

    /// Sees to it that all that `gate` needs is there; otherwise says what to install.
    pub(crate) fn provide(&self, gate: Gate, may_install: bool) -> Result<(), String> {
        let missing = self.missing(gate);
        if missing.is_empty() {
            return Ok(());
        }
        let by_hand = |rows: &[&Prerequisite]| {
            let lines = rows.iter().map(|row| format!("  {}: {}", row.what, self.advice(row.install)));
            lines.collect::<Vec<_>>().join("\n")
        };
        let installable = plan(&missing, may_install, is_root())
            .map_err(|refused| format!("missing, and not installed from here:\n{}", by_hand(&refused)))?;
        for install in installable {
            eprintln!("    installing: {}", self.advice(install));
            self.install(install)?;
        }
        match self.missing(gate).as_slice() {
            [] => Ok(()),
            still => Err(format!("installed, but still not found:\n{}", by_hand(still))),
        }
    }

    fn missing(&self, gate: Gate) -> Vec<&'static Prerequisite> {
        TABLE.iter().filter(|row| row.gate == gate && !self.is_there(&row.probe)).collect()
    }

    fn is_there(&self, probe: &Probe) -> bool {
        match probe {
            Probe::Succeeds(words) => self.succeeds(words),
            Probe::SucceedsForRoot(words) => !is_root() || self.succeeds(words),
            Probe::PythonPackages => {
                let wanted = files::text(&self.root.join(PYTHON_REQUIREMENTS));
                wanted.is_some()
                    && wanted == files::text(&self.stamp())
                    && tools::succeeds(Command::new(self.python()).arg("--version"))
            }
        }
    }

    fn succeeds(&self, words: &[&str]) -> bool {
        words.split_first().is_some_and(|(program, arguments)| {
            tools::succeeds(Command::new(program).args(arguments).env("PATH", self.path()))
        })
    }

    fn install(&self, install: Install) -> Result<(), String> {
        match install {
            Install::Debian(packages) => {
                // The lists of a fresh machine are empty or old; without this the packages are not found.
                tools::run(Command::new("apt-get").args(["update", "-qq"]))?;
                let mut command = Command::new("apt-get");
                command.args(["install", "-y", "-qq", "--no-install-recommends"]).args(packages);
                tools::run(command.env("DEBIAN_FRONTEND", "noninteractive"))
            }
            Install::PyPi => self.install_python_packages(),
            Install::Cargo { name, version, options } => {
                let build = self.tools.join("build");
                let mut command = tools::cargo(&self.root);
                command.args(["install", "--quiet", "--locked", "--version", version]).args(options);
                command.arg("--root").arg(&self.tools).arg("--target-dir").arg(&build).arg(name);
                tools::run(&mut command)?;
                files::remove(&build)
            }
        }
    }

    /// The stamp is written last: an installation that was cut short is made again from nothing.
    fn install_python_packages(&self) -> Result<(), String> {
        let requirements = self.root.join(PYTHON_REQUIREMENTS);
        files::remove(&self.venv())?;
        tools::run(Command::new("python3").args(["-m", "venv"]).arg(self.venv()))?;
        let mut command = Command::new(self.python());
        command.args(["-m", "pip", "install", "--quiet", "--requirement"]).arg(&requirements);
        tools::run(&mut command)?;
        let text = files::text(&requirements).ok_or_else(|| format!("{PYTHON_REQUIREMENTS} is gone"))?;
        files::write(&self.stamp(), &text)
    }

    /// What to type to install it by hand.
    fn advice(&self, install: Install) -> String {
        match install {
            Install::Debian(packages) => format!("apt-get install {}", packages.join(" ")),
            Install::PyPi => {
                let venv = self.venv();
                // The copy is the stamp.
                let make = format!("python3 -m venv {0} && {0}/bin/pip install -r", venv.display());
                format!("{make} {PYTHON_REQUIREMENTS} && cp {PYTHON_REQUIREMENTS} {}", venv.display())
            }
            Install::Cargo { name, version, options } => {
                let options = options.join(" ");
                format!("cargo install --locked {name}@{version} {options} --root {}", self.tools.display())
            }
        }
    }

    fn venv(&self) -> PathBuf {
        self.tools.join("venv")
    }

    fn stamp(&self) -> PathBuf {
        self.venv().join("python-requirements.txt")
    }
}

/// What is to be installed, in order; or the rows that must be installed by hand, when there are any. Nothing is
/// installed then: a run that fails anyway should fail before the minutes that installing takes.
fn plan<'a>(
    missing: &[&'a Prerequisite],
    may_install: bool,
    is_root: bool,
) -> Result<Vec<Install>, Vec<&'a Prerequisite>> {
    let is_refused =
        |row: &Prerequisite| !may_install || (matches!(row.install, Install::Debian(_)) && !is_root);
    let refused: Vec<&Prerequisite> = missing.iter().copied().filter(|row| is_refused(row)).collect();
    if refused.is_empty() { Ok(missing.iter().map(|row| row.install).collect()) } else { Err(refused) }
}

pub(crate) fn is_root() -> bool {
    tools::output(Command::new("id").arg("-u")).is_ok_and(|id| id.trim() == "0")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all() -> Vec<&'static Prerequisite> {
        TABLE.iter().collect()
    }

    #[test]
    fn root_installs_everything_in_the_order_of_the_table() {
        let planned = plan(&all(), true, true).expect("root may install");
        let expected: Vec<Install> = TABLE.iter().map(|row| row.install).collect();
        assert_eq!(planned, expected);
    }

    #[test]
    fn without_root_debian_packages_are_refused_before_anything_is_installed() {
        let refused = plan(&all(), true, false).expect_err("Debian's packages need root");
        let names: Vec<&str> = refused.iter().map(|row| row.what).collect();
        assert_eq!(names, ["nginx", "mkfs.ext4", "mkfs.xfs", "ruby", "Python 3 with venv"]);
    }

    #[test]
    fn without_permission_every_missing_row_is_named() {
        let refused = plan(&all(), false, true).expect_err("nothing may be installed");
        assert_eq!(refused.len(), TABLE.len());
    }

    #[test]
    fn python_comes_before_the_packages_that_need_it() {
        let position = |install: fn(&Install) -> bool| TABLE.iter().position(|row| install(&row.install));
        let python = TABLE.iter().position(|row| row.what.starts_with("Python"));
        assert!(python < position(|install| *install == Install::PyPi));
    }
}
