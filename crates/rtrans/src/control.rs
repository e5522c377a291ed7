//! Controls: what a log remembers besides its records, written into the same batches and committed with them.
//! Refuses to be read in part: a batch's controls have a checksum of their own.

use std::collections::BTreeMap;

use crate::bytes::{u16_at, u32_at, u64_at};
use crate::checksum::crc32;
use crate::consumer_name::ConsumerName;

/// Bytes behind the controls of a batch: their checksum and their length.
const TRAILER_BYTES: usize = 8;

/// A control without its name: kind, length of the name, two numbers.
const CONTROL_BYTES: usize = 18;

/// One thing to remember. A later one of the same kind (and name) takes the place of an earlier one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Control {
    /// How far a consumer has got. The generation grows with each commit, here and in the consumer's file.
    Position { name: ConsumerName, position: Position },
    /// How far a consumer has got with another log, noted in the same step as what it made of it.
    Elsewhere { name: ConsumerName, position: Position },
    /// Records below were trimmed.
    First(u64),
    /// Records up to this one cannot be rolled back; 0 for none.
    Finalized(u64),
    /// Writers of a lower epoch are refused.
    Epoch(u64),
    /// Records that were given up by a repair or a recovery: first and last.
    Lost { first: u64, last: u64 },
}

/// How far a consumer has got, and how often it has said so.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Position {
    /// The last record that it is done with; 0 for none.
    pub(crate) transid: u64,
    /// Which of two positions is the later one.
    pub(crate) generation: u64,
}

/// Everything that a log remembers besides its records.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Memory {
    pub(crate) positions: BTreeMap<ConsumerName, Position>,
    pub(crate) elsewhere: BTreeMap<ConsumerName, Position>,
    pub(crate) first: u64,
    pub(crate) finalized: u64,
    pub(crate) epoch: u64,
    pub(crate) lost: Vec<(u64, u64)>,
}

impl Memory {
    /// Takes note of a control.
    pub(crate) fn apply(&mut self, control: &Control) {
        match control {
            Control::Position { name, position } => note(&mut self.positions, name, *position),
            Control::Elsewhere { name, position } => note(&mut self.elsewhere, name, *position),
            Control::First(first) => self.first = self.first.max(*first),
            Control::Finalized(id) => self.finalized = self.finalized.max(*id),
            Control::Epoch(epoch) => self.epoch = self.epoch.max(*epoch),
            Control::Lost { first, last } => {
                if !self.lost.contains(&(*first, *last)) {
                    self.lost.push((*first, *last));
                }
            }
        }
    }

    /// Whether a repair has given up the records from `first` up to `upto`, which is not gone. For a place that held no
    /// record both are the same.
    pub(crate) fn has_given_up(&self, first: u64, upto: u64) -> bool {
        self.lost.iter().any(|(from, last)| *from <= first && last.saturating_add(1) >= upto)
    }

    /// Gives each position a generation above the one that is known, where it has a lower one: what comes later counts.
    ///
    /// Whoever made the control may not know of a rollback that has set the position back since.
    pub(crate) fn renew(&self, controls: &mut [Control]) {
        for control in controls {
            let (positions, name, position) = match control {
                Control::Position { name, position } => (&self.positions, name, position),
                Control::Elsewhere { name, position } => (&self.elsewhere, name, position),
                _ => continue,
            };
            let known = positions.get(name).map_or(0, |known| known.generation);
            position.generation = position.generation.max(known.saturating_add(1));
        }
    }

    /// All of it as controls: each data file begins with them, so that earlier files can go.
    pub(crate) fn controls(&self) -> Vec<Control> {
        let positions = self.positions.iter();
        let positions =
            positions.map(|(name, position)| Control::Position { name: name.clone(), position: *position });
        let elsewhere = self.elsewhere.iter();
        let elsewhere =
            elsewhere.map(|(name, position)| Control::Elsewhere { name: name.clone(), position: *position });
        let marks =
            [Control::First(self.first), Control::Finalized(self.finalized), Control::Epoch(self.epoch)];
        let lost = self.lost.iter().filter(|(_, last)| *last >= self.first);
        let lost = lost.map(|(first, last)| Control::Lost { first: *first, last: *last });
        positions.chain(elsewhere).chain(marks).chain(lost).collect()
    }
}

/// The position of the higher generation counts.
fn note(positions: &mut BTreeMap<ConsumerName, Position>, name: &ConsumerName, position: Position) {
    let known = positions.entry(name.clone()).or_default();
    if position.generation >= known.generation {
        *known = position;
    }
}

/// How many bytes [`encode`] appends for controls.
pub(crate) fn len_of(controls: &[Control]) -> usize {
    let name_of = |control: &Control| match control {
        Control::Position { name, .. } | Control::Elsewhere { name, .. } => name.as_str().len(),
        _ => 0,
    };
    let trailer = if controls.is_empty() { 0 } else { TRAILER_BYTES };
    controls
        .iter()
        .map(|control| CONTROL_BYTES.saturating_add(name_of(control)))
        .fold(trailer, usize::saturating_add)
}

/// Appends controls with their checksum and length. Nothing is appended for none.
pub(crate) fn encode(controls: &[Control], buffer: &mut Vec<u8>) {
    if controls.is_empty() {
        return;
    }
    let start = buffer.len();
    for control in controls {
        encode_one(control, buffer);
    }
    let controls = buffer.get(start..).unwrap_or_default();
    let (crc, len) = (crc32(controls), u32::try_from(controls.len()).unwrap_or(u32::MAX));
    buffer.extend_from_slice(&crc.to_le_bytes());
    buffer.extend_from_slice(&len.to_le_bytes());
}

fn encode_one(control: &Control, buffer: &mut Vec<u8>) {
    let mut push = |kind: u8, name: &[u8], numbers: [u64; 2]| {
        buffer.push(kind);
        buffer.push(u8::try_from(name.len()).unwrap_or(u8::MAX));
        buffer.extend_from_slice(name);
        for number in numbers {
            buffer.extend_from_slice(&number.to_le_bytes());
        }
    };
    match control {
        Control::Position { name, position } => {
            push(1, name.as_str().as_bytes(), [position.transid, position.generation]);
        }
        Control::Elsewhere { name, position } => {
            push(6, name.as_str().as_bytes(), [position.transid, position.generation]);
        }
        Control::First(first) => push(2, &[], [*first, 0]),
        Control::Finalized(id) => push(3, &[], [*id, 0]),
        Control::Epoch(epoch) => push(4, &[], [*epoch, 0]),
        Control::Lost { first, last } => push(5, &[], [*first, *last]),
    }
}

/// Splits the controls off the end of a batch's body. Returns what is before them; `None` when they are damaged.
///
/// A kind of control that this version does not know is passed over: its length is always told.
pub(crate) fn decode(body: &[u8]) -> Option<(&[u8], Vec<Control>)> {
    let (rest, trailer) = body.split_at_checked(body.len().checked_sub(TRAILER_BYTES)?)?;
    let (crc, len) = (u32_at(trailer, 0)?, u32_at(trailer, 4)?);
    let (rest, mut bytes) = rest.split_at_checked(rest.len().checked_sub(len as usize)?)?;
    if crc32(bytes) != crc {
        return None;
    }
    let mut controls = Vec::new();
    while !bytes.is_empty() {
        let head = u16_at(bytes, 0)?.to_le_bytes();
        let name_end = 2usize.checked_add(usize::from(head[1]))?;
        let name = bytes.get(2..name_end)?;
        let numbers = bytes.get(name_end..)?;
        let (one, two) = (u64_at(numbers, 0)?, u64_at(numbers, 8)?);
        bytes = numbers.get(16..)?;
        controls.extend(decode_one(head[0], name, one, two));
    }
    Some((rest, controls))
}

fn decode_one(kind: u8, name: &[u8], one: u64, two: u64) -> Option<Control> {
    match kind {
        1 | 6 => {
            let name = ConsumerName::new(std::str::from_utf8(name).ok()?).ok()?;
            let position = Position { transid: one, generation: two };
            Some(if kind == 1 {
                Control::Position { name, position }
            } else {
                Control::Elsewhere { name, position }
            })
        }
        2 => Some(Control::First(one)),
        3 => Some(Control::Finalized(one)),
        4 => Some(Control::Epoch(one)),
        5 => Some(Control::Lost { first: one, last: two }),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn some() -> Vec<Control> {
        let name = ConsumerName::new("sealer").unwrap();
        vec![
            Control::Position { name, position: Position { transid: 5, generation: 2 } },
            Control::First(3),
            Control::Lost { first: 7, last: 9 },
        ]
    }

    #[test]
    fn controls_are_read_back_from_behind_the_frames() {
        let mut body = b"frames".to_vec();
        encode(&some(), &mut body);
        assert_eq!((body.len(), len_of(&[])), (6 + len_of(&some()), 0));
        let (rest, controls) = decode(&body).unwrap();
        assert_eq!((rest, controls), (b"frames".as_slice(), some()));
    }

    #[test]
    fn every_flipped_bit_of_controls_is_found() {
        let mut body = Vec::new();
        encode(&some(), &mut body);
        for bit in 0..body.len() * 8 {
            body[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(decode(&body), None, "bit {bit}");
            body[bit / 8] ^= 1 << (bit % 8);
        }
    }

    #[test]
    fn a_memory_is_rebuilt_from_its_own_controls() {
        let mut memory = Memory::default();
        for control in some() {
            memory.apply(&control);
        }
        let mut again = Memory::default();
        for control in memory.controls() {
            again.apply(&control);
        }
        assert_eq!(again, memory);
    }

    #[test]
    fn an_older_position_does_not_take_the_place_of_a_later_one() {
        let mut memory = Memory::default();
        let name = ConsumerName::new("a").unwrap();
        for (transid, generation) in [(5, 2), (9, 1), (4, 3)] {
            memory
                .apply(&Control::Position { name: name.clone(), position: Position { transid, generation } });
        }
        assert_eq!(memory.positions[&name], Position { transid: 4, generation: 3 });
    }
}
