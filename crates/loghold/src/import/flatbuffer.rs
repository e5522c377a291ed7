//! A reader of `FlatBuffers` that checks every offset before it follows it.
//! Refuses to trust anything: a field that does not lie inside the buffer is an error, never a panic.

/// What is wrong with the bytes, and where.
pub(crate) type Read<T> = Result<T, String>;

/// A table: the place of its fields in the buffer.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Table<'a> {
    buffer: &'a [u8],
    at: usize,
    vtable_at: usize,
    vtable_len: usize,
}

/// A vector whose elements are `stride` bytes wide.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Vector<'a> {
    buffer: &'a [u8],
    at: usize,
    len: usize,
}

/// The table that the buffer's first four bytes point to.
pub(crate) fn root(buffer: &[u8]) -> Read<Table<'_>> {
    Table::at(buffer, follow(buffer, 0)?)
}

impl<'a> Table<'a> {
    fn at(buffer: &'a [u8], at: usize) -> Read<Table<'a>> {
        // The vtable lies at the table's place minus a signed offset: before it, as a rule, or after it.
        let offset = i64::from(i32::from_le_bytes(fixed(buffer, at)?));
        let vtable_at = i64::try_from(at)
            .ok()
            .and_then(|at| at.checked_sub(offset))
            .and_then(|at| usize::try_from(at).ok())
            .ok_or_else(|| format!("the table at byte {at} has its field list outside the file"))?;
        let vtable_len = usize::from(u16::from_le_bytes(fixed(buffer, vtable_at)?));
        let whole = vtable_at.checked_add(vtable_len).is_some_and(|end| end <= buffer.len());
        if vtable_len < 4 || vtable_len % 2 != 0 || !whole {
            return Err(format!("the field list at byte {vtable_at} has an impossible length"));
        }
        Ok(Table { buffer, at, vtable_at, vtable_len })
    }

    /// Where the field in `slot` lies; `None` when the table leaves it out.
    fn field(&self, slot: usize) -> Read<Option<usize>> {
        let entry = 4 + 2 * slot;
        if entry + 2 > self.vtable_len {
            return Ok(None);
        }
        match u16::from_le_bytes(fixed(self.buffer, self.vtable_at + entry)?) {
            0 => Ok(None),
            offset => Ok(Some(self.at + usize::from(offset))),
        }
    }

    pub(crate) fn u64(&self, slot: usize) -> Read<Option<u64>> {
        self.field(slot)?.map(|at| fixed(self.buffer, at).map(u64::from_le_bytes)).transpose()
    }

    /// A struct of `N` bytes that lies in the table itself.
    pub(crate) fn bytes<const N: usize>(&self, slot: usize) -> Read<Option<[u8; N]>> {
        self.field(slot)?.map(|at| fixed(self.buffer, at)).transpose()
    }

    /// A text of at most `len_max` bytes.
    pub(crate) fn text(&self, slot: usize, len_max: usize) -> Read<Option<&'a str>> {
        let Some(vector) = self.vector(slot, 1)? else { return Ok(None) };
        if vector.len > len_max {
            return Err(format!("the text at byte {} is longer than {len_max} bytes", vector.at));
        }
        let bytes = vector.buffer.get(vector.at..vector.at + vector.len).unwrap_or_default();
        std::str::from_utf8(bytes)
            .map(Some)
            .map_err(|_| format!("the text at byte {} is not UTF-8", vector.at))
    }

    /// A vector of tables.
    pub(crate) fn tables(&self, slot: usize) -> Read<Option<Vector<'a>>> {
        self.vector(slot, 4)
    }

    /// A vector of 16-bit numbers.
    pub(crate) fn numbers(&self, slot: usize) -> Read<Option<Vector<'a>>> {
        self.vector(slot, 2)
    }

    fn vector(&self, slot: usize, stride: usize) -> Read<Option<Vector<'a>>> {
        let Some(field_at) = self.field(slot)? else { return Ok(None) };
        let len_at = follow(self.buffer, field_at)?;
        let len = offset_of(self.buffer, len_at)?;
        let at = len_at + 4;
        let whole = len.checked_mul(stride).and_then(|bytes| at.checked_add(bytes));
        if whole.is_none_or(|end| end > self.buffer.len()) {
            return Err(format!(
                "the vector at byte {len_at} says {len} elements, more than the file has room for"
            ));
        }
        Ok(Some(Vector { buffer: self.buffer, at, len }))
    }
}

impl<'a> Vector<'a> {
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// The table that element `index` points to. The caller keeps `index` below [`Vector::len`].
    pub(crate) fn table(&self, index: usize) -> Read<Table<'a>> {
        Table::at(self.buffer, follow(self.buffer, self.at + 4 * index)?)
    }

    /// The elements of a vector of 16-bit numbers.
    pub(crate) fn iter_numbers(&self) -> impl Iterator<Item = u16> + 'a {
        let bytes = self.buffer.get(self.at..self.at + 2 * self.len).unwrap_or_default();
        bytes.chunks_exact(2).filter_map(|pair| pair.try_into().ok()).map(u16::from_le_bytes)
    }
}

/// The place that the unsigned offset at `at` points to; always further on in the buffer.
fn follow(buffer: &[u8], at: usize) -> Read<usize> {
    let target = at.checked_add(offset_of(buffer, at)?);
    target
        .filter(|&target| target > at && target < buffer.len())
        .ok_or_else(|| format!("the reference at byte {at} points outside the file"))
}

fn offset_of(buffer: &[u8], at: usize) -> Read<usize> {
    let offset = u32::from_le_bytes(fixed(buffer, at)?);
    usize::try_from(offset).map_err(|_| format!("the number at byte {at} is too high for this machine"))
}

fn fixed<const N: usize>(buffer: &[u8], at: usize) -> Read<[u8; N]> {
    at.checked_add(N)
        .and_then(|end| buffer.get(at..end))
        .and_then(|bytes| bytes.try_into().ok())
        .ok_or_else(|| format!("the file ends before byte {at} + {N}"))
}

#[cfg(test)]
mod tests;
