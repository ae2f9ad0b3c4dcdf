"""What a launch costs: by class, number and time, off-peak, and over both changes of the clocks."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_hub import section

from gpuspawner.budgets.pricing import MICRO, OffPeakHours, Price, micro_of, price_of, say_units
from gpuspawner.config import load_settings
from gpuspawner.errors import ConfigurationError

LA = ZoneInfo("America/Los_Angeles")
NIGHT = OffPeakHours(60, 16 * 60, MICRO // 2, "America/Los_Angeles")
RATES = {"small": MICRO // 4, "large": 2 * MICRO}
PRICE = Price(RATES, MICRO // 100, NIGHT)
ZONES = ("America/Los_Angeles", "Europe/London", "Australia/Lord_Howe", "Africa/Casablanca", "America/Havana", "UTC")


def local(text: str, fold: int = 0) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=LA, fold=fold)


times = st.integers(1_577_836_800, 2_051_222_400).map(lambda second: datetime.fromtimestamp(second, UTC))
seconds = st.integers(0, 40 * 3600)
hours = st.builds(
    OffPeakHours, st.integers(0, 1439), st.integers(0, 1439), st.integers(0, 2 * MICRO), st.sampled_from(ZONES)
)
prices = st.builds(
    Price,
    st.dictionaries(st.sampled_from(["small", "large"]), st.integers(0, 10 * MICRO)),
    st.integers(0, MICRO),
    st.none() | hours,
)
launches = st.tuples(st.sampled_from(["small", "large", None]), st.integers(0, 8), st.floats(0.1, 64))


@pytest.mark.parametrize(
    ("micro", "down", "up"),
    [
        (0, "0 SU", "0 SU"),
        (2_500_000, "2.5 SU", "2.5 SU"),
        (MICRO, "1 SU", "1 SU"),
        (10 * MICRO, "10 SU", "10 SU"),
        (1, "0 SU", "0.01 SU"),
        (3_004_166, "3 SU", "3.01 SU"),
        (2_000 * MICRO, "2,000 SU", "2,000 SU"),
    ],
)
def test_units_read_as_hundredths_at_most(micro: int, down: str, up: str) -> None:
    assert (say_units(micro), say_units(micro, up=True)) == (down, up)


@given(st.integers(0, 10**12), st.integers(0, 10**12))
def test_what_costs_more_than_is_left_also_reads_as_more(cost: int, left: int) -> None:
    if cost > left:
        assert say_units(cost, up=True) != say_units(left)


def test_a_gpu_costs_its_rate_for_each_hour() -> None:
    price = Price(RATES)
    start = datetime(2026, 11, 23, 9, tzinfo=UTC)
    assert price.cost("small", 1, 2, start, start + timedelta(hours=6)) == micro_of(1.5)
    assert price.cost("large", 3, 2, start, start + timedelta(minutes=30)) == micro_of(3)
    assert price.cost("small", 1, 2, start, start + timedelta(seconds=36)) == micro_of(0.0025)


def test_a_server_without_gpu_is_free_unless_cores_have_a_rate() -> None:
    start = datetime(2026, 11, 23, 9, tzinfo=UTC)
    day = start + timedelta(days=1)
    assert Price(RATES).cost(None, 0, 16, start, day) == 0
    assert Price(RATES, cpu_rate=micro_of(0.01)).cost(None, 0, 2.5, start, day) == micro_of(0.6)


def test_the_cores_of_a_server_with_gpu_cost_nothing() -> None:
    start = datetime(2026, 11, 23, 9, tzinfo=UTC)
    assert Price(RATES, MICRO).cost("small", 1, 64, start, start + timedelta(hours=4)) == MICRO


def test_off_peak_hours_cost_their_part_of_the_price() -> None:
    assert PRICE.cost("large", 1, 1, local("2026-11-23T14:00"), local("2026-11-23T18:00")) == micro_of(2 * 1 + 2 * 2)
    assert PRICE.cost("large", 1, 1, local("2026-11-23T22:00"), local("2026-11-24T02:00")) == micro_of(3 * 2 + 1)


def test_off_peak_hours_may_go_past_midnight() -> None:
    night = OffPeakHours(22 * 60, 6 * 60, MICRO // 2, "Europe/London")
    begins = datetime(2026, 7, 1, 20, tzinfo=ZoneInfo("Europe/London"))
    found = night.seconds(int(begins.timestamp()), int(begins.timestamp()) + 24 * 3600)
    assert found == 8 * 3600


def test_an_hour_that_autumn_repeats_is_paid_twice() -> None:
    start, end = local("2026-11-01T00:00"), local("2026-11-01T02:00")
    assert Price(RATES).cost("large", 1, 1, start, end) == micro_of(3 * 2)
    # Both passes of 01:00 to 02:00 are off-peak.
    assert PRICE.cost("large", 1, 1, start, end) == micro_of(2 + 1 + 1)
    assert PRICE.cost("large", 1, 1, local("2026-11-01T01:30", fold=1), end) == micro_of(0.5)


def test_an_hour_that_spring_leaves_out_is_not_paid() -> None:
    start, end = local("2026-03-08T00:00"), local("2026-03-08T04:00")
    assert Price(RATES).cost("large", 1, 1, start, end) == micro_of(3 * 2)
    assert PRICE.cost("large", 1, 1, start, end) == micro_of(2 + 1 + 1)


def test_off_peak_hours_that_begin_in_the_hour_left_out_begin_after_it() -> None:
    hours = OffPeakHours(2 * 60 + 30, 16 * 60, 0, "America/Los_Angeles")
    start, end = local("2026-03-08T01:00"), local("2026-03-08T03:30")
    assert hours.seconds(int(start.timestamp()), int(end.timestamp())) == 1800


@pytest.mark.parametrize(("day", "length"), [("2026-03-08", 14), ("2026-11-01", 16), ("2026-06-01", 15)])
def test_off_peak_lasts_as_the_wall_clock_shows_it(day: str, length: int) -> None:
    start = local(f"{day}T00:00")
    end = local(f"{day}T23:59:59") + timedelta(seconds=1)
    assert NIGHT.seconds(int(start.timestamp()), int(end.timestamp())) == length * 3600


@given(hours, times, st.integers(0, 20_000))
def test_off_peak_seconds_are_those_that_the_wall_clock_shows(
    hours: OffPeakHours, start: datetime, length: int
) -> None:
    """Against the definition, minute by minute."""
    begin = int(start.timestamp()) // 60 * 60
    zone, found = ZoneInfo(hours.timezone), 0
    for minute in range(length // 60):
        shown = datetime.fromtimestamp(begin + minute * 60, zone)
        now = shown.hour * 60 + shown.minute
        if hours.begins <= hours.ends:
            found += hours.begins <= now < hours.ends
        else:
            found += now >= hours.begins or now < hours.ends
    assert hours.seconds(begin, begin + length // 60 * 60) == found * 60


@given(hours, times, st.integers(1, 20 * 86400))
def test_between_two_changes_it_is_off_peak_all_the_time_or_never(
    hours: OffPeakHours, start: datetime, length: int
) -> None:
    begin = int(start.timestamp())
    changes = list(hours.changes(begin, begin + length))
    assert changes[0][0] == begin
    for (at, inside), (until, other) in pairwise([*changes, (begin + length, not changes[-1][1])]):
        assert inside is not other
        assert hours.seconds(at, until) == (until - at if inside else 0)


@given(prices, launches, times, seconds, seconds)
def test_two_parts_of_a_time_cost_as_much_as_the_whole(
    price: Price, launch: tuple[str | None, int, float], start: datetime, first: int, second: int
) -> None:
    middle, end = start + timedelta(seconds=first), start + timedelta(seconds=first + second)
    parts = price.cost(*launch, start, middle) + price.cost(*launch, middle, end)
    assert 0 <= price.cost(*launch, start, end) - parts <= 1


@given(prices, st.integers(0, 8), st.floats(0.1, 64), times, seconds, seconds)
def test_no_class_costs_more_than_the_ceiling_however_early_it_ends(
    price: Price, gpus: int, cpu: float, start: datetime, runtime: int, used: int
) -> None:
    ceiling = price.ceiling(list(price.rates), gpus, cpu, start, runtime)
    for gpu_class in (*price.rates, None):
        end = start + timedelta(seconds=min(used, runtime))
        assert 0 <= price.cost(gpu_class, gpus, cpu, start, end) <= ceiling


@given(prices, launches, times, times, st.integers(0, 100 * MICRO))
def test_nobody_is_charged_more_than_was_approved(
    price: Price, launch: tuple[str | None, int, float], started: datetime, ended: datetime, held: int
) -> None:
    assert 0 <= price.charge(*launch, started, ended, held) <= held


@given(prices, st.integers(0, 4), times, st.integers(60, 12 * 3600), st.integers(0, 50 * MICRO))
def test_the_runtime_that_fits_is_the_longest_one(
    price: Price, gpus: int, start: datetime, most: int, micro: int
) -> None:
    classes = list(price.rates)
    fits = price.lasts(classes, gpus, 2, start, most, micro)
    assert price.ceiling(classes, gpus, 2, start, fits) <= micro
    assert fits == most or price.ceiling(classes, gpus, 2, start, fits + 1) > micro


@given(prices)
def test_a_price_survives_being_written_down(price: Price) -> None:
    assert Price.from_json(price.to_json()) == price


def test_a_clock_that_jumps_back_costs_nothing() -> None:
    start = datetime(2026, 11, 23, 9, tzinfo=UTC)
    assert PRICE.cost("large", 1, 1, start, start - timedelta(hours=1)) == 0


def test_a_class_that_nobody_can_tell_counts_as_the_cheapest_of_those_approved() -> None:
    start = datetime(2026, 11, 23, 9, tzinfo=UTC)
    assert Price(RATES).cost(None, 1, 1, start, start + timedelta(hours=4)) == MICRO


def test_the_tariff_of_a_launch_is_what_the_configuration_says() -> None:
    hub = section(off_peak={"hours": "01:00-16:00", "rate": 0.5}, cpu_rate=0.02)
    hub["gpu_classes"]["small"]["rate"] = 0.25
    price = price_of(load_settings(hub), ["small", "medium"])
    assert price == Price({"small": MICRO // 4, "medium": MICRO}, micro_of(0.02), NIGHT)


@pytest.mark.parametrize(
    ("changes", "mistake"),
    [
        ({"cpu_rate": -1}, "c.GPUSpawner.cpu_rate: found -1, allowed: 0 or more"),
        (
            {"off_peak": {"hours": "01:00-01:00", "rate": 0.5}},
            "c.GPUSpawner.off_peak.hours: found '01:00-01:00', allowed: hours that begin and end at different times",
        ),
    ],
)
def test_a_mistake_in_the_rates_is_told(changes: dict[str, object], mistake: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        load_settings(section(**changes))
    assert mistake in caught.value.problems
