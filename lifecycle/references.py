"""A tool's own ids of a case: what they are called, and which of them a case holds."""

from collections.abc import Mapping

from lifecycle.case import Case
from lifecycle.declaration import Tool
from lifecycle.model import Lifecycle
from lifecycle.refusals import UnknownReference, UnknownTool, quoted


def reference_key(tool: str, kind: str, lifecycle: Lifecycle) -> str:
    """`tool` or `tool:kind`, as cases show it.

    Raises `UnknownTool` where the lifecycle does not have it, `UnknownReference` for another kind.
    """
    declared = declared_tool(tool, lifecycle)
    if kind and not lifecycle.knows_kind(tool, kind):
        kinds = ", ".join(declared.kinds) or "none"
        raise UnknownReference(
            f"{tool!r} has no kind of reference {quoted(kind)} (declared: {kinds})",
            tool=tool,
            kind=kind[:80],
        )
    return f"{tool}:{kind}" if kind else tool


def declared_tool(tool: str, lifecycle: Lifecycle) -> Tool:
    """What the lifecycle says of a tool; `UnknownTool` where it does not have it."""
    declared = lifecycle.declaration.tools.get(tool)
    if declared is None:
        raise UnknownTool(
            f"{lifecycle.collection} know no tool {quoted(tool)}"
            f" (declared: {', '.join(lifecycle.declaration.tools)})",
            tool=tool,
        )
    return declared


def references_of(case: Case, tool: str, kind: str, lifecycle: Lifecycle) -> dict[str, str]:
    """The tool's references of one kind → the key under which the case shows each.

    A reference without a kind is one of the tool's main kind.
    """
    main = lifecycle.main_kind(tool)
    kinds = {kind, ""} if kind in {main, ""} else {kind}
    if "" in kinds:
        kinds.add(main)
    keys = [f"{tool}:{one}" if one else tool for one in sorted(kinds)]
    return {ref: key for key in keys for ref in case.references.get(key, ())}


def once_each(
    references: Mapping[str, tuple[str, ...]], lifecycle: Lifecycle
) -> dict[str, tuple[str, ...]]:
    """These references as they are named, each under the first of the names it is given."""
    seen: set[tuple[str, str, str]] = set()
    kept: dict[str, tuple[str, ...]] = {}
    for key, refs in references.items():
        tool, _, kind = key.partition(":")
        for ref in refs:
            same = (tool, kind or lifecycle.main_kind(tool), ref)
            if same not in seen:
                seen.add(same)
                kept[key] = (*kept.get(key, ()), ref)
    return kept
