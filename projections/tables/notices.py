"""Everything that tools are told."""

from collections.abc import Mapping
from typing import Final

from projections.tables.records import ANY, ASKED, OF_CASE, OF_TOOL

TABLES: Final = (
    # A notice in one row, without any value that it carries.
    """
    CREATE TABLE {views}.notices (
        position {number} PRIMARY KEY,
        id {text} NOT NULL UNIQUE,
        stream {text} NOT NULL,
        tool {text} NOT NULL,
        collection {text} NOT NULL,
        case_id {text} NOT NULL,
        why {text} NOT NULL,
        recorded_at {text} NOT NULL,
        version {number} NOT NULL,
        type {text} NOT NULL,
        status_field {text} NOT NULL,
        word {text} NOT NULL,
        request {text} NOT NULL,
        reaction {text} NOT NULL,
        case_version {number} NOT NULL,
        state {text} NOT NULL,
        ended_at {text} NOT NULL,
        ended_why {text} NOT NULL,
        newer {text} NOT NULL,
        attempts {number} NOT NULL,
        status {number} NOT NULL
    )
    """,
)
INDEXES: Final = (
    "CREATE INDEX IF NOT EXISTS notices_tool ON {on}notices (tool, position)",
    "CREATE INDEX IF NOT EXISTS notices_state ON {on}notices (state, position)",
    "CREATE INDEX IF NOT EXISTS notices_case ON {on}notices (collection, case_id, position)",
)

# Write notices as they are now.
UPSERT_NOTICES: Final = """
INSERT INTO {views}.notices (
    position, id, stream, tool, collection, case_id, why, recorded_at, version, type, status_field,
    word, request, reaction, case_version, state, ended_at, ended_why, newer, attempts, status
)
SELECT CAST(value ->> 0 AS bigint), value ->> 1, value ->> 2, value ->> 3, value ->> 4,
    value ->> 5, value ->> 6, value ->> 7, CAST(value ->> 8 AS bigint), value ->> 9, value ->> 10,
    value ->> 11, value ->> 12, value ->> 13, CAST(value ->> 14 AS bigint), value ->> 15,
    value ->> 16, value ->> 17, value ->> 18, CAST(value ->> 19 AS bigint),
    CAST(value ->> 20 AS bigint)
FROM {views}.json_each(:rows) WHERE true
ON CONFLICT (position) DO UPDATE SET state = excluded.state, ended_at = excluded.ended_at,
    ended_why = excluded.ended_why, newer = excluded.newer, attempts = excluded.attempts,
    status = excluded.status
"""

_OF_NOTICES: Final = """
SELECT r.position, r.id, r.stream, r.tool, r.collection, r.case_id, r.why, r.recorded_at,
    r.version, r.type, r.status_field, r.word, r.request, r.reaction, r.case_version, r.state,
    r.ended_at, r.ended_why, r.newer, r.attempts, r.status
"""

# Notices by their ids.
SELECT_NOTICES_NAMED: Final = (
    _OF_NOTICES
    + """
FROM {views}.json_each(:ids) AS one JOIN {views}.notices AS r ON r.id = one.value ->> 0
"""
)

# What a list of notices may ask.
_NOTICES_ASKED: Final = (
    """
    AND (:sort = '' OR r.state = :sort)
    AND (:type = '' OR r.type = :type)
    AND (:ended_since = '' OR r.ended_at >= :ended_since)
"""
    + ASKED
)

_PAGE: Final = _OF_NOTICES + "FROM {views}.notices AS r WHERE "

# A page of notices, newest first, by whatever leads to few of them.
SELECT_NOTICES: Final[Mapping[str, str]] = {
    "case_id": _PAGE + OF_CASE + _NOTICES_ASKED,
    "sort": _PAGE + "r.state = :sort" + _NOTICES_ASKED,
    "tool": _PAGE + OF_TOOL + _NOTICES_ASKED,
    "": _PAGE + ANY + _NOTICES_ASKED,
}

# Of the newest notices of a tool that wait, no more than `most`, how many are of each collection,
# and since when the first of them is due.
COUNT_WAITING: Final = """
SELECT w.collection, count(*), min(w.recorded_at) FROM (
    SELECT n.collection, n.recorded_at FROM {views}.notices AS n
    WHERE n.tool = :tool AND n.state = 'waiting' ORDER BY n.position DESC LIMIT :most
) AS w GROUP BY w.collection
"""
