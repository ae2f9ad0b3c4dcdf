"""A launch under way as its page tells it: the steps it has behind it, who is ahead, and until when it waits."""

from datetime import UTC, datetime
from typing import Any

import pytest

from gpuspawner.cluster.events import Phase, Progress
from gpuspawner.cluster.outlook import Outlook
from gpuspawner.feed import Feed
from gpuspawner.reports.launching import Launching, launching_of

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)


def told(phase: Phase, **more: Any) -> Progress:
    return Progress(phase, f"It is {phase}.", 10)._replace(**more)


def shown(launch: Launching) -> str:
    marks = {"done": "✓", "now": ">", "todo": ""}
    return " ".join(f"{marks[step.state]}{step.title}" for step in launch.steps)


@pytest.mark.parametrize(
    ("last", "steps"),
    [
        (told(Phase.ACCEPTED), ">Accepted GPU Node Files Image Start Ready"),
        (told(Phase.WAITING), "✓Accepted >GPU Node Files Image Start Ready"),
        (told(Phase.NODE_COMING), "✓Accepted ✓GPU >Node Files Image Start Ready"),
        (told(Phase.WAITING, storage=True), "✓Accepted GPU Node >Files Image Start Ready"),
        (told(Phase.PULLING, storage=True, node="n1"), "✓Accepted ✓GPU ✓Node >Files Image Start Ready"),
        (told(Phase.SCHEDULED, node="n1"), "✓Accepted ✓GPU ✓Node >Files Image Start Ready"),
        (told(Phase.PULLING, node="n1"), "✓Accepted ✓GPU ✓Node ✓Files >Image Start Ready"),
        (told(Phase.PULLED, node="n1"), "✓Accepted ✓GPU ✓Node ✓Files ✓Image >Start Ready"),
        (told(Phase.READY, node="n1"), "✓Accepted ✓GPU ✓Node ✓Files ✓Image ✓Start ✓Ready"),
    ],
)
def test_each_phase_is_a_step_and_what_comes_before_it_is_done(last: Progress, steps: str) -> None:
    assert shown(launching_of([last], gpus=1)) == steps


def test_a_launch_without_gpu_waits_for_room() -> None:
    launch = launching_of([told(Phase.WAITING, outlook=Outlook(2))], gpus=0)
    assert shown(launch).startswith("✓Accepted >Room")
    assert launch.facts == ()


def test_a_launch_that_waits_says_its_place_its_turn_and_how_long_it_waits() -> None:
    outlook = Outlook(2, 0, NOON.replace(minute=12), 700)
    launch = launching_of([told(Phase.WAITING, outlook=outlook, within=1800, at=NOON)], gpus=1)
    assert [(fact.label, fact.text) for fact in launch.facts] == [
        ("Your place", "2 launches are ahead of you"),
        ("Your turn", "in about 12 min, by 12:12"),
        ("Waits until", "12:30"),
    ]
    event = launch.as_event()
    assert (event["ahead"], event["expected"]) == (2, "2026-11-23T12:12:00+00:00")
    assert event["steps"]["place"] == "now"


def test_whoever_is_next_is_told_so_and_of_days_the_weekday() -> None:
    outlook = Outlook(0, 0, NOON.replace(day=24), 86400)
    launch = launching_of([told(Phase.WAITING, outlook=outlook, within=3600 * 30, at=NOON)], gpus=1)
    assert [fact.text for fact in launch.facts] == ["You are next", "in about 24 h, by Tuesday 12:00", "Tuesday 18:00"]


def test_a_launch_that_will_be_withdrawn_before_its_turn_says_so() -> None:
    outlook = Outlook(0, 0, NOON.replace(hour=14), 7200)
    launch = launching_of([told(Phase.WAITING, outlook=outlook, within=1800, at=NOON)], gpus=1)
    assert launch.facts[-1].text == "12:30, which is before your turn"


def test_before_anything_was_told_a_launch_is_accepted() -> None:
    assert shown(launching_of([], gpus=1)) == ">Accepted GPU Node Files Image Start Ready"


def test_what_was_said_is_kept_with_its_time_and_without_saying_it_twice() -> None:
    feed = Feed(lambda: NOON)
    feed.tell(told(Phase.WAITING, raw="0/3 nodes"))
    feed.tell(told(Phase.PULLING, percent=40, raw="It is pulling."))
    launch = launching_of(feed.so_far, gpus=1)
    assert [(said.message, said.raw, said.at) for said in launch.log] == [
        ("It is waiting.", "0/3 nodes", NOON),
        ("It is pulling.", "", NOON),
    ]
    assert (launch.message, launch.percent) == ("It is pulling.", 40)
