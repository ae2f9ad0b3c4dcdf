"""What is counted of launches and sessions for Prometheus."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from recorded import NOON, session

from gpuspawner.cluster.events import Phase, Progress, Step
from gpuspawner.errors import BadRequestError, DeniedError, LaunchError, ServerFailedError
from gpuspawner.metrics.counts import Counts, phases_of
from gpuspawner.metrics.families import FAMILIES, Kind

BEGAN = datetime(2026, 11, 21, 12, tzinfo=UTC)


def after(seconds: float) -> datetime:
    return BEGAN + timedelta(seconds=seconds)


def told(*steps: tuple[float, Phase]) -> list[Progress]:
    return [Progress(phase, f"{phase} {at}", 0, at=after(at)) for at, phase in steps]


WAITED = told((1, Phase.ACCEPTED), (2, Phase.WAITING), (50, Phase.WAITING), (62, Phase.PULLING), (82, Phase.STARTING))


def text(counts: Counts) -> str:
    registry = CollectorRegistry(auto_describe=False)
    registry.register(counts)  # type: ignore[arg-type]
    return generate_latest(registry).decode()


def value(counts: Counts, series: str) -> float | None:
    found = [line for line in text(counts).splitlines() if line.startswith(series + " ")]
    return float(found[0].rpartition(" ")[2]) if found else None


def test_each_phase_lasts_from_its_first_sentence_to_the_next_phase() -> None:
    spent = phases_of(WAITED, BEGAN, after(85))
    assert spent == {Step.ACCEPTED: 2, Step.PLACE: 60, Step.IMAGE: 20, Step.STARTING: 3}


def test_a_launch_that_goes_back_to_waiting_has_waited_twice() -> None:
    spent = phases_of(
        told((0, Phase.WAITING), (10, Phase.PULLING), (15, Phase.WAITING), (35, Phase.READY)), BEGAN, after(36)
    )
    assert spent == {Step.PLACE: 30, Step.IMAGE: 5}


def test_a_clock_that_is_set_back_spends_no_negative_time() -> None:
    assert phases_of(told((10, Phase.WAITING), (5, Phase.PULLING)), BEGAN, after(0)) == {Step.PLACE: 5, Step.IMAGE: 0}


def test_a_launch_that_starts_has_waited_and_then_started() -> None:
    counts = Counts()
    counts.launched("small", WAITED, BEGAN, after(85))
    assert value(counts, 'gpuspawner_launches_total{outcome="started",reason=""}') == 1
    assert value(counts, 'gpuspawner_launch_wait_seconds_sum{gpu_class="small"}') == 60
    assert value(counts, 'gpuspawner_launch_start_seconds_sum{gpu_class="small"}') == 25
    assert value(counts, 'gpuspawner_launch_phase_seconds_sum{phase="image"}') == 20
    counts.launched(None, [], BEGAN, after(3))
    assert value(counts, 'gpuspawner_launch_start_seconds_sum{gpu_class="none"}') == 3


@pytest.mark.parametrize(
    ("error", "outcome", "reason"),
    [
        (DeniedError("no"), "refused", "denied"),
        (BadRequestError("no"), "refused", "bad_request"),
        (ServerFailedError("no"), "failed", "server_failed"),
        (LaunchError("no"), "failed", "launch_failed"),
        (asyncio.CancelledError(), "cancelled", ""),
        (ValueError("somebody's name"), "failed", "internal"),
    ],
)
def test_a_launch_that_does_not_start_counts_by_its_outcome_and_reason(
    error: BaseException, outcome: str, reason: str
) -> None:
    counts = Counts()
    counts.not_launched(error, [], BEGAN)
    assert value(counts, f'gpuspawner_launches_total{{outcome="{outcome}",reason="{reason}"}}') == 1


def test_the_phase_in_which_a_launch_ended_does_not_count() -> None:
    counts = Counts()
    counts.not_launched(DeniedError("no"), WAITED, BEGAN)
    assert value(counts, 'gpuspawner_launch_phase_seconds_count{phase="image"}') == 1
    assert value(counts, 'gpuspawner_launch_phase_seconds_count{phase="starting"}') is None


def test_charges_count_in_service_units_by_workspace_and_class() -> None:
    counts = Counts()
    counts.settled(session(opened=NOON), "small", 1_500_000, "stopped")
    counts.settled(session(opened=NOON), None, 0, "stopped")
    charged = 'gpuspawner_service_units_charged_total{gpu_class="small",workspace="cse151a"}'
    assert value(counts, charged) == 1.5
    assert value(counts, 'gpuspawner_sessions_ended_total{cause="stopped"}') == 2
    assert 'gpu_class="none"' not in text(counts)


def test_every_metric_has_a_name_of_the_convention_and_says_what_it_is() -> None:
    assert len({one.name for one in FAMILIES}) == len(FAMILIES)
    for one in FAMILIES:
        assert one.name.startswith("gpuspawner_")
        assert one.name.endswith("_total") is (one.kind is Kind.COUNTER)
        assert one.help.endswith(".")
        assert not {"user", "server", "pod", "node"} & set(one.labels), "who and where are for the ledger"
