"""How long a running server may last: read from its pod, extended within limits, warned of in time."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpuspawner.errors import DeniedError
from gpuspawner.labels import ENDED_BY, ENDS, RUNTIME, WARNED
from gpuspawner.sessions.lease import (
    ExtensionError,
    Lease,
    PlannedEnd,
    check_extension,
    end_of,
    ended_by,
    ended_by_text,
    lease_of,
    runtime_end,
    warned_text,
)

START = datetime(2026, 11, 21, 9, tzinfo=UTC)
STARTED_AT = "2026-11-21T09:00:00Z"
HOUR = 3600


def lease(deadline: int = 4 * HOUR, **annotations: str) -> Lease:
    named = {f"gpuspawner/{name.replace('_', '-')}": value for name, value in annotations.items()}
    found = lease_of(
        named,
        user="ada",
        server="",
        workspace="lab",
        profile="pytorch",
        launch="1",
        started_at=STARTED_AT,
        deadline=deadline,
    )
    assert found is not None
    return found


def after(**passed: float) -> datetime:
    return START + timedelta(**passed)


def test_without_extension_a_server_ends_when_kubernetes_ends_it() -> None:
    found = lease(HOUR)
    assert (found.ends, found.deadline, found.runtime, found.extendable) == (
        after(hours=1),
        after(hours=1),
        HOUR,
        False,
    )


def test_one_that_can_be_extended_ends_after_the_runtime_it_was_granted() -> None:
    found = lease(runtime="3600")
    assert (found.ends, found.deadline, found.extendable) == (after(hours=1), after(hours=4), True)
    assert (found.runtime, found.longest) == (HOUR, 4 * HOUR)


def test_an_extension_is_kept_with_the_pod() -> None:
    assert lease(runtime="3600", ends="2026-11-21T13:30:00+02:00").ends == after(hours=2, minutes=30)


def test_no_annotation_reaches_beyond_what_kubernetes_allows() -> None:
    assert lease(runtime="3600", ends="2027-01-01T00:00:00Z").ends == after(hours=4)
    assert lease(runtime="999999").ends == after(hours=4)


@pytest.mark.parametrize("text", ["", "soon", "2026-11-21T12:00:00", "-3600", "1e9", "٣٦٠٠", "9" * 40])
def test_what_cannot_be_read_is_passed_over(text: str) -> None:
    assert lease(runtime=text, ends=text, warned_runtime=text).ends == after(hours=4)


def test_a_pod_that_has_not_started_has_no_lease() -> None:
    about = {"user": "ada", "server": "", "workspace": "lab", "profile": "p", "launch": "1"}
    assert lease_of({}, **about, started_at="", deadline=HOUR) is None
    assert lease_of({}, **about, started_at=STARTED_AT, deadline=0) is None
    assert end_of({}, "", HOUR) is None


def test_an_extension_moves_the_end() -> None:
    found = check_extension(lease(runtime="3600"), HOUR, title="PyTorch", longest=None, within="The Lab")
    assert found == after(hours=2)


@pytest.mark.parametrize(
    ("pod", "seconds", "longest", "said"),
    [
        (lease(HOUR), HOUR, None, "PyTorch servers cannot be extended while they run. Save your work"),
        (lease(runtime="3600"), 4 * HOUR, None, "You asked for 4 h more; PyTorch allows 4 h in all, of which 3 h are"),
        (lease(runtime="3600"), 4 * HOUR, None, "Ask for at most 3 h."),
        (lease(runtime="3600"), HOUR, 90 * 60, "The Lab allows 1 h 30 min in all, of which 30 min are left."),
        (lease(runtime="3600"), HOUR, 5 * HOUR * 2, None),
        (lease(runtime="3600", ends="2026-11-21T13:00:00Z"), HOUR, None, "runs for 4 h in all, the longest that PyT"),
        (lease(runtime="3600"), HOUR, HOUR, "runs for 1 h in all, the longest that The Lab allows."),
        (lease(runtime="3600"), 59, None, "You asked for 59 s more. Ask for 1 min or more."),
        (lease(runtime="3600"), -HOUR, None, "Ask for 1 min or more."),
    ],
)
def test_an_extension_that_does_not_fit_says_what_does(
    pod: Lease, seconds: int, longest: int | None, said: str | None
) -> None:
    def ask() -> Any:
        return check_extension(pod, seconds, title="PyTorch", longest=longest, within="The Lab")

    if said is None:
        assert ask() > pod.ends
        return
    with pytest.raises(ExtensionError) as refused:
        ask()
    assert said in refused.value.sentence
    assert refused.value.sentence.startswith("Not extended: ")


@given(
    granted=st.integers(60, 10**6),
    more=st.integers(0, 10**6),
    seconds=st.integers(-(10**6), 10**6),
    longest=st.none() | st.integers(1, 10**6),
)
def test_an_extension_never_goes_beyond_a_limit_nor_takes_time_away(
    granted: int, more: int, seconds: int, longest: int | None
) -> None:
    pod = lease(granted + more, runtime=str(granted))
    try:
        ends = check_extension(pod, seconds, title="P", longest=longest, within="W")
    except ExtensionError:
        return
    assert pod.ends < ends <= pod.deadline
    assert longest is None or (ends - pod.started).total_seconds() <= longest


def test_a_member_is_warned_half_an_hour_and_five_minutes_before_the_end() -> None:
    pod = lease(runtime="7200")
    end = runtime_end(pod)
    assert pod.window(end, after(minutes=89)) is None
    assert pod.window(end, after(minutes=90)) == 1800
    assert pod.window(end, after(minutes=114)) == 1800
    assert pod.window(end, after(minutes=115)) == 300
    assert pod.next_moment(end, START) == after(minutes=90)
    assert pod.next_moment(end, after(minutes=90)) == after(minutes=115)
    assert pod.next_moment(end, after(minutes=115)) == after(minutes=120)
    assert "Extend it" in runtime_end(pod, more=HOUR).avert
    assert "Extend it" not in end.avert


def test_a_short_server_is_not_warned_before_it_has_started() -> None:
    pod = lease(1200)
    assert pod.window(runtime_end(pod), after(minutes=1)) is None
    assert pod.window(runtime_end(pod), after(minutes=15)) == 300


def test_nobody_is_warned_twice_of_one_end() -> None:
    pod = lease(runtime="7200", warned_runtime=warned_text(runtime_end(lease(runtime="7200")), 1800))
    end = runtime_end(pod)
    assert pod.was_warned(end, 1800)
    assert not pod.was_warned(end, 300)
    assert not pod.was_warned(PlannedEnd("idle", end.at, end.cause, "nothing uses it"), 1800)


def test_after_an_extension_the_warnings_come_anew() -> None:
    told = warned_text(runtime_end(lease(runtime="7200")), 300)
    pod = lease(runtime="7200", ends="2026-11-21T12:00:00Z", warned_runtime=told)
    assert not pod.was_warned(runtime_end(pod), 1800)


def test_the_end_that_was_warned_of_is_written_in_utc() -> None:
    end = runtime_end(lease(runtime="7200"))
    assert warned_text(end, 300) == "2026-11-21T11:00:00+00:00 300"


def test_a_cause_goes_into_the_pod_and_comes_back() -> None:
    cause = DeniedError("It was idle „für immer“.", "Start it again.")
    found = ended_by({ENDED_BY: ended_by_text(cause)})
    assert found is not None
    assert (found.code, found.reason, found.remedy) == ("denied", cause.reason, cause.remedy)


@pytest.mark.parametrize("text", ["", "{}", "[]", "null", "x", '{"code": 1, "reason": "", "remedy": ""}'])
def test_a_cause_that_is_not_ours_is_none(text: str) -> None:
    assert ended_by({ENDED_BY: text}) is None
    assert ended_by({}) is None


def test_the_annotations_are_those_the_documentation_names() -> None:
    assert (ENDS, RUNTIME, ENDED_BY, WARNED) == (
        "gpuspawner/ends",
        "gpuspawner/runtime",
        "gpuspawner/ended-by",
        "gpuspawner/warned-",
    )
    assert json.loads(ended_by_text(DeniedError("No.")))["code"] == "denied"


def test_a_server_that_its_budget_paid_no_longer_says_so_before_and_after() -> None:
    end = runtime_end(lease(HOUR, limited_by="budget"))
    assert end.warning == "its budget pays for 1 h"
    assert end.cause.code == "budget_used_up"
    assert "when the budget renews" in end.cause.remedy
    extended = lease(runtime="3600", limited_by="budget", ends="2026-11-21T11:00:00Z")
    assert runtime_end(extended).cause.code == "runtime_limit"
