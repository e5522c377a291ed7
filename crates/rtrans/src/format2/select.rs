//! Reading only the records of some types out of a data file, many at a time.
//! Refuses to take the table's word for a type: a record that is returned says it itself, under its checksum.

use std::ops::Range;

use super::segment::Segment;
use super::table::{HOLE, Spot};
use crate::error::Error;
use crate::frame::{FRAME_HEAD_BYTES, FrameHead, read_frame};
use crate::ids::{TransId, TypeNo};
use crate::record::time_of;
use crate::selected::Selected;

/// Records that are looked up at a time: enough that the memory is asked for many of them at once.
const SPOTS_MAX: usize = 64;

impl Segment {
    /// Adds records from `from` to the one before `end` that are of one of these types: some of them, about `bytes_max`
    /// bytes at most. Returns the id with which the search goes on, which is `end` when the file has no more.
    pub(crate) fn select(
        &self,
        types: &[u32],
        (from, end): (u64, u64),
        bytes_max: usize,
        selected: &mut Selected,
    ) -> Result<u64, Error> {
        let (mut spots, mut next) = {
            let table = self.table();
            let (first, upto) = (self.ordinal(from), self.ordinal(end));
            // Of what type a lost record was is not known: whoever looks for any type is told of it.
            let stop = table.first_lost((first, upto)).unwrap_or(upto);
            let (spots, next) = table.find(types, (first, stop), SPOTS_MAX)?;
            (spots, if next < upto { self.id(next) } else { end })
        };
        if next <= from {
            return self.select_one(types, from, selected);
        }
        // All heads, all frames, all checksums: each loop asks the memory for many places at once.
        let lens = self.lens(&spots, bytes_max);
        if let Some(left) = spots.get(lens.len()) {
            next = self.id(left.ordinal);
            spots.truncate(lens.len());
        }
        let places = self.gather(&spots, &lens, &mut selected.bytes);
        for (spot, place) in spots.iter().zip(places) {
            let id = self.id(spot.ordinal);
            let frame = selected.bytes.get(place.clone()).and_then(|bytes| read_frame(bytes, id));
            if let Some(((frame, _), id)) = frame.zip(TransId::new(id)) {
                if types.contains(&frame.type_no) {
                    let payload = place.start.saturating_add(FRAME_HEAD_BYTES)..place.end;
                    let time = Some(time_of(spot.appended_at));
                    selected.push_here(id, TypeNo(frame.type_no), time, payload);
                }
                continue;
            }
            let behind = self.select_one(types, id, selected)?;
            // How long records are is not known before: compressed ones may be many times what was asked for.
            if behind == id || selected.bytes.len() >= bytes_max {
                return Ok(behind);
            }
        }
        Ok(next)
    }

    /// Reads one record, and adds it when it is of one of these types. Returns the id behind it; its own when it cannot
    /// be read and others were selected already: it is told when it is the first one.
    fn select_one(&self, types: &[u32], id: u64, selected: &mut Selected) -> Result<u64, Error> {
        match self.read(id) {
            Ok(record) if types.contains(&record.type_no.0) => selected.push(record.as_ref()),
            Ok(_) => {}
            Err(error) if selected.is_empty() => return Err(error),
            Err(_) => return Ok(id),
        }
        Ok(id.saturating_add(1))
    }

    /// How long the frames seem to be, as far as they are read at a time: the first one in any case. 0 for one that is
    /// not where the table says, or is compressed.
    fn lens(&self, spots: &[Spot], bytes_max: usize) -> Vec<usize> {
        let mut left = bytes_max;
        let mut lens: Vec<usize> = Vec::with_capacity(spots.len());
        for spot in spots {
            let len = self.len_at(spot).unwrap_or(0);
            if len > left && !lens.is_empty() {
                break;
            }
            left = left.saturating_sub(len);
            lens.push(len);
        }
        lens
    }

    fn len_at(&self, spot: &Spot) -> Option<usize> {
        let offset = u64::from(spot.offset.filter(|offset| *offset != HOLE)?);
        let mut head = [0; FRAME_HEAD_BYTES];
        self.map.read_exact_at(&mut head, offset).ok()?;
        let len = FRAME_HEAD_BYTES.saturating_add(FrameHead::read(&head)?.len as usize);
        (offset.saturating_add(len as u64) <= self.map.len()).then_some(len)
    }

    /// Copies frames one behind the other; returns where each lies.
    fn gather(&self, spots: &[Spot], lens: &[usize], bytes: &mut Vec<u8>) -> Vec<Range<usize>> {
        let mut end = bytes.len();
        bytes.resize(end.saturating_add(lens.iter().sum()), 0);
        let mut places = Vec::with_capacity(spots.len());
        for (spot, len) in spots.iter().zip(lens) {
            let place = end..end.saturating_add(*len);
            let frame = bytes.get_mut(place.clone()).unwrap_or_default();
            let is_read = spot.offset.is_some_and(|at| self.map.read_exact_at(frame, at.into()).is_ok());
            end = place.end;
            places.push(if is_read { place } else { end..end });
        }
        places
    }
}

#[cfg(test)]
#[path = "../../tests/unit/select.rs"]
mod tests;
