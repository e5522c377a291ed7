//! The proofs of the log, for longer than the gates have time: more seeds, more steps, every bit.
//! Refuses to change what is tried: the tests are those of the gates.

use std::path::Path;

use crate::steps::{Outcome, Steps};
use crate::tools;

/// Random steps of the model: about three minutes for each of these on two cores.
const STEPS: &str = "4000000";

/// Hostile files.
const HOSTILE_STEPS: &str = "200000";

/// The proofs: which tests, and what the environment says to them.
const PROOFS: [(&str, &[&str], (&str, &str)); 6] = [
    ("crashes", &["--test", "proof", "crashes::"], ("LOGHOLD_SEEDS", "512")),
    ("faults in recoveries", &["--test", "proof", "of_a_recovery"], ("LOGHOLD_CUT_STRIDE", "7")),
    ("random calls", &["--test", "proof", "model::"], ("LOGHOLD_STEPS", STEPS)),
    ("every bit", &["--test", "proof", "damage::"], ("LOGHOLD_FLIP_STRIDE", "1")),
    ("threads", &["--test", "proof", "race::"], ("LOGHOLD_SEEDS", "200")),
    ("hostile files", &["--test", "hostile"], ("LOGHOLD_STEPS", HOSTILE_STEPS)),
];

/// Runs the proofs, and says how long each took.
pub(crate) fn run(root: &Path) -> Result<(), String> {
    let mut steps = Steps::start();
    for (name, arguments, (variable, value)) in PROOFS {
        steps.run(name, || {
            let mut command = tools::cargo(root);
            command.args(["test", "--quiet", "--package", "rtrans"]).args(arguments).env(variable, value);
            tools::run(&mut command).map(|()| Outcome::Done)
        })?;
    }
    eprintln!("{}", steps.summary());
    Ok(())
}
