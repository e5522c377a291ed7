//! The plans in force and how often each path has met each of them: picks the fault for a request.
//! It keeps no lock and no clock; the same requests in the same order always pick the same faults.

use std::collections::HashMap;

use crate::content::mix;
use crate::fault::{Fault, Plan, When};

#[derive(Debug, Default)]
pub(crate) struct Rules {
    /// Longest prefix first; rules of one prefix in the order they were added.
    rules: Vec<Rule>,
}

#[derive(Debug)]
struct Rule {
    prefix: String,
    plan: Plan,
    met: HashMap<String, u64>,
}

impl Rules {
    pub(crate) fn add(&mut self, prefix: &str, plan: Plan) {
        let place = self.rules.partition_point(|rule| rule.prefix.len() >= prefix.len());
        self.rules.insert(place, Rule { prefix: prefix.to_owned(), plan, met: HashMap::new() });
    }

    pub(crate) fn remove(&mut self, prefix: &str) {
        self.rules.retain(|rule| rule.prefix != prefix);
    }

    pub(crate) fn clear(&mut self) {
        self.rules.clear();
    }

    pub(crate) fn pick(&mut self, path: &str) -> Option<Fault> {
        self.rules
            .iter_mut()
            .filter(|rule| path.starts_with(&rule.prefix))
            .find_map(|rule| rule.strikes(path).then(|| rule.plan.fault.clone()))
    }
}

impl Rule {
    fn strikes(&mut self, path: &str) -> bool {
        let count = self.met.entry(path.to_owned()).or_insert(0);
        *count += 1;
        match self.plan.when {
            When::Always => true,
            When::First(first) => *count <= first,
            When::Every(nth) => nth != 0 && count.is_multiple_of(nth),
            When::Share { percent, seed } => {
                let place = path.bytes().fold(mix(seed), |hash, byte| mix(hash ^ u64::from(byte)));
                mix(place ^ *count) % 100 < u64::from(percent)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn picks(rules: &mut Rules, path: &str, count: usize) -> Vec<bool> {
        (0..count).map(|_| rules.pick(path).is_some()).collect()
    }

    /// Fails when paths share a counter or the counts are off by one.
    #[test]
    fn first_and_every_count_each_path_for_itself() {
        let mut rules = Rules::default();
        rules.add("a", Plan::first(2, Fault::Hang));
        rules.add("b", Plan::every(3, Fault::Hang));
        assert_eq!(picks(&mut rules, "a1", 3), [true, true, false]);
        assert_eq!(picks(&mut rules, "a2", 3), [true, true, false]);
        assert_eq!(picks(&mut rules, "b", 6), [false, false, true, false, false, true]);
    }

    /// Fails when a share is not repeatable or far from its percentage.
    #[test]
    fn a_share_is_the_same_in_each_run_and_near_its_percentage() {
        let run = || {
            let mut rules = Rules::default();
            rules.add("", Plan::share(30, 9, Fault::Hang));
            (0..2000).map(|n| rules.pick(&format!("file{}", n % 100)).is_some()).collect::<Vec<_>>()
        };
        assert_eq!(run(), run());
        let hits = run().iter().filter(|hit| **hit).count();
        assert!((540..660).contains(&hits), "{hits} of 2000");
    }

    /// Fails when a general plan hides a special one, or a later plan of the same prefix an earlier one.
    #[test]
    fn the_longest_prefix_decides_and_then_the_order_of_adding() {
        let mut rules = Rules::default();
        rules.add("", Plan::always(Fault::NotFound));
        rules.add("a/", Plan::first(1, Fault::Hang));
        rules.add("a/", Plan::first(1, Fault::Short));
        let picked: Vec<_> = (0..3).filter_map(|_| rules.pick("a/x")).collect();
        assert_eq!(picked, [Fault::Hang, Fault::Short, Fault::NotFound]);
    }
}
