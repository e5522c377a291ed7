"""Real blocks, real servers, real engines: what was fetched is what was recorded, through its whole life in a hold.

Refuses made-up data: without the recorded blocks these tests are left out, and say so.
"""

import json
import pathlib
import shutil
import sys

import duckdb
import polars
import pytest

import real_chunks
from hold import TABLES, Hold, descriptor, sha256, write_descriptors
from log_program import Process
from servers import Nginx

DATASET = "ethereum-mainnet"
BUCKET = "ethereum-mainnet"


@pytest.fixture(scope="session")
def published(real_source, tmp_path_factory):
    """The chunks as they are published, in the layout that `chunk import` reads."""
    directory = tmp_path_factory.mktemp("published")
    real_source.write(directory)
    return directory


@pytest.fixture
def nginx(published, place):
    server = Nginx(published, place / "nginx")
    yield server
    server.close()


@pytest.fixture
def filled(hold, nginx):
    """A hold with every chunk, from nginx, and nginx still running."""
    import_and_get(hold, nginx.url("json"), DATASET)
    return hold


def import_and_get(hold, source, dataset):
    """Imports, fetches, and returns the descriptors."""
    imported = hold.run("chunk", "import", source, "--dataset", dataset)
    got = hold.run("chunk", "get", "-", "-o", "json", stdin=imported.stdout)
    assert {chunk["state"] for chunk in got.json()} == {"ready"}, got
    return [json.loads(line) for line in imported.stdout.splitlines()]


def duck(hold, query):
    """Rows of a query in which `{table}` stands for reading a table through the Hive layout."""
    read = {table: f"read_parquet('{hold.glob(table)}', hive_partitioning = true)" for table in TABLES}
    with duckdb.connect() as connection:
        return connection.sql(query.format(**read)).fetchall()


def check_equal_to_source(hold, source):
    """Counts, gas and parent links, by DuckDB and by Polars, against the records themselves."""
    check_every_block_is_found(hold, source)
    for table in TABLES:
        assert duck(hold, f"SELECT count(*) FROM {{{table}}}") == [(len(source.tables[table]),)]
    gas = {row["number"]: row["gas_used"] for row in source.blocks}
    by_block = "SELECT block_number, sum(gas_used)::BIGINT FROM {transactions} GROUP BY ALL"
    assert dict(duck(hold, by_block)) == gas, "the transactions' gas adds up to the blocks'"
    assert dict(duck(hold, "SELECT number, gas_used FROM {blocks}")) == gas
    links = "SELECT child.number, parent.number FROM {blocks} child JOIN {blocks} parent ON child.parent_hash = parent.hash"
    assert sorted(duck(hold, links)) == [(number, number - 1) for number in source.numbers[1:]]

    blocks = polars.scan_parquet(hold.glob("blocks"), hive_partitioning=True).sort("number").collect()
    assert blocks["number"].to_list() == source.numbers
    assert blocks["hash"].to_list() == [row["hash"] for row in source.blocks]
    assert blocks["parent_hash"].to_list()[1:] == blocks["hash"].to_list()[:-1]
    assert blocks["gas_used"].sum() == sum(gas.values())
    logs = polars.scan_parquet(hold.glob("logs"), hive_partitioning=True)
    counted = logs.group_by("block_number").len().collect()
    for number, count in counted.iter_rows():
        assert count == len(source.rows("logs", {number}))
    inside = (polars.col("block_number") >= polars.col("first_block")) & (
        polars.col("block_number") <= polars.col("last_block")
    )
    assert logs.filter(~inside).collect().is_empty(), "a log lies outside of its chunk's blocks"


def check_every_block_is_found(hold, source):
    for numbers in source.ranges():
        for number in numbers:
            found = hold.run("chunk", "find", DATASET, str(number), "-o", "json").json()[0]
            assert found["block_range"] == {"start": numbers.start, "end": numbers.stop}
            names = {path.name for path in pathlib.Path(found["path"]).glob("*.parquet")}
            assert names == {f"{table}.parquet" for table in TABLES}


@pytest.mark.parametrize("listing", ["json", "html"])
def test_blocks_from_nginx_are_found_and_read_as_they_were_recorded(hold, nginx, real_source, listing):
    descriptors = import_and_get(hold, nginx.url(listing), DATASET)
    assert len(descriptors) == len(real_source.ranges())
    check_equal_to_source(hold, real_source)
    for outside in (real_source.numbers[0] - 1, real_source.numbers[-1] + 1):
        hold.run("chunk", "find", DATASET, str(outside), code=3)


@pytest.mark.parametrize("server", ["moto", "s3s_fs"])
def test_blocks_from_s3_are_found_and_read_as_they_were_recorded(
    binary, place, published, real_source, server, request
):
    s3 = request.getfixturevalue(server)
    s3.upload(BUCKET, published)
    hold = Hold(binary, place / "data", s3.variables())
    import_and_get(hold, f"s3://{BUCKET}/", DATASET)
    check_equal_to_source(hold, real_source)
    assert hold.run("chunk", "verify", "-o", "json").json() == []


def test_engines_read_only_the_files_that_a_filter_needs(filled, real_source, place):
    wanted = real_source.ranges()[2]
    block = wanted[1]
    for directory in filled.data_dir.glob("dataset_id=*/first_block=*/last_block=*/chunk=*"):
        first = int(directory.parent.parent.name.removeprefix("first_block="))
        # Engines take the schema from the first file; of the others only the wanted one stays readable.
        if first not in (wanted[0], real_source.numbers[0]):
            for table in TABLES:
                (directory / f"{table}.parquet").write_bytes(b"no parquet")

    where = f"first_block <= {block} AND last_block >= {block}"
    for table in TABLES:
        key = "number" if table == "blocks" else "block_number"
        query = f"SELECT count(*) FROM {{{table}}} WHERE {where} AND {key} = {block}"
        assert duck(filled, query) == [(len(real_source.rows(table, {block})),)]
        # Without the filter the unreadable files are met, so it was the filter that kept them out.
        with pytest.raises(duckdb.Error):
            duck(filled, f"SELECT count({key}) FROM {{{table}}}")
    with duckdb.connect() as connection:
        read = f"read_parquet('{filled.glob('blocks')}', hive_partitioning = true)"
        plan = connection.sql(f"EXPLAIN SELECT number FROM {read} WHERE {where}").fetchall()[0][1]
    assert "Scanning Files: 1/4" in plan, plan

    is_wanted = (polars.col("first_block") <= block) & (polars.col("last_block") >= block)
    for table in TABLES:
        scan = polars.scan_parquet(filled.glob(table), hive_partitioning=True).filter(is_wanted)
        paths = [part for part in scan.explain().replace("[", " ").replace("]", " ").split() if "/chunk=" in part]
        assert len(paths) == 1 and f"first_block={wanted[0]}/" in paths[0], scan.explain()
        assert len(scan.collect()) == len(real_source.rows(table, set(wanted)))


def test_files_of_a_range_are_named_exactly_and_gaps_are_told(filled, real_source):
    first, second = real_source.ranges()[:2]
    listed = filled.run(
        "chunk", "files", DATASET, "--table", "blocks", "--blocks", f"{first[3]}..{second[1]}"
    ).stdout.splitlines()
    assert len(listed) == 2
    with duckdb.connect() as connection:
        numbers = connection.execute("SELECT number FROM read_parquet(?) ORDER BY 1", [listed]).fetchall()
    assert [number for (number,) in numbers] == [*first, *second]
    beyond = real_source.numbers[-1]
    run = filled.run("chunk", "files", DATASET, "--table", "blocks", "--blocks", f"{beyond}..{beyond + 9}", code=4)
    assert str(beyond + 1) in run.stderr and len(run.stdout.splitlines()) == 1, run


def test_a_removed_chunk_is_hidden_at_once_and_open_files_stay_readable(filled, real_source):
    """Nothing pins here: the reader holds open files, which the system keeps until the last one is closed."""
    numbers = real_source.ranges()[1]
    block = str(numbers[0])
    found = filled.run("chunk", "find", DATASET, block, "-o", "json").json()[0]
    paths = filled.run("chunk", "files", DATASET, "--blocks", f"{numbers.start}..{numbers.stop}").stdout.splitlines()
    digests = {path: sha256(pathlib.Path(path).read_bytes()) for path in paths}
    readers = {path: open(path, "rb") for path in paths}
    try:
        removed = filled.run("chunk", "rm", found["id"], "-o", "json").json()
        assert [chunk["state"] for chunk in removed] == ["removed"]
        for path, reader in readers.items():
            assert sha256(reader.read()) == digests[path], f"{path} changed under its reader"
    finally:
        for reader in readers.values():
            reader.close()
    filled.run("chunk", "find", DATASET, block, code=3)
    assert not any(pathlib.Path(path).exists() for path in paths)
    assert not list((filled.data_dir / ".trash").glob("*")), "files of a removed chunk are left"
    left = [number for (number,) in duck(filled, "SELECT number FROM {blocks} ORDER BY 1")]
    assert left == [number for number in real_source.numbers if number not in numbers]


# Reads its files by their names, once when it begins and once when it is told to.
READER = """
import hashlib, json, os, sys
for _ in "ab":
    paths = os.environ["LOGHOLD_FILES"].splitlines()
    print(json.dumps({path: hashlib.sha256(open(path, "rb").read()).hexdigest() for path in paths}), flush=True)
    sys.stdin.readline()
"""


def test_a_chunk_that_is_removed_under_a_pin_is_hidden_at_once_and_its_files_go_with_the_pin(filled, real_source):
    numbers = real_source.ranges()[1]
    block, blocks = str(numbers[0]), f"{numbers.start}..{numbers.stop}"
    found = filled.run("chunk", "find", DATASET, block, "-o", "json").json()[0]
    paths = filled.run("chunk", "files", DATASET, "--blocks", blocks).stdout.splitlines()
    digests = {path: sha256(pathlib.Path(path).read_bytes()) for path in paths}
    assert {pathlib.Path(path).name for path in paths} == {f"{table}.parquet" for table in TABLES}
    reader = Process([*filled._command(["with", DATASET, blocks, "--"]), sys.executable, "-c", READER])
    try:
        reader.wait_lines(1)
        removed = filled.run("chunk", "rm", found["id"], "-o", "json").json()
        assert [chunk["state"] for chunk in removed] == ["retired"], removed
        filled.run("chunk", "find", DATASET, block, code=3)
        assert found["id"] not in filled.ready()
        # Another start in between lets the files be as well.
        assert filled.run("chunk", "verify", "-o", "json").json() == []
        reader.put(b"again\n")
        reader.wait_lines(2)
        assert [json.loads(line) for line in reader.lines()] == [digests, digests], "they changed under the pin"
        assert all(pathlib.Path(path).exists() for path in paths)
        reader.process.stdin.close()
        assert reader.ended() == 0, reader.errors
    finally:
        reader.kill()
    assert not any(pathlib.Path(path).exists() for path in paths), "the pin is gone and the files are not"
    assert not list((filled.data_dir / ".trash").glob("*")), "files of a removed chunk are left"
    filled.run("chunk", "find", DATASET, block, code=3)
    left = [number for (number,) in duck(filled, "SELECT number FROM {blocks} ORDER BY 1")]
    assert left == [number for number in real_source.numbers if number not in numbers]


def test_a_chunk_is_reassigned_without_a_moment_in_which_its_blocks_are_missing(
    filled, real_source, published, nginx, place
):
    numbers = real_source.ranges()[3]
    block = str(numbers[2])
    old = filled.run("chunk", "find", DATASET, block, "-o", "json").json()[0]
    # The same blocks, packed anew: other bytes under another id.
    again = pathlib.PurePath(real_source.chunk_path(numbers) + "x")
    real_source.write_chunk(published / again, numbers, compression="gzip")
    try:
        base = nginx.url("json")
        urls = {
            f"{table}.parquet": f"{base}{again}/{table}.parquet"
            f"#sha256={sha256((published / again / f'{table}.parquet').read_bytes())}"
            for table in TABLES
        }
        new = descriptor(DATASET, numbers.start, numbers.stop, urls, salt="packed anew")
        filled.run("chunk", "get", write_descriptors(place / "new.jsonl", [new]))
        # Of two that begin at the same block, the one that was published last is found.
        assert filled.run("chunk", "find", DATASET, block, "-o", "json").json()[0]["id"] == new["id"]
        filled.run("chunk", "rm", old["id"])
        assert filled.run("chunk", "find", DATASET, block, "-o", "json").json()[0]["id"] == new["id"]
        check_equal_to_source(filled, real_source)
        # An id names immutable content: other blocks under it are refused, and what is there stays.
        moved = {**new, "block_range": {"start": numbers.start, "end": numbers.stop + 1}}
        refused = filled.run("chunk", "get", write_descriptors(place / "moved.jsonl", [moved]), code=1)
        assert "hint:" in refused.stderr, refused
        check_every_block_is_found(filled, real_source)
    finally:
        shutil.rmtree(published / again)


@pytest.mark.parametrize("table", TABLES)
def test_a_flipped_byte_is_found_and_healed_by_verify(filled, real_source, dice, table):
    block = dice.choice(real_source.numbers)
    found = filled.run("chunk", "find", DATASET, str(block), "-o", "json").json()[0]
    path = pathlib.Path(found["path"]) / f"{table}.parquet"
    right = path.read_bytes()
    flip_a_byte(path, dice)
    healed = filled.run("chunk", "verify", "-o", "json").json()
    assert [(damage["id"], damage["is_healed"]) for damage in healed] == [(found["id"], True)], healed
    assert path.read_bytes() == right
    check_equal_to_source(filled, real_source)
    assert filled.run("chunk", "verify", "-o", "json").json() == []


def test_damage_that_cannot_be_healed_is_put_aside_and_told_until_its_source_is_back(
    filled, nginx, real_source, published, dice
):
    block = real_source.numbers[5]
    found = filled.run("chunk", "find", DATASET, str(block), "-o", "json").json()[0]
    flip_a_byte(pathlib.Path(found["path"]) / "logs.parquet", dice)
    gone = published / real_source.chunk_path(real_source.ranges()[1])
    aside = gone.with_name("aside")
    gone.rename(aside)
    try:
        run = filled.run("chunk", "verify", "-o", "json", code=5)
        assert [(damage["id"], damage["is_healed"]) for damage in run.json()] == [(found["id"], False)], run
        assert ".quarantine" in run.stderr, run
        filled.run("chunk", "find", DATASET, str(block), code=3)
        assert (block,) not in duck(filled, "SELECT number FROM {blocks}"), "a damaged chunk is still read"
    finally:
        aside.rename(gone)
    import_and_get(filled, nginx.url("json"), DATASET)
    check_equal_to_source(filled, real_source)


def flip_a_byte(path, dice):
    data = bytearray(path.read_bytes())
    data[dice.randrange(len(data))] ^= 1 << dice.randrange(8)
    path.write_bytes(data)


def test_the_source_is_what_its_own_description_says(real_source):
    assert [len(real_source.tables[table]) for table in TABLES] == [16, 2_933, 6_669]
    assert len(real_source.ranges()) == 16 // real_chunks.BLOCKS_PER_CHUNK
