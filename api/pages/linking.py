"""Linking a message's record to its case: the case is looked for by whatever is known of it."""

import asyncio
from collections.abc import Sequence
from typing import Final
from urllib.parse import quote, urlencode

from api import lists
from api import messages as door
from api.door import Answer, Keeper, Visit
from api.pages.columns import Row, row
from api.pages.deciding import in_short
from api.pages.render import page
from api.pages.session import see_other, signed_in
from api.problems import MalformedRequest
from lifecycle import fields
from lifecycle.case import Case
from lifecycle.model import Lifecycle
from lifecycle.refusals import UnknownCase
from lifecycle.streams import case_stream
from projections import finding
from projections.messages import OnList

FOUND_MAX: Final = 20
TEXT_LENGTH_MAX: Final = 200


async def link(keeper: Keeper, visit: Visit) -> Answer:
    """Lead to the form that links a record to a case, or show the cases that may be meant."""
    session = await signed_in(keeper, visit)
    query = visit.query("message", "case")
    message = await door.LISTING.one(keeper, session.asker, query.get("message", ""))
    asked = query.get("case", "").strip()
    collection, _, case_id = asked.rpartition("/")
    collection = collection.strip("/") or message.collection
    lifecycle = keeper.catalogue.lifecycles.get(collection)
    if lifecycle is None:
        raise UnknownCase(f"{collection[:80]} has no case {case_id[:140]!r}", id=case_id[:140])
    if fields.is_case_id(case_id):
        known = await keeper.journal.known(case_stream(collection, case_id))
        if isinstance(known.state, Case):
            return see_other(_form(message, collection, case_id, lifecycle))
    found = await asyncio.to_thread(_look, keeper, lifecycle, asked)
    context = {
        "message": message,
        "heading": in_short(message, lifecycle),
        "asked": asked,
        "collection": collection,
        "found": found,
        "is_cut": len(found) == FOUND_MAX,
    }
    return page(keeper, visit, "message_link.html", context, session=session)


def _form(message: OnList, collection: str, case_id: str, lifecycle: Lifecycle) -> str:
    main = lifecycle.main_kind(message.tool)
    kind = message.kind
    whose = message.tool if kind in {"", main} else f"{message.tool}:{kind}"
    asked = urlencode({"tool": whose, "ref": message.ref})
    return f"/{collection}/{quote(case_id, safe='')}/act/reference?{asked}"


def _look(keeper: Keeper, lifecycle: Lifecycle, asked: str) -> Sequence[Row]:
    """Cases that hold these words, the last opened first; none where nothing can be found so."""
    try:
        wanted = lists.wanted_by({"q": asked[:TEXT_LENGTH_MAX]}, lifecycle, frozenset(), keeper)
    except MalformedRequest:
        return []
    with keeper.store.reading() as session:
        found = finding.page(session, wanted, None, FOUND_MAX)
    return [row(one.case, lifecycle, keeper.journal.clock()) for one in found.rows]
