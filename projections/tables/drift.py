"""Where a tool and the shared state differ."""

from collections.abc import Mapping
from typing import Final

from projections.tables.records import ASKED, OF_CASE

TABLES: Final = (
    # A difference between a tool and the shared state in one row, without any personal value. It
    # stands where `standing` is 1; it is silent before `silent_until`, which is empty unless it was
    # dismissed.
    """
    CREATE TABLE {views}.drift (
        position {number} PRIMARY KEY,
        id {text} NOT NULL UNIQUE,
        stream {text} NOT NULL,
        tool {text} NOT NULL,
        collection {text} NOT NULL,
        case_id {text} NOT NULL,
        why {text} NOT NULL,
        recorded_at {text} NOT NULL,
        version {number} NOT NULL,
        field {text} NOT NULL,
        is_word {number} NOT NULL,
        expected {text} NOT NULL,
        reported {text} NOT NULL,
        message {text} NOT NULL,
        standing {number} NOT NULL,
        silent_until {text} NOT NULL,
        ended_at {text} NOT NULL,
        how {text} NOT NULL,
        reason {text} NOT NULL,
        ended_by {text} NOT NULL
    )
    """,
)
INDEXES: Final = (
    "CREATE INDEX IF NOT EXISTS drift_standing ON {on}drift (standing, position)",
    "CREATE INDEX IF NOT EXISTS drift_case ON {on}drift (collection, case_id, standing, position)",
    # For the cases that tools differ from: which these are is read from the index alone, for which
    # SQLite wants to see there that they stand.
    """
    CREATE INDEX IF NOT EXISTS drift_open
    ON {on}drift (collection, standing, silent_until, tool, case_id) WHERE standing = 1
    """,
    """
    CREATE INDEX IF NOT EXISTS drift_silent ON {on}drift (silent_until)
    WHERE standing = 1 AND silent_until <> ''
    """,
)

# Write differences as they are now.
UPSERT_DRIFT: Final = """
INSERT INTO {views}.drift (
    position, id, stream, tool, collection, case_id, why, recorded_at, version, field, is_word,
    expected, reported, message, standing, silent_until, ended_at, how, reason, ended_by
)
SELECT CAST(value ->> 0 AS bigint), value ->> 1, value ->> 2, value ->> 3, value ->> 4,
    value ->> 5, value ->> 6, value ->> 7, CAST(value ->> 8 AS bigint), value ->> 9,
    CAST(value ->> 10 AS bigint), value ->> 11, value ->> 12, value ->> 13,
    CAST(value ->> 14 AS bigint), value ->> 15, value ->> 16, value ->> 17, value ->> 18,
    value ->> 19
FROM {views}.json_each(:rows) WHERE true
ON CONFLICT (position) DO UPDATE SET version = excluded.version, expected = excluded.expected,
    why = excluded.why, standing = excluded.standing, silent_until = excluded.silent_until,
    ended_at = excluded.ended_at, how = excluded.how, reason = excluded.reason,
    ended_by = excluded.ended_by
"""

_OF_DRIFT: Final = """
SELECT r.position, r.id, r.stream, r.tool, r.collection, r.case_id, r.why, r.recorded_at,
    r.version, r.field, r.is_word, r.expected, r.reported, r.message, r.standing, r.silent_until,
    r.ended_at, r.how, r.reason, r.ended_by
"""

# Differences by their ids.
SELECT_DRIFT_NAMED: Final = (
    _OF_DRIFT
    + """
FROM {views}.json_each(:ids) AS one JOIN {views}.drift AS r ON r.id = one.value ->> 0
"""
)

# What a list of differences may ask. What is silent at a moment is asked for with `silent` 1, what
# is not with 0, either with -1.
_DRIFT_ASKED: Final = (
    """
    AND r.standing = :standing
    AND (:silent = -1 OR (:silent = 0 AND r.silent_until <= :now)
        OR (:silent = 1 AND r.silent_until > :now))
"""
    + ASKED
)

_PAGE: Final = _OF_DRIFT + "FROM {views}.drift AS r WHERE "

# A page of differences, newest first, of all cases or of one.
SELECT_DRIFT: Final[Mapping[str, str]] = {
    "case_id": _PAGE + OF_CASE + _DRIFT_ASKED,
    "": _PAGE + "r.standing = :standing" + _DRIFT_ASKED,
}

# How many of each tool were dismissed until a time that has passed.
COUNT_DRIFT_AGAIN: Final = """
SELECT r.tool, count(*) FROM {views}.drift AS r INDEXED BY drift_silent
WHERE r.standing = 1 AND r.silent_until <> '' AND r.silent_until <= :now GROUP BY r.tool
"""
