//! The steps of a run: a header before each, its time after it, a summary at the end.
//! Refuses to go on after a failure.

use std::time::{Duration, Instant};

/// How a step ended, when it did not fail.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// It was done.
    Done,
    /// It was left out, for this reason. The summary repeats it, so that nobody takes it for done.
    LeftOut(String),
}

/// A run of steps.
#[derive(Debug)]
pub(crate) struct Steps {
    started: Instant,
    done: Vec<(String, Duration)>,
    left_out: Vec<String>,
}

impl Steps {
    /// Starts the run's clock.
    pub(crate) fn start() -> Steps {
        Steps { started: Instant::now(), done: Vec::new(), left_out: Vec::new() }
    }

    /// Runs one step. A failure comes back with the step's name and the time of the whole run.
    pub(crate) fn run(
        &mut self,
        name: &str,
        step: impl FnOnce() -> Result<Outcome, String>,
    ) -> Result<(), String> {
        eprintln!("==> {name}");
        let started = Instant::now();
        match step() {
            Ok(Outcome::Done) => {
                let time = started.elapsed();
                eprintln!("    {name}: {}", seconds(time));
                self.done.push((name.to_owned(), time));
                Ok(())
            }
            Ok(Outcome::LeftOut(reason)) => {
                eprintln!("    {name}: LEFT OUT: {reason}");
                let first_line = reason.lines().next().unwrap_or_default().trim_end_matches(':');
                self.left_out.push(format!("{name} ({first_line})"));
                Ok(())
            }
            Err(reason) => {
                let (step, whole) = (seconds(started.elapsed()), seconds(self.started.elapsed()));
                Err(format!("{reason}\nFAILED at {name} after {step} ({whole} in all)"))
            }
        }
    }

    /// One line about the whole run, for a run without a failure.
    pub(crate) fn summary(&self) -> String {
        let left_out = match self.left_out.as_slice() {
            [] => String::new(),
            some => format!("; LEFT OUT: {}", some.join(", ")),
        };
        format!("{} steps passed in {}{left_out}", self.done.len(), seconds(self.started.elapsed()))
    }

    /// A line for each step that was done, with its time: for a run so long that its own lines are out of sight.
    pub(crate) fn times(&self) -> String {
        let width = self.done.iter().map(|(name, _)| name.len()).max().unwrap_or_default();
        let lines = self.done.iter().map(|(name, time)| format!("{name:width$}  {:>9}\n", seconds(*time)));
        lines.collect()
    }
}

fn seconds(time: Duration) -> String {
    format!("{:.1} s", time.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_summary_counts_what_was_done_and_names_what_was_left_out() {
        let mut steps = Steps::start();
        steps.run("one", || Ok(Outcome::Done)).unwrap();
        steps.run("two", || Ok(Outcome::LeftOut("no nginx:\n  install it".to_owned()))).unwrap();
        let summary = steps.summary();
        assert!(summary.starts_with("1 steps passed"), "{summary}");
        assert!(
            steps.times().starts_with("one  ") && steps.times().lines().count() == 1,
            "{}",
            steps.times()
        );
        assert!(summary.ends_with("LEFT OUT: two (no nginx)"), "{summary}");
    }

    #[test]
    fn a_failure_keeps_its_reason_and_ends_with_the_name_of_the_step() {
        let reason = Steps::start().run("three", || Err("why".to_owned())).unwrap_err();
        assert!(reason.starts_with("why\nFAILED at three"), "{reason}");
    }
}
