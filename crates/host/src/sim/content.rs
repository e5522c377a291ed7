//! The bytes of a simulated file, in shared pages: sparse, and cheap to copy.
//! It refuses to know what is durable: it is one image.

use std::collections::BTreeMap;
use std::sync::Arc;

const PAGE: usize = 4096;
pub(super) const PAGE_BYTES: u64 = PAGE as u64;

type Page = [u8; PAGE];

#[derive(Clone, Debug, Default)]
pub(super) struct Content {
    len: u64,
    /// Pages that are missing are full of zeros. Bytes after `len` in the last page are zeros too.
    pages: BTreeMap<u64, Arc<Page>>,
}

/// One unsynced change of a file's bytes.
#[derive(Clone, Debug)]
pub(super) enum Change {
    Write { offset: u64, bytes: Arc<[u8]> },
    SetLen(u64),
}

impl Content {
    pub(super) fn len(&self) -> u64 {
        self.len
    }

    pub(super) fn apply(&mut self, change: &Change) {
        match change {
            Change::Write { offset, bytes } => self.write(bytes, *offset),
            Change::SetLen(len) => self.set_len(*len),
        }
    }

    pub(super) fn read(&self, buffer: &mut [u8], offset: u64) -> usize {
        let there = usize::try_from(self.len.saturating_sub(offset)).unwrap_or(usize::MAX);
        let wanted = buffer.len().min(there);
        let mut rest = buffer.get_mut(..wanted).unwrap_or_default();
        let mut at = offset;
        while !rest.is_empty() {
            let start = start_in_page(at);
            let count = rest.len().min(PAGE - start);
            let (now, later) = rest.split_at_mut(count);
            match self.pages.get(&(at / PAGE_BYTES)).and_then(|page| page.get(start..start + count)) {
                Some(bytes) => now.copy_from_slice(bytes),
                None => now.fill(0),
            }
            rest = later;
            at += count as u64;
        }
        wanted
    }

    pub(super) fn write(&mut self, bytes: &[u8], offset: u64) {
        let (mut rest, mut at) = (bytes, offset);
        while !rest.is_empty() {
            let start = start_in_page(at);
            let (now, later) = rest.split_at(rest.len().min(PAGE - start));
            let page = self.pages.entry(at / PAGE_BYTES).or_insert_with(|| Arc::new([0; PAGE]));
            if let Some(place) = Arc::make_mut(page).get_mut(start..start + now.len()) {
                place.copy_from_slice(now);
            }
            rest = later;
            at += now.len() as u64;
        }
        if !bytes.is_empty() {
            self.len = self.len.max(at);
        }
    }

    /// Has one page as another image has it.
    pub(super) fn take_page(&mut self, page: u64, from: &Content) {
        match from.pages.get(&page) {
            Some(bytes) => self.pages.insert(page, Arc::clone(bytes)),
            None => self.pages.remove(&page),
        };
    }

    pub(super) fn set_len(&mut self, len: u64) {
        if len < self.len {
            drop(self.pages.split_off(&len.div_ceil(PAGE_BYTES)));
            if let Some(page) = self.pages.get_mut(&(len / PAGE_BYTES)) {
                Arc::make_mut(page).get_mut(start_in_page(len)..).unwrap_or_default().fill(0);
            }
        }
        self.len = len;
    }

    /// Flips one bit, if the file has that byte.
    pub(super) fn flip(&mut self, offset: u64, bit: u8) {
        let mut byte = [0];
        if self.read(&mut byte, offset) == 1 {
            self.write(&[byte[0] ^ (1 << (bit % 8))], offset);
        }
    }
}

fn start_in_page(offset: u64) -> usize {
    usize::try_from(offset % PAGE_BYTES).expect("a remainder of the page size fits")
}
