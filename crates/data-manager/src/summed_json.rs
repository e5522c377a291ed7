//! JSON documents that end in the sum of themselves, so that anybody can check them with a few lines of script.
//! Refuses a document whose sum does not fit, before anything in it is read.

use serde::Serialize;

use crate::file_name::shown;

/// What stands around the sum, which is the document's last field.
const CHECK_BEFORE: &[u8] = b",\n  \"check\": \"";
const CHECK_AFTER: &[u8] = b"\"\n}\n";

/// The document with its sum, for people to read too; the same document always gives the same bytes.
pub(crate) fn encode(document: &impl Serialize) -> Vec<u8> {
    let mut bytes = serde_json::to_vec_pretty(document).expect("numbers, strings and lists become JSON");
    bytes.truncate(bytes.len().saturating_sub(b"\n}".len()));
    let sum = crc32fast::hash(&bytes);
    bytes.extend_from_slice(CHECK_BEFORE);
    bytes.extend_from_slice(format!("{sum:08x}").as_bytes());
    bytes.extend_from_slice(CHECK_AFTER);
    bytes
}

/// The sum covers every byte before the comma that precedes it, so that anybody can check it without our encoder.
pub(crate) fn check_sum(bytes: &[u8]) -> Result<(), String> {
    let not_ours = "it does not end in the field `check`: it is cut off, or another program wrote it";
    let rest = bytes.strip_suffix(CHECK_AFTER).ok_or(not_ours)?;
    let (rest, found) = rest.split_last_chunk::<8>().ok_or(not_ours)?;
    let covered = rest.strip_suffix(CHECK_BEFORE).ok_or(not_ours)?;
    let sum = format!("{:08x}", crc32fast::hash(covered));
    if found == sum.as_bytes() {
        Ok(())
    } else {
        Err(format!("its sum is {sum}, but its `check` says {}", shown(&String::from_utf8_lossy(found))))
    }
}
