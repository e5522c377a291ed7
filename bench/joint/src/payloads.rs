//! Payloads as a chain's transactions have them: JSON of about 400 bytes, of which half does not compress.
//! Refuses to be random: the same number makes the same payload.

use std::fmt::Write;

/// The columns of a typed table of them: name, type in a plan.
pub(crate) const COLUMNS: [(&str, &str); 8] = [
    ("hash", "utf8"),
    ("sender", "utf8"),
    ("receiver", "utf8"),
    ("input", "utf8"),
    ("amount", "u64"),
    ("gas", "i64"),
    ("price", "f64"),
    ("is_good", "bool"),
];

/// Random bits that depend on a number.
pub(crate) fn mixed(number: u64) -> u64 {
    let mut word = number.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    word = (word ^ word >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    word = (word ^ word >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    word ^ word >> 31
}

/// The payload of the block with this number, which is the record with the next one. Both are in it for the sake of those who
/// read nothing but the payload.
pub(crate) fn json(block: u64) -> String {
    let mut text = String::with_capacity(512);
    let hex = |text: &mut String, words: u64, seed: u64| {
        text.push_str("\"0x");
        for word in 0..words {
            let _always_fits = write!(text, "{:016x}", mixed(seed << 3 | word));
        }
        text.push('"');
    };
    let _always_fits = write!(text, "{{\"block_number\":{block},\"transid\":{},\"hash\":", block + 1);
    hex(&mut text, 4, block);
    text.push_str(",\"sender\":");
    // Some thousand accounts do most of it.
    hex(&mut text, 2, (1 << 40) | (mixed(block) % 5_000));
    text.push_str(",\"receiver\":");
    hex(&mut text, 2, (1 << 40) | (mixed(block + 7) % 5_000));
    text.push_str(",\"input\":\"0xa9059cbb");
    text.push_str(&"0".repeat(48));
    let word = mixed(block ^ 1 << 50);
    let _always_fits = write!(
        text,
        "{word:016x}\",\"amount\":{},\"gas\":{},\"price\":{}.5,\"is_good\":{}}}",
        word >> 12,
        21_000 + word % 90_000,
        word % 400,
        !word.is_multiple_of(50)
    );
    text
}

/// Bytes that do not compress.
pub(crate) fn noise(seed: u64, bytes: usize) -> Vec<u8> {
    (0..bytes as u64 / 8).flat_map(|word| mixed(seed << 20 | word).to_le_bytes()).collect()
}
