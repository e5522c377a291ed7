//! The proofs for longer than the gates have time: more seeds, more steps, every bit, more kills and power cuts.
//! Refuses to change what is tried: the tests are those of the gates, and count by what the environment says.

use std::path::Path;

use strsim::levenshtein;

use crate::external::{EXTERNAL_DIRECTORY, Program};
use crate::prerequisites::{Gate, Toolbox, is_root};
use crate::steps::{Outcome, Steps};
use crate::tools::{self, Stream};

/// Some tests, and what the environment says to them.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Part {
    name: &'static str,
    tests: Tests,
    variables: &'static [(&'static str, &'static str)],
}

/// How tests are run.
#[derive(Debug, PartialEq, Eq)]
enum Tests {
    /// Tests of a package, by cargo with these arguments.
    Cargo(&'static str, &'static [&'static str]),
    /// External tests: a file, and perhaps `::` and a test in it.
    External(&'static str),
    /// External tests that mount file systems, which only root may.
    Mounting(&'static str),
}

/// All parts, in the order in which they run. Where tests run once for each format, file system and the like, `x` says so
/// behind the count.
const PARTS: &[Part] = &[
    Part {
        name: "crashes",
        tests: Tests::Cargo("rtrans", &["--test", "proof", "crashes::"]),
        variables: &[("LOGHOLD_SEEDS", "512")],
    },
    Part {
        name: "faults in recoveries",
        tests: Tests::Cargo("rtrans", &["--test", "proof", "of_a_recovery"]),
        variables: &[("LOGHOLD_CUT_STRIDE", "7")],
    },
    Part {
        // About three minutes for each of these on two cores.
        name: "random calls",
        tests: Tests::Cargo("rtrans", &["--test", "proof", "model::"]),
        variables: &[("LOGHOLD_STEPS", "4000000")],
    },
    Part {
        name: "every bit",
        tests: Tests::Cargo("rtrans", &["--test", "proof", "damage::"]),
        variables: &[("LOGHOLD_FLIP_STRIDE", "1")],
    },
    Part {
        name: "threads",
        tests: Tests::Cargo("rtrans", &["--test", "proof", "race::"]),
        variables: &[("LOGHOLD_SEEDS", "200")],
    },
    Part {
        name: "hostile files",
        tests: Tests::Cargo("rtrans", &["--test", "hostile"]),
        variables: &[("LOGHOLD_STEPS", "200000")],
    },
    Part {
        // x 4: 2,000 kills, a fifth of them followed by one of the next start.
        name: "kills of appends",
        tests: Tests::External(
            "test_log_kill.py::test_every_id_that_was_printed_survives_a_kill_and_there_is_no_hole",
        ),
        variables: &[("LOGHOLD_LOG_KILLS", "500")],
    },
    Part {
        // x 4, and three kinds of cut: 1,008.
        name: "power cuts",
        tests: Tests::Mounting(
            "test_log_disk.py::test_every_id_that_was_printed_before_a_power_cut_is_there_after_it",
        ),
        variables: &[("LOGHOLD_LOG_CUTS", "84")],
    },
    Part {
        // x 4, and one more for each of the 100 to 230 flushes: 2,000 images.
        name: "crash images",
        tests: Tests::Mounting("test_crash_images.py"),
        variables: &[("LOGHOLD_LOG_IMAGES", "350")],
    },
    Part {
        // x 4 for logs, x 2 for downloads: 150 times at which a device fails.
        name: "failing devices",
        tests: Tests::Mounting("test_failing_device.py"),
        variables: &[("LOGHOLD_FAILING_LOG_ROUNDS", "25"), ("LOGHOLD_FAILING_CHUNK_ROUNDS", "25")],
    },
    Part {
        // x 4: 100 rounds.
        name: "full disks",
        tests: Tests::Mounting("test_log_full.py"),
        variables: &[("LOGHOLD_LOG_FULL_ROUNDS", "25")],
    },
    Part {
        // x 4 for each of four kills: 1,008.
        name: "kills of consumers",
        tests: Tests::External("test_log_consumers.py"),
        variables: &[("LOGHOLD_LOG_KILLS", "63")],
    },
    Part {
        name: "races of owners",
        tests: Tests::External("test_log_owner.py"),
        variables: &[("LOGHOLD_LOCK_ROUNDS", "200")],
    },
    Part {
        name: "kills of downloads",
        tests: Tests::External("test_kill.py"),
        variables: &[("LOGHOLD_KILLS", "300")],
    },
    Part {
        // All calls of `chunk get` and of `chunk rm`, about 1,040.
        name: "kills at calls of chunks",
        tests: Tests::External("test_chunk_calls.py"),
        variables: &[("LOGHOLD_CHUNK_CALLS", "100000")],
    },
    Part {
        name: "mixes of faults",
        tests: Tests::Cargo("data-manager", &["--test", "faults_mix"]),
        variables: &[("LOGHOLD_MIXES", "24"), ("LOGHOLD_MIX_CHUNKS", "1000")],
    },
    Part {
        // x 8: 304 cuts.
        name: "power cuts of downloads",
        tests: Tests::Mounting("test_power_cut.py"),
        variables: &[("LOGHOLD_CUTS", "38")],
    },
];

/// The parts of these names, in the order of the table; all where none is named.
///
/// # Errors
///
/// A name that no part has.
pub(crate) fn parts(names: &[String]) -> Result<Vec<&'static Part>, String> {
    if let Some(unknown) = names.iter().find(|name| PARTS.iter().all(|part| part.name != **name)) {
        let near = nearest(unknown).map(|name| format!("; did you mean `{name}`?")).unwrap_or_default();
        let known: Vec<_> = PARTS.iter().map(|part| format!("`{}`", part.name)).collect();
        return Err(format!("prove has no part `{unknown}`{near}\nits parts: {}", known.join(", ")));
    }
    Ok(PARTS.iter().filter(|part| names.is_empty() || names.iter().any(|name| name == part.name)).collect())
}

/// The part that a wrong name probably meant: one that is spelt much the same, or that has it as one of its words.
fn nearest(name: &str) -> Option<&'static str> {
    let name = name.to_lowercase();
    let names = PARTS.iter().map(|part| part.name);
    let spelt = names.clone().map(|known| (levenshtein(&name, known), known));
    let spelt = spelt.filter(|(distance, known)| *distance <= known.len() / 3).min();
    spelt.map(|(_, known)| known).or_else(|| {
        names.into_iter().find(|known| !name.is_empty() && known.split(' ').any(|word| word == name))
    })
}

/// Runs the parts, and says how long each took.
pub(crate) fn run(parts: &[&Part], root: &Path) -> Result<(), String> {
    let target = tools::target_directory(&tools::metadata(root)?)?;
    let toolbox = Toolbox::new(root, &target);
    let mut steps = Steps::start();
    let mut program = None;
    if parts.iter().any(|part| part.is_external() && !part.is_refused()) {
        steps.run("prerequisites", || {
            toolbox.provide(Gate::External, true)?;
            program = Some(Program::build(root, &target)?);
            Ok(Outcome::Done)
        })?;
    }
    for part in parts {
        steps.run(part.name, || part.run(root, program.as_ref(), &toolbox))?;
    }
    eprint!("{}", steps.times());
    eprintln!("{}", steps.summary());
    Ok(())
}

impl Part {
    fn is_external(&self) -> bool {
        !matches!(self.tests, Tests::Cargo(..))
    }

    /// Whether the machine does not let us run it.
    fn is_refused(&self) -> bool {
        matches!(self.tests, Tests::Mounting(_)) && !is_root()
    }

    fn run(&self, root: &Path, program: Option<&Program>, toolbox: &Toolbox) -> Result<Outcome, String> {
        let variables = self.variables.iter().copied();
        let tests = match self.tests {
            _ if self.is_refused() => return Ok(Outcome::LeftOut("mounts need root".to_owned())),
            Tests::Cargo(package, arguments) => {
                let mut command = tools::cargo(root);
                command.args(["test", "--quiet", "--package", package]).args(arguments).envs(variables);
                return tools::run(&mut command).map(|()| Outcome::Done);
            }
            Tests::External(tests) | Tests::Mounting(tests) => tests,
        };
        let program = program.ok_or("the program was not built")?;
        let mut command = program.pytest(toolbox);
        command.arg(format!("{EXTERNAL_DIRECTORY}/{tests}")).envs(variables);
        // What root may not do either, in a container for one, is a test that pytest passes over.
        let (outcome, left_out) =
            tools::run_and_keep(&mut command, Stream::Stdout, |line| line.starts_with(LEFT_OUT));
        outcome.map(|()| match left_out {
            Some(line) => Outcome::LeftOut(line.trim_start_matches(LEFT_OUT).to_owned()),
            None => Outcome::Done,
        })
    }
}

/// How `tests/external/conftest.py` begins the line of a test that was passed over.
const LEFT_OUT: &str = "LEFT OUT: ";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files;

    fn named(names: &[&str]) -> Result<Vec<&'static str>, String> {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        parts(&names).map(|parts| parts.iter().map(|part| part.name).collect())
    }

    #[test]
    fn named_parts_run_in_the_order_of_the_table_and_all_where_none_is_named() {
        assert_eq!(named(&["power cuts", "crashes"]), Ok(vec!["crashes", "power cuts"]));
        assert_eq!(named(&[]).map(|all| all.len()), Ok(PARTS.len()));
    }

    #[test]
    fn an_unknown_part_is_answered_with_the_near_one_and_with_all() {
        for (wrong, near) in
            [("power cut", "power cuts"), ("Crashs", "crashes"), ("owners", "races of owners")]
        {
            let reason = named(&["crashes", wrong]).unwrap_err();
            assert!(reason.contains(&format!("`{wrong}`; did you mean `{near}`?")), "{reason}");
            assert!(reason.contains("`hostile files`"), "{reason}");
        }
        for far in ["it", ""] {
            assert!(!named(&[far]).unwrap_err().contains("did you mean"), "{far}");
        }
    }

    #[test]
    fn every_external_test_and_variable_of_a_part_is_there() {
        for part in PARTS {
            let (Tests::External(tests) | Tests::Mounting(tests)) = part.tests else { continue };
            let (file, test) = tests.split_once("::").unwrap_or((tests, ""));
            let path = files::root().join(EXTERNAL_DIRECTORY).join(file);
            let code = files::text(&path).unwrap_or_default();
            assert!(code.contains(&format!("def {test}")), "{tests}");
            for (variable, _) in part.variables {
                assert!(code.contains(&format!("number_of(\"{variable}\"")), "{file}: {variable}");
            }
        }
    }
}
