"""What a business declares of its tools fits how their products speak, or it is told."""

import pytest

from lifecycle.checks import Source, check
from lifecycle.connectors import Connector
from lifecycle.definition import read
from lifecycle.doubts import read_connector
from lifecycle.fitting import fields
from lifecycle.refusals import Problem

ORDER = """\
lifecycle: order
version: 1
title: Order
collection: orders
tools:
  pay: {title: Payer, connector: payer, kinds: [payment], record_for: [money]}
fields: {deposit_paid: {type: money, owner: money}}
states: {new: {owner: money, initial: true}, paid: {owner: money, final: true}}
transitions: [{name: settle, from: new, to: paid}]
words: {pay: {status: {new: open, paid: paid}}}
flows: [{tool: pay, direction: in, how: webhook, steward: s@example.com}]
"""
PAYER = "signature: {header: S}\nref: data.id\n"
BY_KIND = "status_field: \"'status'\"\nvocabulary: {payment: [open, paid], customer: [active]}\n"
ONE_OF_TWO = "kind: \"type == 'p' && 'payment' || 'customer'\"\n"


def payer(text: str) -> Connector:
    """Read a payer's connector."""
    return read_connector(f"connector: payer\ntitle: Payer\n{PAYER}{text}".encode(), "p.yaml")[0]


def told(connector: str, kinds: str | None) -> list[Problem]:
    """What is told of the tool, where its kinds are declared so."""
    stated = "" if kinds is None else f"kinds: [{kinds}], "
    source = Source(*read(ORDER.replace("kinds: [payment], ", stated).encode(), "order.yaml"))
    found = check([source], {"payer": payer(connector)}, {"STATEKEEPER_PAY_SECRET": "x"})
    return [one for one in found if one.path.startswith("tools")]


@pytest.mark.parametrize(
    ("connector", "kinds", "gist"),
    [
        (f"kind: type\n{BY_KIND}", "paymnet", "(did you mean 'payment'?)"),
        (ONE_OF_TWO, "paymnet", "(did you mean 'payment'?)"),
        (ONE_OF_TWO, "refund", "; customer, payment"),
        ("kind: \"'payment'\"\n", "payments", "(did you mean 'payment'?)"),
        ("kind: \"type == 'p' && 'payment' || type\"\n", "paymnet", "(did you mean 'payment'?)"),
    ],
)
def test_a_kind_that_the_product_cannot_have_is_refused(
    connector: str, kinds: str, gist: str
) -> None:
    """No message would ever be about it."""
    (problem,) = told(connector, kinds)
    assert (problem.path, problem.line, problem.warning) == ("tools.pay.kinds[0]", 6, False)
    assert gist in problem.message


@pytest.mark.parametrize(
    ("connector", "kinds"),
    [
        (f"kind: type\n{BY_KIND}", "refund"),
        (f"kind: type\n{BY_KIND}", "payment, customer"),
        (ONE_OF_TWO, "customer"),
        ("kind: type\n", "paymnet"),
        ("kind: \"'payment'\"\n", None),
        ("", "whatever"),
        ("", None),
    ],
)
def test_a_kind_that_a_message_may_name_is_taken(connector: str, kinds: str | None) -> None:
    """A product may have more kinds than it has published words for; one kind needs no name."""
    assert not told(connector, kinds)


@pytest.mark.parametrize("connector", ["kind: type\n", ONE_OF_TWO, "kind: {header: X-Topic}\n"])
def test_who_tells_kinds_apart_is_to_be_told_which_is_meant(connector: str) -> None:
    """Without declared kinds each is kept apart, and the author is told what that asks for."""
    (problem,) = told(connector, None)
    assert (problem.path, problem.warning) == ("tools.pay", True)
    assert "'pay:<kind>'" in problem.message


def test_a_kind_that_is_looked_for_by_its_own_name_is_doubted() -> None:
    """`kind: payment` finds what the message calls payment, not the kind."""
    (problem,) = told("kind: payment\n", "payment")
    assert problem.warning
    assert "\"'payment'\"" in problem.message


def test_a_field_that_nobody_has_is_told_in_the_connectors_file() -> None:
    """What is read for it would be passed over; the name that may be meant is asked for."""
    text = f"connector: payer\ntitle: Payer\n{PAYER}fields: {{deposit_piad: a, deposit_paid: b}}"
    connector, marks = read_connector(text.encode(), "payer.yaml")
    declared = [read(ORDER.encode(), "order.yaml")[0]]
    (problem,) = fields(declared, {"payer": connector}, {"payer": marks})
    assert (problem.file, problem.line, problem.warning) == ("payer.yaml", 5, True)
    assert "has a field 'deposit_piad'" in problem.message
    assert not [*fields([], {"payer": connector}, {"payer": marks})]
