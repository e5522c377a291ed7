//! A mirror as it is typed: `PREFIX=OTHER`, two beginnings of URLs.
//! Refuses to ask whether the mirror is there.

use data_manager::options::Mirror;

/// What the user typed once; several with the same prefix make one mirror.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct MirrorRule {
    prefix: String,
    other: String,
}

/// Reads `PREFIX=OTHER`. A URL may hold `=` itself: the one that a URL follows divides.
pub(crate) fn parse_mirror(text: &str) -> Result<MirrorRule, String> {
    text.match_indices('=')
        .map(|(at, _)| text.split_at(at))
        .map(|(prefix, other)| (prefix, other.trim_start_matches('=')))
        .find(|(prefix, other)| is_url(prefix) && is_url(other))
        .map(|(prefix, other)| MirrorRule { prefix: prefix.to_string(), other: other.to_string() })
        .ok_or_else(|| {
            "write it as PREFIX=OTHER, such as https://data.example/=https://mirror.example/data/".to_string()
        })
}

/// Joins the rules of each prefix, in the order they were given.
pub(crate) fn mirrors(rules: &[MirrorRule]) -> Vec<Mirror> {
    let mut mirrors: Vec<Mirror> = Vec::new();
    for rule in rules {
        match mirrors.iter_mut().find(|mirror| mirror.prefix == rule.prefix) {
            Some(mirror) => mirror.others.push(rule.other.clone()),
            None => mirrors.push(Mirror { prefix: rule.prefix.clone(), others: vec![rule.other.clone()] }),
        }
    }
    mirrors
}

fn is_url(text: &str) -> bool {
    text.contains("://") && url::Url::parse(text).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_with_one_prefix_make_one_mirror() {
        let rules: Vec<_> = [
            "https://data.example/=https://one.example/",
            "s3://bucket/?v=1=https://two.example/x?a=b",
            "https://data.example/=https://three.example/",
        ]
        .iter()
        .map(|text| parse_mirror(text).unwrap())
        .collect();
        let mirrors = mirrors(&rules);
        assert_eq!(mirrors.len(), 2);
        assert_eq!(mirrors[0].others, ["https://one.example/", "https://three.example/"]);
        assert_eq!((mirrors[1].prefix.as_str(), mirrors[1].others.len()), ("s3://bucket/?v=1", 1));
    }

    #[test]
    fn what_is_not_two_urls_is_refused() {
        for text in ["", "=", "https://data.example/", "https://data.example/=", "=https://a.example/", "a=b"]
        {
            assert!(parse_mirror(text).is_err(), "{text:?} was taken");
        }
    }
}
