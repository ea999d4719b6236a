"""Everything that tools are told."""

from typing import Final

NOTICE_TABLES: Final = (
    # A notice in one row, without any value that it carries.
    """
    CREATE TABLE {views}.notices (
        position {number} PRIMARY KEY,
        id {text} NOT NULL UNIQUE,
        stream {text} NOT NULL,
        version {number} NOT NULL,
        tool {text} NOT NULL,
        collection {text} NOT NULL,
        case_id {text} NOT NULL,
        type {text} NOT NULL,
        status_field {text} NOT NULL,
        word {text} NOT NULL,
        request {text} NOT NULL,
        reaction {text} NOT NULL,
        why {text} NOT NULL,
        case_version {number} NOT NULL,
        due_at {text} NOT NULL,
        state {text} NOT NULL,
        ended_at {text} NOT NULL,
        ended_why {text} NOT NULL,
        newer {text} NOT NULL,
        attempts {number} NOT NULL,
        status {number} NOT NULL
    )
    """,
)
NOTICE_INDEXES: Final = (
    "CREATE INDEX IF NOT EXISTS notices_tool ON {on}notices (tool, position)",
    "CREATE INDEX IF NOT EXISTS notices_state ON {on}notices (state, position)",
    "CREATE INDEX IF NOT EXISTS notices_case ON {on}notices (collection, case_id, position)",
)

# Write notices as they are now.
UPSERT_NOTICES: Final = """
INSERT INTO {views}.notices (
    position, id, stream, version, tool, collection, case_id, type, status_field, word, request,
    reaction, why, case_version, due_at, state, ended_at, ended_why, newer, attempts, status
)
SELECT CAST(value ->> 0 AS bigint), value ->> 1, value ->> 2, CAST(value ->> 3 AS bigint),
    value ->> 4, value ->> 5, value ->> 6, value ->> 7, value ->> 8, value ->> 9, value ->> 10,
    value ->> 11, value ->> 12, CAST(value ->> 13 AS bigint), value ->> 14, value ->> 15,
    value ->> 16, value ->> 17, value ->> 18, CAST(value ->> 19 AS bigint),
    CAST(value ->> 20 AS bigint)
FROM {views}.json_each(:rows) WHERE true
ON CONFLICT (position) DO UPDATE SET state = excluded.state, ended_at = excluded.ended_at,
    ended_why = excluded.ended_why, newer = excluded.newer, attempts = excluded.attempts,
    status = excluded.status
"""

_OF_NOTICES: Final = """
SELECT n.position, n.id, n.stream, n.version, n.tool, n.collection, n.case_id, n.type,
    n.status_field, n.word, n.request, n.reaction, n.why, n.case_version, n.due_at, n.state,
    n.ended_at, n.ended_why, n.newer, n.attempts, n.status
"""

# Notices by their ids.
SELECT_NOTICES_NAMED: Final = (
    _OF_NOTICES
    + """
FROM {views}.json_each(:ids) AS one JOIN {views}.notices AS n ON n.id = one.value ->> 0
"""
)

# What a list of notices may ask; each empty where it is not asked.
_NOTICES_ASKED: Final = """
    AND n.position < :before
    AND (:tool = '' OR n.tool = :tool)
    AND (:state = '' OR n.state = :state)
    AND (:why = '' OR n.why = :why)
    AND (:collection = '' OR n.collection = :collection)
    AND (:case_id = '' OR n.case_id = :case_id)
    AND (:since = '' OR n.due_at >= :since)
    AND (:until = '' OR n.due_at < :until)
ORDER BY n.position DESC LIMIT :most
"""

# A page of notices, newest first, by whatever leads to few of them.
SELECT_NOTICES: Final = (
    _OF_NOTICES + "FROM {views}.notices AS n WHERE n.position > 0" + _NOTICES_ASKED
)
SELECT_NOTICES_OF_TOOL: Final = (
    _OF_NOTICES + "FROM {views}.notices AS n WHERE n.tool = :tool" + _NOTICES_ASKED
)
SELECT_NOTICES_IN_STATE: Final = (
    _OF_NOTICES + "FROM {views}.notices AS n WHERE n.state = :state" + _NOTICES_ASKED
)
SELECT_NOTICES_OF_CASE: Final = (
    _OF_NOTICES
    + "FROM {views}.notices AS n WHERE n.collection = :collection AND n.case_id = :case_id"
    + _NOTICES_ASKED
)

# Of the newest notices of a tool that wait, no more than `most`, how many are of each collection.
COUNT_WAITING: Final = """
SELECT w.collection, count(*) FROM (
    SELECT n.collection FROM {views}.notices AS n
    WHERE n.tool = :tool AND n.state = 'waiting' ORDER BY n.position DESC LIMIT :most
) AS w GROUP BY w.collection
"""
