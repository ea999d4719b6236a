"""The lifecycles that govern the cases: declared, drawn, explained."""

from pathlib import PurePath
from typing import Any

import msgspec
from msgspec import Struct

from api.asking import ask
from api.door import Answer, Form, Keeper, Operation, Visit, told
from api.keys import identify_now
from api.problems import NotFound
from lifecycle.asks import Look
from lifecycle.case import Case
from lifecycle.declaration import Declaration
from lifecycle.model import Lifecycle
from lifecycle.refusals import NotYours, Problem, UnknownCase
from projections.picture import draw


class LifecycleSummary(Struct):
    """A lifecycle in one line."""

    lifecycle: str
    title: str
    collection: str
    version: int
    digest: str
    """Of what it means; two texts of one meaning have one."""


class Lifecycles(Struct):
    """Every lifecycle of this business."""

    items: list[LifecycleSummary]


class LifecycleView(Struct):
    """A lifecycle in full."""

    lifecycle: str
    title: str
    collection: str
    version: int
    digest: str
    owners: dict[str, str | None]
    """State → the tool whose word makes it true."""
    declaration: Declaration
    warnings: list[Problem]


async def list_lifecycles(keeper: Keeper, visit: Visit) -> Answer:
    """Every lifecycle of this business."""
    visit.query()
    await identify_now(keeper, visit)
    return told(Lifecycles([_summary(one) for one in keeper.catalogue.lifecycles.values()]))


async def show_lifecycle(keeper: Keeper, visit: Visit) -> Answer:
    """One lifecycle: its declaration, its diagram in Mermaid, or its picture."""
    name, _, form = visit.segment(3).partition(".")
    query = visit.query("case") if form == "svg" else visit.query()
    asker = await identify_now(keeper, visit)
    lifecycle = keeper.catalogue.named(name)
    if lifecycle is None or form not in {"", "mermaid", "svg"}:
        known = ", ".join(one.name for one in keeper.catalogue.lifecycles.values())
        raise NotFound(f"no lifecycle {visit.segment(3)[:80]!r} (there are: {known})")
    if form == "mermaid":
        return Answer(200, lifecycle.chart.mermaid().encode(), [], b"text/plain; charset=utf-8")
    if form == "svg":
        case = None
        if "case" in query:
            of = lifecycle.collection
            case = (
                await ask(keeper, visit, asker, Look(), case_id=query["case"], collection=of)
            ).case
        return Answer(200, _picture(lifecycle, case).encode(), [], b"image/svg+xml")
    return told(_view(lifecycle, keeper))


def _picture(lifecycle: Lifecycle, case: Case | None) -> str:
    return draw(lifecycle.declaration, current=case.states if case else ())


def _summary(lifecycle: Lifecycle) -> LifecycleSummary:
    declared = lifecycle.declaration
    return LifecycleSummary(
        declared.lifecycle,
        declared.title,
        declared.collection,
        declared.version,
        lifecycle.mark.digest,
    )


def _view(lifecycle: Lifecycle, keeper: Keeper) -> LifecycleView:
    summary: dict[str, Any] = msgspec.structs.asdict(_summary(lifecycle))
    warnings = [
        msgspec.structs.replace(one, file=PurePath(one.file).name)  # where it lies is nobody's
        for one in keeper.catalogue.warnings
        if PurePath(one.file).stem == lifecycle.name
    ]
    return LifecycleView(
        **summary,
        owners=lifecycle.ownership.states,
        declaration=lifecycle.declaration,
        warnings=warnings,
    )


OPERATIONS = (
    Operation(
        "GET",
        "/v1/lifecycles",
        list_lifecycles,
        "Every lifecycle of this business",
        gives=Lifecycles,
    ),
    Operation(
        "GET",
        "/v1/lifecycles/{name}",
        show_lifecycle,
        "A lifecycle in full",
        gives=LifecycleView,
        forms=(
            Form(".mermaid", "text/plain", "A lifecycle's diagram, in Mermaid"),
            Form(
                ".svg",
                "image/svg+xml",
                "A lifecycle's picture",
                query={"case": "the id of a case whose current states to mark"},
                refuses=(NotYours, UnknownCase),
            ),
        ),
    ),
)
