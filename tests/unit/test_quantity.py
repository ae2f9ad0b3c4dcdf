"""Quantities and durations as kube-apiserver reads them."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpuspawner.quantity import (
    format_bytes,
    format_cores,
    format_duration,
    parse_duration,
    parse_quantity,
    say_cores,
    say_gpus,
    say_memory,
    say_servers,
)

# After k8s.io/apimachinery/pkg/api/resource/quantity_test.go.
ACCEPTED = {
    "0": "0",
    "0n": "0",
    "00": "0",
    "-0": "0",
    "1n": "1e-9",
    "10u": "1e-5",
    "5m": "0.005",
    "500m": "0.5",
    "0.5": "0.5",
    ".5": "0.5",
    ".001": "0.001",
    ".0001k": "0.1",
    "1.": "1",
    "1.G": "1e9",
    "+1": "1",
    "-2": "-2",
    "100": "100",
    "1k": "1000",
    "12M": "12e6",
    "8G": "8e9",
    "1.01E": "1.01e18",
    "12E": "12e18",
    "1e3": "1000",
    "1E3": "1000",
    "1e+3": "1000",
    "5E-3": "0.005",
    "0.5e-9": "1e-9",
    "1Ki": "1024",
    "8Ki": "8192",
    "0.5Mi": "524288",
    "100.035Ki": "102435.84",
    "40Gi": "42949672960",
    "0.025Ti": "27487790694.4",
    "7Ei": "8070450532247928832",
    "9Ei": "9223372036854775807",
    "9223372036854775807Ki": "9223372036854775807",
    "-9Ei": "-9223372036854775807",
    "3.001n": "4e-9",
    "1.1E-9": "2e-9",
    "0.0000000001": "1e-9",
    "-0.0000000001": "-1e-9",
    "0.00000012345": "1.24e-7",
    "0.000000000001Ki": "2e-9",
    "1e999": "1e999",
}
REFUSED = [
    "1.1.M", "1+1.0M", "0.1mi", "0.1am", "aoeu", ".5i", "1i", "-3.01i", "-3.01e-", " 1", "1 ", "1\n", "",
    "1K", "1ki", "1KI", "1KiB", "1GB", "8 G", "1g", "1Zi", "1e", "1e+", "1e1.5", "1e3k", "1e+-3", "++1", "1,5", "1_000",
    "0x10", "１", "٣", "Inf", "NaN", "Infinity", "1µ", "1e9999", "9" * 101, ".", "+", "Ki", "1\x00",
]  # fmt: skip


@pytest.mark.parametrize(("text", "number"), ACCEPTED.items())
def test_a_quantity_is_the_number_kubernetes_takes_it_for(text: str, number: str) -> None:
    assert parse_quantity(text) == Decimal(number)


@pytest.mark.parametrize("text", REFUSED)
def test_what_is_no_quantity_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not a quantity"):
        parse_quantity(text)


@pytest.mark.parametrize("value", [True, False, float("nan"), float("inf"), float("-inf")])
def test_a_value_that_is_no_finite_number_is_no_quantity(value: float) -> None:
    with pytest.raises(ValueError, match="is not a quantity"):
        parse_quantity(value)


@given(st.integers(0, 10**12), st.sampled_from(["", "k", "M", "G", "Ki", "Mi", "m", "u", "n"]))
def test_a_whole_number_with_a_suffix_is_that_many_times_the_suffix(count: int, suffix: str) -> None:
    assert parse_quantity(f"{count}{suffix}") == count * parse_quantity(f"1{suffix}")


@given(st.decimals(allow_nan=False, allow_infinity=False, places=9, min_value=-(10**15), max_value=10**15))
def test_a_decimal_number_with_nine_places_is_read_exactly(number: Decimal) -> None:
    assert parse_quantity(f"{number:f}") == number
    assert parse_quantity(number) == number


@given(st.text(max_size=20))
def test_any_text_is_a_quantity_or_a_value_error(text: str) -> None:
    try:
        number = parse_quantity(text)
    except ValueError:
        return
    assert number.is_finite()
    assert text.isascii()


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("6h", 21600),
        ("1h30m", 5400),
        ("45m", 2700),
        ("20s", 20),
        ("2d", 172800),
        ("1d2h3m4s", 93784),
        ("90", 90),
        ("0h1s", 1),
        (90, 90),
        (90.7, 90),
    ],
)
def test_a_duration_is_a_number_of_seconds(text: str | float, seconds: int) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(
    "value",
    [
        "",
        "h",
        "6 h",
        " 6h",
        "6H",
        "1m1h",
        "1.5h",
        "-1h",
        "+1h",
        "6h6h",
        "1e3",
        "0",
        "0s",
        "0h",
        "６h",
        "9" * 41 + "h",
        True,
        0,
        -5,
        0.5,
        float("nan"),
        float("inf"),
    ],
)
def test_what_is_no_duration_of_a_second_or_more_is_refused(value: str | float) -> None:
    with pytest.raises(ValueError, match="is not a duration"):
        parse_duration(value)


@given(st.integers(1, 10**9))
def test_a_duration_written_in_parts_reads_back(seconds: int) -> None:
    minutes, rest = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    assert parse_duration(f"{hours}h{minutes}m{rest}s") == seconds == parse_duration(str(seconds))


@pytest.mark.parametrize(
    ("count", "words"),
    [
        (0, "0 bytes"),
        (1, "1 byte"),
        (999, "999 bytes"),
        (1000, "1 KB"),
        (1024, "1 KiB"),
        (8 * 10**9, "8 GB"),
        (40 * 2**30, "40 GiB"),
        (1536 * 2**20, "1536 MiB"),
        (1_500_000_001, "1.5 GB"),
        (2_000_001, "2 MB"),
        (2 * 10**12, "2 TB"),
        (900 * 10**9, "900 GB"),
    ],
)
def test_bytes_are_told_in_the_unit_they_were_written_in(count: int, words: str) -> None:
    assert format_bytes(count) == words


@given(st.integers(1, 5000), st.sampled_from(["k", "M", "G", "T", "Ki", "Mi", "Gi", "Ti"]))
def test_bytes_in_words_are_the_same_bytes(count: int, suffix: str) -> None:
    total = int(parse_quantity(f"{count}{suffix}"))
    digits, unit = format_bytes(total).split()
    assert parse_quantity(digits + unit.removesuffix("B").replace("K", "k" if unit == "KB" else "K")) == total


@pytest.mark.parametrize(("cores", "words"), [(2, "2"), (0.5, "0.5"), (0.25, "0.25"), (10.0, "10"), (0, "0")])
def test_cores_have_no_needless_fraction(cores: float, words: str) -> None:
    assert format_cores(cores) == words


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(21600, "6 h"), (5400, "1 h 30 min"), (2700, "45 min"), (20, "20 s"), (3605, "1 h 5 s"), (90061, "25 h 1 min")],
)
def test_a_duration_is_told_in_two_parts_at_most(seconds: int, words: str) -> None:
    assert format_duration(seconds) == words


def test_one_is_singular_and_every_other_amount_plural() -> None:
    assert [say_gpus(1), say_gpus(0), say_gpus(2)] == ["1 GPU", "0 GPUs", "2 GPUs"]
    assert [say_servers(1), say_servers(2)] == ["1 server", "2 servers"]
    assert [say_cores(1), say_cores(0.5), say_cores(8)] == ["1 CPU core", "0.5 CPU cores", "8 CPU cores"]
    assert say_memory(64 * 10**9) == "64 GB of memory"
