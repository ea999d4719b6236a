"""What can be wrong with a definition that is well-formed: one slip for each rule."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lifecycle.chart import Chart
from lifecycle.checks import Source, check
from lifecycle.connectors import Connector
from lifecycle.coverage import steps
from lifecycle.declaration import Declaration, State, Transition, walk
from lifecycle.definition import UNREAD, read, skim
from lifecycle.doubts import read_connector
from lifecycle.refusals import BadDefinition, Problem

DEFINITIONS = Path(__file__).parents[2] / "definitions"

JOB = """\
lifecycle: job
version: 1
title: Job
collection: jobs
tools:
  crm: {title: CRM, connector: sales, kinds: [deal], record_for: [pipeline]}
  books: {title: Books, record_for: [payment, billing]}
  crew: {title: Crew, record_for: [execution]}
fields:
  scope: {type: text, owner: {quoted: crm, "*": crew}}
  due: {type: money, owner: payment}
  paid: {type: money, owner: payment}
  day: {type: date, owner: execution}
  size: {type: choice, owner: pipeline, choices: [small, large]}
states:
  quoted: {owner: pipeline, initial: true}
  confirmed: {owner: payment, within: 3 days}
  planned: {owner: execution}
  done: {owner: execution, final: true}
  lost: {owner: pipeline, final: true}
transitions:
  - {name: confirm, from: quoted, to: confirmed, when: paid >= due, auto: true}
  - {name: plan, from: confirmed, to: planned, requires: [day]}
  - {name: unplan, from: planned, to: confirmed, by: crew}
  - {name: finish, from: planned, to: done, when: size == 'large' and day > '2026-01-01'}
  - {name: finish, from: planned, to: done}
  - {name: lose, from: [quoted, confirmed], to: lost, by: [crm, execution]}
words:
  crm:
    stage: {quoted: open, confirmed: won, planned: won, done: won, lost: gone}
  crew:
    status: {quoted: ~, confirmed: waiting, planned: [soon, today], done: done, lost: ~}
hears:
  crm: {stage: {new: open, gone: lose, old: {ignore: true, until: 2027-01-01}}}
reads:
  crew: {scope: instructions, day: start}
reactions:
  - {name: bill, after: finish, tell: books, request: create_invoice, with: [scope]}
flows:
  - {tool: books, direction: out, how: webhook, url: env:URL, secret: env:SECRET, steward: b@x.io}
  - {tool: crew, direction: in, how: webhook, secret: env:SECRET, steward: c@x.example}
  - {tool: crm, direction: out, how: manual, steward: s@x.example}
promises:
  - {tool: crew, property: latency, value: 15, unit: minutes}
"""

PROJECT = """\
lifecycle: project
version: 1
title: Project
collection: projects
tools:
  office: {title: Office, record_for: [papers]}
  yard: {title: Yard, record_for: [material]}
fields:
  note: {type: text, owner: {drawing: office, ready: yard}}
  number: {type: number, owner: papers}
states:
  sold: {owner: papers, initial: true}
  preparing:
    owner: papers
    parallel: true
    states:
      packet:
        states:
          drawing: {initial: true}
          drawn: {}
      goods:
        owner: material
        states:
          to_order: {initial: true}
          ordered: {}
  ready: {owner: material}
  built: {owner: material, final: true}
transitions:
  - {name: prepare, from: sold, to: preparing}
  - {name: draw, from: drawing, to: drawn}
  - {name: redraw, from: drawn, to: drawing}
  - {name: order, from: to_order, to: ordered}
  - {name: start, from: preparing, to: ready, when: In('drawn') and In('ordered')}
  - {name: build, from: ready, to: built}
words:
  office:
    stage: {sold: Sold, preparing: In hand, drawn: Drawn, ready: Ready, built: Built}
  yard:
    order: {sold: ~, to_order: Open, ordered: Ordered, ready: Ordered, built: Closed}
flows:
  - {tool: office, direction: out, how: manual, steward: o@x.example}
  - {tool: yard, direction: out, how: manual, steward: y@x.example}
"""

SALES = b"""\
connector: sales
title: Sales
status_field: "'stage'"
vocabulary: {stage: [new, open, won, gone, old]}
"""

ENVIRONMENT = {"URL": "https://books.example/hook", "SECRET": "s3cret"}


def connectors() -> dict[str, Connector]:
    return {"sales": read_connector(SALES, "sales.yaml")[0]}


def problems(*texts: str, environment: dict[str, str] | None = None) -> list[Problem]:
    sources = [
        Source(*read(text.encode(), f"{number}.yaml")) for number, text in enumerate(texts, 1)
    ]
    return check(sources, connectors(), ENVIRONMENT if environment is None else environment)


def errors(*texts: str) -> list[Problem]:
    return [problem for problem in problems(*texts) if not problem.warning]


def warnings(*texts: str, environment: dict[str, str] | None = None) -> list[Problem]:
    return [problem for problem in problems(*texts, environment=environment) if problem.warning]


def line_of(text: str, part: str) -> int:
    return text[: text.index(part)].count("\n") + 1


def changed(text: str, old: str, new: str) -> str:
    assert old in text
    return text.replace(old, new, 1)


def test_sound_definitions_have_no_errors() -> None:
    """Nothing is held against two files that keep every rule."""
    assert errors(JOB, PROJECT) == []


JOB_SLIPS = [
    pytest.param(
        "day: {type: date,", "day: {type: date, choices: [today],", "fields.day.choices",
        "a date has no choices", id="date with choices",
    ),
    pytest.param(
        "paid >= due", "paid >= '5 XYZ'", "transitions[0].when", "can never hold",
        id="money of no currency",
    ),
    pytest.param(
        "collection: jobs", "collection: events", "collection", "an address of Statekeeper's own",
        id="reserved collection",
    ),
    pytest.param(
        "to: planned, requires", "to: planed, requires", "transitions[1].to",
        "no state 'planed' (did you mean 'planned'?)", id="no such target",
    ),
    pytest.param(
        "from: [quoted, confirmed]", "from: [quoted, confirm]", "transitions[5].from[1]",
        "no state 'confirm' (did you mean 'confirmed'?)", id="no such source",
    ),
    pytest.param(
        "from: [quoted, confirmed]", "from: []", "transitions[5].from", "no state to lead out of",
        id="no source",
    ),
    pytest.param(
        "requires: [day]", "requires: [days]", "transitions[1].requires[0]",
        "no field 'days' (did you mean 'day'?)", id="no such required field",
    ),
    pytest.param(
        "by: crew}", "by: crow}", "transitions[2].by",
        "no tool or domain 'crow' (did you mean 'crew'?)", id="no such maker",
    ),
    pytest.param(
        "name: unplan", "name: ignore", "transitions[2].name", "means something else in hears",
        id="name that hears keeps",
    ),
    pytest.param(
        "planned: {owner: execution}", "planned: {owner: executon}", "states.planned.owner",
        "no tool or domain 'executon' (did you mean 'execution'?)", id="no such owner",
    ),
    pytest.param(
        "planned: {owner: execution}", "planned: {}", "states.planned",
        "'planned' has no owner; name a tool or a domain", id="state of nobody",
    ),
    pytest.param(
        "quoted: {owner: pipeline, initial: true}", "quoted: {initial: true}", "states.quoted",
        "'quoted' has no owner", id="initial state of nobody",
    ),
    pytest.param(
        "confirmed: {owner: payment", "confirmed: {initial: true, owner: payment",
        "states.confirmed.initial", "'quoted' is initial already", id="two initial states",
    ),
    pytest.param(
        "planned: {owner: execution}", "planned: {owner: execution, final: true}",
        "transitions[2].from", "'planned' is final and has no way out", id="final with a way out",
    ),
    pytest.param(
        "lost: {owner: pipeline, final: true}",
        "lost: {owner: pipeline, final: true}\n  parked: {owner: pipeline, final: true}",
        "states.parked", "'parked' is never reached", id="unreachable",
    ),
    pytest.param(
        "lost: {owner: pipeline, final: true}", "lost: {owner: pipeline}", "states.lost",
        "'lost' reaches no final state; add a transition out, or final: true", id="trap",
    ),
    pytest.param(
        "planned: {owner: execution}", "planned: {owner: execution, parallel: true}",
        "states.planned.parallel", "no states to run in parallel", id="parallel of nothing",
    ),
    pytest.param(
        "finish, from: planned, to: done, when: size == 'large' and day > '2026-01-01'}",
        "finish, from: planned, to: done}", "transitions[4].from",
        "never taken from 'planned': transitions[3] stands before it, without a condition",
        id="behind one that always wins",
    ),
    pytest.param(
        "finish, from: planned, to: done}",
        "finish, from: planned, to: done, when: size == 'large' and day > '2026-01-01'}",
        "transitions[4].from", "with the same condition", id="behind one with its condition",
    ),
    pytest.param(
        "to: planned, requires: [day]}", "to: quoted, by: crm, auto: true}",
        "transitions[1].auto", "goes round for ever: 'confirm', 'plan' are all auto",
        id="circle of auto",
    ),
    pytest.param(
        "paid >= due", "paid >= duo", "transitions[0].when", "no field 'duo' (did you mean 'due'?)",
        id="condition on no field",
    ),
    pytest.param(
        "paid >= due", "paid >= ", "transitions[0].when", "no condition: invalid syntax",
        id="condition half written",
    ),
    pytest.param(
        "paid >= due", "In('quotd')", "transitions[0].when", "no state 'quotd' (did you mean",
        id="condition on no state",
    ),
    pytest.param(
        "paid >= due", "In(quoted)", "transitions[0].when", "In takes one state in quotes",
        id="state without quotes",
    ),
    pytest.param(
        "paid >= due", "size in 'small'", "transitions[0].when", "'in' is not in its language",
        id="operator of another language",
    ),
    pytest.param(
        "paid >= due", "paid.amount > 5", "transitions[0].when", "'paid.amount' is not in its",
        id="part of a value",
    ),
    pytest.param(
        "paid >= due", "paid >= 0x10", "transitions[0].when", "no condition",
        id="number of another language",
    ),
    pytest.param(
        "paid >= due", "paid >= day", "transitions[0].when", "'paid >= day' can never hold",
        id="money against a date",
    ),
    pytest.param(
        "day > '2026-01-01'", "day > 'tomorrow'", "transitions[3].when", "can never hold",
        id="date against no date",
    ),
    pytest.param(
        "size == 'large'", "size == 'lage'", "transitions[3].when",
        "no choice of 'size' 'lage' (did you mean 'large'?)", id="no such choice",
    ),
    pytest.param(
        "  due: {type", "  source: {type: text, owner: crm}\n  due: {type", "fields.source",
        "'source' means something else in conditions", id="reserved field",
    ),
    pytest.param(
        "owner: {quoted: crm,", "owner: {qouted: crm,", "fields.scope.owner.qouted",
        "no state 'qouted' (did you mean 'quoted'?)", id="owner in no state",
    ),
    pytest.param(
        "day: {type: date, owner: execution}", "day: {type: date, owner: excution}",
        "fields.day.owner", "no tool or domain 'excution'", id="field of nobody",
    ),
    pytest.param(
        "in, how: webhook", "in, how: poll", "flows[1]", "a poll needs `every`", id="how often"
    ),
    pytest.param(
        "[small, large]", "[small, large, small]", "fields.size.choices", "'small' stands twice",
        id="one choice twice",
    ),
    pytest.param(
        ", choices: [small, large]", "", "fields.size", "a choice needs `choices: [...]`",
        id="choice without choices",
    ),
    pytest.param(
        "day: {type: date,", "day: {type: date, signed: true,", "fields.day.signed",
        "only money is signed, not a date", id="signed date",
    ),
    pytest.param(
        "connector: sales", "connector: sails", "tools.crm.connector",
        "no connector 'sails' (did you mean 'sales'?)", id="no such connector",
    ),
    pytest.param(
        "record_for: [execution]", "record_for: [execution, billing]", "tools.crew.record_for[1]",
        "'books' is record_for 'billing' already", id="domain of two tools",
    ),
    pytest.param(
        "record_for: [execution]", "record_for: [execution, crm]", "tools.crew.record_for[1]",
        "domain 'crm' has the name of a tool", id="domain named like a tool",
    ),
    pytest.param(
        "done: done,", "", "words.crew.status", "no word for done; ~ where the tool is told none",
        id="state without a word",
    ),
    pytest.param(
        "planned: [soon, today]", "planed: [soon, today]", "words.crew.status.planed",
        "no state 'planed' (did you mean 'planned'?)", id="word for no state",
    ),
    pytest.param(
        "[soon, today]", "[]", "words.crew.status.planned", "no word; ~ where",
        id="list of no words",
    ),
    pytest.param(
        "[soon, today]", "[soon, soon]", "words.crew.status.planned", "'soon' stands twice",
        id="word twice",
    ),
    pytest.param(
        "waiting", "''", "words.crew.status.confirmed", "an empty word", id="empty word"
    ),
    pytest.param(
        "lost: gone}", "lost: goner}", "words.crm.stage.lost",
        "CRM has no word 'goner' (did you mean 'gone'?)", id="word the product does not have",
    ),
    pytest.param(
        "  crew:\n    status", "  crow:\n    status", "words.crow",
        "no tool 'crow' (did you mean 'crew'?)", id="words of no tool",
    ),
    pytest.param(
        "gone: lose", "gone: loose", "hears.crm.stage.gone",
        "no transition 'loose' (did you mean 'lose'?), nor open or ignore",
        id="heard as no transition",
    ),
    pytest.param(
        "{new: open", "{newer: open", "hears.crm.stage.newer", "CRM has no word 'newer'",
        id="heard word the product does not have",
    ),
    pytest.param(
        "until: 2027-01-01", "until: 2027-13-01", "hears.crm.stage.old.until",
        "'2027-13-01' is no day", id="no such day",
    ),
    pytest.param(
        "ignore: true,", "ignore: false,", "hears.crm.stage.old.ignore", "true is all it can be",
        id="ignored and not",
    ),
    pytest.param(
        "crew: {scope", "crew: {scop", "reads.crew.scop", "no field 'scop' (did you mean 'scope'?)",
        id="reads no field",
    ),
    pytest.param(
        "day: start}", "day: instructions}", "reads.crew.day",
        "'instructions' is told for 'scope' already", id="two fields under one name",
    ),
    pytest.param(
        "after: finish", "after: finsh", "reactions[0].after",
        "no transition 'finsh' (did you mean 'finish'?)", id="after no transition",
    ),
    pytest.param(
        "with: [scope]", "with: [skope]", "reactions[0].with[0]", "no field 'skope'",
        id="with no field",
    ),
    pytest.param(
        "tell: books", "tell: crew", "reactions[0].tell",
        "'crew' cannot be told: it has no flow of direction out", id="reaction to a deaf tool",
    ),
    pytest.param(
        "tell: books", "tell: book", "reactions[0].tell", "no tool 'book' (did you mean 'books'?)",
        id="reaction to no tool",
    ),
    pytest.param(
        "flows:\n",
        "  - {name: bill, after: plan, tell: crm, request: note}\nflows:\n",
        "reactions[1].name", "reactions[0] is called 'bill' already", id="two reactions of a name",
    ),
    pytest.param(
        "{tool: crew, direction: in", "{tool: crow, direction: in", "flows[1].tool",
        "no tool 'crow' (did you mean 'crew'?)", id="flow of no tool",
    ),
    pytest.param(
        "url: env:URL", "url: https://books.example", "flows[0].url", "write env:NAME",
        id="address in a definition",
    ),
    pytest.param(
        "url: env:URL, secret: env:SECRET", "url: env:URL, secret: hunter2", "flows[0].secret",
        "write env:NAME", id="secret in a definition",
    ),
    pytest.param(
        "url: env:URL, ", "", "flows[0]", "no url to send to; write url: env:NAME", id="no address"
    ),
    pytest.param(
        "how: manual,", "how: manual, rate: fast,", "flows[2].rate", "no rate like 10 per second",
        id="rate",
    ),
    pytest.param(
        "out, how: manual", "out, how: poll, every: 1 hour", "flows[2].how", "a poll only hears",
        id="told by poll",
    ),
    pytest.param(
        "promises:\n", "  - {tool: books, direction: out, how: manual}\npromises:\n",
        "flows[3]", "flows[0] tells 'books' already", id="two ways out",
    ),
    pytest.param(
        "{tool: crew, property", "{tool: crow, property", "promises[0].tool", "no tool 'crow'",
        id="promise of no tool",
    ),
    pytest.param(
        "version: 1", "version: 1\nopened_by: [web]", "opened_by[0]", "no tool or domain 'web'",
        id="opened by nobody",
    ),
    pytest.param(
        "version: 1", "version: 1\nrenamed: {waiting: plannd}", "renamed.waiting",
        "no state or field 'plannd' (did you mean 'planned'?)", id="renamed to nothing",
    ),
    pytest.param(
        "version: 1", "version: 1\nrenamed: {done: planned}", "renamed.done",
        "'done' is still declared; renamed is old: new", id="renamed and still there",
    ),
]  # fmt: skip

PROJECT_SLIPS = [
    pytest.param(
        "  - {name: start, from: preparing,",
        "  - {name: redo, from: drawing, to: sold, by: yard}\n"
        "  - {name: redo, from: drawn, to: sold, by: yard}\n"
        "  - {name: redo, from: packet, to: ready}\n"
        "  - {name: start, from: preparing,",
        "transitions[6]",
        "never taken: further inside, a 'redo' without a condition always wins",
        id="behind two that always win",
    ),
    pytest.param(
        "    owner: papers\n    parallel: true\n    states:\n      packet:\n",
        "    parallel: true\n    states:\n      packet:\n        owner: papers\n",
        "transitions[0].to",
        "'preparing' has not one owner; name it there, or here who may (`by`)",
        id="nobody may lead there",
    ),
    pytest.param(
        "order, from: to_order", "draw, from: to_order", "transitions[3].from",
        "'draw' stands in two regions of 'preparing', 'packet' and 'goods'",
        id="one name in two regions",
    ),
    pytest.param(
        "ordered: {}", "drawn: {}", "states.preparing.states.goods.states.drawn",
        "state 'drawn' stands at states.preparing.states.packet.states.drawn too",
        id="one id at two places",
    ),
    pytest.param(
        "    parallel: true\n", "    parallel: true\n    final: true\n", "states.preparing.final",
        "final is for states without", id="final with states",
    ),
    pytest.param(
        "drawn: {}", "drawn: {initial: true}",
        "states.preparing.states.packet.states.drawn.initial", "'drawing' is initial already",
        id="two initial states inside",
    ),
    pytest.param(
        "to_order: Open,", "to_order: Open, drawn: Drawn,", "words.yard.order.drawn",
        "to_order, drawn all have a word in 'drawn+to_order'; words come from one region",
        id="words from two regions",
    ),
    pytest.param(
        "to_order: Open, ", "", "words.yard.order",
        "no word for drawing+to_order, drawn+to_order", id="no word in a region",
    ),
    pytest.param(
        "drawing: office, ready: yard}", "drawing: office, ordered: yard}",
        "fields.note.owner.ordered", "'drawing' and 'ordered' can be active at once",
        id="two owners at once",
    ),
    pytest.param(
        "  - {name: build, from: ready, to: built}\n", "", "states.ready",
        "'ready' reaches no final state", id="trap behind regions",
    ),
    pytest.param(
        "built: {owner: material, final: true}", "built: {owner: material}", "states",
        "no state is final", id="nothing ends",
    ),
    pytest.param(
        "sold: {owner: papers,", "hear_only: {owner: papers,", "states.hear_only",
        "means something else in words", id="state that words keep",
    ),
]  # fmt: skip


@pytest.mark.parametrize(
    ("good", "old", "new", "path", "gist"),
    [pytest.param(JOB, *slip.values, id=slip.id) for slip in JOB_SLIPS]
    + [pytest.param(PROJECT, *slip.values, id=slip.id) for slip in PROJECT_SLIPS],
)
def test_a_slip_is_named_where_it_stands(
    good: str, old: str, new: str, path: str, gist: str
) -> None:
    """Each rule that a definition breaks is said with its path, its line, and what would do."""
    text = changed(good, old, new)
    _, marks = read(text.encode(), "1.yaml")
    found = [problem for problem in errors(text) if problem.path == path]
    assert [problem.line for problem in found] == [marks.line(path)]
    assert gist in found[0].message


@pytest.mark.parametrize(
    ("old", "new", "path", "gist"),
    [
        pytest.param("lost: {owner: pipeline, final: true}",
                     "lost: {owner: pipeline, final: true, within: 1 day}", "states.lost.within",
                     "'lost' is final: no case there is late", id="the end is never late"),
        pytest.param("gone: lose", "gone: finish", "hears.crm.stage.gone",
                     "'crm' may not 'finish' (crew may)", id="heard but not its own"),
        pytest.param("crm: {stage: {new", "crm: {stadium: {new", "hears.crm.stadium",
                     "no words for status field 'stadium'", id="heard on another field"),
        pytest.param("  - {tool: crew, direction: in, how: webhook, secret: env:SECRET, "
                     "steward: c@x.example}\n", "", "tools.crew", "no flow says how 'crew'",
                     id="tool without flows"),
        pytest.param(", steward: s@x.example", "", "flows[2]", "no steward answers",
                     id="flow without steward"),
        pytest.param("new: open, ", "", "words.crm.stage", "no meaning for new", id="not mapped"),
        pytest.param("waiting", "done", "words.crew.status", "'done' stands for confirmed, done",
                     id="shared word"),
        pytest.param('quoted: crm, "*": crew', "quoted: crm", "fields.scope.owner",
                     "nobody owns 'scope' in other states", id="owner in some states"),
    ],
)  # fmt: skip
def test_what_is_only_doubtful_is_a_warning(old: str, new: str, path: str, gist: str) -> None:
    """A definition that may run but looks odd is told so, and nothing more."""
    text = changed(JOB, old, new)
    assert errors(text) == []
    assert any(one.path == path and gist in one.message for one in warnings(text))
    assert not any(one.path == path and gist in one.message for one in warnings(JOB))


def test_an_unset_secret_is_a_warning() -> None:
    """A webhook that could neither sign nor verify is found before its first message."""
    said = {one.path: one.message for one in warnings(JOB, environment={})}
    assert said["flows[0].secret"] == "the webhook's secret SECRET is not set"
    assert said["flows[0].url"] == "URL is not set"
    bare = changed(JOB, "how: webhook, secret: env:SECRET, steward: c", "how: webhook, steward: c")
    said = {one.path: one.message for one in warnings(bare)}
    assert said["flows[1]"] == "the webhook's secret STATEKEEPER_CREW_SECRET is not set"


def test_a_product_that_is_written_to_needs_no_address() -> None:
    """Who knows how to write leaves no address to ask for; who does not sign needs a token."""
    text = changed(JOB, "crm, direction: out, how: manual", "crm, direction: out, how: webhook")
    text = changed(
        text,
        "promises:\n",
        "  - {tool: crm, direction: in, how: webhook, steward: s@x.example}\npromises:\n",
    )
    assert [one.path for one in errors(text)] == ["flows[2]"]
    spoken = SALES + b"signature: {none: true}\nwrite: {url: 'https://sales.example/{data.id}'}\n"
    source = Source(*read(text.encode(), "1.yaml"))
    connector = read_connector(spoken, "sales.yaml")[0]
    unset = check([source], {"sales": connector}, ENVIRONMENT)
    assert [one.path for one in unset if one.path.startswith("flows")] == ["flows[3]"]
    token = {**ENVIRONMENT, "STATEKEEPER_CRM_SECRET": "3f9c0d7e5a1b4c68"}
    found = check([source], {"sales": connector}, token)
    assert [one.path for one in found if one.path.startswith("flows")] == []
    named = spoken.replace(b"https://sales.example", b"{env:SALES}")
    lacking = check([source], {"sales": read_connector(named, "sales.yaml")[0]}, token)
    (warning,) = (one for one in lacking if one.path.startswith("flows"))
    assert warning.message == "SALES is not set, by which its product is told"


def test_regions_are_all_entered() -> None:
    """`initial` on a region says nothing, and the file is told so."""
    text = changed(PROJECT, "      goods:\n", "      goods:\n        initial: true\n")
    assert errors(text) == []
    assert "states.preparing.states.goods.initial" in {one.path for one in warnings(text)}


def test_a_lifecycle_has_states() -> None:
    """A file without a single state is refused for that, and nothing else falls over."""
    text = PROJECT[: PROJECT.index("fields:")] + "states: {}\ntransitions: []\n"
    assert [(one.path, one.message) for one in errors(text)] == [
        ("states", "no states; a lifecycle has at least one")
    ]


@pytest.mark.parametrize(
    ("every", "sound"),
    [
        ("15 minutes", True),
        ("*/5 8-18 * * mon-fri", True),
        ("0 6 1,15 jan *", True),
        ("15 fortnights", False),
        ("61 * * * *", False),
        ("0 18-8 * * *", False),
        ("* * * *", False),
        ("@daily", False),
    ],
)
def test_a_schedule_is_a_duration_or_a_cron_line(every: str, sound: bool) -> None:  # noqa: FBT001 - a column of the table above
    """How often a poll asks is written in one of two ways, and checked before it is needed."""
    text = changed(
        JOB, "direction: in, how: webhook", f"direction: in, how: poll, every: '{every}'"
    )
    assert ([one.path for one in errors(text)] == []) is sound


@pytest.mark.parametrize(
    ("old", "new", "line", "path", "message"),
    [
        ("lifecycle: project", "lifecycle: job", 1, "lifecycle",
         "lifecycle 'job' is declared by 1.yaml too"),
        ("collection: projects", "collection: jobs", 4, "collection",
         "collection 'jobs' is declared by 1.yaml too"),
        ("yard: {title: Yard", "crew: {title: Yard", 7, "tools.crew.title",
         "the title of 'crew' is 'Yard' here and 'Crew' in 1.yaml:8"),
        ("office: {title: Office", "crm: {title: CRM", 6, "tools.crm.connector",
         "the connector of 'crm' is none here and 'sales' in 1.yaml:6"),
    ],
)  # fmt: skip
def test_files_agree_with_one_another(
    old: str, new: str, line: int, path: str, message: str
) -> None:
    """A lifecycle, a collection and a tool mean one thing, whichever file names them."""
    found = errors(JOB, changed(PROJECT, old, new))
    assert Problem("2.yaml", line, path, message) in found


def test_all_problems_come_at_once_in_the_order_of_the_file() -> None:
    """Who made mistakes in every part reads of them all in one run, from top to bottom."""
    text = JOB
    for slip in (JOB_SLIPS[0], JOB_SLIPS[1], *JOB_SLIPS[-20:-14]):
        text = changed(text, str(slip.values[0]), str(slip.values[1]))
    found = errors(text)
    assert len(found) >= 8
    assert found == sorted(found)


def test_a_wrong_shape_does_not_hide_wrong_names() -> None:
    """What is wrong with the shape of one part keeps nobody from reading about all the others."""
    text = changed(JOB, "title: Crew,", "titel: Crew,")
    text = changed(text, "type: date, owner: execution", "type: dat, owner: excution")
    text = changed(text, "  done: {owner", "  done: {}\n  done: {owner")
    text = changed(text, "to: planned, requires: [day]", "to: planed, requires: [day]")
    text = changed(text, "{name: unplan, ", "{")
    text = changed(text, "direction: out, how: webhook", "direction: outwards, how: webhook")
    source = Source(*skim(text.encode(), "1.yaml"))
    found = [one for one in check([source], connectors(), ENVIRONMENT) if not one.warning]
    assert [(one.path, one.message.partition(" (")[0]) for one in found] == [
        ("tools.crew.titel", "no key 'titel' here"),
        ("tools.crew.title", "missing: expected text"),
        ("fields.day.owner", "no tool or domain 'excution'"),
        ("fields.day.type", "no choice 'dat'"),
        ("states.done", "'done' stands twice, first on line 19"),
        ("transitions[1].to", "no state 'planed'"),
        ("transitions[2].name", "missing: expected an id"),
        ("flows[0].direction", "no choice 'outwards'; in, out"),
    ]


def test_what_was_not_read_is_not_held_against_other_files() -> None:
    """Two files that leave out the same things do not clash over them."""
    texts = [changed(one, "collection: ", "collections: ") for one in (JOB, PROJECT)]
    sources = [Source(*skim(text.encode(), f"{text[11:14]}.yaml")) for text in texts]
    found = [one for one in check(sources, connectors(), ENVIRONMENT) if not one.warning]
    assert [one.path for one in found] == ["collection", "collections"] * 2


def test_what_a_chart_does_is_asked_only_where_its_names_resolve() -> None:
    """A missing state is said once; what follows from it is not piled on top."""
    assert [one.path for one in errors(changed(JOB, "to: done, when", "to: don, when"))] == [
        "transitions[3].to"
    ]


def test_a_beginning_in_several_hands_names_who_opens() -> None:
    """Where cases begin in regions of different owners, the file says who may open one."""
    text = changed(PROJECT, "  sold: {owner: papers, initial: true}\n", "")
    text = changed(text, "    owner: papers\n    parallel: true\n", "    parallel: true\n")
    text = changed(text, "      packet:\n", "      packet:\n        owner: papers\n")
    text = changed(text, "  - {name: prepare, from: sold, to: preparing}\n", "")
    text = text.replace("sold: Sold, ", "").replace("sold: ~, ", "")
    (problem,) = errors(text)
    assert problem.path == "states.preparing"
    assert "which has not one owner; name it, or `opened_by: [tools]`" in problem.message
    assert errors(changed(text, "version: 1", "version: 1\nopened_by: [office]")) == []


def test_too_many_configurations_name_their_regions() -> None:
    """Regions that multiply beyond what anybody could map are named, and the rest is not tried."""
    regions = ("a", "b", "c", "d", "e", "f", "g")
    states = "".join(
        f"      {one}: {{states: {{{', '.join(f'{one}{n}: {{}}' for n in range(4))}}}}}\n"
        for one in regions
    )
    rows = "".join(
        f"  - {{name: {one}{n}, from: {one}{n}, to: {one}{n + 1}, by: office}}\n"
        for one in regions
        for n in range(3)
    )
    text = changed(PROJECT, "      packet:\n", f"{states}      packet:\n")
    text = changed(text, "words:\n", rows + "words:\n")
    (problem,) = errors(text)
    assert problem.path == "states"
    assert problem.message.startswith("more than 5,000 configurations are reachable, because a, b")


def trees(depth: int = 3) -> st.SearchStrategy[tuple[object, ...]]:
    """Shapes of states: a leaf is empty; the first member says whether the rest are regions."""
    if not depth:
        return st.just(())
    inner = trees(depth - 1)
    return st.just(()) | st.tuples(st.booleans(), inner, inner) | st.tuples(st.just(False), inner)


def grown(tree: tuple[object, ...], name: str) -> dict[str, State]:
    inner: dict[str, State] = {}
    for number, child in enumerate(tree[1:]):
        assert isinstance(child, tuple)
        inner |= grown(child, f"{name}{number}")
    return {name: State(parallel=bool(tree) and bool(tree[0]), states=inner)}


@settings(max_examples=60, deadline=None)
@given(trees(), trees(), st.data())
def test_steps_are_what_the_library_takes(
    one: tuple[object, ...], other: tuple[object, ...], data: st.DataObject
) -> None:
    """Where a transition leads is worked out quickly in the checks, and just as the chart says."""
    states = grown(one, "a") | grown(other, "b")
    known = st.sampled_from([place.id for place in walk(states)])
    pairs = data.draw(st.lists(st.tuples(known, known, known, st.booleans()), max_size=6))
    rows = [
        row
        for number, (source, to, instead, conditional) in enumerate(pairs)
        for row in (
            Transition(f"t{number}", source, to, when="sunny" if conditional else None),
            Transition(f"t{number}", (source,), instead),
        )
    ]
    chart = Chart(Declaration("a", 1, "A", "as", {}, states, tuple(rows)))
    for configuration in chart.reachable()[:30]:
        taken = set()
        for row in chart.open_rows(configuration):
            name = chart.rows[row].name
            conditions = [at for at in chart.guards if chart.rows[at].name == name]
            lead = chart.lead_anew(configuration, name, {at: at == row for at in conditions})
            assert lead is not None
            taken.add((lead.row, lead.configuration))
        assert set(steps(chart, configuration)) == taken


PARTS = st.sampled_from(
    sorted({part for text in (JOB, PROJECT) for part in text.replace("{", " ").split()})
)


@settings(max_examples=60, deadline=None)
@given(st.sampled_from([JOB, PROJECT]), st.lists(st.tuples(PARTS, PARTS), min_size=1, max_size=3))
def test_the_checks_fall_over_nothing(text: str, swaps: list[tuple[str, str]]) -> None:
    """Whatever well-formed thing a file says, the checks end in a list of problems."""
    for old, new in swaps:
        text = text.replace(old, new, 1)
    try:
        source = Source(*skim(text.encode(), "1.yaml"))
    except BadDefinition:
        return
    found = check([source], connectors(), {})
    assert set(source.marks.problems) <= set(found)
    assert not any(UNREAD in one.message for one in found)


def test_the_shipped_definitions_are_sound() -> None:
    """What comes along starts without a word of complaint, with its own connectors."""
    spoken = {
        path.stem: read_connector(path.read_bytes(), path.name)[0]
        for path in (DEFINITIONS / "connectors").glob("*.yaml")
    }
    sources = [Source(*read(path.read_bytes(), path.name)) for path in DEFINITIONS.glob("*.yaml")]
    assert sources
    assert [str(one) for one in check(sources, spoken, {}) if not one.warning] == []
