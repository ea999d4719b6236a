"""What the plan declares, completed until `statekeeper check` would take it.

A word that people have made in a tool is in no connector's vocabulary yet, and a definition may
only hear words that are. So such a word is declared twice: in the connector, and in the lifecycle.
"""

from collections.abc import Mapping
from typing import Any

import msgspec
import yaml
from msgspec.structs import replace

from api.audit.findings import Audit, Step
from lifecycle.checks import Source, check
from lifecycle.connectors import Connector
from lifecycle.declaration import Flow, Ignore
from lifecycle.definition import skim
from lifecycle.model import Lifecycle
from lifecycle.refusals import Problem

Hears = dict[str, dict[str, dict[str, str | Ignore]]]


def completed(
    audit: Audit, lifecycle: Lifecycle, connectors: Mapping[str, Connector]
) -> tuple[Audit, tuple[Problem, ...]]:
    """Complete what the plan declares, and check it as a whole in the definition it belongs to.

    What is still wrong with it is given beside; nothing, as far as the lifecycle itself is sound.
    """
    known = dict(connectors)
    declaration, marks = skim(lifecycle.text.encode(), f"{lifecycle.name}.yaml")
    plan: list[Step] = []
    for step in audit.plan:
        parts = yaml.load(step.declare, Loader=yaml.BaseLoader) if step.declare else {}  # noqa: S506 - builds text, maps and lists, and nothing else
        texts: list[str] = []
        if hears := parts.get("hears"):
            beyond = _beyond(hears, lifecycle, known)
            known |= beyond
            texts += [_vocabulary(connectors[name], beyond[name]) for name in beyond]
            merged = _merged(dict(declaration.hears), msgspec.convert(hears, Hears))
            declaration = replace(declaration, hears=merged)
            texts.append(_yaml({"lifecycle": lifecycle.name, "hears": hears}))
        if flows := parts.get("flows"):
            added = msgspec.convert(flows, tuple[Flow, ...])
            declaration = replace(declaration, flows=(*declaration.flows, *added))
            texts.append(_yaml({"lifecycle": lifecycle.name, "flows": flows}))
        plan.append(replace(step, declare="---\n".join(texts)) if texts else step)
    problems = check([Source(declaration, marks)], known, {})
    wrong = tuple(problem for problem in problems if not problem.warning)
    return replace(audit, plan=tuple(plan)), wrong


def _beyond(
    hears: Mapping[str, Mapping[str, Mapping[str, str]]],
    lifecycle: Lifecycle,
    connectors: Mapping[str, Connector],
) -> dict[str, Connector]:
    """The connectors whose vocabulary lacks words that are to be heard, with those words."""
    longer: dict[str, Connector] = {}
    for tool, fields in hears.items():
        declared = lifecycle.declaration.tools[tool]
        name = declared.connector or ""
        for field, words in fields.items():
            connector = longer.get(name) or connectors.get(name)
            published = connector.published(field, declared.kinds) if connector else None
            if connector is None or published is None:
                continue
            new = tuple(word for word in words if word not in published)
            key = _key(connector, field, declared.kinds)
            words_now = (*connector.vocabulary[key], *new)
            if new:
                vocabulary = {**connector.vocabulary, key: words_now}
                longer[name] = replace(connector, vocabulary=vocabulary)
    return longer


def _key(connector: Connector, field: str, kinds: tuple[str, ...]) -> str:
    """Where the vocabulary keeps the words of a status field: under its name, or the kind's."""
    if field in connector.vocabulary:
        return field
    return next(kind for kind in kinds if kind in connector.vocabulary)


def _vocabulary(before: Connector, after: Connector) -> str:
    """The vocabularies that grew, whole, so that each can be put in place of the old one."""
    grown = {
        key: list(words)
        for key, words in after.vocabulary.items()
        if words != before.vocabulary.get(key)
    }
    return _yaml({"connector": after.connector, "vocabulary": grown})


def _merged(into: dict[str, Any], more: Mapping[str, Any]) -> dict[str, Any]:
    for key, value in more.items():
        there = into.get(key)
        if isinstance(there, dict) and isinstance(value, dict):
            into[key] = _merged(dict(there), value)
        else:
            into[key] = value
    return into


def _yaml(value: object) -> str:
    text = yaml.safe_dump(
        value, allow_unicode=True, sort_keys=False, width=90, default_flow_style=None
    )
    return str(text)
