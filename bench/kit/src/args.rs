//! The part of the command line that all benches have, parsed: text in, options out.
//! Refuses to look at the machine.

use std::path::PathBuf;

/// What is to be measured, and how: what every bench asks.
#[derive(Debug, Clone)]
pub struct Shared {
    /// The cases, in the order in which they run.
    pub cases: Vec<String>,
    /// Whether figures are printed as JSON.
    pub is_json: bool,
    /// Rounds of each comparison.
    pub rounds: usize,
    /// What counts and sizes are multiplied by.
    pub scale: f64,
    /// Whether other programs are measured too.
    pub has_rivals: bool,
    /// A directory on the disk to be measured.
    pub dir: PathBuf,
}

/// The value behind an option.
pub type Value<'a> = &'a mut dyn FnMut() -> Result<String, String>;

impl Shared {
    /// What holds when nothing is said.
    pub fn new(rounds: usize, dir: &str) -> Shared {
        let (is_json, scale, has_rivals, dir) = (false, 1.0, true, PathBuf::from(dir));
        Shared { cases: Vec::new(), is_json, rounds, scale, has_rivals, dir }
    }

    /// Reads arguments: all of `cases` run when none is named, `others` only when they are. What it does not know is given to
    /// `own`, which says whether it is an option of its bench.
    pub fn parse(
        mut self,
        arguments: &[String],
        cases: &[&str],
        others: &[&str],
        mut own: impl FnMut(&str, Value<'_>) -> Result<bool, String>,
    ) -> Result<Shared, String> {
        let mut rest = arguments.iter();
        while let Some(word) = rest.next() {
            let mut value = || rest.next().cloned().ok_or_else(|| format!("{word} needs a value"));
            match word.as_str() {
                "--json" => self.is_json = true,
                "--rounds" => self.rounds = number::<usize>(word, &value()?)?.max(1),
                "--scale" => self.scale = number(word, &value()?)?,
                "--no-rivals" => self.has_rivals = false,
                "--dir" => self.dir = value()?.into(),
                case if cases.contains(&case) || others.contains(&case) => self.cases.push(case.to_owned()),
                other if own(other, &mut value)? => {}
                other => return Err(format!("`{other}` is no case and no option")),
            }
        }
        if self.cases.is_empty() {
            self.cases = cases.iter().map(|&case| case.to_owned()).collect();
        }
        Ok(self)
    }

    /// A count at the scale that was asked for, and at least so many.
    pub fn scaled(&self, full: u64, least: u64) -> u64 {
        ((full as f64 * self.scale).round() as u64).max(least)
    }
}

fn number<T: std::str::FromStr>(word: &str, text: &str) -> Result<T, String> {
    text.parse().map_err(|_| format!("{word} needs a number, and got `{text}`"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse_text(text: &str) -> Result<(Shared, Option<String>), String> {
        let words: Vec<String> = text.split_whitespace().map(str::to_owned).collect();
        let mut who = None;
        let shared = Shared::new(5, "/tmp/x").parse(&words, &["one", "two"], &["clean"], |word, value| {
            if word == "--who" {
                who = Some(value()?);
            }
            Ok(word == "--who")
        })?;
        Ok((shared, who))
    }

    #[test]
    fn all_cases_run_when_none_is_named_and_others_only_when_they_are() {
        assert_eq!(parse_text("--rounds 3").unwrap().0.cases, ["one", "two"]);
        assert_eq!(parse_text("clean two").unwrap().0.cases, ["clean", "two"]);
    }

    #[test]
    fn an_option_of_the_bench_takes_its_value() {
        let (shared, who) = parse_text("--who me --json").unwrap();
        assert_eq!((shared.is_json, who.as_deref()), (true, Some("me")));
    }

    #[test]
    fn unknown_words_and_missing_values_are_refused_by_name() {
        for text in ["three", "--fast", "--who", "--rounds many"] {
            let reason = parse_text(text).unwrap_err();
            assert!(reason.contains(text.split(' ').next().unwrap()), "{text}: {reason}");
        }
    }
}
