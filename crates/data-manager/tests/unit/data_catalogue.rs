//! Tests of the catalogue as readers see it. A failure here means a find that waits for whoever changes it.
//! Refuses disks and tasks: the test is whoever has the lock.

use std::sync::mpsc;

use super::*;
use crate::chunk_ref::tests::{places, record};

#[test]
fn finds_do_not_wait_for_whoever_has_the_lock() {
    let bell = Arc::new(Bell::default());
    let (mut places, _) = places();
    let record = record(1, 0..10, 1);
    let ready = places.resident(&record).into_iter().collect();
    let found = Found { ready, ..Found::default() };
    let rooms = vec![Room::new("/data".into(), None, 1 << 40)];
    let catalogue = DataCatalogue::new((bell, places), rooms, found, (0, 4), Clock::system());
    std::thread::scope(|scope| {
        let (reply, answer) = mpsc::sync_channel(1);
        let held = catalogue.lock();
        let (catalogue, record) = (&catalogue, &record);
        scope.spawn(move || {
            let found = catalogue.find(&record.dataset_id, 5).map(|chunk| chunk.id());
            let view = catalogue.find_range(&record.dataset_id, 0..20);
            let covered = catalogue.snapshot().coverage(&record.dataset_id);
            reply.send((found, view.chunks.len(), view.gaps, covered)).unwrap();
        });
        let told = answer.recv_timeout(Duration::from_mins(1));
        drop(held);
        assert_eq!(
            told.expect("they wait"),
            (Some(record.id), 1, std::iter::once(10..20).collect(), std::iter::once(0..10).collect())
        );
    });
}
