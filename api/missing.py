"""What tools lack: words that they were never told, or do not show, and that nothing is due for.

A flow out that was added later, notices that were struck out, cases that came by a quiet import:
the log has a case and a tool's mirror of it, and between the two a word that nobody will tell. It
is found by looking at each case as it stands now, a page at a time.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from msgspec import Struct

from api.bulk import Bulk
from api.paging import case_asked, tool_asked
from api.problems import MalformedRequest
from lifecycle.asks import Answer as Settled
from lifecycle.asks import Ask
from lifecycle.case import Case
from lifecycle.events import Done
from lifecycle.journal import Outcome
from lifecycle.memory import Memory
from lifecycle.mirror import SILENT, Mirror
from lifecycle.model import Lifecycle
from lifecycle.notices import Tell
from lifecycle.streams import mirror_stream
from lifecycle.telling import lacks
from projections import board, finding
from projections.sieve import CasesWanted

PAGE: Final = 200
"""Cases that are looked at together."""
MEANT: Final = frozenset({"state", "tool", "collection", "id", "reason"})
"""What can be asked here; every other filter is about notices, of which there are none."""


class Lack(Struct, frozen=True):
    """What one tool lacks of one case."""

    id: str
    """Tool and case, like `crm jobs/J-1042`."""
    words: Mapping[str, str] = {}
    """Status field → the word that it is to show."""

    @property
    def tool(self) -> str:
        """Who lacks it."""
        return self.id.partition(" ")[0]

    @property
    def case(self) -> str:
        """Of which case, like `jobs/J-1042`."""
        return self.id.partition(" ")[2]

    @property
    def collection(self) -> str:
        """Of what kind that is."""
        return self.case.partition("/")[0]

    @property
    def case_id(self) -> str:
        """Its own id."""
        return self.case.partition("/")[2]


class MissingItem(Struct):
    """Words that a tool was never told, or does not show, and that nothing is due for."""

    id: str
    """Tool and case, like `crm jobs/J-1042`."""
    tool: str
    collection: str
    case: str
    words: Mapping[str, str]
    """Status field → the word that the tool ought to show."""


class Missing(Bulk[Lack]):
    """Everything that tools lack becomes due."""

    about = "missing"
    staff_only = True
    walks_all = True

    def check(self) -> None:
        """Refuse filters that are about notices: `MalformedRequest`."""
        query = self.asked.query()
        if strange := sorted(query.keys() - MEANT):
            raise MalformedRequest(f"{strange[0]}: what is missing is no notice yet and has none")
        self._tool = tool_asked(query, self.asker, self.keeper)
        asked = case_asked(query, self.keeper)
        self._collection, self._case_id = asked["collection"], asked["case_id"]

    def found(self) -> Iterator[Lack]:
        """Every case that a tool lacks words of, newest opened first in each collection."""
        for lifecycle in self.keeper.catalogue.lifecycles.values():
            tools = [one for one in lifecycle.told if self._tool in {"", one}]
            if tools and self._collection in {"", lifecycle.collection}:
                for cases in self._pages(lifecycle):
                    yield from self._lacking(cases, tools, lifecycle)

    def named(self, ids: Sequence[str]) -> Sequence[Lack]:
        """Those of these ids; whether they still lack it is found out as it becomes due."""
        return [Lack(one) for one in ids]

    def shown(self, records: Sequence[Lack]) -> Sequence[MissingItem]:
        """Some of them, for a plan."""
        return [
            MissingItem(one.id, one.tool, one.collection, one.case, one.words) for one in records
        ]

    def ask(self, record: Lack) -> Ask:
        """Have it told what it lacks."""
        what = Tell(tool=record.tool, how="missing", reason=self.asked.reason)
        return Ask(asker=self.asker, collection=record.collection, id=record.case_id, what=what)

    def became(self, record: Lack, outcome: Outcome) -> Done:
        """What has become of it: it is due, or lacks nothing any more."""
        assert isinstance(outcome, Settled), outcome
        if outcome.entry is None:
            return Done(id=record.id, was="missing", why="it lacks nothing any more")
        return Done(id=record.id, was="missing", outcome="waiting")

    def _pages(self, lifecycle: Lifecycle) -> Iterator[Sequence[Case]]:
        if self._case_id:
            name = (lifecycle.collection, self._case_id)
            with self.keeper.store.reading() as session:
                yield list(board.cases_named(session, [name]).values())
            return
        wanted, after = CasesWanted(collection=lifecycle.collection), None
        while not self.left.is_set():
            with self.keeper.store.reading() as session:
                page = finding.page(session, wanted, after, PAGE)
            yield [row.case for row in page.rows]
            if page.next is None:
                return
            after = page.next

    def _lacking(
        self, cases: Sequence[Case], tools: Sequence[str], lifecycle: Lifecycle
    ) -> Iterator[Lack]:
        journal = self.keeper.journal
        memory = Memory(journal.recorder, journal.mapper)  # the writer's is not touched
        streams = {
            (case.id, tool): mirror_stream(case.collection, case.id, tool)
            for case in cases
            for tool in tools
        }
        unreadable = memory.recall(streams.values())
        for case in cases:
            for tool in tools:
                stream = streams[case.id, tool]
                mirror = SILENT if stream in unreadable else memory[stream].state
                known = mirror if isinstance(mirror, Mirror) else SILENT
                names = [] if stream in unreadable else lacks(tool, known, case, lifecycle)
                if names:
                    shown = lifecycle.vocabulary.shown(case.states)[tool]
                    words = {name: word for name in names if (word := shown[name])}
                    yield Lack(f"{tool} {case.collection}/{case.id}", words)
