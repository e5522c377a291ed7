//! The worked example of docs/formats/log-1.md is what the code writes, byte for byte.
//! Refuses a copy of the bytes: they are read from the page.

use std::path::{Path, PathBuf};

use super::support::{Found, Image, Item, disk_of, image_of, log_of, read_all, reopen};
use crate::parameters::{METADATA, Parameters};

const PAGE: &str = include_str!("../../../../docs/formats/log-1.md");

/// The files of the example: a line that begins with a path in backticks, and a block of hex behind it.
fn example() -> Image {
    let mut image = Image::new();
    let mut path: Option<PathBuf> = None;
    for line in PAGE.split_once("## 8.").unwrap().1.lines() {
        if let Some(name) = line.strip_prefix('`').filter(|_| !line.starts_with("``")) {
            path = Some(PathBuf::from(name.split_once('`').unwrap().0));
        } else if let Some((offset, hex)) = line.split_once("  ") {
            let bytes = image.entry(path.clone().unwrap()).or_default();
            assert_eq!(usize::from_str_radix(offset, 16).unwrap(), bytes.len(), "{line}");
            bytes.extend(hex.split(' ').map(|byte| u8::from_str_radix(byte, 16).unwrap()));
        }
    }
    image
}

fn items() -> Vec<Item> {
    [(7, "hello"), (7, ""), (300, "a longer record than a block")]
        .map(|(type_no, text)| (type_no, text.as_bytes().to_vec()))
        .into()
}

#[test]
fn the_example_of_the_page_is_what_is_written_and_read() {
    let mut files = example();
    let metadata = files.remove(Path::new(METADATA)).unwrap();
    let parameters = Parameters::decode(&metadata).unwrap();
    assert_eq!(parameters.encode().as_slice(), metadata);
    assert_eq!(files.len(), 4);
    assert_eq!(image_of(&log_of(&parameters, &items()).disk()), files);

    let opened = reopen(&disk_of(&files), &parameters, 3);
    assert!(opened.recovery.is_clean());
    let found: Vec<Found> = read_all(&opened.shelf).into_iter().map(|(_, found)| found).collect();
    assert_eq!(found, items().into_iter().map(Found::Record).collect::<Vec<Found>>());
}
