//! Leases on a real disk: they hold over restarts, end by themselves, and are broken only by their name.
//! Refuses to sleep: ends are waited for as events.
#![expect(clippy::disallowed_methods, reason = "tests look at files as an outsider would")]

mod fixture;

use std::time::Duration;

use data_manager::data_chunk::DataChunkRef;
use data_manager::data_manager::DataManagerImpl;
use data_manager::error::ErrorKind;
use data_manager::event::Event;
use data_manager::status::ChunkState;

use fixture::{DATASET, PATIENCE, World, expect_event, files, id, is_whole};

const HOUR: Duration = Duration::from_hours(1);

#[expect(clippy::unwrap_used, reason = "a fixture fails as tests do")]
fn with_two_chunks() -> (World, DataManagerImpl) {
    let world = World::new(2);
    let hold = world.open();
    for number in [1, 2] {
        hold.download_chunk(world.chunk(number)).unwrap();
    }
    hold.wait_ready(DATASET, 10..30, PATIENCE).unwrap();
    (world, hold)
}

#[test]
fn a_leased_chunk_that_is_deleted_is_hidden_and_stays_over_restarts_until_the_lease_is_released() {
    let (world, hold) = with_two_chunks();
    let chunk = hold.get_chunk(id(1)).unwrap();
    let path = chunk.path().to_path_buf();
    let lease = hold.lease("query", "the test", std::slice::from_ref(&chunk), HOUR).unwrap();
    drop(chunk);
    hold.delete_chunk(id(1));
    hold.delete_chunk(id(2));
    hold.wait_gone(id(2), PATIENCE).unwrap();
    assert!(hold.find_chunk(DATASET, 15).is_none());
    for _ in 0..2 {
        hold.close();
        let hold = world.open();
        let status = hold.status(id(1)).unwrap();
        assert_eq!((status.state, status.leases), (ChunkState::Retired, vec!["query".to_string()]));
        let [listed] = &hold.leases()[..] else { panic!("one lease") };
        assert_eq!(listed.lease, lease);
        assert_eq!((listed.held_back_chunks, listed.held_back_bytes), (1, 3_220_001));
        assert!(listed.ends_in > HOUR / 2 && listed.ends_in <= HOUR, "{listed:?}");
        assert!(is_whole(&path, 1, &files()));
        hold.close();
    }
    let hold = world.open();
    hold.release(&lease).unwrap();
    hold.wait_gone(id(1), PATIENCE).unwrap();
    assert!(!path.exists() && hold.leases().is_empty());
    assert_eq!(hold.release(&lease).unwrap_err().kind(), ErrorKind::Missing);
}

#[test]
fn a_lease_that_nobody_renews_ends_by_itself_and_sets_its_chunks_free() {
    let (_world, hold) = with_two_chunks();
    let mut watch = hold.watch();
    let view = hold.find_range(DATASET, 10..30);
    hold.lease("short", "the test", &view.chunks, Duration::from_secs(1)).unwrap();
    drop(view);
    hold.delete_chunk(id(1));
    expect_event(&mut watch, "the end", |event| *event == Event::LeaseEnded("short".to_string()));
    hold.wait_gone(id(1), PATIENCE).unwrap();
    assert_eq!(hold.list_chunks(), [id(2)], "what was not deleted stays");
}

#[test]
fn a_leased_chunk_that_is_wanted_again_after_a_restart_is_there_without_fetching() {
    let (world, hold) = with_two_chunks();
    let lease = hold.lease("query", "", &[hold.get_chunk(id(1)).unwrap()], HOUR).unwrap();
    hold.delete_chunk(id(1));
    hold.close();
    let hold = world.open();
    hold.download_chunk(world.chunk(1)).unwrap();
    let chunk = hold.wait_chunk(id(1), PATIENCE).unwrap();
    assert!(is_whole(chunk.path(), 1, &files()));
    assert_eq!(hold.totals().fetched_bytes, 0);
    hold.release(&hold.renew(&lease, Duration::from_secs(5)).unwrap()).unwrap();
    assert!(chunk.path().exists());
}

#[test]
fn a_lease_is_broken_by_its_name_alone_and_its_holder_is_told() {
    let (_world, hold) = with_two_chunks();
    let lease = hold.lease("query", "the test", &[hold.get_chunk(id(1)).unwrap()], HOUR).unwrap();
    let again = hold.lease("query", "another", &[hold.get_chunk(id(2)).unwrap()], HOUR);
    assert_eq!(again.unwrap_err().kind(), ErrorKind::Conflict);
    hold.break_lease("query").unwrap();
    assert_eq!(hold.renew(&lease, HOUR).unwrap_err().kind(), ErrorKind::Missing);
    assert_eq!(hold.break_lease("query").unwrap_err().kind(), ErrorKind::Missing);
}

#[test]
fn what_is_no_lease_is_refused_before_anything_is_written() {
    let (world, hold) = with_two_chunks();
    let chunk = hold.get_chunk(id(1)).unwrap();
    let (other_world, other) = with_two_chunks();
    for (name, owner, chunks, lifetime, kind) in [
        ("../x", "", vec![chunk.clone()], HOUR, ErrorKind::Invalid),
        ("", "", vec![chunk.clone()], HOUR, ErrorKind::Invalid),
        ("x", "\n", vec![chunk.clone()], HOUR, ErrorKind::Invalid),
        ("x", "", vec![], HOUR, ErrorKind::Invalid),
        ("x", "", vec![chunk.clone()], Duration::ZERO, ErrorKind::Invalid),
        ("x", "", vec![chunk], HOUR * 24 * 31, ErrorKind::Invalid),
        ("x", "", vec![other.get_chunk(id(1)).unwrap()], HOUR, ErrorKind::Missing),
    ] {
        let error = hold.lease(name, owner, &chunks, lifetime).unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
    }
    assert_eq!(std::fs::read_dir(world.path().join("hold/.leases")).unwrap().count(), 0);
    drop(other_world);
}

#[test]
fn a_damaged_lease_keeps_all_files_of_its_directory_until_it_is_broken() {
    let (world, hold) = with_two_chunks();
    hold.lease("query", "the test", &[hold.get_chunk(id(1)).unwrap()], HOUR).unwrap();
    let path = hold.get_chunk(id(2)).unwrap().path().to_path_buf();
    hold.close();
    std::fs::write(world.path().join("hold/.leases/query.json"), [0xff; 1_000]).unwrap();
    let hold = world.open();
    assert!(hold.leases()[0].damage.is_some());
    hold.delete_chunk(id(2));
    hold.close();
    let hold = world.open();
    assert!(is_whole(&path, 2, &files()), "nobody knows which chunks the lease held");
    assert_eq!(hold.leases()[0].held_back_chunks, 1);
    hold.break_lease("query").unwrap();
    hold.wait_gone(id(2), PATIENCE).unwrap();
}
