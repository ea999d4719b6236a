"""Everything that was heard."""

from typing import Final

MESSAGE_TABLES: Final = (
    # A message in one row, without any value that it holds. What is not known is empty text.
    """
    CREATE TABLE {views}.messages (
        position {number} PRIMARY KEY,
        id {text} NOT NULL UNIQUE,
        stream {text} NOT NULL,
        tool {text} NOT NULL,
        collection {text} NOT NULL,
        case_id {text} NOT NULL,
        ref {text} NOT NULL,
        kind {text} NOT NULL,
        event_id {text} NOT NULL,
        status_field {text} NOT NULL,
        word {text} NOT NULL,
        fields {text} NOT NULL,
        at {text} NOT NULL,
        heard_at {text} NOT NULL,
        outcome {text} NOT NULL,
        why {text} NOT NULL,
        expected {text} NOT NULL,
        times {number} NOT NULL
    )
    """,
)
MESSAGE_INDEXES: Final = (
    "CREATE INDEX IF NOT EXISTS messages_tool ON {on}messages (tool, position)",
    "CREATE INDEX IF NOT EXISTS messages_outcome ON {on}messages (outcome, position)",
    "CREATE INDEX IF NOT EXISTS messages_case ON {on}messages (collection, case_id, position)",
)

# Write messages as they are now.
UPSERT_MESSAGES: Final = """
INSERT INTO {views}.messages (
    position, id, stream, tool, collection, case_id, ref, kind, event_id, status_field, word,
    fields, at, heard_at, outcome, why, expected, times
)
SELECT CAST(value ->> 0 AS bigint), value ->> 1, value ->> 2, value ->> 3, value ->> 4,
    value ->> 5, value ->> 6, value ->> 7, value ->> 8, value ->> 9, value ->> 10, value ->> 11,
    value ->> 12, value ->> 13, value ->> 14, value ->> 15, value ->> 16,
    CAST(value ->> 17 AS bigint)
FROM {views}.json_each(:rows) WHERE true
ON CONFLICT (position) DO UPDATE SET case_id = excluded.case_id,
    status_field = excluded.status_field, word = excluded.word, fields = excluded.fields,
    outcome = excluded.outcome, why = excluded.why, expected = excluded.expected,
    times = excluded.times
"""

_OF_MESSAGES: Final = """
SELECT m.position, m.id, m.stream, m.tool, m.collection, m.case_id, m.ref, m.kind, m.event_id,
    m.status_field, m.word, m.fields, m.at, m.heard_at, m.outcome, m.why, m.expected, m.times
"""

# Messages by their ids.
SELECT_MESSAGES_NAMED: Final = (
    _OF_MESSAGES
    + """
FROM {views}.json_each(:ids) AS one JOIN {views}.messages AS m ON m.id = one.value ->> 0
"""
)

# What a list of messages may ask; each empty where it is not asked.
_MESSAGES_ASKED: Final = """
    AND m.position < :before
    AND (:tool = '' OR m.tool = :tool)
    AND (:outcome = '' OR m.outcome = :outcome)
    AND (:why = '' OR m.why = :why)
    AND (:collection = '' OR m.collection = :collection)
    AND (:case_id = '' OR m.case_id = :case_id)
    AND (:since = '' OR m.heard_at >= :since)
    AND (:until = '' OR m.heard_at < :until)
ORDER BY m.position DESC LIMIT :most
"""

# A page of messages, newest first, by whatever leads to few of them.
SELECT_MESSAGES: Final = (
    _OF_MESSAGES + "FROM {views}.messages AS m WHERE m.position > 0" + _MESSAGES_ASKED
)
SELECT_MESSAGES_OF_TOOL: Final = (
    _OF_MESSAGES + "FROM {views}.messages AS m WHERE m.tool = :tool" + _MESSAGES_ASKED
)
SELECT_MESSAGES_OF_OUTCOME: Final = (
    _OF_MESSAGES + "FROM {views}.messages AS m WHERE m.outcome = :outcome" + _MESSAGES_ASKED
)
SELECT_MESSAGES_OF_CASE: Final = (
    _OF_MESSAGES
    + "FROM {views}.messages AS m WHERE m.collection = :collection AND m.case_id = :case_id"
    + _MESSAGES_ASKED
)
