"""Engines that read while chunks arrive see whole chunks or nothing.

Refuses to look at what engines are not told to read: they get the documented globs.
"""

import pathlib

import duckdb
import polars
import pyarrow
import pyarrow.parquet
import pytest

from hold import descriptor, number_of, write_descriptors

ROWS = 1_000
CHUNKS = number_of("LOGHOLD_ENGINE_CHUNKS", 40)
GLOBS = {
    "named": "dataset_id=*/first_block=*/last_block=*/chunk=*/{table}.parquet",
    "short": "*/*/*/*/{table}.parquet",
}


def parquet(first):
    sink = pyarrow.BufferOutputStream()
    rows = {"number": list(range(first, first + ROWS)), "chunk_first": [first] * ROWS}
    pyarrow.parquet.write_table(pyarrow.table(rows), sink)
    return sink.getvalue().to_pybytes()


def serve(origin, count):
    """Chunks of two tables each, served one after the other."""
    descriptors = []
    for index in range(count):
        first = index * ROWS
        data = parquet(first)
        urls = {
            name: origin.put(f"{index}/{name}", data) for name in ("blocks.parquet", "logs.parquet")
        }
        descriptors.append(descriptor("engines", first, first + ROWS, urls))
    return descriptors


def seen_by_duckdb(glob):
    """Rows by file; nothing when no file is there yet."""
    with duckdb.connect() as connection:
        query = f"SELECT filename, count(*) FROM read_parquet('{glob}', filename = true, hive_partitioning = true) GROUP BY 1"
        try:
            return dict(connection.sql(query).fetchall())
        except duckdb.IOException as error:
            assert "No files found" in str(error), error
            return {}


def seen_by_polars(glob):
    scan = polars.scan_parquet(glob, hive_partitioning=True, include_file_paths="filename")
    try:
        return dict(scan.group_by("filename").len().collect().iter_rows())
    except polars.exceptions.ComputeError as error:
        assert "expanded paths were empty" in str(error), error
        return {}


ENGINES = {"duckdb": seen_by_duckdb, "polars": seen_by_polars}


def check_whole(hold, seen):
    for name, rows in seen.items():
        parts = pathlib.Path(name).relative_to(hold.data_dir).parts
        assert not parts[0].startswith("."), f"an engine read {name}"
        assert rows == ROWS, f"{name} was read with {rows} rows"


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("form", GLOBS)
def test_a_staged_file_that_is_whole_already_is_not_seen(hold, origin, place, engine, form):
    descriptors = serve(origin, 2)
    # All of the second chunk but its last file is there, and waits for that.
    origin.gate("1/logs.parquet", after_bytes=100)
    running = hold.start("-v", "chunk", "get", write_descriptors(place / "chunks.jsonl", descriptors))
    try:
        origin.wait_at_gate("1/logs.parquet")
        running.wait_reported(1)
        staged = hold.data_dir / ".staging" / descriptors[1]["id"]
        assert staged.is_dir(), "the test is empty: nothing is staged"
        for table, glob in ((table, GLOBS[form].format(table=table)) for table in ("blocks", "logs")):
            seen = ENGINES[engine](f"{hold.data_dir}/{glob}")
            check_whole(hold, seen)
            assert len(seen) == 1, f"{table}: {seen}"
        origin.open_gate("1/logs.parquet")
        assert running.ended().code == 0
        assert len(ENGINES[engine](f"{hold.data_dir}/{GLOBS[form].format(table='logs')}")) == 2
    finally:
        running.kill()


@pytest.mark.parametrize("engine", ENGINES)
def test_globs_in_a_loop_see_whole_chunks_only_and_never_fewer_of_them(hold, origin, place, engine):
    descriptors = serve(origin, CHUNKS)
    # Half of the chunks come while the engine looks, each after a look has ended.
    gated = [f"{index}/logs.parquet" for index in range(CHUNKS // 2, CHUNKS)]
    for path in gated:
        origin.gate(path, after_bytes=100)
    running = hold.start("-v", "chunk", "get", write_descriptors(place / "chunks.jsonl", descriptors))
    glob = f"{hold.data_dir}/{GLOBS['named'].format(table='blocks')}"
    look = ENGINES[engine]
    before, looks = set(), 0
    try:
        while running.process.poll() is None:
            reported = len(running.reported())
            seen = look(glob)
            check_whole(hold, seen)
            assert set(seen) >= before, f"these went away: {before - set(seen)}"
            assert len(seen) >= reported, "a chunk was reported ready and is not seen"
            before, looks = set(seen), looks + 1
            if gated and reported >= CHUNKS - len(gated) - 1:
                origin.open_gate(gated.pop(0))
        assert running.ended().code == 0
    finally:
        running.kill()
    assert len(look(glob)) == CHUNKS
    assert looks > CHUNKS // 2, f"only {looks} looks: the test is empty"
