"""How the tables of all read models are made, and what the databases differ in."""

from typing import Final

from projections.tables import board, drift, follower, messages, notices, records

SCHEMA_VERSION: Final = 6
"""Raised with every change of a table here, or of what a read model writes into one."""

TABLES: Final = (
    *(*follower.TABLES, *board.TABLES, *records.TABLES),
    *(*messages.TABLES, *notices.TABLES, *drift.TABLES),
)
INDEXES: Final = (*board.INDEXES, *messages.INDEXES, *notices.INDEXES, *drift.INDEXES)
"""Made with the tables, or where much is written at once, after it."""

# PostgreSQL takes a JSON list apart as SQLite does.
CREATE_JSON_EACH: Final = """
CREATE FUNCTION {views}.json_each(rows text) RETURNS TABLE (value jsonb)
LANGUAGE sql IMMUTABLE AS $$ SELECT jsonb_array_elements(rows::jsonb) $$
"""
CREATE_SCHEMA: Final = "CREATE SCHEMA {views}"
DROP_SCHEMA: Final = "DROP SCHEMA IF EXISTS {views} CASCADE"
RENAME_SCHEMA: Final = "ALTER SCHEMA {built} RENAME TO {views}"

# Tell the planner what there is: what was built at once has not been looked at yet.
ANALYZE: Final = "ANALYZE {views}.board, {views}.board_states, {views}.board_words"

# Whether the schema is there.
SELECT_SCHEMA: Final = "SELECT 1 FROM pg_namespace WHERE nspname = :name"

# Keep others of the same purpose out until the end of the transaction, or see that one is at it.
CLAIM: Final = "SELECT pg_advisory_xact_lock(hashtext(:name))"
TRY_CLAIM: Final = "SELECT pg_try_advisory_xact_lock(hashtext(:name))"
