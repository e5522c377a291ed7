//! Which format some bytes are in, by how they begin.
//! Refuses to read them; the format's own reader decides whether they are right.

/// The formats that descriptors are made from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum ImportFormat {
    /// By the address and the first bytes.
    Auto,
    /// A listing in SQD's layout: `<top>/<first>-<last>-<hash>/<table>.parquet`.
    Sqd,
    /// SQD's network assignment: a flat buffer, version 1, plain or gzipped.
    Assignment,
    /// A data portal manifest: JSON with `files`.
    Manifest,
}

/// The format of a file: JSON is a manifest, everything else an assignment.
pub(crate) fn detect(bytes: &[u8]) -> ImportFormat {
    let text = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    match text.iter().find(|byte| !byte.is_ascii_whitespace()) {
        Some(b'{' | b'[') if std::str::from_utf8(text).is_ok() => ImportFormat::Manifest,
        _ => ImportFormat::Assignment,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_a_manifest_and_the_rest_an_assignment() {
        assert_eq!(detect(b" \n{\"files\": []}"), ImportFormat::Manifest);
        assert_eq!(detect(b"\xef\xbb\xbf[]"), ImportFormat::Manifest);
        assert_eq!(detect(&[0x1f, 0x8b, 8, 0]), ImportFormat::Assignment);
        // A FlatBuffer may begin with a byte that looks like a brace: its offsets are not text.
        assert_eq!(detect(&[b'{', 0, 0, 0xff, 0xfe]), ImportFormat::Assignment);
        assert_eq!(detect(b""), ImportFormat::Assignment);
    }
}
