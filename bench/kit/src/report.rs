//! What was measured, round by round: medians, spreads, ratios to a figure of the same round, goals.
//! Refuses a ratio whose rounds differ by more than 2x.

use serde::Serialize;

use crate::{Outcome, machine};

/// How far the rounds of a ratio may be apart.
const NOISE_MAX: f64 = 2.0;

/// The raw loops' names begin with this word.
pub const RAW: &str = "raw";

/// Our own names begin with this word.
pub const OURS: &str = "loghold";

/// What a goal asks for: of the ratio where there is one, else of the value.
#[derive(Debug, Clone, Copy)]
pub enum Bound {
    /// This or less.
    AtMost(f64),
    /// This or more.
    AtLeast(f64),
}

/// A goal and the line that it judges.
#[derive(Debug, Clone)]
struct Goal {
    id: &'static str,
    what: String,
    who: String,
    bound: Bound,
}

/// One contestant's figures in one comparison.
#[derive(Debug, Clone, Serialize)]
struct Line {
    what: String,
    who: String,
    unit: &'static str,
    /// One for each round; not a number where it failed.
    values: Vec<f64>,
}

/// Whose values those of a comparison are divided by.
#[derive(Debug, Clone)]
struct Beside {
    what: String,
    base_what: String,
    base_who: String,
}

/// The figures of one case.
#[derive(Debug)]
pub struct Sheet {
    case: String,
    is_json: bool,
    load_before: String,
    lines: Vec<Line>,
    besides: Vec<Beside>,
    goals: Vec<Goal>,
    remarks: Vec<String>,
}

/// How a goal was met.
#[derive(Debug, Clone, Serialize)]
pub struct Verdict {
    goal: &'static str,
    what: String,
    wanted: String,
    reached: String,
    best_rival: String,
    verdict: &'static str,
}

/// What a line is worth.
struct Judged {
    median: f64,
    min: f64,
    max: f64,
    ratio: Option<Ratio>,
}

#[derive(Clone)]
struct Ratio {
    median: f64,
    min: f64,
    max: f64,
    to: String,
}

impl Ratio {
    fn is_noisy(&self) -> bool {
        self.max > self.min * NOISE_MAX
    }

    fn text(&self) -> String {
        if self.is_noisy() {
            return format!("noisy ({} .. {})", short(self.min), short(self.max));
        }
        format!("{}x ({} .. {})", short(self.median), short(self.min), short(self.max))
    }
}

impl Sheet {
    /// An empty sheet for a case.
    pub fn new(case: &str, is_json: bool) -> Sheet {
        Sheet {
            case: case.to_owned(),
            is_json,
            load_before: machine::load(),
            lines: Vec::new(),
            besides: Vec::new(),
            goals: Vec::new(),
            remarks: Vec::new(),
        }
    }

    /// Notes what somebody reached in a round.
    pub fn put(&mut self, round: usize, what: &str, who: &str, unit: &'static str, value: f64) {
        let found = self.lines.iter().position(|line| line.what == what && line.who == who);
        let at = found.unwrap_or_else(|| {
            let line = Line { what: what.to_owned(), who: who.to_owned(), unit, values: Vec::new() };
            self.lines.push(line);
            self.lines.len() - 1
        });
        if let Some(line) = self.lines.get_mut(at) {
            line.values.resize(round, f64::NAN);
            line.values.push(value);
        }
    }

    /// The same for something that may fail: then the failure is told once, and the round goes on without it.
    pub fn attempt(
        &mut self,
        round: usize,
        (what, who, unit): (&str, &str, &'static str),
        measure: impl FnOnce() -> Outcome<f64>,
    ) {
        match measure() {
            Ok(value) => self.put(round, what, who, unit, value),
            Err(error) => {
                self.remark(format!("{who}, {what}: {error}"));
                self.put(round, what, who, unit, f64::NAN);
            }
        }
    }

    /// The values of one comparison are shown as multiples of this line's, round by round.
    pub fn beside(&mut self, what: &str, base_what: &str, base_who: &str) {
        let [what, base_what, base_who] = [what, base_what, base_who].map(str::to_owned);
        self.besides.push(Beside { what, base_what, base_who });
    }

    /// What a line is to reach.
    pub fn goal(&mut self, id: &'static str, (what, who): (&str, &str), bound: Bound) {
        self.goals.push(Goal { id, what: what.to_owned(), who: who.to_owned(), bound });
    }

    /// Says what a reader must know, once.
    pub fn remark(&mut self, remark: impl Into<String>) {
        let remark = remark.into();
        if !self.remarks.contains(&remark) {
            self.remarks.push(remark);
        }
    }

    /// Prints the case, and judges its goals.
    pub fn finish(self) -> Vec<Verdict> {
        if self.is_json {
            self.print_json();
        } else {
            self.print_table();
        }
        self.goals.iter().map(|goal| self.verdict(goal)).collect()
    }

    fn judge(&self, line: &Line) -> Judged {
        let (median, min, max) = summary(&line.values);
        let beside = self.besides.iter().find(|beside| beside.what == line.what);
        let base = beside.and_then(|beside| self.line(&beside.base_what, &beside.base_who));
        let ratio = base.filter(|base| !std::ptr::eq(*base, line)).map(|base| {
            let pairs = line.values.iter().zip(&base.values);
            let ratios: Vec<f64> = pairs.map(|(value, base)| value / base).collect();
            let (median, min, max) = summary(&ratios);
            Ratio { median, min, max, to: format!("{}, {}", base.who, base.what) }
        });
        Judged { median, min, max, ratio: ratio.filter(|ratio| ratio.median.is_finite()) }
    }

    fn line(&self, what: &str, who: &str) -> Option<&Line> {
        self.lines.iter().find(|line| line.what == what && line.who == who)
    }

    fn verdict(&self, goal: &Goal) -> Verdict {
        let (sign, bound, is_more_better) = match goal.bound {
            Bound::AtMost(bound) => ("<=", bound, false),
            Bound::AtLeast(bound) => (">=", bound, true),
        };
        let judged = self.line(&goal.what, &goal.who).map(|line| self.judge(line));
        let unit = self.line(&goal.what, &goal.who).map_or("", |line| line.unit);
        let (reached, value, is_noisy, suffix) = match &judged {
            None => ("not measured".to_owned(), f64::NAN, false, String::new()),
            Some(Judged { ratio: Some(ratio), .. }) => {
                (ratio.text(), ratio.median, ratio.is_noisy(), format!("x of {}", ratio.to))
            }
            Some(judged) => {
                let text =
                    format!("{} ({} .. {})", short(judged.median), short(judged.min), short(judged.max));
                // A ratio that the case has made itself.
                let is_noisy = unit == "x" && judged.max > judged.min * NOISE_MAX;
                (text, judged.median, is_noisy, format!(" {unit}"))
            }
        };
        let is_met = if is_more_better { value >= bound } else { value <= bound };
        let verdict = match (value.is_finite(), is_noisy, is_met) {
            (false, ..) => "?",
            (true, true, _) => "noisy",
            (true, false, true) => "yes",
            (true, false, false) => "NO",
        };
        Verdict {
            goal: goal.id,
            what: format!("{}: {}", self.case, goal.what),
            wanted: format!("{sign} {bound}{suffix}"),
            reached,
            best_rival: self.best_rival(&goal.what, is_more_better),
            verdict,
        }
    }

    fn best_rival(&self, what: &str, is_more_better: bool) -> String {
        let is_rival = |who: &str| !who.starts_with(RAW) && !who.starts_with(OURS);
        let rivals = self.lines.iter().filter(|line| line.what == what && is_rival(&line.who));
        let mut scored: Vec<(f64, String)> = rivals
            .map(|line| {
                let judged = self.judge(line);
                let text = judged.ratio.as_ref().map_or_else(|| short(judged.median), Ratio::text);
                (judged.ratio.map_or(judged.median, |ratio| ratio.median), format!("{} {text}", line.who))
            })
            .filter(|(score, _)| score.is_finite())
            .collect();
        scored.sort_by(|(left, _), (right, _)| left.total_cmp(right));
        let best = if is_more_better { scored.pop() } else { scored.into_iter().next() };
        best.map_or_else(|| "-".to_owned(), |(_, text)| text)
    }

    fn print_json(&self) {
        for line in &self.lines {
            let judged = self.judge(line);
            let mut object = serde_json::json!({
                "case": self.case, "what": line.what, "who": line.who, "unit": line.unit,
                "median": judged.median, "min": judged.min, "max": judged.max, "values": line.values,
                "load_before": self.load_before, "load_after": machine::load(),
            });
            if let (Some(ratio), Some(fields)) = (judged.ratio, object.as_object_mut()) {
                fields.insert("ratio_to".to_owned(), ratio.to.clone().into());
                fields.insert("ratio_min".to_owned(), ratio.min.into());
                fields.insert("ratio_max".to_owned(), ratio.max.into());
                fields.insert("is_noisy".to_owned(), ratio.is_noisy().into());
                if !ratio.is_noisy() {
                    fields.insert("ratio".to_owned(), ratio.median.into());
                }
            }
            println!("{object}");
        }
        for remark in &self.remarks {
            println!("{}", serde_json::json!({ "case": self.case, "remark": remark }));
        }
    }

    fn print_table(&self) {
        println!("\n== {} (load average {} to {})", self.case, self.load_before, machine::load());
        if !self.lines.is_empty() {
            println!(
                "{:<40} {:<24} {:>10} {:>23} {:<9} ratio of the same round",
                "what", "who", "median", "min .. max", "unit"
            );
        }
        for line in &self.lines {
            let judged = self.judge(line);
            let spread = format!("{} .. {}", short(judged.min), short(judged.max));
            let ratio = judged.ratio.map_or_else(String::new, |ratio| ratio.text());
            let median = short(judged.median);
            println!("{:<40} {:<24} {median:>10} {spread:>23} {:<9} {ratio}", line.what, line.who, line.unit);
        }
        for remark in &self.remarks {
            println!("    {remark}");
        }
    }
}

impl Verdict {
    /// Prints all of them.
    pub fn print(verdicts: &[Verdict], is_json: bool, rounds: usize) {
        if is_json {
            for verdict in verdicts {
                println!("{}", serde_json::to_string(verdict).unwrap_or_default());
            }
            return;
        }
        if verdicts.is_empty() {
            return;
        }
        println!("\n== goals ({rounds} rounds)");
        println!(
            "{:<5} {:<46} {:<52} {:<30} {:<40} reached",
            "goal", "what", "wanted", "found", "best rival"
        );
        for Verdict { goal, what, wanted, reached, best_rival, verdict } in verdicts {
            println!("{goal:<5} {what:<46} {wanted:<52} {reached:<30} {best_rival:<40} {verdict}");
        }
    }
}

/// Median, least and greatest of what was measured.
fn summary(values: &[f64]) -> (f64, f64, f64) {
    let mut sorted: Vec<f64> = values.iter().copied().filter(|value| value.is_finite()).collect();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    let median = match (sorted.get(middle), sorted.get(middle.wrapping_sub(1))) {
        (Some(&high), Some(&low)) if sorted.len().is_multiple_of(2) => f64::midpoint(low, high),
        (Some(&high), _) => high,
        (None, _) => f64::NAN,
    };
    let end = |value: Option<&f64>| value.copied().unwrap_or(f64::NAN);
    (median, end(sorted.first()), end(sorted.last()))
}

fn short(value: f64) -> String {
    match value.abs() {
        size if size >= 1e6 => format!("{:.2} M", value / 1e6),
        size if size >= 1_000.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        size if size >= 1.0 => format!("{value:.2}"),
        _ => format!("{value:.3}"),
    }
}
