"""Kubernetes quantities ("500m", "8G", "40Gi") and durations ("6h", "1h30m") to numbers, and back to words."""

import re
from decimal import ROUND_UP, Context, Decimal

__all__ = [
    "MICRO",
    "format_bytes",
    "format_cores",
    "format_duration",
    "micro_of",
    "parse_duration",
    "parse_quantity",
    "say_cores",
    "say_count",
    "say_gpus",
    "say_memory",
    "say_servers",
    "say_units",
]

MICRO = 1_000_000
"""Micro-units in a service unit (SU). All money is a whole number of micro-units."""

# https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/quantity/
_SUFFIXES: dict[str, Decimal] = {
    "n": Decimal("1e-9"),
    "u": Decimal("1e-6"),
    "m": Decimal("1e-3"),
    "": Decimal(1),
    "k": Decimal(10**3),
    "M": Decimal(10**6),
    "G": Decimal(10**9),
    "T": Decimal(10**12),
    "P": Decimal(10**15),
    "E": Decimal(10**18),
    "Ki": Decimal(2**10),
    "Mi": Decimal(2**20),
    "Gi": Decimal(2**30),
    "Ti": Decimal(2**40),
    "Pi": Decimal(2**50),
    "Ei": Decimal(2**60),
}
_QUANTITY = re.compile(
    r"([+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+))(?:[eE]([+-]?[0-9]{1,3})|([KMGTPE]i|[numkMGTPE]?))", re.ASCII
)
_DURATION = re.compile(r"(?:([0-9]+)d)?(?:([0-9]+)h)?(?:([0-9]+)m)?(?:([0-9]+)s)?", re.ASCII)
_EXACT = Context(prec=1200)
_SMALLEST = Decimal("1e-9")
_LARGEST_BINARY = Decimal(2**63 - 1)


def parse_quantity(value: str | int | float | Decimal) -> Decimal:
    """The number a Kubernetes quantity stands for: ``"500m"`` is 0.5, ``"8G"`` 8e9, ``"40Gi"`` 40 * 2**30.

    As in kube-apiserver, fractions below 1e-9 are rounded up and binary quantities end at 2**63 - 1. Raises
    ``ValueError`` for anything that kube-apiserver would refuse, and for what it takes although nobody means it: no
    digits at all, more than 100 characters, exponents of more than three digits.

    Source: k8s.io/apimachinery/pkg/api/resource/quantity.go
    """
    if isinstance(value, bool):
        raise ValueError(f"{value!r} is not a quantity")
    if isinstance(value, int | float | Decimal):
        number = Decimal(str(value))
        if not number.is_finite():
            raise ValueError(f"{value!r} is not a quantity")
        return number
    match = _QUANTITY.fullmatch(value) if len(value) <= 100 else None
    if match is None:
        raise ValueError(f"{value[:100]!r} is not a quantity such as 500m, 2, 8G or 40Gi")
    digits, exponent, suffix = match.groups()
    scale = _SUFFIXES[suffix] if exponent is None else Decimal(10) ** int(exponent)
    number = _EXACT.multiply(Decimal(digits), scale)
    if _EXACT.remainder(number, _SMALLEST):
        number = number.quantize(_SMALLEST, ROUND_UP, _EXACT)
    if suffix and suffix.endswith("i"):
        return max(-_LARGEST_BINARY, min(_LARGEST_BINARY, number))
    return number


def parse_duration(value: str | int | float) -> int:
    """Seconds in a duration such as ``"6h"``, ``"1h30m"``, ``"45m"``, ``"2d"`` or a plain number of seconds.

    Raises ``ValueError`` for anything else, and for durations below one second.
    """
    if isinstance(value, bool):
        raise ValueError(f"{value!r} is not a duration")
    if isinstance(value, int | float):
        seconds = int(value) if value == value and abs(value) < 1e12 else 0
    elif re.fullmatch(r"[0-9]{1,12}", value, re.ASCII):
        seconds = int(value)
    else:
        match = _DURATION.fullmatch(value)
        if match is None or not any(match.groups()) or len(value) > 40:
            raise ValueError(f"{value!r} is not a duration such as 30m, 6h or 1h30m")
        days, hours, minutes, rest = (int(group or 0) for group in match.groups())
        seconds = ((days * 24 + hours) * 60 + minutes) * 60 + rest
    if seconds < 1:
        raise ValueError(f"{value!r} is not a duration of at least one second")
    return seconds


def format_bytes(count: int) -> str:
    """A number of bytes in the shorter of decimal and binary units: ``"8 GB"``, ``"40 GiB"``, ``"1.5 GB"``."""
    for names, base in ((("TB", "GB", "MB", "KB"), 1000), (("TiB", "GiB", "MiB", "KiB"), 1024)):
        for power, name in zip((4, 3, 2, 1), names, strict=True):
            unit = base**power
            if count >= unit and count % unit == 0:
                return f"{count // unit} {name}"
    for unit, name in ((10**9, "GB"), (10**6, "MB")):
        if count >= unit:
            return f"{count / unit:.1f}".removesuffix(".0") + f" {name}"
    return f"{count} byte{'' if count == 1 else 's'}"


def format_cores(cores: float) -> str:
    """A number of CPU cores without a needless fraction: ``"2"``, ``"0.5"``."""
    return f"{cores:.3f}".rstrip("0").rstrip(".")


def format_duration(seconds: int) -> str:
    """A duration in the words of the form: ``"6 h"``, ``"1 h 30 min"``, ``"45 min"``, ``"20 s"``."""
    hours, rest = divmod(seconds, 3600)
    minutes, second = divmod(rest, 60)
    parts = [f"{value} {unit}" for value, unit in ((hours, "h"), (minutes, "min"), (second, "s")) if value]
    return " ".join(parts[:2]) or "0 s"


def say_count(number: int, one: str, many: str = "") -> str:
    """``"1 mistake"``, ``"2 mistakes"``, ``"2 launches"``."""
    return f"{number} {one if number == 1 else many or one + 's'}"


def say_gpus(count: int | float) -> str:
    """``"1 GPU"``, ``"2 GPUs"``."""
    return f"{format_cores(count)} GPU{'' if count == 1 else 's'}"


def say_cores(cores: float) -> str:
    """``"1 CPU core"``, ``"0.5 CPU cores"``."""
    return f"{format_cores(cores)} CPU core{'' if cores == 1 else 's'}"


def say_memory(count: int | float) -> str:
    """``"8 GB of memory"``, from bytes."""
    return f"{format_bytes(int(count))} of memory"


def say_servers(count: int | float) -> str:
    """``"1 server"``, ``"2 servers"``."""
    return f"{format_cores(count)} server{'' if count == 1 else 's'}"


def micro_of(units: float) -> int:
    """Micro-units of an amount written in service units, to the nearest."""
    return round(Decimal(str(units)) * MICRO)


def say_units(micro: int, *, up: bool = False) -> str:
    """``"2.5 SU"``: hundredths at most, rounded down, as what somebody has; ``up`` rounds up, as what something takes.

    So what costs more than is left also reads as more.
    """
    hundredths, rest = divmod(micro, MICRO // 100)
    whole, part = divmod(hundredths + (1 if up and rest else 0), 100)
    return f"{whole:,}.{part:02}".rstrip("0").removesuffix(".") + " SU"
