"""When a launch that waits gets its GPU, and who is ahead: from the ends of the sessions that hold them."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpuspawner.cluster import failures
from gpuspawner.cluster.deadlines import Stage, Stopwatch, TooSlowError
from gpuspawner.cluster.events import EventRecord
from gpuspawner.cluster.inventory import Stock
from gpuspawner.cluster.outlook import Ask, Outlook, Session, about, forecast
from gpuspawner.cluster.pulls import Pulls, pulled

NOW = 1000.0
MINE = Ask(1, 3600, ["a"])
AT = datetime(2026, 11, 21, 14, 23, tzinfo=UTC)


@pytest.mark.parametrize(
    ("free", "sessions", "queue", "expected"),
    [
        ({"a": 0}, [Session("a", 1, 1720.0)], [MINE], 1720.0),
        ({"a": 0}, [Session("a", 1, 1720.0), Session("a", 1, 1300.0)], [MINE], 1300.0),
        ({"a": 0}, [Session("a", 1, 1720.0), Session("a", 1, 1300.0)], [Ask(1, 60, ["a"]), MINE], 1360.0),
        ({"a": 0}, [Session("a", 1, 1720.0), Session("a", 1, 1300.0)], [Ask(1, 9e3, ["a"]), MINE], 1720.0),
        ({"a": 1}, [Session("a", 1, 1720.0)], [Ask(2, 60, ["a"])], 1720.0),
        ({"a": 1, "b": 1}, [Session("a", 1, 1720.0)], [Ask(2, 60, ["a", "b"])], 1720.0),
        ({"a": 1}, [Session("a", 1, 1720.0)], [Ask(2, 60, ["a"]), MINE], NOW),
        ({"a": 0}, [Session("a", 1, 900.0)], [MINE], NOW),
        ({"a": 0}, [Session("a", 1, None)], [MINE], None),
        ({"a": 0, "b": 0}, [Session("b", 1, 1300.0)], [MINE], None),
    ],
    ids=[
        "the only session ends",
        "the earliest session ends",
        "a short one ahead ends first",
        "a long one ahead takes the first",
        "two on one node",
        "two on one node, not one each on two",
        "a large one ahead does not hold up a small one",
        "a session that is overdue",
        "an end that nobody knows",
        "another node does not help",
    ],
)
def test_a_turn_comes_when_sessions_end_and_those_ahead_have_theirs(
    free: dict[str, int], sessions: list[Session], queue: list[Ask], expected: float | None
) -> None:
    assert forecast(free, sessions, queue, NOW) == expected


@given(
    ends=st.lists(st.floats(NOW, 1e6), min_size=1, max_size=6),
    ahead=st.lists(st.floats(60, 1e5), max_size=5),
)
def test_nobody_s_turn_comes_before_that_of_those_ahead_who_ask_for_the_same(
    ends: list[float], ahead: list[float]
) -> None:
    sessions = [Session("a", 1, end) for end in ends]
    queue = [Ask(1, runtime, ["a"]) for runtime in ahead]
    turns = [forecast({"a": 0}, sessions, [*queue[:place], MINE], NOW) for place in range(len(queue) + 1)]
    known = [turn for turn in turns if turn is not None]
    assert len(known) == len(turns)
    assert known == sorted(known)
    assert known[0] == min(ends)


def outlook(minutes: float, ahead: int = 0, others: int = 0) -> Outlook:
    return Outlook(ahead, others, AT + timedelta(minutes=minutes), 60 * minutes)


@pytest.mark.parametrize(
    ("expected", "told"),
    [
        (outlook(12), ("All 8 Small GPUs are taken. Your turn comes in about 12 min, by 14:35 at the latest unless "
         "someone extends.")),
        (outlook(12, ahead=2), ("All 8 Small GPUs are taken; 2 launches are ahead of you. Your turn comes in about "
         "12 min, by 14:35 at the latest unless someone extends.")),
        (outlook(12, ahead=1, others=1), ("All 8 Small GPUs are taken; 1 launch is ahead of you and 1 other pod "
         "waits, too. Your turn comes in about 12 min, by 14:35 unless someone extends.")),
        (outlook(24 * 60), ("All 8 Small GPUs are taken. Your turn comes in about 24 h, by Sunday 14:23 at the latest "
         "unless someone extends.")),
        (Outlook(ahead=3), "All 8 Small GPUs are taken; 3 launches are ahead of you."),
        (Outlook(), "All 8 Small GPUs are taken."),
    ],
)  # fmt: skip
def test_a_member_is_told_who_is_ahead_and_when_their_turn_comes(expected: Outlook, told: str) -> None:
    stock = Stock("Small", "nvidia.com/gpu", nodes=2, usable=2, gpus=1, total=8, most_on_a_node=4, waiting=9)
    assert failures.GPUsTakenError(stock, outlook=expected).reason == told


@pytest.mark.parametrize(
    ("seconds", "told"),
    [(0, "about 1 min"), (61, "about 2 min"), (21 * 60, "about 25 min"), (3 * 3600 + 1, "about 3 h 30 min")],
)
def test_a_time_far_away_is_told_coarsely_so_that_the_sentence_seldom_changes(seconds: float, told: str) -> None:
    assert about(seconds) == told


def test_time_counts_per_stage_over_all_visits_to_it() -> None:
    watch = Stopwatch({Stage.PLACE: 60, Stage.IMAGE: 30})
    watch.enter(Stage.PLACE, 100.0)
    watch.enter(Stage.NODE, 140.0)
    watch.enter(Stage.PLACE, 500.0)
    watch.enter(Stage.IMAGE, 515.0)
    assert (watch.spent(Stage.PLACE), watch.left(Stage.PLACE)) == (55.0, 5.0)
    assert watch.left(Stage.IMAGE) == 30
    assert watch.left(Stage.NODE) == float("inf")


@pytest.mark.parametrize("stage", [*Stage, None])
def test_each_stage_that_takes_too_long_says_so_in_words_of_its_own(stage: Stage | None) -> None:
    error = TooSlowError(stage, 1800, "All 8 Small GPUs are taken.")
    assert "30 min" in error.reason
    assert "the launch is withdrawn. All 8 Small GPUs are taken." in error.reason
    assert error.remedy.endswith(".")
    assert (error.code, error.status) == ("too_slow", 504)


@pytest.mark.parametrize(
    ("message", "size", "seconds"),
    [
        ('Successfully pulled image "nb:1" in 1m2.5s (1m2.5s including waiting). Image size: 4512345678 bytes.',
         4512345678, 62.5),
        ('Successfully pulled image "nb:1" in 350ms (1.2s including waiting)', 0, 0.35),
        ('Successfully pulled image "nb:1" in 2h3m4s', 0, 7384.0),
    ],
)  # fmt: skip
def test_the_kubelet_s_word_on_a_pull_is_understood(message: str, size: int, seconds: float) -> None:
    found = pulled(message)
    assert found is not None
    assert (found.image, found.size, found.seconds) == ("nb:1", size, pytest.approx(seconds))


def test_an_image_that_was_there_already_was_not_pulled() -> None:
    assert pulled('Container image "nb:1" already present on machine') is None


def test_pulls_are_remembered_for_the_next_launch_but_not_without_end() -> None:
    pulls = Pulls()
    for number in range(300):
        message = (
            f'Successfully pulled image "nb:{number}" in 90s (90s including waiting). Image size: 4512345678 bytes.'
        )
        pulls.note([EventRecord("e", "u", "Normal", "Pulled", message, 1, "")])
    assert pulls.of("nb:0") is None
    assert pulls.of("nb:299").told == "4.5 GB, pulled in 1 min 30 s"  # type: ignore[union-attr]
    assert len(pulls._known) == 200
