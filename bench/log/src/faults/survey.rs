//! What is left after a fault, and what that is worth in words.
//! Refuses to call lost what was never acknowledged.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::child::{Talker, Word};
use crate::Outcome;

/// What a second process finds.
#[derive(Debug, Default)]
pub(super) struct Survey {
    right: BTreeSet<u64>,
    wrong: u64,
    damage: Vec<String>,
    /// Why it could not be read at all: an error of opening, a panic, a hang.
    refused: Option<String>,
}

impl Survey {
    /// Opens what is there, and reads it.
    pub(super) fn take(engine: &str, dir: &Path, last: u64) -> Outcome<Survey> {
        let mut survey = Survey::default();
        let mut talker = Talker::read(engine, dir, last)?;
        loop {
            match talker.word()? {
                Word::Record(number) => drop(survey.right.insert(number)),
                Word::Wrong => survey.wrong += 1,
                Word::Damage(text) => survey.damage.push(text),
                Word::Refused(text) => survey.refused = Some(format!("does not open: {text}")),
                Word::Panic(text) => survey.refused = Some(format!("panics: {text}")),
                Word::Hung => survey.refused = Some("hangs".to_owned()),
                Word::Ended if survey.refused.is_none() => survey.refused = Some("crashes".to_owned()),
                Word::Ready | Word::Failed(..) => {}
                Word::Done | Word::Ended => return Ok(survey),
            }
            if survey.refused.as_deref() == Some("hangs") {
                return Ok(survey);
            }
        }
    }

    /// What is left of records that all have to be there.
    pub(super) fn judge(&self, wanted: &BTreeSet<u64>) -> Found {
        if let Some(reason) = &self.refused {
            return Found { kind: Kind::Refused, lost: wanted.len(), example: reason.clone() };
        }
        let lost = wanted.difference(&self.right).count();
        let kind = match (self.wrong, lost, self.damage.is_empty()) {
            (1.., ..) => Kind::Wrong,
            (0, 0, _) => Kind::Whole,
            (0, _, true) => Kind::Silent,
            (0, _, false) => Kind::Reported,
        };
        Found { kind, lost, example: self.damage.first().cloned().unwrap_or_default() }
    }
}

/// How what is left compares with what was acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    /// Everything is there.
    Whole,
    /// Records are missing, and the engine says so; the others are there.
    Reported,
    /// It does not open, panics or hangs.
    Refused,
    /// Records are missing, and nothing says so.
    Silent,
    /// Bytes are returned that nobody appended.
    Wrong,
}

/// One comparison.
#[derive(Debug, Clone)]
pub(super) struct Found {
    pub(super) kind: Kind,
    pub(super) lost: usize,
    example: String,
}

/// The comparisons of one cell.
#[derive(Debug, Default)]
pub(super) struct Tally {
    of: BTreeMap<Kind, Vec<Found>>,
}

impl Tally {
    pub(super) fn add(&mut self, found: Found) {
        self.of.entry(found.kind).or_default().push(found);
    }

    /// Whether each is one of these.
    pub(super) fn is_only(&self, kinds: &[Kind]) -> bool {
        self.of.keys().all(|kind| kinds.contains(kind))
    }

    /// The most records that one fault took without refusing.
    pub(super) fn lost_max(&self) -> usize {
        let lost = self.of.iter().filter(|(kind, _)| **kind != Kind::Refused).flat_map(|(_, found)| found);
        lost.map(|found| found.lost).max().unwrap_or_default()
    }

    /// All of it in words, worst first.
    pub(super) fn text(&self) -> String {
        let parts = self.of.iter().rev().map(|(kind, found)| {
            let lost = found.iter().map(|found| found.lost);
            let (least, most) = (lost.clone().min().unwrap_or_default(), lost.max().unwrap_or_default());
            let lost = if least == most { most.to_string() } else { format!("{least} to {most}") };
            let example = found.first().map(|found| found.example.as_str()).unwrap_or_default();
            let words = match kind {
                Kind::Whole => "all there".to_owned(),
                Kind::Reported => format!("{lost} lost and reported, the rest read (`{example}`)"),
                Kind::Refused => format!("nothing can be read (`{example}`)"),
                Kind::Silent => format!("{lost} lost, nothing said"),
                Kind::Wrong => format!("wrong bytes returned, {lost} lost"),
            };
            format!("{}x {words}", found.len())
        });
        parts.collect::<Vec<_>>().join("; ")
    }
}
