"""Past launches against a changed configuration: what it would have refused, and nothing that it would not."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_hub import ask, changed, section

from gpuspawner.admission import Capacity, Held, admit
from gpuspawner.config import Settings, load_settings
from gpuspawner.errors import LaunchError
from gpuspawner.ledger.records import Grant, Session
from gpuspawner.limits.replay import Replay, replay

NINE = datetime(2026, 11, 23, 17, tzinfo=UTC)
SMALL = {"workspace": "everyone", "gpu_class": "small"}
LONG = {**SMALL, "runtime": "2h"}


def session(
    number: int,
    options: dict[str, Any] | None = None,
    *,
    at: float = 0,
    hours: float | None = 2,
    user: str = "ada",
    landed: str | None = "small",
    **more: Any,
) -> Session:
    """A launch ``at`` hours after nine that ran from then on."""
    options = SMALL if options is None else options
    opened = NINE + timedelta(hours=at)
    gpus = int(options.get("gpus", 1))
    return Session(
        id=f"launch-{number:03}",
        hub="jupyterhub",
        user=user,
        server=f"s{number}",
        workspace=options.get("workspace", "everyone"),
        profile=options.get("profile", "pytorch"),
        options=options,
        gpu_classes=(landed,) if gpus and landed else (),
        gpus=gpus,
        cpu=2,
        memory=8 * 10**9,
        image="x",
        runtime=6 * 3600,
        price={},
        held=0,
        opened=opened,
        started=opened if hours else None,
        ended=opened + timedelta(hours=hours or 0.1),
        gpu_class=landed if hours else None,
        **more,
    )


def hub(path: str = "", value: Any = None) -> Settings:
    return load_settings(changed(path, value) if path else section())


def ids(found: Replay) -> list[int]:
    return [int(one.session.id[-3:]) for one in found.refused]


def test_launches_that_a_configuration_allows_are_none_of_its_refusals() -> None:
    found = replay([session(n, at=n) for n in range(4)], hub())
    assert (found.launches, found.refused) == (4, ())


def test_a_smaller_quota_refuses_those_that_were_too_many_at_a_time() -> None:
    past = [session(1, at=0), session(2, at=0.5, user="grace"), session(3, at=1, user="hopper"), session(4, at=2.1)]
    found = replay(past, hub("workspaces/everyone/quota", {"small": 2}))
    assert ids(found) == [3], "the fourth begins when the first has ended"
    (refused,) = found.refused
    assert (refused.limit, refused.rule) == ("workspace.quota", "c.GPUSpawner.workspaces['everyone'].quota['small']")
    assert refused.as_json()["at"] == "2026-11-23T18:00:00+00:00"


def test_what_is_refused_holds_nothing_of_what_comes_after() -> None:
    past = [session(1, {**SMALL, "gpus": 3}), session(2, user="grace"), session(3, user="hopper")]
    found = replay(past, hub("workspaces/everyone/quota", {"small": 2}))
    assert ids(found) == [1]


def test_they_happen_in_their_order_whatever_order_they_are_given_in() -> None:
    past = [session(n, at=n / 10, user=f"u{n}") for n in range(5)]
    settings = hub("workspaces/everyone/quota", {"small": 2})
    assert ids(replay(reversed(past), settings)) == ids(replay(past, settings)) == [2, 3, 4]


@pytest.mark.parametrize(
    ("path", "value", "options", "limit"),
    [
        ("workspaces/everyone/per_launch", {"runtime": "1h"}, LONG, "workspace.per_launch.runtime"),
        ("workspaces/everyone/profiles", ["minimal"], SMALL, "workspace.profiles"),
        ("profiles/pytorch/cpu", 1, {**SMALL, "cpu": 2}, "profile.cpu"),
        ("workspaces/everyone/ends", "2026-11-22", SMALL, "workspace.open"),
        ("per_member", {"gpus": 0}, SMALL, "hub.per_member.gpus"),
        ("workspaces", {"lab": {"members": "*"}}, SMALL, "workspaces"),
    ],
)
def test_each_refusal_names_its_limit(path: str, value: Any, options: dict[str, Any], limit: str) -> None:
    found = replay([session(1, options)], hub(path, value))
    assert [one.limit for one in found.refused] == [limit]


def test_a_default_that_was_lowered_refuses_nobody_who_took_the_default() -> None:
    settings = hub("workspaces/everyone/per_launch", {"runtime": "1h"})
    past = [session(1, at=0, hours=2), session(2, {**SMALL, "gpus": 4}, at=1.1)]
    assert ids(replay(past, settings)) == [], "the first would have ended after an hour"


def test_budgets_of_the_new_configuration_are_spent_by_what_it_would_have_granted() -> None:
    settings = hub("workspaces/everyone/budget", {"per_member": 8})
    past = [session(1, hours=1), session(2, at=2, hours=1), session(3, at=4, hours=1), session(4, at=6, hours=1)]
    found = replay(past, settings)
    assert ids(found) == [4], "six hours are held, one is paid: the fourth would hold 6 of 5"
    assert found.refused[0].rule == "c.GPUSpawner.workspaces['everyone'].budget.per_member"
    given = Grant(workspace="everyone", user="ada", units=10**6, reason="r", by="root", at=NINE)
    assert ids(replay(past, settings, [given])) == []


def test_a_launch_that_never_ran_costs_nothing() -> None:
    settings = hub("workspaces/everyone/budget", {"per_member": 6})
    assert ids(replay([session(n, at=n, hours=None) for n in range(5)], settings)) == []


def test_the_class_that_a_launch_landed_on_is_what_counts() -> None:
    wish = {"workspace": "cse151a", "gpu_class": ["small", "medium"]}
    past = [session(1, wish, landed="medium"), session(2, {"workspace": "cse151a", "gpus": 2}, user="grace")]
    assert ids(replay(past, hub("workspaces/cse151a/quota", {"small": 2, "medium": 1}))) == []
    undecided = [session(1, wish, landed=None), past[1]]
    assert ids(replay(undecided, hub("workspaces/cse151a/quota", {"small": 2, "medium": 1}))) == [2]


def test_refusals_are_counted_by_rule_user_and_workspace() -> None:
    past = [session(n, at=n / 10, user="ada" if n % 2 else "grace") for n in range(5)]
    found = replay(past, hub("workspaces/everyone/quota", {"small": 0}))
    assert found.by("user") == {"grace": 3, "ada": 2}
    assert found.by("workspace") == {"everyone": 5}
    assert found.by("rule") == {"c.GPUSpawner.workspaces['everyone'].quota['small']": 5}
    assert found.as_json()["launches"] == 5


launches = st.lists(
    st.tuples(st.integers(0, 40), st.integers(1, 30), st.sampled_from(["ada", "grace"]), st.integers(0, 3)),
    max_size=12,
)


@given(launches, st.integers(0, 4), st.integers(1, 3))
def test_a_replay_decides_as_the_hub_would_have(
    past: list[tuple[int, int, str, int]], quota: int, servers: int
) -> None:
    """Against a simulation as simple as can be: at each launch, all that were granted and have not ended count."""
    everyone = {"members": "*", "quota": {"small": quota}, "per_member": {"servers": servers}}
    settings = load_settings(section(workspaces={"everyone": everyone}))
    sessions = []
    for number, (at, hours, user, gpus) in enumerate(past):
        options = {**SMALL, "gpus": gpus} if gpus else {"workspace": "everyone", "gpus": 0}
        sessions.append(session(number, options, at=at / 10, hours=hours / 10, user=user))
    granted: list[tuple[Session, Held]] = []
    refused = []
    for one in sorted(sessions, key=lambda each: (each.opened, each.id)):
        now = one.opened.astimezone(settings.timezone)
        usage = [held for other, held in granted if other.ended is not None and other.ended > one.opened]
        try:
            request = ask(settings, dict(one.options), user=one.user, server=one.server, now=now)
            granted.append((one, admit(request, settings, usage, Capacity(), now).held))
        except LaunchError:
            refused.append(one.id)
    assert [each.session.id for each in replay(sessions, settings).refused] == refused
