//! `loghold man`: the man page of the program or of one command, from the same definition as the help.
//! Refuses to format it: that is what `man -l -` does.

use clap::CommandFactory;
use clap_mangen::Man;

use crate::args::Arguments;
use crate::exit::{Exit, Failure, Outcome};
use crate::output::print;
use crate::suggestion::nearest;

pub(crate) fn run(path: &[String]) -> Outcome<Exit> {
    let mut root = Arguments::command();
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
    let man = Man::new(command.clone().display_name(page.clone()))
        .title(page.to_uppercase())
        .source(concat!("loghold ", env!("CARGO_PKG_VERSION")));
    print(|out| man.render(out))?;
    Ok(Exit::Done)
}
