//! What every disk does, asked of the real one and of the simulated one: a test fails on the one that differs.
//! It refuses what only one of them has: links and processes are in `real`, faults in `fault` and `crash`.

use std::io::ErrorKind;
use std::path::Path;

use host::sim::SimDisk;
use host::{Blocks, Disk, Entry, File, Kind, LockError, is_unpublished};

use crate::tree::{bytes, content, put, tree};

/// Each behaviour becomes two tests.
macro_rules! on_both_disks {
    ($($behaviour:ident)*) => {
        mod real_disk {
            $(#[test] fn $behaviour() {
                let root = tempfile::tempdir().unwrap();
                super::$behaviour(&host::Disk::open(root.path()).unwrap());
            })*
        }
        mod sim_disk {
            $(#[test] fn $behaviour() { super::$behaviour(&super::SimDisk::new(1).disk()); })*
        }
    };
}

on_both_disks! {
    a_listing_is_sorted_and_tells_the_kinds
    a_path_that_leaves_the_root_is_refused_by_every_operation
    the_root_is_never_made_moved_or_removed
    a_file_is_read_where_it_was_written
    a_file_grows_with_zeros_and_is_cut
    a_preallocated_file_is_never_cut
    gathered_bytes_come_to_their_place_wherever_in_a_block_that_is
    blocks_are_read_as_they_were_written_up_to_the_end_of_the_file
    blocks_that_are_written_again_are_as_they_were_and_the_file_goes_on
    a_file_opened_to_read_is_not_written
    a_handle_outlives_the_name_of_its_file
    only_a_regular_file_is_opened
    a_rename_never_replaces
    a_directory_moves_with_its_content
    a_directory_does_not_move_below_itself
    replacing_puts_a_file_over_a_file_only
    a_tree_is_removed_whole
    a_tree_that_is_too_deep_is_refused
    a_published_file_replaces_the_old_one_and_leaves_nothing_beside_it
    a_file_is_published_past_the_leftovers_of_crashes
    a_published_directory_never_replaces
    making_directories_twice_is_fine_but_not_over_a_file
    a_second_lock_names_the_process_and_a_dropped_one_is_free
    an_error_names_what_was_tried_and_where
    there_is_space
}

fn kind_of<T>(result: std::io::Result<T>) -> Option<ErrorKind> {
    result.err().map(|error| error.kind())
}

fn path(path: &str) -> &Path {
    Path::new(path)
}

fn a_listing_is_sorted_and_tells_the_kinds(disk: &Disk) {
    for name in ["b", "a", "C"] {
        put(disk, name, b"");
    }
    disk.create_dir(path("aa")).unwrap();
    let entry = |name: &str, kind| Entry { name: name.into(), kind };
    let expected =
        vec![entry("C", Kind::File), entry("a", Kind::File), entry("aa", Kind::Dir), entry("b", Kind::File)];
    assert_eq!(disk.list(path("")).unwrap(), expected);
    assert_eq!(disk.list(path(".")).unwrap(), expected);
    assert_eq!(disk.list(path("aa")).unwrap(), []);
}

fn a_path_that_leaves_the_root_is_refused_by_every_operation(disk: &Disk) {
    put(disk, "file", b"");
    disk.create_dir(path("dir")).unwrap();
    for bad in ["..", "dir/..", "dir/../file", "/", "/etc", "zero\0byte"] {
        let bad = path(bad);
        let refused = Some(ErrorKind::InvalidInput);
        assert_eq!(kind_of(disk.create_dir(bad)), refused);
        assert_eq!(kind_of(disk.create_dir_all(bad)), refused);
        assert_eq!(kind_of(disk.list(bad)), refused);
        assert_eq!(kind_of(disk.stat(bad)), refused);
        assert_eq!(kind_of(disk.open_file(bad)), refused);
        assert_eq!(kind_of(disk.create_file(bad)), refused);
        assert_eq!(kind_of(disk.edit_file(bad)), refused);
        assert_eq!(kind_of(disk.rename(bad, path("new"))), refused);
        assert_eq!(kind_of(disk.rename(path("file"), bad)), refused);
        assert_eq!(kind_of(disk.replace(bad, path("file"))), refused);
        assert_eq!(kind_of(disk.replace(path("file"), bad)), refused);
        assert_eq!(kind_of(disk.remove_file(bad)), refused);
        assert_eq!(kind_of(disk.remove_dir(bad)), refused);
        assert_eq!(kind_of(disk.remove_tree(bad)), refused);
        assert_eq!(kind_of(disk.sync_dir(bad)), refused);
        assert_eq!(kind_of(disk.publish_file(bad, b"")), refused);
        assert_eq!(kind_of(disk.publish_dir(bad, path("new"))), refused);
        assert_eq!(kind_of(disk.publish_dir(path("dir"), bad)), refused);
        assert!(
            matches!(disk.lock(bad), Err(LockError::Io(error)) if error.kind() == ErrorKind::InvalidInput)
        );
    }
}

fn the_root_is_never_made_moved_or_removed(disk: &Disk) {
    put(disk, "file", b"");
    let (root, refused) = (path("."), Some(ErrorKind::InvalidInput));
    assert_eq!(kind_of(disk.create_dir(root)), refused);
    assert_eq!(kind_of(disk.create_file(root)), refused);
    assert_eq!(kind_of(disk.rename(root, path("new"))), refused);
    assert_eq!(kind_of(disk.rename(path("file"), root)), refused);
    assert_eq!(kind_of(disk.remove_file(root)), refused);
    assert_eq!(kind_of(disk.remove_dir(root)), refused);
    assert_eq!(kind_of(disk.remove_tree(root)), refused);
    assert_eq!(kind_of(disk.publish_file(root, b"")), refused);
    assert_eq!(disk.stat(root).unwrap().kind, Kind::Dir);
    disk.create_dir_all(root).unwrap();
    disk.sync_dir(root).unwrap();
    disk.sync_all().unwrap();
    assert_eq!(bytes(disk, "file"), b"");
}

fn a_file_is_read_where_it_was_written(disk: &Disk) {
    let file = put(disk, "file", b"0123456789");
    file.write_all_at(b"ab", 4).unwrap();
    file.write_all_at(b"", 1000).unwrap();
    let mut four = [0; 4];
    assert_eq!(file.read_at(&mut four, 3).unwrap(), 4);
    assert_eq!(&four, b"3ab6");
    assert_eq!(file.read_at(&mut four, 8).unwrap(), 2);
    assert_eq!(&four[..2], b"89");
    assert_eq!(file.read_at(&mut four, 10).unwrap(), 0);
    assert_eq!(file.read_at(&mut four, 1 << 40).unwrap(), 0);
    assert_eq!(kind_of(file.read_exact_at(&mut four, 8)), Some(ErrorKind::UnexpectedEof));
    assert_eq!(file.len().unwrap(), 10);
    file.sync().unwrap();
    file.evict().unwrap();
    assert_eq!(content(&file), b"0123ab6789");
}

fn a_file_grows_with_zeros_and_is_cut(disk: &Disk) {
    let file = put(disk, "file", b"12345");
    file.set_len(3).unwrap();
    file.set_len(6).unwrap();
    assert_eq!(content(&file), b"123\0\0\0");
    file.write_all_at(b"x", 8).unwrap();
    assert_eq!(content(&file), b"123\0\0\0\0\0x");
    // Across the pages of the simulation, and back into the middle of one.
    file.write_all_at(&[7; 9000], 4000).unwrap();
    file.set_len(8200).unwrap();
    file.set_len(20_000).unwrap();
    let bytes = content(&file);
    assert!(bytes[9..4000].iter().all(|&byte| byte == 0));
    assert!(bytes[4000..8200].iter().all(|&byte| byte == 7));
    assert!(bytes[8200..].iter().all(|&byte| byte == 0));
    assert_eq!(disk.stat(path("file")).unwrap().len, 20_000);
    assert_eq!(kind_of(file.set_len(u64::MAX)), Some(ErrorKind::InvalidInput));
    assert_eq!(kind_of(file.write_all_at(b"x", u64::MAX)), Some(ErrorKind::InvalidInput));
}

fn a_preallocated_file_is_never_cut(disk: &Disk) {
    let file = put(disk, "file", b"12345");
    file.preallocate(0).unwrap();
    file.preallocate(3).unwrap();
    assert_eq!(content(&file), b"12345");
    file.preallocate(7).unwrap();
    assert_eq!(content(&file), b"12345\0\0");
}

fn gathered_bytes_come_to_their_place_wherever_in_a_block_that_is(disk: &Disk) {
    const BLOCK: usize = File::BLOCK_BYTES;
    for (offset, len) in [
        (0, 3 * BLOCK),
        (BLOCK, 2 * BLOCK),
        (BLOCK, 2 * BLOCK + 7),
        (BLOCK + 5, 3),
        (BLOCK - 5, BLOCK + 10),
        (3 * BLOCK - 1, 1),
        (1, 3 * BLOCK),
        (7, 0),
        (4 * BLOCK, BLOCK + 1),
    ] {
        let file = put(disk, format!("{offset}-{len}"), &[7; 4 * BLOCK]);
        let mut wanted = vec![7; 4 * BLOCK];
        let gathered: Vec<u8> = (0..len).map(|at| u8::try_from(at % 251).unwrap()).collect();
        let mut blocks = Blocks::new(len, offset as u64);
        let mut rest = gathered.as_slice();
        while !rest.is_empty() {
            rest = &rest[blocks.take(&rest[..rest.len().min(1_000)])..];
            if blocks.is_full() {
                file.write_blocks(&blocks).unwrap();
                blocks.restart(blocks.offset() + blocks.len() as u64);
            }
        }
        // What memory has of the bytes around must not come over them, nor they over it.
        file.write_blocks(&blocks).unwrap();
        file.write_all_at(&[9], 2).unwrap();
        wanted.resize(wanted.len().max(offset + len), 0);
        wanted[offset..offset + len].copy_from_slice(&gathered);
        wanted[2] = 9;
        assert_eq!(content(&file), wanted, "{len} bytes at {offset}");
    }
}

fn blocks_are_read_as_they_were_written_up_to_the_end_of_the_file(disk: &Disk) {
    const BLOCK: usize = File::BLOCK_BYTES;
    let wanted: Vec<u8> = (0..3 * BLOCK + 100).map(|at| u8::try_from(at % 251).unwrap()).collect();
    put(disk, "file", &wanted);
    let file = disk.open_file(path("file")).unwrap();
    for (offset, len, read_to) in [
        (0, BLOCK, BLOCK),
        (BLOCK, 2 * BLOCK, 3 * BLOCK),
        (0, 4 * BLOCK, 3 * BLOCK + 100),
        (3 * BLOCK, 100, 3 * BLOCK + 100),
        (BLOCK + 7, 1, 2 * BLOCK),
        (3 * BLOCK + 100, 1, 3 * BLOCK + 100),
    ] {
        let mut blocks = Blocks::new(len, offset as u64);
        file.read_blocks(&mut blocks).unwrap();
        assert!(blocks.bytes() == &wanted[offset..read_to], "{len} bytes at {offset}");
    }
    let mut behind = Blocks::new(1, 5 * BLOCK as u64);
    file.read_blocks(&mut behind).unwrap();
    assert!(behind.is_empty());
}

fn blocks_that_are_written_again_are_as_they_were_and_the_file_goes_on(disk: &Disk) {
    let file = put(disk, "file", &[7; 3 * File::BLOCK_BYTES]);
    file.rewrite_at(&[8; 2 * File::BLOCK_BYTES], File::BLOCK_BYTES as u64).unwrap();
    assert_eq!(content(&file)[..File::BLOCK_BYTES], [7; File::BLOCK_BYTES]);
    assert_eq!(content(&file)[File::BLOCK_BYTES..], [8; 2 * File::BLOCK_BYTES]);
    // The handle writes any bytes as before, and so do those that are no blocks.
    file.write_all_at(b"1", 1).unwrap();
    file.rewrite_at(b"23", 2).unwrap();
    assert_eq!(content(&file)[..5], [7, b'1', b'2', b'3', 7]);
}

fn a_file_opened_to_read_is_not_written(disk: &Disk) {
    put(disk, "file", b"old");
    let file = disk.open_file(path("file")).unwrap();
    assert!(file.write_all_at(b"new", 0).is_err());
    assert!(file.set_len(0).is_err());
    assert!(file.preallocate(10).is_err());
    let mut blocks = Blocks::new(File::BLOCK_BYTES, 0);
    blocks.take(&[1; File::BLOCK_BYTES]);
    assert!(file.write_blocks(&blocks).is_err());
    assert_eq!(content(&file), b"old");
    disk.edit_file(path("file")).unwrap().write_all_at(b"new", 0).unwrap();
    assert_eq!(content(&file), b"new");
}

fn a_handle_outlives_the_name_of_its_file(disk: &Disk) {
    let file = put(disk, "file", b"kept");
    disk.remove_file(path("file")).unwrap();
    disk.sync_dir(path("")).unwrap();
    put(disk, "file", b"another");
    assert_eq!(content(&file), b"kept");
    file.write_all_at(b"K", 0).unwrap();
    assert_eq!(content(&file.clone()), b"Kept");
    assert_eq!(bytes(disk, "file"), b"another");
}

fn only_a_regular_file_is_opened(disk: &Disk) {
    disk.create_dir(path("dir")).unwrap();
    put(disk, "file", b"");
    for open in [Disk::open_file, Disk::edit_file] {
        assert_eq!(kind_of(open(disk, path("dir"))), Some(ErrorKind::IsADirectory));
        assert_eq!(kind_of(open(disk, path("file/below"))), Some(ErrorKind::NotADirectory));
        assert_eq!(kind_of(open(disk, path("nothing"))), Some(ErrorKind::NotFound));
    }
    assert_eq!(kind_of(disk.create_file(path("file"))), Some(ErrorKind::AlreadyExists));
    assert_eq!(kind_of(disk.create_file(path("dir"))), Some(ErrorKind::AlreadyExists));
    assert_eq!(kind_of(disk.create_file(path(&"n".repeat(256)))), Some(ErrorKind::InvalidFilename));
}

fn a_rename_never_replaces(disk: &Disk) {
    put(disk, "file", b"1");
    put(disk, "other", b"2");
    disk.create_dir(path("empty")).unwrap();
    disk.create_dir(path("dir")).unwrap();
    for (from, to) in
        [("file", "other"), ("file", "empty"), ("dir", "empty"), ("dir", "file"), ("file", "file")]
    {
        assert_eq!(kind_of(disk.rename(path(from), path(to))), Some(ErrorKind::AlreadyExists), "{from} {to}");
    }
    assert_eq!(kind_of(disk.rename(path("nothing"), path("new"))), Some(ErrorKind::NotFound));
    assert_eq!(kind_of(disk.rename(path("file"), path("no/new"))), Some(ErrorKind::NotFound));
    disk.rename(path("file"), path("dir/moved")).unwrap();
    assert_eq!(bytes(disk, "dir/moved"), b"1");
    assert_eq!(kind_of(disk.stat(path("file"))), Some(ErrorKind::NotFound));
}

fn a_directory_moves_with_its_content(disk: &Disk) {
    disk.create_dir_all(path("a/b/c")).unwrap();
    let file = put(disk, "a/b/c/file", b"1");
    disk.create_dir(path("z")).unwrap();
    disk.rename(path("a/b"), path("z/moved")).unwrap();
    assert_eq!(bytes(disk, "z/moved/c/file"), b"1");
    assert_eq!(disk.list(path("a")).unwrap(), []);
    file.write_all_at(b"2", 0).unwrap();
    assert_eq!(bytes(disk, "z/moved/c/file"), b"2");
}

fn a_directory_does_not_move_below_itself(disk: &Disk) {
    disk.create_dir_all(path("a/b")).unwrap();
    assert_eq!(kind_of(disk.rename(path("a"), path("a/b/a"))), Some(ErrorKind::InvalidInput));
    assert_eq!(kind_of(disk.rename(path("a"), path("a/a"))), Some(ErrorKind::InvalidInput));
    assert_eq!(tree(disk).len(), 2);
}

fn replacing_puts_a_file_over_a_file_only(disk: &Disk) {
    put(disk, "new", b"new");
    put(disk, "old", b"old");
    disk.create_dir(path("dir")).unwrap();
    let reader = disk.open_file(path("old")).unwrap();
    assert_eq!(kind_of(disk.replace(path("new"), path("dir"))), Some(ErrorKind::IsADirectory));
    assert_eq!(kind_of(disk.replace(path("dir"), path("old"))), Some(ErrorKind::IsADirectory));
    assert_eq!(kind_of(disk.replace(path("dir"), path("nothing"))), Some(ErrorKind::IsADirectory));
    assert_eq!(kind_of(disk.replace(path("nothing"), path("old"))), Some(ErrorKind::NotFound));
    disk.replace(path("old"), path("old")).unwrap();
    disk.replace(path("new"), path("old")).unwrap();
    assert_eq!(bytes(disk, "old"), b"new");
    assert_eq!(content(&reader), b"old");
    disk.replace(path("old"), path("dir/first")).unwrap();
    assert_eq!(bytes(disk, "dir/first"), b"new");
    assert_eq!(disk.list(path("")).unwrap().len(), 1);
}

fn a_tree_is_removed_whole(disk: &Disk) {
    disk.create_dir_all(path("a/b/c")).unwrap();
    disk.create_dir_all(path("a/d")).unwrap();
    put(disk, "a/b/c/file", b"");
    put(disk, "a/file", b"");
    put(disk, "beside", b"");
    assert_eq!(kind_of(disk.remove_dir(path("a"))), Some(ErrorKind::DirectoryNotEmpty));
    assert_eq!(kind_of(disk.remove_dir(path("beside"))), Some(ErrorKind::NotADirectory));
    assert_eq!(kind_of(disk.remove_file(path("a/d"))), Some(ErrorKind::IsADirectory));
    disk.remove_tree(path("a")).unwrap();
    assert_eq!(disk.list(path("")).unwrap().len(), 1);
    assert_eq!(kind_of(disk.remove_tree(path("a"))), Some(ErrorKind::NotFound));
    disk.remove_tree(path("beside")).unwrap();
    assert_eq!(disk.list(path("")).unwrap(), []);
}

fn a_tree_that_is_too_deep_is_refused(disk: &Disk) {
    let deep = ["d"; 100].join("/");
    for (end, _) in deep.match_indices('/') {
        disk.create_dir(path(&deep[..end])).unwrap();
    }
    assert_eq!(kind_of(disk.remove_tree(path("d"))), Some(ErrorKind::InvalidInput));
    // It can still be removed from the depth upwards.
    disk.remove_tree(path(&deep[..=deep.len() / 2])).unwrap();
    disk.remove_tree(path("d")).unwrap();
    assert_eq!(disk.list(path("")).unwrap(), []);
}

fn a_published_file_replaces_the_old_one_and_leaves_nothing_beside_it(disk: &Disk) {
    disk.create_dir(path("dir")).unwrap();
    for published in [&b"first"[..], b"", b"third"] {
        disk.publish_file(path("dir/file"), published).unwrap();
        assert_eq!(bytes(disk, "dir/file"), published);
        assert_eq!(disk.list(path("dir")).unwrap().len(), 1);
    }
    assert_eq!(kind_of(disk.publish_file(path("dir"), b"")), Some(ErrorKind::IsADirectory));
    assert_eq!(kind_of(disk.publish_file(path("no/file"), b"")), Some(ErrorKind::NotFound));
    assert_eq!(disk.list(path("")).unwrap().len(), 1);
}

fn a_file_is_published_past_the_leftovers_of_crashes(disk: &Disk) {
    for number in 0..3 {
        put(disk, format!(".unpublished-{number}"), b"left");
    }
    disk.publish_file(path("file"), b"new").unwrap();
    assert_eq!(bytes(disk, "file"), b"new");
    let leftovers = disk.list(path("")).unwrap().iter().filter(|entry| is_unpublished(&entry.name)).count();
    assert_eq!(leftovers, 3);
}

fn a_published_directory_never_replaces(disk: &Disk) {
    disk.create_dir_all(path(".staging/one")).unwrap();
    disk.create_dir_all(path("shelf")).unwrap();
    put(disk, ".staging/one/file", b"1").sync().unwrap();
    disk.publish_dir(path(".staging/one"), path("shelf/one")).unwrap();
    assert_eq!(bytes(disk, "shelf/one/file"), b"1");
    disk.create_dir(path(".staging/one")).unwrap();
    let again = disk.publish_dir(path(".staging/one"), path("shelf/one"));
    assert_eq!(kind_of(again), Some(ErrorKind::AlreadyExists));
    assert_eq!(bytes(disk, "shelf/one/file"), b"1");
    assert_eq!(kind_of(disk.publish_dir(path("no"), path("shelf/no"))), Some(ErrorKind::NotFound));
}

fn making_directories_twice_is_fine_but_not_over_a_file(disk: &Disk) {
    disk.create_dir_all(path("a/b/c")).unwrap();
    disk.create_dir_all(path("a/b/c")).unwrap();
    disk.create_dir_all(path("a/b/d")).unwrap();
    assert_eq!(kind_of(disk.create_dir(path("a/b"))), Some(ErrorKind::AlreadyExists));
    put(disk, "a/file", b"");
    assert_eq!(kind_of(disk.create_dir_all(path("a/file"))), Some(ErrorKind::AlreadyExists));
    assert_eq!(kind_of(disk.create_dir_all(path("a/file/below"))), Some(ErrorKind::AlreadyExists));
    assert_eq!(tree(disk).len(), 5);
}

fn a_second_lock_names_the_process_and_a_dropped_one_is_free(disk: &Disk) {
    let lock = disk.lock(path("LOCK")).unwrap();
    let refused = disk.lock(path("LOCK")).unwrap_err();
    assert!(matches!(refused, LockError::Held { pid: Some(pid) } if pid == std::process::id()), "{refused}");
    drop(disk.lock(path("OTHER")).unwrap());
    drop(lock);
    drop(disk.lock(path("LOCK")).unwrap());
    assert_eq!(disk.stat(path("LOCK")).unwrap().kind, Kind::File);
    disk.create_dir(path("dir")).unwrap();
    for (bad, kind) in [("dir", ErrorKind::IsADirectory), ("no/LOCK", ErrorKind::NotFound)] {
        assert!(matches!(disk.lock(path(bad)), Err(LockError::Io(error)) if error.kind() == kind), "{bad}");
    }
}

fn an_error_names_what_was_tried_and_where(disk: &Disk) {
    let root = disk.root().display();
    let error = disk.open_file(path("a/./b")).unwrap_err();
    assert_eq!(error.to_string(), format!("open {root}/a/b: No such file or directory (os error 2)"));
    let error = disk.rename(path("a"), path("b")).unwrap_err();
    assert_eq!(
        error.to_string(),
        format!("rename {root}/a to {root}/b: No such file or directory (os error 2)")
    );
    let file = put(disk, "file", b"12");
    let error = file.read_exact_at(&mut [0; 3], 0).unwrap_err();
    assert_eq!(error.to_string(), format!("read {root}/file: the file ends before 3 bytes from 0"));
}

fn there_is_space(disk: &Disk) {
    let space = disk.space().unwrap();
    assert!(space.free > 0 && space.free <= space.total, "{space:?}");
}
