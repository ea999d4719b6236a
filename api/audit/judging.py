"""What the tools disagree on, and who should be believed: the lifecycle's own rules decide.

Every word stands for some states. Where all words of a case leave a state that they share, the
tools agree. Where they do not, the state belongs to the tool whose word makes it true, unless the
owner of something that must come before it says that it has not (invoiced though not completed).
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Final

from msgspec import Struct

from api.audit.casework import Case
from api.audit.course import Course, Settled, Words
from api.audit.decisions import pair_key
from api.audit.findings import (
    Belief,
    Finding,
    Held,
    Job,
    Kind,
    Link,
    Said,
    Severity,
    Source,
    Value,
)
from api.audit.grouping import Cluster, How, Tie
from api.audit.likeness import compare
from api.audit.records import Record
from lifecycle.chart import Chart, Configuration
from lifecycle.model import Lifecycle

SECONDS_A_DAY: Final = 86_400


class Judged(Struct, frozen=True, gc=False):
    """One job and what is wrong with it; findings are numbered later, among all."""

    job: Job
    findings: tuple[Finding, ...]


class Judge:
    """Judges one case after another by one lifecycle."""

    def __init__(
        self,
        lifecycle: Lifecycle,
        files: Mapping[str, str],
        at: datetime,
        doubts: Mapping[int, Collection[str]],
    ) -> None:
        """`files` names the export of each tool that was read; ages count to `at`.

        `doubts`: place of a record → the tools in which its other half may stand, unconfirmed.
        """
        self._lifecycle = lifecycle
        self._declaration = lifecycle.declaration
        self._files = files
        self._at = at
        self._doubts = doubts
        self._tools = [tool for tool in self._declaration.tools if tool in files]
        self._order = {tool: at for at, tool in enumerate(self._tools)}
        self._course = Course(lifecycle)
        self._titles = {name: tool.title for name, tool in self._declaration.tools.items()}
        self._settled: dict[Words, Settled] = {}
        self._eithers: dict[frozenset[Configuration], str] = {}
        self._names: dict[tuple[Configuration, ...], tuple[str, ...]] = {}
        self._must: dict[tuple[Configuration, str], bool] = {}

    def judge(self, number: int, records: Sequence[Record], cluster: Cluster) -> Judged:
        """Judge the records of one case."""
        by_place = {place: records[place] for place in cluster.records}
        mine = sorted(by_place.values(), key=lambda one: (self._order[one.tool], one.row))
        case = Case(number, mine, [by_place[place] for place, _ in cluster.twins], self._files)
        settled = self._settle(case)
        findings = tuple(self._findings(case, settled, records, cluster))
        money = case.money
        held = self._held(settled, findings, cluster)
        return Judged(
            Job(
                number=number,
                name=case.name,
                said=tuple(self._said(case)),
                state=state_name(settled.state) if settled.state else "",
                agreed=held is None,
                held=held,
                since=self._since(case, settled.state),
                money=money.amount if money else None,
                currency=money.currency if money else "",
                links=tuple(
                    link_of(by_place[tie.left], by_place[tie.right], tie, self._files)
                    for tie in cluster.ties
                ),
                fields=tuple(self._owned(case, settled.state)),
                references=tuple(self._references(mine)),
            ),
            findings,
        )

    def _held(self, settled: Settled, findings: Sequence[Finding], cluster: Cluster) -> Held | None:
        """Why the service should not take it over as it stands; None: it should."""
        if any(place in self._doubts for place in cluster.records):
            return Held.TO_CONFIRM
        kinds = {one.kind for one in findings}
        for kind, held in _HOLDING.items():
            if kind in kinds:
                return held
        return None if settled.exact else Held.LEFT_OPEN

    def title(self, state: Configuration) -> str:
        """A state as people read it."""
        return state_title(self._lifecycle.chart, state)

    # Where it stands.

    def _settle(self, case: Case) -> Settled:
        if case.words not in self._settled:
            self._settled[case.words] = self._course.settle(case.words)
        return self._settled[case.words]

    def _since(self, case: Case, state: Configuration | None) -> datetime | None:
        """Since when the state holds: what its owner says, else the latest that anybody says."""
        owner = self._course.owner(state) if state else None
        times = [one.since for one in case.records if one.since and one.tool == owner] or [
            one.since for one in case.records if one.since
        ]
        return max(times, default=None)

    # Findings.

    def _findings(
        self, case: Case, settled: Settled, records: Sequence[Record], cluster: Cluster
    ) -> Iterator[Finding]:
        if settled.disagree:
            yield self._disagreement(case, settled)
        yield from self._unknown_words(case, settled)
        yield from self._missing(case, settled, cluster)
        yield from self._repeated(case, settled, records, cluster)
        yield from self._other_fields(case, settled)
        if settled.state and settled.exact:
            yield from self._stale(case, settled.state)

    def _disagreement(self, case: Case, settled: Settled) -> Finding:
        saying: dict[str, dict[str, None]] = {}
        for tool, states in case.words:
            saying.setdefault(self._titles[tool], {})[self._either(states)] = None
        said = "; ".join(f"{tool} says {' but also '.join(says)}" for tool, says in saying.items())
        kind = Kind.CONTRADICTED if settled.contradicted else Kind.DISAGREE_STATE
        if settled.state is None:
            belief = Belief("", "", "No owner's word settles it: somebody has to look at the job.")
            do = "Ask the people on the job what is true, then set it right in every tool."
        else:
            owner = settled.believed
            belief = Belief(owner, self.title(settled.state), self._why(settled))
            wrong = dict.fromkeys(
                self._titles[tool] for tool, states in case.words if settled.state not in states
            )
            do = f"Set the job to {self.title(settled.state)} in {_and(list(wrong))}."
        return self._finding(
            case, settled, kind, Severity.HIGH, f"{said}.", belief, do, case.records
        )

    def _why(self, settled: Settled) -> str:
        assert settled.state, "asked why nothing is believed"
        owner = self._titles.get(settled.believed, settled.believed)
        if settled.contradicted:
            wrong, by = settled.contradicted
            return (
                f"{owner} owns what has to come before {self.title(wrong)}, and it does not show "
                f"it: its word goes before {self._titles[by]}'s."
            )
        return f"{self.title(settled.state)} is {owner}'s to say: the state belongs to it."

    def _unknown_words(self, case: Case, settled: Settled) -> Iterator[Finding]:
        for one in case.records:
            if one.row in case.twin_rows.get(one.tool, ()):
                continue
            for shown in one.shown:
                if shown.states:
                    continue
                tool = self._titles[one.tool]
                yield self._finding(
                    case,
                    settled,
                    Kind.UNKNOWN_WORD,
                    Severity.MEDIUM,
                    f"{tool} says '{shown.word}' ({shown.status_field}), a word that stands in "
                    "nobody's vocabulary.",
                    Belief("", "", "Nobody has said what this word means."),
                    f"Say under `words: {one.tool}: {shown.status_field}:` which state "
                    f"'{shown.word}' stands for, or change it in {tool}.",
                    [one],
                    field=shown.status_field,
                )

    def _missing(self, case: Case, settled: Settled, cluster: Cluster) -> Iterator[Finding]:
        if len(case.tools) == len(self._tools):
            return
        possible = (settled.state,) if settled.state else settled.possible
        # Where a pair waits to be confirmed, nobody may call the job missing.
        doubted = {tool for place in cluster.records for tool in self._doubts.get(place, ())}
        if not possible:
            return
        for tool in self._tools:
            if (
                tool in case.tools
                or tool in doubted
                or not all(self._must_know(one, tool) for one in possible)
            ):
                continue
            owner = self._course.owner(settled.state) if settled.state else None
            state = self._either(frozenset(possible))
            knowing = _and([self._titles[known] for known in self._tools if known in case.tools])
            title = self._titles[tool]
            believed = owner if owner in case.tools else case.records[0].tool
            yield self._finding(
                case,
                settled,
                Kind.MISSING,
                Severity.HIGH,
                f"{title} does not know the job; by {knowing} it stands at {state}.",
                Belief(
                    believed or "", state, f"{knowing} hold the job; {title} must show it there."
                ),
                f"Enter the job in {title}, with the ids of the others.",
                case.records,
                missing_from=tool,
            )

    def _must_know(self, state: Configuration, tool: str) -> bool:
        """Whether a tool shows a word in this state, and in whatever leads straight to its end."""
        key = (state, tool)
        if key not in self._must:
            shows = self._shows(state, tool)
            if shows and self._lifecycle.chart.ended(state):
                # It may have ended before the tool had to hear of it.
                shows = all(self._shows(one, tool) for one in self._course.before(state))
            self._must[key] = shows
        return self._must[key]

    def _shows(self, state: Configuration, tool: str) -> bool:
        shown = self._lifecycle.vocabulary.shown(state).get(tool, {})
        return any(word is not None for word in shown.values())

    def _repeated(
        self, case: Case, settled: Settled, records: Sequence[Record], cluster: Cluster
    ) -> Iterator[Finding]:
        for tool, several in case.repeated(records, cluster).items():
            title = self._titles[tool]
            refs = dict.fromkeys(one.ref for one in several)
            rows = _and([str(one.row) for one in several])
            same = len(refs) == 1
            what = f"the same record {several[0].ref}" if same else f"as {_and(list(refs))}"
            yield self._finding(
                case,
                settled,
                Kind.DUPLICATE,
                Severity.LOW if same else Severity.MEDIUM,
                f"{title} holds the job {len(several)} times, {what} (rows {rows}).",
                Belief(tool, several[0].ref, f"Row {several[0].row} is the first of them."),
                f"Keep one of them in {title}, and join or delete the others.",
                several,
            )

    def _other_fields(self, case: Case, settled: Settled) -> Iterator[Finding]:
        for name, held in case.fields.items():
            first = held[0][1]
            if all(value == first or _same(value) == _same(first) for _, value in held):
                continue
            owner = self._owner_of(name, settled.state)
            values = sorted(
                (Value(case.source(one), value, owner=one.tool == owner) for one, value in held),
                key=lambda value: not value.owner,
            )
            title = self._lifecycle.fields[name].title or name.replace("_", " ")
            said = "; ".join(f"{self._titles[one.source.tool]} has {one.value}" for one in values)
            if owner and values[0].owner:
                belief = Belief(owner, values[0].value, f"{self._titles[owner]} owns the {title}.")
                wrong = dict.fromkeys(
                    self._titles[one.source.tool] for one in values if not one.owner
                )
                do = f"Set the {title} to {values[0].value} in {_and(list(wrong))}."
            else:
                belief = Belief("", "", f"The owner of the {title} does not hold it.")
                do = f"Find out which {title} is right, and put it into every tool."
            yield self._finding(
                case,
                settled,
                Kind.DISAGREE_FIELD,
                Severity.MEDIUM if self._lifecycle.fields[name].type == "money" else Severity.LOW,
                f"The {title} differs: {said}.",
                belief,
                do,
                [one for one, _ in held],
                field=name,
                values=tuple(values),
            )

    def _stale(self, case: Case, state: Configuration) -> Iterator[Finding]:
        since = self._since(case, state)
        limits = [
            limit
            for name in self._lifecycle.chart.active(state).ids
            if (limit := self._lifecycle.limits.get(name))
        ]
        if since is None or not limits or self._lifecycle.chart.ended(state):
            return
        allowed, stayed = min(limits), (self._at - since).total_seconds()
        if stayed <= allowed:
            return
        owner = self._course.owner(state) or ""
        title = self.title(state)
        yield self._finding(
            case,
            Settled(state=state, believed=owner, possible=(state,)),
            Kind.STALE,
            Severity.MEDIUM,
            f"All agree on {title}, for {int(stayed // SECONDS_A_DAY)} days now; "
            f"{_length(allowed)} are allowed.",
            Belief(owner, title, "All tools agree; the job waits."),
            f"Ask {self._next(state)} what holds the job up.",
            case.records,
            since=since,
        )

    def _next(self, state: Configuration) -> str:
        """Who can move it on: the makers of the transitions that are open here."""
        chart, makers = self._lifecycle.chart, self._lifecycle.ownership.makers
        ahead = [
            row for row in chart.open_rows(state) if not self._cancels(row)
        ] or chart.open_rows(state)
        tools = dict.fromkeys(tool for row in ahead for tool in makers[row])
        return _or([f"the people behind {self._titles[tool]}" for tool in tools]) or "the steward"

    def _cancels(self, row: int) -> bool:
        target = self._lifecycle.chart.rows[row].to
        return bool(self._lifecycle.chart.places[target].state.final)

    def _finding(
        self,
        case: Case,
        settled: Settled,
        kind: Kind,
        severity: Severity,
        summary: str,
        believe: Belief,
        do: str,
        about: Sequence[Record],
        *,
        field: str = "",
        values: tuple[Value, ...] = (),
        missing_from: str = "",
        since: datetime | None = None,
    ) -> Finding:
        since = since or self._since(case, settled.state)
        money = case.money
        return Finding(
            number=0,
            kind=kind,
            severity=severity,
            case=case.name,
            case_number=case.number,
            summary=summary,
            said=tuple(self._said(case)),
            sources=tuple(dict.fromkeys(case.source(one) for one in about)),
            believe=believe,
            do=do,
            state=state_name(settled.state) if settled.state else "",
            field=field,
            values=values,
            missing_from=missing_from,
            since=since,
            age_days=max(0, (self._at - since).days) if since else None,
            money=money.amount if money else None,
            currency=money.currency if money else "",
        )

    # What each tool says and holds.

    def _said(self, case: Case) -> Iterator[Said]:
        for one in case.records:
            source = case.source(one)
            if not one.shown:
                yield Said(source, None, (), one.since)
            for shown in one.shown:
                yield Said(
                    source=source,
                    word=shown.word,
                    states=self._named(shown.states),
                    since=one.since,
                    status_field=shown.status_field,
                    derived=shown.derived,
                    title=self._either(frozenset(shown.states)),
                )

    def _named(self, states: tuple[Configuration, ...]) -> tuple[str, ...]:
        if states not in self._names:
            self._names[states] = tuple(state_name(state) for state in states)
        return self._names[states]

    def _either(self, states: frozenset[Configuration]) -> str:
        if states not in self._eithers:
            ordered = sorted(states, key=self._course.depth)
            self._eithers[states] = _or([self.title(state) for state in ordered])
        return self._eithers[states]

    def _owner_of(self, field: str, state: Configuration | None) -> str | None:
        ownership = self._lifecycle.ownership
        if state is None:
            owners = ownership.field_owners(field)
            return owners[0] if len(owners) == 1 else None
        return ownership.field_owner(field, self._lifecycle.chart.active(state).ids)

    def _owned(self, case: Case, state: Configuration | None) -> Iterator[tuple[str, str]]:
        for name, held in case.fields.items():
            owner = self._owner_of(name, state)
            if owned := next((value for one, value in held if one.tool == owner), ""):
                yield name, owned

    def _references(self, records: Sequence[Record]) -> Iterator[tuple[str, str]]:
        seen: set[tuple[str, str]] = set()
        for one in records:
            kinds = self._declaration.tools[one.tool].kinds
            kind = one.kind if one.kind in kinds[1:] else ""
            named = (f"{one.tool}:{kind}" if kind else one.tool, one.ref)
            if named not in seen:
                seen.add(named)
                yield named


def link_of(
    left: Record, right: Record, tie: Tie, files: Mapping[str, str], *, doubtful: bool = False
) -> Link:
    """Two records as the report shows them; a score explains itself."""
    return Link(
        key=pair_key(left, right),
        left=Source(left.tool, files[left.tool], left.row, left.ref),
        right=Source(right.tool, files[right.tool], right.row, right.ref),
        left_name=left.name or left.title,
        right_name=right.name or right.title,
        how=tie.how.written,
        score=tie.score,
        reasons=compare(left, right)[1] if doubtful or tie.how is How.SCORE else (),
    )


def state_name(state: Configuration) -> str:
    """A configuration as answers write it."""
    return "+".join(state)


def state_title(chart: Chart, state: Configuration) -> str:
    """A configuration as people read it."""
    return " and ".join(
        chart.places[leaf].state.title or leaf.replace("_", " ").capitalize() for leaf in state
    )


def _same(value: str) -> str:
    """What makes two values one: text without regard to case and spacing."""
    return " ".join(value.casefold().split())


def _and(names: Sequence[str]) -> str:
    return _listed(names, "and")


def _or(names: Sequence[str]) -> str:
    return _listed(names, "or")


def _listed(names: Sequence[str], word: str) -> str:
    if len(names) < 2:  # noqa: PLR2004 - nothing to join
        return "".join(names)
    return f"{', '.join(names[:-1])} {word} {names[-1]}"


def _length(seconds: float) -> str:
    days = seconds / SECONDS_A_DAY
    return f"{days:g} days" if days != 1 else "24 hours"


_HOLDING: Final = {
    Kind.CONTRADICTED: Held.DISAGREE,
    Kind.DISAGREE_STATE: Held.DISAGREE,
    Kind.DUPLICATE: Held.DUPLICATE,
    Kind.MISSING: Held.MISSING,
    Kind.UNKNOWN_WORD: Held.UNKNOWN_WORD,
}
