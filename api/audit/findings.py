"""Everything an audit finds, as frozen values: the renderers write them down and add nothing.

States are the ids of the lifecycle (their titles stand in `Audit.state_titles`), tools likewise
(`Audit.tool_titles`). Money is exact. Ages are whole days at the time of the audit.
"""

from collections.abc import Sequence
from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum

from msgspec import Struct

from lifecycle.comparable import Money


class Kind(StrEnum):
    """What is wrong, from the worst to the least."""

    CONTRADICTED = "contradicted"
    """A tool shows a state that the owner's word contradicts (invoiced though not completed)."""
    DISAGREE_STATE = "disagree_state"
    """Tools show different states, and the owner's word settles which is true."""
    MISSING = "missing"
    """One tool knows a case that another must know in this state and does not."""
    DUPLICATE = "duplicate"
    """One tool holds the same case in several rows."""
    DISAGREE_FIELD = "disagree_field"
    """Tools hold different values of one field."""
    UNKNOWN_WORD = "unknown_word"
    """A word that stands in nobody's vocabulary."""
    STALE = "stale"
    """All agree, but the case has stayed longer than its state's `within`."""


class Held(StrEnum):
    """Why a job is not opened in the service: somebody has to settle something first."""

    DISAGREE = "the tools do not agree on where it stands"
    DUPLICATE = "one tool holds it more than once"
    MISSING = "a tool that must know it does not"
    UNKNOWN_WORD = "a tool uses a word for it that nobody declared"
    TO_CONFIRM = "another row may be the same job, and nobody has said so"
    LEFT_OPEN = "what the tools say fits more than one state, or none"


class Severity(StrEnum):
    """How bad a finding is: `high` loses money or misleads a customer."""

    HIGH = "high"
    MEDIUM = "medium"
    LOW = "low"


class Source(Struct, frozen=True):
    """Where something stands: anybody can open the file and look."""

    tool: str
    file: str
    """The file's name; of two that are named alike, with as much of its folder as tells which."""
    row: int
    """As a spreadsheet counts: the first line of the file is 1."""
    ref: str = ""
    """The tool's own id of the record; empty where the export has none."""


class Said(Struct, frozen=True):
    """What one tool says of one case."""

    source: Source
    word: str | None
    """As it stands in the export, or as it was derived; None: the cell is empty."""
    states: tuple[str, ...]
    """The states that the word stands for, in the lifecycle's order; empty: nobody's word."""
    since: datetime | None = None
    """When the tool says that it changed last."""
    status_field: str = ""
    derived: str = ""
    """The condition by which the word was derived, where the tool has no status of its own."""
    title: str = ""
    """The states as people read them, such as 'Scheduled', or 'Scheduled or Completed'."""


class Value(Struct, frozen=True):
    """What one tool holds in one field of one case."""

    source: Source
    value: str
    """In its canonical form (`1250.00 USD`, `2026-05-04`)."""
    owner: bool = False
    """Is this the value of the field's owner?"""


class Belief(Struct, frozen=True):
    """Who should be believed, and why."""

    tool: str
    """Empty: nobody's word settles it, somebody has to look."""
    says: str
    """What is true then: the title of a state, or a value."""
    why: str
    """One sentence, such as 'Jobber owns execution, so its word counts for Completed.'"""


class Finding(Struct, frozen=True):
    """One thing that is wrong with one case."""

    number: int
    """From 1, in the order of the report: the worst first."""
    kind: Kind
    severity: Severity
    case: str
    """The name of the case: its customer and title, else a reference."""
    case_number: int
    """Which matched job (`Job.number`) it concerns."""
    summary: str
    """One sentence for somebody who does not know the system."""
    said: tuple[Said, ...]
    """What each tool says of its state, in the order of the lifecycle's tools."""
    sources: tuple[Source, ...]
    """File and row of everything the finding rests on; never empty."""
    believe: Belief
    do: str
    """What to do about it, and where, as one imperative sentence."""
    state: str = ""
    """The state that holds if the owners are believed; empty where it cannot be told."""
    field: str = ""
    """The field it is about, where it is about one."""
    values: tuple[Value, ...] = ()
    """What each tool holds in that field, the owner's first."""
    missing_from: str = ""
    """The tool that must know the case and does not."""
    since: datetime | None = None
    """Since when it has been wrong, as far as the exports can tell."""
    age_days: int | None = None
    money: Decimal | None = None
    """What stands on the case: the largest amount that its exports name."""
    currency: str = ""
    """ISO 4217; empty where no money is known."""


class Reason(Struct, frozen=True):
    """One part of a score, so that the score explains itself."""

    what: str
    """What was compared: `name`, `email`, `phone`, `address`, `money`, `date`."""
    left: str
    right: str
    likeness: float
    """From 0, nothing in common, to 1, the same."""
    weight: float
    """How much it counts; the weights of all parts compared add up to 1."""


class Link(Struct, frozen=True):
    """Two records of two tools, and how sure it is that they are one case."""

    key: str
    """Names the pair in the file of decisions; the same pair has the same key next time."""
    left: Source
    right: Source
    left_name: str
    right_name: str
    how: str
    """`reference`, `key:email`, `key:phone`, `score` or `confirmed`."""
    score: float
    """From 0 to 1."""
    reasons: tuple[Reason, ...] = ()


class Job(Struct, frozen=True):
    """One case, as the tools together know it."""

    number: int
    name: str
    said: tuple[Said, ...]
    state: str
    """The state that holds if the owners are believed; empty where it cannot be told."""
    agreed: bool
    """Is it certain where it stands, and that these rows are all of it? `--open` opens it."""
    held: Held | None = None
    """Why `--open` leaves it out; None where it does not."""
    since: datetime | None = None
    money: Decimal | None = None
    currency: str = ""
    links: tuple[Link, ...] = ()
    """Why its records are taken for one case."""
    fields: tuple[tuple[str, str], ...] = ()
    """The owners' values, in canonical form; only fields whose owner exported one."""
    references: tuple[tuple[str, str], ...] = ()
    """(`tool` or `tool:kind`, reference)."""


class RefusedRow(Struct, frozen=True):
    """A row that was left out, or one cell of it, and why."""

    row: int
    reason: str
    column: str = ""
    """The heading of the cell that was left out; empty: the whole row was."""


class Export(Struct, frozen=True):
    """One file that was read."""

    tool: str
    file: str
    rows: int
    """Rows that became records."""
    refused: tuple[RefusedRow, ...] = ()
    """The first of them, at most a thousand; `refused_count` counts all."""
    refused_count: int = 0
    skipped: int = 0
    """Blank rows and totals at the foot."""
    understood: tuple[str, ...] = ()
    """How it was read, one sentence each: encoding, separator, the order of dates, decimals."""
    columns: tuple[tuple[str, str], ...] = ()
    """(what it means, the heading it was found under)."""
    numbered: bool = False
    """Its ids are numbers for people; the product itself names the record otherwise."""


class Worst(Struct, frozen=True):
    """One of the five worst."""

    finding: int
    """`Finding.number`."""
    case: str
    summary: str
    age_days: int | None = None
    money: Decimal | None = None
    currency: str = ""


class Count(Struct, frozen=True):
    """How many findings of one kind, on how many jobs, with how much money."""

    kind: Kind
    findings: int
    jobs: int
    money: tuple[Money, ...]
    """One sum a currency, the largest first; every job counts once."""


class Unopened(Struct, frozen=True):
    """Jobs that are not opened in the service for one reason."""

    why: Held
    jobs: int
    money: tuple[Money, ...] = ()
    examples: tuple[Source, ...] = ()
    """A row of each of the first few."""


class Summary(Struct, frozen=True):
    """The first page."""

    jobs: int
    """Distinct jobs over all exports."""
    jobs_in_several: int
    """Jobs that at least two tools know."""
    jobs_wrong: int
    """Jobs with at least one finding of high or medium severity."""
    jobs_serious: int
    """Jobs with at least one finding of high severity."""
    jobs_agreed: int
    """Jobs of which nothing is in doubt; what `--open` opens."""
    money: tuple[Money, ...]
    """On the jobs that are wrong; one sum a currency, the largest first."""
    counts: tuple[Count, ...]
    """By kind, the most frequent first; kinds without findings are left out."""
    severities: tuple[tuple[Severity, int], ...]
    worst_by_money: tuple[Worst, ...]
    worst_by_age: tuple[Worst, ...]
    sentence: str
    """How bad it is, in one sentence."""
    age_days_median: int | None = None
    pairs: tuple[tuple[str, str, int, int], ...] = ()
    """(tool, tool, jobs both know, jobs on whose state they disagree)."""
    unopened: tuple[Unopened, ...] = ()
    """What `--open` leaves out, by reason, the most frequent first."""


class Step(Struct, frozen=True):
    """One step of the plan, in the order in which to take them."""

    number: int
    title: str
    """Imperative, such as 'Mend the jobs that QuickBooks invoiced before they were done'."""
    why: str
    findings: tuple[int, ...] = ()
    """The first of the findings that it mends, at most twenty."""
    findings_count: int = 0
    money: tuple[Money, ...] = ()
    declare: str = ""
    """YAML to put into the definition (words, flows), where that mends it for good."""


class Audit(Struct, frozen=True):
    """The whole result."""

    lifecycle: str
    """The name of the lifecycle."""
    title: str
    at: datetime
    """When it was made; ages count to this moment."""
    tool_titles: dict[str, str]
    state_titles: dict[str, str]
    """In the order of the lifecycle."""
    exports: tuple[Export, ...]
    jobs: Sequence[Job]
    to_confirm: tuple[Link, ...]
    """Likely the same, to be looked at by a person: the most likely first."""
    findings: Sequence[Finding]
    """The worst first."""
    summary: Summary
    plan: tuple[Step, ...]
    seconds: float = 0.0
    """How long it took."""
    dates_between: tuple[date, date] | None = None
    """The first and last day on which any record says it changed."""
