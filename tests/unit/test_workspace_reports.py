"""Workspaces at a glance and their members: what is held of each quota, who used what, sorted and in pages."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_hub import MONDAY, changed, small_hub
from spending import Launch

from gpuspawner.budgets.accounts import Account, Accounts, Period
from gpuspawner.config import Settings, load_settings
from gpuspawner.ledger.records import Session
from gpuspawner.ledger.store import Store
from gpuspawner.limits.usage import Held
from gpuspawner.membership.people import Person, awaited
from gpuspawner.membership.roles import Role
from gpuspawner.membership.roster import parse_roster
from gpuspawner.membership.rules import Login
from gpuspawner.quantity import MICRO
from gpuspawner.reports.attention import attention
from gpuspawner.reports.members import SORTS, MemberLine, Members, MembersAsked, begins_of, member_lines, members_page
from gpuspawner.reports.spending import spending
from gpuspawner.reports.use import Use
from gpuspawner.reports.workspace_servers import ServerLine, ServerState
from gpuspawner.reports.workspaces import ClassUse, WorkspaceLine, workspace_lines

COURSE = "cse151a"
LATER = MONDAY + timedelta(hours=2)


def held(user: str, *classes: str, gpus: int = 1, server: str = "", ends: datetime | None = LATER, **of: Any) -> Held:
    return Held(user, server, of.get("workspace", COURSE), classes, gpus, 2.0, 8 * 10**9, ends)


def line(*servers: Held, settings: Settings | None = None, now: datetime = MONDAY, name: str = COURSE) -> WorkspaceLine:
    settings = settings or small_hub()
    accounts = Accounts(settings.workspaces, settings.timezone)
    (found,) = workspace_lines([name], settings, servers, accounts, {COURSE: 3}, now)
    return found


def of_class(found: WorkspaceLine, name: str) -> ClassUse:
    return next(one for one in found.classes if one.gpu_class == name)


def test_a_workspace_tells_what_runs_and_starts_and_what_it_holds_of_each_class() -> None:
    elsewhere = held("eve", "medium", gpus=4, workspace="lab")
    found = line(held("ada", "medium", gpus=2), held("bob", "medium", "small", ends=None), elsewhere)
    assert (found.members, found.running, found.starting) == (3, 1, 1)
    assert of_class(found, "medium").sentence == "2 of 12 in use, 1 starting"
    assert of_class(found, "small").sentence == "0 of 2 in use, 1 starting"
    assert [one.gpu_class for one in found.classes] == ["small", "medium"]


def test_what_is_held_of_a_class_that_is_not_granted_any_more_is_told() -> None:
    found = of_class(line(held("ada", "instinct")), "instinct")
    assert (found.held, found.quota, found.borrowed) == (1, 0, 1)


def test_what_is_borrowed_says_from_whom() -> None:
    settings = small_hub(
        cohorts={"cs": {"display_name": "Computer Science", "workspaces": [COURSE, "everyone"], "borrowing": True}}
    )
    found = of_class(line(held("ada", "small", gpus=3), settings=settings), "small")
    assert found.sentence == "3 of 2 in use, 1 borrowed from Computer Science"


@pytest.mark.parametrize(
    ("day", "state", "when"),
    [
        ("2026-09-20", "not open yet", "opens on 21 September 2026"),
        ("2026-12-18", "open", "open until 18 December 2026"),
        ("2026-12-19", "ended", "ended 18 December 2026"),
    ],
)
def test_a_workspace_says_whether_it_is_open(day: str, state: str, when: str) -> None:
    now = datetime.fromisoformat(f"{day}T12:00:00-08:00")
    found = line(now=now)
    assert (found.state, found.when) == (state, when)


def test_open_workspaces_come_first_and_each_says_its_budget() -> None:
    budget = {"per_member": 10, "pool": 2000, "renews": "weekly"}
    settings = load_settings(changed(f"workspaces/{COURSE}/budget", budget))
    accounts = Accounts(settings.workspaces, settings.timezone)
    late = datetime(2027, 1, 5, 12, tzinfo=settings.timezone)
    found = workspace_lines(settings.workspaces, settings, (), accounts, {}, late)
    assert [one.name for one in found] == ["everyone", "lab", COURSE]
    assert found[2].budget == "10 SU for each member and 2,000 SU for all together, weekly"
    assert found[0].budget == ""
    assert found[2].as_json()["budget"]["pool"]["left"] == 2000


def person(name: str, *roles: Role, seen: datetime | None = None) -> Person:
    return Person(name, roles or (Role.MEMBER,), seen)


def members(*lines: MemberLine, accounts: Accounts | None = None, **asked: Any) -> Members:
    accounts = accounts or Accounts({}, small_hub().timezone)
    return members_page(lines, COURSE, accounts, MembersAsked(**asked), MONDAY)


def names(found: Members) -> list[str]:
    return [one.user for one in found.lines]


def test_everybody_who_belongs_or_has_used_something_is_told() -> None:
    people = [person("ada"), person("prof", Role.MEMBER, Role.MANAGER), person("dean", Role.AUDITOR)]
    used = {"ada": Use(2, 7200, 14400, MICRO), "gone": Use(1, 60, 60, 5)}
    found = {
        one.user: one
        for one in member_lines(
            people, ["new", "ada"], used, [held("ada", "small"), held("ada", "small", server="b", ends=None)]
        )
    }
    assert set(found) == {"ada", "prof", "dean", "gone", "new"}
    assert (found["ada"].running, found["ada"].starting, found["ada"].use.gpu_hours) == (1, 1, 4)
    assert (found["new"].awaited, found["new"].is_member) == (True, True)
    assert (found["gone"].person.role, found["gone"].is_member, found["dean"].is_member) == (None, False, False)
    assert found["prof"].person.role is Role.MANAGER


def test_what_is_left_is_told_to_members_with_a_budget_of_their_own() -> None:
    settings = load_settings(changed(f"workspaces/{COURSE}/budget", {"per_member": 10, "renews": "weekly"}))
    accounts = Accounts(settings.workspaces, settings.timezone)
    accounts.hold(Launch("1", 4, MONDAY, "ada", COURSE))
    people = [person("ada"), person("bob"), person("dean", Role.AUDITOR)]
    lines = member_lines(people, (), {}, ())
    found = members(*lines, accounts=accounts)
    assert [(one.user, one.account and one.account.left) for one in found.lines] == [
        ("ada", 6 * MICRO),
        ("bob", 10 * MICRO),
        ("dean", None),
    ]
    assert found.lines[0].as_json()["held"] == 4
    assert names(members(*lines, accounts=accounts, sort="left", descending=True)) == ["bob", "ada", "dean"]


def test_use_is_counted_since_the_budget_s_period_began_or_for_thirty_days() -> None:
    weekly = load_settings(changed(f"workspaces/{COURSE}/budget", {"per_member": 1, "renews": "weekly"}))
    assert begins_of(weekly.workspaces[COURSE], weekly, MONDAY) == datetime(2026, 11, 23, 8, tzinfo=UTC)
    without = small_hub()
    assert begins_of(without.workspaces["lab"], without, MONDAY) == MONDAY - timedelta(days=30)


def test_members_are_searched_by_name_whatever_the_case() -> None:
    lines = member_lines([person("ada"), person("Adam"), person("bob")], (), {}, ())
    found = members(*lines, search=" AD ")
    assert (names(found), found.found, found.count) == (["ada", "Adam"], 2, 3)


def test_pages_of_members_lead_from_one_to_the_next_and_back() -> None:
    lines = member_lines([person(f"u{number}") for number in range(5)], (), {}, ())
    first = members(*lines, limit=2)
    assert (names(first), first.previous, first.next) == (["u0", "u1"], None, 2)
    last = members(*lines, limit=2, after=4)
    assert (names(last), last.previous, last.next) == (["u4"], 2, None)


@given(st.data())
def test_every_order_has_everybody_once_and_ties_by_name(data: st.DataObject) -> None:
    count = st.integers(0, 3)
    lines = [
        MemberLine(
            person(name, seen=data.draw(st.none() | st.just(MONDAY))),
            data.draw(count),
            data.draw(count),
            Use(0, 0, data.draw(count), data.draw(count)),
        )
        for name in data.draw(st.lists(st.text("abc", min_size=1, max_size=3), unique=True, max_size=8))
    ]
    sort, descending = data.draw(st.sampled_from(sorted(SORTS))), data.draw(st.booleans())
    found = members(*lines, sort=sort, descending=descending, limit=100).lines
    assert sorted(one.user for one in found) == sorted(one.user for one in lines)
    keys = [SORTS[sort](one) for one in found]
    assert keys == sorted(keys, reverse=descending)
    if sort != "user":
        assert all(one.user <= two.user for one, two in pairwise(found) if SORTS[sort](one) == SORTS[sort](two))


def test_who_is_on_the_roster_and_has_never_logged_in_is_awaited() -> None:
    rules = [
        "ada",
        {"all": [{"roster": "course.csv"}, {"not": {"roster": "suspended.csv"}}]},
    ]
    settings = load_settings(changed(f"workspaces/{COURSE}/members", rules))
    rosters = {
        "course.csv": parse_roster(b"user,to\nbob,\neve,\nold,2026-01-01\nmallory,\n"),
        "suspended.csv": parse_roster(b"user\nmallory\n"),
    }

    def login_of(name: str) -> Login:
        return Login(name, MONDAY.date(), rosters=rosters)

    assert awaited(settings.workspaces[COURSE], login_of, {"eve"}) == ["ada", "bob", "prof"]


def server(user: str, state: ServerState, **of: Any) -> ServerLine:
    asked: dict[str, Any] = {"server": "", "workspace": COURSE, "profile": "pytorch", "gpu_class": "medium", "gpus": 1}
    titles = ("PyTorch", "Medium")
    return ServerLine(
        user=user, state=state, cpu=2, memory=8 * 10**9, titles=titles, **{"since": MONDAY, **asked, **of}
    )


def rich(user: str, left: int) -> MemberLine:
    account = Account(Period(None, None), 10 * MICRO, spent=(10 - left) * MICRO)
    return MemberLine(person(user), 0, 0, Use(), account)


def test_managers_are_told_who_waits_for_long_what_is_idle_and_whose_budget_is_used_up() -> None:
    waiting = server("ada", ServerState.WAITING, since=MONDAY - timedelta(minutes=25), why="All are taken.")
    idle = server("bob", ServerState.RUNNING, idle=MONDAY - timedelta(hours=1, seconds=30), server="two")
    busy = [server("eve", ServerState.RUNNING), server("eve", ServerState.WAITING, since=MONDAY)]
    found = attention([waiting, busy[1]], [idle, busy[0]], [rich("eve", 0), rich("ada", 1), rich("bob", 2)], MONDAY)
    assert [(one.kind, one.user, one.sentence) for one in found] == [
        ("waits", "ada", "ada has waited 25 min for PyTorch on 1 GPU (Medium). All are taken."),
        ("idle", "bob", "Nothing has used the server two of bob for 1 h: PyTorch on 1 GPU (Medium)."),
        ("budget", "eve", "eve has nothing left of 10 SU."),
        ("budget", "ada", "ada has 1 SU left of 10 SU."),
    ]


def test_what_is_true_of_many_is_told_in_one_sentence() -> None:
    found = attention([], [], [rich(f"u{number}", 0) for number in range(5)], MONDAY)
    assert [(one.user, one.sentence) for one in found] == [
        ("", "5 members have next to nothing left of their budgets: u0, u1, u2 and 2 more.")
    ]


async def test_what_was_spent_is_told_for_each_period_since_the_workspace_opened(tmp_path: Path) -> None:
    budget = {"per_member": 10, "pool": 100, "renews": "weekly"}
    settings = load_settings(changed(f"workspaces/{COURSE}/budget", budget))
    accounts = Accounts(settings.workspaces, settings.timezone)
    space, store = settings.workspaces[COURSE], Store(f"sqlite:///{tmp_path / 'ledger.sqlite'}", "hub")
    for number, days in enumerate((0, 3, 10)):
        opened = MONDAY - timedelta(days=days)
        await store.hold(session(str(number), opened))
        ended = opened + timedelta(hours=1)
        await store.settle(str(number), started=opened, ended=ended, gpu_class="small", charged=MICRO, cause="stopped")
    accounts.hold(Launch("runs", 4, MONDAY, "ada", COURSE, started=MONDAY, gpu_class="small"))
    found = await spending(space, store, settings, accounts, MONDAY + timedelta(hours=2))
    assert found is not None
    assert (len(found.periods), found.pool, found.classes) == (8, 100 * MICRO, ["small"])
    assert [one.micro // MICRO for one in found.periods] == [0, 0, 0, 0, 0, 1, 1, 3]
    assert (found.periods[-1].first, found.periods[-1].last) == (MONDAY.date(), MONDAY.date() + timedelta(days=6))
    early = datetime(2026, 9, 30, 12, tzinfo=settings.timezone)
    found = await spending(space, store, settings, accounts, early)
    assert found is not None
    assert [one.first.isoformat() for one in found.periods] == ["2026-09-21", "2026-09-28"]
    await store.close()


@pytest.mark.parametrize("budget", [None, {"per_member": 1, "renews": "rolling"}, {"pool": 1, "renews": "never"}])
async def test_a_budget_without_periods_has_none(budget: Any, tmp_path: Path) -> None:
    settings = load_settings(changed(f"workspaces/{COURSE}/budget", budget))
    accounts, store = Accounts(settings.workspaces, settings.timezone), Store(f"sqlite:///{tmp_path / 'x'}", "hub")
    assert await spending(settings.workspaces[COURSE], store, settings, accounts, MONDAY) is None
    await store.close()


def session(name: str, opened: datetime) -> Session:
    return Session(
        id=name, hub="hub", user="ada", server="", workspace=COURSE, profile="pytorch", options={},
        gpu_classes=("small",), gpus=1, cpu=2.0, memory=0, image="", runtime=3600, price={}, held=MICRO, opened=opened,
    )  # fmt: skip
