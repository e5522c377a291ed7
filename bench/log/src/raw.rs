//! The raw limits: what the same work costs with nothing but the calls that it can not do without.
//! Refuses to be a log: nothing written here can be found again.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::Outcome;
use crate::machine::seconds_since;
use crate::records::Records;

/// How much the buffered loop gathers.
const BUFFER_BYTES: usize = 256 << 10;

/// How much is written at once: larger writes are slower on some virtual machines.
pub(crate) const WRITE_BYTES: usize = 64 << 10;

/// The zeroed file of the durable loop.
pub(crate) const ZEROED_BYTES: usize = 16 << 20;

/// Bytes before each record in a file to be validated: length, type, checksum.
const HEAD_BYTES: usize = 12;

/// Records in a second, each by a write(2) of its own.
pub(crate) fn write_each(path: &Path, records: &Records, count: u64) -> Outcome<f64> {
    let mut file = File::create(path)?;
    let begin = Instant::now();
    for number in 0..count {
        file.write_all(records.get(number))?;
    }
    Ok(count as f64 / seconds_since(begin))
}

/// Records in a second, gathered in a buffer, without a checksum or a header.
pub(crate) fn write_gathered(path: &Path, records: &Records, count: u64) -> Outcome<f64> {
    let mut file = File::create(path)?;
    let mut buffer = Vec::with_capacity(BUFFER_BYTES + records.size());
    let begin = Instant::now();
    for number in 0..count {
        buffer.extend_from_slice(records.get(number));
        if buffer.len() >= BUFFER_BYTES {
            write_pieces(&mut file, &buffer)?;
            buffer.clear();
        }
    }
    write_pieces(&mut file, &buffer)?;
    Ok(count as f64 / seconds_since(begin))
}

fn write_pieces(file: &mut File, bytes: &[u8]) -> Outcome<()> {
    for piece in bytes.chunks(WRITE_BYTES) {
        file.write_all(piece)?;
    }
    Ok(())
}

/// Latencies in nanoseconds of a pwrite and a fdatasync, one after the other, in a file that is zeroed or grows.
pub(crate) fn write_and_sync(
    path: &Path,
    records: &Records,
    span: Duration,
    is_zeroed: bool,
) -> Outcome<Vec<u32>> {
    let mut file = File::create(path)?;
    if is_zeroed {
        let zeroes = vec![0; WRITE_BYTES];
        for _ in 0..ZEROED_BYTES / WRITE_BYTES {
            file.write_all(&zeroes)?;
        }
    }
    file.sync_all()?;
    let mut latencies = Vec::new();
    let begin = Instant::now();
    let mut offset = 0;
    while begin.elapsed() < span {
        let before = Instant::now();
        file.write_all_at(records.get(offset), offset)?;
        file.sync_data()?;
        latencies.push(u32::try_from(before.elapsed().as_nanos()).unwrap_or(u32::MAX));
        offset += records.size() as u64;
        if is_zeroed && offset + records.size() as u64 > ZEROED_BYTES as u64 {
            offset = 0;
        }
    }
    Ok(latencies)
}

/// Two files with which a record is found as simply as can be: an offset in one, the record in the other.
#[derive(Debug)]
pub(crate) struct Indexed {
    index: File,
    data: File,
}

impl Indexed {
    pub(crate) fn write(dir: &Path, records: &Records, count: u64) -> Outcome<Indexed> {
        let open = |name: &str| {
            OpenOptions::new().create(true).truncate(true).read(true).write(true).open(dir.join(name))
        };
        let (mut index, mut data) = (open("index")?, open("data")?);
        let mut buffer = Vec::new();
        for number in 0..count {
            let [offset, size] = [number * records.size() as u64, records.size() as u64];
            buffer.extend_from_slice(&offset.to_le_bytes());
            buffer.extend_from_slice(&(size as u32).to_le_bytes());
        }
        write_pieces(&mut index, &buffer)?;
        buffer.clear();
        for number in 0..count {
            buffer.extend_from_slice(records.get(number));
        }
        write_pieces(&mut data, &buffer)?;
        Ok(Indexed { index, data })
    }

    /// Nanoseconds for a record: a pread for its place, a pread for itself.
    pub(crate) fn read(&self, numbers: &[u64]) -> Outcome<f64> {
        let mut entry = [0; HEAD_BYTES];
        let mut record = vec![0; 1 << 16];
        let begin = Instant::now();
        for number in numbers {
            self.index.read_exact_at(&mut entry, number * HEAD_BYTES as u64)?;
            let (offset, size) = entry.split_at(8);
            let offset = u64::from_le_bytes(offset.try_into()?);
            let size = u32::from_le_bytes(size.try_into()?) as usize;
            let place = record.get_mut(..size).ok_or("a record is larger than the buffer")?;
            self.data.read_exact_at(place, offset)?;
            std::hint::black_box(&record);
        }
        Ok(seconds_since(begin) * 1e9 / numbers.len() as f64)
    }
}

/// Records one behind the other, with and without heads, in memory and in a file.
#[derive(Debug)]
pub(crate) struct Laid {
    plain: Vec<u8>,
    framed: Vec<u8>,
    size: usize,
    count: u64,
}

impl Laid {
    pub(crate) fn new(records: &Records, count: u64) -> Laid {
        let (mut plain, mut framed) = (Vec::new(), Vec::new());
        for number in 0..count {
            let record = records.get(number);
            plain.extend_from_slice(record);
            framed.extend_from_slice(&(record.len() as u32).to_le_bytes());
            framed.extend_from_slice(&1_u32.to_le_bytes());
            framed.extend_from_slice(&crc32fast::hash(record).to_le_bytes());
            framed.extend_from_slice(record);
        }
        Laid { plain, framed, size: records.size(), count }
    }

    /// Writes the framed records to a file.
    pub(crate) fn write(&self, path: &Path) -> Outcome<()> {
        write_pieces(&mut File::create(path)?, &self.framed)
    }

    /// Records in a second that are copied.
    pub(crate) fn copy(&self) -> f64 {
        let mut copy = vec![0; 1 << 20];
        let begin = Instant::now();
        for piece in self.plain.chunks(copy.len()) {
            if let Some(place) = copy.get_mut(..piece.len()) {
                place.copy_from_slice(piece);
            }
            std::hint::black_box(&copy);
        }
        self.count as f64 / seconds_since(begin)
    }

    /// Records in a second that are copied, with a checksum of each.
    pub(crate) fn copy_and_check(&self) -> f64 {
        let mut copy = vec![0; 1 << 20];
        let begin = Instant::now();
        let mut sum = 0_u32;
        for piece in self.plain.chunks(copy.len()) {
            if let Some(place) = copy.get_mut(..piece.len()) {
                place.copy_from_slice(piece);
                for record in place.chunks(self.size) {
                    sum ^= crc32fast::hash(record);
                }
            }
        }
        std::hint::black_box(sum);
        self.count as f64 / seconds_since(begin)
    }

    /// Records in a second whose heads and checksums are looked at where they lie.
    pub(crate) fn validate(&self) -> Outcome<f64> {
        let begin = Instant::now();
        let (count, _) = validate(&self.framed)?;
        std::hint::black_box(count);
        Ok(count as f64 / seconds_since(begin))
    }

    /// The same for a file that is read a mebibyte at a time.
    pub(crate) fn validate_file(path: &Path) -> Outcome<f64> {
        let mut file = File::open(path)?;
        let mut buffer = vec![0; 1 << 20];
        let begin = Instant::now();
        let (mut total, mut kept) = (0, 0);
        loop {
            let room = buffer.get_mut(kept..).ok_or("no room")?;
            let read = file.read(room)?;
            if read == 0 {
                break;
            }
            let end = kept + read;
            let (count, used) = validate(buffer.get(..end).unwrap_or_default())?;
            total += count;
            buffer.copy_within(used..end, 0);
            kept = end - used;
        }
        Ok(total as f64 / seconds_since(begin))
    }
}

/// How many whole records there are, and how many bytes they take.
fn validate(bytes: &[u8]) -> Outcome<(u64, usize)> {
    let (mut count, mut at) = (0, 0);
    while let Some(head) = bytes.get(at..at + HEAD_BYTES) {
        let word = |from: usize| {
            head.get(from..from + 4).and_then(|word| word.try_into().ok()).map_or(0, u32::from_le_bytes)
        };
        let begin = at + HEAD_BYTES;
        let Some(record) = bytes.get(begin..begin + word(0) as usize) else { break };
        if crc32fast::hash(record) != word(8) {
            return Err("a raw record is damaged".into());
        }
        count += 1;
        at = begin + record.len();
    }
    Ok((count, at))
}
