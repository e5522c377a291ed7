"""Writes logs of format 1 as other programs do: the document's own layout, and the two of the original Ruby program.

Refuses to share a line with the product. As a program it writes a log of random records and lists them as
`log1_reader.py` does, so that a reader of ours can be compared with it:

    python3 log1_writer.py DIR LAYOUT GEOMETRY COMPRESS SEED COUNT
    python3 log1_writer.py DIR LAYOUT GEOMETRY COMPRESS FIRST-LAST COUNT

LAYOUT is `plain`, `plain40` (the same with entries of 40 bytes), `ruby` or `untyped`, GEOMETRY 0 to 4, COMPRESS 0 or 1. With several
seeds there is a log for each in DIR/SEED, and its list is headed by a line with its name.
"""

import pathlib
import random
import struct
import sys
import zlib

# Index entries per file, index files per directory, bytes of a data file, bytes of a block.
GEOMETRIES = [(1000, 64, 20 << 20, 64), (3, 2, 100, 16), (1, 1, 64, 64), (7, 5, 4096, 1), (10, 3, 1000, 128)]
LENGTHS = [0, 1, 5, 51, 52, 53, 122, 123, 300]
PACKS = {"plain": "<QIIIQII", "plain40": "<QIIIQII4x", "ruby": "<QIIQIIQ", "untyped": "<QIIQIIQ"}


def marshal_length(length):
    if length == 0:
        return b"\0"
    if length < 123:
        return bytes([length + 5])
    digits = length.to_bytes((length.bit_length() + 7) // 8, "little")
    return bytes([len(digits)]) + digits


def marshal(data, dice):
    """A Ruby string: of bytes, or with one of the encodings that Ruby names."""
    string = b'"' + marshal_length(len(data)) + data
    return b"\x04\x08" + dice.choice(
        [string, b"I" + string + b"\x06:\x06ET", b"I" + string + b"\x06:\x06EF", b"I" + string + b'\x06:\rencoding"\x0eShift_JIS']
    )


class Writer:
    """One log, written record by record."""

    def __init__(self, directory, layout, geometry, compress, dice):
        self.dir, self.layout, self.compress, self.dice = pathlib.Path(directory), layout, compress, dice
        self.per_file, self.files, self.max_size, self.block = GEOMETRIES[geometry]
        self.transid, self.free = 0, (-1, 0, 0)
        # The original program never looks at size_per_index: both values are found in its logs.
        size = {"plain": 36, "plain40": 40}.get(layout) or dice.choice([36, 40])
        metadata = struct.pack("<HIIIQIH", 1, size, self.per_file, self.files, self.max_size, self.block, compress)
        (self.dir / "metadata").write_bytes(metadata)

    def append(self, type_no, data):
        self.transid += 1
        before = self.transid - 1
        directory, file = before // (self.per_file * self.files), before // self.per_file % self.files
        stored = zlib.compress(data) if self.compress else data
        if not self.layout.startswith("plain"):
            # Ruby's zlib gives a string of bytes, which has no encoding.
            stored = b"\x04\x08\"" + marshal_length(len(stored)) + stored if self.compress else marshal(data, self.dice)
        checksum = zlib.crc32(stored)
        data_file, blk = self.place(directory, len(stored))
        folder = self.dir / str(directory)
        folder.mkdir(exist_ok=True)
        path = folder / f"data.{data_file}"
        with path.open("r+b" if path.exists() else "wb") as out:
            out.seek(blk * self.block)
            out.write(struct.pack("<QI", self.transid, checksum) + stored)
        fields = (self.transid, type_no, directory, data_file, blk, len(stored), checksum)
        if self.layout == "untyped":
            fields = (self.transid, directory, data_file, blk, len(stored), checksum, 0)
        with (folder / f"index.{file}").open("ab") as out:
            out.write(struct.pack(PACKS[self.layout], *fields))

    def place(self, directory, length):
        if directory != self.free[0]:
            self.free = (directory, 0, 0)
        _, file, blk = self.free
        blocks = -(-(12 + length) // self.block)
        if self.layout.startswith("plain"):
            is_full = blk > 0 and (blk + blocks) * self.block > self.max_size
        else:
            # The original program leaves the last block of a file, and begins a new one for each record that is too large.
            is_full = blk > 0 and blk + blocks >= self.max_size // self.block
        if is_full:
            file, blk = file + 1, 0
        self.free = (directory, file, blk + blocks)
        return file, blk


def main(directory, layout, geometry, compress, seeds, count):
    first, is_range, last = seeds.partition("-")
    if not is_range:
        write(directory, layout, geometry, compress, first, count, [*LENGTHS, 70_000])
        return
    for seed in range(int(first), int(last) + 1):
        place = pathlib.Path(directory) / str(seed)
        place.mkdir()
        print(f"log {seed}")
        # Large records are slow to list.
        write(place, layout, geometry, compress, seed, count, LENGTHS)


def write(directory, layout, geometry, compress, seed, count, lengths):
    dice = random.Random(int(seed))
    writer = Writer(directory, layout, int(geometry), int(compress), dice)
    for transid in range(1, int(count) + 1):
        type_no = 0 if layout == "untyped" else dice.getrandbits(32)
        data = dice.randbytes(dice.choice(lengths))
        writer.append(type_no, data)
        print(transid, type_no, data.hex())


if __name__ == "__main__":
    main(*sys.argv[1:])
