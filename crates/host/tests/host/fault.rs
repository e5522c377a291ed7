//! The faults that can be planned on the simulated disk do exactly what they say.
//! It refuses power cuts of its own: those are in `crash`.

use std::io::ErrorKind;
use std::path::Path;

use host::File;
use host::sim::{Fault, SimDisk, Times};

use crate::tree::{bytes, content, put, tree};

const SEEDS: u64 = 100;

fn path(path: &str) -> &Path {
    Path::new(path)
}

#[test]
fn a_call_fails_once_or_for_ever_and_does_nothing() {
    for (fault, code) in
        [(Fault::Eio, "os error 5"), (Fault::Enospc, "os error 28"), (Fault::Emfile, "os error 24")]
    {
        let sim = SimDisk::new(1);
        let disk = sim.disk();
        sim.fail_call(2, fault, Times::Once);
        disk.create_dir(path("a")).unwrap();
        let error = disk.create_dir(path("b")).unwrap_err();
        assert!(error.to_string().contains(code), "{error}");
        disk.create_dir(path("c")).unwrap();
        sim.fail_call(sim.calls() + 1, fault, Times::Forever);
        for _ in 0..3 {
            assert!(disk.create_dir(path("d")).unwrap_err().to_string().contains(code));
        }
        sim.crash();
        assert!(!tree(&sim.disk()).contains_key(path("b")));
    }
}

#[test]
fn every_call_of_every_handle_is_counted() {
    let sim = SimDisk::new(1);
    let disk = sim.disk();
    let file = put(&disk, "file", b"1");
    assert_eq!(sim.calls(), 2);
    file.read_at(&mut [0], 0).unwrap();
    file.len().unwrap();
    file.sync().unwrap();
    file.evict().unwrap();
    disk.space().unwrap();
    drop(disk.lock(path("LOCK")).unwrap());
    disk.sync_all().unwrap();
    assert_eq!(sim.calls(), 9);
    disk.publish_file(path("published"), b"").unwrap();
    assert_eq!(sim.calls(), 14, "{:#?}", sim.trace());
    assert_eq!(sim.trace().len(), 14);
}

#[test]
fn a_machine_that_is_off_refuses_everything_until_the_crash() {
    let sim = SimDisk::new(1);
    let disk = sim.disk();
    sim.crash_at(2);
    disk.publish_dir(path("a"), path("b")).unwrap_err();
    for _ in 0..3 {
        let error = disk.space().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Other);
        assert!(error.to_string().ends_with("the machine is off"), "{error}");
    }
    sim.crash();
    sim.disk().space().unwrap();
}

#[test]
fn a_failed_file_sync_lies_afterwards() {
    for seed in 0..SEEDS {
        let sim = SimDisk::new(seed);
        let file = put(&sim.disk(), "file", b"11111111");
        file.sync().unwrap();
        sim.disk().sync_dir(path("")).unwrap();
        file.write_all_at(b"22", 2).unwrap();
        sim.fail_sync_next();
        assert!(file.sync().unwrap_err().to_string().contains("os error 5"));
        assert_eq!(content(&file), b"11221111", "the live image keeps the bytes");
        file.write_all_at(b"33", 5).unwrap();
        file.sync().unwrap();
        sim.crash();
        assert_eq!(
            bytes(&sim.disk(), "file"),
            b"11111111",
            "seed {seed}: what is in memory only stays there"
        );
    }
}

#[test]
fn what_a_failed_sync_has_left_in_memory_is_durable_when_it_was_written_again_past_it() {
    for seed in 0..SEEDS {
        let sim = SimDisk::new(seed);
        let file = put(&sim.disk(), "file", &[1; 8192]);
        file.sync().unwrap();
        sim.disk().sync_dir(path("")).unwrap();
        file.write_all_at(&[2; 4096], 2048).unwrap();
        sim.fail_sync_next();
        file.sync().unwrap_err();
        let mut block = [0; File::BLOCK_BYTES];
        file.read_exact_at(&mut block, 0).unwrap();
        file.rewrite_at(&block, 0).unwrap();
        file.sync().unwrap();
        sim.crash();
        let left = bytes(&sim.disk(), "file");
        assert_eq!((&left[..2048], &left[2048..4096]), (&[1; 2048][..], &[2; 2048][..]), "seed {seed}");
        assert_eq!(left[4096..], [1; 4096], "seed {seed}: the other block");
    }
}

#[test]
fn writing_past_memory_takes_out_of_it_what_a_failed_sync_has_left_beside() {
    let sim = SimDisk::new(1);
    let file = put(&sim.disk(), "file", &vec![1; 3 << 20]);
    file.sync().unwrap();
    file.write_all_at(&vec![2; 3 << 20], 0).unwrap();
    sim.fail_sync_next();
    file.sync().unwrap_err();
    file.rewrite_at(&[2; File::BLOCK_BYTES], 0).unwrap();
    let left = bytes(&sim.disk(), "file");
    assert!(left[..4096].iter().all(|&byte| byte == 2), "what was written again");
    assert!(left[4096..2 << 20].iter().all(|&byte| byte == 1), "its folio is read from the disk");
    assert!(left[2 << 20..].iter().all(|&byte| byte == 2), "the next one is still in memory");
}

#[test]
fn a_failed_directory_sync_loses_the_names_and_what_needs_them() {
    for seed in 0..SEEDS {
        let sim = SimDisk::new(seed);
        let disk = sim.disk();
        put(&disk, "lost", b"").sync().unwrap();
        sim.fail_sync_next();
        disk.sync_dir(path("")).unwrap_err();
        disk.sync_dir(path("")).unwrap();
        disk.rename(path("lost"), path("lost too")).unwrap();
        put(&disk, "fine", b"");
        disk.sync_dir(path("")).unwrap();
        disk.sync_all().unwrap();
        assert_eq!(tree(&disk).len(), 2);
        sim.crash();
        assert_eq!(tree(&sim.disk()).into_keys().collect::<Vec<_>>(), [path("fine")], "seed {seed}");
    }
}

#[test]
fn a_failed_sync_of_everything_loses_everything() {
    for seed in 0..SEEDS {
        let sim = SimDisk::new(seed);
        put(&sim.disk(), "file", b"1");
        sim.fail_call(sim.calls() + 1, Fault::Enospc, Times::Once);
        assert_eq!(sim.disk().sync_all().unwrap_err().kind(), ErrorKind::StorageFull);
        sim.disk().sync_all().unwrap();
        sim.crash();
        assert!(tree(&sim.disk()).is_empty(), "seed {seed}");
    }
}

#[test]
fn a_full_disk_refuses_writes_and_is_freed_by_the_last_handle() {
    let sim = SimDisk::new(1);
    let disk = sim.disk();
    sim.capacity(1000);
    let file = put(&disk, "file", &[1; 600]);
    let other = put(&disk, "other", &[2; 300]);
    assert_eq!((disk.space().unwrap().free, disk.space().unwrap().total), (100, 1000));
    for error in [other.write_all_at(&[2; 200], 300).unwrap_err(), other.preallocate(401).unwrap_err()] {
        assert_eq!(error.kind(), ErrorKind::StorageFull);
    }
    other.preallocate(400).unwrap();
    file.write_all_at(&[3; 600], 0).unwrap();
    file.set_len(5000).unwrap();
    assert_eq!(disk.space().unwrap().free, 0, "a length takes no room, and overwriting takes none again");
    disk.remove_file(path("file")).unwrap();
    assert_eq!(disk.space().unwrap().free, 0, "a handle still reads it");
    drop(file);
    assert_eq!(disk.space().unwrap().free, 600);
    other.set_len(100).unwrap();
    assert_eq!(disk.space().unwrap().free, 900);
    let replacing = put(&disk, "replacing", &[4; 800]);
    drop((replacing, other));
    disk.replace(path("replacing"), path("other")).unwrap();
    assert_eq!(disk.space().unwrap().free, 200);
    disk.sync_all().unwrap();
    sim.crash();
    assert_eq!(sim.disk().space().unwrap().free, 200, "the size of the disk outlives a crash");
}

#[test]
fn rot_flips_one_bit_for_good() {
    let sim = SimDisk::new(1);
    sim.disk().publish_file(path("file"), &[0; 5000]).unwrap();
    sim.rot(path("file"), 4500, 3).unwrap();
    let mut expected = vec![0; 5000];
    expected[4500] = 8;
    assert_eq!(bytes(&sim.disk(), "file"), expected);
    sim.crash();
    assert_eq!(bytes(&sim.disk(), "file"), expected);
    assert_eq!(sim.rot(path("file"), 5000, 0).unwrap_err().kind(), ErrorKind::InvalidInput);
    assert_eq!(sim.rot(path("nothing"), 0, 0).unwrap_err().kind(), ErrorKind::NotFound);
}

#[test]
fn threads_share_one_disk() {
    let sim = SimDisk::new(1);
    std::thread::scope(|scope| {
        for thread in 0..4_u8 {
            let disk = sim.disk();
            scope.spawn(move || {
                for round in 0..50 {
                    disk.publish_file(path("shared"), &[thread; 100]).unwrap();
                    disk.publish_file(path(&thread.to_string()), &[round]).unwrap();
                    let found = bytes(&disk, "shared");
                    assert!(found.windows(2).all(|pair| pair[0] == pair[1]), "a mixed file was seen");
                }
            });
        }
    });
    assert_eq!(tree(&sim.disk()).len(), 5);
}

#[test]
fn a_disk_that_fills_up_at_a_call_takes_what_lies_in_its_place_and_nothing_new() {
    let sim = SimDisk::new(7);
    let disk = sim.disk();
    let file = disk.create_file(Path::new("a")).unwrap();
    sim.full_from(sim.calls() + 2);
    file.write_all_at(b"12345678", 0).unwrap();
    let full = file.write_all_at(b"9", 8).unwrap_err();
    assert_eq!(full.kind(), ErrorKind::StorageFull);
    file.write_all_at(b"abcdefgh", 0).unwrap();
    sim.crash();
    let file = sim.disk().create_file(Path::new("b")).unwrap();
    assert_eq!(file.write_all_at(b"9", 0).unwrap_err().kind(), ErrorKind::StorageFull);
    sim.capacity(100);
    file.write_all_at(b"9", 0).unwrap();
}
