"""The case as a tool says it, found by the tool's own id."""

import re
from urllib.parse import unquote

from api.asking import ask, tagged
from api.cases import REF_PATTERN
from api.door import Answer, Keeper, Operation, Visit, told
from api.keys import identify
from api.problems import MalformedRequest
from lifecycle.asks import LookUp
from lifecycle.events import Asker
from lifecycle.refusals import NotYours, UnknownReference, UnknownTool
from projections.views import ToolView, tool_view


async def show_to_tool(keeper: Keeper, visit: Visit) -> Answer:
    """A case in a tool's own words, by its own id."""
    tool, collection = visit.segment(3), visit.segment(4)
    given = _rest(visit)
    visit.query()
    asker = await identify(keeper, visit)
    _require_own(asker, tool, keeper)
    lifecycle = keeper.catalogue.lifecycles.get(collection)
    kind, ref = "", given
    if lifecycle and tool in lifecycle.declaration.tools:
        named, _, rest = given.partition(":")
        if rest and named in lifecycle.declaration.tools[tool].kinds:
            kind, ref = named, rest
    if not re.search(REF_PATTERN, ref):
        raise MalformedRequest(
            "a reference is 1 to 200 characters, none of them a control character"
        )
    what = LookUp(tool, ref, kind)
    answer = await ask(keeper, visit, asker, what, collection=collection)
    lifecycle = keeper.catalogue.lifecycles[answer.case.collection]
    return told(tool_view(answer.case, tool, kind, ref, lifecycle), 200, tagged(answer))


def _rest(visit: Visit) -> str:
    """The reference, which may hold slashes of its own."""
    try:
        ref = unquote(b"/".join(visit.segments[5:]).decode("ascii"), errors="strict")
    except UnicodeDecodeError as exc:
        raise MalformedRequest("the address is not UTF-8") from exc
    return ref


def _require_own(asker: Asker, tool: str, keeper: Keeper) -> None:
    if asker.tool and asker.tool != tool:
        raise NotYours(
            f"{asker.tool!r} may not see cases as {tool[:80]!r} does: ask for its own view"
        )
    if tool not in keeper.catalogue.tools():
        declared = ", ".join(keeper.catalogue.tools())
        raise UnknownTool(f"no definition names a tool {tool[:80]!r} (declared: {declared})")


OPERATIONS = (
    Operation(
        "GET",
        "/v1/tools/{tool}/{collection}/{ref}",
        show_to_tool,
        "The case as this tool says it, by its own id (`kind:ref` for other than its main kind)",
        gives=ToolView,
        refuses=(UnknownTool, UnknownReference),
    ),
)
