"""The forms of what staff may do to a case, filled in as far as they are."""

from collections.abc import Callable, Mapping
from typing import Final

from msgspec import Struct

from api.pages.filling import Input, inputs
from api.pages.session import Form
from api.problems import NotFound
from lifecycle.case import Case
from lifecycle.model import Lifecycle
from projections.wording import all_of, any_of, noun, phrase, state_titles, tool_title

STATES_MAX: Final = 500
"""States that are offered to choose from, the first in the order of the definition."""
NO_ERRORS: Final[Mapping[str, str]] = {}


class Choice(Struct, frozen=True):
    """Something to choose from."""

    value: str
    title: str
    chosen: bool


class Blank(Struct, frozen=True):
    """A form, filled in as far as it is."""

    act: str
    title: str
    says: str
    """What it is for, in a sentence."""
    inputs: tuple[Input, ...] = ()
    choices: tuple[Choice, ...] = ()
    """What to choose from, where there is one thing to choose."""
    choose: str = ""
    """The name of that, as the form sends it."""
    choose_label: str = ""
    fixed: tuple[tuple[str, str], ...] = ()
    """What is settled by the link that led here: name and value."""
    button: str = ""
    """What does it, where its title does not say."""


def blank(
    act: str,
    case: Case,
    lifecycle: Lifecycle,
    form: Form,
    *,
    filled: bool,
    wrong: Mapping[str, str] = NO_ERRORS,
) -> Blank:
    """The form of one act; `NotFound` where nobody can do that to a case."""
    typed = form if filled else None
    match act:
        case "move":
            return _moving(case, lifecycle, form, typed, wrong)
        case "fields":
            made = inputs(lifecycle.fields, case, lifecycle, form=typed, wrong=wrong)
            says = (
                "Each fact belongs to a tool. What you change here, you say in its owner's place."
            )
            return Blank(act, "Set facts", says, tuple(made))
        case "reference":
            return _linking(lifecycle, form, wrong)
        case "release":
            return _releasing(lifecycle, form)
        case "correct":
            return _correcting(case, lifecycle, form)
        case "erase":
            says = (
                "Personal values of this case are made unreadable for good, in the history too."
                " Nobody can bring them back."
            )
            return Blank(act, "Erase personal values", says, button="Erase for good")
    raise NotFound(f"nothing is called {act[:80]!r} that could be done to a case")


def lacking(form: Blank) -> str:
    """Name what has to be filled in before it can be told what would change; empty: nothing."""
    empty = [one.label for one in form.inputs if one.needed and not one.value.strip()]
    if form.choices and not any(one.chosen for one in form.choices):
        empty.insert(0, form.choose_label)
    return all_of([f"“{one}”" for one in empty]) if empty else ""


def _moving(
    case: Case, lifecycle: Lifecycle, form: Form, typed: Form | None, wrong: Mapping[str, str]
) -> Blank:
    name = form.one("transition")
    rows = [row for row in lifecycle.chart.rows if row.name == name]
    if not rows:
        raise NotFound(f"{lifecycle.collection} know no transition {name[:80]!r}")
    title = phrase(name, rows[0].title, noun(lifecycle)).base
    makers = dict.fromkeys(
        tool_title(tool, lifecycle)
        for index in lifecycle.chart.open_rows(case.states)
        if lifecycle.chart.rows[index].name == name
        for tool in lifecycle.ownership.makers[index]
    )
    says = "It cannot be done where the case is now."
    if makers:
        whose = any_of(makers)
        says = (
            f"This is for {whose} to do. You record it in its place, and the history says so;"
            " the tools are told what stands below, and nothing else is done in them."
        )
    needed = needed_by(name, case, lifecycle)
    made = inputs(needed, case, lifecycle, form=typed, needed=needed, wrong=wrong)
    fixed = (("transition", name),)
    return Blank("move", title.capitalize(), says, tuple(made), fixed=fixed)


def _linking(lifecycle: Lifecycle, form: Form, wrong: Mapping[str, str]) -> Blank:
    chosen = form.one("tool")
    choices = []
    for tool, declared in lifecycle.declaration.tools.items():
        for kind in declared.kinds or ("",):
            value = tool if kind == lifecycle.main_kind(tool) else f"{tool}:{kind}"
            title = f"{declared.title}: {kind.replace('_', ' ') or 'record'}"
            choices.append(Choice(value, title, value == chosen))
    ref = Input(
        "ref", "Its id there", "text", form.one("ref"), needed=True, wrong=wrong.get("ref", "")
    )
    says = "From then on, what that tool says of this record is about this case."
    return Blank(
        "reference",
        "Link a record",
        says,
        (ref,),
        tuple(choices),
        "tool",
        "Tool and kind of record",
    )


def _releasing(lifecycle: Lifecycle, form: Form) -> Blank:
    tool, kind, ref = (form.one(name) for name in ("tool", "kind", "ref"))
    says = (
        f"What {tool_title(tool, lifecycle)} says of “{ref}” is not about this case any more;"
        " the record may then be linked to another."
    )
    return Blank(
        "release",
        f"Take away the record {ref}",
        says,
        fixed=(("tool", tool), ("kind", kind), ("ref", ref)),
    )


def _correcting(case: Case, lifecycle: Lifecycle, form: Form) -> Blank:
    chosen = form.one("state")
    offered = sorted(lifecycle.chart.configurations, key=_in_order(lifecycle))[:STATES_MAX]
    choices = [
        Choice(name, state_titles(states, lifecycle), name == chosen)
        for states in offered
        if (name := "+".join(states)) != case.state
    ]
    says = (
        "Put the case where it really is. The tools are told as of any change; reactions such as"
        " requests are not set going."
    )
    return Blank(
        "correct", "Correct the state", says, (), tuple(choices), "state", "Where it really is"
    )


def _in_order(lifecycle: Lifecycle) -> Callable[[tuple[str, ...]], list[int]]:
    order = {leaf: index for index, leaf in enumerate(lifecycle.chart.leaves)}
    return lambda states: [order[leaf] for leaf in states]


def needed_by(transition: str, case: Case, lifecycle: Lifecycle) -> list[str]:
    """The fields that a transition looks at, where it leads out of here."""
    chart, names = lifecycle.chart, dict[str, None]()
    for index in chart.open_rows(case.states):
        if chart.rows[index].name == transition:
            guard = chart.guards.get(index)
            names |= dict.fromkeys((*chart.rows[index].requires, *(guard.fields if guard else ())))
    return list(names)
