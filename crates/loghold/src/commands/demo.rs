//! `loghold demo`: the story of the hold on one machine, told with proofs, without a network or a server.
//! Refuses to pretend: each step is done by the library, on files, and fails the demo when it does not come out.

mod chain;
mod dataset;
mod story;

use std::path::{Path, PathBuf};

use host::Disk;

use crate::args::DemoArguments;
use crate::commands::demo::dataset::DemoChunk;
use crate::commands::demo::story::Story;
use crate::exit::{Exit, Failure, Outcome};
use crate::input::read_input;
use crate::notes::Notes;
use crate::settings::Settings;

/// The largest file of records that is read.
const INPUT_BYTES_MAX: usize = 512 << 20;

pub(crate) fn run(arguments: &DemoArguments, settings: &Settings) -> Outcome<Exit> {
    let chunks = chunks(arguments)?;
    let notes = Notes::new(settings);
    let place = Place::choose(arguments, settings)?;
    let told = Story::new(settings.format, &place.path).and_then(|mut story| story.tell(chunks));
    let removed = if place.is_kept {
        notes.say(&format!("the data directory is kept: {}", place.path.display()));
        Ok(())
    } else {
        place.remove()
    };
    told.and(removed).map(|()| Exit::Done)
}

fn chunks(arguments: &DemoArguments) -> Outcome<Vec<DemoChunk>> {
    let Some(input) = &arguments.input else { return Ok(chain::chain(arguments.chunks)) };
    let text = read_input(input, INPUT_BYTES_MAX)?;
    let cut =
        dataset::cut(&text).map_err(|reason| Failure::usage(format!("{}: {reason}", input.display())))?;
    if cut.len() < 2 {
        return Err(Failure::usage(
            "the input has blocks for one chunk only, and the story needs two: give more blocks",
        ));
    }
    Ok(cut)
}

/// Where the demo's data directory is.
struct Place {
    path: PathBuf,
    is_kept: bool,
}

impl Place {
    fn choose(arguments: &DemoArguments, settings: &Settings) -> Outcome<Place> {
        match settings.typed_data_dirs() {
            [] => {
                let path = std::env::temp_dir().join(format!("loghold-demo-{}", std::process::id()));
                Ok(Place { path, is_kept: arguments.keep })
            }
            [path] => {
                let disk =
                    Disk::open(path).map_err(|error| Failure::io("opening the data directory", &error))?;
                let names = disk
                    .list(Path::new(""))
                    .map_err(|error| Failure::io("listing the data directory", &error))?;
                if names.is_empty() {
                    return Ok(Place { path: path.clone(), is_kept: true });
                }
                Err(Failure::usage(format!("the data directory {} is not empty", path.display()))
                    .hint("the demo deletes and damages chunks: give it a directory of its own, or none"))
            }
            _ => Err(Failure::usage("the demo takes one data directory")),
        }
    }

    fn remove(&self) -> Outcome<()> {
        let failed = |error: std::io::Error| Failure::io("removing the demo's directory", &error);
        let (Some(parent), Some(name)) = (self.path.parent(), self.path.file_name()) else { return Ok(()) };
        Disk::open(parent).and_then(|disk| disk.remove_tree(Path::new(name))).map_err(failed)
    }
}
