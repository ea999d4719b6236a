"""Everything that was heard."""

from collections.abc import Mapping
from typing import Final

from projections.tables.records import ANY, ASKED, OF_CASE, OF_TOOL

TABLES: Final = (
    # A message in one row, without any value that it holds. What is not known is empty text.
    """
    CREATE TABLE {views}.messages (
        position {number} PRIMARY KEY,
        id {text} NOT NULL UNIQUE,
        stream {text} NOT NULL,
        tool {text} NOT NULL,
        collection {text} NOT NULL,
        case_id {text} NOT NULL,
        why {text} NOT NULL,
        recorded_at {text} NOT NULL,
        ref {text} NOT NULL,
        kind {text} NOT NULL,
        event_id {text} NOT NULL,
        status_field {text} NOT NULL,
        word {text} NOT NULL,
        fields {text} NOT NULL,
        at {text} NOT NULL,
        outcome {text} NOT NULL,
        expected {text} NOT NULL,
        times {number} NOT NULL,
        unread {text} NOT NULL
    )
    """,
)
INDEXES: Final = (
    "CREATE INDEX IF NOT EXISTS messages_tool ON {on}messages (tool, position)",
    "CREATE INDEX IF NOT EXISTS messages_outcome ON {on}messages (outcome, position)",
    "CREATE INDEX IF NOT EXISTS messages_case ON {on}messages (collection, case_id, position)",
    "CREATE INDEX IF NOT EXISTS messages_again ON {on}messages (position) WHERE times > 1",
)

# Write messages as they are now.
UPSERT_MESSAGES: Final = """
INSERT INTO {views}.messages (
    position, id, stream, tool, collection, case_id, why, recorded_at, ref, kind, event_id,
    status_field, word, fields, at, outcome, expected, times, unread
)
SELECT CAST(value ->> 0 AS bigint), value ->> 1, value ->> 2, value ->> 3, value ->> 4,
    value ->> 5, value ->> 6, value ->> 7, value ->> 8, value ->> 9, value ->> 10, value ->> 11,
    value ->> 12, value ->> 13, value ->> 14, value ->> 15, value ->> 16,
    CAST(value ->> 17 AS bigint), value ->> 18
FROM {views}.json_each(:rows) WHERE true
ON CONFLICT (position) DO UPDATE SET case_id = excluded.case_id, why = excluded.why,
    status_field = excluded.status_field, word = excluded.word, fields = excluded.fields,
    at = excluded.at, outcome = excluded.outcome, expected = excluded.expected,
    times = excluded.times
"""

_OF_MESSAGES: Final = """
SELECT r.position, r.id, r.stream, r.tool, r.collection, r.case_id, r.why, r.recorded_at, r.ref,
    r.kind, r.event_id, r.status_field, r.word, r.fields, r.at, r.outcome, r.expected, r.times,
    r.unread
"""

# Messages by their ids.
SELECT_MESSAGES_NAMED: Final = (
    _OF_MESSAGES
    + """
FROM {views}.json_each(:ids) AS one JOIN {views}.messages AS r ON r.id = one.value ->> 0
"""
)

# What a list of messages may ask. With `again` 1 only what came more than once.
_MESSAGES_ASKED: Final = (
    """
    AND (:sort = '' OR r.outcome = :sort)
    AND (:again = 0 OR r.times > 1)
"""
    + ASKED
)

_PAGE: Final = _OF_MESSAGES + "FROM {views}.messages AS r WHERE "

# A page of messages, newest first, by whatever leads to few of them.
SELECT_MESSAGES: Final[Mapping[str, str]] = {
    "case_id": _PAGE + OF_CASE + _MESSAGES_ASKED,
    "again": _PAGE + "r.times > 1" + _MESSAGES_ASKED,
    "sort": _PAGE + "r.outcome = :sort" + _MESSAGES_ASKED,
    "tool": _PAGE + OF_TOOL + _MESSAGES_ASKED,
    "": _PAGE + ANY + _MESSAGES_ASKED,
}
