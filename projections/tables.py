"""Every SQL statement of the read models, one text for both databases.

Values are `:named`. Four words are spelled for the database by `store`: `{views}`, where the tables
stand; `{text}` and `{number}`, columns of text in the order of its bytes and of whole numbers of 64
bits; `{clustered}`, the end of a table that is best kept in its key's order. Rows come in as one
JSON list of lists, taken apart by `json_each` (PostgreSQL is given a function of that name), so
that any number of them is one statement.
"""

from typing import Final

SCHEMA_VERSION: Final = 2
"""Raised with every change of a table here, or of what a read model writes into one."""

# --- the follower's own -------------------------------------------------------------------------

FOLLOWER_TABLES: Final = (
    # How far the read models have come, in one row, which is locked by who goes on. Every
    # `seen_at` is the latest `recorded_at` of all that was read: it never runs back. `unscrubbed`
    # counts the erasings whose traces may still be in a file. `build` tells one making of all these
    # tables from the next: what a process remembers of the rows holds for one of them.
    """
    CREATE TABLE {views}.followed (
        one {number} PRIMARY KEY CHECK (one = 1),
        schema_version {number} NOT NULL,
        build {text} NOT NULL,
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
INSERT INTO {views}.followed
    (one, schema_version, build, made_with, position, seen_at, unscrubbed)
VALUES (1, :schema_version, :build, :made_with, 0, '', 0)
"""

# Which version of the tables these are; every version has to keep this one readable.
SELECT_SCHEMA_VERSION: Final = "SELECT schema_version FROM {views}.followed"

# How far the read models have come.
SELECT_FOLLOWED: Final = "SELECT position, seen_at, made_with, build FROM {views}.followed"

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

# --- messages -----------------------------------------------------------------------------------

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

# --- notices ------------------------------------------------------------------------------------

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

# --- drift --------------------------------------------------------------------------------------

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

# --- what is counted ----------------------------------------------------------------------------

RECORD_TABLES: Final = (
    # How many records there are of each sort: by read model, tool and name.
    """
    CREATE TABLE {views}.record_counts (
        model {text} NOT NULL,
        tool {text} NOT NULL,
        name {text} NOT NULL,
        number {number} NOT NULL,
        PRIMARY KEY (model, tool, name)
    ) {clustered}
    """,
)

# Count so many more.
UPSERT_RECORD_COUNTS: Final = """
INSERT INTO {views}.record_counts (model, tool, name, number)
SELECT value ->> 0, value ->> 1, value ->> 2, CAST(value ->> 3 AS bigint)
FROM {views}.json_each(:rows) WHERE true
ON CONFLICT (model, tool, name) DO UPDATE
    SET number = record_counts.number + excluded.number
"""

# What was counted.
SELECT_RECORD_COUNTS: Final = """
SELECT tool, name, number FROM {views}.record_counts WHERE model = :model AND number <> 0
ORDER BY tool, name
"""

TABLES: Final = (
    *(*FOLLOWER_TABLES, *BOARD_TABLES, *RECORD_TABLES),
    *(*MESSAGE_TABLES, *NOTICE_TABLES, *DRIFT_TABLES),
)
INDEXES: Final = (*BOARD_INDEXES, *MESSAGE_INDEXES, *NOTICE_INDEXES, *DRIFT_INDEXES)

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

# --- the courier's book -------------------------------------------------------------------------

BOOK_VERSION: Final = 1
"""Raised with every change of a table of the book; one of another version is made anew."""

# The book stands apart from the read models, and no rebuild touches it: `{views}` is its own file
# or schema. Times are milliseconds since 1970. `{locked}` is how PostgreSQL locks the rows that it
# selects, past those that others have; SQLite locks the file.
BOOK_TABLES: Final = (
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
        why {text} NOT NULL
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
BOOK_INDEXES: Final = (
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
    w.ready_at, w.holder, w.why FROM {views}.waiting AS w
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
    id, due, turn, tool, collection, line, state, attempts, recovered, ready_at, holder, why
)
SELECT value ->> 0, CAST(value ->> 1 AS bigint), CAST(value ->> 2 AS bigint), value ->> 3,
    value ->> 4, value ->> 5, value ->> 6, CAST(value ->> 7 AS bigint),
    CAST(value ->> 8 AS bigint), CAST(value ->> 9 AS bigint), value ->> 10, value ->> 11
FROM {views}.json_each(:rows) WHERE true
ON CONFLICT (id) DO UPDATE SET turn = excluded.turn, state = excluded.state,
    attempts = excluded.attempts, recovered = excluded.recovered, ready_at = excluded.ready_at,
    holder = excluded.holder, why = excluded.why
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

# Take notices.
UPDATE_TAKEN: Final = """
UPDATE {views}.waiting SET holder = :holder, ready_at = :until
WHERE id IN (SELECT value ->> 0 FROM {views}.json_each(:ids))
"""

# Go on holding what one has.
UPDATE_HELD: Final = """
UPDATE {views}.waiting SET ready_at = :until WHERE holder = :holder
    AND id IN (SELECT value ->> 0 FROM {views}.json_each(:ids))
"""

# Try a notice again later; one that was superseded meanwhile is done with by `DELETE_RELEASED`.
UPDATE_LATER: Final = """
UPDATE {views}.waiting SET attempts = :attempts, ready_at = :ready_at, why = :why, holder = ''
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
