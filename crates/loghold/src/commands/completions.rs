//! `loghold completions`: a shell's completion script, from the same definition as the help.
//! Refuses to install it.

use clap_complete::Shell;

use crate::args;
use crate::exit::{Exit, Outcome};
use crate::output::print;

pub(crate) fn run(shell: Shell) -> Outcome<Exit> {
    // The generator cannot report an error, so it writes to memory.
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut args::command(), "loghold", &mut script);
    print(|out| out.write_all(&script))?;
    Ok(Exit::Done)
}
