//! Tests of the catalogue as readers see it. A failure here means a find that waits for whoever changes it.
//! Refuses disks and tasks: the test is whoever has the lock.

use std::path::Path;
use std::sync::mpsc;

use super::*;

const ID: ChunkId = [3; 32];
const DATASET: DatasetId = [1; 32];

#[test]
fn finds_do_not_wait_for_whoever_has_the_lock() {
    let bell = Arc::new(Bell::default());
    let wake: Arc<dyn Wake> = Arc::<Bell>::clone(&bell);
    let mut places = Places::new(vec![Arc::from(Path::new("/data"))], wake);
    let record = Record {
        id: ID,
        dataset_id: DATASET,
        block_range: 0..10,
        bytes: 1,
        names: "a.parquet".into(),
        dir: 0,
        sequence: 1,
        foreign_path: None,
    };
    let ready = places.resident(&record).into_iter().collect();
    let found = Found { ready, ..Found::default() };
    let rooms = vec![Room::new("/data".into(), None, 1 << 40)];
    let catalogue = DataCatalogue::new((bell, places), rooms, found, (0, 4), Clock::system());
    std::thread::scope(|scope| {
        let (reply, answer) = mpsc::sync_channel(1);
        let held = catalogue.lock();
        let catalogue = &catalogue;
        scope.spawn(move || {
            let found = catalogue.find(&DATASET, 5).map(|chunk| chunk.id());
            let view = catalogue.find_range(&DATASET, 0..20);
            let covered = catalogue.snapshot().coverage(&DATASET);
            reply.send((found, view.chunks.len(), view.gaps, covered)).unwrap();
        });
        let told = answer.recv_timeout(Duration::from_mins(1));
        drop(held);
        assert_eq!(
            told.expect("they wait"),
            (Some(ID), 1, std::iter::once(10..20).collect(), std::iter::once(0..10).collect())
        );
    });
}
