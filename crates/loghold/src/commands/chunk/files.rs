//! `loghold files`: the paths of the files that hold a range of blocks, for engines that read files.
//! Refuses to hide gaps: it prints what is there and ends with "incomplete".

use crate::args::FilesArguments;
use crate::commands::chunk::Context;
use crate::exit::{Exit, Outcome};
use crate::output::print_lines;
use crate::quantity::show_duration;
use crate::selection::{Question, Selection, made_up_name};
use crate::soundness::{chunks_of, look};

pub(crate) fn run(context: &Context, arguments: &FilesArguments) -> Outcome<Exit> {
    let hold = context.hold()?;
    let question =
        Question { dataset: &arguments.dataset, blocks: arguments.blocks.as_ref(), tables: &arguments.table };
    look(&hold, chunks_of(&hold, question.dataset, question.blocks))?;
    let mut selection = Selection::find(&hold, question)?;
    if let Some(lifetime) = arguments.lease
        && !selection.chunks.is_empty()
    {
        let lease = selection.lease(&hold, (&made_up_name("files"), "loghold files"), lifetime)?;
        let (name, time) = (&lease.name, show_duration(lifetime));
        context.notes.say(&format!(
            "lease {name} holds these files for {time}: `loghold lease renew {name}` prolongs it, `loghold lease break {name}` ends it"
        ));
    }
    print_lines(context.settings.format, &selection.files, |report| {
        report.exact_path.as_os_str().as_encoded_bytes().to_vec()
    })?;
    selection.expect_no_gaps(&arguments.dataset)?;
    Ok(Exit::Done)
}
