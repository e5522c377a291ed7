//! `loghold log init`: an empty log with its parameters.
//! Refuses a directory that holds a log already.

use rtrans::{Create, Options};

use crate::args::log::ParametersArguments;
use crate::commands::log::{Context, ls};
use crate::exit::{Exit, Outcome};

pub(crate) fn run(context: &Context, arguments: &ParametersArguments) -> Outcome<Exit> {
    let parameters = Some(arguments.resolved());
    context.writer(&Options { parameters, create: Create::New, ..Options::default() })?.close()?;
    ls::run(context)
}
