//! The verdict on the end of a log of format 1: what was torn by a crash, and what is damage.
//! Refuses to cut what is known to have been durable.

/// Records that cannot be read, first and last.
pub(crate) type Bad = (u64, u64);

/// What is known of how far the log had been durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Attested {
    /// Every record up to this one had been; what comes behind may have been or not. 0 for none.
    Upto(u64),
    /// Nobody says.
    Unknown,
}

/// What becomes of the end of a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Verdict {
    /// The id behind the last record that stays.
    pub(crate) next: u64,
    /// Records before it that cannot be read.
    pub(crate) damaged: Vec<Bad>,
}

/// Judges a log whose last slot that was ever written is `last` (0 for none), with these bad records, in order.
///
/// Known: the first bad record behind `attested` is where a write was torn, and everything from there on goes, for
/// records behind it were never durable before it was. A bad record up to `attested` is damage: it is reported, and
/// everything else stays. A log that ends before `attested` has lost the rest.
///
/// Unknown: a bad record with a good one behind it may be either, and stays: nothing that can be read is ever cut on a
/// guess. Only what is bad at the very end goes.
pub(crate) fn judge(last: u64, bad: &[Bad], attested: Attested) -> Verdict {
    let attested = match attested {
        Attested::Upto(attested) => attested,
        // Whatever is before the bad records at the very end is taken for durable.
        Attested::Unknown => match bad.last() {
            Some((first, end)) if *end == last => first.saturating_sub(1),
            _ => last,
        },
    };
    let mut damaged = Vec::new();
    let mut torn = None;
    for (first, end) in bad {
        if *first <= attested {
            damaged.push((*first, (*end).min(attested)));
        }
        if *end > attested && torn.is_none() {
            torn = Some((*first).max(attested.saturating_add(1)));
        }
    }
    if attested > last {
        damaged.push((last.saturating_add(1), attested));
    }
    let behind = last.max(attested).saturating_add(1);
    Verdict { next: torn.unwrap_or(behind), damaged }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(last: u64, bad: &[Bad], attested: Attested) -> (u64, Vec<Bad>) {
        let Verdict { next, damaged } = judge(last, bad, attested);
        (next, damaged)
    }

    #[test]
    fn a_good_log_goes_on_behind_its_last_record() {
        assert_eq!(verdict(0, &[], Attested::Upto(0)), (1, vec![]));
        assert_eq!(verdict(9, &[], Attested::Upto(5)), (10, vec![]));
        assert_eq!(verdict(9, &[], Attested::Unknown), (10, vec![]));
    }

    #[test]
    fn the_first_bad_record_behind_what_was_durable_is_where_the_log_is_cut() {
        assert_eq!(verdict(9, &[(7, 7)], Attested::Upto(6)), (7, vec![]));
        assert_eq!(verdict(9, &[(7, 7), (9, 9)], Attested::Upto(5)), (7, vec![]));
    }

    #[test]
    fn a_bad_record_that_had_been_durable_is_reported_and_never_cut() {
        assert_eq!(verdict(9, &[(7, 7)], Attested::Upto(7)), (10, vec![(7, 7)]));
        assert_eq!(verdict(9, &[(9, 9)], Attested::Upto(9)), (10, vec![(9, 9)]));
        assert_eq!(verdict(9, &[(3, 4), (8, 9)], Attested::Upto(7)), (8, vec![(3, 4)]));
    }

    #[test]
    fn a_run_of_bad_records_across_the_mark_is_both() {
        assert_eq!(verdict(9, &[(5, 8)], Attested::Upto(6)), (7, vec![(5, 6)]));
    }

    #[test]
    fn a_log_that_ends_before_what_was_durable_has_lost_the_rest() {
        assert_eq!(verdict(4, &[], Attested::Upto(6)), (7, vec![(5, 6)]));
        assert_eq!(verdict(0, &[], Attested::Upto(2)), (3, vec![(1, 2)]));
    }

    #[test]
    fn without_knowledge_only_the_bad_end_goes() {
        assert_eq!(verdict(9, &[(3, 3), (8, 9)], Attested::Unknown), (8, vec![(3, 3)]));
        assert_eq!(verdict(9, &[(3, 3)], Attested::Unknown), (10, vec![(3, 3)]));
        assert_eq!(verdict(1, &[(1, 1)], Attested::Unknown), (1, vec![]));
    }
}
