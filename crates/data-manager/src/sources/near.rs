//! The scheme that a misspelt one most probably meant.
//! Refuses to guess: schemes are short, and one of three letters has another near it by chance.

use strsim::levenshtein;

/// The scheme of `known` that is a slip of the finger away, or two for one of five letters or more.
pub(super) fn near_scheme<'a>(scheme: &str, known: &[&'a str]) -> Option<&'a str> {
    let slips_max = if scheme.len() >= 5 { 2 } else { 1 };
    let near = known.iter().map(|&candidate| (levenshtein(scheme, candidate), candidate));
    near.filter(|&(slips, candidate)| slips <= slips_max && slips < candidate.len())
        .min_by_key(|&(slips, _)| slips)
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_of_the_finger_is_undone_and_another_scheme_is_left_alone() {
        let known = ["abfs", "az", "gs", "http", "https", "s3"];
        for (scheme, near) in [
            ("htps", Some("https")),
            ("hhtp", Some("http")),
            ("htttpss", Some("https")),
            ("gcs", Some("gs")),
            ("s4", Some("s3")),
            ("ftp", None),
            ("gopher", None),
            ("x", None),
        ] {
            assert_eq!(near_scheme(scheme, &known), near, "{scheme}");
        }
    }
}
