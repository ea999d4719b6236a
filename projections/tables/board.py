"""Every case in one row, and by what it can be found: its states, its words."""

from typing import Final

TABLES: Final = (
    # A case in one row. `number` counts the cases as they were opened; `opened` is the position of
    # its first event, `position` of its last change, which was `seen_at`. Values are JSON; times
    # have microseconds and so sort as text.
    """
    CREATE TABLE {views}.board (
        number {number} PRIMARY KEY,
        opened {number} NOT NULL,
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
        entered {text} NOT NULL,
        UNIQUE (collection, id)
    )
    """,
    # The cases in a state, block by block; see `blocks`. A state is a leaf, an ancestor of one, or
    # all leaves of a case joined.
    """
    CREATE TABLE {views}.board_states (
        collection {text} NOT NULL,
        state {text} NOT NULL,
        block {number} NOT NULL,
        cases {text} NOT NULL,
        PRIMARY KEY (collection, state, block)
    ) {clustered}
    """,
    # The cases that hold a word, or one that begins so, block by block; see `words`. `field` is
    # empty where all may see it, else the personal field that it stands in.
    """
    CREATE TABLE {views}.board_words (
        collection {text} NOT NULL,
        field {text} NOT NULL,
        word {text} NOT NULL,
        block {number} NOT NULL,
        cases {text} NOT NULL,
        PRIMARY KEY (collection, field, word, block)
    ) {clustered}
    """,
    # How many cases of a collection are in a state; in the empty one, how many there are.
    """
    CREATE TABLE {views}.board_counts (
        collection {text} NOT NULL,
        state {text} NOT NULL,
        cases {number} NOT NULL,
        PRIMARY KEY (collection, state)
    ) {clustered}
    """,
)

INDEXES: Final = (
    "CREATE INDEX IF NOT EXISTS board_opened ON {on}board (collection, opened)",
    "CREATE INDEX IF NOT EXISTS board_seen ON {on}board (collection, seen_at, position)",
    """
    CREATE INDEX IF NOT EXISTS board_due ON {on}board (collection, due_at, opened)
    WHERE due_at IS NOT NULL
    """,
    # For the words of a block: their beginnings, which have a star, stand before the '0'.
    """
    CREATE INDEX IF NOT EXISTS board_words_block
    ON {on}board_words (block, collection, field, word) WHERE word >= '0'
    """,
)
"""`{on}` is `{views}.` where the database wants the schema before the table, not the index."""

# --- written ------------------------------------------------------------------------------------

# The number of the case that was opened last.
SELECT_LAST_NUMBER: Final = "SELECT coalesce(max(number), 0) FROM {views}.board"

# Write cases as they are now.
UPSERT_CASES: Final = """
INSERT INTO {views}.board (
    number, opened, collection, id, lifecycle, lifecycle_version, state, since, due_at, version,
    position, changed_at, seen_at, fields, personal, refs, entered
)
SELECT CAST(value ->> 0 AS bigint), CAST(value ->> 1 AS bigint), value ->> 2, value ->> 3,
    value ->> 4, CAST(value ->> 5 AS bigint), value ->> 6, value ->> 7, value ->> 8,
    CAST(value ->> 9 AS bigint), CAST(value ->> 10 AS bigint), value ->> 11, value ->> 12,
    value ->> 13, value ->> 14, value ->> 15, value ->> 16
FROM {views}.json_each(:rows) WHERE true
ON CONFLICT (number) DO UPDATE SET lifecycle_version = excluded.lifecycle_version,
    state = excluded.state, since = excluded.since, due_at = excluded.due_at,
    version = excluded.version, position = excluded.position, changed_at = excluded.changed_at,
    seen_at = excluded.seen_at, fields = excluded.fields, personal = excluded.personal,
    refs = excluded.refs, entered = excluded.entered
"""

# Which cases are in these states of these blocks; write it, and forget where none is left.
SELECT_STATES: Final = """
SELECT s.cases, s.collection, s.state, s.block
FROM {views}.json_each(:keys) AS k CROSS JOIN {views}.board_states AS s
WHERE s.collection = k.value ->> 0 AND s.state = k.value ->> 1
    AND s.block = CAST(k.value ->> 2 AS bigint)
"""
UPSERT_STATES: Final = """
INSERT INTO {views}.board_states (cases, collection, state, block)
SELECT value ->> 0, value ->> 1, value ->> 2, CAST(value ->> 3 AS bigint)
FROM {views}.json_each(:rows) WHERE true
ON CONFLICT (collection, state, block) DO UPDATE SET cases = excluded.cases
"""
DELETE_STATES: Final = """
DELETE FROM {views}.board_states WHERE (collection, state, block) IN
    (SELECT value ->> 0, value ->> 1, CAST(value ->> 2 AS bigint)
     FROM {views}.json_each(:keys))
"""

# Which cases of these blocks hold these words; write it, and forget what none holds any more.
SELECT_WORDS: Final = """
SELECT w.cases, w.collection, w.field, w.word, w.block
FROM {views}.json_each(:keys) AS k CROSS JOIN {views}.board_words AS w
WHERE w.collection = k.value ->> 0 AND w.field = k.value ->> 1 AND w.word = k.value ->> 2
    AND w.block = CAST(k.value ->> 3 AS bigint)
"""
UPSERT_WORDS: Final = """
INSERT INTO {views}.board_words (cases, collection, field, word, block)
SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, CAST(value ->> 4 AS bigint)
FROM {views}.json_each(:rows) WHERE true
ON CONFLICT (collection, field, word, block) DO UPDATE SET cases = excluded.cases
"""
DELETE_WORDS: Final = """
DELETE FROM {views}.board_words WHERE (collection, field, word, block) IN
    (SELECT value ->> 0, value ->> 1, value ->> 2, CAST(value ->> 3 AS bigint)
     FROM {views}.json_each(:keys))
"""

# Count cases in and out of states, and forget the states in which none is left.
UPSERT_COUNTS: Final = """
INSERT INTO {views}.board_counts (collection, state, cases)
SELECT value ->> 0, value ->> 1, CAST(value ->> 2 AS bigint) FROM {views}.json_each(:rows)
WHERE true
ON CONFLICT (collection, state) DO UPDATE SET cases = board_counts.cases + excluded.cases
"""
DELETE_NO_COUNTS: Final = "DELETE FROM {views}.board_counts WHERE cases = 0"

# Take a case off the board, and what to find it by: that is looked for in all of its block, where
# no case of another collection has its number. It is known under which beginnings a word is kept.
DELETE_CASE: Final = "DELETE FROM {views}.board WHERE number = :number"
SELECT_BLOCK_STATES: Final = """
SELECT cases, collection, state, block FROM {views}.board_states
WHERE collection = :collection AND block = :block
"""
SELECT_BLOCK_WORDS: Final = """
SELECT cases, collection, field, word, block FROM {views}.board_words
WHERE block = :block AND word >= '0'
"""

# --- read ---------------------------------------------------------------------------------------

_COLUMNS: Final = """
SELECT b.number, b.opened, b.collection, b.id, b.lifecycle, b.lifecycle_version, b.state, b.since,
    b.due_at, b.version, b.position, b.changed_at, b.seen_at, b.fields, b.personal, b.refs,
    b.entered
"""

# Cases by their names.
SELECT_CASES: Final = (
    _COLUMNS
    + """
FROM {views}.json_each(:names) AS one
JOIN {views}.board AS b ON b.collection = one.value ->> 0 AND b.id = one.value ->> 1
"""
)

# Some tool, or the one that is named, differs from a case; empty where that is not asked. The
# offset keeps PostgreSQL from looking up all cases at once, of which a page needs a few.
_DIFFERING: Final = """
    AND (:differing_at = '' OR EXISTS (
        SELECT 1 FROM {views}.drift AS d INDEXED BY drift_case
        WHERE d.collection = b.collection AND d.case_id = b.id AND d.standing = 1
        AND d.silent_until <= :differing_at AND (:differs = '' OR d.tool = :differs)
        LIMIT 1 OFFSET 0))
"""

# Cases by their numbers.
SELECT_NUMBERED: Final = (
    _COLUMNS
    + """
FROM {views}.json_each(:numbers) AS n CROSS JOIN {views}.board AS b
WHERE b.number = CAST(n.value AS bigint)
"""
    + _DIFFERING
)

# The cases of a collection, newest opened first.
SELECT_NEWEST: Final = """
SELECT b.number, b.opened FROM {views}.board AS b
WHERE b.collection = :collection AND b.opened < :before
ORDER BY b.opened DESC LIMIT :most
"""

# In the order of change: nothing is skipped, and what changes meanwhile comes again. Only those
# that are overdue, unless `due_before` is empty.
SELECT_CHANGED: Final = """
SELECT b.number, b.seen_at, b.position FROM {views}.board AS b
WHERE b.collection = :collection AND (b.seen_at, b.position) > (:time, :place)
    AND (:due_before = '' OR b.due_at < :due_before)
ORDER BY b.seen_at, b.position LIMIT :most
"""

# Those that are overdue, the longest overdue first.
SELECT_OVERDUE: Final = """
SELECT b.number, b.due_at, b.opened FROM {views}.board AS b
WHERE b.collection = :collection AND b.due_at IS NOT NULL
    AND (b.due_at, b.opened) > (:time, :place) AND b.due_at < :due_before
ORDER BY b.due_at, b.opened LIMIT :most
"""

# The same of some cases, in any order: they are few.
SELECT_CHANGED_OF: Final = """
SELECT b.number, b.seen_at, b.position
FROM {views}.json_each(:numbers) AS n CROSS JOIN {views}.board AS b
WHERE b.number = CAST(n.value AS bigint) AND (b.seen_at, b.position) > (:time, :place)
    AND (:due_before = '' OR b.due_at < :due_before)
"""
SELECT_OVERDUE_OF: Final = """
SELECT b.number, b.due_at, b.opened
FROM {views}.json_each(:numbers) AS n CROSS JOIN {views}.board AS b
WHERE b.number = CAST(n.value AS bigint) AND b.due_at IS NOT NULL
    AND (b.due_at, b.opened) > (:time, :place) AND b.due_at < :due_before
"""

# The cases in states, in some neighbouring blocks.
SELECT_IN_STATES: Final = """
SELECT s.block, s.cases
FROM {views}.json_each(:states) AS n CROSS JOIN {views}.board_states AS s
WHERE s.collection = :collection AND s.state = n.value ->> 0
    AND s.block >= :low AND s.block <= :high
"""

# The cases that hold words in fields, in some neighbouring blocks.
SELECT_HOLDERS: Final = """
SELECT w.word, w.field, w.block, w.cases
FROM {views}.json_each(:held) AS h CROSS JOIN {views}.board_words AS w
WHERE w.collection = :collection AND w.field = h.value ->> 0 AND w.word = h.value ->> 1
    AND w.block >= :low AND w.block <= :high
"""

# The cases that hold any word between two bounds, in some blocks, in a field of each. The bounds
# stand with each, so that PostgreSQL does not take them for a way to go through all blocks; SQLite
# would do so whenever it has no statistics.
SELECT_RANGE: Final = """
SELECT w.block, w.cases
FROM {views}.json_each(:places) AS p
CROSS JOIN {views}.board_words AS w INDEXED BY board_words_block
WHERE w.collection = :collection AND w.block = CAST(p.value ->> 0 AS bigint)
    AND w.field = p.value ->> 1 AND w.word >= p.value ->> 2 AND w.word <= p.value ->> 3
    AND w.word >= '0'
"""

# How many differences there are from cases of a collection, no more than `most`: of some tool, or
# of the one that is named; empty where that is not asked.
COUNT_DIFFERENCES: Final = """
SELECT count(*) FROM (
    SELECT 1 FROM {views}.drift AS d INDEXED BY drift_open
    WHERE d.standing = 1 AND d.collection = :collection
        AND d.silent_until <= :differing_at AND (:differs = '' OR d.tool = :differs)
    LIMIT :most) AS open
"""

# The cases that they are from.
SELECT_DIFFERING: Final = """
SELECT b.number
FROM {views}.drift AS d INDEXED BY drift_open CROSS JOIN {views}.board AS b
WHERE d.standing = 1 AND d.collection = :collection
    AND d.silent_until <= :differing_at AND (:differs = '' OR d.tool = :differs)
    AND b.collection = d.collection AND b.id = d.case_id
"""

# How many cases there are, and in which states.
SELECT_COUNTS: Final = "SELECT collection, state, cases FROM {views}.board_counts"

# How many are overdue, no more than `most`.
COUNT_OVERDUE: Final = """
SELECT count(*) FROM (
    SELECT 1 FROM {views}.board AS b
    WHERE b.collection = :collection AND b.due_at IS NOT NULL AND b.due_at < :due_before
    LIMIT :most) AS late
"""
