-- The chunks of a Loghold data directory, for DuckDB 1.4 and later. Made by `loghold sql-init duckdb`; use it as
--   loghold sql-init duckdb > loghold.sql; duckdb -init loghold.sql

-- A dataset's name stands for its SHA-256; an id stands for itself.
CREATE OR REPLACE MACRO loghold_dataset(dataset) AS
  CASE WHEN regexp_full_match(dataset, '0x[0-9a-fA-F]{64}') THEN lower(dataset) ELSE '0x' || sha256(dataset) END;

-- The rows of all chunks that have a block from `from_block` to before `before_block`: whole chunks, and only their files
-- are opened. Compare the table's own block number as well to cut the rows. A chunk that is removed meanwhile ends the
-- query with an error; `loghold with` keeps that from happening.
CREATE OR REPLACE MACRO loghold_chunks(dataset, table_name, from_block, before_block) AS TABLE
  SELECT * FROM read_parquet(
    @GLOBS@,
    hive_partitioning = true,
    hive_types = {dataset_id: VARCHAR, first_block: UBIGINT, last_block: UBIGINT, chunk: VARCHAR})
  WHERE first_block < before_block AND last_block >= from_block;

-- The rows of the files that a lease holds, once the variable `loghold_files` is their list: what is printed inside of
-- `loghold with` sets it.
CREATE OR REPLACE MACRO loghold_leased(table_name) AS TABLE
  SELECT * FROM read_parquet(
    list_filter(getvariable('loghold_files'), lambda file: file LIKE '%/' || table_name || '.parquet'),
    hive_partitioning = true,
    hive_types = {dataset_id: VARCHAR, first_block: UBIGINT, last_block: UBIGINT, chunk: VARCHAR});
