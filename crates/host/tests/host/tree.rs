//! A whole disk as one value, to compare disks before and after.
//! It refuses to judge: the tests do.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use host::{Disk, File, Kind};

/// Every path below the root, with the bytes of files; directories hold `None`.
pub(crate) type Tree = BTreeMap<PathBuf, Option<Vec<u8>>>;

pub(crate) fn tree(disk: &Disk) -> Tree {
    let mut tree = Tree::new();
    let mut dirs = vec![PathBuf::new()];
    while let Some(dir) = dirs.pop() {
        for entry in disk.list(&dir).unwrap() {
            let path = dir.join(entry.name);
            match entry.kind {
                Kind::Dir => {
                    dirs.push(path.clone());
                    tree.insert(path, None);
                }
                Kind::File => {
                    let bytes = bytes(disk, &path);
                    tree.insert(path, Some(bytes));
                }
                Kind::Other => panic!("{} is neither a file nor a directory", path.display()),
            }
        }
    }
    tree
}

/// The bytes of a file.
pub(crate) fn bytes(disk: &Disk, path: impl AsRef<Path>) -> Vec<u8> {
    content(&disk.open_file(path.as_ref()).unwrap())
}

pub(crate) fn content(file: &File) -> Vec<u8> {
    let mut bytes = vec![0; usize::try_from(file.len().unwrap()).unwrap()];
    file.read_exact_at(&mut bytes, 0).unwrap();
    bytes
}

/// A new file with these bytes, nothing of it synced.
pub(crate) fn put(disk: &Disk, path: impl AsRef<Path>, bytes: &[u8]) -> File {
    let file = disk.create_file(path.as_ref()).unwrap();
    file.write_all_at(bytes, 0).unwrap();
    file
}
