//! Payloads as the original program stored them: strings in Ruby's Marshal format 4.8.
//! Refuses to interpret any other object: what is not a string stays the bytes that it is.

/// The version of Marshal that every Ruby since 1.8 writes.
const VERSION: [u8; 2] = [4, 8];

/// Whether bytes look like an object at all.
pub(crate) fn is_object(document: &[u8]) -> bool {
    document.starts_with(&VERSION)
}

/// The string in a Marshal document: `"` for a string of bytes, `I"` for one that names its encoding behind it.
///
/// `None` for other objects, and for documents that end too early or too late.
pub(crate) fn string_in(document: &[u8]) -> Option<&[u8]> {
    let object = document.strip_prefix(&VERSION)?;
    if let Some(string) = object.strip_prefix(b"\"") {
        let (bytes, rest) = sequence(string)?;
        return rest.is_empty().then_some(bytes);
    }
    let (bytes, variables) = sequence(object.strip_prefix(b"I\"")?)?;
    is_encoding(variables)?.then_some(bytes)
}

/// The one variable that a string carries: `E` true or false, or `encoding` and a name.
fn is_encoding(variables: &[u8]) -> Option<bool> {
    let (count, rest) = integer(variables)?;
    let (symbol, value) = sequence(rest.strip_prefix(b":")?)?;
    Some(
        count == 1
            && match symbol {
                b"E" => value == b"T" || value == b"F",
                b"encoding" => sequence(value.strip_prefix(b"\"")?)?.1.is_empty(),
                _ => false,
            },
    )
}

/// A length and as many bytes; returns them and what follows.
fn sequence(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (len, rest) = integer(bytes)?;
    rest.split_at_checked(len)
}

/// Marshal's integer, where it is not negative: 0, 1 to 122 in one byte, or up to four bytes behind their number.
fn integer(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let (head, rest) = bytes.split_first()?;
    match head {
        0 => Some((0, rest)),
        1..=4 => {
            let (digits, rest) = rest.split_at_checked(usize::from(*head))?;
            let mut wide = [0; 4];
            wide.get_mut(..digits.len())?.copy_from_slice(digits);
            Some((u32::from_le_bytes(wide) as usize, rest))
        }
        6..=127 => Some((usize::from(*head).checked_sub(5)?, rest)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What Ruby 3.1 writes.
    #[test]
    fn strings_of_every_encoding_are_read() {
        let documents: [(&[u8], &[u8]); 6] = [
            (b"\x04\x08\"\x0ahello", b"hello"),
            (b"\x04\x08I\"\x0ahello\x06:\x06ET", b"hello"),
            (b"\x04\x08I\"\x0ahello\x06:\x06EF", b"hello"),
            (b"\x04\x08I\"\x0ahello\x06:\x0dencoding\"\x0eShift_JIS", b"hello"),
            (b"\x04\x08\"\x00", b""),
            (b"\x04\x08I\"\x00\x06:\x06ET", b""),
        ];
        for (document, string) in documents {
            assert_eq!(string_in(document), Some(string), "{document:?}");
        }
    }

    #[test]
    fn lengths_of_every_width_are_read() {
        for (len, head) in [
            (122usize, b"\x7f".as_slice()),
            (123, b"\x01\x7b"),
            (255, b"\x01\xff"),
            (256, b"\x02\x00\x01"),
            (65_536, b"\x03\x00\x00\x01"),
            (1 << 24, b"\x04\x00\x00\x00\x01"),
        ] {
            let document = [b"\x04\x08\"", head, &vec![7; len]].concat();
            assert_eq!(string_in(&document), Some(vec![7; len].as_slice()), "{len}");
        }
    }

    #[test]
    fn what_is_no_string_is_refused() {
        let documents: [&[u8]; 9] = [
            b"",
            b"\x04",
            b"\x04\x08",
            b"\x04\x08i\x06",
            b"\x04\x09\"\x06a",
            b"\x04\x08\"\x07a",
            b"\x04\x08\"\x06ab",
            b"\x04\x08\"\xfaa",
            b"\x04\x08I\"\x06a\x07:\x06ET:\x06xT",
        ];
        for document in documents {
            assert_eq!(string_in(document), None, "{document:?}");
        }
    }

    #[test]
    fn a_hostile_length_is_no_string() {
        for head in
            [b"\x04\xff\xff\xff\xff".as_slice(), b"\x04\xff\xff\xff\x7f", b"\x04\xff", b"\x05", b"\x80"]
        {
            assert_eq!(string_in(&[b"\x04\x08\"", head, b"abc"].concat()), None, "{head:?}");
        }
    }

    #[test]
    fn any_bytes_are_survived() {
        let mut seed = 1u64;
        for _ in 0..20_000 {
            let mut document = vec![4, 8, b'I', b'"'];
            for _ in 0..seed % 20 {
                seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                document.push(seed.to_be_bytes()[0]);
            }
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(3);
            let start = usize::from(seed.to_be_bytes()[1]) % document.len();
            string_in(&document[start..]);
            string_in(&document);
        }
    }
}
