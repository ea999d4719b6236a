"""Which records are one case: the three ways to know it, and when nobody can."""

from decimal import Decimal
from itertools import combinations
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from api.audit.decisions import keep_decision, pair_key, read_decisions
from api.audit.likeness import compare
from api.audit.matching import match
from api.audit.records import Given, Record
from lifecycle.comparable import Money
from tests.audit import firm
from tests.audit.exports import Exports, generate

MILL = {"name": "Mill Dental", "email": "a@mill.example", "phone": "2015550100"}
HALL = {"name": "Bridge Hall Optics", "email": "b@hall.example", "phone": "2015550200"}


def record(tool: str, ref: str, who: dict[str, str], **more: object) -> Record:
    return replace(Record(tool, 1, ref), **who, **more)


def sets(*records: Record, decisions: dict[str, bool] | None = None) -> list[set[str]]:
    """The references of each case that holds more than one record."""
    found = match(records, decisions)
    return [
        {records[place].ref for place in cluster.records}
        for cluster in found.clusters
        if len(cluster.records) > 1
    ]


def how(*records: Record) -> list[str]:
    return [tie.how.written for cluster in match(records).clusters for tie in cluster.ties]


def test_a_reference_that_a_tool_keeps_links() -> None:
    """A tool that wrote down another's id knows best, even where the name is mistyped."""
    deal = record("crm", "d1", MILL, references=(("projects", "J7"),))
    job = record("projects", "j7", {"name": "Mil Dentel"})
    assert how(deal, job) == ["reference"]


def test_a_reference_to_somebody_else_entirely_is_not_followed() -> None:
    """An id that leads to another name, e-mail and phone was mistyped: a person looks at it."""
    deal = record("crm", "d1", MILL, references=(("projects", "j7"),))
    job = record("projects", "j7", HALL)
    found = match([deal, job])
    assert len(found.clusters) == 2
    assert [doubt.how.written for doubt in found.to_confirm] == ["reference"]


def test_a_key_needs_a_second_witness() -> None:
    """A phone of two customers behind one switchboard links nobody."""
    shared = {**HALL, "phone": MILL["phone"]}
    assert how(record("crm", "d1", MILL), record("projects", "j1", shared)) == []
    swapped = {"name": "Dental, Mill", "phone": MILL["phone"]}
    assert how(record("crm", "d1", MILL), record("projects", "j1", swapped)) == ["key:phone"]


def test_of_two_jobs_for_one_customer_the_right_one_is_linked() -> None:
    """Name, e-mail and phone are the same; what the job is and costs tells them apart."""
    roof = {"title": "Roof repair", "money": Money(Decimal(100), "USD")}
    pump = {"title": "Heat pump", "money": Money(Decimal(900), "USD")}
    assert sets(
        record("crm", "d-roof", MILL, **roof),
        record("crm", "d-pump", MILL, **pump),
        record("projects", "j-pump", MILL, **pump),
        record("projects", "j-roof", MILL, **roof),
    ) == [{"d-roof", "j-roof"}, {"d-pump", "j-pump"}]


def test_of_two_that_are_equally_near_neither_is_taken() -> None:
    """Two jobs that nothing tells apart are shown to a person."""
    records = [
        record("crm", "d1", MILL),
        record("projects", "j1", MILL),
        record("projects", "j2", MILL),
    ]
    assert sets(*records) == []
    assert len(match(records).to_confirm) == 2


def test_what_a_person_decided_goes_before_everything_else(tmp_path: Path) -> None:
    """Two that were kept apart stay apart, two that were joined stay joined, next time too."""
    deal, job = record("crm", "d1", MILL), record("projects", "j1", MILL)
    other = record("projects", "j2", HALL)
    file = tmp_path / "decisions.ndjson"
    keep_decision(file, pair_key(job, deal), same=True)
    keep_decision(file, pair_key(deal, job), same=False)
    keep_decision(file, pair_key(deal, other), same=True)
    assert sets(deal, job, other, decisions=read_decisions(file)) == [{"d1", "j2"}]


@pytest.mark.parametrize("line", ["no", "[]", '{"pair": 1, "same": true}', '{"pair": "a"}'])
def test_a_decision_that_cannot_be_read_is_told_by_line(tmp_path: Path, line: str) -> None:
    """What somebody edited by hand is never passed over."""
    file = tmp_path / "decisions.ndjson"
    file.write_text('{"pair": "a = b", "same": true}\n' + line + "\n", encoding="utf-8")
    with pytest.raises(ValueError, match="line 2"):
        read_decisions(file)


def test_rows_that_repeat_an_id_are_one_record() -> None:
    """The same record twice in one export is one job, and both rows are named."""
    found = match([record("crm", "d1", MILL), record("crm", "D1", MILL)])
    assert [cluster.twins for cluster in found.clusters] == [((1, 0),)]


WHO = st.builds(
    lambda name, email, phone, address, title, amount: Record(
        "crm", 1, "r", name=name, email=email, phone=phone, address=address, title=title,
        money=Money(amount, "USD") if amount else None,
    ),
    *[st.text(max_size=20)] * 5,
    st.decimals(0, 10**6, places=2),
)  # fmt: skip


@given(WHO, WHO)
def test_a_score_explains_itself(left: Record, right: Record) -> None:
    """It is the sum of its parts, whichever record comes first, and 1 where nothing differs."""
    score, reasons = compare(left, right)
    assert score == compare(right, left)[0]
    assert score == pytest.approx(sum(r.likeness * r.weight for r in reasons), abs=0.01)
    assert not reasons or sum(r.weight for r in reasons) == pytest.approx(1, abs=0.01)
    assert compare(left, left)[0] in {0, 1}


def records_of(exports: Exports) -> list[Record]:
    return [
        one
        for tool, path in exports.files.items()
        for one in firm.records_of(Given(tool, path, firm.mapping(tool)))[1]
    ]


def test_what_is_linked_by_itself_is_right(tmp_path: Path) -> None:
    """Of generated exports, with typos, swapped names, shared phones and missing ids."""
    exports = generate(tmp_path, 5000, noisy=0.4)
    records = records_of(exports)
    job_of = [exports.job_of[one.tool, one.row] for one in records]
    linked = [
        job_of[left] == job_of[right]
        for cluster in match(records).clusters
        for left, right in combinations(cluster.records, 2)
    ]
    rows: dict[int, int] = {}
    for job in job_of:
        rows[job] = rows.get(job, 0) + 1
    precision = sum(linked) / len(linked)
    recall = sum(linked) / sum(number * (number - 1) // 2 for number in rows.values())
    print(f"precision {precision:.5f}, recall {recall:.5f} of {len(linked):,} pairs")  # noqa: T201 - a figure to be seen
    assert precision >= 0.999
    assert recall >= 0.95
