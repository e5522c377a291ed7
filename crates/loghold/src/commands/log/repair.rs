//! `loghold log repair`: what could be mended, and, when it is told to, the mending.
//! Refuses to act unless the plan was to be seen before, and to give up records unless that is said in words.

use rtrans::{check_on, plan_repair, repair};
use serde::Serialize;

use crate::args::log::RepairArguments;
use crate::commands::log::{Context, check};
use crate::exit::{Exit, Failure, Outcome};
use crate::output::print_rows;

/// A step, or what no step can mend.
#[derive(Debug, Serialize)]
struct Step {
    state: &'static str,
    what: String,
}

const HEADINGS: [&str; 2] = ["STATE", "WHAT"];

pub(crate) fn run(context: &Context, arguments: &RepairArguments) -> Outcome<Exit> {
    let disk = context.disk()?;
    let findings = check_on(&disk)?;
    let whole = plan_repair(disk.root(), &findings)?;
    let plan = if arguments.give_up { whole.clone() } else { whole.clone().without_giving_up() };
    let state = if arguments.yes { "done" } else { "planned" };
    let held_back = whole.actions.iter().filter(|action| !plan.actions.contains(action));
    let rest: Vec<Step> = held_back
        .map(|action| Step { state: "needs --give-up", what: action.to_string() })
        .chain(
            whole
                .unmendable
                .iter()
                .map(|finding| Step { state: "cannot be mended", what: finding.to_string() }),
        )
        .collect();
    let repaired = if arguments.yes { Some(repair(disk.root(), &plan)?) } else { None };
    let steps = plan.actions.iter().map(|action| Step { state, what: action.to_string() });
    let steps: Vec<Step> = steps.chain(rest).collect();
    print_rows(context.format, &HEADINGS, &steps, |step| vec![step.state.to_string(), step.what.clone()])?;
    let Some(repaired) = repaired else {
        if steps.is_empty() {
            context.notes.say("nothing has to be mended");
            return Ok(Exit::Done);
        }
        context.notes.say(match (plan.actions.is_empty(), whole.actions.is_empty()) {
            (false, _) => "nothing was changed: add --yes to do what is planned, behind a backup of the directory",
            (true, false) => {
                "nothing was changed: --give-up --yes loses for good what cannot be read, behind a backup of the directory"
            }
            (true, true) => "nothing here can be mended: restore the log from a backup",
        });
        return Ok(if findings.is_sound() { Exit::Done } else { Exit::Corrupt });
    };
    check::say(context, &repaired.findings);
    if repaired.findings.is_sound() {
        return Ok(Exit::Done);
    }
    let damage = repaired.findings.list.iter().find(|finding| finding.severity == rtrans::Severity::Damage);
    let first = damage.map_or_else(String::new, |finding| format!(": {}", finding.at));
    Err(Failure::new(Exit::Corrupt, format!("damage is left{first}")).hint(
        "restore the log from a backup, or add --give-up; records of format 1 are left behind by an import",
    ))
}
