//! Tests of the state of one chunk while its directory is looked at, and while its data directory has no room. A failure
//! here means a good chunk that is put aside because it was published between the look and the move, or one that never comes.
//! Refuses disks and tasks: the test says what they would.

use host::Clock;
use url::Url;

use super::*;
use crate::assignment::{Dropping, Priority};
use crate::chunk_ref::CoarseClock;
use crate::chunk_ref::tests::places;
use crate::data_catalogue::disks::Room;
use crate::data_catalogue::effects::Action;
use crate::data_source::{SourceError, SourceErrorKind};
use crate::download_error::{DownloadError, DownloadErrorKind};
use crate::error::ErrorKind;
use crate::file_spec::{CheckedChunk, FileSpec};

const ID: ChunkId = [3; 32];
const NOW: Duration = Duration::ZERO;

fn state() -> State {
    state_with(&[1 << 40])
}

/// With data directories that have so many bytes free.
fn state_with(free_bytes: &[u64]) -> State {
    let rooms = free_bytes.iter().map(|&free| Room::new("/data".into(), None, free)).collect();
    State::new(Roster::new(places().0), Disks::new(rooms, 0), 0, 8)
}

/// With one file of so many bytes.
fn wanted_of(size: Option<u64>) -> Wanted {
    let mut chunk = CheckedChunk::clone(&wanted(10).chunk);
    chunk.files[0].size = size;
    Wanted { chunk: Arc::new(chunk), priority: Priority::default() }
}

/// Parts in the first directory.
fn staged(done_bytes: u64, taken_bytes: u64) -> Staged {
    Staged { dir: 0, done_bytes, taken_bytes }
}

/// Where the next download starts.
fn download_dir(state: &mut State) -> Option<(u64, u16)> {
    match state.next_action(NOW, &mut Effects::default()) {
        Some(Action::Download { task, dir, .. }) => Some((task, dir)),
        _ => None,
    }
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

#[test]
fn what_is_staged_where_there_is_no_room_any_more_starts_over_where_there_is() {
    let mut state = state_with(&[50, 100]);
    state.found_staged(ID, staged(20, 20));
    state.want(wanted_of(Some(90)), NOW, &mut Effects::default()).unwrap();
    let Some(Action::Discard { task, id: ID, dir: 0 }) = state.next_action(NOW, &mut Effects::default())
    else {
        panic!("what is staged must go first");
    };
    state.removed(ID, task, NOW, &mut Effects::default());
    assert_eq!(download_dir(&mut state).map(|(_, dir)| dir), Some(1));
}

#[test]
fn what_is_staged_stays_where_its_rest_has_room_and_where_no_directory_has() {
    for (free_bytes, dir) in [(&[70, 1_000][..], Some(0)), (&[69, 89], None), (&[69], None)] {
        let mut state = state_with(free_bytes);
        state.found_staged(ID, staged(20, 20));
        state.want(wanted_of(Some(90)), NOW, &mut Effects::default()).unwrap();
        assert_eq!(download_dir(&mut state).map(|(_, dir)| dir), dir, "{free_bytes:?}");
        assert!(state.entries[&ID].staged.is_some(), "{free_bytes:?}");
    }
}

#[test]
fn what_is_staged_counts_as_done_by_its_parts_and_takes_room_by_its_files() {
    let mut state = state_with(&[5]);
    state.found_staged(ID, staged(20, 90));
    state.want(wanted_of(Some(90)), NOW, &mut Effects::default()).unwrap();
    let status = state.status(NOW, &CoarseClock::new(Clock::system()), &ID).unwrap();
    assert_eq!(status.bytes_done, 20);
    let Some(Action::Download { task, progress, .. }) = state.next_action(NOW, &mut Effects::default())
    else {
        panic!("its files have the room that they need");
    };
    assert_eq!((progress.done_bytes(), progress.total_bytes()), (20, Some(90)));
    let error = DownloadError::cancelled();
    state.not_published((ID, task), Some(30), (error, 0), NOW, &mut Effects::default());
    assert_eq!(state.disks.statuses()[0].staged_bytes, 90);
    assert!(starts_download(&mut state), "and have it still");
}

#[test]
fn a_chunk_whose_size_is_learnt_too_late_for_its_directory_starts_over_in_another() {
    const MIB: u64 = 1 << 20;
    let mut state = state_with(&[9 * MIB, 8 * MIB]);
    state.want(wanted_of(None), NOW, &mut Effects::default()).unwrap();
    let (task, dir) = download_dir(&mut state).unwrap();
    assert_eq!(dir, 0);
    state.disks.set_free(0, 2 * MIB);
    let reason = state.grow(ID, task, 5 * MIB, &mut Effects::default()).unwrap_err();
    let error = DownloadError::new(DownloadErrorKind::NoRoom, reason);
    state.not_published((ID, task), Some(MIB), (error, 0), NOW, &mut Effects::default());
    state.retry_what_had_no_room(NOW);
    let Some(Action::Discard { task, .. }) = state.next_action(NOW, &mut Effects::default()) else {
        panic!("what is staged must go first");
    };
    state.removed(ID, task, NOW, &mut Effects::default());
    assert_eq!(download_dir(&mut state).map(|(_, dir)| dir), Some(1));
}

#[test]
fn that_a_source_is_left_alone_does_not_replace_the_reason_why_a_chunk_failed() {
    let mut state = state();
    let mut effects = Effects::default();
    state.want(wanted(10), NOW, &mut effects).unwrap();
    let refused = SourceError::new(SourceErrorKind::Transient, "connection refused");
    for error in [DownloadError::from(refused), DownloadError::new(DownloadErrorKind::Closed, "left alone")] {
        let (task, _) = download_dir(&mut state).unwrap();
        state.not_published((ID, task), None, (error, 0), NOW, &mut effects);
        state.entries.get_mut(&ID).unwrap().not_before = NOW;
        let turn = state.entries[&ID].turn(ID);
        state.queue.push(turn, NOW, NOW);
    }
    assert_eq!(state.entries[&ID].error.as_ref().unwrap().message, "connection refused");
}

/// The usual chunk at another URL.
fn refreshed() -> Wanted {
    let mut chunk = CheckedChunk::clone(&wanted(10).chunk);
    chunk.files[0].url.set_query(Some("signature=new"));
    Wanted { chunk: Arc::new(chunk), priority: Priority::default() }
}

fn refuse(state: &mut State, task: u64) {
    let error = DownloadError::from(SourceError::new(SourceErrorKind::Refused, "as the test wants"));
    state.not_published((ID, task), None, (error, 0), NOW, &mut Effects::default());
}

#[test]
fn a_download_that_fails_says_nothing_of_urls_that_came_meanwhile() {
    let mut state = state();
    state.want(wanted(10), NOW, &mut Effects::default()).unwrap();
    let (task, _) = download_dir(&mut state).unwrap();
    state.want(refreshed(), NOW, &mut Effects::default()).unwrap();
    refuse(&mut state, task);
    let next =
        std::iter::from_fn(|| state.next_action(NOW, &mut Effects::default())).find_map(
            |action| match action {
                Action::Download { task, wanted, attempts, .. } => Some((task, wanted, attempts)),
                _ => None,
            },
        );
    let (task, wanted, attempts) = next.expect("it is tried at once");
    assert_eq!((wanted.chunk.files[0].url.query(), attempts), (Some("signature=new"), 0));
    refuse(&mut state, task);
    assert!(!starts_download(&mut state), "that one's failure counts");
}

#[test]
fn what_was_refused_is_tried_again_when_it_is_asked_for_again() {
    let mut state = state();
    state.want(wanted(10), NOW, &mut Effects::default()).unwrap();
    let (task, _) = download_dir(&mut state).unwrap();
    refuse(&mut state, task);
    assert!(!starts_download(&mut state));
    state.want(wanted(10), NOW, &mut Effects::default()).unwrap();
    assert!(starts_download(&mut state));
}

#[test]
fn another_length_or_digest_under_the_same_id_is_refused() {
    let says_more = || wanted_with(|file| (file.sha256, file.blake3) = (Some([1; 32]), Some([1; 32])));
    let others = [
        wanted_with(|file| file.size = Some(2)),
        wanted_with(|file| file.sha256 = Some([2; 32])),
        wanted_with(|file| file.blake3 = Some([2; 32])),
    ];
    for is_running in [false, true] {
        let mut state = state();
        let want =
            |state: &mut State, asked: &Wanted| state.want(asked.clone(), NOW, &mut Effects::default());
        want(&mut state, &wanted(10)).unwrap();
        if is_running {
            download_dir(&mut state).unwrap();
        }
        want(&mut state, &says_more()).unwrap();
        for other in &others {
            assert_eq!(
                want(&mut state, other).unwrap_err().kind(),
                ErrorKind::Conflict,
                "running: {is_running}"
            );
        }
        want(&mut state, &wanted_with(|file| file.size = None)).unwrap();
    }
}

#[test]
fn a_download_that_would_not_check_a_new_digest_begins_anew() {
    let mut state = state();
    state.want(wanted(10), NOW, &mut Effects::default()).unwrap();
    download_dir(&mut state).unwrap();
    let mut effects = Effects::default();
    state.want(refreshed(), NOW, &mut effects).unwrap();
    assert!(effects.cancels.is_empty(), "another URL is for the next try");
    let mut chunk = CheckedChunk::clone(&wanted(10).chunk);
    chunk.files[0].sha256 = Some([1; 32]);
    state.want(Wanted { chunk: Arc::new(chunk), priority: Priority::default() }, NOW, &mut effects).unwrap();
    assert_eq!(effects.cancels.len(), 1);
}

/// The usual chunk, changed in its one file.
fn wanted_with(change: impl Fn(&mut FileSpec)) -> Wanted {
    let mut chunk = CheckedChunk::clone(&wanted(10).chunk);
    change(&mut chunk.files[0]);
    Wanted { chunk: Arc::new(chunk), priority: Priority::default() }
}

#[test]
fn descriptors_of_which_each_says_what_the_other_does_not_stop_a_download_once() {
    let mut state = state();
    let one = wanted_with(|file| (file.size, file.sha256) = (Some(1), Some([1; 32])));
    let other = wanted_with(|file| (file.size, file.blake3) = (None, Some([2; 32])));
    state.want(one.clone(), NOW, &mut Effects::default()).unwrap();
    let mut stops = Vec::new();
    for _ in 0..5 {
        let (task, _) = download_dir(&mut state).expect("it is tried at once");
        let mut effects = Effects::default();
        for asked in [&other, &one, &other, &wanted_with(|file| file.size = None)] {
            state.want(asked.clone(), NOW, &mut effects).unwrap();
        }
        stops.push(effects.cancels.len());
        if !effects.cancels.is_empty() {
            let error = DownloadError::cancelled();
            state.not_published((ID, task), None, (error, 0), NOW, &mut Effects::default());
            continue;
        }
        let file = &state.entries[&ID].wanted.as_ref().unwrap().chunk.files[0];
        assert_eq!((file.size, file.sha256, file.blake3), (Some(1), Some([1; 32]), Some([2; 32])));
        break;
    }
    assert_eq!(stops, [1, 0]);
}

#[test]
fn a_chunk_that_waits_is_held_to_the_digest_that_it_was_asked_for_with() {
    let mut state = state();
    let digest = Some([1; 32]);
    state.want(wanted_with(|file| file.sha256 = digest), NOW, &mut Effects::default()).unwrap();
    state.want(refreshed(), NOW, &mut Effects::default()).unwrap();
    let Some(Action::Download { wanted, .. }) = state.next_action(NOW, &mut Effects::default()) else {
        panic!("it is fetched");
    };
    let file = &wanted.chunk.files[0];
    assert_eq!((file.sha256, file.url.query()), (digest, Some("signature=new")), "from the newer URL");
}

#[test]
fn an_assignment_that_is_refused_changes_nothing() {
    let mut state = state();
    let goal =
        |members: &[ChunkId]| Goal::new("goal".to_string(), members.iter().copied().collect(), Dropping::Now);
    state.apply(goal(&[ID]), vec![wanted(10)], NOW, &mut Effects::default()).unwrap();
    let mut first = CheckedChunk::clone(&wanted(10).chunk);
    first.id = [2; 32];
    let first = Wanted { chunk: Arc::new(first), priority: Priority::default() };
    for is_ready in [false, true] {
        if is_ready {
            let (task, _) = download_dir(&mut state).unwrap();
            state.published(task, &record(10), NOW, &mut Effects::default());
        }
        let asked = vec![first.clone(), wanted_of(Some(2))];
        let error = state.apply(goal(&[[2; 32], ID]), asked, NOW, &mut Effects::default()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Conflict, "ready: {is_ready}");
        assert!(!state.entries.contains_key(&[2; 32]) && state.goal.is_some(), "ready: {is_ready}");
    }
}

#[test]
fn another_length_of_what_is_here_is_refused() {
    let mut state = state();
    let mut effects = Effects::default();
    state.want(wanted(10), NOW, &mut effects).unwrap();
    let (task, _) = download_dir(&mut state).unwrap();
    state.published(task, &record(10), NOW, &mut effects);
    for is_hidden in [false, true] {
        // A pin keeps what is hidden here.
        let _pin = state.roster.get(&ID).cloned();
        if is_hidden {
            assert!(state.unwant(ID, NOW, &mut effects));
        }
        let error = state.want(wanted_of(Some(2)), NOW, &mut effects).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Conflict, "hidden: {is_hidden}");
    }
    state.want(wanted_of(None), NOW, &mut effects).unwrap();
    assert!(state.roster.get(&ID).is_some());
}
