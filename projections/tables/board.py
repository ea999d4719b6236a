"""Every case in one row, its states, and the words that it can be found by."""

from typing import Final

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
        entered {text} NOT NULL,
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
    # How many cases of a collection are in a state; in the empty one, how many there are.
    """
    CREATE TABLE {views}.board_counts (
        collection {text} NOT NULL,
        state {text} NOT NULL,
        cases {number} NOT NULL,
        PRIMARY KEY (collection, state)
    ) {clustered}
    """,
    # Every word that a case can be found by. `field` is empty where all may see it, else the
    # personal field that the word stands in. `low` and `high` are the imprint of all words of the
    # case: most cases that hold one word and not another are passed over without looking further.
    """
    CREATE TABLE {views}.board_words (
        opened {number} NOT NULL,
        word {text} NOT NULL,
        field {text} NOT NULL,
        collection {text} NOT NULL,
        low {number} NOT NULL,
        high {number} NOT NULL,
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
    ON {on}board_words (collection, word, opened, field, low, high)
    """,
)
"""`{on}` is `{views}.` where the database wants the schema before the table, not the index."""

# Write cases as they are now.
UPSERT_CASES: Final = """
INSERT INTO {views}.board (
    opened, collection, id, lifecycle, lifecycle_version, state, since, due_at, version, position,
    changed_at, seen_at, fields, personal, refs, entered
)
SELECT CAST(value ->> 0 AS bigint), value ->> 1, value ->> 2, value ->> 3,
    CAST(value ->> 4 AS bigint), value ->> 5, value ->> 6, value ->> 7, CAST(value ->> 8 AS bigint),
    CAST(value ->> 9 AS bigint), value ->> 10, value ->> 11, value ->> 12, value ->> 13,
    value ->> 14, value ->> 15
FROM {views}.json_each(:rows) WHERE true
ON CONFLICT (opened) DO UPDATE SET lifecycle_version = excluded.lifecycle_version,
    state = excluded.state, since = excluded.since, due_at = excluded.due_at,
    version = excluded.version, position = excluded.position, changed_at = excluded.changed_at,
    seen_at = excluded.seen_at, fields = excluded.fields, personal = excluded.personal,
    refs = excluded.refs, entered = excluded.entered
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

# Count cases in and out of states, and forget the states in which none is left.
UPSERT_COUNTS: Final = """
INSERT INTO {views}.board_counts (collection, state, cases)
SELECT value ->> 0, value ->> 1, CAST(value ->> 2 AS bigint) FROM {views}.json_each(:rows)
WHERE true
ON CONFLICT (collection, state) DO UPDATE SET cases = board_counts.cases + excluded.cases
"""
DELETE_NO_COUNTS: Final = "DELETE FROM {views}.board_counts WHERE cases = 0"

# Let cases be found by words, and no more.
INSERT_WORDS: Final = """
INSERT INTO {views}.board_words (opened, word, field, collection, low, high)
SELECT CAST(value ->> 0 AS bigint), value ->> 1, value ->> 2, value ->> 3,
    CAST(value ->> 4 AS bigint), CAST(value ->> 5 AS bigint)
FROM {views}.json_each(:rows)
"""
DELETE_WORDS: Final = """
DELETE FROM {views}.board_words WHERE opened IN
    (SELECT CAST(value ->> 0 AS bigint) FROM {views}.json_each(:rows))
"""

# Take a case off the board; its words stand under its `opened`.
COUNT_CASE_OUT: Final = """
UPDATE {views}.board_counts SET cases = cases - 1 WHERE collection = :collection
    AND EXISTS (SELECT 1 FROM {views}.board WHERE collection = :collection AND id = :id)
    AND (state = '' OR state IN (SELECT s.state FROM {views}.board_states AS s
        JOIN {views}.board AS b ON b.opened = s.opened
        WHERE b.collection = :collection AND b.id = :id))
"""
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
    b.version, b.position, b.changed_at, b.seen_at, b.fields, b.personal, b.refs, b.entered
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
        WHERE t.opened = @.opened AND t.word >= :first# AND t.word <= :last#
        AND (t.field = '' OR t.field IN (
            SELECT v.value ->> 0 FROM {views}.json_each(:visible) AS v))
        LIMIT 1 OFFSET 0))
"""

# It is in a state. The offset keeps PostgreSQL from looking up all cases at once, of which the page
# needs a few.
_IN_STATE: Final = """
    AND (:state = '' OR EXISTS (
        SELECT 1 FROM {views}.board_states AS s WHERE s.opened = @.opened AND s.state = :state
        LIMIT 1 OFFSET 0))
"""

# What its row says.
_PLACED: Final = """
    AND (:configurations = '' OR b.state IN (
        SELECT c.value ->> 0 FROM {views}.json_each(:configurations) AS c))
    AND (:due_before = '' OR b.due_at < :due_before)
    AND (:differing_at = '' OR EXISTS (
        SELECT 1 FROM {views}.drift AS d
        WHERE d.collection = b.collection AND d.case_id = b.id AND d.standing = 1
        AND d.silent_until <= :differing_at AND (:differs = '' OR d.tool = :differs)
        LIMIT 1 OFFSET 0))
"""

# What a list may ask of a case besides the order it comes in; each empty where it is not asked.
_OF: Final = _IN_STATE + "".join(_HOLDS.replace("#", one) for one in "01234"[:WORDS_ASKED_MAX])
_ASKED: Final = _OF.replace("@", "b") + _PLACED
# The same where another table leads the way: its rows are judged before the case is looked up.
_ASKED_FIRST: Final = _OF.replace("@", "e") + _PLACED

# Its imprint has every mark of the words that are asked for.
_IMPRINTED: Final = " AND (e.low & :low) = :low AND (e.high & :high) = :high "

# Its word stands in a place that the asker may see.
_SEEN: Final = """
    AND (e.field = '' OR e.field IN (SELECT h.value ->> 0 FROM {views}.json_each(:visible) AS h))
"""

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
    + _ASKED_FIRST
    + "ORDER BY e.opened DESC LIMIT :most"
)

# The same out of those that hold a whole word; some perhaps twice.
SELECT_HOLDING: Final = (
    _COLUMNS
    + """
FROM {views}.board_words AS e CROSS JOIN {views}.board AS b
WHERE e.collection = :collection AND e.word = :held AND e.opened < :before
    AND b.opened = e.opened + 0
"""
    + _IMPRINTED
    + _SEEN
    + _ASKED_FIRST
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

# The same out of those that some tool differs from.
SELECT_DIFFERING: Final = (
    _COLUMNS  # noqa: S608 - put together once, of constants
    + """
FROM (SELECT DISTINCT d.case_id FROM {views}.drift AS d
      WHERE d.standing = 1 AND d.collection = :collection
      AND d.silent_until <= :differing_at AND (:differs = '' OR d.tool = :differs)) AS e
CROSS JOIN {views}.board AS b
WHERE b.collection = :collection AND b.id = e.case_id AND b.opened < :before
"""
    + _ASKED
    + "ORDER BY b.opened DESC LIMIT :most"
)

# How many differences stand, no more than `most`.
COUNT_DIFFERENCES: Final = """
SELECT count(*) FROM (SELECT 1 FROM {views}.drift AS d WHERE d.standing = 1 LIMIT :most) AS open
"""

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

# How many cases there are, and in which states.
SELECT_COUNTS: Final = "SELECT collection, state, cases FROM {views}.board_counts"

# How many are overdue, no more than `most`.
COUNT_OVERDUE: Final = """
SELECT count(*) FROM (
    SELECT 1 FROM {views}.board AS b
    WHERE b.collection = :collection AND b.due_at IS NOT NULL AND b.due_at < :due_before
    LIMIT :most) AS late
"""

# How many words stand between two bounds where the asker may see them, no more than `most`.
COUNT_HOLDERS: Final = """
SELECT count(*) FROM (
    SELECT 1 FROM {views}.board_words AS t
    WHERE t.collection = :collection AND t.word >= :first AND t.word <= :last
        AND (t.field = '' OR t.field IN (
            SELECT v.value ->> 0 FROM {views}.json_each(:visible) AS v))
    LIMIT :most) AS held
"""

# The newest cases that hold a word between two bounds where the asker may see it. The sum keeps the
# planner from walking along all cases to spare itself the sorting.
SELECT_HOLDERS: Final = (
    "SELECT DISTINCT e.opened + 0 AS newest"
    """
FROM {views}.board_words AS e
WHERE e.collection = :collection AND e.word >= :first AND e.word <= :last AND e.opened < :before
""" + _IMPRINTED + _SEEN + "ORDER BY newest DESC LIMIT :most"
)
