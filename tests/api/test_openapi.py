"""The document of `/v1`: valid, complete, and its examples are what this service answers."""

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
from jsonschema import Draft202012Validator
from openapi_spec_validator import OpenAPIV31SpecValidator
from referencing import Registry
from referencing.jsonschema import DRAFT202012

from api import examples
from api.app import OPERATIONS
from api.examples import Exchange
from api.openapi import document, refusals_of
from api.problems import JSON, STATUS
from lifecycle.catalogue import load
from tests.api.walk import walked
from tests.databases import NewDatabase
from tests.running import ROOT, Service

NOT_BY_ASKING = {
    *("internal-fault", "overloaded", "definition-not-adopted", "too-many-requests"),
}
"""The refusals that no single request brings about."""

VOLATILE = {
    **dict.fromkeys(("position", "seconds", "next"), 0),
    **dict.fromkeys(("time", "recorded_at", "since", "due", "key", "answer"), ""),
}
"""What differs from one walk to the next, by the name of the member."""


@pytest.fixture(scope="module")
def described() -> dict[str, Any]:
    catalogue = load(ROOT / "definitions", os.environ)
    content: dict[str, Any] = msgspec.json.decode(JSON.encode(document(OPERATIONS, catalogue)))
    return content


def test_the_document_is_valid(described: dict[str, Any]) -> None:
    """The document is OpenAPI 3.1, by the judgement of a public validator."""
    assert not list(OpenAPIV31SpecValidator(described).iter_errors())


def test_every_operation_is_described(described: dict[str, Any]) -> None:
    """Each operation and each form of it stands in the document, with every way it may say no."""
    for operation in OPERATIONS:
        for form in (None, *operation.forms):
            path = operation.path + (form.suffix if form else "")
            responses = described["paths"][path][operation.method.lower()]["responses"]
            expected = {operation.status, *(STATUS[one] for one in refusals_of(operation, form))}
            assert set(responses) == {str(status) for status in expected}, path


def test_every_success_has_an_example(described: dict[str, Any]) -> None:
    """Whoever reads about an operation sees what it answered; a stream has no end to show."""
    for path, _, operation in _operations(described):
        if path.startswith("/v1"):
            success = next(one for status, one in operation["responses"].items() if status < "300")
            for media_type, content in success["content"].items():
                assert content["examples"] or media_type == "text/event-stream", path


def test_examples_are_of_the_shape_that_is_described(described: dict[str, Any]) -> None:
    """Every example of a request or an answer fits the schema beside which it stands."""
    seen = 0
    for where, content in _contents(described):
        for name, example in content.get("examples", {}).items():
            kept = described["components"]["examples"].get(name) if "$ref" in example else example
            errors = list(_validator(described, content["schema"]).iter_errors(kept["value"]))
            assert not errors, (where, name, errors[0].message)
            seen += 1
    assert seen > len(OPERATIONS)


def test_examples_are_what_is_answered(new_sqlite: NewDatabase, tmp_path: Path) -> None:
    """Walking again gets the answers that are kept (`python -m tests.api.walk` keeps new ones)."""
    now = walked(new_sqlite(), tmp_path)
    assert [_settled(one) for one in now] == [_settled(one) for one in examples.exchanges()]


def test_refusals_of_the_walk_are_described(described: dict[str, Any]) -> None:
    """Whatever an operation refused on the walk, its description foretells, code by code."""
    for one in examples.exchanges():
        if one.operation and one.code:
            method, _, path = one.operation.partition(" ")
            content = described["paths"][path][method.lower()]["responses"][str(one.status)]
            schema = content["content"]["application/problem+json"]["schema"]
            assert f"/problems/{one.code}" in schema["properties"]["type"]["enum"], one.operation


def test_the_walk_meets_every_refusal() -> None:
    """Every refusal that asking can bring about is met on the walk, and so has a real example."""
    met = {one.code for one in examples.exchanges()} - {None}
    assert met == {kind.code for kind in STATUS} - NOT_BY_ASKING


def test_the_document_is_served(described: dict[str, Any], sqlite_service: Service) -> None:
    """The document stands at /schema/openapi.json, and at /schema, open to all."""
    for path in ("/schema/openapi.json", "/schema"):
        answer = httpx.get(f"{sqlite_service.url}{path}")
        assert answer.headers["content-type"] == "application/json"
        assert answer.json() == described


def _settled(exchange: Exchange) -> object:
    """An exchange without what differs from walk to walk."""
    return msgspec.structs.asdict(
        msgspec.structs.replace(exchange, answer=_masked(exchange.answer))
    )


def _masked(value: Any) -> Any:
    match value:
        case dict():
            return {
                name: _masked(one)
                if isinstance(one, dict | list)
                else VOLATILE.get(name, _masked(one))
                for name, one in value.items()
            }
        case list():
            return [_masked(one) for one in value]
        case str():
            return re.sub(r"the last one is \d+|\d{4}-\d\d-\d\dT[0-9:.]+Z", "", value)
    return value


def _operations(described: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, methods in described["paths"].items():
        for method, operation in methods.items():
            yield path, method, operation


def _contents(described: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for path, method, operation in _operations(described):
        for content in operation.get("requestBody", {}).get("content", {}).values():
            yield f"{method} {path}", content
        for status, response in operation["responses"].items():
            for content in response["content"].values():
                yield f"{method} {path} {status}", content


def _validator(described: dict[str, Any], schema: dict[str, Any]) -> Draft202012Validator:
    """Reads the document's own references."""
    here = "urn:document"
    registry: Registry[Any] = Registry().with_resource(here, DRAFT202012.create_resource(described))
    absolute = msgspec.json.decode(msgspec.json.encode(schema).replace(b'"#/', b'"urn:document#/'))
    return Draft202012Validator(absolute, registry=registry)
