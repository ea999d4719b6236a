"""The courier's book: what waits, who is at it, and how it goes with each tool."""

from typing import Final

BOOK_VERSION: Final = 2
"""Raised with every change of a table of the book; one of another version is made anew."""

# The book stands apart from the read models, and no rebuild touches it: `{views}` is its own file
# or schema. Times are milliseconds since 1970. `{locked}` is how PostgreSQL locks the rows that it
# selects, past those that others have; SQLite locks the file.
TABLES: Final = (
    # How far the book has followed the log, in one row.
    """
    CREATE TABLE {views}.book (
        one {number} PRIMARY KEY CHECK (one = 1),
        book_version {number} NOT NULL,
        position {number} NOT NULL
    )
    """,
    # A notice that has not ended. `due` is the position of its event, `turn` its place in the line
    # of its case and tool. It may be taken from `ready_at` on, which is null while another of its
    # line is before it, or it was given up; who takes it is its `holder`, and moves `ready_at` to
    # when the hold ends. `state` is waiting, given-up, or superseded (while it was under way).
    # `sent_at` is when the first attempt began; null where nothing was sent.
    """
    CREATE TABLE {views}.waiting (
        id {text} PRIMARY KEY,
        due {number} NOT NULL,
        turn {number} NOT NULL,
        tool {text} NOT NULL,
        collection {text} NOT NULL,
        line {text} NOT NULL,
        state {text} NOT NULL,
        attempts {number} NOT NULL,
        recovered {number} NOT NULL,
        ready_at {number},
        holder {text} NOT NULL,
        why {text} NOT NULL,
        sent_at {number}
    ) {clustered}
    """,
    # What is to be asked of a tool later.
    """
    CREATE TABLE {views}.plans (
        id {text} PRIMARY KEY,
        tool {text} NOT NULL,
        line {text} NOT NULL,
        fires_at {number} NOT NULL
    ) {clustered}
    """,
    # How it goes with a tool: failures in a row; the breaker, which has opened so often in a row
    # and is tried again at `open_until` (0: it is closed); when the tool wants to be left alone
    # until, and when the next one may start by its rate. The last two say what the log says.
    """
    CREATE TABLE {views}.flows (
        tool {text} PRIMARY KEY,
        failures {number} NOT NULL,
        opened {number} NOT NULL,
        open_until {number} NOT NULL,
        slow_until {number} NOT NULL,
        next_start {number} NOT NULL,
        failing {number} NOT NULL,
        stopped {number} NOT NULL
    ) {clustered}
    """,
    # How many notices each tool was ever due, and what became of those that have ended.
    """
    CREATE TABLE {views}.tallies (
        tool {text} NOT NULL,
        state {text} NOT NULL,
        number {number} NOT NULL,
        PRIMARY KEY (tool, state)
    ) {clustered}
    """,
    # What a steward is to be told, by the position of the event; `ready_at` is null once told.
    """
    CREATE TABLE {views}.alerts (
        position {number} PRIMARY KEY,
        at {number} NOT NULL,
        tool {text} NOT NULL,
        what {text} NOT NULL,
        why {text} NOT NULL,
        steward {text} NOT NULL,
        attempts {number} NOT NULL,
        ready_at {number}
    ) {clustered}
    """,
)
INDEXES: Final = (
    """
    CREATE INDEX IF NOT EXISTS waiting_ready ON {on}waiting (tool, collection, ready_at)
    WHERE ready_at IS NOT NULL
    """,
    """
    CREATE INDEX IF NOT EXISTS waiting_line ON {on}waiting (tool, line, turn)
    WHERE state <> 'given-up'
    """,
    "CREATE INDEX IF NOT EXISTS waiting_held ON {on}waiting (holder) WHERE holder <> ''",
    "CREATE INDEX IF NOT EXISTS waiting_state ON {on}waiting (tool, state)",
    "CREATE INDEX IF NOT EXISTS plans_fires ON {on}plans (fires_at)",
    "CREATE INDEX IF NOT EXISTS alerts_ready ON {on}alerts (ready_at) WHERE ready_at IS NOT NULL",
)

# Which version of the tables these are; every version has to keep this one readable.
SELECT_BOOK_VERSION: Final = "SELECT book_version FROM {views}.book"

# Stand at the beginning of the log.
INSERT_BOOK: Final = """
INSERT INTO {views}.book (one, book_version, position) VALUES (1, :book_version, 0)
"""

# How far the book has come; and the same, for whoever gets hold of it.
SELECT_BOOK: Final = "SELECT position FROM {views}.book"
LOCK_BOOK: Final = "SELECT position FROM {views}.book {locked}"

# Come further.
UPDATE_BOOK: Final = "UPDATE {views}.book SET position = :position"

_OF_WAITING: Final = """
SELECT w.id, w.due, w.turn, w.tool, w.collection, w.line, w.state, w.attempts, w.recovered,
    w.ready_at, w.holder, w.why, w.sent_at FROM {views}.waiting AS w
"""

# Some notices.
SELECT_WAITING: Final = (
    _OF_WAITING  # noqa: S608 - put together once, of constants
    + """
WHERE w.id IN (SELECT value ->> 0 FROM {views}.json_each(:ids))
"""
)

# Write notices as they are now.
UPSERT_WAITING: Final = """
INSERT INTO {views}.waiting (
    id, due, turn, tool, collection, line, state, attempts, recovered, ready_at, holder, why,
    sent_at
)
SELECT value ->> 0, CAST(value ->> 1 AS bigint), CAST(value ->> 2 AS bigint), value ->> 3,
    value ->> 4, value ->> 5, value ->> 6, CAST(value ->> 7 AS bigint),
    CAST(value ->> 8 AS bigint), CAST(value ->> 9 AS bigint), value ->> 10, value ->> 11,
    CAST(value ->> 12 AS bigint)
FROM {views}.json_each(:rows) WHERE true
ON CONFLICT (id) DO UPDATE SET turn = excluded.turn, state = excluded.state,
    attempts = excluded.attempts, recovered = excluded.recovered, ready_at = excluded.ready_at,
    holder = excluded.holder, why = excluded.why, sent_at = excluded.sent_at
"""

# Be done with notices.
DELETE_WAITING: Final = """
DELETE FROM {views}.waiting WHERE id IN (SELECT value ->> 0 FROM {views}.json_each(:ids))
"""

# The first of each of these lines, found once for each, whatever the planner makes of the rest.
_FIRSTS: Final = """
WITH firsts AS MATERIALIZED (
    SELECT (
        SELECT w.id FROM {views}.waiting AS w
        WHERE w.tool = l.value ->> 0 AND w.line = l.value ->> 1 AND w.state <> 'given-up'
        ORDER BY w.turn LIMIT 1
    ) AS id FROM {views}.json_each(:lines) AS l
)
"""

# Let the first of each of these lines be taken, where nobody may take it yet.
UPDATE_FIRST: Final = (
    _FIRSTS
    + """
UPDATE {views}.waiting SET ready_at = :now FROM firsts
WHERE waiting.id = firsts.id AND waiting.ready_at IS NULL
"""
)

# Let the first of each of these lines be taken at once, unless somebody has it.
UPDATE_HASTENED: Final = (
    _FIRSTS
    + """
UPDATE {views}.waiting SET ready_at = :now FROM firsts
WHERE waiting.id = firsts.id AND waiting.ready_at > :now AND waiting.holder = ''
"""
)

# When a tool's next notice of a collection may be taken.
SELECT_NEXT_READY: Final = """
SELECT ready_at FROM {views}.waiting
WHERE tool = :tool AND collection = :collection AND ready_at IS NOT NULL
ORDER BY ready_at LIMIT 1
"""

# When the next notice of each of these tools and collections may be taken, and when one may be
# tried before its time; only where any waits to be taken.
SELECT_DUE_AT: Final = """
SELECT tool, ready_at, open_until FROM (
    SELECT l.value ->> 0 AS tool, (
        SELECT w.ready_at FROM {views}.waiting AS w
        WHERE w.tool = l.value ->> 0 AND w.collection = l.value ->> 1 AND w.ready_at IS NOT NULL
        ORDER BY w.ready_at LIMIT 1
    ) AS ready_at, (
        SELECT f.open_until FROM {views}.flows AS f WHERE f.tool = l.value ->> 0 AND f.opened > 0
    ) AS open_until
    FROM {views}.json_each(:lines) AS l
) AS looked WHERE ready_at IS NOT NULL
"""

# The notices of a tool and a collection that may be taken, the longest ready first.
SELECT_READY: Final = (
    _OF_WAITING
    + """
WHERE w.tool = :tool AND w.collection = :collection AND w.ready_at <= :now
ORDER BY w.ready_at LIMIT :most {locked}
"""
)

# The same before their time, to try whether the tool works again; only those that nobody has.
SELECT_PROBE: Final = (
    _OF_WAITING
    + """
WHERE w.tool = :tool AND w.collection = :collection AND w.ready_at IS NOT NULL
    AND (w.holder = '' OR w.ready_at <= :now)
ORDER BY w.ready_at LIMIT :most {locked}
"""
)

# Take notices, which are sent now, or were already: of who is killed meanwhile nobody knows more.
UPDATE_TAKEN: Final = """
UPDATE {views}.waiting SET holder = :holder, ready_at = :until,
    sent_at = coalesce(sent_at, :now)
WHERE id IN (SELECT value ->> 0 FROM {views}.json_each(:ids))
"""

# Go on holding what one has.
UPDATE_HELD: Final = """
UPDATE {views}.waiting SET ready_at = :until WHERE holder = :holder
    AND id IN (SELECT value ->> 0 FROM {views}.json_each(:ids))
"""

# Try a notice again later; one that was superseded meanwhile is done with by `DELETE_RELEASED`.
UPDATE_LATER: Final = """
UPDATE {views}.waiting SET attempts = :attempts, ready_at = :ready_at, why = :why, holder = '',
    sent_at = :sent_at
WHERE id = :id AND holder = :holder AND state = 'waiting'
"""
DELETE_RELEASED: Final = """
DELETE FROM {views}.waiting WHERE id = :id AND holder = :holder AND state = 'superseded'
"""

# Plans: made, dropped, and those of some collections whose time has come.
INSERT_PLANS: Final = """
INSERT INTO {views}.plans (id, tool, line, fires_at)
SELECT value ->> 0, value ->> 1, value ->> 2, CAST(value ->> 3 AS bigint)
FROM {views}.json_each(:rows) WHERE true ON CONFLICT DO NOTHING
"""
DELETE_PLANS: Final = """
DELETE FROM {views}.plans WHERE id IN (SELECT value ->> 0 FROM {views}.json_each(:ids))
"""
SELECT_PLANS_DUE: Final = """
SELECT id, tool, line FROM {views}.plans WHERE fires_at <= :now AND EXISTS (
    SELECT 1 FROM {views}.json_each(:collections)
    WHERE substr(line, 1, length(value ->> 0) + 1) = (value ->> 0) || '/'
) ORDER BY fires_at LIMIT :most
"""

# How it goes with a tool.
INSERT_FLOW: Final = """
INSERT INTO {views}.flows
    (tool, failures, opened, open_until, slow_until, next_start, failing, stopped)
VALUES (:tool, 0, 0, 0, 0, 0, 0, 0) ON CONFLICT DO NOTHING
"""
_OF_FLOW: Final = """
SELECT tool, failures, opened, open_until, slow_until, next_start, failing, stopped
FROM {views}.flows
"""
SELECT_FLOWS: Final = _OF_FLOW + "ORDER BY tool"
LOCK_FLOW: Final = _OF_FLOW + "WHERE tool = :tool {locked}"
UPDATE_FLOW: Final = """
UPDATE {views}.flows SET failures = :failures, opened = :opened, open_until = :open_until,
    slow_until = :slow_until, next_start = :next_start
WHERE tool = :tool
"""
UPDATE_FLOW_SAID: Final = """
UPDATE {views}.flows SET failing = :failing, stopped = :stopped WHERE tool = :tool
"""
UPDATE_FLOW_RETRIED: Final = """
UPDATE {views}.flows SET open_until = CASE WHEN open_until > :now THEN :now ELSE open_until END
WHERE tool = :tool
"""

# Count so many more.
UPSERT_TALLIES: Final = """
INSERT INTO {views}.tallies (tool, state, number)
SELECT value ->> 0, value ->> 1, CAST(value ->> 2 AS bigint)
FROM {views}.json_each(:rows) WHERE true
ON CONFLICT (tool, state) DO UPDATE SET number = tallies.number + excluded.number
"""

# What was counted, and what waits, as of one moment.
SELECT_TALLIES: Final = """
SELECT tool, state, number FROM {views}.tallies
UNION ALL
SELECT tool, 'waiting', count(*) FROM {views}.waiting WHERE state = 'waiting' GROUP BY tool
"""

# A steward is to be told, unless the same was told since a moment.
INSERT_ALERT: Final = """
INSERT INTO {views}.alerts (position, at, tool, what, why, steward, attempts, ready_at)
SELECT :position, :at, :tool, :what, :why, :steward, 0, :at
WHERE NOT EXISTS (
    SELECT 1 FROM {views}.alerts AS a
    WHERE a.tool = :tool AND a.what = :what AND a.at > :since
)
ON CONFLICT DO NOTHING
"""
SELECT_ALERTS: Final = """
SELECT position, at, tool, what, why, steward, attempts FROM {views}.alerts
WHERE ready_at <= :now ORDER BY position LIMIT :most {locked}
"""
UPDATE_ALERT: Final = """
UPDATE {views}.alerts SET ready_at = :ready_at, attempts = :attempts WHERE position = :position
"""

# The fights that are not over, as far as they were told; and one that is.
SELECT_FIGHTS: Final = """
SELECT position, at, tool, what, why, steward, attempts FROM {views}.alerts WHERE what = 'fight'
"""
UPDATE_FIGHT: Final = """
UPDATE {views}.alerts SET what = 'fought' WHERE what = 'fight' AND tool = :tool AND why = :why
"""

# Forget what was told long ago, and is over.
DELETE_ALERTS: Final = """
DELETE FROM {views}.alerts WHERE ready_at IS NULL AND at < :before AND what <> 'fight'
"""
