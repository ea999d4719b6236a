"""What is asked of every list of records, and how many there are of each sort."""

from typing import Final

TABLES: Final = (
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

# What leads to few records: those of a tool, those of a case; or nothing does.
OF_TOOL: Final = "r.tool = :tool"
OF_CASE: Final = "r.collection = :collection AND r.case_id = :case_id"
ANY: Final = "r.position > 0"

# Where a page of a list begins, and its order: behind everything else that is asked.
NEWEST_FIRST: Final = """
    AND r.position < :place
ORDER BY r.position DESC LIMIT :most
"""
OLDEST_FIRST: Final = """
    AND r.position > :place
ORDER BY r.position LIMIT :most
"""

# What every list of records may ask, behind what it asks of its own; each empty where it is not
# asked. The newest first.
ASKED: Final = (
    """
    AND (:tool = '' OR r.tool = :tool)
    AND (:why = '' OR r.why = :why)
    AND (:collection = '' OR r.collection = :collection)
    AND (:case_id = '' OR r.case_id = :case_id)
    AND (:since = '' OR r.recorded_at >= :since)
    AND (:until = '' OR r.recorded_at < :until)
"""
    + NEWEST_FIRST
)


def oldest_first(statement: str) -> str:
    """Turn the statement of a page round."""
    assert statement.endswith(NEWEST_FIRST), statement
    return statement.removesuffix(NEWEST_FIRST) + OLDEST_FIRST
