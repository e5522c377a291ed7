"""Real Ethereum blocks as Parquet chunks: what the records say, and the files made of them.

Refuses to change a value: what does not fit into 64 bits stays text.
"""

import json
import os
import pathlib

import pyarrow
import pyarrow.parquet

from hold import TABLES

RECORDS = pathlib.PurePath("ethereum") / "blocks-17686110-17686125.jsonl"
BLOCKS_PER_CHUNK = 4
KINDS = {"block": "blocks", "transaction": "transactions", "log": "logs"}


def find_records():
    """The file of records: in LOGHOLD_TEST_DATA, or beside the workspace. `None` when it is nowhere."""
    root = pathlib.Path(__file__).resolve().parents[2]
    named = os.environ.get("LOGHOLD_TEST_DATA")
    directory = pathlib.Path(named) if named else root.parent / "shared" / "data"
    path = directory / RECORDS
    return path if path.is_file() else None


class Source:
    """The records by table, as they are in the file."""

    def __init__(self, path):
        self.tables = {table: [] for table in TABLES}
        with open(path, encoding="utf-8") as lines:
            for line in lines:
                record = json.loads(line)
                self.tables[KINDS[record.pop("kind")]].append(record)
        self.blocks = self.tables["blocks"]
        self.numbers = [block["number"] for block in self.blocks]

    def rows(self, table, numbers):
        key = "number" if table == "blocks" else "block_number"
        return [row for row in self.tables[table] if row[key] in numbers]

    def ranges(self):
        """Half-open, of four blocks each."""
        starts = range(self.numbers[0], self.numbers[-1] + 1, BLOCKS_PER_CHUNK)
        return [range(start, start + BLOCKS_PER_CHUNK) for start in starts]

    def chunk_path(self, numbers):
        last = next(block for block in self.blocks if block["number"] == numbers[-1])
        top = self.numbers[0]
        return f"{top:010}/{numbers[0]:010}-{numbers[-1]:010}-{last['hash'][2:10]}"

    def write(self, directory):
        """Writes every chunk; `blocks.parquet` is last, as it says that a chunk is complete."""
        for numbers in self.ranges():
            self.write_chunk(directory / self.chunk_path(numbers), numbers)

    def write_chunk(self, directory, numbers, compression="zstd"):
        directory.mkdir(parents=True)
        for table in reversed(TABLES):
            rows = pyarrow.Table.from_pylist(self.rows(table, numbers))
            pyarrow.parquet.write_table(rows, directory / f"{table}.parquet", compression=compression)
