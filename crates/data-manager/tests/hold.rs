//! The hold as a worker uses it: downloads, finds, pins, deletes, restarts. Fails when one of the promises of
//! design section 3.2 breaks.
#![expect(clippy::disallowed_methods, reason = "tests look at files as an outsider would")]

mod fixture;

use std::path::{Path, PathBuf};
use std::time::Duration;

use data_manager::data_chunk::{DataChunk, DataChunkRef, hex_id};
use data_manager::data_manager::{DataManagerImpl, Parts};
use data_manager::error::ErrorKind;
use data_manager::event::Event;
use data_manager::options::{DataDir, Options};
use fixture::scripted::{Manner, Scripted, options, ready};
use fixture::{DATASET, PATIENCE, World, expect_event, files, id, is_whole, wide_id};

#[test]
fn a_chunk_is_downloaded_found_by_every_block_and_whole() {
    let world = World::new(1);
    let hold = world.open();
    hold.download_chunk(world.chunk(1)).unwrap();
    let chunk = hold.wait_chunk(id(1), PATIENCE).unwrap();
    assert!(is_whole(chunk.path(), 1, &files()));
    for block in 10..20 {
        assert_eq!(hold.find_chunk(DATASET, block).unwrap().id(), id(1));
    }
    assert!(hold.find_chunk(DATASET, 9).is_none());
    assert!(hold.find_chunk(DATASET, 20).is_none());
    assert_eq!(hold.list_chunks(), [id(1)]);
}

#[test]
fn a_deleted_chunk_is_hidden_at_once_and_removed_after_its_last_pin() {
    let world = World::new(1);
    let hold = world.open();
    hold.download_chunk(world.chunk(1)).unwrap();
    let pin = hold.wait_chunk(id(1), PATIENCE).unwrap();
    let second = pin.clone();
    let mut watch = hold.watch();
    assert!(hold.delete_chunk(id(1)));
    assert!(hold.find_chunk(DATASET, 12).is_none(), "hidden when the call returns");
    assert!(hold.list_chunks().is_empty());
    drop(pin);
    assert!(is_whole(second.path(), 1, &files()), "the second pin still holds it");
    assert!(hold.pins().iter().any(|pin| pin.blocks_removal && pin.pins == 1));
    let path = second.path().to_path_buf();
    drop(second);
    expect_event(&mut watch, "the removal", |event| *event == Event::Removed(id(1)));
    assert!(!path.exists());
}

#[test]
fn a_download_of_a_retired_chunk_revives_it_without_fetching() {
    let world = World::new(1);
    let hold = world.open();
    hold.download_chunk(world.chunk(1)).unwrap();
    let pin = hold.wait_chunk(id(1), PATIENCE).unwrap();
    let sent = world.origin.bytes_sent();
    hold.delete_chunk(id(1));
    hold.download_chunk(world.chunk(1)).unwrap();
    assert!(hold.find_chunk(DATASET, 12).is_some(), "ready again when the call returns");
    drop(pin);
    hold.close();
    let hold = world.open();
    assert_eq!(hold.list_chunks(), [id(1)], "the revived chunk survives a restart");
    assert_eq!(world.origin.bytes_sent(), sent);
}

#[test]
fn the_same_id_with_other_content_is_refused() {
    let world = World::new(1);
    let hold = world.open();
    hold.download_chunk(world.chunk(1)).unwrap();
    hold.wait_chunk(id(1), PATIENCE).unwrap();
    let mut other = world.chunk(1);
    other.block_range = 10..21;
    assert_eq!(hold.download_chunk(other).unwrap_err().kind(), ErrorKind::Conflict);
    let mut other = world.chunk(1);
    other.dataset_id = [8; 32];
    assert_eq!(hold.download_chunk(other).unwrap_err().kind(), ErrorKind::Conflict);
    let mut other = world.chunk(1);
    other.files.remove("logs.parquet");
    assert_eq!(hold.download_chunk(other).unwrap_err().kind(), ErrorKind::Conflict);
    let mut refreshed = world.chunk(1);
    refreshed.files.values_mut().for_each(|url| url.push_str("?signature=new"));
    hold.download_chunk(refreshed).unwrap();
}

#[test]
fn a_restart_finds_exactly_the_complete_chunks() {
    let world = World::new(3);
    let hold = world.open();
    for number in 1..=3 {
        hold.download_chunk(world.chunk(number)).unwrap();
    }
    let view = hold.wait_ready(DATASET, 10..40, PATIENCE).unwrap();
    assert_eq!(view.chunks.len(), 3);
    drop(view);
    hold.delete_chunk(id(2));
    hold.wait_gone(id(2), PATIENCE).unwrap();
    drop(hold);
    let hold = world.open();
    let mut chunks = hold.list_chunks();
    chunks.sort_unstable();
    assert_eq!(chunks, [id(1), id(3)]);
    let view = hold.find_range(DATASET, 10..40);
    assert_eq!(view.gaps.as_slice(), std::slice::from_ref(&(20..30)));
    assert_eq!(hold.coverage(DATASET), [10..20, 30..40]);
}

#[test]
fn a_chunk_deleted_under_a_pin_stays_deleted_after_a_restart() {
    let world = World::new(1);
    let hold = world.open();
    hold.download_chunk(world.chunk(1)).unwrap();
    let pin = hold.wait_chunk(id(1), PATIENCE).unwrap();
    hold.delete_chunk(id(1));
    hold.close();
    assert!(is_whole(pin.path(), 1, &files()), "pins stay valid when the hold is closed");
    let hold = world.open();
    assert!(hold.list_chunks().is_empty());
    hold.wait_gone(id(1), PATIENCE).unwrap();
    assert!(!pin.path().exists());
}

#[test]
fn a_missing_object_is_visible_with_its_reason_and_delays_nobody() {
    let world = World::new(2);
    world.origin.remove("1/logs.parquet");
    let hold = world.open();
    let mut watch = hold.watch();
    hold.download_chunk(world.chunk(1)).unwrap();
    hold.download_chunk(world.chunk(2)).unwrap();
    hold.wait_chunk(id(2), PATIENCE).unwrap();
    let event = expect_event(&mut watch, "the failure", |event| matches!(event, Event::Failed { .. }));
    let Event::Failed { id: failed, reason, next_try } = event else { unreachable!() };
    assert_eq!(failed, id(1));
    assert!(reason.contains("404") && reason.contains("logs.parquet"), "{reason}");
    assert!(next_try.unwrap() >= Duration::from_secs(30), "a missing object is asked for rarely");
    let why = hold.why(DATASET, 12);
    assert!(why[0].last_error.as_ref().unwrap().contains("404"));
}

#[test]
fn a_second_hold_on_the_directory_is_refused_with_the_owners_pid() {
    let world = World::new(0);
    let _hold = world.open();
    let error = DataManagerImpl::open(world.options()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Locked);
    assert!(error.to_string().contains(&std::process::id().to_string()), "{error}");
}

#[test]
fn a_hold_can_be_dropped_inside_an_async_task() {
    let world = World::new(1);
    let hold = world.open();
    hold.download_chunk(world.chunk(1)).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async move { drop(hold) });
    world.open();
}

/// Copies a directory as `cp -a` does.
#[expect(clippy::unwrap_used, reason = "a fixture fails as tests do")]
fn copy_tree(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap().map(Result::unwrap) {
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_tree(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// A world with chunk 1 in the directory `hold` and a copy of that directory, and options for both.
#[expect(clippy::unwrap_used, reason = "a fixture fails as tests do")]
fn two_copies() -> (World, Options) {
    let world = World::new(1);
    let hold = world.open();
    hold.download_chunk(world.chunk(1)).unwrap();
    hold.wait_chunk(id(1), PATIENCE).unwrap();
    hold.close();
    copy_tree(&world.path().join("hold"), &world.path().join("copy"));
    let mut options = world.options();
    options.data_dirs.push(DataDir { path: world.path().join("copy"), bytes_max: None });
    (world, options)
}

/// Whether anything of chunk 1 lies in the data directory.
fn has_chunk(world: &World, dir: &str) -> bool {
    let dataset = world.path().join(dir).join(format!("dataset_id={}", hex_id(&DATASET)));
    dataset.join("first_block=10").exists()
}

#[test]
fn a_chunk_that_lies_in_two_directories_is_one_and_goes_from_both() {
    for index in ["known", "unknown"] {
        let (world, options) = two_copies();
        if index == "unknown" {
            std::fs::remove_dir_all(world.path().join("copy/.catalogue")).unwrap();
            let empty = World::new(0);
            copy_tree(&fresh_catalogue(&empty), &world.path().join("copy/.catalogue"));
        }
        let hold = DataManagerImpl::open_with(options.clone(), Parts::default()).unwrap();
        assert_eq!(hold.list_chunks(), [id(1)], "{index}");
        let mut watch = hold.watch();
        assert!(hold.delete_chunk(id(1)));
        expect_event(&mut watch, "the removal", |event| *event == Event::Removed(id(1)));
        assert!(!has_chunk(&world, "hold") && !has_chunk(&world, "copy"), "{index}");
        hold.close();
        let hold = DataManagerImpl::open_with(options, Parts::default()).unwrap();
        assert!(hold.list_chunks().is_empty(), "{index}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_age_of_a_pin_is_right_where_nothing_else_happens() {
    let dir = tempfile::tempdir().unwrap();
    let source = Scripted::new();
    let hold = source.open(options(&dir));
    let mut watch = hold.watch();
    hold.download_chunk(source.chunk("host", 1, Manner::Good)).unwrap();
    ready(&mut watch, [wide_id(1)]).await;
    tokio::time::advance(Duration::from_hours(5)).await;
    let _pin = hold.get_chunk(wide_id(1)).unwrap();
    let age = Duration::from_hours(3);
    tokio::time::advance(age).await;
    assert_eq!(hold.pins().iter().map(|pin| pin.pinned_for).collect::<Vec<_>>(), [age]);
    assert_eq!(hold.status(wide_id(1)).unwrap().pinned_for, Some(age));
    assert!(hold.delete_chunk(wide_id(1)));
    assert_eq!(hold.status(wide_id(1)).unwrap().pinned_for, Some(age), "hidden");
    hold.close_in_task().await;
}

/// A program that only looks, and ends, may be all that ever opens the hold.
#[tokio::test(start_paused = true)]
async fn a_start_that_ends_at_once_empties_the_trash() {
    let dir = tempfile::tempdir().unwrap();
    let left = dir.path().join(".trash").join(format!("0x{}-1", "ab".repeat(32)));
    std::fs::create_dir_all(&left).unwrap();
    std::fs::write(left.join("a.parquet"), "left by a kill").unwrap();
    let hold = Scripted::new().open(options(&dir));
    hold.close_in_task().await;
    assert!(!left.exists());
}

/// A chunk of the blocks of chunk 1.
fn rival(world: &World, number: u8) -> DataChunk {
    DataChunk { block_range: world.chunk(1).block_range, ..world.chunk(number) }
}

/// Chunks of the same blocks, 1 and then 2, each in a directory of its own that gave it the first number; options for both.
#[expect(clippy::unwrap_used, reason = "a fixture fails as tests do")]
fn two_used_apart() -> (World, Options) {
    let world = World::new(3);
    let mut options = world.options();
    options.data_dirs.push(DataDir { path: world.path().join("other"), bytes_max: None });
    for (number, data_dir) in [1, 2].into_iter().zip(&options.data_dirs) {
        let mut alone = options.clone();
        alone.data_dirs = vec![data_dir.clone()];
        let hold = DataManagerImpl::open_with(alone, Parts::default()).unwrap();
        hold.download_chunk(rival(&world, number)).unwrap();
        hold.wait_chunk(id(number), PATIENCE).unwrap();
        hold.close();
    }
    (world, options)
}

#[test]
fn chunks_of_directories_that_were_used_apart_are_told_apart() {
    for (index, gone) in [("known", 1), ("known", 2), ("lost", 1), ("lost", 2)] {
        let (world, options) = two_used_apart();
        if index == "lost" {
            std::fs::remove_dir_all(world.path().join("other/.catalogue")).unwrap();
        }
        let hold = DataManagerImpl::open_with(options, Parts::default()).unwrap();
        let found = || hold.find_chunk(DATASET, 10).map(|chunk| chunk.id());
        assert_eq!(hold.find_range(DATASET, 10..20).chunks.len(), 2, "{index}");
        // Of two whose order nobody knows, that of the later directory counts as the later one.
        assert_eq!(found(), Some(id(2)), "{index}");
        let mut watch = hold.watch();
        assert!(hold.delete_chunk(id(gone)));
        assert_eq!(found(), Some(id(3 - gone)), "{index}: without {gone}");
        expect_event(&mut watch, "the removal", |event| *event == Event::Removed(id(gone)));
        hold.download_chunk(rival(&world, gone)).unwrap();
        hold.wait_chunk(id(gone), PATIENCE).unwrap();
        assert_eq!(found(), Some(id(gone)), "{index}: published last");
    }
}

#[test]
fn the_order_that_directories_used_apart_were_given_outlives_a_kill() {
    let (world, mut options) = two_used_apart();
    let hold = DataManagerImpl::open_with(options.clone(), Parts::default()).unwrap();
    hold.download_chunk(rival(&world, 3)).unwrap();
    hold.wait_chunk(id(3), PATIENCE).unwrap();
    // What a process that is killed here leaves behind.
    for data_dir in &mut options.data_dirs {
        let left = data_dir.path.with_extension("left");
        copy_tree(&data_dir.path, &left);
        data_dir.path = left;
    }
    let after = DataManagerImpl::open_with(options, Parts::default()).unwrap();
    for hold in [hold, after] {
        let found = hold.find_chunk(DATASET, 10).map(|chunk| chunk.id());
        assert_eq!(found, Some(id(3)), "published last");
    }
}

/// The catalogue of a hold that never had a chunk.
fn fresh_catalogue(world: &World) -> PathBuf {
    world.open().close();
    world.path().join("hold/.catalogue")
}

#[test]
fn a_deletion_that_a_restart_finishes_takes_the_copy_too() {
    let (world, both) = two_copies();
    let hold = world.open();
    let pin = hold.get_chunk(id(1)).unwrap();
    assert!(hold.delete_chunk(id(1)));
    hold.close();
    drop(pin);
    assert!(has_chunk(&world, "hold"), "the pin kept it");
    let hold = DataManagerImpl::open_with(both.clone(), Parts::default()).unwrap();
    assert!(hold.list_chunks().is_empty(), "deleted is deleted, in every directory");
    hold.wait_gone(id(1), PATIENCE).unwrap();
    assert!(!has_chunk(&world, "hold") && !has_chunk(&world, "copy"));
    hold.close();
    assert!(DataManagerImpl::open_with(both, Parts::default()).unwrap().list_chunks().is_empty());
}

#[test]
fn who_waits_in_vain_is_told_why() {
    let world = World::new(1);
    let hold = world.open();
    let time = Duration::from_millis(1);
    let waited = |range| hold.wait_ready(DATASET, range, time).unwrap_err().to_string();
    let message = waited(10..20);
    assert!(
        message.contains("10..20") && message.contains("no chunk with such blocks was asked for"),
        "{message}"
    );
    let mut watch = hold.watch();
    hold.download_chunk(world.chunk(9)).unwrap();
    while !matches!(watch.wait().unwrap(), Event::Failed { .. }) {}
    let message = waited(90..100);
    assert!(message.contains(&hex_id(&id(9))) && message.contains("404"), "{message}");
    hold.download_chunk(world.chunk(1)).unwrap();
    let pin = hold.wait_chunk(id(1), PATIENCE).unwrap();
    hold.delete_chunk(id(1));
    let message = hold.wait_gone(id(1), time).unwrap_err().to_string();
    assert!(message.contains("a pin holds it"), "{message}");
    drop(pin);
    hold.wait_gone(id(1), PATIENCE).unwrap();
    hold.close();
    drop(hold);
    while watch.wait().is_some() {}
}

#[test]
fn ids_in_what_is_logged_are_those_of_everywhere_else() {
    let world = World::new(1);
    let hold = world.open();
    let mut watch = hold.watch();
    hold.download_chunk(world.chunk(1)).unwrap();
    let pin = hold.wait_chunk(id(1), PATIENCE).unwrap();
    let shown = [
        format!("{:?}", world.chunk(1)),
        format!("{:?}", watch.wait()),
        format!("{:?}", hold.status(id(1))),
        format!("{:?}", hold.pins()),
    ];
    for text in shown {
        assert!(text.contains(&hex_id(&id(1))) && !text.contains("1, 1, 1"), "{text}");
    }
    drop(pin);
}
