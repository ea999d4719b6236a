"""Every way of saying no.

Three kinds of no exist (and nothing else is raised on purpose): a `Refusal`, the caller asked what
may not be; a `BadDefinition`, the deployer wrote what cannot be; an `AssertionError`, we are wrong.

    Refusal
    ├── NotSignedIn · StaffOnly · NotYours
    ├── IdempotencyKeyReused
    ├── Unknown
    │   ├── UnknownCollection · UnknownTool · UnknownCase
    │   └── UnknownReference · UnknownVersion · UnknownTransition · NotThere
    ├── VersionMoved
    ├── Conflict
    │   └── TransitionNotOpen · CaseExists · ReferenceTaken · ConditionNotMet
    ├── NotTheOwner
    ├── Unfit
    │   └── InvalidFields · FieldsMissing · ReasonRequired
    └── NotNow
        └── StorageUnavailable · Overloaded · DefinitionNotAdopted

The door (HTTP) adds its own leaves; how each becomes a status stands in one table there.
"""

from collections.abc import Iterable
from typing import ClassVar

import msgspec


class Refusal(Exception):
    """The caller asked what may not be: what was asked, what is, and what would do."""

    code: ClassVar[str]
    """The last part of the problem's `type`; a page of the service explains it."""
    title: ClassVar[str]
    """The same in a few plain words."""

    def __init__(self, detail: str, /, **facts: object) -> None:
        """Say no in one sentence, with the facts behind it by name."""
        super().__init__(detail)
        self.detail = detail
        self.facts = facts


class NotSignedIn(Refusal):
    """No key, or one that this service does not know or no longer honours."""

    code = "not-signed-in"
    title = "Not signed in"


class StaffOnly(Refusal):
    """Only a member of staff may do this."""

    code = "staff-only"
    title = "For staff only"


class NotYours(Refusal):
    """The asker does not stand in this lifecycle, or may only read."""

    code = "not-yours"
    title = "Not yours to see or do"


class IdempotencyKeyReused(Refusal):
    """The key was used before, with other content."""

    code = "idempotency-key-reused"
    title = "Idempotency key used for something else"


class Unknown(Refusal):
    """What was named does not exist."""


class UnknownCollection(Unknown):
    """No lifecycle keeps a collection of this name."""

    code = "unknown-collection"
    title = "Unknown collection"


class UnknownTool(Unknown):
    """No definition names this tool."""

    code = "unknown-tool"
    title = "Unknown tool"


class UnknownCase(Unknown):
    """No case has this id."""

    code = "unknown-case"
    title = "Unknown case"


class UnknownReference(Unknown):
    """No case holds this reference, or its tool has no such kind of them."""

    code = "unknown-reference"
    title = "Unknown reference"


class UnknownVersion(Unknown):
    """The case has no such version, or was not there yet at that time."""

    code = "unknown-version"
    title = "Unknown version"


class UnknownTransition(Unknown):
    """The lifecycle declares no such transition (or state, where a correction names one)."""

    code = "unknown-transition"
    title = "Unknown transition"


class NotThere(Unknown):
    """No message, notice or difference has this id, or it is over."""

    code = "not-found"
    title = "Not found"


class VersionMoved(Refusal):
    """The write was conditional on a version that is no longer the case's."""

    code = "version-moved"
    title = "The case has moved on"


class Conflict(Refusal):
    """The case, as it is, does not allow it."""


class TransitionNotOpen(Conflict):
    """The transition does not lead out of the current state."""

    code = "transition-not-open"
    title = "Transition not open"


class CaseExists(Conflict):
    """A case of this id is there already."""

    code = "case-exists"
    title = "Case exists"


class ReferenceTaken(Conflict):
    """Another case holds this reference."""

    code = "reference-taken"
    title = "Reference taken"


class ConditionNotMet(Conflict):
    """The transition's condition does not hold; the values it saw are among the facts."""

    code = "condition-not-met"
    title = "Condition not met"


class NotTheOwner(Refusal):
    """The state or the field belongs to another tool."""

    code = "not-the-owner"
    title = "Not the owner"


class Unfit(Refusal):
    """What was handed in does not fit what was asked."""


class InvalidFields(Unfit):
    """Values that no canonical format takes: every one, with its path."""

    code = "invalid-fields"
    title = "Invalid fields"


class FieldsMissing(Unfit):
    """The transition requires, or its condition names, fields that nobody has set."""

    code = "fields-missing"
    title = "Fields missing"


class ReasonRequired(Unfit):
    """Staff who act in a tool's place say why."""

    code = "reason-required"
    title = "Reason required"


class NotNow(Refusal):
    """Nothing is wrong with what was asked; this process cannot do it at present."""

    retry_after_seconds: ClassVar[int] = 1


class StorageUnavailable(NotNow):
    """The database does not answer, is full, or its answer to a commit was lost.

    The fact `may_have_happened` is true only where the fate of a commit could not be known in
    time; a repeat with the same idempotency key then gives the truth.
    """

    code = "storage-unavailable"
    title = "Storage unavailable"


class Overloaded(NotNow):
    """The queue of asks is full, in number or in bytes."""

    code = "overloaded"
    title = "Overloaded"


class DefinitionNotAdopted(NotNow):
    """This process holds another definition than the one the log last adopted."""

    code = "definition-not-adopted"
    title = "Definition not adopted"
    retry_after_seconds = 10


class Problem(msgspec.Struct, frozen=True, order=True):
    """One thing wrong with a definition: where, and what would do."""

    file: str
    """As given on the command line, or relative to it."""
    line: int
    """From 1; 0 where no line can be named."""
    path: str
    """Like `transitions[1].to`."""
    message: str
    """Like `no state 'schedulled' (did you mean 'scheduled'?)`."""
    warning: bool = False
    """Worth knowing, but no reason to refuse the definition."""

    def __str__(self) -> str:
        """`file:line: path: message`, as compilers write it."""
        where = f"{self.file}:{self.line}" if self.line else self.file
        return f"{where}: {self.path}: {self.message}" if self.path else f"{where}: {self.message}"


class BadDefinition(Exception):
    """The deployer wrote what cannot be; all of it at once."""

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        """Carry every problem found, in the order of the files."""
        super().__init__("\n".join(str(problem) for problem in problems))
        self.problems = problems


def listed(names: Iterable[str]) -> str:
    """Names in a row, as a detail shows them."""
    return ", ".join(names) or "nobody"


def quoted(text: str) -> str:
    """What somebody sent, safe to show: short, with control characters escaped."""
    return repr(text if len(text) <= 80 else f"{text[:77]}...")  # noqa: PLR2004 - what fits into a sentence
