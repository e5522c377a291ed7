//! Tests of the state of one chunk while its directory is looked at. A failure here means a good chunk that is put aside
//! because it was published between the look and the move.
//! Refuses disks and tasks: the test says what they would.

use url::Url;

use super::*;
use crate::assignment::Priority;
use crate::chunk_ref::tests::places;
use crate::data_catalogue::disks::Room;
use crate::file_spec::{CheckedChunk, FileSpec};

const ID: ChunkId = [3; 32];
const NOW: Duration = Duration::ZERO;

fn state() -> State {
    let room = Room::new("/data".into(), None, 1 << 40);
    State::new(Roster::new(places().0), Disks::new(vec![room], 0), 0, 8)
}

fn wanted(end: u64) -> Wanted {
    let url = Url::parse("https://data.example/a").unwrap();
    let file = FileSpec { name: "a.parquet".to_string(), url, size: Some(1), sha256: None, blake3: None };
    let chunk = CheckedChunk { id: ID, dataset_id: [1; 32], block_range: 0..end, files: vec![file] };
    Wanted { chunk: Arc::new(chunk), priority: Priority::default() }
}

fn record(end: u64) -> Record {
    Record {
        id: ID,
        dataset_id: [1; 32],
        block_range: 0..end,
        bytes: 1,
        names: "a.parquet".into(),
        dir: 0,
        sequence: 0,
        foreign_path: None,
    }
}

/// Whether a download starts next, if it is not that something is written down.
fn starts_download(state: &mut State) -> bool {
    let mut effects = Effects::default();
    std::iter::from_fn(|| state.next_action(NOW, &mut effects))
        .any(|action| matches!(action, Action::Download { .. }))
}

#[test]
fn nothing_is_published_under_an_id_whose_directory_is_looked_at() {
    let mut state = state();
    let mut effects = Effects::default();
    let task = state.begin_judging(ID, NOW).unwrap();
    assert_eq!(state.begin_judging(ID, NOW), None, "one looks at a time");
    state.want(wanted(10), NOW, &mut effects).unwrap();
    assert!(!starts_download(&mut state));
    state.judged((ID, task), None, NOW, &mut effects);
    assert!(starts_download(&mut state), "what was put aside is fetched");
    assert_eq!(state.begin_judging(ID, NOW), None, "and is no stranger from then on");
}

#[test]
fn a_whole_directory_is_ready_and_spares_the_download_of_the_same() {
    let mut state = state();
    let mut effects = Effects::default();
    let task = state.begin_judging(ID, NOW).unwrap();
    state.want(wanted(10), NOW, &mut effects).unwrap();
    state.judged((ID, task), Some(record(10)), NOW, &mut effects);
    assert!(state.roster.get(&ID).is_some() && state.entries.is_empty());
    assert!(!starts_download(&mut state));
}

#[test]
fn a_whole_directory_of_other_content_than_was_asked_for_meanwhile_is_not_shown() {
    let mut state = state();
    let mut effects = Effects::default();
    let task = state.begin_judging(ID, NOW).unwrap();
    state.want(wanted(11), NOW, &mut effects).unwrap();
    state.judged((ID, task), Some(record(10)), NOW, &mut effects);
    assert!(state.roster.get(&ID).is_none() && starts_download(&mut state));
}

#[test]
fn an_id_that_nobody_asked_for_is_forgotten_after_the_look() {
    let mut state = state();
    let mut effects = Effects::default();
    let task = state.begin_judging(ID, NOW).unwrap();
    state.judged((ID, task), None, NOW, &mut effects);
    assert!(state.entries.is_empty());
    assert_ne!(state.begin_judging(ID, NOW), None);
}
