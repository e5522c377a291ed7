"""The chunks of a Loghold data directory, for DataFusion. Made by `loghold sql-init datafusion`; save it as
loghold_datafusion.py. It needs PyArrow, which DataFusion for Python comes with."""

import hashlib
import json
import os
import re

import pyarrow
import pyarrow.dataset

DATA_DIRS = @DIRS@

# Declared types: DataFusion would read every part of a path as a text, and compare numbers as such.
PARTS = [("first_block", pyarrow.uint64()), ("last_block", pyarrow.uint64()), ("chunk", pyarrow.string())]


def dataset_id(dataset):
    """A dataset's name stands for its SHA-256; an id stands for itself."""
    if re.fullmatch("0x[0-9a-fA-F]{64}", dataset):
        return dataset.lower()
    return "0x" + hashlib.sha256(dataset.encode()).hexdigest()


def loghold_chunks(context, name, dataset, table):
    """Registers a table of a dataset. A query that says `first_block < b and last_block >= a` opens only the files of
    the chunks that have a block in a..b.

    A chunk that is removed meanwhile ends the query with an error; `loghold with` keeps that from happening.
    """
    below = f"dataset_id={dataset_id(dataset)}"
    roots = [os.path.join(root, below) for root in DATA_DIRS if os.path.isdir(os.path.join(root, below))]
    if not roots:
        raise FileNotFoundError(f"no chunk of {dataset} is here")
    names = [name] if len(roots) == 1 else [f"{name}_{number}" for number in range(len(roots))]
    for each, root in zip(names, roots):
        # Below the dataset: what is being fetched lies elsewhere. The slash keeps out tables whose names end alike.
        context.register_listing_table(each, f"{root}/", table_partition_cols=PARTS, file_extension=f"/{table}.parquet")
    if len(names) > 1:
        union = " UNION ALL ".join(f'SELECT * FROM "{each}"' for each in names)
        context.sql(f'CREATE VIEW "{name}" AS {union}').collect()


def loghold_leased(context, name, table):
    """Registers the files that the lease of `loghold with` holds."""
    with open(os.environ["LOGHOLD_FILES_JSON"], encoding="utf-8") as listed:
        files = [file["path"] for file in json.load(listed) if file["name"] == f"{table}.parquet"]
    schema = pyarrow.schema([("dataset_id", pyarrow.string()), *PARTS])
    parts = pyarrow.dataset.partitioning(schema, flavor="hive")
    context.register_dataset(name, pyarrow.dataset.dataset(files, format="parquet", partitioning=parts))
