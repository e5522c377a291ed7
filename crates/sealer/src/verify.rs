//! Reading files of a chunk back: each is what its manifest says, or is told as damaged.
//! Refuses to return bytes that were not compared.

use bytes::Bytes;

use crate::error::Error;
use crate::hex::hex;
use crate::manifest::Manifest;
use crate::store::Store;

/// Reads a file of a chunk, and compares its length and digest.
pub(crate) fn read_file(store: &Store, manifest: &Manifest, file: &str) -> Result<Bytes, Error> {
    let name = manifest.object_name(file);
    let damaged = |what: String| Error::damaged(name.clone(), what);
    let entry =
        manifest.files.get(file).ok_or_else(|| damaged("the manifest has no such file".to_owned()))?;
    let bytes =
        store.place().get(&name, entry.bytes)?.ok_or_else(|| damaged("it is not there".to_owned()))?;
    if bytes.len() as u64 != entry.bytes {
        return Err(damaged(format!("it has {} bytes, and should have {}", bytes.len(), entry.bytes)));
    }
    let found = hex(blake3::hash(&bytes).as_bytes());
    if found != entry.blake3 {
        return Err(damaged(format!("its BLAKE3 is {found}, and should be {}", entry.blake3)));
    }
    Ok(bytes)
}

/// Reads all files of a chunk back.
pub(crate) fn read_back(store: &Store, manifest: &Manifest) -> Result<(), Error> {
    manifest.files.keys().try_for_each(|file| read_file(store, manifest, file).map(drop))
}
