//! `loghold man`: the man page of the program or of one command, from the same definition as the help.
//! Refuses to format it: that is what `man -l -` does.

use clap_mangen::Man;

use crate::args;
use crate::exit::{Exit, Failure, Outcome};
use crate::output::print;
use crate::suggestion::nearest;

pub(crate) fn run(path: &[String]) -> Outcome<Exit> {
    let mut root = args::command();
    root.build();
    let mut command = &root;
    for name in path {
        command = command.find_subcommand(name).ok_or_else(|| {
            let known: Vec<&str> = command.get_subcommands().map(clap::Command::get_name).collect();
            let failure = Failure::usage(format!("{} has no command {name:?}", command.get_name()));
            match nearest(name, &known) {
                Some(near) => failure.hint(format!("did you mean {near:?}?")),
                None if known.is_empty() => failure,
                None => failure.hint(format!("it has {}", known.join(", "))),
            }
        })?;
    }
    let page =
        std::iter::once("loghold").chain(path.iter().map(String::as_str)).collect::<Vec<_>>().join("-");
    let notes = command.get_after_help().map(ToString::to_string);
    let man = Man::new(command.clone().display_name(page.clone()).after_help(None::<&str>))
        .title(page.to_uppercase())
        .source(concat!("loghold ", env!("CARGO_PKG_VERSION")));
    print(|out| {
        man.render(out)?;
        notes.map_or(Ok(()), |notes| out.write_all(section(&notes).as_bytes()))
    })?;
    Ok(Exit::Done)
}

/// The text behind the options: sentences are filled, and what is indented or a command stays line by line, to be copied.
fn section(text: &str) -> String {
    let mut page = ".SH NOTES\n".to_string();
    let mut was_literal = false;
    for line in text.lines() {
        let is_literal = line.starts_with(' ') || line.starts_with("loghold ");
        page.push_str(match (was_literal, is_literal) {
            (false, true) => ".PP\n.nf\n",
            (true, false) => ".fi\n.PP\n",
            (false, false) if line.is_empty() => ".PP\n",
            (false, false) => ".br\n",
            (true, true) => "",
        });
        was_literal = is_literal;
        if !line.is_empty() {
            page.push_str(&escaped(line));
            page.push('\n');
        }
    }
    if was_literal {
        page.push_str(".fi\n");
    }
    page
}

/// A line as it is, whatever roff would make of it.
fn escaped(line: &str) -> String {
    let guard = if line.starts_with('.') { "\\&" } else { "" };
    let escape = |c: char| match c {
        '\\' => "\\e".to_string(),
        '-' => "\\-".to_string(),
        '\'' => "\\(aq".to_string(),
        '`' => "\\(ga".to_string(),
        '^' => "\\(ha".to_string(),
        '~' => "\\(ti".to_string(),
        other => other.to_string(),
    };
    line.chars().map(escape).fold(guard.to_string(), |text, piece| text + &piece)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn examples_stay_line_by_line_and_sentences_are_filled() {
        let page = section("A plan:\n  a = 'b'\n  c\nIt ends.\n\n.x -y\nloghold find");
        let expected = ".SH NOTES\n.br\nA plan:\n.PP\n.nf\n  a = \\(aqb\\(aq\n  c\n.fi\n.PP\nIt ends.\n.PP\n.br\n\\&.x \\-y\n\
                        .PP\n.nf\nloghold find\n.fi\n";
        assert_eq!(page, expected);
    }
}
