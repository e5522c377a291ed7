//! Figures: what was measured, over how many rounds, beside its raw limit and its goal.
//! Refuses to judge where no goal is set.

use serde::Serialize;

/// What a figure is to be.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Goal {
    AtMost(f64),
    AtLeast(f64),
}

/// One figure, made with [`Figure::new`] and completed with what is known of it.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Figure {
    case: String,
    /// What was measured.
    what: String,
    /// Of whom: us, a rival, or a raw limit.
    who: String,
    unit: &'static str,
    median: f64,
    min: f64,
    max: f64,
    values: Vec<f64>,
    /// The median as a multiple of another one's.
    #[serde(skip_serializing_if = "Option::is_none")]
    ratio: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ratio_to: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    goal: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    is_reached: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<String>,
}

impl Figure {
    /// A figure of the rounds of one case; the values may come in any order.
    pub(crate) fn new(
        case: &str,
        what: impl Into<String>,
        who: &str,
        unit: &'static str,
        values: &[f64],
    ) -> Figure {
        Figure {
            case: case.to_owned(),
            what: what.into(),
            who: who.to_owned(),
            unit,
            median: median(values),
            min: values.iter().copied().fold(f64::INFINITY, f64::min),
            max: values.iter().copied().fold(f64::NEG_INFINITY, f64::max),
            values: values.to_vec(),
            ratio: None,
            ratio_to: None,
            goal: None,
            is_reached: None,
            note: None,
        }
    }

    /// Judges the median.
    pub(crate) fn goal(mut self, goal: Goal) -> Figure {
        self.judge(self.median, goal, "");
        self
    }

    /// Compares the median with another value.
    pub(crate) fn beside(mut self, base: f64, whose: &str) -> Figure {
        self.ratio = Some(self.median / base);
        self.ratio_to = Some(whose.to_owned());
        self
    }

    /// Compares the median with another value, and judges the ratio.
    pub(crate) fn beside_goal(self, base: f64, whose: &str, goal: Goal) -> Figure {
        let mut figure = self.beside(base, whose);
        figure.judge(figure.median / base, goal, "x");
        figure
    }

    /// Says what a reader must know of it.
    pub(crate) fn note(mut self, note: impl Into<String>) -> Figure {
        self.note = Some(note.into());
        self
    }

    fn judge(&mut self, value: f64, goal: Goal, suffix: &str) {
        let (text, is_reached) = match goal {
            Goal::AtMost(bound) => (format!("<= {bound}{suffix}"), value <= bound),
            Goal::AtLeast(bound) => (format!(">= {bound}{suffix}"), value >= bound),
        };
        self.goal = Some(text);
        self.is_reached = Some(is_reached);
    }

    /// The middle of the rounds.
    pub(crate) fn median(&self) -> f64 {
        self.median
    }
}

/// Takes figures and shows them.
#[derive(Debug)]
pub(crate) struct Report {
    is_json: bool,
    figures: Vec<Figure>,
}

impl Report {
    pub(crate) fn new(is_json: bool) -> Report {
        Report { is_json, figures: Vec::new() }
    }

    /// Takes a figure. JSON is printed at once, so that a run that is cut short has said what it knew.
    pub(crate) fn add(&mut self, figure: Figure) {
        if self.is_json {
            println!("{}", serde_json::to_string(&figure).unwrap_or_default());
        }
        self.figures.push(figure);
    }

    /// Prints the table of what came in since the last one.
    pub(crate) fn flush(&mut self) {
        let figures = std::mem::take(&mut self.figures);
        if self.is_json || figures.is_empty() {
            return;
        }
        let case = figures.first().map(|figure| figure.case.clone()).unwrap_or_default();
        println!("\n== {case}");
        println!(
            "{:<46} {:<22} {:>10} {:>21} {:<8} {:>18} {:>10} reached",
            "what", "who", "median", "min .. max", "unit", "ratio to", "goal"
        );
        for figure in &figures {
            let spread = format!("{} .. {}", short(figure.min), short(figure.max));
            let ratio = figure.ratio.map_or(String::new(), |ratio| {
                format!("{ratio:.2} {}", figure.ratio_to.as_deref().unwrap_or_default())
            });
            let reached = match figure.is_reached {
                Some(true) => "yes",
                Some(false) => "NO",
                None => "",
            };
            let goal = figure.goal.as_deref().unwrap_or_default();
            println!(
                "{:<46} {:<22} {:>10} {:>21} {:<8} {:>18} {:>10} {reached}",
                figure.what,
                figure.who,
                short(figure.median),
                spread,
                figure.unit,
                ratio,
                goal
            );
            if let Some(note) = &figure.note {
                println!("    {note}");
            }
        }
    }
}

/// The middle value, or the mean of the two middle ones.
pub(crate) fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match (sorted.get(middle), sorted.get(middle.wrapping_sub(1))) {
        (Some(&high), Some(&low)) if sorted.len().is_multiple_of(2) => f64::midpoint(low, high),
        (Some(&high), _) => high,
        (None, _) => f64::NAN,
    }
}

/// The value below which `share` of the sorted values lie.
pub(crate) fn percentile(sorted: &[u32], share: f64) -> f64 {
    let place = ((sorted.len() as f64 * share) as usize).min(sorted.len().saturating_sub(1));
    sorted.get(place).map_or(f64::NAN, |&value| f64::from(value))
}

fn short(value: f64) -> String {
    match value.abs() {
        size if size >= 1_000.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        size if size >= 1.0 => format!("{value:.2}"),
        _ => format!("{value:.3}"),
    }
}
