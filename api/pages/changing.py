"""What a form of a case asks for; its parts are judged where every ask is judged."""

import re

from api.cases import REF_PATTERN
from api.pages.blanks import needed_by
from api.pages.filling import values
from api.pages.session import Form
from api.problems import NotFound
from lifecycle.case import Case
from lifecycle.changes import (
    Change,
    Correct,
    Erase,
    Move,
    ReleaseReference,
    SetFields,
    TakeReference,
)
from lifecycle.model import Lifecycle
from lifecycle.refusals import InvalidFields


def change(act: str, case: Case, lifecycle: Lifecycle, form: Form, reason: str) -> Change:
    """The change that is asked for by a form of an act; `NotFound` where there is no such act."""
    match act:
        case "move":
            name = form.one("transition")
            names = needed_by(name, case, lifecycle)
            given = values(form, names, case, lifecycle)
            return Move(transition=name, fields=given, reason=reason)
        case "fields":
            return SetFields(fields=values(form, lifecycle.fields, case, lifecycle), reason=reason)
        case "reference" | "release":
            tool, _, kind = form.one("tool").partition(":")
            kind, ref = kind or form.one("kind"), form.one("ref")
            if not re.search(REF_PATTERN, ref):
                told = {"path": "fields.ref", "detail": "1 to 200 characters, all of them visible"}
                raise InvalidFields("the id of the record is 1 to 200 characters", errors=[told])
            kind_of_ask = TakeReference if act == "reference" else ReleaseReference
            return kind_of_ask(tool=tool, kind=kind, ref=ref, reason=reason)
        case "correct":
            return Correct(state=form.one("state"), reason=reason)
        case "erase":
            return Erase(reason=reason)
    raise NotFound(f"nothing is called {act[:80]!r} that could be done to a case")
