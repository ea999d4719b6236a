"""How far the read models have come, and the cases that they could not digest."""

from typing import Final

TABLES: Final = (
    # How far the read models have come, in one row, which is locked by who goes on. Every
    # `seen_at` is the latest `recorded_at` of all that was read: it never runs back. `unscrubbed`
    # counts the erasings whose traces may still be in a file. `build` tells one making of all these
    # tables from the next: what a process remembers of the rows holds for one of them.
    """
    CREATE TABLE {views}.followed (
        one {number} PRIMARY KEY CHECK (one = 1),
        schema_version {number} NOT NULL,
        build {text} NOT NULL,
        made_with {text} NOT NULL,
        position {number} NOT NULL,
        seen_at {text} NOT NULL,
        unscrubbed {number} NOT NULL
    )
    """,
    # The cases that a read model could not digest, from which event on, and why.
    """
    CREATE TABLE {views}.stale (
        model {text} NOT NULL,
        collection {text} NOT NULL,
        id {text} NOT NULL,
        position {number} NOT NULL,
        error {text} NOT NULL,
        PRIMARY KEY (model, collection, id)
    ) {clustered}
    """,
)

# Stand at the beginning of the log.
INSERT_FOLLOWED: Final = """
INSERT INTO {views}.followed
    (one, schema_version, build, made_with, position, seen_at, unscrubbed)
VALUES (1, :schema_version, :build, :made_with, 0, '', 0)
"""

# Which version of the tables these are; every version has to keep this one readable.
SELECT_SCHEMA_VERSION: Final = "SELECT schema_version FROM {views}.followed"

# How far the read models have come.
SELECT_FOLLOWED: Final = "SELECT position, seen_at, made_with, build FROM {views}.followed"

# The same, for whoever gets hold of it: PostgreSQL only, SQLite locks the file.
LOCK_FOLLOWED: Final = """
SELECT position, seen_at, made_with FROM {views}.followed FOR UPDATE SKIP LOCKED
"""

# The same, however long somebody else holds it: PostgreSQL only.
WAIT_FOR_FOLLOWED: Final = "SELECT position FROM {views}.followed FOR UPDATE"

# Come further.
UPDATE_FOLLOWED: Final = """
UPDATE {views}.followed SET position = :position, seen_at = :seen_at,
    unscrubbed = unscrubbed + :erased
"""

# How much is to be scrubbed, and that it was.
SELECT_UNSCRUBBED: Final = "SELECT unscrubbed FROM {views}.followed"
UPDATE_SCRUBBED: Final = "UPDATE {views}.followed SET unscrubbed = unscrubbed - :scrubbed"

# What is parked.
SELECT_STALE: Final = "SELECT model, collection, id, position, error FROM {views}.stale"

# What is parked of a collection.
SELECT_STALE_IDS: Final = """
SELECT id FROM {views}.stale WHERE model = :model AND collection = :collection
ORDER BY id LIMIT :most
"""

# Park a case.
INSERT_STALE: Final = """
INSERT INTO {views}.stale (model, collection, id, position, error)
VALUES (:model, :collection, :id, :position, :error) ON CONFLICT DO NOTHING
"""
