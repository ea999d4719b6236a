"""From the audit to the service: the import file that opens every job of which nothing is in doubt.

`statekeeper import jobs FILE --as NAME` takes it in: each job with its state, since when, the
references that tools know it by, and the values of its fields that their owners hold. Jobs that
somebody has to look at first are left out; the report lists them with the reason.
"""

import re
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import msgspec

from api.audit.findings import Audit, Job
from lifecycle.fields import NotThat, is_case_id, normalise, timestamp
from lifecycle.model import Lifecycle


def write_import(audit: Audit, lifecycle: Lifecycle, path: Path) -> int:
    """Write the file that adopts every job that is certain; answer how many stand in it."""
    written = 0
    with path.open("wb") as file:
        for line in lines(audit, lifecycle):
            file.write(msgspec.json.encode(line) + b"\n")
            written += 1
    return written


def lines(audit: Audit, lifecycle: Lifecycle) -> Iterator[dict[str, Any]]:
    """Give one `open` for each job that is certain, in the order of the audit.

    No two have one id, and no reference stands in two: the second job that claims one goes
    without it, since a reference belongs to one case.
    """
    ids: set[str] = set()
    taken: set[tuple[str, str]] = set()
    numbered = frozenset(one.tool for one in audit.exports if one.numbered)
    for job in audit.jobs:
        if job.held is not None:
            continue
        assert job.state, f"job {job.number} is certain, but of no state"
        case_id = _id(job, ids)
        ids.add(case_id)
        line: dict[str, Any] = {"do": "open", "id": case_id, "state": job.state}
        if job.since is not None:
            line["since"] = timestamp(min(job.since, audit.at))
        references = _references(job, taken, numbered)
        if references:
            line["references"] = references
        if fields := dict(_fields(job, lifecycle)):
            line["fields"] = fields
        line["reason"] = _reason(job, audit)
        yield line


def _reason(job: Job, audit: Audit) -> str:
    """Why it is taken over, as it will stand in its history for ever: who says so."""
    saying = dict.fromkeys(said.source.tool for said in job.said if said.states)
    titles = [audit.tool_titles.get(tool, tool) for tool in saying]
    state = audit.state_titles.get(job.state, job.state)
    if len(titles) > 1:
        who = f"{', '.join(titles[:-1])} and {titles[-1]} agree on {state}"
    else:
        who = f"{titles[0]} says {state}, and no other tool says otherwise"
    confirmed = any(link.how == "confirmed" for link in job.links)
    return f"From the audit of exports: {who}{_CONFIRMED if confirmed else ''}."


def _id(job: Job, taken: set[str]) -> str:
    """A readable id: the first reference that may be one, else the number in the audit."""
    for _, ref in job.references:
        candidate = _UNFIT.sub("-", ref)
        if is_case_id(candidate) and candidate not in taken:
            return candidate
    number = job.number
    while (candidate := f"audit-{number}") in taken:
        number += 1
    return candidate


def _references(
    job: Job, taken: set[tuple[str, str]], numbered: Collection[str]
) -> Mapping[str, list[str]]:
    """What each tool calls it in its messages too: a number for people could be another's id."""
    references: dict[str, list[str]] = {}
    for key, ref in job.references:
        if (key, ref) not in taken and key.partition(":")[0] not in numbered:
            taken.add((key, ref))
            references.setdefault(key, []).append(ref)
    return references


def _fields(job: Job, lifecycle: Lifecycle) -> Iterator[tuple[str, Any]]:
    """The owners' values, without those that an export cannot write in canonical form."""
    for name, value in job.fields:
        field = lifecycle.fields[name]
        given: Any = value
        if field.type in {"number", "boolean", "address", "case"}:
            continue  # not text in JSON: the owner's first report brings them
        if field.type == "phone" and not value.startswith("+"):
            continue  # the country is not known; a number is not guessed
        try:
            given = normalise(field.type, value, choices=field.choices, signed=field.signed)
        except NotThat:
            continue
        yield name, given


_CONFIRMED: Final = "; a person confirmed that the rows are one job"
_UNFIT: Final = re.compile(r"[^A-Za-z0-9._:-]+")
