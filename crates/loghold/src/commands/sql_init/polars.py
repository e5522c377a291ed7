"""The chunks of a Loghold data directory, for Polars. Made by `loghold sql-init polars`; save it as loghold_polars.py."""

import hashlib
import json
import os
import re

import polars

DATA_DIRS = @DIRS@

# Explicit types: an id of digits would be read as a number, and a block of more than 31 bits as a text.
SCHEMA = {
    "dataset_id": polars.String,
    "first_block": polars.UInt64,
    "last_block": polars.UInt64,
    "chunk": polars.String,
}


def dataset_id(dataset):
    """A dataset's name stands for its SHA-256; an id stands for itself."""
    if re.fullmatch("0x[0-9a-fA-F]{64}", dataset):
        return dataset.lower()
    return "0x" + hashlib.sha256(dataset.encode()).hexdigest()


def scan(files):
    return polars.scan_parquet(files, hive_partitioning=True, hive_schema=SCHEMA)


def loghold_chunks(dataset, table, from_block=0, before_block=2**64 - 1):
    """The rows of all chunks that have a block in the range: whole chunks, and only their files are opened.

    A chunk that is removed meanwhile ends the query with an error; `loghold with` keeps that from happening.
    """
    below = f"dataset_id={dataset_id(dataset)}"
    roots = [os.path.join(root, below) for root in DATA_DIRS if os.path.isdir(os.path.join(root, below))]
    if not roots:
        raise FileNotFoundError(f"no chunk of {dataset} is here")
    globs = [f"{root}/first_block=*/last_block=*/chunk=*/{table}.parquet" for root in roots]
    return scan(globs).filter(
        (polars.col("first_block") < before_block) & (polars.col("last_block") >= from_block)
    )


def loghold_leased(table):
    """The rows of the files that the lease of `loghold with` holds."""
    with open(os.environ["LOGHOLD_FILES_JSON"], encoding="utf-8") as listed:
        files = [file["path"] for file in json.load(listed) if file["name"] == f"{table}.parquet"]
    return scan(files)
