"""Real Ethereum blocks from a log into typed tables: what DuckDB and Polars read is what was recorded.

Refuses made-up data: without the recorded blocks these tests are left out, and say so.
"""

import itertools
import json
import pathlib

import duckdb
import polars
import pytest

import real_chunks
from hold import Hold
from log1_writer import Writer

BUCKET = "sealed-real"
TYPES = {"block": 1, "transaction": 2, "log": 3}
PLAN = """
dataset = "ethereum-mainnet"
store = "file://{store}"
first_block = 17686110
numbering = {{ field = ["number", "block_number"] }}
finality = {{ lag = 1 }}
parent = {{ type = 1, hash = "hash", parent = "parent_hash" }}
layout = "{layout}"
[cut]
records = 2000
[[table]]
type = 1
file = "blocks.parquet"
columns = [
  {{ name = "hash", type = "utf8" }},
  {{ name = "parent_hash", type = "utf8" }},
  {{ name = "time", type = "timestamp_s", from = "timestamp" }},
  {{ name = "miner", type = "binary" }},
  {{ name = "gas_used", type = "u64" }},
  {{ name = "transaction_count", type = "u64" }},
]
[[table]]
type = 2
file = "transactions.parquet"
columns = [
  {{ name = "index", type = "u64" }},
  {{ name = "hash", type = "utf8" }},
  {{ name = "to", type = "utf8", optional = true }},
  {{ name = "value", type = "utf8" }},
  {{ name = "gas_used", type = "u64" }},
]
[[table]]
type = 3
file = "logs.parquet"
columns = [
  {{ name = "log_index", type = "u64" }},
  {{ name = "address", type = "binary" }},
  {{ name = "topics", type = "json" }},
  {{ name = "data", type = "binary" }},
]
"""


@pytest.fixture
def log(place, dice, real_source):
    """A log with the records as they lie in the file, a type for each kind."""
    directory = place / "log"
    directory.mkdir()
    writer = Writer(directory, "plain", 0, 1, dice)
    with open(real_chunks.find_records(), "rb") as lines:
        for line in lines:
            writer.append(TYPES[json.loads(line)["kind"]], line.rstrip(b"\n"))
    return directory


def place_of(line):
    """The block of a record, and its type: one run of the program appends one type."""
    record = json.loads(line)
    return record["number" if record["kind"] == "block" else "block_number"], TYPES[record["kind"]]


def sealed(binary, place, log, layout):
    loghold = Hold(binary, place / "data")
    plan = place / "plan.toml"
    plan.write_text(PLAN.format(store=place / "sealed", layout=layout))
    chunks = loghold.run("seal", "--log", str(log), "--plan", str(plan), "-o", "json").json()
    assert len(chunks) >= 3 and all(chunk["rejected"] == 0 for chunk in chunks)
    return loghold, plan, chunks


@pytest.mark.parametrize(("layout", "pattern"), [("loghold", "chunks/*"), ("sqd", "0*/*")])
def test_sealed_tables_hold_what_was_recorded(binary, place, log, real_source, layout, pattern):
    loghold, plan, chunks = sealed(binary, place, log, layout)
    # The newest block may still go on, and waits in the log.
    numbers = real_source.numbers[:-1]
    assert (chunks[0]["first_block"], chunks[-1]["last_block"]) == (numbers[0], numbers[-1])
    root = place / "sealed"
    glob = {table: f"read_parquet('{root}/{pattern}/{table}.parquet')" for table in real_source.tables}
    with duckdb.connect() as connection:
        rows = lambda query: connection.sql(query.format(**glob)).fetchall()
        for table in real_source.tables:
            expected = len(real_source.rows(table, set(numbers)))
            assert rows(f"SELECT count(*), count(DISTINCT transid) FROM {{{table}}}") == [(expected, expected)]
        gas = {row["number"]: row["gas_used"] for row in real_source.blocks if row["number"] in numbers}
        by_block = "SELECT block_number, sum(gas_used)::BIGINT FROM {transactions} GROUP BY ALL"
        assert dict(rows(by_block)) == gas, "the transactions' gas adds up to the blocks'"
        counts = "SELECT block_number, count(*) FROM {transactions} GROUP BY ALL"
        assert dict(rows(counts)) == dict(rows("SELECT block_number, transaction_count FROM {blocks}"))
        links = "SELECT c.block_number FROM {blocks} c JOIN {blocks} p ON c.parent_hash = p.hash ORDER BY ALL"
        assert [number for (number,) in rows(links)] == numbers[1:]
        times = dict(rows("SELECT block_number, strftime(time AT TIME ZONE 'UTC', '%Y-%m-%dT%H:%M:%SZ') FROM {blocks}"))
        assert times == {row["number"]: row["timestamp"] for row in real_source.blocks if row["number"] in numbers}
    logs = polars.read_parquet(f"{root}/{pattern}/logs.parquet").sort("block_number", "log_index")
    source = sorted(real_source.rows("logs", set(numbers)), key=lambda row: (row["block_number"], row["log_index"]))
    assert ["0x" + data.hex() for data in logs["data"]] == [row["data"] for row in source]
    assert [json.loads(topics) for topics in logs["topics"]] == [row["topics"] for row in source]


def test_chunks_and_log_are_one_line_of_all_that_was_recorded(binary, place, log, real_source):
    loghold, plan, _ = sealed(binary, place, log, "loghold")
    first, last = real_source.numbers[0], real_source.numbers[-1]
    read = loghold.run("read", "--plan", str(plan), "--log", str(log), f"{first}..={last}")
    lines = [json.loads(line) for line in read.stdout.splitlines()]
    assert [line["id"] for line in lines] == list(range(1, sum(map(len, real_source.tables.values())) + 1))
    hashes = [line["row"]["hash"] for line in lines if line["table"] == "blocks"]
    assert hashes == [row["hash"] for row in real_source.blocks]
    some = loghold.run("read", "--plan", str(plan), "--log", str(log), f"{first + 3}..{first + 5}")
    assert [json.loads(line) for line in some.stdout.splitlines()] == [
        line for line in lines if line["block"] in (first + 3, first + 4)
    ]


def test_records_go_in_at_one_end_and_engines_count_them_at_the_other(binary, place, moto, real_source):
    """`log append`, `seal` into a bucket, `apply` by a hold, DuckDB over its files: nothing of ours but the program."""
    nothing = place / "nothing"
    nothing.mkdir()
    moto.upload(BUCKET, nothing)
    loghold = Hold(binary, place / "data", moto.variables())
    log, plan = place / "log", place / "plan.toml"
    # moto forgets nothing between tests.
    url = f"s3://{BUCKET}/{place.name}"
    plan.write_text(PLAN.format(store="", layout="loghold").replace("file://", url))
    records = pathlib.Path(real_chunks.find_records()).read_text(encoding="utf-8").splitlines(keepends=True)
    for (_, type_no), lines in itertools.groupby(sorted(records, key=place_of), key=place_of):
        words = ["log", "append", "--log", str(log), "--create", "--type", str(type_no)]
        loghold.run(*words, stdin="".join(lines))
    sealed = loghold.run("seal", "--log", str(log), "--plan", str(plan), "-o", "json").json()
    fetched = loghold.run("apply", "--from", url, "--log", str(log)).stdout.splitlines()
    assert len(fetched) == len(sealed) >= 3
    consumers = loghold.run("log", "consumers", "--log", str(log), "-o", "json").json()
    assert {consumer["position"] for consumer in consumers} == {sealed[-1]["last_transid"]}

    first, end = sealed[0]["first_block"], sealed[-1]["last_block"] + 1
    assert [number for number in real_source.numbers if number < end] == real_source.numbers[:-1]
    for number in range(first, end):
        assert loghold.run("chunk", "find", "ethereum-mainnet", str(number)).stdout
    for table, kind in (("blocks", "block"), ("transactions", "transaction"), ("logs", "log")):
        files = loghold.run("files", "ethereum-mainnet", "--blocks", f"{first}..{end}", "--table", table).stdout.split()
        newest = real_source.rows(table, {real_source.numbers[-1]})
        grepped = sum(f'"kind":"{kind}"' in line for line in records) - len(newest)
        with duckdb.connect() as connection:
            assert connection.read_parquet(files).aggregate("count(*)").fetchall() == [(grepped,)], table


def test_engines_pass_over_row_groups_of_other_blocks(binary, place, dice):
    directory = place / "log"
    directory.mkdir()
    writer = Writer(directory, "plain", 0, 0, dice)
    count = 150_001
    for number in range(count):
        writer.append(1, b"%d" % number)
    loghold = Hold(binary, place / "data")
    plan = place / "plan.toml"
    plan.write_text(
        f"""dataset = "many"\nstore = "file://{place}/sealed"\nnumbering = "one-per-block"\nfinality = {{ lag = 1 }}
        [cut]\nrecords = 150000\n[[table]]\nfile = "records.parquet"\ncolumns = "raw"\n"""
    )
    [chunk] = loghold.run("seal", "--log", str(directory), "--plan", str(plan), "-o", "json").json()
    file = f"{place}/sealed/{chunk['path']}/records.parquet"
    with duckdb.connect() as connection:
        groups = connection.sql(
            f"SELECT row_group_num_rows, stats_min_value, stats_max_value FROM parquet_metadata('{file}') "
            "WHERE path_in_schema = 'block_number' ORDER BY row_group_id"
        ).fetchall()
        assert [(rows, int(low), int(high)) for rows, low, high in groups] == [
            (65536, 0, 65535),
            (65536, 65536, 131071),
            (18928, 131072, 149999),
        ]
        wanted = f"SELECT bytes::BLOB FROM read_parquet('{file}') WHERE block_number BETWEEN 140000 AND 140002"
        assert [bytes(row) for (row,) in connection.sql(wanted).fetchall()] == [b"140000", b"140001", b"140002"]
        plan_text = connection.sql(f"EXPLAIN ANALYZE {wanted}").fetchall()[0][1]
        scanned = connection.sql(f"SELECT count(*) FROM read_parquet('{file}') WHERE block_number >= 131072").fetchall()
        assert scanned == [(18928,)] and "block_number" in plan_text
