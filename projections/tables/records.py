"""How many records there are of each sort."""

from typing import Final

RECORD_TABLES: Final = (
    # How many records there are of each sort: by read model, tool and name.
    """
    CREATE TABLE {views}.record_counts (
        model {text} NOT NULL,
        tool {text} NOT NULL,
        name {text} NOT NULL,
        number {number} NOT NULL,
        PRIMARY KEY (model, tool, name)
    ) {clustered}
    """,
)

# Count so many more.
UPSERT_RECORD_COUNTS: Final = """
INSERT INTO {views}.record_counts (model, tool, name, number)
SELECT value ->> 0, value ->> 1, value ->> 2, CAST(value ->> 3 AS bigint)
FROM {views}.json_each(:rows) WHERE true
ON CONFLICT (model, tool, name) DO UPDATE
    SET number = record_counts.number + excluded.number
"""

# What was counted.
SELECT_RECORD_COUNTS: Final = """
SELECT tool, name, number FROM {views}.record_counts WHERE model = :model AND number <> 0
ORDER BY tool, name
"""
