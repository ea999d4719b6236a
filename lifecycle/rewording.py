"""What the tools are told where a new version of a definition has other words for its cases.

Only on request, and after the version was adopted: from then on nobody decides by the old words.
That they are to be told stands in the log with the adoption, so that a start which did not come to
its end is taken up by the next. Each case is decided as it is by then: what a tool shows already it
is not told, whoever told it, and no reaction fires.
"""

from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Final

import structlog

from lifecycle.asks import Ask
from lifecycle.census import Standing, census
from lifecycle.chart import Configuration
from lifecycle.events import Asker, DefinitionAdopted
from lifecycle.inherited import declared_by
from lifecycle.journal import IMPORT_ASKS_MAX, Journal
from lifecycle.model import Lifecycle
from lifecycle.notices import Reword
from lifecycle.streams import definition_stream

SAID_EVERY_CASES: Final = 10_000
"""How often it is said how far it has come."""
DONE: Final = b"done"

log = structlog.get_logger("statekeeper.rewording")

Words = Mapping[str, Mapping[str, str | None]]
"""Tool → status field → word."""


def tell_words(journal: Journal, lifecycle: Lifecycle, *, wanted: bool) -> None:
    """Make due what the tools do not show of the adopted version's words, once for all.

    Also where it is not `wanted` now, but was when the version was adopted.
    """
    adoptions = _adoptions(journal, lifecycle)
    mark = f"words-told:{lifecycle.name}:{lifecycle.mark.version}"
    if not adoptions or not (wanted or adoptions[-1].tells) or journal.recorder.setting(mark):
        return
    earlier = [one for one in adoptions if one.version < lifecycle.mark.version]
    if earlier and (declared := declared_by(earlier[-1])):
        before = Lifecycle(declared)
        standing = census(journal, lifecycle.collection, lifecycle.mark.version)
        _tell(journal, lifecycle, reworded(before, lifecycle, standing))
    journal.recorder.keep_setting(mark, DONE)


def reworded(
    before: Lifecycle, lifecycle: Lifecycle, standing: Mapping[str, Standing]
) -> dict[str, Words]:
    """The open cases for which some tool has another word now, each with the words before."""
    found: dict[str, Words] = {}
    for case, where in standing.items():
        to = now(where, lifecycle)
        if not before.chart.is_whole(where.before) or before.chart.ended(where.before):
            continue
        words = before.vocabulary.shown(where.before)
        if to is not None and words != lifecycle.vocabulary.shown(to):
            found[case] = words
    return found


def now(where: Standing, lifecycle: Lifecycle) -> Configuration | None:
    """Where a case stands in the words of this version; None where it has no place there."""
    if where.version >= lifecycle.mark.version:
        return where.states
    renamed = lifecycle.declaration.renamed
    return lifecycle.chart.carried(tuple(renamed.get(name, name) for name in where.states))


def _adoptions(journal: Journal, lifecycle: Lifecycle) -> list[DefinitionAdopted]:
    stored = journal.recorder.streams([definition_stream(lifecycle.name)])
    events = (journal.mapper.to_domain_event(one).event for one in stored)
    return [event for event in events if isinstance(event, DefinitionAdopted)]


def _tell(journal: Journal, lifecycle: Lifecycle, words: Mapping[str, Words]) -> None:
    asks = _asks(lifecycle, words)
    done = 0
    while some := list(islice(asks, IMPORT_ASKS_MAX)):
        for outcome in journal.answer_many_later(some, 0).result():
            if isinstance(outcome, BaseException):
                raise outcome
        done += len(some)
        if done % SAID_EVERY_CASES < len(some) or done == len(words):
            log.info("new words", lifecycle=lifecycle.name, cases=done, of=len(words))


def _asks(lifecycle: Lifecycle, words: Mapping[str, Words]) -> Iterator[Ask]:
    for case, before in words.items():
        what = Reword(before=before)
        yield Ask(
            asker=Asker(), collection=lifecycle.collection, id=case.partition("/")[2], what=what
        )
