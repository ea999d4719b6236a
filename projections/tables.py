"""Every SQL statement of the read models, one text for both databases.

Values are `:named`. Four words are spelled for the database by `store`: `{views}`, where the tables
stand; `{text}` and `{number}`, columns of text in the order of its bytes and of whole numbers of 64
bits; `{clustered}`, the end of a table that is best kept in its key's order. Rows come in as one
JSON list of lists, taken apart by `json_each` (PostgreSQL is given a function of that name), so
that any number of them is one statement.
"""

from typing import Final

SCHEMA_VERSION: Final = 1
"""Raised with every change of a table here, or of what a read model writes into one."""

# --- the follower's own -------------------------------------------------------------------------

FOLLOWER_TABLES: Final = (
    # How far the read models have come, in one row, which is locked by who goes on. Every
    # `seen_at` is the latest `recorded_at` of all that was read: it never runs back. `unscrubbed`
    # counts the erasings whose traces may still be in a file.
    """
    CREATE TABLE {views}.followed (
        one {number} PRIMARY KEY CHECK (one = 1),
        schema_version {number} NOT NULL,
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
INSERT INTO {views}.followed (one, schema_version, made_with, position, seen_at, unscrubbed)
VALUES (1, :schema_version, :made_with, 0, '', 0)
"""

# Which version of the tables these are; every version has to keep this one readable.
SELECT_SCHEMA_VERSION: Final = "SELECT schema_version FROM {views}.followed"

# How far the read models have come.
SELECT_FOLLOWED: Final = "SELECT position, seen_at, made_with FROM {views}.followed"

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

# --- the board ----------------------------------------------------------------------------------

BOARD_TABLES: Final = (
    # A case in one row. `opened` is the position of its first event, `position` of its last change,
    # which was `seen_at`. Values are JSON; times have microseconds and so sort as text.
    """
    CREATE TABLE {views}.board (
        opened {number} PRIMARY KEY,
        collection {text} NOT NULL,
        id {text} NOT NULL,
        lifecycle {text} NOT NULL,
        lifecycle_version {number} NOT NULL,
        state {text} NOT NULL,
        since {text} NOT NULL,
        due_at {text},
        version {number} NOT NULL,
        position {number} NOT NULL,
        changed_at {text} NOT NULL,
        seen_at {text} NOT NULL,
        fields {text} NOT NULL,
        personal {text} NOT NULL,
        refs {text} NOT NULL,
        UNIQUE (collection, id)
    )
    """,
    # Every state that a case is in: leaves, their ancestors, and all leaves joined.
    """
    CREATE TABLE {views}.board_states (
        opened {number} NOT NULL,
        state {text} NOT NULL,
        collection {text} NOT NULL,
        PRIMARY KEY (opened, state)
    ) {clustered}
    """,
    # Every word that a case can be found by. `field` is empty where all may see it, else the
    # personal field that the word stands in.
    """
    CREATE TABLE {views}.board_words (
        opened {number} NOT NULL,
        word {text} NOT NULL,
        field {text} NOT NULL,
        collection {text} NOT NULL,
        PRIMARY KEY (opened, word, field)
    ) {clustered}
    """,
)

BOARD_INDEXES: Final = (
    "CREATE INDEX IF NOT EXISTS board_opened ON {on}board (collection, opened)",
    "CREATE INDEX IF NOT EXISTS board_seen ON {on}board (collection, seen_at, position)",
    """
    CREATE INDEX IF NOT EXISTS board_due ON {on}board (collection, due_at, opened)
    WHERE due_at IS NOT NULL
    """,
    "CREATE INDEX IF NOT EXISTS board_states_state ON {on}board_states (collection, state, opened)",
    """
    CREATE INDEX IF NOT EXISTS board_words_word
    ON {on}board_words (collection, word, opened, field)
    """,
)
"""`{on}` is `{views}.` where the database wants the schema before the table, not the index."""

# Write cases as they are now.
UPSERT_CASES: Final = """
INSERT INTO {views}.board (
    opened, collection, id, lifecycle, lifecycle_version, state, since, due_at, version, position,
    changed_at, seen_at, fields, personal, refs
)
SELECT CAST(value ->> 0 AS bigint), value ->> 1, value ->> 2, value ->> 3,
    CAST(value ->> 4 AS bigint), value ->> 5, value ->> 6, value ->> 7, CAST(value ->> 8 AS bigint),
    CAST(value ->> 9 AS bigint), value ->> 10, value ->> 11, value ->> 12, value ->> 13,
    value ->> 14
FROM {views}.json_each(:rows) WHERE true
ON CONFLICT (opened) DO UPDATE SET lifecycle_version = excluded.lifecycle_version,
    state = excluded.state, since = excluded.since, due_at = excluded.due_at,
    version = excluded.version, position = excluded.position, changed_at = excluded.changed_at,
    seen_at = excluded.seen_at, fields = excluded.fields, personal = excluded.personal,
    refs = excluded.refs
"""

# Enter states, and leave them.
INSERT_STATES: Final = """
INSERT INTO {views}.board_states (opened, state, collection)
SELECT CAST(value ->> 0 AS bigint), value ->> 1, value ->> 2 FROM {views}.json_each(:rows)
"""
DELETE_STATES: Final = """
DELETE FROM {views}.board_states WHERE (opened, state) IN
    (SELECT CAST(value ->> 0 AS bigint), value ->> 1 FROM {views}.json_each(:rows))
"""

# Let cases be found by words, and no more.
INSERT_WORDS: Final = """
INSERT INTO {views}.board_words (opened, word, field, collection)
SELECT CAST(value ->> 0 AS bigint), value ->> 1, value ->> 2, value ->> 3
FROM {views}.json_each(:rows)
"""
DELETE_WORDS: Final = """
DELETE FROM {views}.board_words WHERE (opened, word, field) IN
    (SELECT CAST(value ->> 0 AS bigint), value ->> 1, value ->> 2 FROM {views}.json_each(:rows))
"""

# Take a case off the board; its words stand under its `opened`.
DELETE_CASE_WORDS: Final = """
DELETE FROM {views}.board_words WHERE opened IN
    (SELECT opened FROM {views}.board WHERE collection = :collection AND id = :id)
"""
DELETE_CASE_STATES: Final = """
DELETE FROM {views}.board_states WHERE opened IN
    (SELECT opened FROM {views}.board WHERE collection = :collection AND id = :id)
"""
DELETE_CASE: Final = "DELETE FROM {views}.board WHERE collection = :collection AND id = :id"

_COLUMNS: Final = """
SELECT b.opened, b.collection, b.id, b.lifecycle, b.lifecycle_version, b.state, b.since, b.due_at,
    b.version, b.position, b.changed_at, b.seen_at, b.fields, b.personal, b.refs
"""

# Cases by their names.
SELECT_CASES: Final = (
    _COLUMNS
    + """
FROM {views}.json_each(:names) AS one
JOIN {views}.board AS b ON b.collection = one.value ->> 0 AND b.id = one.value ->> 1
"""
)

WORDS_ASKED_MAX: Final = 5
"""Words that a list can be asked for at once."""

# It holds a word between two bounds, in a place that the asker may see; the first is empty where no
# such word is asked for.
_HOLDS: Final = """
    AND (:first# = '' OR EXISTS (
        SELECT 1 FROM {views}.board_words AS t
        WHERE t.opened = b.opened AND t.word >= :first# AND t.word <= :last#
        AND (t.field = '' OR t.field IN (
            SELECT v.value ->> 0 FROM {views}.json_each(:visible) AS v))
        LIMIT 1 OFFSET 0))
"""

# What a list may ask of a case besides the order it comes in; each empty where it is not asked. The
# offset keeps PostgreSQL from looking up all cases at once, of which the page needs a few.
_PLACED: Final = """
    AND (:state = '' OR EXISTS (
        SELECT 1 FROM {views}.board_states AS s WHERE s.opened = b.opened AND s.state = :state
        LIMIT 1 OFFSET 0))
    AND (:configurations = '' OR b.state IN (
        SELECT c.value ->> 0 FROM {views}.json_each(:configurations) AS c))
    AND (:due_before = '' OR b.due_at < :due_before)
"""
_ASKED: Final = _PLACED + "".join(_HOLDS.replace("#", one) for one in "01234"[:WORDS_ASKED_MAX])

# A page of a collection, newest opened first.
SELECT_NEWEST: Final = (
    _COLUMNS
    + """
FROM {views}.board AS b WHERE b.collection = :collection AND b.opened < :before
"""
    + _ASKED
    + "ORDER BY b.opened DESC LIMIT :most"
)

# The same out of one state. The sum keeps the planner from walking along the board instead.
SELECT_IN_STATE: Final = (
    _COLUMNS
    + """
FROM {views}.board_states AS e CROSS JOIN {views}.board AS b
WHERE b.opened = e.opened + 0
    AND e.collection = :collection AND e.state = :entered AND e.opened < :before
"""
    + _ASKED
    + "ORDER BY e.opened DESC LIMIT :most"
)

# The same out of those that hold a whole word; some perhaps twice.
SELECT_HOLDING: Final = (
    _COLUMNS  # noqa: S608 - put together once, of constants
    + """
FROM {views}.board_words AS e CROSS JOIN {views}.board AS b
WHERE e.collection = :collection AND e.word = :held AND e.opened < :before
    AND b.opened = e.opened + 0
    AND (e.field = '' OR e.field IN (SELECT h.value ->> 0 FROM {views}.json_each(:visible) AS h))
"""
    + _ASKED
    + "ORDER BY e.opened DESC LIMIT :most"
)

# The same out of those that are named by their `opened`, in any order: they are few.
SELECT_FOUND: Final = (
    _COLUMNS
    + """
FROM {views}.json_each(:found) AS f CROSS JOIN {views}.board AS b
WHERE b.opened = CAST(f.value ->> 0 AS bigint) AND b.collection = :collection
"""
    + _ASKED
)

# A page in the order of change: nothing is skipped, and what changes meanwhile comes again.
SELECT_CHANGED: Final = (
    _COLUMNS
    + """
FROM {views}.board AS b
WHERE b.collection = :collection AND (b.seen_at, b.position) > (:seen_at, :position)
"""
    + _ASKED
    + "ORDER BY b.seen_at, b.position LIMIT :most"
)

# A page of what is overdue, the longest overdue first.
SELECT_OVERDUE: Final = (
    _COLUMNS
    + """
FROM {views}.board AS b
WHERE b.collection = :collection AND b.due_at IS NOT NULL
    AND (b.due_at, b.opened) > (:due_at, :opened)
"""
    + _ASKED
    + "ORDER BY b.due_at, b.opened LIMIT :most"
)

# How many words stand between two bounds where the asker may see them, no more than `most`.
COUNT_HOLDERS: Final = """
SELECT count(*) FROM (
    SELECT 1 FROM {views}.board_words AS t
    WHERE t.collection = :collection AND t.word >= :first AND t.word <= :last
        AND (t.field = '' OR t.field IN (
            SELECT v.value ->> 0 FROM {views}.json_each(:visible) AS v))
    LIMIT :most) AS held
"""

# The cases that hold a word between two bounds where the asker may see it, no more than `most`;
# some perhaps twice.
SELECT_HOLDERS: Final = """
SELECT t.opened FROM {views}.board_words AS t
WHERE t.collection = :collection AND t.word >= :first AND t.word <= :last
    AND (t.field = '' OR t.field IN (SELECT v.value ->> 0 FROM {views}.json_each(:visible) AS v))
LIMIT :most
"""

TABLES: Final = (*FOLLOWER_TABLES, *BOARD_TABLES)
INDEXES: Final = BOARD_INDEXES

# --- what the databases differ in ---------------------------------------------------------------

# PostgreSQL takes a JSON list apart as SQLite does.
CREATE_JSON_EACH: Final = """
CREATE FUNCTION {views}.json_each(rows text) RETURNS TABLE (value jsonb)
LANGUAGE sql IMMUTABLE AS $$ SELECT jsonb_array_elements(rows::jsonb) $$
"""
CREATE_SCHEMA: Final = "CREATE SCHEMA {views}"
DROP_SCHEMA: Final = "DROP SCHEMA IF EXISTS {views} CASCADE"
RENAME_SCHEMA: Final = "ALTER SCHEMA {built} RENAME TO {views}"

# Tell the planner what there is: what was built at once has not been looked at yet.
ANALYZE: Final = "ANALYZE {views}.board, {views}.board_states, {views}.board_words"

# Whether the schema is there.
SELECT_SCHEMA: Final = "SELECT 1 FROM pg_namespace WHERE nspname = :name"

# Keep others of the same purpose out until the end of the transaction, or see that one is at it.
CLAIM: Final = "SELECT pg_advisory_xact_lock(hashtext(:name))"
TRY_CLAIM: Final = "SELECT pg_try_advisory_xact_lock(hashtext(:name))"
