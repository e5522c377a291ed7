//! The reader's bounds: each reference and length that leaves the buffer is an error of its own.
//! Refuses real formats; see `assignment`.

use super::*;

/// A root table with one field in slot 0, whose offset leads to `len` and then `body`.
fn with_vector(len: u32, body: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    bytes.extend(10u32.to_le_bytes());
    // The field list: 6 bytes, a table of 8 bytes, the field 4 bytes into it.
    bytes.extend([6, 0, 8, 0, 4, 0]);
    // The table: its field list lies 6 bytes before it, its field leads 4 bytes further.
    bytes.extend(6i32.to_le_bytes());
    bytes.extend(4u32.to_le_bytes());
    bytes.extend(len.to_le_bytes());
    bytes.extend(body);
    bytes
}

fn text_of(bytes: &[u8]) -> Read<Option<&str>> {
    root(bytes)?.text(0, 100)
}

#[test]
fn a_text_is_read_and_an_absent_field_is_none() {
    let bytes = with_vector(3, b"abc");
    assert_eq!(text_of(&bytes), Ok(Some("abc")));
    assert_eq!(root(&bytes).unwrap().text(1, 100), Ok(None));
}

#[test]
fn a_length_beyond_the_end_is_an_error_and_no_shorter_text() {
    for len in [4, 100, u32::MAX] {
        let problem = text_of(&with_vector(len, b"abc")).unwrap_err();
        assert!(problem.contains(&format!("says {len} elements")), "{problem}");
    }
    // Two bytes are one 16-bit number and half a reference.
    let bytes = with_vector(1, &[7, 0]);
    assert_eq!(root(&bytes).unwrap().numbers(0).unwrap().unwrap().iter_numbers().collect::<Vec<_>>(), [7]);
    assert!(root(&bytes).unwrap().tables(0).unwrap_err().contains("says 1 elements"));
}

#[test]
fn a_text_that_is_too_long_or_not_utf_8_is_an_error() {
    assert!(root(&with_vector(3, b"abc")).unwrap().text(0, 2).unwrap_err().contains("longer than 2 bytes"));
    assert!(text_of(&with_vector(2, &[0xc3, 0x28])).unwrap_err().contains("not UTF-8"));
}

#[test]
fn a_reference_that_leads_nowhere_is_an_error() {
    for target in [0, 22, 23, u32::MAX] {
        let mut bytes = with_vector(0, &[]);
        assert_eq!(bytes.len(), 22);
        bytes[..4].copy_from_slice(&target.to_le_bytes());
        let problem = root(&bytes).unwrap_err();
        assert!(problem.contains("the reference at byte 0 points outside"), "{target}: {problem}");
    }
}

#[test]
fn a_field_list_outside_the_buffer_is_an_error() {
    for offset in [11i32, -100, i32::MIN, i32::MAX] {
        let mut bytes = with_vector(0, &[]);
        bytes[10..14].copy_from_slice(&offset.to_le_bytes());
        assert!(root(&bytes).is_err(), "{offset}");
    }
    for len in [0u8, 3, 5, 200] {
        let mut bytes = with_vector(0, &[]);
        bytes[4] = len;
        assert!(root(&bytes).unwrap_err().contains("impossible length"), "{len}");
    }
}
