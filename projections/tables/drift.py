"""Where a tool and the shared state differ."""

from typing import Final

DRIFT_TABLES: Final = (
    # A difference between a tool and the shared state in one row, without any personal value. It
    # stands where `standing` is 1; it is silent before `silent_until`, which is empty unless it was
    # dismissed.
    """
    CREATE TABLE {views}.drift (
        position {number} PRIMARY KEY,
        id {text} NOT NULL UNIQUE,
        stream {text} NOT NULL,
        version {number} NOT NULL,
        tool {text} NOT NULL,
        collection {text} NOT NULL,
        case_id {text} NOT NULL,
        field {text} NOT NULL,
        is_word {number} NOT NULL,
        expected {text} NOT NULL,
        reported {text} NOT NULL,
        why {text} NOT NULL,
        message {text} NOT NULL,
        found_at {text} NOT NULL,
        standing {number} NOT NULL,
        silent_until {text} NOT NULL,
        ended_at {text} NOT NULL,
        how {text} NOT NULL,
        reason {text} NOT NULL,
        ended_by {text} NOT NULL
    )
    """,
)
DRIFT_INDEXES: Final = (
    "CREATE INDEX IF NOT EXISTS drift_standing ON {on}drift (standing, position)",
    "CREATE INDEX IF NOT EXISTS drift_case ON {on}drift (collection, case_id, standing, position)",
)

# Write differences as they are now.
UPSERT_DRIFT: Final = """
INSERT INTO {views}.drift (
    position, id, stream, version, tool, collection, case_id, field, is_word, expected, reported,
    why, message, found_at, standing, silent_until, ended_at, how, reason, ended_by
)
SELECT CAST(value ->> 0 AS bigint), value ->> 1, value ->> 2, CAST(value ->> 3 AS bigint),
    value ->> 4, value ->> 5, value ->> 6, value ->> 7, CAST(value ->> 8 AS bigint), value ->> 9,
    value ->> 10, value ->> 11, value ->> 12, value ->> 13, CAST(value ->> 14 AS bigint),
    value ->> 15, value ->> 16, value ->> 17, value ->> 18, value ->> 19
FROM {views}.json_each(:rows) WHERE true
ON CONFLICT (position) DO UPDATE SET version = excluded.version, expected = excluded.expected,
    why = excluded.why, standing = excluded.standing, silent_until = excluded.silent_until,
    ended_at = excluded.ended_at, how = excluded.how, reason = excluded.reason,
    ended_by = excluded.ended_by
"""

_OF_DRIFT: Final = """
SELECT d.position, d.id, d.stream, d.version, d.tool, d.collection, d.case_id, d.field, d.is_word,
    d.expected, d.reported, d.why, d.message, d.found_at, d.standing, d.silent_until, d.ended_at,
    d.how, d.reason, d.ended_by
"""

# Differences by their ids.
SELECT_DRIFT_NAMED: Final = (
    _OF_DRIFT
    + """
FROM {views}.json_each(:ids) AS one JOIN {views}.drift AS d ON d.id = one.value ->> 0
"""
)

# What a list of differences may ask; each empty where it is not asked. What is silent at a moment
# is asked for with `silent` 1, what is not with 0, either with -1.
_DRIFT_ASKED: Final = """
    AND d.position < :before
    AND d.standing = :standing
    AND (:silent = -1 OR (:silent = 0 AND d.silent_until <= :now)
        OR (:silent = 1 AND d.silent_until > :now))
    AND (:tool = '' OR d.tool = :tool)
    AND (:why = '' OR d.why = :why)
    AND (:collection = '' OR d.collection = :collection)
    AND (:case_id = '' OR d.case_id = :case_id)
    AND (:since = '' OR d.found_at >= :since)
ORDER BY d.position DESC LIMIT :most
"""

# A page of differences, newest first, of all cases or of one.
SELECT_DRIFT: Final = (
    _OF_DRIFT + "FROM {views}.drift AS d WHERE d.standing = :standing" + _DRIFT_ASKED
)
SELECT_DRIFT_OF_CASE: Final = (
    _OF_DRIFT
    + "FROM {views}.drift AS d WHERE d.collection = :collection AND d.case_id = :case_id"
    + _DRIFT_ASKED
)
