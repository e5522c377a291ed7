"""Reads a log of format 1, written from docs/formats/log-1.md alone: a second opinion on what lies on the disk.

Refuses to repair, to guess, and to share a line with the product. As a program it lists the records, and fails when
anything is not as the document says:

    python3 log1_reader.py DIR           one line a record: id, type, bytes in hex
    python3 log1_reader.py DIR --verify  the same, after the rules that a writer has to keep besides: placement, padding

Of several directories each is headed by a line with its name.
"""

import pathlib
import re
import struct
import sys
import zlib

METADATA = struct.Struct("<HIIIQIH")
ENTRY = struct.Struct("<QIIIQII")
HEADER = struct.Struct("<QI")
NAMES = ("format_version", "size_per_index", "per_file", "files_per_dir", "max_size", "block", "need_compress")


class Violation(Exception):
    """Something is not as the document says."""


class Log1:
    """A log of format 1 in a directory."""

    def __init__(self, directory):
        self.dir = pathlib.Path(directory)
        metadata = (self.dir / "metadata").read_bytes()
        if len(metadata) != METADATA.size:
            raise Violation(f"metadata has {len(metadata)} bytes")
        for name, value in zip(NAMES, METADATA.unpack(metadata)):
            setattr(self, name, value)
        if self.format_version != 1 or self.size_per_index < ENTRY.size or self.need_compress > 1:
            raise Violation("the parameters are not those of format 1")
        self.dirs = sorted(int(path.name) for path in self.dir.iterdir() if is_number(path.name) and path.is_dir())
        per_dir = self.per_file * self.files_per_dir
        self.first = self.dirs[0] * per_dir + 1 if self.dirs else 1

    def place(self, transid):
        """Directory, file and slot of a record."""
        in_dir = (transid - 1) % (self.per_file * self.files_per_dir)
        return (transid - 1) // (self.per_file * self.files_per_dir), in_dir // self.per_file, in_dir % self.per_file

    def entry(self, transid):
        """The index entry of a record; `None` where none was written."""
        directory, file, slot = self.place(transid)
        path = self.dir / str(directory) / f"index.{file}"
        if not path.exists():
            return None
        with path.open("rb") as index:
            index.seek(slot * self.size_per_index)
            raw = index.read(self.size_per_index)
        if len(raw) < self.size_per_index or not any(raw):
            return None
        if any(raw[ENTRY.size :]):
            raise Violation(f"{path}: the padding of slot {slot} is not zero")
        entry = ENTRY.unpack(raw[: ENTRY.size])
        if entry[0] != transid or entry[2] != directory:
            raise Violation(f"{path}: slot {slot} says {entry}, wanted transid {transid} of directory {directory}")
        return entry

    def records(self):
        """All records in order: entry and bytes."""
        transid = self.first
        while (entry := self.entry(transid)) is not None:
            _, _, directory, file, blk, length, checksum = entry
            path = self.dir / str(directory) / f"data.{file}"
            if not path.exists() or blk * self.block >= path.stat().st_size:
                raise Violation(f"record {transid} is said to be at block {blk} of {path}")
            with path.open("rb") as data:
                data.seek(blk * self.block)
                header, stored = data.read(HEADER.size), data.read(length)
            if header != HEADER.pack(transid, checksum):
                raise Violation(f"{path}: the header of record {transid} does not fit its index entry")
            if len(stored) != length or zlib.crc32(stored) != checksum:
                raise Violation(f"{path}: the bytes of record {transid} do not fit their checksum")
            yield entry, zlib.decompress(stored) if self.need_compress else stored
            transid += 1

    def verify(self):
        """Checks what a writer has to keep besides."""
        count, free = 0, None
        for entry, _ in self.records():
            transid, _, directory, file, blk, length, _ = entry
            blocks = -(-(HEADER.size + length) // self.block)
            if free is None or free[0] != directory:
                free = (directory, 0, 0)
            wanted = free[1:]
            if wanted[1] and (wanted[1] + blocks) * self.block > self.max_size:
                wanted = (wanted[0] + 1, 0)
            if (file, blk) != wanted:
                raise Violation(f"record {transid} is at block {blk} of data.{file}, not {wanted}")
            self.check_padding(directory, file, blk * self.block + HEADER.size + length, (blk + blocks) * self.block)
            free = (directory, file, blk + blocks)
            count += 1
        self.check_end(self.first + count)

    def check_padding(self, directory, file, start, end):
        with (self.dir / str(directory) / f"data.{file}").open("rb") as data:
            data.seek(start)
            if any(data.read(end - start)):
                raise Violation(f"data.{file} in {directory}: the padding at {start} is not zero")

    def check_end(self, transid):
        """Nothing is written behind the last record."""
        behind = self.place(transid)
        for directory in self.dirs:
            for path in (self.dir / str(directory)).glob("index.*"):
                file = int(path.name.split(".")[1])
                skip = self.per_file
                if (directory, file) == behind[:2]:
                    skip = behind[2]
                elif (directory, file) > behind[:2]:
                    skip = 0
                if any(path.read_bytes()[skip * self.size_per_index :]):
                    raise Violation(f"{path}: something is written behind the end")


def is_number(name):
    return re.fullmatch(r"0|[1-9][0-9]*", name) is not None


def main(arguments):
    directories = [argument for argument in arguments if not argument.startswith("--")]
    for directory in directories:
        if len(directories) > 1:
            print(f"log {pathlib.Path(directory).name}")
        log = Log1(directory)
        if "--verify" in arguments:
            log.verify()
        for entry, payload in log.records():
            print(entry[0], entry[1], payload.hex())


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except (Violation, OSError, zlib.error) as error:
        sys.exit(f"violation: {error}")
