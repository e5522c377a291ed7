"""The joint under test: a log, a plan and a store, and what a whole line of them shows.

Refuses to assert what a test is about: it fails only where the line has a hole or a repeat.
"""

import json

from hold import Hold
from log_program import LogProgram, Process

RECORDS_PER_CHUNK = 20
PLAN = """
dataset = "trial"
store = "file://{place}/sealed"
numbering = "one-per-block"
finality = {{ lag = 3 }}
retain = "{retain}"
[cut]
records = 20
[[table]]
file = "records.parquet"
columns = "raw"
"""


class Line:
    """A log, a plan and a store: what is appended at one end and read at the other."""

    def __init__(self, binary, place, retain="all"):
        self.binary, self.place, self.retain = binary, place, retain
        self.log = LogProgram(binary, place / "log")
        self.plan = place / "plan.toml"
        self.plan.write_text(PLAN.format(place=place, retain=retain))
        self.loghold = Hold(binary, place / "data")
        self.appended = []

    def begin(self):
        self.log.run("init", "--max-size-data-file", "65536")
        return self

    def copy(self, cut):
        """The same records in another log, for the same store, cut in another way."""
        copy = Line(self.binary, self.place, self.retain)
        copy.plan = self.place / "copy.toml"
        copy.plan.write_text(self.plan.read_text().replace(f"records = {RECORDS_PER_CHUNK}", cut))
        copy.log = LogProgram(self.binary, self.place / "copy")
        return copy.begin()

    def append(self, count):
        records = [b"record %d" % number for number in range(len(self.appended), len(self.appended) + count)]
        self.log.append(records)
        self.appended += records

    def start_reading(self, *words):
        words = ["read", "--plan", str(self.plan), "--log", str(self.place / "log"), "0..", "--follow", *words]
        return Process([str(self.binary), "--color=never", *words])

    def follow(self):
        words = ["seal", "--follow", "--log", str(self.log.directory), "--plan", str(self.plan), "-o", "jsonl"]
        return Process([str(self.binary), "--color=never", *words])

    def seal(self, code=0):
        return self.loghold.run("seal", "--log", str(self.place / "log"), "--plan", str(self.plan), "-o", "json", code=code)

    def read(self):
        """The payloads of the whole line, over chunks and log."""
        end = len(self.appended)
        if end == 0:
            return []
        run = self.loghold.run("read", "--plan", str(self.plan), "--log", str(self.place / "log"), f"0..{end}")
        lines = [json.loads(line) for line in run.stdout.splitlines()]
        assert [line["block"] for line in lines] == list(range(end)), "a hole or a repeat"
        return [line["text"].encode() for line in lines]

    def sealed(self):
        """How many records the store alone shows."""
        run = self.loghold.run("read", f"file://{self.place}/sealed", "0..1000000000", "-o", "json", code=None)
        assert run.code in (0, 3, 4), run
        return len(run.json()) if run.stdout else 0

    def seals_more_than(self, told):
        """Whether a chunk is due that no sealer has told of, and none can have published in silence."""
        return len(self.appended) - 3 >= self.sealed() + RECORDS_PER_CHUNK


def of_chunks(running):
    return [json.loads(text) for text in running.lines()]
