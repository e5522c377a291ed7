//! Markdown, as far as links need it: headings as anchors, and the targets of links.
//! Refuses to render.

/// A link and where it stands.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Link {
    /// Counted from 0.
    pub(super) line_index: usize,
    pub(super) target: String,
}

/// The anchors of a page, as forges derive them from its headings.
pub(super) fn anchors(text: &str) -> Vec<String> {
    let mut anchors: Vec<String> = Vec::new();
    for (_, line) in prose(text) {
        let heading = line.trim_start_matches('#');
        let level = line.len().saturating_sub(heading.len());
        if !(1..=6).contains(&level) || !heading.starts_with(' ') {
            continue;
        }
        let slug = slug(heading.trim());
        let repeated = anchors.iter().filter(|anchor| is_numbered(anchor, &slug)).count();
        anchors.push(if repeated == 0 { slug } else { format!("{slug}-{repeated}") });
    }
    anchors
}

/// The targets of `[text](target)`, `[text]: target`, `href="target"` and `src="target"`, outside of code.
pub(super) fn links(text: &str) -> Vec<Link> {
    let mut links = Vec::new();
    for (line_index, line) in prose(text) {
        let line = without_code(line);
        let mut add = |target: &str| links.push(Link { line_index, target: target.to_owned() });
        for (opening, closing) in [("](", ')'), ("href=\"", '"'), ("src=\"", '"')] {
            for (at, _) in line.match_indices(opening) {
                let after = line.get(at.saturating_add(opening.len())..).unwrap_or_default();
                let target = after.split(closing).next().unwrap_or_default();
                add(target.split(" \"").next().unwrap_or_default().trim_matches(['<', '>', ' ']));
            }
        }
        let definition = line.strip_prefix('[').and_then(|rest| rest.split_once("]: "));
        if let Some((_, target)) = definition {
            add(target.split_whitespace().next().unwrap_or_default());
        }
    }
    links
}

/// The lines outside of fenced code, with their indexes.
fn prose(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut fence: Option<&str> = None;
    text.lines().enumerate().filter(move |(_, line)| {
        let start = line.trim_start();
        let mark = ["```", "~~~"].into_iter().find(|mark| start.starts_with(mark));
        match (fence, mark) {
            (None, Some(mark)) => {
                fence = Some(mark);
                false
            }
            (Some(open), Some(mark)) if open == mark => {
                fence = None;
                false
            }
            _ => fence.is_none(),
        }
    })
}

/// A line without its `code`.
fn without_code(line: &str) -> String {
    line.split('`').step_by(2).collect::<Vec<_>>().join("``")
}

/// The anchor of a heading: lower case, blanks as hyphens, other punctuation gone; a link in it counts by its text.
fn slug(heading: &str) -> String {
    let mut plain = String::new();
    let mut rest = heading;
    while let Some((before, after)) = rest.split_once("](") {
        plain.push_str(before);
        rest = after.split_once(')').map_or("", |(_, after)| after);
    }
    plain.push_str(rest);
    let kept = plain.chars().filter(|it| it.is_alphanumeric() || matches!(it, ' ' | '-' | '_'));
    kept.map(|it| if it == ' ' { '-' } else { it }).collect::<String>().to_lowercase()
}

/// Whether `anchor` is `slug` or `slug-N`.
fn is_numbered(anchor: &str, slug: &str) -> bool {
    let rest = anchor.strip_prefix(slug);
    rest.is_some_and(|rest| {
        rest.is_empty() || rest.strip_prefix('-').is_some_and(|number| number.parse::<u32>().is_ok())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn anchors_are_made_as_forges_make_them() {
        let text = "# 3.2 States (a pure core)\n## `docs/a.md`, [linked](b.md)\n```\n# not this\n```\n# Same\n# Same\n#no\n";
        assert_eq!(anchors(text), ["32-states-a-pure-core", "docsamd-linked", "same", "same-1"]);
    }

    #[test]
    fn links_are_found_in_all_their_forms() {
        let text =
            "see [a](a.md#x \"title\") and ![b](<b.png>)\n[c]: c.md\n<img src=\"d.png\"> <a href=\"e.md\">\n";
        let targets: Vec<String> = links(text).into_iter().map(|link| link.target).collect();
        assert_eq!(targets, ["a.md#x", "b.png", "c.md", "e.md", "d.png"]);
    }

    #[test]
    fn code_holds_no_links() {
        assert_eq!(links("`[a](a.md)`\n```\n[b](b.md)\n```\n~~~\n[c](c.md)\n~~~\n"), []);
    }

    #[test]
    fn a_fence_closes_with_its_own_mark_only() {
        assert_eq!(links("~~~\n```\n[a](a.md)\n~~~\n[b](b.md)\n").len(), 1);
    }
}
