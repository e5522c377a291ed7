//! Which of the options that every command takes have an effect where: the help of a command shows those, and no others.
//! Refuses to refuse the others: a script that gives one to all of its commands goes on working.

use clap::{Arg, Command, CommandFactory};

use super::Arguments;

/// What fetches chunks, or may do so while it waits.
const FETCHING: [&str; 4] = ["chunk get", "chunk verify", "chunk wait", "apply"];

/// What has a data directory; a name stands for all below it.
const WITH_DATA_DIR: [&str; 7] = ["chunk", "files", "lease", "with", "sql-init", "apply", "demo"];

/// What prints no results.
const WITHOUT_RESULTS: [&str; 4] = ["with", "sql-init", "completions", "man"];

/// The whole command line, for parsing, help, completions and man pages.
pub(crate) fn command() -> Command {
    let root = Arguments::command();
    let global: Vec<Arg> = root.get_arguments().filter(|arg| arg.is_global_set()).cloned().collect();
    let names: Vec<String> = root.get_subcommands().map(|below| below.get_name().to_string()).collect();
    names.iter().fold(root, |root, name| root.mut_subcommand(name, |below| scoped(below, name, &global)))
}

/// A command at `path`, with the options that it takes from above as its own: shown or hidden.
fn scoped(command: Command, path: &str, global: &[Arg]) -> Command {
    let names: Vec<String> = command.get_subcommands().map(|below| below.get_name().to_string()).collect();
    let command =
        global.iter().fold(command, |command, arg| command.arg(arg.clone().hide(!has_effect(arg, path))));
    names.iter().fold(command, |command, name| {
        command.mut_subcommand(name, |below| scoped(below, &format!("{path} {name}"), global))
    })
}

/// Whether an option does something at a command, or at one below it.
fn has_effect(arg: &Arg, path: &str) -> bool {
    let is_below = |place: &str, above: &str| {
        place.strip_prefix(above).is_some_and(|rest| rest.is_empty() || rest.starts_with(' '))
    };
    let is_in = |places: &[&str]| places.iter().any(|place| is_below(path, place));
    let is_in_or_above = |places: &[&str]| is_in(places) || places.iter().any(|place| is_below(place, path));
    match arg.get_id().as_str() {
        "data_dir" => is_in(&WITH_DATA_DIR),
        "output" | "json" => !is_in(&WITHOUT_RESULTS),
        // A listing and an assignment may lie on a server as well.
        "allow_private" | "ca_file" => is_in_or_above(&FETCHING) || is_in(&["chunk import"]),
        "allow_files" | "limit_rate" | "keep_free" | "connections" | "mirror" => is_in_or_above(&FETCHING),
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The ids of options that the help of a command shows.
    fn shown(path: &str) -> Vec<String> {
        let root = command();
        let found = path.split(' ').try_fold(&root, |above, name| above.find_subcommand(name)).unwrap();
        let args = found.get_arguments().filter(|arg| !arg.is_hide_set());
        args.map(|arg| arg.get_id().to_string()).collect()
    }

    #[test]
    fn an_option_is_shown_where_it_has_an_effect_and_nowhere_else() {
        let downloads =
            ["allow_private", "allow_files", "limit_rate", "keep_free", "connections", "ca_file", "mirror"];
        for (path, has_downloads) in [
            ("chunk", true),
            ("chunk get", true),
            ("chunk wait", true),
            ("chunk verify", true),
            ("apply", true),
            ("chunk ls", false),
            ("chunk find", false),
            ("lease", false),
            ("lease ls", false),
            ("log", false),
            ("log append", false),
            ("seal", false),
            ("store check", false),
            ("man", false),
        ] {
            let shown = shown(path);
            for id in downloads {
                assert_eq!(shown.iter().any(|arg| arg == id), has_downloads, "{path}: {id}");
            }
            assert!(shown.iter().any(|arg| arg == "quiet"), "{path}");
        }
        let import = shown("chunk import");
        for (id, is_shown) in
            [("ca_file", true), ("allow_private", true), ("mirror", false), ("keep_free", false)]
        {
            assert_eq!(import.iter().any(|arg| arg == id), is_shown, "{id}");
        }
        for (path, id, is_shown) in [
            ("log read", "data_dir", false),
            ("seal", "data_dir", false),
            ("lease ls", "data_dir", true),
            ("sql-init", "data_dir", true),
            ("sql-init", "output", false),
            ("log read", "output", true),
            ("with", "json", false),
        ] {
            assert_eq!(shown(path).iter().any(|arg| arg == id), is_shown, "{path}: {id}");
        }
    }

    #[test]
    fn the_table_names_commands_that_there_are() {
        let root = command();
        for path in FETCHING.iter().chain(&WITH_DATA_DIR).chain(&WITHOUT_RESULTS) {
            assert!(
                path.split(' ').try_fold(&root, |above, name| above.find_subcommand(name)).is_some(),
                "{path}"
            );
        }
        root.debug_assert();
    }
}
