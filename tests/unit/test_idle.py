"""When a server is idle: DSMLP's rules, hour by hour."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from gpuspawner.config import load_settings
from gpuspawner.errors import ConfigurationError
from gpuspawner.sessions.idle import (
    IdlePolicy,
    IdleState,
    Patience,
    Sample,
    Track,
    Verdict,
    judge_cpu,
    judge_gpu,
    observe,
    patience_for,
)

START = datetime(2026, 11, 23, 9, 0, tzinfo=UTC)
POLICY = IdlePolicy()
MIB = 2**20
NOTHING, WORK = {"gpu_memory": 3 * MIB, "cpu": 0.01}, {"gpu_memory": 9000 * MIB, "cpu": 3.0}


def at(minutes: float) -> datetime:
    return START + timedelta(minutes=minutes)


def samples(*spells: tuple[int, int, dict[str, Any]]) -> list[Sample]:
    """A sample a minute; each spell is from a minute to another (included), and what was used."""
    return [Sample(at(minute), **used) for first, last, used in spells for minute in range(first, last + 1)]


def judged(
    seen: Iterable[Sample],
    minute: float,
    *,
    policy: IdlePolicy = POLICY,
    own: int | None = None,
    shared: bool | None = False,
    quiet: bool | None = False,
    warned: float | None = None,
) -> Verdict:
    patience = patience_for(policy, own, gpus=1)
    assert patience is not None
    return judge_gpu(
        observe(Track(), seen, policy),
        policy,
        patience,
        started=START,
        now=at(minute),
        shared=shared,
        quiet=quiet,
        warned=None if warned is None else at(warned),
    )


def test_a_server_that_never_used_its_gpu_is_warned_after_an_hour_of_quiet_and_ends_half_an_hour_later() -> None:
    assert judged(samples((0, 59, NOTHING)), 59).state == IdleState.ACTIVE
    warned = judged(samples((0, 60, NOTHING)), 60)
    assert (warned.state, warned.since, warned.ends) == (IdleState.WARNED, START, at(90))
    assert judged(samples((0, 89, NOTHING)), 89, warned=60).state == IdleState.WARNED
    due = judged(samples((0, 90, NOTHING)), 90, warned=60)
    assert (due.state, due.ends) == (IdleState.DUE, at(90))


def test_the_words_say_since_when_and_by_what_rule_in_the_hub_s_time() -> None:
    patience = patience_for(POLICY, None, gpus=1)
    assert patience is not None
    now = at(75).astimezone(ZoneInfo("America/Los_Angeles"))
    track = observe(Track(), samples((0, 75, NOTHING)), POLICY)
    verdict = judge_gpu(track, POLICY, patience, started=START, now=now, shared=False, quiet=False, warned=at(60))
    assert verdict.why == (
        "Its GPU was idle from 01:00 on: no more than 150 MiB of GPU memory and 0.1 CPU cores were in use."
    )


def test_work_on_the_gpu_begins_everything_anew() -> None:
    seen = samples((0, 70, NOTHING), (71, 75, {**NOTHING, "gpu_memory": 8000 * MIB}), (76, 200, NOTHING))
    assert judged(seen[:76], 75, warned=60).state == IdleState.ACTIVE
    assert judged(seen[:92], 89).state == IdleState.ACTIVE
    warned = judged(seen[:91], 90)
    assert (warned.state, warned.since, warned.ends) == (IdleState.WARNED, at(75), at(120))


@pytest.mark.parametrize(
    ("worked", "rests"), [(2, 15), (40, 40), (300, 60)], ids=["a short spell", "a longer one", "a very long one"]
)
def test_after_work_the_gpu_may_rest_as_long_as_the_work_took_within_bounds(worked: int, rests: int) -> None:
    policy = IdlePolicy(cpu=None)
    ended = 100 + worked
    seen = samples((0, 99, NOTHING), (100, ended, WORK), (ended + 1, ended + 100, NOTHING))
    verdict = judged(seen, ended + 100, policy=policy)
    assert verdict.since == at(ended)
    assert verdict.ends == at(ended + 100 + 30)  # never without a warning in time
    assert judged(seen[: ended + rests], ended + rests - 1, policy=policy).state == IdleState.ACTIVE
    assert judged(seen[: ended + rests + 1], ended + rests, policy=policy).ends == at(ended + rests + 30)


def test_pauses_within_a_spell_of_work_are_part_of_it() -> None:
    policy = IdlePolicy(cpu=None)
    seen = samples((0, 10, WORK), (11, 22, NOTHING), (23, 40, WORK), (41, 200, NOTHING))
    assert judged(seen[:80], 79, policy=policy).state == IdleState.ACTIVE
    assert judged(seen[:81], 80, policy=policy).ends == at(110)


def test_the_most_cpu_over_the_last_hour_counts() -> None:
    seen = samples((0, 99, NOTHING), (100, 100, {**NOTHING, "cpu": 0.2}), (101, 160, NOTHING))
    assert judged(seen[:-1], 159).state == IdleState.ACTIVE
    assert judged(seen, 160).state == IdleState.WARNED


@pytest.mark.parametrize(("used", "idle"), [(150 * MIB, True), (150 * MIB + 1, False)])
def test_150_mib_are_nothing_and_a_byte_more_is_work(used: int, idle: bool) -> None:
    seen = samples((0, 90, {"gpu_memory": used, "cpu": 0.1}))
    assert (judged(seen, 90).state == IdleState.WARNED) is idle


def test_no_server_ends_in_its_first_45_minutes() -> None:
    policy = IdlePolicy(cpu=None)
    seen = samples((0, 45, NOTHING))
    assert judged(seen[:15], 14, policy=policy).state == IdleState.IDLE
    verdict = judged(seen[:31], 30, policy=policy, warned=15)
    assert (verdict.state, verdict.ends) == (IdleState.WARNED, at(45))
    assert judged(seen, 45, policy=policy, warned=15).state == IdleState.DUE


@pytest.mark.parametrize("quiet", [True, None])
def test_on_a_quiet_cluster_patience_is_six_hours_and_so_where_that_is_not_known(quiet: bool | None) -> None:
    seen = samples((0, 420, NOTHING))
    early = judged(seen[:121], 120, quiet=quiet)
    assert (early.state, early.ends) == (IdleState.IDLE, at(420))
    assert judged(seen[:391], 390, quiet=quiet).state == IdleState.WARNED
    assert judged(seen, 420, quiet=quiet, warned=390).state == IdleState.DUE


def test_when_the_cluster_fills_up_the_member_is_still_warned_half_an_hour_ahead() -> None:
    seen = samples((0, 240, NOTHING))
    assert judged(seen[:181], 180, quiet=True).state == IdleState.IDLE
    warned = judged(seen[:201], 200, quiet=False)
    assert (warned.state, warned.ends) == (IdleState.WARNED, at(230))
    assert judged(seen[:231], 230, quiet=False, warned=200).state == IdleState.DUE
    assert judged(seen[:221], 220, quiet=True, warned=200).state == IdleState.IDLE


@pytest.mark.parametrize("shared", [True, None])
def test_a_gpu_that_others_share_is_never_idle_nor_one_of_which_that_is_not_known(shared: bool | None) -> None:
    verdict = judged(samples((0, 600, NOTHING)), 600, shared=shared, warned=60)
    assert (verdict.state, verdict.since, verdict.ends) == (IdleState.UNKNOWN, None, None)


def test_a_source_that_falls_silent_ends_nothing_and_what_it_said_is_void() -> None:
    seen = samples((0, 85, NOTHING))
    assert judged(seen, 95, warned=60).state == IdleState.DUE
    silent = judged(seen, 96, warned=60)
    assert (silent.state, silent.ends) == (IdleState.UNKNOWN, None)
    assert silent.why == "Nothing was heard of its GPU since 10:25."
    again = [*seen, *samples((130, 189, NOTHING))]
    assert judged(again, 189).state == IdleState.ACTIVE
    assert judged([*again, *samples((190, 190, NOTHING))], 190).state == IdleState.WARNED


@pytest.mark.parametrize("missing", ["gpu_memory", "cpu"])
def test_what_a_source_does_not_tell_is_unknown_and_not_nothing(missing: str) -> None:
    seen = samples((0, 600, {**NOTHING, missing: None}))
    assert judged(seen, 600, warned=60).state == IdleState.UNKNOWN


def test_a_gpu_of_which_nothing_was_ever_heard_is_not_idle() -> None:
    assert judged([], 600).state == IdleState.UNKNOWN


def test_where_the_cpu_does_not_count_it_need_not_be_known() -> None:
    seen = samples((0, 100, {"gpu_memory": 0}))
    assert judged(seen, 100, policy=IdlePolicy(cpu=None)).state == IdleState.WARNED


def test_two_sources_add_up_and_what_one_of_them_sees_counts() -> None:
    gpu = samples((0, 100, {"gpu_memory": 0}))
    cpu = samples((0, 100, {"cpu": 0.0}))
    track = observe(observe(Track(), gpu, POLICY), cpu, POLICY)
    assert track.gpu
    assert track.cpu
    busy = observe(track, samples((90, 90, WORK)), POLICY)
    assert busy.gpu
    assert busy.gpu.work
    assert busy.gpu.work.ended == at(90)


def test_a_hub_that_restarts_and_is_told_the_past_knows_what_it_knew() -> None:
    seen = samples((0, 10, WORK), (11, 100, NOTHING))
    restarted = observe(Track(), seen[-1:], POLICY)
    assert observe(restarted, seen, POLICY) == observe(Track(), seen, POLICY)


used = st.sampled_from([None, 0, 151 * MIB])
minutes = st.lists(st.integers(0, 400), min_size=1, max_size=60)


@given(minutes, st.data())
def test_samples_that_come_late_or_twice_never_make_a_server_idle_sooner(when: list[int], data: st.DataObject) -> None:
    seen = [Sample(at(minute), data.draw(used), 0.0) for minute in sorted(when)]
    shuffled = data.draw(st.permutations(seen))
    orderly, late = observe(Track(), seen, POLICY), Track()
    for sample in [*shuffled, *shuffled[:5]]:
        late = observe(late, [sample], POLICY)
    if orderly.gpu is None:
        assert late.gpu is None
        return
    assert late.gpu is not None
    assert late.gpu.known.began >= orderly.gpu.known.began
    assert late.gpu.known.ended == orderly.gpu.known.ended
    assert (late.gpu.work and late.gpu.work.ended) == (orderly.gpu.work and orderly.gpu.work.ended)


@given(minutes, st.data(), st.integers(0, 500), st.booleans())
def test_nobody_ends_without_a_warning_in_time_nor_soon_after_work(
    when: list[int], data: st.DataObject, minute: int, quiet: bool
) -> None:
    seen = [Sample(at(one), data.draw(used), 0.0) for one in sorted(when) if one <= minute]
    warned = data.draw(st.none() | st.integers(0, minute))
    verdict = judged(seen, minute, quiet=quiet, warned=warned)
    if verdict.state == IdleState.DUE:
        assert warned is not None
        assert minute - warned >= 30
        assert minute >= 45
        assert not any(sample.gpu_memory for sample in seen if sample.at > at(minute - 45))
        known = [sample for sample in seen if sample.gpu_memory is not None]
        assert at(minute) - known[-1].at <= timedelta(seconds=POLICY.silence)
    if verdict.ends is not None:
        assert verdict.since is not None
        assert verdict.ends - verdict.since >= timedelta(minutes=30)


HOUR = Patience(3600, 3600, 1800)


def cpu_judged(active: float, minute: float, seen: Iterable[Sample] = (), warned: float | None = None) -> Verdict:
    track = observe(Track(), seen, POLICY)
    told = None if warned is None else at(warned)
    return judge_cpu(track, POLICY, HOUR, active=at(active), listening=START, now=at(minute), warned=told)


def test_a_server_without_gpu_goes_by_its_activity_in_jupyterhub() -> None:
    assert cpu_judged(20, 20).state == IdleState.ACTIVE
    assert cpu_judged(20, 40).state == IdleState.IDLE
    warned = cpu_judged(20, 50)
    assert (warned.state, warned.since, warned.ends) == (IdleState.WARNED, at(20), at(80))
    assert warned.why == "It was not used from 09:20 on."
    assert cpu_judged(20, 80, warned=50).state == IdleState.DUE
    assert cpu_judged(70, 80, warned=50).state == IdleState.IDLE


def test_a_computation_that_prints_nothing_is_activity_where_the_cpu_is_known() -> None:
    assert cpu_judged(20, 80, samples((0, 79, {"cpu": 0.9})), warned=50).state != IdleState.DUE
    assert cpu_judged(20, 80, samples((0, 79, {"cpu": 0.05})), warned=50).state == IdleState.DUE


def test_a_hub_that_has_just_started_has_not_heard_of_activity_yet() -> None:
    verdict = judge_cpu(Track(), POLICY, HOUR, active=START, listening=at(295), now=at(300), warned=at(200))
    assert verdict.state == IdleState.UNKNOWN


def test_patience_comes_from_the_profile_else_from_the_hub() -> None:
    assert patience_for(None, None, gpus=1) is None
    assert patience_for(POLICY, 0, gpus=1) is None
    assert patience_for(POLICY, None, gpus=1) == Patience(1800, 21600, 1800)
    assert patience_for(POLICY, 600, gpus=1) == Patience(600, 21600, 600)
    assert patience_for(IdlePolicy(after_when_quiet=None), None, gpus=1) == Patience(1800, 1800, 1800)
    assert patience_for(POLICY, None, gpus=0) is None
    assert patience_for(IdlePolicy(cpu_servers=7200), None, gpus=0) == Patience(7200, 7200, 1800)
    assert patience_for(None, 900, gpus=0) == Patience(900, 900, 900)


def test_the_configuration_is_read_and_its_mistakes_are_told() -> None:
    settings = load_settings(
        {
            "idle": {"gpu_memory": "200Mi", "grace": {"min": "5m"}, "prometheus": {"url": "http://prom:9090/"}},
            "profiles": {"a": {"image": "x", "idle": "2h"}, "b": {"image": "x", "idle": "never"}},
        }
    )
    assert settings.idle is not None
    assert settings.idle.gpu_memory == 200 * MIB
    assert settings.idle.prometheus is not None
    assert settings.idle.prometheus.url == "http://prom:9090"
    assert (settings.catalog.profiles["a"].idle, settings.catalog.profiles["b"].idle) == (7200, 0)
    assert load_settings({}).idle is None
    assert load_settings({"idle": {}}).idle == IdlePolicy()


@pytest.mark.parametrize(
    ("idle", "said"),
    [
        ({"gpu_memroy": 1}, "idle.gpu_memroy: unknown key; did you mean 'gpu_memory'?"),
        ({"after": "soon"}, "idle.after: found 'soon', allowed: a duration such as 30m"),
        ({"quiet_below": 0}, "idle.quiet_below: found 0, allowed: "),
        ({"grace": {"min": "2h"}}, "min and max in ascending order"),
        ({"every": "10m"}, "silence of at least twice every"),
        ({"prometheus": {"url": "prom:9090"}}, "allowed: a URL such as http://prometheus.monitoring:9090"),
    ],
)
def test_a_mistake_in_the_policy_is_told(idle: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigurationError) as error:
        load_settings({"idle": idle})
    assert said in error.value.problems[0]


def test_a_profile_s_idle_time_is_a_duration_or_never() -> None:
    with pytest.raises(ConfigurationError) as error:
        load_settings({"profiles": {"a": {"image": "x", "idle": "nevr"}}})
    assert 'allowed: a duration such as 30m, 6h or 1h30m, or "never"' in error.value.problems[0]


def test_a_policy_never_changes() -> None:
    with pytest.raises(ValidationError):
        POLICY.after = 5  # type: ignore[misc]
