//! The command line, parsed: text in, a command out.
//! Refuses to look at the machine: that is for the commands.

use crate::prove;

/// What `cargo xtask help` prints.
pub(crate) const USAGE: &str = "\
usage: cargo xtask COMMAND

  test [--quick] [--skip-external] [--no-install]
        every gate, in the order in which they fail fastest
        --quick          without the tests that need other programs (nginx, Python, an S3 server)
        --skip-external  the same, and only when what they need is missing
        --no-install     install nothing; say what is missing
  tidy  the rules of STYLE.md that a program can check
  prove [PART...]
        the proofs for longer than the gates: more seeds, steps, kills and power cuts, every bit; about 70 minutes
        PART     only this one, such as \"power cuts\"; an unknown one is answered with the names of all
  bench NAME [ARGUMENT...]
        the benches of bench/, `hold`, `log` or `joint`, in release mode; everything after `bench` is passed on";

/// What is to be done.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Command {
    /// Print the usage.
    Help,
    /// Run every gate.
    Test(TestOptions),
    /// Run the tree's own rules.
    Tidy,
    /// Run these of the long proofs, or all.
    Prove(Vec<&'static prove::Part>),
    /// Run a bench with these arguments.
    Bench(Vec<String>),
}

/// How the gates are run.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct TestOptions {
    /// Leave the external tests out.
    pub(crate) is_quick: bool,
    /// Leave the external tests out when what they need is missing.
    pub(crate) may_skip_external: bool,
    /// Do not install what is missing.
    pub(crate) is_install_forbidden: bool,
}

/// Reads the arguments that follow `cargo xtask`.
pub(crate) fn parse(arguments: &[String]) -> Result<Command, String> {
    let Some((name, rest)) = arguments.split_first() else { return Ok(Command::Help) };
    match name.as_str() {
        "help" | "-h" | "--help" => Ok(Command::Help),
        "test" => parse_test(rest).map(Command::Test),
        "tidy" => match rest.first() {
            None => Ok(Command::Tidy),
            Some(extra) => Err(format!("tidy takes no arguments, but got `{extra}`")),
        },
        "prove" => prove::parts(rest).map(Command::Prove),
        "bench" if rest.is_empty() => Err("bench needs a name: `hold`, `log` or `joint`".to_owned()),
        "bench" => Ok(Command::Bench(rest.to_vec())),
        other => Err(format!("no command is called `{other}`")),
    }
}

fn parse_test(flags: &[String]) -> Result<TestOptions, String> {
    let mut options = TestOptions::default();
    for flag in flags {
        match flag.as_str() {
            "--quick" => options.is_quick = true,
            "--skip-external" => options.may_skip_external = true,
            "--no-install" => options.is_install_forbidden = true,
            other => return Err(format!("test does not know `{other}`")),
        }
    }
    Ok(options)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse_text(text: &str) -> Result<Command, String> {
        parse(&text.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
    }

    #[test]
    fn flags_of_test_are_read_in_any_order() {
        let expected = TestOptions { is_quick: true, may_skip_external: false, is_install_forbidden: true };
        assert_eq!(parse_text("test --no-install --quick"), Ok(Command::Test(expected)));
    }

    #[test]
    fn what_follows_bench_is_passed_on_untouched() {
        let expected = ["hold", "--chunks", "10"].map(str::to_owned).to_vec();
        assert_eq!(parse_text("bench hold --chunks 10"), Ok(Command::Bench(expected)));
    }

    #[test]
    fn unknown_words_are_refused_by_name() {
        for text in ["tset", "test --fast", "tidy now", "prove it", "bench"] {
            let reason = parse_text(text).expect_err(text);
            assert!(reason.contains(text.split(' ').next_back().unwrap()), "{text}: {reason}");
        }
    }

    #[test]
    fn no_argument_asks_for_help() {
        assert_eq!(parse_text(""), Ok(Command::Help));
        assert_eq!(parse_text("--help"), Ok(Command::Help));
    }
}
