"""The board and its lists: who is found by what, in which order, and page by page."""

from collections.abc import Iterator
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lifecycle.changes import Correct, Move
from projections.board import Board, counts
from projections.board import overdue as overdue_cases
from projections.finding import Key, Page, configurations_with, page, said_by
from projections.follower import written
from projections.sieve import CasesWanted
from projections.views import case_view, overdue
from projections.words import words, words_of
from tests.databases import NewDatabase
from tests.projections.following import Following, by_collection, following, job
from tests.projections.stories import MORNING, Story, every_configuration, field_service, lifecycles


@pytest.fixture
def log(new_database: NewDatabase) -> Iterator[Following]:
    with following(new_database()) as opened:
        yield opened


def paged(log: Following, wanted: CasesWanted, limit: int) -> Iterator[Page]:
    """Read a list to its end."""
    after: Key | None = None
    while True:
        with log.store.reading() as session:
            got = page(session, wanted, after, limit)
        yield got
        after = got.next
        if after is None:
            return


def ids(got: Page) -> list[str]:
    return [row.case.id for row in got.rows]


def paid(story: Story) -> Story:
    return story.says("accounting", deposit_due="5.00 USD", deposit_paid="5.00 USD")


class TestFilters:
    def test_a_state_holds_the_cases_that_are_in_it_now(self, log: Following) -> None:
        """A case is listed under the state it is in, and no more under the one it left."""
        log.written(job("J-1"), paid(job("J-2"))).followed()
        assert log.listed(state="quoted") == ["J-1"]
        assert log.listed(state="deposit_confirmed") == ["J-2"]

    def test_a_state_holds_what_stands_below_it(self, log: Following) -> None:
        """A compound state lists its descendants' cases; joined leaves list their own alone."""
        client = by_collection()["clients"]
        told = Story(client, "C-1").opened(fields={"name": "Old Mill", "email": "m@mill.example"})
        log.written(told.makes("crm", "engage")).followed()
        for state in ("onboarding", "papers", "to_screen", told.case.state):
            assert log.listed("clients", state=state) == ["C-1"], state
        assert log.listed("clients", state="active") == []

    def test_a_words_list_is_what_the_tool_shows(self, log: Following) -> None:
        """For every configuration, tool and word: listed exactly where the tool has that word."""
        stories = list(every_configuration())
        for number, story in enumerate(stories):
            story.entries = [
                type(one)(one.stream.replace("C-1", f"C-{number}"), one.version, one.event)
                for one in story.entries
            ]
        log.written(*stories).followed()
        for lifecycle in lifecycles().values():
            collection = lifecycle.collection
            for tool in lifecycle.declaration.words:
                for word in said_by(lifecycle, tool):
                    listed = log.listed(
                        collection,
                        configurations=configurations_with(lifecycle, tool, word),
                    )
                    shown = [
                        row.case.id
                        for row in log.board(collection)
                        if any(
                            word in lifecycle.vocabulary.words(field, row.case.states)
                            for field in lifecycle.vocabulary.status_fields
                            if field.tool == tool
                        )
                    ]
                    assert listed == shown, (collection, tool, word)

    def test_overdue_are_those_whose_time_has_run_out(self, log: Following) -> None:
        """The longest overdue comes first; who has gone on, or has no limit, is not listed."""
        late, later = paid(job("J-late")), paid(job("J-later").says("crm", scope="more"))
        gone = paid(job("J-gone")).makes("projects", "schedule", scheduled_for="2026-05-11")
        log.written(later, late, gone, job("J-free")).followed()
        limit = timedelta(seconds=field_service().limits["deposit_confirmed"])
        due = late.case.since + limit
        assert log.listed(overdue_at=due) == []
        assert log.listed(overdue_at=due + timedelta(seconds=1)) == ["J-late"]
        assert log.listed(overdue_at=due + timedelta(days=9)) == ["J-late", "J-later"]

    def test_what_is_overdue_is_so_on_the_board_as_in_the_case(self, log: Following) -> None:
        """A limit that runs in one region is not put off by a change in another, in no batch."""
        client = by_collection()["clients"]
        told = Story(client, "C-1").opened(fields={"name": "Old Mill", "email": "m@mill.example"})
        engaged = told.now
        log.written(told.makes("crm", "engage")).followed()
        told.now += timedelta(days=3)
        papers = Correct(state="papers_complete+to_screen+account_to_open", reason="all is there")
        log.told(told.then("staff", papers).entries[-1:]).followed()
        limit = engaged + timedelta(days=2)
        assert log.listed("clients", overdue_at=limit) == []
        assert log.listed("clients", overdue_at=limit + timedelta(seconds=1)) == ["C-1"]
        (row,) = log.board("clients")
        assert row.case.entered == told.case.entered
        assert overdue(row.case, client, told.now) == overdue(told.case, client, told.now)

    def test_updated_since_goes_by_the_time_of_recording(self, log: Following) -> None:
        """In the order of the last change, whatever time was claimed for it."""
        first, second = job("J-1"), job("J-2")
        log.written(first, second)
        first.then("crm", Move(transition="cancel", occurred_at=MORNING - timedelta(days=3)))
        log.told(first.entries[-1:]).followed()
        assert log.listed(updated_since=MORNING) == ["J-2", "J-1"]
        assert log.listed(updated_since=MORNING + timedelta(minutes=1)) == ["J-1"]
        assert log.listed(updated_since=MORNING + timedelta(days=1)) == []

    def test_a_clock_that_went_back_hides_no_change(self, log: Following) -> None:
        """Whoever has read to the end finds later changes behind it, whatever their clock said."""
        early, late = job("J-early"), Story(case_id="J-late")
        late.now += timedelta(hours=5)
        late.opened(fields={})
        log.written(late, early).followed()
        assert log.listed(updated_since=MORNING + timedelta(hours=1)) == ["J-late", "J-early"]

    def test_filters_hold_together(self, log: Following) -> None:
        """Everything that is asked for must be so."""
        log.written(job("J-1"), paid(job("J-2")), paid(job("K-2"))).followed()
        assert log.listed(state="deposit_confirmed", words=("j",)) == ["J-2"]
        far = MORNING + timedelta(days=99)
        assert log.listed(state="quoted", overdue_at=far) == []
        assert log.listed(words=("k",), overdue_at=far) == ["K-2"]
        assert log.listed(words=("j",), updated_since=MORNING, state="quoted") == ["J-1"]


class TestCounts:
    def test_every_state_counts_the_cases_that_its_list_holds(self, log: Following) -> None:
        """Opened, moved on and moved back, in one batch or in many: counts and lists agree."""
        stories = [job("J-1"), paid(job("J-2")), paid(job("J-3")).makes("crm", "cancel")]
        for story in stories:
            log.written(story).followed()
            with log.store.reading() as session:
                counted = counts(session)["jobs"]
            listed = {state: len(log.listed(state=state)) for state in field_service().chart.places}
            assert {**dict.fromkeys(listed, 0), **counted} == {"": len(log.listed()), **listed}

    def test_a_case_that_is_taken_off_the_board_leaves_nothing(self, log: Following) -> None:
        """What cannot be read any more is counted nowhere, and no word or state leads to it."""
        log.written(job("J-1")).followed()
        before = log.everything()
        log.written(paid(job("J-2", customer_name="Old Mill", scope="0 10 zero"))).followed()
        board = Board(by_collection())
        for subject in (("jobs", "J-2"), ("jobs", "J-2"), ("jobs", "J-9")):
            with log.store.following() as session:
                assert session is not None
                board.drop(session, subject)
        with log.store.reading() as session:
            assert counts(session) == {"jobs": {"": 1, "quoted": 1}}
        for table in ("board", "board_states", "board_words", "board_counts"):
            assert log.everything()[table] == before[table], table

    def test_what_is_overdue_is_counted_as_far_as_is_asked(self, log: Following) -> None:
        """The number of late cases is that of their list, and never more than was asked for."""
        log.written(*(paid(job(f"J-{number}")) for number in range(3)), job("J-9")).followed()
        later = MORNING + timedelta(days=30)
        with log.store.reading() as session:
            assert overdue_cases(session, "jobs", MORNING, 10) == 0
            assert overdue_cases(session, "jobs", later, 10) == 3
            assert overdue_cases(session, "jobs", later, 2) == 2


class TestWords:
    @pytest.mark.parametrize(
        "asked",
        ["J-1", "j-1", "DJ-1", "Harbour", "harb", "bakery harb", "ÉCLAIR", "eclair", "j-1@bakery"],
    )
    def test_a_case_is_found_by_its_words(self, log: Following, asked: str) -> None:
        """By id, reference or text, in any case and accent; the last word may be unfinished."""
        log.written(
            job("J-1", scope="Éclair oven"), job("X-9", customer_name="Old Mill")
        ).followed()
        assert log.listed(words=tuple(words(asked))) == ["J-1"]

    @pytest.mark.parametrize("asked", ["arbour", "harb bakery", "mill harbour", "500"])
    def test_words_that_it_does_not_hold_do_not_find_it(self, log: Following, asked: str) -> None:
        """All words must be there, whole but for the last, and from their beginning."""
        log.written(job("J-1"), job("J-2", customer_name="Old Mill")).followed()
        assert log.listed(words=tuple(words(asked))) == []

    def test_a_word_leads_nowhere_once_it_is_changed(self, log: Following) -> None:
        """A case is found by what it is now."""
        story = job("J-1", scope="boiler").says("crm", scope="solar")
        log.written(story).followed()
        assert log.listed(words=("boiler",)) == []
        assert log.listed(words=("solar",)) == ["J-1"]

    def test_personal_words_find_for_those_who_may_see_them(self, log: Following) -> None:
        """Who may not see a field cannot find out what it says."""
        log.written(job("J-1")).followed()
        assert log.listed(words=("harbour",), visible=frozenset({"customer_name"})) == ["J-1"]
        for hidden in (("harbour",), ("j", "harbour"), ("harbour", "j")):
            assert log.listed(words=hidden, visible=frozenset({"email"})) == [], hidden
            assert log.listed(words=hidden, visible=frozenset()) == [], hidden

    @given(st.text())
    def test_words_stay_as_they_are(self, text: str) -> None:
        """To take the words out of words changes nothing: what is stored is what is asked for."""
        assert words(" ".join(words(text))) == words(text)

    def test_no_number_date_or_amount_is_searched(self) -> None:
        """A case is found by texts; a search for 500 is not for every deposit of 500."""
        story = paid(job("J-1")).makes("projects", "schedule", scheduled_for="2026-05-11")
        found = {word for _, word in words_of(story.case, field_service())}
        assert found.isdisjoint({"5", "00", "usd", "2026", "05", "11"})


class TestPages:
    def test_pages_hold_each_case_once(self, log: Following) -> None:
        """Whatever the page's size, the pages together are the list."""
        log.written(*(job(f"J-{number}") for number in range(7))).followed()
        whole = log.listed()
        for limit in (1, 2, 3, 7, 8):
            pages = list(paged(log, CasesWanted(collection="jobs"), limit))
            assert [one for got in pages for one in ids(got)] == whole
            assert all(len(got.rows) == limit for got in pages[:-1])

    def test_a_list_is_not_disturbed_by_what_happens_meanwhile(self, log: Following) -> None:
        """Changes and new cases neither skip nor repeat what is still to come."""
        stories = [job(f"J-{number}") for number in range(6)]
        log.written(*stories).followed()
        whole, seen = log.listed(), list[str]()
        for got in paged(log, CasesWanted(collection="jobs"), 2):
            seen += ids(got)
            log.told(stories[0].says("crm", scope=str(len(seen))).entries[-1:])
            log.written(job(f"N-{len(seen)}")).followed()
        assert seen == whole

    def test_what_changes_while_it_is_read_comes_again(self, log: Following) -> None:
        """In the order of change nothing is skipped; what changed comes once more at the end."""
        stories = [job(f"J-{number}") for number in range(4)]
        log.written(*stories).followed()
        seen = list[str]()
        for got in paged(log, CasesWanted(collection="jobs", updated_since=MORNING), 2):
            if not seen:
                log.told(stories[0].says("crm", scope="new").entries[-1:]).followed()
            seen += ids(got)
        assert seen == ["J-0", "J-1", "J-2", "J-3", "J-0"]

    def test_words_and_states_are_paged_alike(self, log: Following) -> None:
        """Every way to the cases keeps the one order."""
        log.written(*(job(f"J-{number}") for number in range(5))).followed()
        asked = [
            CasesWanted(
                collection="jobs", words=("harbour",), visible=frozenset({"customer_name"})
            ),
            CasesWanted(collection="jobs", state="quoted"),
            CasesWanted(
                collection="jobs",
                configurations=configurations_with(field_service(), "crm", "presentationscheduled"),
            ),
        ]
        for wanted in asked:
            seen = [one for got in paged(log, wanted, 2) for one in ids(got)]
            assert seen == log.listed(), wanted


class TestRows:
    def test_times_sort_as_they_follow(self) -> None:
        """What is written of a time sorts as the times do, whole seconds among them."""
        times = [MORNING + timedelta(microseconds=step) for step in (0, 1, 880_000, 10**6, 10**9)]
        assert sorted(map(written, times)) == list(map(written, times))

    def test_a_row_is_the_case_again(self, log: Following) -> None:
        """What is read back is what was written, numbers exact and what was forgotten gone."""
        story = (
            job("J-1", scope="\u20ac 5 \u2026").says("crm", scope=None).says("crm", scope="ö'\"")
        )
        log.written(story).followed()
        (row,) = log.board()
        now = MORNING + timedelta(days=1)
        assert case_view(row.case, field_service(), now) == case_view(
            story.case, field_service(), now
        )
        assert row.case.personal == story.case.personal
