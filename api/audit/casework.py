"""The records of one case, as they are looked at from several sides."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final

from api.audit.course import Words
from api.audit.findings import Source
from api.audit.grouping import Cluster
from api.audit.records import Record
from lifecycle.chart import Configuration
from lifecycle.comparable import Money

NAME_LENGTH_MAX: Final = 80


class Case:
    """The records of one case, as they are looked at from several sides."""

    def __init__(
        self,
        number: int,
        records: list[Record],
        twins: Sequence[Record],
        files: Mapping[str, str],
    ) -> None:
        """`twins` are those of `records` that repeat another; `files` names each tool's export."""
        self.number = number
        self.records = records
        self.tools = frozenset(one.tool for one in records)
        self.twin_rows: dict[str, set[int]] = {}
        for one in twins:
            self.twin_rows.setdefault(one.tool, set()).add(one.row)
        self._files = files
        self._sources: dict[tuple[str, int], Source] = {}
        self.name = self._name()
        self.money = self._money()
        self.words = self._words()
        self.fields = self._fields()

    def source(self, one: Record) -> Source:
        """Where a record stands."""
        key = (one.tool, one.row)
        if key not in self._sources:
            self._sources[key] = Source(one.tool, self._files[one.tool], one.row, one.ref)
        return self._sources[key]

    def _name(self) -> str:
        """The customer and the job, as the first tool that knows them calls them."""
        name = next((one.name for one in self.records if one.name), "")
        titles = [one.title for one in self.records if one.title]
        title = min(titles, key=len, default="")
        if name and title and title.casefold() not in name.casefold():
            name = title if name.casefold() in title.casefold() else f"{name}: {title}"
        first = self.records[0]
        return (name or title or f"{first.tool} {first.ref}")[:NAME_LENGTH_MAX]

    def _money(self) -> Money | None:
        """The largest amount that anybody names."""
        amounts = [one.money for one in self.records if one.money]
        if not amounts:
            return None
        return max(amounts, key=lambda money: money.amount)

    def _words(self) -> Words:
        """What every status field leaves open; those without a known word are left out.

        Of several records of one tool, such as an estimate and its invoice, the latest counts.
        """
        latest: dict[tuple[str, str], tuple[datetime | None, frozenset[Configuration]]] = {}
        for one in self.records:
            for shown in one.shown:
                if not shown.states:
                    continue
                key = (one.tool, shown.status_field)
                before = latest[key][0] if key in latest else None
                if key not in latest or (one.since and before and one.since > before):
                    latest[key] = one.since, frozenset(shown.states)
        return tuple((tool, states) for (tool, _), (_, states) in latest.items())

    def _fields(self) -> dict[str, list[tuple[Record, str]]]:
        """Canonical field → (record, its value), in the order of the tools."""
        fields: dict[str, list[tuple[Record, str]]] = {}
        for one in self.records:
            if one.row in self.twin_rows.get(one.tool, ()):
                continue
            for name, value in one.fields:
                fields.setdefault(name, []).append((one, value))
        return fields

    def repeated(self, records: Sequence[Record], cluster: Cluster) -> dict[str, list[Record]]:
        """Tool → its records of this case, where it holds more than it should.

        Several that one record of another tool names together (the invoices of a deposit and of
        the rest) are meant to be several.
        """
        repeated: dict[str, list[Record]] = {}
        twins = {records[place].row: records[place].tool for place, _ in cluster.twins}
        by_slot: dict[tuple[str, str], list[Record]] = {}
        for one in self.records:
            by_slot.setdefault((one.tool, one.kind), []).append(one)
        for (tool, _), several in by_slot.items():
            if len(several) < 2:  # noqa: PLR2004 - one is as it should be
                continue
            named_together = any(
                sum(
                    (target.partition(":")[0], ref) == (tool, one.ref)
                    for one in several
                    for target, ref in other.references
                )
                > 1
                for other in self.records
            )
            if named_together and not any(twins.get(one.row) == tool for one in several):
                continue
            repeated.setdefault(tool, []).extend(several)
        return repeated
